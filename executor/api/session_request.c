#include "executor/api/session_request.h"

#include <string.h>

#include "executor/api/body.h"
#include "executor/core/job_record.h"
#include "lib/sbx_context.h"
#include "lib/sbx_policy.h"

/* Optional, unlike a job's. */
static bool
parse_language(struct body *body)
{
    const char *name = "";

    if (!body_name(body, "language", JOB_LANGUAGE_LEN - 1, &name)) {
        return false;
    }
    body->spec->language = *name == '\0' ? name : sbx_language_canonical(name);
    return true;
}

static bool
parse_duration(struct body *body, const char *key, bool *ret_has, uint64_t *ret_ms)
{
    char field[64];

    *ret_has = body_member(body, key) != NULL;
    if (!sbx_json_get_duration(body->json, "", key, SESSION_MAX_DURATION_MS, ret_ms, body->err)) {
        return false;
    }
    sbx_json_pointer(field, sizeof(field), "", key, 0);
    return !*ret_has || *ret_ms > 0 || body_fail(body, field, "must be more than nothing");
}

static bool
parse_lifetimes(struct body *body, struct session_request *ret)
{
    return parse_duration(body, "ttl", &ret->has_ttl, &ret->ttl_ms) &&
           parse_duration(body, "idle_timeout", &ret->has_idle_timeout, &ret->idle_timeout_ms);
}

/* How long a session and its steps may run is said by their own members. */
static bool
parse_limits(struct body *body)
{
    return body_limits(body) &&
           (body->spec->limits.value[SBX_LIMIT_TIME] == 0 ||
            body_fail(body, "/limits/time", "is not a limit of a session: ttl and step_timeout are"));
}

static bool
parse_context_name(struct body *body, const char *key, char **ret)
{
    struct sbx_field_error ignored;
    const char *name = NULL;
    char field[64];
    size_t len = 0;

    sbx_json_pointer(field, sizeof(field), "", key, 0);
    if (!sbx_json_get_str(body->json, "", key, SBX_NAME_MAX, &name, &len, &ignored) ||
        (name != NULL && !sbx_name_valid(name, len))) {
        return body_fail(body, field, "must be 1 to 64 characters of A-Z a-z 0-9 _ . -");
    }
    if (name == NULL) {
        return true;
    }
    *ret = strdup(name);
    return *ret != NULL || body_fatal(body, -ENOMEM);
}

int
session_body_parse(struct job_spec **ret, struct session_request *ret_more, const char *text, size_t len,
                   struct sbx_field_error *err)
{
    static const char *const known[] = { "language",     "template",     "isolation", "ttl",
                                         "idle_timeout", "step_timeout", "env",       "limits",
                                         "metadata",     "files",        "wait",      "dependencies",
                                         "egress",       "secrets",      "services",  NULL };
    struct body body;
    bool fine;
    int r;

    r = body_open(&body, text, len, known, err);
    if (r) {
        return r;
    }
    fine = parse_language(&body) && body_template(&body) && body_isolation(&body) &&
           parse_lifetimes(&body, ret_more) &&
           parse_duration(&body, "step_timeout", &ret_more->has_step_timeout, &ret_more->step_timeout_ms) &&
           body_env(&body) && parse_limits(&body) && body_metadata(&body) && body_files(&body) &&
           body_wait(&body);
    return body_close(&body, fine, ret);
}

int
session_patch_parse(struct job_spec **ret, struct session_request *ret_more, const char *text, size_t len,
                    struct sbx_field_error *err)
{
    static const char *const known[] = { "ttl", "idle_timeout", "metadata", NULL };
    struct body body;
    int r;

    r = body_open(&body, text, len, known, err);
    if (r) {
        return r;
    }
    return body_close(&body, parse_lifetimes(&body, ret_more) && body_metadata(&body), ret);
}

int
step_body_parse(struct job_spec **ret, struct session_request *ret_more, const char *text, size_t len,
                struct sbx_field_error *err)
{
    static const char *const known[] = { "code", "language", "context", "timeout", "env", "wait", NULL };
    struct body body;
    bool fine;
    int r;

    r = body_open(&body, text, len, known, err);
    if (r) {
        return r;
    }
    fine = body_code(&body) && parse_language(&body) &&
           parse_context_name(&body, "context", &ret_more->context_name) &&
           parse_duration(&body, "timeout", &ret_more->has_timeout, &ret_more->timeout_ms) &&
           body_env(&body) && body_wait(&body);
    return body_close(&body, fine, ret);
}

int
context_body_parse(struct job_spec **ret, struct session_request *ret_more, const char *text, size_t len,
                   struct sbx_field_error *err)
{
    static const char *const known[] = { "name", "language", NULL };
    struct body body;
    bool fine;
    int r;

    r = body_open(&body, text, len, known, err);
    if (r) {
        return r;
    }
    fine = parse_language(&body) && parse_context_name(&body, "name", &ret_more->context_name) &&
           (ret_more->context_name != NULL || body_fail(&body, "/name", "is required"));
    return body_close(&body, fine, ret);
}

int
files_body_parse(struct job_spec **ret, struct session_request *ret_more _unused_, const char *text,
                 size_t len, struct sbx_field_error *err)
{
    static const char *const known[] = { "files", NULL };
    struct body body;
    bool fine;
    int r;

    r = body_open(&body, text, len, known, err);
    if (r) {
        return r;
    }
    fine = body_files(&body) && (body.spec->n_files > 0 || body_fail(&body, "/files", "must have a file"));
    return body_close(&body, fine, ret);
}

bool
session_metadata_member(struct sbx_buf *out, const char *key, const char *value)
{
    _cleanup_(sbx_json_decrefp) json_t *object = json_object();

    if (object == NULL || json_object_set_new(object, key, json_string(value)) != 0) {
        return false;
    }
    sbx_json_dump(out, object, false);
    if (out->failed || out->len < 2) {
        return !out->failed;
    }
    sbx_buf_consume(out, 1); /* the braces */
    out->data[--out->len] = '\0';
    return true;
}
