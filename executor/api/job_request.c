#include "executor/api/body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
parse_args(struct body *body)
{
    struct job_spec *spec = body->spec;
    json_t *array = NULL;
    char field[64];

    if (!sbx_json_get_array(body->json, "", "args", JOB_MAX_ARGS, &array, body->err)) {
        return false;
    }
    if (array == NULL || json_array_size(array) == 0) {
        return true;
    }
    spec->args = calloc(json_array_size(array), sizeof(*spec->args));
    if (spec->args == NULL) {
        return body_fatal(body, -ENOMEM);
    }
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);

        (void)snprintf(field, sizeof(field), "/args/%zu", i); /* fits */
        if (!json_is_string(item)) {
            return body_fail(body, field, "must be a string");
        }
        if (json_string_length(item) > JOB_MAX_ARG) {
            return body_too_large(body, field, "must not be longer than 4096 bytes");
        }
        spec->args[spec->n_args++] = json_string_value(item);
    }
    return true;
}

static bool
parse_stdin(struct body *body)
{
    struct job_spec *spec = body->spec;
    const char *text = NULL;
    bool base64 = false;
    size_t len = 0;

    if (!sbx_json_get_str(body->json, "", "stdin", JOB_MAX_STDIN_TEXT, &text, &len, body->err) ||
        !body_encoding(body, body->json, "", "stdin_encoding", &base64)) {
        return false;
    }
    if (text == NULL) {
        return true;
    }
    if ((base64 ? body_base64_max(len) : len) > (size_t)JOB_MAX_STDIN + (base64 ? 2 : 0)) {
        return body_too_large(body, "/stdin", "must not be longer than 8388608 bytes");
    }
    if (base64) {
        return body_base64(body, "/stdin", text, len, &spec->stdin_data, &spec->stdin_len);
    }
    spec->stdin_data = text;
    spec->stdin_len = len;
    return true;
}

static bool
parse_artifacts(struct body *body)
{
    struct job_spec *spec = body->spec;
    json_t *array = NULL;
    char field[48];

    if (!sbx_json_get_array(body->json, "", "artifacts", JOB_MAX_GLOBS, &array, body->err)) {
        return false;
    }
    if (array == NULL || json_array_size(array) == 0) {
        return true;
    }
    spec->artifacts = calloc(json_array_size(array), sizeof(*spec->artifacts));
    if (spec->artifacts == NULL) {
        return body_fatal(body, -ENOMEM);
    }
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);

        (void)snprintf(field, sizeof(field), "/artifacts/%zu", i); /* fits */
        if (!json_is_string(item)) {
            return body_fail(body, field, "must be a string");
        }
        if (!body_path_valid(json_string_value(item), JOB_MAX_GLOB)) {
            return body_fail(body, field, "must be a relative pattern of at most 512 bytes");
        }
        spec->artifacts[spec->n_artifacts++] = json_string_value(item);
    }
    return true;
}

static bool
parse_event(struct body *body)
{
    const json_t *event = body_member(body, "event");
    struct job_spec *spec = body->spec;

    if (event == NULL) {
        return true;
    }
    if (!body_dump(body, event, JOB_MAX_EVENT, "/event", &spec->event_json, &spec->event_len)) {
        return false;
    }
    spec->weight += spec->event_len;
    return true;
}

int
job_request_parse(struct job_spec **ret, const char *text, size_t len, struct sbx_field_error *err)
{
    static const char *const known[] = { "language", "code",    "args",      "stdin",     "stdin_encoding",
                                         "env",      "files",   "artifacts", "limits",    "event",
                                         "metadata", "wait",    "template",  "isolation", "dependencies",
                                         "egress",   "secrets", "services",  NULL };
    static bool (*const parsers[])(struct body * body) = {
        body_language, body_template,   body_isolation, body_code,   parse_args,    parse_stdin, body_env,
        body_files,    parse_artifacts, body_limits,    parse_event, body_metadata, body_wait,
    };
    struct body body;
    bool fine = true;
    int r;

    r = body_open(&body, text, len, known, err);
    if (r) {
        return r;
    }
    for (size_t i = 0; i < SBX_COUNT(parsers) && fine; i++) {
        fine = parsers[i](&body);
    }
    return body_close(&body, fine, ret);
}
