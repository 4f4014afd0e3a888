#include "session-agent/request.h"

#include <stdio.h>
#include <string.h>

#include "lib/sbx_env.h"
#include "lib/sbx_utf8.h"
#include "session-agent/glob.h"

bool
request_id_valid(const char *id, size_t len)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";

    return len >= 1 && len <= 64 && id[0] != '.' && strspn(id, allowed) == len;
}

bool
request_path_valid(const char *path, size_t len)
{
    unsigned depth = 0;
    size_t i, start = 0;

    if (len == 0 || len > REQUEST_MAX_PATH || memchr(path, '\0', len) != NULL || !sbx_utf8_valid(path, len)) {
        return false;
    }
    for (i = 0; i <= len; i++) {
        size_t n = i - start;

        if (i < len && path[i] != '/') {
            continue;
        }
        if (n == 0 || n > 255 || (n == 1 && path[start] == '.') ||
            (n == 2 && path[start] == '.' && path[start + 1] == '.') || ++depth > REQUEST_MAX_DEPTH) {
            return false;
        }
        start = i + 1;
    }
    return true;
}

bool
request_env_check(json_t *env, struct sbx_field_error *err)
{
    char field[sizeof(err->field)];
    const char *name;
    json_t *value;
    size_t total = 0;

    if (json_object_size(env) > REQUEST_MAX_ENV) {
        sbx_field_error_set(err, "/env", "must not have more than %d members", REQUEST_MAX_ENV);
        err->too_large = true;
        return false;
    }
    json_object_foreach (env, name, value) {
        sbx_json_pointer(field, sizeof(field), "/env", name, 0);
        if (!sbx_env_name_valid(name) || sbx_env_name_reserved(name)) {
            sbx_field_error_set(err, field, "is not a name that may be set");
            return false;
        }
        if (!json_is_string(value)) {
            sbx_field_error_set(err, field, "must be a string");
            return false;
        }
        total += strlen(name) + json_string_length(value);
        if (json_string_length(value) > REQUEST_MAX_ENV_VALUE || total > REQUEST_MAX_ENV_TOTAL) {
            sbx_field_error_set(err, field, "is too large");
            err->too_large = true;
            return false;
        }
    }
    return true;
}

static bool
file_check(const json_t *file, const char *path, struct sbx_field_error *err)
{
    static const char *const known[] = { "path", "content", "encoding", NULL };
    const char *name = "", *content = NULL, *encoding = "utf-8";
    size_t name_len = 0;

    if (!json_is_object(file)) {
        sbx_field_error_set(err, path, "must be an object");
        return false;
    }
    if (!sbx_json_only(file, path, known, err) ||
        !sbx_json_get_str(file, path, "path", REQUEST_MAX_PATH, &name, &name_len, err) ||
        !sbx_json_get_str(file, path, "content", REQUEST_MAX_FILE, &content, NULL, err) ||
        !sbx_json_get_str(file, path, "encoding", 16, &encoding, NULL, err)) {
        return false;
    }
    if (!request_path_valid(name, name_len)) {
        sbx_field_error_set(err, path, "needs a path that is relative, without empty, . and .. components");
        return false;
    }
    if (content == NULL) {
        sbx_field_error_set(err, path, "needs content");
        return false;
    }
    if (strcmp(encoding, "utf-8") != 0 && strcmp(encoding, "base64") != 0) {
        sbx_field_error_set(err, path, "needs an encoding of utf-8 or base64");
        return false;
    }
    return true;
}

static bool
files_check(const json_t *files, struct sbx_field_error *err)
{
    const json_t *file;
    char path[32];
    size_t i;

    json_array_foreach (files, i, file) {
        sbx_json_pointer(path, sizeof(path), "/files", NULL, i);
        if (!file_check(file, path, err)) {
            return false;
        }
    }
    return true;
}

static bool
strings_check(const json_t *strings, const char *path, size_t max_len, struct sbx_field_error *err)
{
    char field[sizeof(err->field)];
    const json_t *item;
    size_t i;

    json_array_foreach (strings, i, item) {
        sbx_json_pointer(field, sizeof(field), path, NULL, i);
        if (!json_is_string(item)) {
            sbx_field_error_set(err, field, "must be a string");
            return false;
        }
        if (json_string_length(item) > max_len) {
            sbx_field_error_set(err, field, "must not be longer than %zu bytes", max_len);
            err->too_large = true;
            return false;
        }
    }
    return true;
}

static bool
artifacts_check(const json_t *artifacts, struct sbx_field_error *err)
{
    char field[sizeof(err->field)];
    const json_t *item;
    size_t i;

    if (!strings_check(artifacts, "/artifacts", GLOB_MAX_LEN, err)) {
        return false;
    }
    json_array_foreach (artifacts, i, item) {
        const char *refusal = glob_refusal(json_string_value(item), json_string_length(item));

        if (refusal != NULL) {
            sbx_json_pointer(field, sizeof(field), "/artifacts", NULL, i);
            sbx_field_error_set(err, field, "%s", refusal);
            return false;
        }
    }
    return true;
}

static int
root_parse(json_t **ret, const char *body, size_t len, struct sbx_field_error *err)
{
    int r = sbx_json_parse(ret, body, len, err);

    if (r) {
        return r < 0 ? r : REQUEST_E_SYNTAX;
    }
    if (!json_is_object(*ret)) {
        sbx_field_error_set(err, "", "must be an object");
        return REQUEST_E_INVALID;
    }
    return 0;
}

/* A member that must be there and be an id. */
static bool
get_id(const json_t *root, const char *key, const char **ret, struct sbx_field_error *err)
{
    char field[32];
    size_t len = 0;

    if (!sbx_json_get_str(root, "", key, 64, ret, &len, err)) {
        return false;
    }
    if (*ret == NULL || !request_id_valid(*ret, len)) {
        sbx_json_pointer(field, sizeof(field), "", key, 0);
        sbx_field_error_set(err, field, "must be 1 to 64 letters, digits, '_', '-' and '.'");
        return false;
    }
    return true;
}

static bool
session_read(struct session_request *ret, struct sbx_field_error *err)
{
    static const char *const known[] = { "sessionId", "runtime", "token", "env", "files", NULL };
    const json_t *root = ret->root;
    size_t token_len = 0;

    if (!sbx_json_only(root, "", known, err) || !get_id(root, "sessionId", &ret->id, err) ||
        !sbx_json_get_str(root, "", "runtime", 32, &ret->runtime, NULL, err) ||
        !sbx_json_get_str(root, "", "token", 256, &ret->token, &token_len, err) ||
        !sbx_json_get_object(root, "", "env", &ret->env, err) ||
        !sbx_json_get_array(root, "", "files", REQUEST_MAX_FILES, &ret->files, err)) {
        return false;
    }
    if (ret->token != NULL && token_len < 16) {
        sbx_field_error_set(err, "/token", "must have at least 16 bytes");
        return false;
    }
    if (ret->runtime == NULL) {
        sbx_field_error_set(err, "/runtime", "is missing");
        return false;
    }
    return request_env_check(ret->env, err) && files_check(ret->files, err);
}

int
session_request_parse(struct session_request *ret, const char *body, size_t len, struct sbx_field_error *err)
{
    int r;

    *ret = (struct session_request){ 0 };
    r = root_parse(&ret->root, body, len, err);
    if (r) {
        return r;
    }
    return session_read(ret, err) ? 0 : REQUEST_E_INVALID;
}

int
session_request_read(struct session_request *ret, json_t *document, struct sbx_field_error *err)
{
    struct sbx_field_error inner = { 0 };

    *ret = (struct session_request){ .root = json_incref(document) };
    if (session_read(ret, &inner)) {
        return 0;
    }
    *err = inner;
    (void)snprintf(err->field, sizeof(err->field), "/session%.*s", (int)sizeof(err->field) - 9,
                   inner.field); /* cut when too long */
    return REQUEST_E_INVALID;
}

void
session_request_deinit(struct session_request *request)
{
    json_decref(request->root);
    *request = (struct session_request){ 0 };
}

static bool
limits_read(const json_t *root, unsigned *ret_processes, struct sbx_field_error *err)
{
    static const char *const known[] = { "processes", NULL };
    int64_t processes = 0;
    json_t *limits = NULL;

    if (!sbx_json_get_object(root, "", "limits", &limits, err) ||
        (limits != NULL &&
         (!sbx_json_only(limits, "/limits", known, err) ||
          !sbx_json_get_int(limits, "/limits", "processes", 0, 1 << 20, &processes, err)))) {
        return false;
    }
    *ret_processes = (unsigned)processes;
    return true;
}

static bool
prepare_read(struct prepare_request *ret, struct sbx_field_error *err)
{
    static const char *const known[] = { "runtime", "origin", NULL };
    const char *origin = NULL;

    if (!sbx_json_only(ret->root, "", known, err) ||
        !sbx_json_get_str(ret->root, "", "runtime", 32, &ret->runtime, NULL, err) ||
        !sbx_json_get_str(ret->root, "", "origin", 32, &origin, NULL, err)) {
        return false;
    }
    if (origin != NULL && strcmp(origin, "forked") != 0) {
        sbx_field_error_set(err, "/origin", "must be forked, or left out");
        return false;
    }
    ret->is_forked = origin != NULL;
    if (ret->runtime == NULL) {
        sbx_field_error_set(err, "/runtime", "is missing");
        return false;
    }
    return true;
}

int
prepare_request_parse(struct prepare_request *ret, const char *body, size_t len, struct sbx_field_error *err)
{
    int r;

    *ret = (struct prepare_request){ 0 };
    r = root_parse(&ret->root, body, len, err);
    if (r) {
        return r;
    }
    return prepare_read(ret, err) ? 0 : REQUEST_E_INVALID;
}

void
prepare_request_deinit(struct prepare_request *request)
{
    json_decref(request->root);
    *request = (struct prepare_request){ 0 };
}

static bool
attach_read(struct attach_request *ret, struct sbx_field_error *err)
{
    static const char *const known[] = { "sessionId", "limits", NULL };

    return sbx_json_only(ret->root, "", known, err) &&
           (json_object_get(ret->root, "sessionId") == NULL ||
            get_id(ret->root, "sessionId", &ret->session_id, err)) &&
           limits_read(ret->root, &ret->processes, err);
}

int
attach_request_parse(struct attach_request *ret, const char *body, size_t len, struct sbx_field_error *err)
{
    int r;

    *ret = (struct attach_request){ 0 };
    r = root_parse(&ret->root, body, len, err);
    if (r) {
        return r;
    }
    return attach_read(ret, err) ? 0 : REQUEST_E_INVALID;
}

void
attach_request_deinit(struct attach_request *request)
{
    json_decref(request->root);
    *request = (struct attach_request){ 0 };
}

static bool
step_read_limits(struct step_request *ret, struct sbx_field_error *err)
{
    int64_t timeout_ms = REQUEST_DEFAULT_TIMEOUT_MS, files = REQUEST_MAX_ARTIFACT_FILES, bytes = INT64_MAX;

    if (!sbx_json_get_int(ret->root, "", "timeout_ms", 1, REQUEST_MAX_TIMEOUT_MS, &timeout_ms, err) ||
        !sbx_json_get_int(ret->root, "", "max_artifacts", 0, REQUEST_MAX_ARTIFACT_FILES, &files, err) ||
        !sbx_json_get_int(ret->root, "", "max_artifact_bytes", 0, INT64_MAX, &bytes, err) ||
        !limits_read(ret->root, &ret->processes, err)) {
        return false;
    }
    ret->timeout_ms = (uint64_t)timeout_ms;
    ret->max_artifacts = (unsigned)files;
    ret->max_artifact_bytes = (uint64_t)bytes;
    return true;
}

static bool
step_read_stdin(struct step_request *ret, struct sbx_field_error *err)
{
    const char *encoding = "utf-8";

    if (!sbx_json_get_str(ret->root, "", "stdin", REQUEST_MAX_STDIN, &ret->stdin_text, &ret->stdin_len,
                          err) ||
        !sbx_json_get_str(ret->root, "", "stdin_encoding", 16, &encoding, NULL, err)) {
        return false;
    }
    ret->stdin_base64 = strcmp(encoding, "base64") == 0;
    if (!ret->stdin_base64 && strcmp(encoding, "utf-8") != 0) {
        sbx_field_error_set(err, "/stdin_encoding", "must be utf-8 or base64");
        return false;
    }
    return true;
}

static bool
step_read(struct step_request *ret, struct sbx_field_error *err)
{
    static const char *const known[] = {
        "sessionId",
        "stepId",
        "code",
        "runtime",
        "args",
        "event",
        "env",
        "stdin",
        "stdin_encoding",
        "timeout_ms",
        "artifacts",
        "max_artifacts",
        "max_artifact_bytes",
        "limits",
        "session",
        "is_last",
        NULL,
    };
    const json_t *root = ret->root;

    if (!sbx_json_only(root, "", known, err) || !get_id(root, "sessionId", &ret->session_id, err) ||
        !get_id(root, "stepId", &ret->step_id, err) ||
        !sbx_json_get_str(root, "", "code", REQUEST_MAX_CODE, &ret->code, &ret->code_len, err) ||
        !sbx_json_get_str(root, "", "runtime", 32, &ret->runtime, NULL, err) ||
        !sbx_json_get_array(root, "", "args", REQUEST_MAX_ARGS, &ret->args, err) ||
        !sbx_json_get_object(root, "", "env", &ret->env, err) ||
        !sbx_json_get_array(root, "", "artifacts", REQUEST_MAX_ARTIFACTS, &ret->artifacts, err) ||
        !sbx_json_get_object(root, "", "session", &ret->session, err) ||
        !sbx_json_get_bool(root, "", "is_last", &ret->is_last, err)) {
        return false;
    }
    if (ret->code == NULL) {
        sbx_field_error_set(err, "/code", "is missing");
        return false;
    }
    ret->event = json_object_get(root, "event");
    return strings_check(ret->args, "/args", REQUEST_MAX_ARG, err) && artifacts_check(ret->artifacts, err) &&
           request_env_check(ret->env, err) && step_read_limits(ret, err) && step_read_stdin(ret, err);
}

int
step_request_parse(struct step_request *ret, const char *body, size_t len, struct sbx_field_error *err)
{
    int r;

    *ret = (struct step_request){ 0 };
    r = root_parse(&ret->root, body, len, err);
    if (r) {
        return r;
    }
    return step_read(ret, err) ? 0 : REQUEST_E_INVALID;
}

void
step_request_deinit(struct step_request *request)
{
    json_decref(request->root);
    *request = (struct step_request){ 0 };
}
