/* Runs as agents are shown them: each state, what is told when, displays of every kind, and records that are damaged. */
#include "executor/api/tool_result.h"

#include "lib/sbx_json.h"
#include "t/unit/tap.h"

#define PNG "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="

static json_t *
answer(const struct tool_view_ask *ask)
{
    struct sbx_buf head = SBX_BUF_INIT(TOOL_RESULT_HEAD_MAX), tail = SBX_BUF_INIT(TOOL_RESULT_TAIL_MAX);
    struct sbx_field_error err;
    struct tool_view view;
    struct sbx_jsonw w;
    json_t *json = NULL;

    if (tool_view_init(&view, ask) == 0) {
        sbx_jsonw_init(&w, &head);
        tool_result_head(&w, NULL, &view);
        w.buf = &tail;
        tool_result_tail(&w, &view, view.is_error);
        sbx_buf_append(&head, tail.data, tail.len);
        if (head.failed || tail.failed || sbx_json_parse(&json, head.data, head.len, &err) != 0) {
            json = NULL;
        }
    }
    tool_view_deinit(&view);
    sbx_buf_deinit(&head);
    sbx_buf_deinit(&tail);
    return json;
}

static json_t *
answer_step(const struct step_record *record)
{
    struct tool_run run;

    tool_run_of_step(&run, record);
    return answer(&(struct tool_view_ask){ .run = &run });
}

static const json_t *
data(const json_t *json, const char *key)
{
    return json_object_get(json_object_get(json, "structuredContent"), key);
}

static const char *
text(const json_t *json)
{
    const char *value =
        json_string_value(json_object_get(json_array_get(json_object_get(json, "content"), 0), "text"));

    return value == NULL ? "" : value;
}

static unsigned
blocks(const json_t *json, const char *type)
{
    const json_t *content = json_object_get(json, "content");
    unsigned n = 0;

    for (size_t i = 0; i < json_array_size(content); i++) {
        n += strcmp(json_string_value(json_object_get(json_array_get(content, i), "type")), type) == 0;
    }
    return n;
}

static void
test_job_states(void)
{
    static const struct {
        enum job_state state;
        const char *status;
        bool is_error, live, has_next;
    } states[] = {
        { JOB_QUEUED, "queued", false, true, true },
        { JOB_STARTING, "running", false, true, true },
        { JOB_RUNNING, "running", false, true, true },
        { JOB_FINISHING, "running", false, true, true },
        { JOB_SUCCEEDED, "succeeded", false, false, false },
        { JOB_FAILED, "failed", false, false, false },
        { JOB_TIMED_OUT, "timed_out", true, false, true },
        { JOB_LIMIT_EXCEEDED, "limit_exceeded", true, false, true },
        { JOB_DENIED, "denied", true, false, true },
        { JOB_CANCELLED, "cancelled", false, false, true },
        { JOB_LOST, "lost", true, false, true },
    };
    char secret[] = "{\"told\":\"too early\"}";

    is_uint(SBX_COUNT(states), JOB_N_STATES, "every state of a job");
    for (size_t i = 0; i < SBX_COUNT(states); i++) {
        struct job_record record = { .state = states[i].state, .has_exit_code = true, .exit_code = 7 };
        struct tool_run run;
        json_t *json;

        memcpy(record.id.text, "job_01m7yep0vh3nhv2pk7vh28r48r", SBX_ID_LEN + 1);
        record.result_json = secret;
        tool_run_of_job(&run, &record);
        json = answer(&(struct tool_view_ask){ .run = &run });
        is_str(json_string_value(data(json, "status")), states[i].status, "%s", states[i].status);
        is_int(json_is_true(json_object_get(json, "isError")), states[i].is_error, "  is an error or none");
        is_int(json_is_null(data(json, "exit_code")), states[i].live, "  tells an end when there is one");
        is_int(json_is_null(data(json, "result")), states[i].live, "  and its result");
        ok((strstr(text(json), "too early") == NULL) == states[i].live, "  in the text as well");
        is_int(data(json, "next") != NULL, states[i].has_next, "  says what to do, if anything");
        ok(!states[i].has_next || strstr(text(json), json_string_value(data(json, "next"))) != NULL,
           "  in the text, too");
        json_decref(json);
    }
}

static void
test_step_states(void)
{
    static const bool is_error[STEP_N_STATES] = { [STEP_LIMIT_EXCEEDED] = true, [STEP_LOST] = true };

    for (unsigned i = 0; i < STEP_N_STATES; i++) {
        struct step_record record = { .state = (enum step_state)i };
        json_t *json;

        memcpy(record.id.text, "stp_01m7yep0vh3nhv2pk7vh28r48r", SBX_ID_LEN + 1);
        memcpy(record.session_id.text, "ses_01m7yep0vh3nhv2pk7vh28r48r", SBX_ID_LEN + 1);
        json = answer_step(&record);
        is_str(json_string_value(data(json, "status")), step_state_status(record.state), "step %s",
               step_state_status(record.state));
        is_int(json_is_true(json_object_get(json, "isError")), is_error[i], "  is an error or none");
        is_str(json_string_value(data(json, "job_id")),
               "ses_01m7yep0vh3nhv2pk7vh28r48r.stp_01m7yep0vh3nhv2pk7vh28r48r", "  has its handle");
        json_decref(json);
    }
}

static void
test_displays(void)
{
    static const struct {
        const char *json, *result;
        unsigned images, files, displays;
        const char *text, *name;
    } cases[] = {
        { "[{\"kind\":\"result\",\"data\":{\"text/plain\":\"42\"}}]", "42", 0, 0, 1, "result:\n42\n",
          "text" },
        { "[{\"kind\":\"result\",\"data\":{\"text/plain\":\"t\",\"application/json\":{\"a\":[1]}}}]", NULL, 0,
          0, 1, "{\"a\":[1]}", "JSON before text" },
        { "[{\"kind\":\"display\",\"data\":{\"image/png\":\"" PNG "\"}}]", NULL, 1, 1, 1, "display-1.png",
          "a picture" },
        { "[{\"kind\":\"display\",\"data\":{\"image/gif\":\"" PNG "\"}}]", NULL, 0, 1, 1, "display-1.gif",
          "a picture that is another" },
        { "[{\"kind\":\"display\",\"data\":{\"image/svg+xml\":\"<svg/>\"}}]", NULL, 0, 0, 1, "Status",
          "a drawing" },
        { "[{\"kind\":\"display\",\"data\":{\"text/html\":\"<b>\\u001b</b>\"}}]", NULL, 0, 0, 1,
          "<b>\\x1b</b>", "a control character" },
        { "[{\"kind\":\"display\",\"data\":{\"text/"
          "plain\":\"}],[{\\\"\"}},{\"kind\":\"result\",\"data\":{\"text/plain\":\"\\\\\"}}]",
          "\\", 0, 0, 2, "}],[{\"", "what looks like an end" },
        { "[{\"kind\":\"display\",\"data\":{}}]", NULL, 0, 0, 1, "Status", "nothing" },
        { "[{\"kind\":\"display\",\"data\":{\"image/png\":\"\"}}]", NULL, 0, 0, 1, "Status",
          "an empty picture" },
        { "[{\"kind\":\"display\",\"data\":{\"image/png\":\"abc\"}}]", NULL, 0, 0, 1, "Status", "no base64" },
        { "[{\"kind\":\"display\",\"data\":{\"image/png\":\"****" PNG "\"}}]", NULL, 0, 1, 1, "Status",
          "nor this" },
        { "", NULL, 0, 0, 0, "Status", "an empty text" },
        { "[", NULL, 0, 0, 0, "Status", "a beginning" },
        { "[{\"kind\":\"result\",\"data\":{\"text/plain\":\"4", NULL, 0, 0, 0, "Status", "a cut string" },
        { "[{\"kind\":\"result\",\"data\":{\"text/plain\":\"4\\", NULL, 0, 0, 0, "Status", "a cut escape" },
        { "[{\"kind\":\"result\",\"data\":{\"text/plain\":", NULL, 0, 0, 0, "Status", "a cut member" },
        { "[{\"data\":{},\"kind\":\"result\"}]", NULL, 0, 0, 0, "Status", "another order" },
        { "null", NULL, 0, 0, 0, "Status", "no array" },
    };

    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        struct step_record record = { .state = STEP_SUCCEEDED };
        json_t *json;

        record.results_json = strdup(cases[i].json);
        json = answer_step(&record);
        ok(json != NULL, "%s", cases[i].name);
        if (cases[i].result != NULL) {
            is_str(json_string_value(data(json, "result")), cases[i].result, "  its value");
        }
        is_uint(blocks(json, "image"), cases[i].images, "  images");
        is_uint(json_array_size(data(json, "files")), cases[i].files, "  files");
        is_uint(blocks(json, "resource_link"), cases[i].files, "  links");
        is_uint(json_array_size(data(json, "displays")), cases[i].displays, "  displays");
        ok(strstr(text(json), cases[i].text) != NULL, "  as text");
        json_decref(json);
        free(record.results_json);
    }
}

static void
test_many(void)
{
    struct sbx_buf many = SBX_BUF_INIT(1 << 20);
    struct step_record record = { .state = STEP_SUCCEEDED };
    struct tool_pictures pictures = { 0 };
    struct tool_picture picture;
    json_t *json;

    for (unsigned i = 0; i < 100; i++) {
        sbx_buf_puts(&many, i == 0 ? "[" : ",");
        sbx_buf_puts(&many, "{\"kind\":\"display\",\"data\":{\"image/png\":\"" PNG "\",\"image/jpeg\":\"" PNG
                            "\"}}");
    }
    sbx_buf_puts(&many, "]");
    record.results_json = many.data;
    json = answer_step(&record);
    is_uint(blocks(json, "image"), TOOL_IMAGES_MAX, "of many pictures some are shown");
    is_uint(json_array_size(data(json, "files")), TOOL_PICTURES_MAX, "more are named");
    pictures.rest = many.data;
    while (tool_pictures_next(&pictures, &picture)) {
    }
    is_uint(pictures.n, TOOL_PICTURES_MAX, "and as many are found");
    is_str(picture.name, "display-64.jpeg", "under the same names");
    is_uint(picture.size, 68, "of their size");
    json_decref(json);
    sbx_buf_deinit(&many);
}

static void
test_damaged(void)
{
    static const char *const texts[] = {
        "", "{", "[]", "null", "{\"rule\":1}", "\"x\"", "{\"name\":{},\"value\":[],\"traceback\":1}"
    };

    for (size_t i = 0; i < SBX_COUNT(texts); i++) {
        struct step_record record = { .state = STEP_FAILED };
        json_t *json;

        record.error_json = strdup(texts[i]);
        json = answer_step(&record);
        ok(json != NULL, "an exception that is %s", *texts[i] == '\0' ? "nothing" : texts[i]);
        json_decref(json);
        free(record.error_json);
    }
}

int
main(void)
{
    test_job_states();
    test_step_states();
    test_displays();
    test_many();
    test_damaged();
    return done_testing();
}
