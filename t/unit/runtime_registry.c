/* Reading runtimes.json for the executor. */
#include "executor/runtime/registry.h"

#include <unistd.h>

#include "t/unit/tap.h"

#define ENTRY(name, rest) "{\"name\":" name ",\"argv\":[\"/bin/x\"]" rest "}"

static void
test_good(void)
{
    static const char text[] = "{\"runtimes\":[" ENTRY(
        "\"python\"",
        ",\"aliases\":[\"python3\",\"py\"],\"repl\":[\"/bin/"
        "x\"],\"slot\":[\"/bin/y\"],\"env\":{}") "," ENTRY("\"bash\"",
                                                           ",\"aliases\":null,\"source\":\"main.sh\"") "]}";
    char why[REGISTRY_WHY_LEN] = "";
    struct registry *registry = NULL;

    is_int(registry_parse(&registry, "r.json", text, strlen(text), why), 0, "a registry");
    is_uint(registry_count(registry), 2, "of two");
    is_str(registry_name(registry, 0), "python", "the first");
    is_str(registry_name(registry, 1), "bash", "the second");
    is_str(registry_canonical(registry, "python"), "python", "a name is its own");
    is_str(registry_canonical(registry, "py"), "python", "an alias is another's");
    ok(registry_canonical(registry, "ruby") == NULL, "an unknown one is nobody's");
    ok(registry_canonical(registry, "Python") == NULL, "case matters");
    ok(registry_canonical(registry, "") == NULL, "the empty one too");
    ok(registry_canonical(registry, "python ") == NULL, "no white space is forgiven");
    ok(registry_has_repl(registry, "python") && registry_has_repl(registry, "py"), "one that holds sessions");
    ok(!registry_has_repl(registry, "bash"), "one that does not");
    ok(registry_has_slot(registry, "python") && registry_has_slot(registry, "py"),
       "one that can wait for its work");
    ok(!registry_has_slot(registry, "bash") && !registry_has_slot(registry, "ruby"), "those that cannot");
    ok(!registry_has_repl(registry, "ruby") && !registry_has_repl(registry, ""),
       "nor does what is not there");
    ok(registry_free(registry) == NULL && registry_free(NULL) == NULL, "freed");
}

static void
test_installed(void)
{
    char why[REGISTRY_WHY_LEN] = "";
    struct registry *registry = NULL;

    if (!ok(registry_load(&registry, "session-agent/runtimes.json", why) == 0, "our own registry")) {
        diag("%s", why);
        return;
    }
    is_str(registry_canonical(registry, "python3"), "python", "python3");
    is_str(registry_canonical(registry, "node"), "javascript", "node");
    is_str(registry_canonical(registry, "sh"), "bash", "sh");
    registry = registry_free(registry);
}

static void
test_bad(void)
{
    static const char *const bad[][2] = {
        { "", "r.json: " },
        { "[]", "r.json: must be an object" },
        { "{}", "/runtimes: must name at least one" },
        { "{\"runtimes\":[]}", "/runtimes: must name at least one" },
        { "{\"runtimes\":{}}", "/runtimes: must be an array" },
        { "{\"runtimes\":[1]}", "/runtimes/0: must be an object" },
        { "{\"runtimes\":[{}]}", "/runtimes/0: has no argv" },
        { "{\"runtimes\":[{\"argv\":[\"x\"]}]}", "/runtimes/0: a name or alias" },
        { "{\"runtimes\":[{\"name\":\"a\",\"argv\":[]}]}", "/runtimes/0: has no argv" },
        { "{\"runtimes\":[" ENTRY("\"a\"", ",\"repl\":{}") "]}", "/runtimes/0: must be an array" },
        { "{\"runtimes\":[{\"name\":\"a\",\"argv\":\"x\"}]}", "/runtimes/0" },
        { "{\"runtimes\":[" ENTRY("1", "") "]}", "/runtimes/0: a name or alias" },
        { "{\"runtimes\":[" ENTRY("\"\"", "") "]}", "/runtimes/0: a name or alias" },
        { "{\"runtimes\":[" ENTRY("\"a b\"", "") "]}", "/runtimes/0: a name or alias" },
        { "{\"runtimes\":[" ENTRY("\"a/b\"", "") "]}", "/runtimes/0: a name or alias" },
        { "{\"runtimes\":[" ENTRY("\"a\"", ",\"aliases\":\"b\"") "]}", "/runtimes/0" },
        { "{\"runtimes\":[" ENTRY("\"a\"", ",\"aliases\":[\"a\"]") "]}",
          "/runtimes/0: the name \"a\" is given twice" },
        { "{\"runtimes\":[" ENTRY("\"a\"", "") "," ENTRY("\"a\"", "") "]}",
          "/runtimes/1: the name \"a\" is given twice" },
        { "{\"runtimes\":[" ENTRY("\"a\"", "") "," ENTRY("\"b\"", ",\"aliases\":[\"a\"]") "]}",
          "/runtimes/1: the name" },
        { "{\"runtimes\":[" ENTRY("\"a\"", ",\"name\":\"b\"") "]}", "r.json: " },
        { "{\"runtimes\":[" ENTRY("\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
                                  "") "]}",
          "/runtimes/0: a name or alias" },
    };

    for (size_t i = 0; i < SBX_COUNT(bad); i++) {
        char why[REGISTRY_WHY_LEN] = "";
        struct registry *registry = NULL;

        is_int(registry_parse(&registry, "r.json", bad[i][0], strlen(bad[i][0]), why), REGISTRY_E_INVALID,
               "registry %zu is refused", i);
        ok(strstr(why, bad[i][1]) != NULL && strncmp(why, "r.json: ", 8) == 0, "and said why: %s", why);
        ok(registry == NULL, "nothing is returned");
    }
}

static void
test_files(void)
{
    char why[REGISTRY_WHY_LEN] = "", path[] = "/tmp/registry.XXXXXX";
    struct registry *registry = NULL;
    static char large[300000];
    int fd;

    is_int(registry_load(&registry, "/nonexistent/runtimes.json", why), REGISTRY_E_INVALID, "no file");
    is_str(why, "/nonexistent/runtimes.json: No such file or directory", "says so");
    is_int(registry_load(&registry, "/tmp", why), REGISTRY_E_INVALID, "a directory");
    is_int(registry_load(&registry, "/dev/zero", why), REGISTRY_E_INVALID, "a file without end");
    fd = mkstemp(path);
    memset(large, ' ', sizeof(large));
    ok(fd >= 0 && write(fd, large, sizeof(large)) == (ssize_t)sizeof(large), "a large file");
    is_int(registry_load(&registry, path, why), REGISTRY_E_INVALID, "is refused");
    close(fd);
    (void)unlink(path);
}

int
main(void)
{
    test_good();
    test_installed();
    test_bad();
    test_files();
    return done_testing();
}
