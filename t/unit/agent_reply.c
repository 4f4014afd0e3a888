/* What a session agent may answer, and what it may not. */
#include "executor/runtime/agent_reply.h"

#include "t/unit/tap.h"

#define GOOD "\"stepId\":\"job_1\",\"exit_code\":0,\"signal\":null"

static const struct agent_reply_rules rules = { .step_id = "job_1",
                                                .max_artifacts = 3,
                                                .max_artifact_bytes = 1000 };

static int
parse(struct runtime_outcome *outcome, const char *body, size_t len)
{
    struct sbx_field_error err = { 0 };
    /* A copy of exactly the length: the sanitizer sees who reads past it. */
    char *copy = malloc(len == 0 ? 1 : len);
    int r;

    if (copy == NULL) {
        abort();
    }
    memcpy(copy, body, len);
    memset(outcome, 0, sizeof(*outcome));
    r = agent_reply_step(outcome, copy, len, &rules, &err);
    free(copy);
    return r;
}

static void
test_plain(void)
{
    static const char body[] =
        "{" GOOD ",\"timed_out\":false,\"wall_ms\":12,\"cpu_ms\":3,\"peak_memory_bytes\":4096,"
        "\"files\":[],\"files_skipped\":[]}";
    static const char crowded[] = "{" GOOD ",\"too_many_processes\":true}";
    struct runtime_outcome outcome;

    is_int(parse(&outcome, body, strlen(body)), 0, "a plain reply");
    ok(outcome.exited && outcome.exit_code == 0, "exited with 0");
    is_str(outcome.signal, "", "by no signal");
    ok(outcome.result_json == NULL && outcome.skipped_json == NULL && outcome.n_artifacts == 0,
       "with nothing else");
    is_uint(outcome.report.wall_ms + outcome.report.cpu_ms + outcome.report.peak_memory_bytes, 0,
            "the agent's numbers are not believed");
    ok(!outcome.crowded, "nor too many processes");
    runtime_outcome_deinit(&outcome);
    runtime_outcome_deinit(&outcome);
    is_int(parse(&outcome, crowded, strlen(crowded)), 0, "one with too many processes");
    ok(outcome.crowded, "says so");
    runtime_outcome_deinit(&outcome);
}

static void
test_status(void)
{
    struct runtime_outcome outcome;
    static const char *const signals[] = { "SIGHUP",    "SIGKILL", "SIGSEGV",  "SIGSYS",
                                           "SIGVTALRM", "SIGXFSZ", "SIGSTKFLT" };
    char body[200];

    for (size_t i = 0; i < SBX_COUNT(signals); i++) {
        (void)snprintf(body, sizeof(body), "{\"stepId\":\"job_1\",\"exit_code\":null,\"signal\":\"%s\"}",
                       signals[i]);
        is_int(parse(&outcome, body, strlen(body)), 0, "killed by %s", signals[i]);
        ok(!outcome.exited && strcmp(outcome.signal, signals[i]) == 0, "it says so");
        runtime_outcome_deinit(&outcome);
    }
}

static void
test_result(void)
{
    /* Text in, text out: white space between tokens goes, everything else stays as it was written. */
    static const char *const results[][2] = {
        { "null", "null" },
        { "true", "true" },
        { "0.1", "0.1" },
        { "1e-7", "1e-7" },
        { "-12", "-12" },
        { "\"a,}]\\\"b\"", "\"a,}]\\\"b\"" },
        { "\" \\\\\"", "\" \\\\\"" },
        { "[ 1,\n 2 ,\t{ \"a b\" : [ ] } ]", "[1,2,{\"a b\":[]}]" },
        { "{\"result\":1,\"files\":[\"..\"]}", "{\"result\":1,\"files\":[\"..\"]}" },
        { "\"\xc3\xa9\\u0000\"", NULL }, /* a NUL is nothing our own readers could take */
    };
    struct runtime_outcome outcome;
    char body[300];

    for (size_t i = 0; i < SBX_COUNT(results); i++) {
        (void)snprintf(body, sizeof(body), "{" GOOD ",\n \"result\" : %s , \"files\":[]}", results[i][0]);
        is_int(parse(&outcome, body, strlen(body)), results[i][1] == NULL ? AGENT_REPLY_E_INVALID : 0,
               "result %zu", i);
        is_str(outcome.result_json, results[i][1], "comes through");
        is_uint(outcome.result_len, results[i][1] == NULL ? 0 : strlen(results[i][1]), "with its length");
        runtime_outcome_deinit(&outcome);
        (void)snprintf(body, sizeof(body), "{\"result\":%s," GOOD "}", results[i][0]);
        is_int(parse(&outcome, body, strlen(body)), results[i][1] == NULL ? AGENT_REPLY_E_INVALID : 0,
               "also first");
        is_str(outcome.result_json, results[i][1], "comes through");
        runtime_outcome_deinit(&outcome);
    }
    (void)snprintf(body, sizeof(body), "{" GOOD ",\"result_error\":\"not JSON\"}");
    is_int(parse(&outcome, body, strlen(body)), 0, "a result that could not be read");
    is_str(outcome.result_error, "not JSON", "is told");
    runtime_outcome_deinit(&outcome);
}

static void
test_artifacts(void)
{
    static const char body[] =
        "{" GOOD ",\"files\":[{\"path\":\"a.csv\",\"size\":0},"
        "{\"path\":\"out/\xc3\xa9 b.txt\",\"size\":1000},{\"path\":\"a\\nb\",\"size\":0}],"
        "\"files_skipped\":[{\"path\":\"l\\u001bnk\",\"reason\":\"not a regular file\"}]}";
    struct runtime_outcome outcome;

    is_int(parse(&outcome, body, strlen(body)), 0, "artifacts");
    is_uint(outcome.n_artifacts, 2, "those with usable names");
    is_str(outcome.artifacts[0].path, "a.csv", "the first");
    is_str(outcome.artifacts[1].path, "out/\xc3\xa9 b.txt", "the second");
    is_uint(outcome.artifacts[1].size, 1000, "its size");
    is_str(outcome.skipped_json,
           "[{\"path\":\"a\\nb\",\"reason\":\"the name is not printable or too long\"},"
           "{\"path\":\"l\\u001bnk\",\"reason\":\"not a regular file\"}]",
           "and what was left out, escaped");
    runtime_outcome_deinit(&outcome);
}

static void
test_many_skipped(void)
{
    struct sbx_buf body = SBX_BUF_INIT(1u << 20);
    struct runtime_outcome outcome;
    const char *last;

    sbx_buf_puts(&body, "{" GOOD ",\"files_skipped\":[{\"path\":\"a\",\"reason\":\"b\"}");
    for (unsigned i = 1; i < AGENT_REPLY_MAX_SKIPPED; i++) {
        sbx_buf_puts(&body, ",{\"path\":\"a\",\"reason\":\"b\"}");
    }
    sbx_buf_puts(&body, "],\"files_skipped_count\":1000,\"files\":[{\"path\":\"a\\nb\",\"size\":0}]}");
    is_int(parse(&outcome, body.data, body.len), 0, "1000 skipped files");
    last = outcome.skipped_json == NULL ? NULL : strstr(outcome.skipped_json, ",{\"path\":\".\"");
    is_str(last, ",{\"path\":\".\",\"reason\":\"801 more were skipped\"}]",
           "the first are told, the rest counted, and one of ours");
    runtime_outcome_deinit(&outcome);
    sbx_buf_deinit(&body);
}

static void
test_hostile(void)
{
    static const char *const bodies[] = {
        "",
        "null",
        "[]",
        "\"ok\"",
        "{}",
        "{" GOOD "} ,",
        "{" GOOD "}}",
        "{" GOOD "}\n{" GOOD "}",
        "{" GOOD ",\"exit_code\":0}",
        "{" GOOD,
        "{\"stepId\":\"job_1\"}",
        "{\"stepId\":\"job_1\",\"exit_code\":null,\"signal\":null}",
        "{\"exit_code\":0}",
        "{\"stepId\":null,\"exit_code\":0}",
        "{\"stepId\":\"job_2\",\"exit_code\":0}",
        "{\"stepId\":\"job_1\\u0000\",\"exit_code\":0}",
        "{\"stepId\":\"job_11\",\"exit_code\":0}",
        "{\"stepId\":1,\"exit_code\":0}",
        "{\"stepId\":\"job_1\",\"exit_code\":256}",
        "{\"stepId\":\"job_1\",\"exit_code\":-1}",
        "{\"stepId\":\"job_1\",\"exit_code\":0.0}",
        "{\"stepId\":\"job_1\",\"exit_code\":\"0\"}",
        "{\"stepId\":\"job_1\",\"exit_code\":true}",
        "{\"stepId\":\"job_1\",\"exit_code\":99999999999999999999}",
        "{\"stepId\":\"job_1\",\"exit_code\":1,\"signal\":\"SIGKILL\"}",
        "{\"stepId\":\"job_1\",\"signal\":\"KILL\"}",
        "{\"stepId\":\"job_1\",\"signal\":\"sigkill\"}",
        "{\"stepId\":\"job_1\",\"signal\":\"\"}",
        "{\"stepId\":\"job_1\",\"signal\":\"SIGKILL \"}",
        "{\"stepId\":\"job_1\",\"signal\":\"SIG<script>\"}",
        "{\"stepId\":\"job_1\",\"signal\":\"SIGKILLSIGKILLSIGKILL\"}",
        "{\"stepId\":\"job_1\",\"signal\":9}",
        "{" GOOD ",\"timed_out\":\"no\"}",
        "{" GOOD ",\"timed_out\":0}",
        "{" GOOD ",\"too_many_processes\":1}",
        "{" GOOD ",\"too_many_processes\":\"true\"}",
        "{" GOOD ",\"too_many_processes\":{}}",
        "{" GOOD ",\"too_many_processes\":true,\"too_many_processes\":false}",
        "{" GOOD ",\"too_many_files\":true}",
        "{" GOOD ",\"wall_ms\":-1}",
        "{" GOOD ",\"wall_ms\":1.5}",
        "{" GOOD ",\"cpu_ms\":\"1\"}",
        "{" GOOD ",\"peak_memory_bytes\":1e30}",
        "{" GOOD ",\"stdout\":\"forged\"}",
        "{" GOOD ",\"verdict\":\"none\"}",
        "{" GOOD ",\"tenant\":\"other\"}",
        "{" GOOD ",\"__proto__\":{}}",
        "{" GOOD ",\"\":1}",
        "{" GOOD ",\"result\":1,\"result\":2}",
        "{" GOOD ",\"res\\u0075lt\":1}",
        "{" GOOD ",\"result\":1,\"res\\u0075lt\":2}",
        "{" GOOD ",\"result\":NaN}",
        "{" GOOD ",\"result\":[1,]}",
        "{" GOOD ",\"result\":\"\xff\"}",
        "{" GOOD ",\"result\":\"\xed\xa0\x80\"}",
        "{" GOOD ",\"result\":1,\"result_error\":\"too\"}",
        "{" GOOD ",\"result\":null,\"result_error\":\"too\"}",
        "{" GOOD ",\"result_error\":\"line\\nbreak\"}",
        "{" GOOD ",\"result_error\":\"\\u001b[2J\"}",
        "{" GOOD ",\"result_error\":\"\\u0085\"}",
        "{" GOOD ",\"result_error\":\"\\u2028\"}",
        "{" GOOD ",\"result_error\":{}}",
        "{" GOOD ",\"files\":{}}",
        "{" GOOD ",\"files\":\"a\"}",
        "{" GOOD ",\"files\":[\"a\"]}",
        "{" GOOD ",\"files\":[null]}",
        "{" GOOD ",\"files\":[{}]}",
        "{" GOOD ",\"files\":[{\"path\":\"a\"}]}",
        "{" GOOD ",\"files\":[{\"size\":1}]}",
        "{" GOOD ",\"files\":[{\"path\":\"a\",\"size\":-1}]}",
        "{" GOOD ",\"files\":[{\"path\":\"a\",\"size\":\"1\"}]}",
        "{" GOOD ",\"files\":[{\"path\":\"a\",\"size\":1,\"sha256\":\"x\"}]}",
        "{" GOOD ",\"files\":[{\"path\":\"\",\"size\":1}]}",
        "{" GOOD ",\"files\":[{\"path\":\".\",\"size\":1}]}",
        "{" GOOD ",\"files\":[{\"path\":\"..\",\"size\":1}]}",
        "{" GOOD ",\"files\":[{\"path\":\"../etc/passwd\",\"size\":1}]}",
        "{" GOOD ",\"files\":[{\"path\":\"a/../../b\",\"size\":1}]}",
        "{" GOOD ",\"files\":[{\"path\":\"a/..\",\"size\":1}]}",
        "{" GOOD ",\"files\":[{\"path\":\"./a\",\"size\":1}]}",
        "{" GOOD ",\"files\":[{\"path\":\"a//b\",\"size\":1}]}",
        "{" GOOD ",\"files\":[{\"path\":\"a/\",\"size\":1}]}",
        "{" GOOD ",\"files\":[{\"path\":\"/etc/passwd\",\"size\":1}]}",
        "{" GOOD ",\"files\":[{\"path\":\"\\u002e\\u002e/a\",\"size\":1}]}",
        "{" GOOD ",\"files\":[{\"path\":\"a\\u0000b\",\"size\":1}]}",
        "{" GOOD ",\"files\":[{\"path\":\"a\",\"size\":1},{\"path\":\"a\",\"size\":1}]}",
        "{" GOOD ",\"files\":[{\"path\":\"a\",\"size\":1001}]}",
        "{" GOOD ",\"files\":[{\"path\":\"a\",\"size\":600},{\"path\":\"b\",\"size\":600}]}",
        "{" GOOD ",\"files\":[{\"path\":\"a\",\"size\":9223372036854775807},{\"path\":\"b\",\"size\":1}]}",
        "{" GOOD
        ",\"files\":[{\"path\":\"a\",\"size\":0},{\"path\":\"b\",\"size\":0},{\"path\":\"c\",\"size\":0},"
        "{\"path\":\"d\",\"size\":0}]}",
        "{" GOOD ",\"files_skipped\":{}}",
        "{" GOOD ",\"files_skipped\":[1]}",
        "{" GOOD ",\"files_skipped\":[{\"path\":\"a\"}]}",
        "{" GOOD ",\"files_skipped\":[{\"reason\":\"a\"}]}",
        "{" GOOD ",\"files_skipped\":[{\"path\":1,\"reason\":\"a\"}]}",
        "{" GOOD ",\"files_skipped\":[{\"path\":\"a\",\"reason\":\"b\",\"html\":\"c\"}]}",
        "{" GOOD ",\"files_skipped\":[{\"path\":\"a\",\"reason\":\"b\"}],\"files_skipped_count\":0}",
        "{" GOOD ",\"files_skipped_count\":-1}",
        "{" GOOD ",\"files_skipped_count\":12001}",
        "{" GOOD ",\"files_skipped_count\":4294967297}",
        "{" GOOD ",\"files_skipped_count\":\"1\"}",
        "{" GOOD ",\"files_skipped_count\":[1]}",
        "\xef\xbb\xbf{" GOOD "}",
    };
    struct runtime_outcome outcome;

    for (size_t i = 0; i < SBX_COUNT(bodies); i++) {
        is_int(parse(&outcome, bodies[i], strlen(bodies[i])), AGENT_REPLY_E_INVALID,
               "refused: hostile reply %zu", i);
        runtime_outcome_deinit(&outcome);
    }
    is_int(parse(&outcome, "{" GOOD "}\0", strlen("{" GOOD "}") + 1), AGENT_REPLY_E_INVALID,
           "refused: a NUL at the end");
    runtime_outcome_deinit(&outcome);
}

/* {GOOD, <head> <unit> * n <tail>} */
static void
is_large(int expected, const char *head, const char *unit, size_t n, const char *tail, const char *what)
{
    struct sbx_buf body = SBX_BUF_INIT(32u * 1024 * 1024);
    struct runtime_outcome outcome;

    sbx_buf_puts(&body, "{" GOOD ",");
    sbx_buf_puts(&body, head);
    for (size_t i = 0; i < n; i++) {
        sbx_buf_puts(&body, unit);
    }
    sbx_buf_puts(&body, tail);
    sbx_buf_puts(&body, "}");
    is_int(parse(&outcome, body.data, body.len), expected, "%s", what);
    runtime_outcome_deinit(&outcome);
    sbx_buf_deinit(&body);
}

static void
test_large(void)
{
    const int no = AGENT_REPLY_E_INVALID;

    is_large(0, "\"result\":\"", "x", AGENT_REPLY_MAX_RESULT - 2, "\"", "a result of just 1 MiB");
    is_large(no, "\"result\":\"", "x", AGENT_REPLY_MAX_RESULT - 1, "\"", "one byte more");
    is_large(0, "\"result\":1", " ", AGENT_REPLY_MAX_RESULT, "", "white space is no result");
    is_large(no, "\"result\":1", " ", AGENT_REPLY_MAX_BODY, "", "but has its ceiling too");
    is_large(no, "\"result\":", "[", 33, "", "brackets that never end");
    is_large(no, "\"result\":", "[", 5000000, "", "many of them");
    is_large(no, "\"result\":[0", ",0", 1000000, "]", "a million values");
    is_large(0, "\"result_error\":\"", "x", 127, "\"", "a long reason");
    is_large(no, "\"result_error\":\"", "x", 128, "\"", "too long a reason");
    is_large(0, "\"files\":[{\"size\":1,\"path\":\"", "x", 255, "\"}]", "a name of 255 bytes");
    is_large(no, "\"files\":[{\"size\":1,\"path\":\"", "x", 256, "\"}]", "of 256");
    is_large(0, "\"files\":[{\"size\":1,\"path\":\"x", "/x", 63, "\"}]", "64 levels");
    is_large(no, "\"files\":[{\"size\":1,\"path\":\"x", "/x", 64, "\"}]", "65");
    is_large(no, "\"files\":[{\"size\":1,\"path\":\"x",
             "/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 63, "\"}]",
             "a path longer than any");
    is_large(0, "\"files_skipped\":[{\"path\":\"a\",\"reason\":\"b\"}", ",{\"path\":\"a\",\"reason\":\"b\"}",
             AGENT_REPLY_MAX_SKIPPED - 1, "]", "as many skipped files as allowed");
    is_large(no, "\"files_skipped\":[{\"path\":\"a\",\"reason\":\"b\"}", ",{\"path\":\"a\",\"reason\":\"b\"}",
             AGENT_REPLY_MAX_SKIPPED, "]", "one more");
    is_large(no, "\"files_skipped\":[{\"path\":\"a\",\"reason\":\"", "b", 129, "\"}]",
             "a long reason for one");
    is_large(no, "\"files_skipped\":[{\"reason\":\"a\",\"path\":\"", "b", 4097, "\"}]", "a long path");
}

static void
test_paths(void)
{
    static const char *const good[] = {
        "a", "a/b", "...", ".hidden", "a b", "%2e%2e", "a\\b", "\xe2\x82\xac"
    };
    static const char *const bad[] = { "",      "/",    "a/",   "/a",       ".",    "..",
                                       "a/./b", "a\nb", "\x7f", "\xc2\x85", "\xff", "\xe2\x80\xa8",
                                       "a/\x01" };

    for (size_t i = 0; i < SBX_COUNT(good); i++) {
        ok(agent_reply_path_valid(good[i], strlen(good[i])), "path %zu may be fetched", i);
    }
    for (size_t i = 0; i < SBX_COUNT(bad); i++) {
        ok(!agent_reply_path_valid(bad[i], strlen(bad[i])), "path %zu may not", i);
    }
    ok(!agent_reply_path_valid("a\0b", 3), "nor one with a NUL");
}

static void
test_refusal(void)
{
    static const char constant[] = "the agent refused the step";
    static const char *const cases[][2] = {
        { "{\"title\":\"No\",\"detail\":\"unknown runtime\"}", "unknown runtime" },
        { "{\"title\":\"No\"}", "No" },
        { "{\"title\":\"No\",\"detail\":\"a\\nb\"}", "No" },
        { "{\"detail\":7}", constant },
        { "{\"detail\":\"\"}", constant },
        { "{\"detail\":\"\\u001b[31m\"}", constant },
        { "[]", constant },
        { "<html>", constant },
        { "", constant },
    };
    char message[128], *large;

    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        agent_reply_refusal(message, sizeof(message), cases[i][0], strlen(cases[i][0]));
        is_str(message, cases[i][1], "refusal %s", cases[i][0]);
    }
    large = malloc(400);
    (void)snprintf(large, 400, "{\"detail\":\"%0300d\"}", 0);
    agent_reply_refusal(message, sizeof(message), large, strlen(large));
    is_str(message, constant, "a long one");
    free(large);
}

static void
test_health(void)
{
    static const char *const bad[] = { "",
                                       "ok",
                                       "\"ok\"",
                                       "{}",
                                       "[\"status\"]",
                                       "{\"status\":true}",
                                       "{\"status\":\"OK\"}",
                                       "{\"status\":\"draining\"}",
                                       "{\"status\":\"ok\"",
                                       "{\"status\":\"no\",\"status\":\"ok\"}" };

    ok(agent_reply_health("{\"status\":\"ok\",\"version\":\"1\"}", 29), "healthy");
    for (size_t i = 0; i < SBX_COUNT(bad); i++) {
        ok(!agent_reply_health(bad[i], strlen(bad[i])), "not healthy: %s", bad[i]);
    }
}

int
main(void)
{
    test_plain();
    test_status();
    test_result();
    test_artifacts();
    test_many_skipped();
    test_hostile();
    test_large();
    test_paths();
    test_refusal();
    test_health();
    return done_testing();
}
