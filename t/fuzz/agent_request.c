/* Any bytes as a session, a step, an attach and a prepare document, a registry, and a pattern. */
#include <stdlib.h>
#include <string.h>

#include "session-agent/glob.h"
#include "session-agent/report.h"
#include "session-agent/request.h"
#include "session-agent/runtimes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_step(const struct step_request *step)
{
    const json_t *pattern;
    size_t i;

    if (step->code == NULL || !request_id_valid(step->session_id, strlen(step->session_id)) ||
        step->timeout_ms == 0 || json_array_size(step->args) > REQUEST_MAX_ARGS) {
        abort();
    }
    json_array_foreach (step->artifacts, i, pattern) {
        (void)glob_match(json_string_value(pattern), "a/bb/.c/d.txt");
        (void)glob_may_descend(json_string_value(pattern), "a/bb");
    }
}

static void
check_session(const struct session_request *session)
{
    const json_t *file, *path;
    const char *name;
    json_t *value;
    size_t i;

    json_object_foreach (session->env, name, value) {
        if (strncmp(name, "LD_", 3) == 0 || strchr(name, '=') != NULL || json_string_value(value) == NULL) {
            abort();
        }
    }
    json_array_foreach (session->files, i, file) {
        path = json_object_get(file, "path");
        if (json_string_value(path)[0] == '/' || strstr(json_string_value(path), "../") != NULL) {
            abort();
        }
    }
}

static void
check_report(const char *text, size_t size)
{
    struct collection files = { 0 };
    struct report report = {
        .step_id = "t", .wait_status = 7 << 8, .result = text, .result_len = size, .files = &files
    };
    struct sbx_buf out = SBX_BUF_INIT(REPORT_MAX);
    struct sbx_field_error err;
    json_t *json = NULL;

    report_write(&out, &report);
    if (out.failed || sbx_json_parse(&json, out.data, out.len, &err) != 0 ||
        json_integer_value(json_object_get(json, "exit_code")) != 7) {
        abort();
    }
    json_decref(json);
    sbx_buf_deinit(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct session_request session;
    struct step_request step;
    struct attach_request attach;
    struct prepare_request prepare;
    struct runtimes *runtimes = NULL;
    struct sbx_field_error err;
    char *text = malloc(size + 1);

    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';

    if (session_request_parse(&session, text, size, &err) == 0) {
        check_session(&session);
    }
    session_request_deinit(&session);
    if (step_request_parse(&step, text, size, &err) == 0) {
        check_step(&step);
        if (step.session != NULL) {
            if (session_request_read(&session, step.session, &err) == 0) {
                check_session(&session);
            }
            session_request_deinit(&session);
        }
    }
    step_request_deinit(&step);
    if (attach_request_parse(&attach, text, size, &err) == 0 && attach.session_id != NULL &&
        !request_id_valid(attach.session_id, strlen(attach.session_id))) {
        abort();
    }
    attach_request_deinit(&attach);
    if (prepare_request_parse(&prepare, text, size, &err) == 0 && strlen(prepare.runtime) > 32) {
        abort();
    }
    prepare_request_deinit(&prepare);
    if (runtimes_parse(&runtimes, text, size, &err) == 0) {
        runtimes = runtimes_free(runtimes);
    }
    if (glob_refusal(text, size) == NULL) {
        (void)glob_match(text, "a/bb/.c/d.txt");
        (void)glob_may_descend(text, "a/bb");
    }
    check_report(text, size);
    free(text);
    return 0;
}
