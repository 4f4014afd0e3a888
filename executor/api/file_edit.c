/* What changes names in a workspace: DELETE, mkdir, move; and what tells of changes: watch. */
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/file.h"
#include "executor/api/handlers.h"
#include "executor/api/range.h"
#include "executor/api/stream.h"
#include "executor/core/feed.h"

#define WATCH_KEEP 262144u /* bytes of events for a client that is slow */

static bool
flag_param(struct call *call, const char *name, bool *ret)
{
    struct sbx_field_error err = { 0 };
    char text[8];
    enum call_param has = call_param(call, name, text, sizeof(text));

    *ret = has == CALL_PARAM_FINE && strcmp(text, "true") == 0;
    if (has == CALL_PARAM_ABSENT || *ret || (has == CALL_PARAM_FINE && strcmp(text, "false") == 0)) {
        return true;
    }
    sbx_field_error_set(&err, name, "must be true or false");
    call_problem_field(call, &err);
    return false;
}

static void
remove_on_done(struct call *call, const json_t *end)
{
    struct file *file = call->file;
    uint64_t removed;

    if (!file_count_take(end, "removed", &removed) || removed == 0) {
        file_nonsense(file, "what was removed");
        return;
    }
    file_audit(call, "file.deleted", file->path, NULL, removed, NULL);
    call_reply(call, 204, NULL, NULL, 0, "", 0);
}

static void
remove_ask(struct call *call)
{
    static const struct file_events events = { .done = remove_on_done };
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(FILE_JSON_MAX);
    struct sbx_jsonw w;
    bool recursive;

    if (!flag_param(call, "recursive", &recursive)) {
        return;
    }
    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "op", "fs.remove");
    sbx_jsonw_str(&w, "path", call->file->path);
    sbx_jsonw_bool(&w, "recursive", recursive);
    sbx_jsonw_object_end(&w);
    file_ask(call, &json, &events);
}

static void
remove_on_stat(struct call *call, const json_t *end)
{
    const char *match = sbx_http_request_header(call->request, "If-Match");
    struct file *file = call->file;
    struct file_entry entry;

    if (!file_entry_take(&entry, end) || strcmp(entry.path, file->path) != 0) {
        file_nonsense(file, "an entry that is none");
        return;
    }
    file_etag_set(file, &entry);
    if (match != NULL && !range_tag_in(match, file->etag[0] == '\0' ? "\"\"" : file->etag, false)) {
        call_problem(call, SBX_PROBLEM_PRECONDITION_FAILED, NULL);
        return;
    }
    remove_ask(call);
}

void
handle_file_delete(struct call *call)
{
    static const struct file_events events = { .done = remove_on_stat };
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(FILE_JSON_MAX);
    struct sbx_jsonw w;

    if (!file_begin(call, call->rest, false)) {
        return;
    }
    if (sbx_http_request_header(call->request, "If-Match") == NULL) {
        remove_ask(call);
        return;
    }
    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "op", "fs.stat");
    sbx_jsonw_str(&w, "path", call->file->path);
    sbx_jsonw_object_end(&w);
    file_ask(call, &json, &events);
}

static bool
body_take(struct call *call, json_t **ret, const char *const *known)
{
    struct sbx_field_error err = { 0 };
    const char *body;
    size_t len;
    int r;

    body = sbx_http_request_body(call->request, &len);
    r = sbx_json_parse(ret, body, len, &err);
    if (r < 0) {
        call_problem_internal(call, r);
        return false;
    }
    if (r > 0) {
        call_reply_problem(
            call, &(struct sbx_problem){
                      .code = err.too_large ? SBX_PROBLEM_PAYLOAD_TOO_LARGE : SBX_PROBLEM_MALFORMED_JSON,
                      .detail = err.message,
                  });
        return false;
    }
    if (!json_is_object(*ret)) {
        sbx_field_error_set(&err, "", "must be an object");
    } else if (sbx_json_only(*ret, "", known, &err)) {
        return true;
    }
    call_problem_field(call, &err);
    return false;
}

static bool
body_path(struct call *call, const json_t *body, const char *key, const char *field, const char **ret)
{
    struct sbx_field_error err = { 0 };
    size_t len;

    *ret = NULL;
    if (!sbx_json_get_str(body, "", key, FILE_PATH_MAX, ret, &len, &err)) {
        call_problem_field(call, &err);
        return false;
    }
    return file_path_fine(call, field, *ret == NULL ? "" : *ret, false);
}

static void
mkdir_on_done(struct call *call, const json_t *end)
{
    struct file_entry entry;

    if (!file_entry_take(&entry, end) || strcmp(entry.path, call->file->path) != 0) {
        file_nonsense(call->file, "an entry that is none");
        return;
    }
    file_audit(call, "directory.created", entry.path, NULL, 0, NULL);
    file_reply_entry(call, 201, &entry);
}

void
handle_file_mkdir(struct call *call)
{
    static const char *const known[] = { "path", NULL };
    static const struct file_events events = { .done = mkdir_on_done };
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(FILE_JSON_MAX);
    _cleanup_(sbx_json_decrefp) json_t *body = NULL;
    struct sbx_jsonw w;
    const char *path;

    if (!body_take(call, &body, known) || !body_path(call, body, "path", "/path", &path) ||
        !file_begin(call, path, false)) {
        return;
    }
    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "op", "fs.mkdir");
    sbx_jsonw_str(&w, "path", path);
    sbx_jsonw_object_end(&w);
    file_ask(call, &json, &events);
}

static void
move_on_done(struct call *call, const json_t *end)
{
    struct file *file = call->file;
    struct file_entry entry;

    /* file->line holds where from */
    if (!file_entry_take(&entry, end) || strcmp(entry.path, file->path) != 0) {
        file_nonsense(file, "an entry that is none");
        return;
    }
    file_audit(call, "file.moved", file->line.data, file->path, entry.size, NULL);
    file_reply_entry(call, 200, &entry);
}

void
handle_file_move(struct call *call)
{
    static const char *const known[] = { "from", "to", "overwrite", NULL };
    static const struct file_events events = { .done = move_on_done };
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(FILE_JSON_MAX);
    _cleanup_(sbx_json_decrefp) json_t *body = NULL;
    struct sbx_field_error err = { 0 };
    const char *from, *to;
    bool overwrite = false;
    struct sbx_jsonw w;

    if (!body_take(call, &body, known) || !body_path(call, body, "from", "/from", &from) ||
        !body_path(call, body, "to", "/to", &to)) {
        return;
    }
    if (!sbx_json_get_bool(body, "", "overwrite", &overwrite, &err)) {
        call_problem_field(call, &err);
        return;
    }
    if (!file_begin(call, to, false)) {
        return;
    }
    sbx_buf_puts(&call->file->line, from);
    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "op", "fs.move");
    sbx_jsonw_str(&w, "from", from);
    sbx_jsonw_str(&w, "to", to);
    sbx_jsonw_bool(&w, "overwrite", overwrite);
    sbx_jsonw_object_end(&w);
    json.failed = json.failed || call->file->line.failed;
    file_ask(call, &json, &events);
}

static bool
watch_line(struct file *file, const char *line, size_t len)
{
    static const char *const names[] = { "created", "modified", "deleted", "moved", "overflow" };
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(FILE_JSON_MAX);
    _cleanup_(sbx_json_decrefp) json_t *object = NULL;
    struct sbx_field_error err;
    struct sbx_jsonw w;
    const char *event, *path, *to, *kind, *name = NULL;

    if (sbx_json_parse(&object, line, len, &err) != 0) {
        return false;
    }
    event = json_string_value(json_object_get(object, "event"));
    path = json_string_value(json_object_get(object, "path"));
    kind = json_string_value(json_object_get(object, "kind"));
    to = json_string_value(json_object_get(object, "to"));
    for (size_t i = 0; event != NULL && i < SBX_COUNT(names); i++) {
        name = strcmp(names[i], event) == 0 ? names[i] : name;
    }
    if (name == NULL || (strcmp(name, "overflow") == 0) != (path == NULL) ||
        (path == NULL) != (kind == NULL) || (strcmp(name, "moved") == 0) != (to != NULL) ||
        (path != NULL && file_path_refusal(path, false) != NULL) ||
        (to != NULL && file_path_refusal(to, false) != NULL) || (kind != NULL && strlen(kind) > 16)) {
        return false;
    }
    sbx_jsonw_init(&w, &out);
    sbx_jsonw_object(&w, NULL);
    if (path != NULL) {
        sbx_jsonw_str(&w, "path", path);
        sbx_jsonw_str(&w, "kind", kind);
    }
    if (to != NULL) {
        sbx_jsonw_str(&w, "to", to);
    }
    sbx_jsonw_object_end(&w);
    if (!out.failed) {
        feed_event(file->feed, name, out.data, out.len);
    }
    return true;
}

static void
watch_on_data(struct call *call, const char *data, size_t len)
{
    struct file *file = call->file;
    const char *end = data + len, *newline;

    for (; (newline = memchr(data, '\n', (size_t)(end - data))) != NULL; data = newline + 1) {
        sbx_buf_append(&file->line, data, (size_t)(newline - data));
        if (file->line.failed || !file->streaming || !watch_line(file, file->line.data, file->line.len)) {
            file_nonsense(file, "what changed");
            return;
        }
        sbx_buf_reset(&file->line);
    }
    sbx_buf_append(&file->line, data, (size_t)(end - data));
    file_consumed(file, len);
}

/* It looks from now on: the answer begins. */
static void
watch_on_note(struct call *call, const json_t *note _unused_)
{
    static const char start[] = "{}";
    struct file *file = call->file;

    if (file->streaming) {
        file_nonsense(file, "a watch that begins twice");
        return;
    }
    file->streaming = true;
    file_audit(call, "file.watched", file->path, NULL, 0, NULL);
    feed_event(file->feed, "start", start, sizeof(start) - 1);
    stream_start_plain(call, file->feed);
}

static void
watch_on_done(struct call *call, const json_t *end _unused_)
{
    file_nonsense(call->file, "a watch that is done");
}

static void
watch_on_failed(struct call *call, enum file_error error, const char *message)
{
    static const char gone[] = "{\"reason\":\"not_found\"}", other[] = "{\"reason\":\"failed\"}";
    struct file *file = call->file;

    if (!file->streaming) {
        file_refuse(call, error, message);
        return;
    }
    feed_event(file->feed, "end", error == FILE_E_NOT_FOUND ? gone : other,
               error == FILE_E_NOT_FOUND ? sizeof(gone) - 1 : sizeof(other) - 1);
    feed_close(file->feed);
}

void
handle_file_watch(struct call *call)
{
    static const struct file_events events = {
        .note = watch_on_note,
        .data = watch_on_data,
        .done = watch_on_done,
        .failed = watch_on_failed,
    };
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(FILE_JSON_MAX);
    char path[FILE_PATH_MAX + 2];
    enum call_param has = call_param(call, "path", path, sizeof(path));
    struct sbx_jsonw w;
    bool recursive;
    int r;

    if (!flag_param(call, "recursive", &recursive) || !file_begin(call,
                                                                  has == CALL_PARAM_FINE     ? path
                                                                  : has == CALL_PARAM_ABSENT ? ""
                                                                                             : NULL,
                                                                  true)) {
        return;
    }
    r = feed_new(&call->file->feed, WATCH_KEEP);
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    call->file->patient = true;
    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "op", "fs.watch");
    sbx_jsonw_str(&w, "path", call->file->path);
    sbx_jsonw_bool(&w, "recursive", recursive);
    sbx_jsonw_object_end(&w);
    file_ask(call, &json, &events);
}
