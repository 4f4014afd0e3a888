#include "executor/api/job_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/job_record.h"
#include "lib/sbx_crypto.h"
#include "lib/sbx_env.h"
#include "lib/sbx_policy.h"

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-"

struct request {
    const json_t *body;
    struct job_spec *spec;
    struct sbx_field_error *err;
    int fatal; /* -errno: memory, not the client's fault */
};

static bool
request_fail(struct request *request, const char *field, const char *message)
{
    sbx_field_error_set(request->err, field, "%s", message);
    return false;
}

static bool
request_too_large(struct request *request, const char *field, const char *message)
{
    request_fail(request, field, message);
    request->err->too_large = true;
    return false;
}

static bool
request_fatal(struct request *request, int rc)
{
    request->fatal = rc;
    return false;
}

static const json_t *
request_member(const struct request *request, const char *key)
{
    const json_t *value = json_object_get(request->body, key);

    return json_is_null(value) ? NULL : value;
}

static bool
parse_name(struct request *request, const char *key, size_t max_len, const char **ret)
{
    const char *name = NULL;
    char field[64];
    size_t len = 0;

    (void)snprintf(field, sizeof(field), "/%s", key); /* keys are short */
    if (!sbx_json_get_str(request->body, "", key, max_len, &name, &len, request->err)) {
        request->err->too_large = false; /* a name that is too long is a wrong name */
        return false;
    }
    if (name == NULL) {
        return true;
    }
    if (len == 0 || strspn(name, NAME_CHARS) != len) {
        return request_fail(request, field, "is not a name");
    }
    *ret = name;
    return true;
}

static bool
parse_language(struct request *request)
{
    const char *name = NULL;

    if (!parse_name(request, "language", JOB_LANGUAGE_LEN - 1, &name)) {
        return false;
    }
    if (name == NULL) {
        return request_fail(request, "/language", "is required");
    }
    request->spec->language = sbx_language_canonical(name);
    return true;
}

static bool
parse_template(struct request *request)
{
    request->spec->template_name = "default";
    return parse_name(request, "template", JOB_TEMPLATE_LEN - 1, &request->spec->template_name);
}

static bool
parse_isolation(struct request *request)
{
    const json_t *value = request_member(request, "isolation");

    if (value == NULL) {
        return true;
    }
    request->spec->isolation =
        json_is_string(value) ? sbx_isolation_parse(json_string_value(value)) : SBX_ISOLATION_NONE;
    return request->spec->isolation != SBX_ISOLATION_NONE ||
           request_fail(request, "/isolation", "must be \"process\" or \"gvisor\"");
}

static bool
parse_code(struct request *request)
{
    struct job_spec *spec = request->spec;

    if (!sbx_json_get_str(request->body, "", "code", JOB_MAX_CODE, &spec->code, &spec->code_len,
                          request->err)) {
        return false;
    }
    if (spec->code == NULL) {
        return request_fail(request, "/code", "is required");
    }
    return spec->code_len > 0 || request_fail(request, "/code", "must not be empty");
}

static bool
parse_args(struct request *request)
{
    struct job_spec *spec = request->spec;
    json_t *array = NULL;
    char field[64];

    if (!sbx_json_get_array(request->body, "", "args", JOB_MAX_ARGS, &array, request->err)) {
        return false;
    }
    if (array == NULL || json_array_size(array) == 0) {
        return true;
    }
    spec->args = calloc(json_array_size(array), sizeof(*spec->args));
    if (spec->args == NULL) {
        return request_fatal(request, -ENOMEM);
    }
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);

        (void)snprintf(field, sizeof(field), "/args/%zu", i); /* fits */
        if (!json_is_string(item)) {
            return request_fail(request, field, "must be a string");
        }
        if (json_string_length(item) > JOB_MAX_ARG) {
            return request_too_large(request, field, "must not be longer than 4096 bytes");
        }
        spec->args[spec->n_args++] = json_string_value(item);
    }
    return true;
}

/* "utf-8" (the default) or "base64". */
static bool
parse_encoding(struct request *request, const json_t *object, const char *path, const char *key,
               bool *ret_base64)
{
    const char *encoding = NULL;
    char field[96];

    if (!sbx_json_get_str(object, path, key, 32, &encoding, NULL, request->err)) {
        request->err->too_large = false;
        return false;
    }
    *ret_base64 = encoding != NULL && strcmp(encoding, "base64") == 0;
    if (encoding != NULL && !*ret_base64 && strcmp(encoding, "utf-8") != 0 && strcmp(encoding, "utf8") != 0) {
        (void)snprintf(field, sizeof(field), "%s/%s", path, key); /* fits: ours */
        return request_fail(request, field, "must be \"utf-8\" or \"base64\"");
    }
    return true;
}

static size_t
base64_decoded_max(size_t len)
{
    return len / 4 * 3;
}

/* Decodes into memory that the spec owns. */
static bool
decode_base64(struct request *request, const char *field, const char *text, size_t len, const void **ret,
              size_t *ret_len)
{
    struct job_spec *spec = request->spec;
    struct sbx_buf out = SBX_BUF_INIT(base64_decoded_max(len) + 4);
    char *data;

    if (!sbx_b64_decode(&out, text, len)) {
        bool failed = out.failed;

        sbx_buf_deinit(&out);
        return failed ? request_fatal(request, -ENOMEM) : request_fail(request, field, "is not base64");
    }
    data = sbx_buf_take(&out, ret_len);
    sbx_buf_deinit(&out);
    if (data == NULL) {
        return request_fatal(request, -ENOMEM);
    }
    spec->owned[spec->n_owned++] = data;
    spec->weight += *ret_len;
    *ret = data;
    return true;
}

static bool
parse_stdin(struct request *request)
{
    struct job_spec *spec = request->spec;
    const char *text = NULL;
    bool base64 = false;
    size_t len = 0;

    if (!sbx_json_get_str(request->body, "", "stdin", JOB_MAX_STDIN_TEXT, &text, &len, request->err) ||
        !parse_encoding(request, request->body, "", "stdin_encoding", &base64)) {
        return false;
    }
    if (text == NULL) {
        return true;
    }
    if ((base64 ? base64_decoded_max(len) : len) > (size_t)JOB_MAX_STDIN + (base64 ? 2 : 0)) {
        return request_too_large(request, "/stdin", "must not be longer than 8388608 bytes");
    }
    if (base64) {
        return decode_base64(request, "/stdin", text, len, &spec->stdin_data, &spec->stdin_len);
    }
    spec->stdin_data = text;
    spec->stdin_len = len;
    return true;
}

static bool
parse_env_entry(struct request *request, const char *name, const json_t *value)
{
    struct job_spec *spec = request->spec;
    char field[sizeof(request->err->field)];

    sbx_json_pointer(field, sizeof(field), "/env", name, 0);
    if (!sbx_env_name_valid(name)) {
        return request_fail(request, field, "has a name that is not [A-Za-z_][A-Za-z0-9_]{0,127}");
    }
    if (sbx_env_name_reserved(name)) {
        return request_fail(request, field, "is a reserved name");
    }
    if (!json_is_string(value)) {
        return request_fail(request, field, "must be a string");
    }
    if (json_string_length(value) > JOB_MAX_ENV_VALUE) {
        return request_too_large(request, field, "must not be longer than 32768 bytes");
    }
    spec->env[spec->n_env++] = (struct runtime_env){ .name = name, .value = json_string_value(value) };
    return true;
}

static bool
parse_env(struct request *request)
{
    json_t *object = NULL;
    const char *name;
    json_t *value;
    size_t total = 0;

    if (!sbx_json_get_object(request->body, "", "env", &object, request->err)) {
        return false;
    }
    if (object == NULL || json_object_size(object) == 0) {
        return true;
    }
    if (json_object_size(object) > JOB_MAX_ENV) {
        return request_too_large(request, "/env", "must not have more than 64 members");
    }
    request->spec->env = calloc(json_object_size(object), sizeof(*request->spec->env));
    if (request->spec->env == NULL) {
        return request_fatal(request, -ENOMEM);
    }
    json_object_foreach (object, name, value) {
        if (!parse_env_entry(request, name, value)) {
            return false;
        }
        total += strlen(name) + json_string_length(value);
    }
    /* What the agent takes; execve would not take much more. */
    return total <= JOB_MAX_ENV_TOTAL ||
           request_too_large(request, "/env", "must not hold more than 262144 bytes together");
}

/* Relative, no empty, "." or ".." component, no control character, bounded: what the agent accepts. */
static bool
path_valid(const char *path, size_t max_len)
{
    unsigned depth = 0;

    if (*path == '\0' || strlen(path) > max_len) {
        return false;
    }
    for (const char *p = path;; p++) {
        size_t len = strcspn(p, "/");

        if (len == 0 || len > 255 || ++depth > JOB_MAX_PATH_DEPTH || (len == 1 && p[0] == '.') ||
            (len == 2 && p[0] == '.' && p[1] == '.')) {
            return false;
        }
        for (size_t i = 0; i < len; i++) {
            if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f) {
                return false;
            }
        }
        p += len;
        if (*p == '\0') {
            return true;
        }
    }
}

/* Neither one of them nor a directory of one, nor beneath one. */
static bool
file_is_new(const struct job_spec *spec, const char *path)
{
    size_t len = strlen(path);

    for (unsigned i = 0; i < spec->n_files; i++) {
        const char *other = spec->files[i].path;
        size_t other_len = strlen(other), shorter = len < other_len ? len : other_len;
        char next = len < other_len ? other[len] : path[other_len];

        if (strncmp(other, path, shorter) == 0 && (next == '\0' || next == '/')) {
            return false;
        }
    }
    return true;
}

static bool
parse_file_content(struct request *request, const json_t *object, const char *at, struct runtime_file *file)
{
    const char *text = NULL;
    bool base64 = false;
    char field[64];
    size_t len = 0;

    (void)snprintf(field, sizeof(field), "%s/content", at); /* fits */
    if (!sbx_json_get_str(object, at, "content", JOB_MAX_FILE_TEXT, &text, &len, request->err) ||
        !parse_encoding(request, object, at, "encoding", &base64)) {
        return false;
    }
    if (text == NULL) {
        return request_fail(request, field, "is required");
    }
    if (base64) {
        return decode_base64(request, field, text, len, &file->data, &file->len);
    }
    file->data = text;
    file->len = len;
    return true;
}

static bool
parse_file(struct request *request, const json_t *object, size_t index)
{
    static const char *const known[] = { "path", "content", "encoding", NULL };
    struct job_spec *spec = request->spec;
    struct runtime_file file = { 0 };
    char at[32], field[48];

    (void)snprintf(at, sizeof(at), "/files/%zu", index); /* fits */
    (void)snprintf(field, sizeof(field), "%s/path", at); /* so does this */
    if (!json_is_object(object)) {
        return request_fail(request, at, "must be an object");
    }
    if (!sbx_json_only(object, at, known, request->err) ||
        !sbx_json_get_str(object, at, "path", JOB_MAX_PATH, &file.path, NULL, request->err)) {
        request->err->too_large = false;
        return false;
    }
    if (file.path == NULL) {
        return request_fail(request, field, "is required");
    }
    if (!path_valid(file.path, JOB_MAX_PATH)) {
        return request_fail(request, field,
                            "must be a relative path without empty, \".\" or \"..\" components");
    }
    if (!file_is_new(spec, file.path)) {
        return request_fail(request, field, "is named twice, or is a directory of another file");
    }
    if (!parse_file_content(request, object, at, &file)) {
        return false;
    }
    spec->file_bytes += file.len;
    if (spec->file_bytes > JOB_MAX_FILE_BYTES) {
        return request_too_large(request, "/files", "must not hold more than 8388608 bytes together");
    }
    spec->files[spec->n_files++] = file;
    return true;
}

static bool
parse_files(struct request *request)
{
    json_t *array = NULL;

    if (!sbx_json_get_array(request->body, "", "files", JOB_MAX_FILES, &array, request->err)) {
        return false;
    }
    if (array == NULL || json_array_size(array) == 0) {
        return true;
    }
    request->spec->files = calloc(json_array_size(array), sizeof(*request->spec->files));
    if (request->spec->files == NULL) {
        return request_fatal(request, -ENOMEM);
    }
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (!parse_file(request, json_array_get(array, i), i)) {
            return false;
        }
    }
    return true;
}

static bool
parse_artifacts(struct request *request)
{
    struct job_spec *spec = request->spec;
    json_t *array = NULL;
    char field[48];

    if (!sbx_json_get_array(request->body, "", "artifacts", JOB_MAX_GLOBS, &array, request->err)) {
        return false;
    }
    if (array == NULL || json_array_size(array) == 0) {
        return true;
    }
    spec->artifacts = calloc(json_array_size(array), sizeof(*spec->artifacts));
    if (spec->artifacts == NULL) {
        return request_fatal(request, -ENOMEM);
    }
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);

        (void)snprintf(field, sizeof(field), "/artifacts/%zu", i); /* fits */
        if (!json_is_string(item)) {
            return request_fail(request, field, "must be a string");
        }
        if (!path_valid(json_string_value(item), JOB_MAX_GLOB)) {
            return request_fail(request, field, "must be a relative pattern of at most 512 bytes");
        }
        spec->artifacts[spec->n_artifacts++] = json_string_value(item);
    }
    return true;
}

static bool
parse_limits(struct request *request)
{
    json_t *limits = NULL;

    if (!sbx_json_get_object(request->body, "", "limits", &limits, request->err)) {
        return false;
    }
    return limits == NULL || sbx_limits_from_json(&request->spec->limits, limits, "/limits", request->err);
}

static bool
dump_json(struct request *request, const json_t *json, size_t max, const char *field, char **ret,
          size_t *ret_len)
{
    struct sbx_buf out = SBX_BUF_INIT(max + 1);

    sbx_json_dump(&out, json, false);
    *ret = sbx_buf_take(&out, ret_len);
    sbx_buf_deinit(&out);
    /* The buffer's maximum is met long before memory is short. */
    return *ret != NULL || request_too_large(request, field, "is too large");
}

static bool
parse_event(struct request *request)
{
    const json_t *event = request_member(request, "event");
    struct job_spec *spec = request->spec;

    if (event == NULL) {
        return true;
    }
    if (!dump_json(request, event, JOB_MAX_EVENT, "/event", &spec->event_json, &spec->event_len)) {
        return false;
    }
    spec->weight += spec->event_len;
    return true;
}

static bool
metadata_entry_valid(struct request *request, const char *key, const json_t *value)
{
    char field[sizeof(request->err->field)];
    size_t len = strlen(key);

    sbx_json_pointer(field, sizeof(field), "/metadata", key, 0);
    if (len == 0 || len > JOB_MAX_METADATA_KEY) {
        return request_fail(request, field, "has a key that is not 1 to 64 bytes long");
    }
    if (!json_is_string(value)) {
        return request_fail(request, field, "must be a string");
    }
    if (json_string_length(value) > JOB_MAX_METADATA_VALUE) {
        return request_too_large(request, field, "must not be longer than 512 bytes");
    }
    return true;
}

static bool
parse_metadata(struct request *request)
{
    json_t *object = NULL;
    const char *key;
    json_t *value;
    size_t len;

    if (!sbx_json_get_object(request->body, "", "metadata", &object, request->err)) {
        return false;
    }
    if (object == NULL) {
        return true;
    }
    if (json_object_size(object) > JOB_MAX_METADATA) {
        return request_too_large(request, "/metadata", "must not have more than 32 members");
    }
    json_object_foreach (object, key, value) {
        if (!metadata_entry_valid(request, key, value)) {
            return false;
        }
    }
    return dump_json(request, object,
                     6ul * JOB_MAX_METADATA * (JOB_MAX_METADATA_KEY + JOB_MAX_METADATA_VALUE + 8),
                     "/metadata", &request->spec->metadata_json, &len);
}

static bool
parse_wait(struct request *request)
{
    struct job_spec *spec = request->spec;

    spec->has_wait = request_member(request, "wait") != NULL;
    return sbx_json_get_duration(request->body, "", "wait", JOB_MAX_WAIT_MS, &spec->wait_ms, request->err);
}

static bool
request_parse(struct request *request)
{
    static const char *const known[] = { "language", "code",  "args",      "stdin",     "stdin_encoding",
                                         "env",      "files", "artifacts", "limits",    "event",
                                         "metadata", "wait",  "template",  "isolation", NULL };
    static bool (*const parsers[])(struct request * request) = {
        parse_language, parse_template,  parse_isolation, parse_code,  parse_args,     parse_stdin, parse_env,
        parse_files,    parse_artifacts, parse_limits,    parse_event, parse_metadata, parse_wait,
    };

    if (!json_is_object(request->body)) {
        return request_fail(request, "", "must be an object");
    }
    if (!sbx_json_only(request->body, "", known, request->err)) {
        return false;
    }
    for (size_t i = 0; i < SBX_COUNT(parsers); i++) {
        if (!parsers[i](request)) {
            return false;
        }
    }
    return true;
}

static void
body_release(void *body)
{
    json_decref(body);
}

int
job_request_parse(struct job_spec **ret, const char *body, size_t len, struct sbx_field_error *err)
{
    _cleanup_(job_spec_freep) struct job_spec *spec = NULL;
    struct request request = { .err = err };
    json_t *json = NULL;
    int r;

    memset(err, 0, sizeof(*err));
    r = sbx_json_parse(&json, body, len, err);
    if (r == SBX_JSON_E_SYNTAX) {
        return err->too_large ? JOB_REQUEST_E_FIELD : JOB_REQUEST_E_SYNTAX;
    }
    if (r) {
        return r;
    }
    spec = calloc(1, sizeof(*spec));
    if (spec != NULL) {
        spec->owned = calloc(JOB_MAX_FILES + 1, sizeof(*spec->owned));
    }
    if (spec == NULL || spec->owned == NULL) {
        json_decref(json);
        return -ENOMEM;
    }
    spec->body = json;
    spec->release_body = body_release;
    spec->weight = len;
    request.body = json;
    request.spec = spec;
    if (!request_parse(&request)) {
        return request.fatal != 0 ? request.fatal : JOB_REQUEST_E_FIELD;
    }
    *ret = steal(&spec);
    return 0;
}
