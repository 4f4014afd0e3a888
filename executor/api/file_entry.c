/* Paths of clients and entries of the agent: both are checked here and nowhere else. And how a failure is told. */
#include <stdio.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/file.h"
#include "lib/sbx_utf8.h"

static const char *
component_refusal(const char *p, size_t len)
{
    if (len == 0) {
        return "must be relative, without empty components";
    }
    if ((len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.')) {
        return "must not have . or .. as a component";
    }
    return len > 255 ? "must not have a component of more than 255 bytes" : NULL;
}

/* The same the agent asks for, request_path_valid; a backslash is a byte as any other. */
const char *
file_path_refusal(const char *path, bool may_be_root)
{
    unsigned depth = 0;

    if (path == NULL) {
        return "is not percent-encoded, or has a NUL byte";
    }
    if (*path == '\0') {
        return may_be_root ? NULL : "must name something in the workspace";
    }
    if (strlen(path) > FILE_PATH_MAX) {
        return "must have at most 1024 bytes";
    }
    if (!sbx_utf8_valid(path, strlen(path))) {
        return "must be UTF-8";
    }
    for (const char *p = path;; p++) {
        size_t len = strcspn(p, "/");
        const char *refusal = component_refusal(p, len);

        if (refusal != NULL) {
            return refusal;
        }
        if (++depth > FILE_DEPTH_MAX) {
            return "must have at most 16 components";
        }
        p += len;
        if (*p == '\0') {
            return NULL;
        }
    }
}

bool
file_path_fine(struct call *call, const char *field, const char *path, bool may_be_root)
{
    const char *refusal = file_path_refusal(path, may_be_root);
    struct sbx_field_error err = { 0 };

    if (refusal == NULL) {
        return true;
    }
    sbx_field_error_set(&err, field, "%s", refusal);
    call_problem_field(call, &err);
    return false;
}

void
file_refuse(struct call *call, enum file_error error, const char *message)
{
    static const enum sbx_problem_code problems[] = {
        [FILE_E_NOT_FOUND] = SBX_PROBLEM_NOT_FOUND,     [FILE_E_EXISTS] = SBX_PROBLEM_CONFLICT,
        [FILE_E_INVALID] = SBX_PROBLEM_INVALID_REQUEST, [FILE_E_NOT_A_DIRECTORY] = SBX_PROBLEM_CONFLICT,
        [FILE_E_IS_A_DIRECTORY] = SBX_PROBLEM_CONFLICT, [FILE_E_NOT_EMPTY] = SBX_PROBLEM_CONFLICT,
        [FILE_E_NO_SPACE] = SBX_PROBLEM_NO_SPACE,       [FILE_E_TOO_LARGE] = SBX_PROBLEM_PAYLOAD_TOO_LARGE,
        [FILE_E_DENIED] = SBX_PROBLEM_FILE_DENIED,      [FILE_E_BUSY] = SBX_PROBLEM_CONFLICT,
        [FILE_E_FAILED] = SBX_PROBLEM_INTERNAL,
    };

    _Static_assert(SBX_COUNT(problems) == FILE_N_ERRORS, "one for each");
    struct file *file = call->file;

    if (file->streaming) {
        call_break_stream(call); /* the connection closes, and the client knows */
        return;
    }
    if (error == FILE_E_BUSY && file->conditional) {
        call_problem(call, SBX_PROBLEM_PRECONDITION_FAILED, message);
        return;
    }
    call_problem(call, problems[error], message);
}

bool
file_count_take(const json_t *object, const char *key, uint64_t *ret)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return false;
    }
    *ret = (uint64_t)json_integer_value(value);
    return true;
}

static bool
text_take(const json_t *object, const char *key, size_t max, const char **ret)
{
    const json_t *value = json_object_get(object, key);

    *ret = json_string_value(value);
    return *ret != NULL && json_string_length(value) <= max && strlen(*ret) == json_string_length(value);
}

static bool
word_of(const char *text, const char *alphabet, size_t min, size_t max)
{
    size_t len = strlen(text);

    return len >= min && len <= max && strspn(text, alphabet) == len;
}

bool
file_entry_take(struct file_entry *ret, const json_t *object)
{
    static const char *const kinds[] = { "file", "directory", "symlink", "other" };
    const json_t *mtime = json_object_get(object, "mtime_ms");
    bool known = false;

    *ret = (struct file_entry){ 0 };
    if (!text_take(object, "path", FILE_PATH_MAX, &ret->path) || file_path_refusal(ret->path, true) != NULL ||
        !text_take(object, "kind", 16, &ret->kind) || !text_take(object, "mode", 4, &ret->mode) ||
        !word_of(ret->mode, "01234567", 4, 4) || !file_count_take(object, "size", &ret->size) ||
        !json_is_integer(mtime)) {
        return false;
    }
    ret->mtime_ms = json_integer_value(mtime) < 0 ? 0 : (uint64_t)json_integer_value(mtime);
    for (size_t i = 0; i < SBX_COUNT(kinds); i++) {
        known = known || strcmp(ret->kind, kinds[i]) == 0;
    }
    if (strcmp(ret->kind, "file") != 0) {
        return known && json_object_get(object, "etag") == NULL;
    }
    return text_take(object, "etag", FILE_ETAG_MAX - 3, &ret->etag) &&
           word_of(ret->etag, "0123456789abcdef-", 1, FILE_ETAG_MAX - 3);
}

void
file_etag_set(struct file *file, const struct file_entry *entry)
{
    if (entry->etag == NULL) {
        file->etag[0] = '\0';
    } else {
        (void)snprintf(file->etag, sizeof(file->etag), "\"%s\"", entry->etag); /* checked to fit */
    }
}

void
file_entry_write(struct sbx_jsonw *w, const struct file_entry *entry)
{
    const char *slash = strrchr(entry->path, '/');

    sbx_jsonw_str(w, "path", entry->path);
    sbx_jsonw_str(w, "name", slash == NULL ? entry->path : slash + 1);
    sbx_jsonw_str(w, "kind", entry->kind);
    sbx_jsonw_uint(w, "size", entry->size);
    sbx_jsonw_uint(w, "mtime_ms", entry->mtime_ms);
    sbx_jsonw_str(w, "mode", entry->mode);
    sbx_jsonw_str(w, "etag", entry->etag);
}

void
file_reply_entry(struct call *call, int status, const struct file_entry *entry)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(FILE_JSON_MAX);
    struct sbx_http_header header = { "ETag", call->file->etag };
    struct sbx_jsonw w;

    file_etag_set(call->file, entry);
    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    file_entry_write(&w, entry);
    sbx_jsonw_object_end(&w);
    call_reply_json(call, status, &header, entry->etag == NULL ? 0 : 1, &body);
}
