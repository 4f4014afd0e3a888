#include "executor/api/body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/job_record.h"
#include "lib/sbx_crypto.h"
#include "lib/sbx_env.h"
#include "lib/sbx_policy.h"

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-"

bool
body_fail(struct body *body, const char *field, const char *message)
{
    sbx_field_error_set(body->err, field, "%s", message);
    return false;
}

bool
body_too_large(struct body *body, const char *field, const char *message)
{
    body_fail(body, field, message);
    body->err->too_large = true;
    return false;
}

bool
body_fatal(struct body *body, int rc)
{
    body->fatal = rc;
    return false;
}

const json_t *
body_member(const struct body *body, const char *key)
{
    const json_t *value = json_object_get(body->json, key);

    return json_is_null(value) ? NULL : value;
}

bool
body_name(struct body *body, const char *key, size_t max_len, const char **ret)
{
    const char *name = NULL;
    char field[64];
    size_t len = 0;

    (void)snprintf(field, sizeof(field), "/%s", key); /* keys are short */
    if (!sbx_json_get_str(body->json, "", key, max_len, &name, &len, body->err)) {
        body->err->too_large = false; /* a name that is too long is a wrong name */
        return false;
    }
    if (name == NULL) {
        return true;
    }
    if (len == 0 || strspn(name, NAME_CHARS) != len) {
        return body_fail(body, field, "is not a name");
    }
    *ret = name;
    return true;
}

bool
body_language(struct body *body)
{
    const char *name = NULL;

    if (!body_name(body, "language", JOB_LANGUAGE_LEN - 1, &name)) {
        return false;
    }
    if (name == NULL) {
        return body_fail(body, "/language", "is required");
    }
    body->spec->language = sbx_language_canonical(name);
    return true;
}

bool
body_template(struct body *body)
{
    body->spec->template_name = "default";
    return body_name(body, "template", JOB_TEMPLATE_LEN - 1, &body->spec->template_name);
}

bool
body_isolation(struct body *body)
{
    const json_t *value = body_member(body, "isolation");

    if (value == NULL) {
        return true;
    }
    body->spec->isolation =
        json_is_string(value) ? sbx_isolation_parse(json_string_value(value)) : SBX_ISOLATION_NONE;
    return body->spec->isolation != SBX_ISOLATION_NONE ||
           body_fail(body, "/isolation", "must be \"process\" or \"gvisor\"");
}

bool
body_code(struct body *body)
{
    struct job_spec *spec = body->spec;

    if (!sbx_json_get_str(body->json, "", "code", JOB_MAX_CODE, &spec->code, &spec->code_len, body->err)) {
        return false;
    }
    if (spec->code == NULL) {
        return body_fail(body, "/code", "is required");
    }
    return spec->code_len > 0 || body_fail(body, "/code", "must not be empty");
}

/* "utf-8" (the default) or "base64". */
bool
body_encoding(struct body *body, const json_t *object, const char *path, const char *key, bool *ret_base64)
{
    const char *encoding = NULL;
    char field[96];

    if (!sbx_json_get_str(object, path, key, 32, &encoding, NULL, body->err)) {
        body->err->too_large = false;
        return false;
    }
    *ret_base64 = encoding != NULL && strcmp(encoding, "base64") == 0;
    if (encoding != NULL && !*ret_base64 && strcmp(encoding, "utf-8") != 0 && strcmp(encoding, "utf8") != 0) {
        (void)snprintf(field, sizeof(field), "%s/%s", path, key); /* fits: ours */
        return body_fail(body, field, "must be \"utf-8\" or \"base64\"");
    }
    return true;
}

size_t
body_base64_max(size_t len)
{
    return len / 4 * 3;
}

bool
body_own(struct job_spec *spec, void *data, size_t len)
{
    if (spec->owned == NULL) {
        spec->owned = calloc(JOB_MAX_FILES + 1, sizeof(*spec->owned)); /* each file, and the input */
    }
    if (spec->owned == NULL) {
        return false;
    }
    spec->owned[spec->n_owned++] = data;
    spec->weight += len;
    return true;
}

/* Decodes into memory that the spec owns. */
bool
body_base64(struct body *body, const char *field, const char *text, size_t len, const void **ret,
            size_t *ret_len)
{
    struct job_spec *spec = body->spec;
    struct sbx_buf out = SBX_BUF_INIT(body_base64_max(len) + 4);
    char *data;

    if (!sbx_b64_decode(&out, text, len)) {
        bool failed = out.failed;

        sbx_buf_deinit(&out);
        return failed ? body_fatal(body, -ENOMEM) : body_fail(body, field, "is not base64");
    }
    data = sbx_buf_take(&out, ret_len);
    sbx_buf_deinit(&out);
    if (data == NULL) {
        return body_fatal(body, -ENOMEM);
    }
    if (!body_own(spec, data, *ret_len)) {
        free(data);
        return body_fatal(body, -ENOMEM);
    }
    *ret = data;
    return true;
}

static bool
parse_env_entry(struct body *body, const char *name, const json_t *value)
{
    struct job_spec *spec = body->spec;
    char field[sizeof(body->err->field)];

    sbx_json_pointer(field, sizeof(field), "/env", name, 0);
    if (!sbx_env_name_valid(name)) {
        return body_fail(body, field, "has a name that is not [A-Za-z_][A-Za-z0-9_]{0,127}");
    }
    if (sbx_env_name_reserved(name)) {
        return body_fail(body, field, "is a reserved name");
    }
    if (!json_is_string(value)) {
        return body_fail(body, field, "must be a string");
    }
    if (json_string_length(value) > JOB_MAX_ENV_VALUE) {
        return body_too_large(body, field, "must not be longer than 32768 bytes");
    }
    spec->env[spec->n_env++] = (struct runtime_env){ .name = name, .value = json_string_value(value) };
    return true;
}

bool
body_env(struct body *body)
{
    json_t *object = NULL;
    const char *name;
    json_t *value;
    size_t total = 0;

    if (!sbx_json_get_object(body->json, "", "env", &object, body->err)) {
        return false;
    }
    if (object == NULL || json_object_size(object) == 0) {
        return true;
    }
    if (json_object_size(object) > JOB_MAX_ENV) {
        return body_too_large(body, "/env", "must not have more than 64 members");
    }
    body->spec->env = calloc(json_object_size(object), sizeof(*body->spec->env));
    if (body->spec->env == NULL) {
        return body_fatal(body, -ENOMEM);
    }
    json_object_foreach (object, name, value) {
        if (!parse_env_entry(body, name, value)) {
            return false;
        }
        total += strlen(name) + json_string_length(value);
    }
    /* What the agent takes; execve would not take much more. */
    return total <= JOB_MAX_ENV_TOTAL ||
           body_too_large(body, "/env", "must not hold more than 262144 bytes together");
}

/* Relative, no empty, "." or ".." component, no control character, bounded: what the agent accepts. */
bool
body_path_valid(const char *path, size_t max_len)
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

/* Which it names is looked up by who has the means. */
static bool
parse_file_uri(struct body *body, const json_t *object, const char *at, const char *uri)
{
    struct job_spec *spec = body->spec;

    if (json_is_string(json_object_get(object, "content")) ||
        json_is_string(json_object_get(object, "encoding"))) {
        return body_fail(body, at, "must have content or uri, not both");
    }
    if (spec->file_uris == NULL) {
        spec->file_uris = calloc(JOB_MAX_FILES, sizeof(*spec->file_uris));
    }
    if (spec->file_uris == NULL) {
        return body_fatal(body, -ENOMEM);
    }
    spec->file_uris[spec->n_files] = uri;
    return true;
}

static bool
parse_file_content(struct body *body, const json_t *object, const char *at, struct runtime_file *file)
{
    const char *text = NULL, *uri = NULL;
    bool base64 = false;
    char field[64];
    size_t len = 0;

    (void)snprintf(field, sizeof(field), "%s/content", at); /* fits */
    if (!sbx_json_get_str(object, at, "uri", JOB_MAX_URI, &uri, NULL, body->err)) {
        body->err->too_large = false;
        return false;
    }
    if (uri != NULL) {
        return parse_file_uri(body, object, at, uri);
    }
    if (!sbx_json_get_str(object, at, "content", JOB_MAX_FILE_TEXT, &text, &len, body->err) ||
        !body_encoding(body, object, at, "encoding", &base64)) {
        return false;
    }
    if (text == NULL) {
        return body_fail(body, field, "is required");
    }
    if (base64) {
        return body_base64(body, field, text, len, &file->data, &file->len);
    }
    file->data = text;
    file->len = len;
    return true;
}

static bool
parse_file(struct body *body, const json_t *object, size_t index)
{
    static const char *const known[] = { "path", "content", "encoding", "uri", NULL };
    struct job_spec *spec = body->spec;
    struct runtime_file file = { 0 };
    char at[32], field[48];

    (void)snprintf(at, sizeof(at), "/files/%zu", index); /* fits */
    (void)snprintf(field, sizeof(field), "%s/path", at); /* so does this */
    if (!json_is_object(object)) {
        return body_fail(body, at, "must be an object");
    }
    if (!sbx_json_only(object, at, known, body->err) ||
        !sbx_json_get_str(object, at, "path", JOB_MAX_PATH, &file.path, NULL, body->err)) {
        body->err->too_large = false;
        return false;
    }
    if (file.path == NULL) {
        return body_fail(body, field, "is required");
    }
    if (!body_path_valid(file.path, JOB_MAX_PATH)) {
        return body_fail(body, field, "must be a relative path without empty, \".\" or \"..\" components");
    }
    if (!file_is_new(spec, file.path)) {
        return body_fail(body, field, "is named twice, or is a directory of another file");
    }
    if (!parse_file_content(body, object, at, &file)) {
        return false;
    }
    spec->file_bytes += file.len;
    if (spec->file_bytes > JOB_MAX_FILE_BYTES) {
        return body_too_large(body, "/files", "must not hold more than 8388608 bytes together");
    }
    spec->files[spec->n_files++] = file;
    return true;
}

bool
body_files(struct body *body)
{
    json_t *array = NULL;

    if (!sbx_json_get_array(body->json, "", "files", JOB_MAX_FILES, &array, body->err)) {
        return false;
    }
    if (array == NULL || json_array_size(array) == 0) {
        return true;
    }
    body->spec->files = calloc(json_array_size(array), sizeof(*body->spec->files));
    if (body->spec->files == NULL) {
        return body_fatal(body, -ENOMEM);
    }
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (!parse_file(body, json_array_get(array, i), i)) {
            return false;
        }
    }
    return true;
}

bool
body_limits(struct body *body)
{
    json_t *limits = NULL;

    if (!sbx_json_get_object(body->json, "", "limits", &limits, body->err)) {
        return false;
    }
    return limits == NULL || sbx_limits_from_json(&body->spec->limits, limits, "/limits", body->err);
}

bool
body_dump(struct body *body, const json_t *json, size_t max, const char *field, char **ret, size_t *ret_len)
{
    struct sbx_buf out = SBX_BUF_INIT(max + 1);

    sbx_json_dump(&out, json, false);
    *ret = sbx_buf_take(&out, ret_len);
    sbx_buf_deinit(&out);
    /* The buffer's maximum is met long before memory is short. */
    return *ret != NULL || body_too_large(body, field, "is too large");
}

static bool
metadata_entry_valid(struct body *body, const char *key, const json_t *value)
{
    char field[sizeof(body->err->field)];
    size_t len = strlen(key);

    sbx_json_pointer(field, sizeof(field), "/metadata", key, 0);
    if (len == 0 || len > JOB_MAX_METADATA_KEY) {
        return body_fail(body, field, "has a key that is not 1 to 64 bytes long");
    }
    if (!json_is_string(value)) {
        return body_fail(body, field, "must be a string");
    }
    if (json_string_length(value) > JOB_MAX_METADATA_VALUE) {
        return body_too_large(body, field, "must not be longer than 512 bytes");
    }
    return true;
}

bool
body_metadata(struct body *body)
{
    json_t *object = NULL;
    const char *key;
    json_t *value;
    size_t len;

    if (!sbx_json_get_object(body->json, "", "metadata", &object, body->err)) {
        return false;
    }
    if (object == NULL) {
        return true;
    }
    if (json_object_size(object) > JOB_MAX_METADATA) {
        return body_too_large(body, "/metadata", "must not have more than 32 members");
    }
    json_object_foreach (object, key, value) {
        if (!metadata_entry_valid(body, key, value)) {
            return false;
        }
    }
    return body_dump(body, object,
                     6ul * JOB_MAX_METADATA * (JOB_MAX_METADATA_KEY + JOB_MAX_METADATA_VALUE + 8),
                     "/metadata", &body->spec->metadata_json, &len);
}

bool
body_wait(struct body *body)
{
    struct job_spec *spec = body->spec;

    spec->has_wait = body_member(body, "wait") != NULL;
    return sbx_json_get_duration(body->json, "", "wait", JOB_MAX_WAIT_MS, &spec->wait_ms, body->err);
}

static void
body_release(void *body)
{
    json_decref(body);
}

int
body_open(struct body *ret, const char *text, size_t len, const char *const *known,
          struct sbx_field_error *err)
{
    struct job_spec *spec;
    json_t *json = NULL;
    int r;

    memset(err, 0, sizeof(*err));
    r = sbx_json_parse(&json, text, len, err);
    if (r == SBX_JSON_E_SYNTAX) {
        return err->too_large ? JOB_REQUEST_E_FIELD : JOB_REQUEST_E_SYNTAX;
    }
    if (r) {
        return r;
    }
    spec = calloc(1, sizeof(*spec));
    if (spec == NULL) {
        json_decref(json);
        return -ENOMEM;
    }
    spec->body = json;
    spec->release_body = body_release;
    spec->weight = len;
    *ret = (struct body){ .json = json, .spec = spec, .err = err };
    if (!json_is_object(json)) {
        (void)body_fail(ret, "", "must be an object"); /* always false */
    } else if (sbx_json_only(json, "", known, err)) {
        return 0;
    }
    return body_close(ret, false, NULL);
}

int
body_close(struct body *body, bool fine, struct job_spec **ret)
{
    struct job_spec *spec = steal(&body->spec);

    if (fine) {
        *ret = spec;
        return 0;
    }
    job_spec_free(spec);
    return body->fatal != 0 ? body->fatal : JOB_REQUEST_E_FIELD;
}
