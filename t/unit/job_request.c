/* The body of POST /v1/jobs: what passes, and for each field what does not and how it is named. */
#include "executor/api/job_request.h"

#include "lib/sbx_buf.h"
#include "t/unit/tap.h"

#define BODY(members) "{\"language\":\"bash\",\"code\":\"true\"," members "}"

static const struct {
    const char *body;
    const char *field; /* NULL: not a document at all */
} refused[] = {
    { "", NULL },
    { " ", NULL },
    { "{", NULL },
    { "}", NULL },
    { "{}{}", NULL },
    { "nul", NULL },
    { "'a'", NULL },
    { "{\"language\":\"bash\",\"language\":\"bash\",\"code\":\"x\"}", NULL },
    { "{\"code\":\"a\\u0000b\",\"language\":\"bash\"}", NULL },
    { "{\"code\":\"\xff\",\"language\":\"bash\"}", NULL },
    { "{\"code\":\"\\ud800\",\"language\":\"bash\"}", NULL },
    { BODY("\"event\":1e999"), NULL },
    { BODY("\"event\":01"), NULL },
    { BODY("\"event\":NaN"), NULL },
    { BODY("\"event\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"), NULL },
    { "[]", "" },
    { "\"x\"", "" },
    { "5", "" },
    { "null", "" },
    { "true", "" },
    { "{}", "/language" },
    { "{\"code\":\"x\"}", "/language" },
    { "{\"language\":null,\"code\":\"x\"}", "/language" },
    { "{\"language\":5,\"code\":\"x\"}", "/language" },
    { "{\"language\":\"\",\"code\":\"x\"}", "/language" },
    { "{\"language\":\"a b\",\"code\":\"x\"}", "/language" },
    { "{\"language\":\"a/b\",\"code\":\"x\"}", "/language" },
    { "{\"language\":\"\xc3\xa9\",\"code\":\"x\"}", "/language" },
    { "{\"language\":[\"bash\"],\"code\":\"x\"}", "/language" },
    { "{\"language\":\"bash\"}", "/code" },
    { "{\"language\":\"bash\",\"code\":\"\"}", "/code" },
    { "{\"language\":\"bash\",\"code\":null}", "/code" },
    { "{\"language\":\"bash\",\"code\":{}}", "/code" },
    { BODY("\"Code\":1"), "/Code" },
    { BODY("\"x\":1"), "/x" },
    { BODY("\"\":1"), "/" },
    { BODY("\"a/b~c\":1"), "/a~1b~0c" },
    { BODY("\"template\":1"), "/template" },
    { BODY("\"template\":\"\""), "/template" },
    { BODY("\"template\":\"../x\""), "/template" },
    { BODY("\"template\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""), "/template" },
    { BODY("\"isolation\":\"vm\""), "/isolation" },
    { BODY("\"isolation\":\"\""), "/isolation" },
    { BODY("\"isolation\":\"Gvisor\""), "/isolation" },
    { BODY("\"isolation\":\"gvisor \""), "/isolation" },
    { BODY("\"isolation\":1"), "/isolation" },
    { BODY("\"isolation\":false"), "/isolation" },
    { BODY("\"isolation\":[\"gvisor\"]"), "/isolation" },
    { BODY("\"isolation\":{}"), "/isolation" },
    { BODY("\"args\":\"x\""), "/args" },
    { BODY("\"args\":{}"), "/args" },
    { BODY("\"args\":[1]"), "/args/0" },
    { BODY("\"args\":[\"a\",null]"), "/args/1" },
    { BODY("\"args\":[[]]"), "/args/0" },
    { BODY("\"stdin\":5"), "/stdin" },
    { BODY("\"stdin\":[]"), "/stdin" },
    { BODY("\"stdin_encoding\":1"), "/stdin_encoding" },
    { BODY("\"stdin_encoding\":\"hex\""), "/stdin_encoding" },
    { BODY("\"stdin_encoding\":\"\""), "/stdin_encoding" },
    { BODY("\"stdin\":\"=\",\"stdin_encoding\":\"base64\""), "/stdin" },
    { BODY("\"stdin\":\"QQ\",\"stdin_encoding\":\"base64\""), "/stdin" },
    { BODY("\"stdin\":\"QR==\",\"stdin_encoding\":\"base64\""), "/stdin" },
    { BODY("\"stdin\":\"QQ==\\n\",\"stdin_encoding\":\"base64\""), "/stdin" },
    { BODY("\"stdin\":\"_-_-\",\"stdin_encoding\":\"base64\""), "/stdin" },
    { BODY("\"env\":[]"), "/env" },
    { BODY("\"env\":\"A=1\""), "/env" },
    { BODY("\"env\":{\"A\":1}"), "/env/A" },
    { BODY("\"env\":{\"A\":null}"), "/env/A" },
    { BODY("\"env\":{\"\":\"x\"}"), "/env/" },
    { BODY("\"env\":{\"1A\":\"x\"}"), "/env/1A" },
    { BODY("\"env\":{\"A-B\":\"x\"}"), "/env/A-B" },
    { BODY("\"env\":{\"A=B\":\"x\"}"), "/env/A=B" },
    { BODY("\"env\":{\"A B\":\"x\"}"), "/env/A B" },
    { BODY("\"env\":{\"\xc3\xa9\":\"x\"}"), "/env/\xc3\xa9" },
    { BODY("\"env\":{\"LD_PRELOAD\":\"x\"}"), "/env/LD_PRELOAD" },
    { BODY("\"env\":{\"BASH_FUNC_x\":\"x\"}"), "/env/BASH_FUNC_x" },
    { BODY("\"env\":{\"LD_\":\"x\"}"), "/env/LD_" },
    { BODY("\"env\":{\"GLIBC_TUNABLES\":\"x\"}"), "/env/GLIBC_TUNABLES" },
    { BODY("\"env\":{\"BASH_ENV\":\"x\"}"), "/env/BASH_ENV" },
    { BODY("\"env\":{\"ENV\":\"x\"}"), "/env/ENV" },
    { BODY("\"env\":{\"PYTHONSTARTUP\":\"x\"}"), "/env/PYTHONSTARTUP" },
    { BODY("\"env\":{\"NODE_OPTIONS\":\"x\"}"), "/env/NODE_OPTIONS" },
    { BODY("\"env\":{\"SANDBOX_EVENT_FILE\":\"x\"}"), "/env/SANDBOX_EVENT_FILE" },
    { BODY("\"files\":{}"), "/files" },
    { BODY("\"files\":[1]"), "/files/0" },
    { BODY("\"files\":[{}]"), "/files/0/path" },
    { BODY("\"files\":[{\"path\":\"a\"}]"), "/files/0/content" },
    { BODY("\"files\":[{\"content\":\"a\"}]"), "/files/0/path" },
    { BODY("\"files\":[{\"path\":1,\"content\":\"\"}]"), "/files/0/path" },
    { BODY("\"files\":[{\"path\":\"\",\"content\":\"\"}]"), "/files/0/path" },
    { BODY("\"files\":[{\"path\":\"/a\",\"content\":\"\"}]"), "/files/0/path" },
    { BODY("\"files\":[{\"path\":\"a/\",\"content\":\"\"}]"), "/files/0/path" },
    { BODY("\"files\":[{\"path\":\".\",\"content\":\"\"}]"), "/files/0/path" },
    { BODY("\"files\":[{\"path\":\"..\",\"content\":\"\"}]"), "/files/0/path" },
    { BODY("\"files\":[{\"path\":\"a/../b\",\"content\":\"\"}]"), "/files/0/path" },
    { BODY("\"files\":[{\"path\":\"a//b\",\"content\":\"\"}]"), "/files/0/path" },
    { BODY("\"files\":[{\"path\":\"a\\nb\",\"content\":\"\"}]"), "/files/0/path" },
    { BODY("\"files\":[{\"path\":\"a\\u007fb\",\"content\":\"\"}]"), "/files/0/path" },
    { BODY("\"files\":[{\"path\":\"a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q\",\"content\":\"\"}]"),
      "/files/0/path" },
    { BODY("\"files\":[{\"path\":\"a\",\"content\":\"\"},{\"path\":\"a\",\"content\":\"\"}]"),
      "/files/1/path" },
    { BODY("\"files\":[{\"path\":\"a\",\"content\":7}]"), "/files/0/content" },
    { BODY("\"files\":[{\"path\":\"a\",\"content\":\"A\",\"encoding\":\"base64\"}]"), "/files/0/content" },
    { BODY("\"files\":[{\"path\":\"a\",\"content\":\"\",\"encoding\":\"gzip\"}]"), "/files/0/encoding" },
    { BODY("\"files\":[{\"path\":\"a\",\"content\":\"\",\"encoding\":1}]"), "/files/0/encoding" },
    { BODY("\"files\":[{\"path\":\"a\",\"content\":\"\",\"mode\":511}]"), "/files/0/mode" },
    { BODY("\"files\":[{\"path\":\"a\",\"uri\":1}]"), "/files/0/uri" },
    { BODY("\"files\":[{\"path\":\"a\",\"uri\":null}]"), "/files/0/content" },
    { BODY("\"files\":[{\"path\":\"a\",\"uri\":\"x\",\"content\":\"\"}]"), "/files/0" },
    { BODY("\"files\":[{\"path\":\"a\",\"uri\":\"x\",\"encoding\":\"utf-8\"}]"), "/files/0" },
    { BODY("\"files\":[{\"path\":\"..\",\"uri\":\"x\"}]"), "/files/0/path" },
    { BODY("\"files\":[{\"uri\":\"x\"}]"), "/files/0/path" },
    { BODY("\"artifacts\":\"*\""), "/artifacts" },
    { BODY("\"artifacts\":[1]"), "/artifacts/0" },
    { BODY("\"artifacts\":[\"\"]"), "/artifacts/0" },
    { BODY("\"artifacts\":[\"*\",\"/x\"]"), "/artifacts/1" },
    { BODY("\"artifacts\":[\"../*\"]"), "/artifacts/0" },
    { BODY("\"artifacts\":[\"a//*\"]"), "/artifacts/0" },
    { BODY("\"limits\":[]"), "/limits" },
    { BODY("\"limits\":{\"memory\":true}"), "/limits/memory" },
    { BODY("\"limits\":{\"memory\":\"1Zi\"}"), "/limits/memory" },
    { BODY("\"limits\":{\"memory\":1}"), "/limits/memory" },
    { BODY("\"limits\":{\"time\":-5}"), "/limits/time" },
    { BODY("\"limits\":{\"ram\":1}"), "/limits/ram" },
    { BODY("\"metadata\":[]"), "/metadata" },
    { BODY("\"metadata\":\"x\""), "/metadata" },
    { BODY("\"metadata\":{\"a\":1}"), "/metadata/a" },
    { BODY("\"metadata\":{\"a\":{}}"), "/metadata/a" },
    { BODY("\"metadata\":{\"\":\"x\"}"), "/metadata/" },
    { BODY("\"wait\":true"), "/wait" },
    { BODY("\"wait\":\"soon\""), "/wait" },
    { BODY("\"wait\":-1"), "/wait" },
    { BODY("\"wait\":\"2h\""), "/wait" },
    { BODY("\"wait\":1e300"), "/wait" },
};

static void
test_refused(void)
{
    struct sbx_field_error err;
    struct job_spec *spec = NULL;

    for (size_t i = 0; i < SBX_COUNT(refused); i++) {
        int r = job_request_parse(&spec, refused[i].body, strlen(refused[i].body), &err);

        is_int(r, refused[i].field == NULL ? JOB_REQUEST_E_SYNTAX : JOB_REQUEST_E_FIELD, "refused: %.60s",
               refused[i].body);
        if (refused[i].field != NULL) {
            is_str(err.field, refused[i].field, "the field is named");
            ok(!err.too_large && err.message[0] != '\0', "with a reason, and not as too large");
        }
    }
}

/* Appends `piece` with the number in place of each '#'. */
static void
put_piece(struct sbx_buf *out, const char *piece, size_t number)
{
    for (; *piece != '\0'; piece++) {
        if (*piece == '#') {
            sbx_buf_printf(out, "%zu", number);
        } else {
            sbx_buf_putc(out, *piece);
        }
    }
}

/* A body with one member that repeats `piece` n times. */
static void
too_large(const char *before, const char *piece, size_t n, const char *after, const char *field)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(64 << 20);
    struct sbx_field_error err;
    struct job_spec *spec = NULL;

    sbx_buf_puts(&body, "{\"language\":\"bash\",");
    sbx_buf_puts(&body, before);
    for (size_t i = 0; i < n; i++) {
        put_piece(&body, piece, i);
    }
    sbx_buf_puts(&body, after);
    sbx_buf_puts(&body, "}");
    is_int(job_request_parse(&spec, body.data, body.len, &err), JOB_REQUEST_E_FIELD, "too large: %s", field);
    is_str(err.field, field, "the field is named");
    ok(err.too_large, "as too large");
}

static void
test_too_large(void)
{
    too_large("\"code\":\"", "xxxxxxxxxxxxxxxx", 65537, "\"", "/code");
    too_large("\"code\":\"x\",\"args\":[\"\"", ",\"#\"", 256, "]", "/args");
    too_large("\"code\":\"x\",\"args\":[\"", "xxxxxxxxxxxxxxxxx", 241, "\"]", "/args/0");
    too_large("\"code\":\"x\",\"stdin\":\"", "xxxxxxxxxxxxxxxx", 524289, "\"", "/stdin");
    too_large("\"code\":\"x\",\"stdin_encoding\":\"base64\",\"stdin\":\"", "QUFBQUFBQUFBQUFB", 699052, "\"",
              "/stdin");
    too_large("\"code\":\"x\",\"env\":{\"A\":\"\"", ",\"V#\":\"\"", 64, "}", "/env");
    too_large("\"code\":\"x\",\"env\":{\"A\":\"", "xxxxxxxxxxxxxxxx", 2049, "\"}", "/env/A");
    too_large("\"code\":\"x\",\"files\":[{\"path\":\"a\",\"content\":\"\"}",
              ",{\"path\":\"f#\",\"content\":\"\"}", 64, "]", "/files");
    too_large("\"code\":\"x\",\"files\":[{\"path\":\"a\",\"content\":\"", "xxxxxxxxxxxxxxxx", 524289, "\"}]",
              "/files");
    too_large("\"code\":\"x\",\"artifacts\":[\"*\"", ",\"#\"", 64, "]", "/artifacts");
    too_large("\"code\":\"x\",\"event\":\"", "xxxxxxxxxxxxxxxx", 65537, "\"", "/event");
    too_large("\"code\":\"x\",\"metadata\":{\"a\":\"\"", ",\"k#\":\"\"", 32, "}", "/metadata");
    too_large("\"code\":\"x\",\"metadata\":{\"a\":\"", "xxxxxxxxxxxxxxxxxxx", 27, "\"}", "/metadata/a");
}
static void
test_minimal(void)
{
    static const char body[] =
        "{\"language\":\"node\",\"code\":\"1\",\"args\":null,\"env\":{},\"files\":[],\"wait\":null}";
    _cleanup_(job_spec_freep) struct job_spec *spec = NULL;
    struct sbx_field_error err;

    is_int(job_request_parse(&spec, body, sizeof(body) - 1, &err), 0, "a small body");
    is_str(spec->language, "javascript", "an alias becomes the name");
    is_str(spec->template_name, "default", "the default template");
    is_int(spec->isolation, SBX_ISOLATION_NONE, "no tier");
    ok(spec->n_args == 0 && spec->n_env == 0 && spec->n_files == 0 && spec->n_artifacts == 0, "nothing more");
    ok(spec->stdin_data == NULL && spec->event_json == NULL && spec->metadata_json == NULL && !spec->has_wait,
       "nothing at all");
    ok(spec->limits.value[SBX_LIMIT_MEMORY] == 0, "no limit asked");
    ok(spec->weight >= sizeof(body) - 1, "its weight is its body's");
}

static void
test_full(void)
{
    static const char body[] =
        "{\"language\":\"python3\",\"template\":\"data-1\",\"isolation\":\"gvisor\",\"code\":\"print(1)\","
        "\"args\":[\"a\",\"\"],\"stdin\":\"AAE=\","
        "\"stdin_encoding\":\"base64\",\"env\":{\"A\":\"1\",\"_b\":\"\"},\"files\":[{"
        "\"path\":\"d/x.txt\",\"content\":\"hi\"},"
        "{\"path\":\".hidden\",\"content\":\"AP8=\",\"encoding\":\"base64\"}],"
        "\"artifacts\":[\"**/*.txt\",\"a?[b]\"],"
        "\"limits\":{\"memory\":\"64Mi\",\"time\":1.5,\"cpu\":\"500m\",\"processes\":"
        "9},\"event\":{\"b\":[1,null],\"a\":\"\\u00e9\"},"
        "\"metadata\":{\"k\":\"v\"},\"wait\":\"1500ms\"}";
    _cleanup_(job_spec_freep) struct job_spec *spec = NULL;
    struct sbx_field_error err;

    is_int(job_request_parse(&spec, body, sizeof(body) - 1, &err), 0, "a body with everything");
    is_str(spec->language, "python", "language");
    is_str(spec->template_name, "data-1", "template");
    is_int(spec->isolation, SBX_ISOLATION_GVISOR, "isolation");
    ok(spec->n_args == 2 && strcmp(spec->args[0], "a") == 0 && spec->args[1][0] == '\0', "args");
    ok(spec->stdin_len == 2 && memcmp(spec->stdin_data, "\0\1", 2) == 0, "stdin decoded");
    is_int(spec->n_env, 2, "env");
    ok(spec->n_files == 2 && strcmp(spec->files[0].path, "d/x.txt") == 0 && spec->files[0].len == 2,
       "a file");
    ok(spec->files[1].len == 2 && memcmp(spec->files[1].data, "\0\xff", 2) == 0, "a binary file");
    ok(spec->file_bytes == 4, "bytes of files");
    is_int(spec->n_artifacts, 2, "artifacts");
    ok(spec->limits.value[SBX_LIMIT_MEMORY] == 64 << 20 && spec->limits.value[SBX_LIMIT_TIME] == 1500 &&
           spec->limits.value[SBX_LIMIT_CPU_RATE] == 500 && spec->limits.value[SBX_LIMIT_PROCESSES] == 9 &&
           spec->limits.value[SBX_LIMIT_DISK] == 0,
       "limits");
    ok(spec->event_json != NULL && spec->event_len == strlen(spec->event_json), "event");
    is_str(spec->metadata_json, "{\"k\":\"v\"}", "metadata");
    ok(spec->has_wait && spec->wait_ms == 1500, "wait");
}

static void
test_edges(void)
{
    static const char *const fine[] = {
        BODY("\"event\":false"),
        BODY("\"event\":0"),
        BODY("\"event\":\"\""),
        BODY("\"wait\":0"),
        BODY("\"wait\":\"0s\""),
        BODY("\"metadata\":{}"),
        BODY("\"limits\":{}"),
        BODY("\"stdin\":\"\""),
        BODY("\"env\":{\"LD\":\"x\",\"PYTHO\":\"\"}"),
        BODY("\"files\":[{\"path\":\"...\",\"content\":\"\"}]"),
        BODY("\"files\":[{\"path\":\"a b \xc3\xa9\",\"content\":\"\"}]"),
    };
    struct sbx_field_error err;

    for (size_t i = 0; i < SBX_COUNT(fine); i++) {
        _cleanup_(job_spec_freep) struct job_spec *spec = NULL;

        is_int(job_request_parse(&spec, fine[i], strlen(fine[i]), &err), 0, "fine: %s", fine[i]);
    }
    ok(job_spec_free(NULL) == NULL, "NULL is no spec");
}

/* What only names its content has none yet, and the others are where they were. */
static void
test_named(void)
{
    static const char text[] =
        "{\"language\":\"bash\",\"code\":\"1\",\"files\":[{\"path\":\"a\",\"content\":\"x\"},"
        "{\"path\":\"b\",\"uri\":\"sandbox://artifact/"
        "art\"},{\"path\":\"c\",\"uri\":null,\"content\":\"yz\"}]}";
    struct sbx_field_error err;
    struct job_spec *spec;

    if (job_request_parse(&spec, text, sizeof(text) - 1, &err) != 0) {
        ok(false, "files by URI: %s %s", err.field, err.message);
        return;
    }
    ok(spec->n_files == 3 && spec->file_bytes == 3 && spec->file_uris != NULL, "three files");
    ok(spec->file_uris[0] == NULL && spec->file_uris[2] == NULL, "two with content");
    ok(strcmp(spec->file_uris[1], "sandbox://artifact/art") == 0 && spec->files[1].data == NULL &&
           spec->files[1].len == 0,
       "and one that names it");
    job_spec_free(spec);
}

int
main(void)
{
    test_refused();
    test_too_large();
    test_minimal();
    test_full();
    test_edges();
    test_named();
    return done_testing();
}
