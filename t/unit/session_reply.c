/* What an agent may say about a session, and what it may not. */
#include "executor/runtime/session_reply.h"

#include "t/unit/tap.h"

#define ITEM "{\"mime\":\"a/b\",\"size\":1}"
#define NUMBERS "\"wall_ms\":1,\"cpu_ms\":2,\"peak_memory_bytes\":3,\"displays_dropped\":4"
/* The wall time is as it is said to be. */
#define TIMED(wall)                                                                                          \
    "{\"ok\":true,\"status\":\"succeeded\",\"interpreter\":\"alive\",\"restarted\":false,\"wall_ms\":" wall  \
    ",\"cpu_ms\":2,\"peak_memory_bytes\":3,\"displays_dropped\":4}"
#define REST "\"interpreter\":\"alive\",\"restarted\":false," NUMBERS

/* A copy of exactly the length: the sanitizer sees who reads past it. */
static char *
copy_of(const char *text)
{
    size_t len = strlen(text);
    char *copy = malloc(len == 0 ? 1 : len);

    if (copy == NULL) {
        abort();
    }
    memcpy(copy, text, len);
    return copy;
}

static int
step(struct session_reply_step *ret, const char *text)
{
    char *copy = copy_of(text);
    int r = session_reply_step(ret, copy, strlen(text));

    free(copy);
    return r;
}

static int
display(struct session_reply_display *ret, const char *text)
{
    char *copy = copy_of(text);
    int r = session_reply_display(ret, copy, strlen(text));

    free(copy);
    return r;
}

static void
test_steps(void)
{
    struct session_reply_step said;

    is_int(
        step(&said,
             "{\"ok\":true,\"status\":\"succeeded\",\"error\":null,\"exit_code\":null,\"signal\":\"\"," REST
             "}"),
        0, "a plain outcome");
    ok(said.reply.ok && said.status == STEP_SAYS_SUCCEEDED && said.alive && !said.restarted, "is read");
    ok(said.cpu_ms == 2 && said.peak_memory_bytes == 3 && said.displays_dropped == 4, "with its numbers");
    ok(!said.has_exit_code && said.error_json == NULL, "and no more");

    is_int(step(&said, "{\"ok\":true,\"status\":\"failed\",\"error\":{\"name\":\"E\",\"value\":\"a\\\"b\","
                       "\"traceback\":\"x\\u0007\"},"
                       "\"exit_code\":3,\"signal\":null," REST "}"),
           0, "an exception");
    is_str(said.error_json, "{\"name\":\"E\",\"value\":\"a\\\"b\",\"traceback\":\"x\\u0007\"}",
           "is written anew");
    ok(said.has_exit_code && said.exit_code == 3, "with an exit code");
    free(said.error_json);

    is_int(step(&said, "{\"ok\":false,\"error\":\"busy\",\"message\":\"a step runs\"}"), 0, "a refusal");
    ok(!said.reply.ok, "is one");
    is_str(said.reply.error, "busy", "with its word");
    is_str(said.reply.message, "a step runs", "and its message");
}

static void
test_strange_steps(void)
{
    static const char *const strange[] = {
        "",
        "{}",
        "[]",
        "null",
        "{\"ok\":1}",
        "{\"ok\":true}",
        "{\"ok\":\"true\",\"status\":\"succeeded\"," REST "}",
        "{\"ok\":true,\"status\":\"won\"," REST "}",
        "{\"ok\":true,\"status\":7," REST "}",
        "{\"ok\":true," REST "}",
        "{\"ok\":true,\"status\":\"succeeded\"," REST ",\"more\":1}",
        "{\"ok\":true,\"status\":\"succeeded\",\"interpreter\":\"asleep\",\"restarted\":false," NUMBERS "}",
        "{\"ok\":true,\"status\":\"succeeded\",\"interpreter\":\"alive\"," NUMBERS "}",
        "{\"ok\":true,\"status\":\"succeeded\",\"interpreter\":\"alive\",\"restarted\":0," NUMBERS "}",
        "{\"ok\":true,\"status\":\"crashed\"," REST "}",
        "{\"ok\":true,\"status\":\"succeeded\",\"interpreter\":\"alive\",\"restarted\":false}",
        TIMED("-1"),
        TIMED("1.5"),
        "{\"ok\":true,\"status\":\"failed\",\"exit_code\":256," REST "}",
        "{\"ok\":true,\"status\":\"failed\",\"exit_code\":-1," REST "}",
        "{\"ok\":true,\"status\":\"failed\",\"signal\":\"KILL\"," REST "}",
        "{\"ok\":true,\"status\":\"failed\",\"signal\":\"SIG\\n\"," REST "}",
        "{\"ok\":true,\"status\":\"failed\",\"error\":\"no\"," REST "}",
        "{\"ok\":true,\"status\":\"failed\",\"error\":{\"name\":5}," REST "}",
        "{\"ok\":true,\"status\":\"failed\",\"error\":{\"name\":\"E\",\"more\":1}," REST "}",
        "{\"ok\":false}",
        "{\"ok\":false,\"error\":\"because\"}",
        "{\"ok\":false,\"error\":\"busy\",\"message\":\"a\\nb\"}",
        "{\"ok\":false,\"error\":\"busy\",\"message\":5}",
    };
    struct session_reply_step said;

    for (size_t i = 0; i < SBX_COUNT(strange); i++) {
        is_int(step(&said, strange[i]), SESSION_REPLY_E_INVALID, "no outcome: %s", strange[i]);
        free(said.error_json);
    }
}

static void
test_displays(void)
{
    static const char *const strange[] = {
        "{}",
        "{\"display\":{}}",
        "{\"display\":{\"kind\":\"display\"}}",
        "{\"display\":{\"kind\":\"sound\",\"items\":[]}}",
        "{\"display\":{\"kind\":\"display\",\"items\":{}}}",
        "{\"display\":{\"kind\":\"display\",\"items\":[]},\"more\":1}",
        "{\"display\":{\"kind\":\"display\",\"items\":[],\"more\":1}}",
        "{\"display\":{\"kind\":\"display\",\"items\":[5]}}",
        "{\"display\":{\"kind\":\"display\",\"items\":[{\"mime\":\"text/plain\"}]}}",
        "{\"display\":{\"kind\":\"display\",\"items\":[{\"size\":5}]}}",
        "{\"display\":{\"kind\":\"display\",\"items\":[{\"mime\":\"text/plain\",\"size\":-1}]}}",
        "{\"display\":{\"kind\":\"display\",\"items\":[{\"mime\":\"text/plain\",\"size\":4294967296}]}}",
        "{\"display\":{\"kind\":\"display\",\"items\":[{\"mime\":\"text\",\"size\":5}]}}",
        "{\"display\":{\"kind\":\"display\",\"items\":[{\"mime\":\"text/\",\"size\":5}]}}",
        "{\"display\":{\"kind\":\"display\",\"items\":[{\"mime\":\"text/a b\",\"size\":5}]}}",
        "{\"display\":{\"kind\":\"display\",\"items\":[{\"mime\":\"TEXT/plain\",\"size\":5}]}}",
        "{\"display\":{\"kind\":\"display\",\"items\":[{\"mime\":\"text/plain;x\",\"size\":5}]}}",
        "{\"display\":{\"kind\":\"display\",\"items\":[" ITEM "," ITEM "]}}",
        "{\"interrupt\":true}",
    };
    struct session_reply_display said;

    is_int(display(&said, "{\"display\":{\"kind\":\"result\",\"items\":[{\"mime\":\"text/plain\",\"size\":0},"
                          "{\"mime\":\"image/svg+xml\",\"size\":2147483648}]}}"),
           0, "a display");
    ok(said.is_result && said.n_items == 2 && said.items[1].size == UINT64_C(1) << 31, "is read");
    is_str(said.items[1].mime, "image/svg+xml", "with its types");
    is_int(display(&said, "{\"display\":{\"kind\":\"display\",\"items\":[]}}"), 0, "one of nothing too");
    for (size_t i = 0; i < SBX_COUNT(strange); i++) {
        is_int(display(&said, strange[i]), SESSION_REPLY_E_INVALID, "no display: %s", strange[i]);
    }
}

int
main(void)
{
    test_steps();
    test_strange_steps();
    test_displays();
    ok(session_reply_is_json("{\"a\":[1]}", 9), "a document");
    ok(!session_reply_is_json("{\"a\":[1]} x", 11), "is not one with something behind it");
    ok(!session_reply_is_json("\"\xff\"", 3), "nor one that is not UTF-8");
    return done_testing();
}
