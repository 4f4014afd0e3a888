/*
 * GET and HEAD of what is in a workspace. A file streams no faster than the client reads; a directory is listed, a page
 * at a time. A request with conditions asks first which version there is and then for just that one.
 *
 *   handle_file_get -> [stat] -> read -> answer            a file
 *                                 \--> list -> answer      it is a directory
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/file.h"
#include "executor/api/handlers.h"
#include "executor/api/range.h"

#define GET_AHEAD 262144u /* bytes the client has not taken, past which the agent gets no more window */
#define GET_TRIES 3u      /* of versions that changed between the question and the reading */
#define LIST_MAX 1000u

static void get_stat(struct call *call);
static void get_list(struct call *call);
static void get_read(struct call *call);

static bool
is_head(const struct call *call)
{
    return strcmp(sbx_http_request_method(call->request), "HEAD") == 0;
}

static bool
has_conditions(const struct call *call)
{
    static const char *const names[] = { "Range", "If-Match", "If-None-Match" };

    for (size_t i = 0; i < SBX_COUNT(names); i++) {
        if (sbx_http_request_header(call->request, names[i]) != NULL) {
            return true;
        }
    }
    return is_head(call);
}

/* RFC 6266 with the extended form only: nothing of the name can break out of the header. */
static void
name_disposition(struct sbx_buf *out, const char *path, const char *suffix)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    const char *slash = strrchr(path, '/');

    sbx_buf_puts(out, "attachment; filename*=UTF-8''");
    for (const char *p = slash == NULL ? path : slash + 1; *p != '\0'; p++) {
        if (strchr(plain, *p) != NULL) {
            sbx_buf_putc(out, *p);
        } else {
            sbx_buf_printf(out, "%%%02X", (unsigned)(unsigned char)*p);
        }
    }
    sbx_buf_puts(out, suffix);
}

/* The head of a file's answer; of a HEAD it is all. */
static void
get_answer(struct call *call, int status, uint64_t size)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf disposition = SBX_BUF_INIT(4096);
    struct file *file = call->file;
    const struct range part = { RANGE_PART, file->first, file->length };
    struct sbx_http_header headers[6];
    char text[RANGE_TEXT_MAX];
    unsigned n = 0;

    name_disposition(&disposition, file->path, "");
    headers[n++] = (struct sbx_http_header){ "ETag", file->etag };
    headers[n++] = (struct sbx_http_header){ "Accept-Ranges", "bytes" };
    headers[n++] = (struct sbx_http_header){ "X-Content-Type-Options", "nosniff" };
    headers[n++] = (struct sbx_http_header){ "Content-Security-Policy", "sandbox" };
    headers[n++] = (struct sbx_http_header){ "Content-Disposition",
                                             disposition.failed ? "attachment" : disposition.data };
    if (status == 206) {
        range_text(text, &part, size);
        headers[n++] = (struct sbx_http_header){ "Content-Range", text };
    }
    call_start_stream(call, status, artifact_mime(file->path), headers, n, file->length);
    file->streaming = true;
}

/* Everything that was promised must be promised by what the agent says of the same file. */
static void
read_on_note(struct call *call, const json_t *note)
{
    struct file *file = call->file;
    struct file_entry entry;
    uint64_t first, length;

    if (file->streaming || !file_entry_take(&entry, note) || entry.etag == NULL ||
        strcmp(entry.path, file->path) != 0 || !file_count_take(note, "offset", &first) ||
        !file_count_take(note, "length", &length) || first != file->first || first > entry.size ||
        length > entry.size - first || (file->partial ? length != file->length : length != entry.size)) {
        file_nonsense(file, "which bytes of a file come");
        return;
    }
    file_etag_set(file, &entry);
    file->length = length;
    get_answer(call, file->partial ? 206 : 200, entry.size);
}

static void
get_on_drain(struct sbx_http_request *request)
{
    struct call *call = sbx_http_request_user(request);
    struct file *file = call->file;
    size_t owed = (size_t)file->owed;

    file->owed = 0;
    file->client_slow = false;
    file_progress(file);
    file_consumed(file, owed);
}

static void
get_pass(struct call *call, const char *data, size_t len)
{
    struct file *file = call->file;

    sbx_http_reply_write(call->request, data, len);
    if (sbx_http_reply_pending(call->request) > GET_AHEAD) {
        sbx_http_reply_on_drain(call->request, get_on_drain);
        file->owed += len;
        file->client_slow = true;
    } else {
        file_consumed(file, len);
    }
}

static void
read_on_data(struct call *call, const char *data, size_t len)
{
    struct file *file = call->file;

    if (!file->streaming || len > file->length - file->sent) {
        file_nonsense(file, "more of a file than there is");
        return;
    }
    file->sent += len;
    get_pass(call, data, len);
}

static void
read_on_done(struct call *call, const json_t *end _unused_)
{
    struct file *file = call->file;

    if (!file->streaming || file->sent != file->length) {
        file_nonsense(file, "less of a file than it said");
        return;
    }
    file_audit(call, "file.read", file->path, NULL, file->sent, NULL);
    call_end_stream(call);
}

static void
read_on_failed(struct call *call, enum file_error error, const char *message)
{
    struct file *file = call->file;

    if (error == FILE_E_IS_A_DIRECTORY && !file->streaming) {
        get_list(call);
    } else if (error == FILE_E_BUSY && !file->streaming && file->tries++ < GET_TRIES) {
        get_stat(call);
    } else {
        file_refuse(call, error, message);
    }
}

static void
get_read(struct call *call)
{
    static const struct file_events events = {
        .note = read_on_note,
        .data = read_on_data,
        .done = read_on_done,
        .failed = read_on_failed,
    };
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(FILE_JSON_MAX);
    struct file *file = call->file;
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "op", "fs.read");
    sbx_jsonw_str(&w, "path", file->path);
    sbx_jsonw_uint(&w, "offset", file->first);
    if (file->etag[0] != '\0') {
        sbx_jsonw_uint(&w, "length", file->length);
        sbx_jsonw_strn(&w, "etag", file->etag + 1, strlen(file->etag) - 2);
    }
    sbx_jsonw_object_end(&w);
    file_ask(call, &json, &events);
}

static void
get_not_satisfiable(struct call *call, const struct range *range, uint64_t size)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(4096);
    char text[RANGE_TEXT_MAX];
    const struct sbx_http_header header = { "Content-Range", text };

    range_text(text, range, size);
    sbx_problem_write(&body, &(struct sbx_problem){
                                 .code = SBX_PROBLEM_RANGE_NOT_SATISFIABLE,
                                 .request_id = call->request_id,
                             });
    call_reply(call, 416, SBX_PROBLEM_TYPE, &header, 1, body.failed ? "{}" : body.data,
               body.failed ? 2 : body.len);
}

/* RFC 9110, 13.2.2. */
static void
get_decide(struct call *call, const struct file_entry *entry)
{
    const char *match = sbx_http_request_header(call->request, "If-Match");
    const char *none = sbx_http_request_header(call->request, "If-None-Match");
    struct file *file = call->file;
    struct range range;

    file_etag_set(file, entry);
    if (match != NULL && !range_tag_in(match, file->etag, false)) {
        call_problem(call, SBX_PROBLEM_PRECONDITION_FAILED, NULL);
        return;
    }
    if (none != NULL && range_tag_in(none, file->etag, true)) {
        const struct sbx_http_header header = { "ETag", file->etag };

        call_reply(call, 304, NULL, &header, 1, "", 0);
        return;
    }
    range_of_request(&range, call->request, file->etag, entry->size);
    if (is_head(call)) {
        range = (struct range){ RANGE_WHOLE, 0, entry->size }; /* Range is of GET only */
    }
    if (range.kind == RANGE_UNSATISFIABLE) {
        get_not_satisfiable(call, &range, entry->size);
        return;
    }
    file->first = range.first;
    file->length = range.length;
    file->partial = range.kind == RANGE_PART;
    if (is_head(call)) {
        get_answer(call, 200, entry->size);
        call_end_stream(call);
        return;
    }
    get_read(call);
}

static void
stat_on_done(struct call *call, const json_t *end)
{
    struct file_entry entry;

    if (!file_entry_take(&entry, end) || strcmp(entry.path, call->file->path) != 0) {
        file_nonsense(call->file, "an entry that is none");
    } else if (strcmp(entry.kind, "directory") == 0) {
        get_list(call);
    } else if (entry.etag == NULL) {
        file_refuse(call, FILE_E_DENIED, "it is no regular file");
    } else {
        get_decide(call, &entry);
    }
}

static void
ask_path(struct call *call, const char *op, const struct file_events *events)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(FILE_JSON_MAX);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "op", op);
    sbx_jsonw_str(&w, "path", call->file->path);
    sbx_jsonw_object_end(&w);
    file_ask(call, &json, events);
}

static void
get_stat(struct call *call)
{
    static const struct file_events events = { .done = stat_on_done };

    ask_path(call, "fs.stat", &events);
}

void
handle_file_get(struct call *call)
{
    if (!file_begin(call, call->rest, true)) {
        return;
    }
    if (call->file->path[0] == '\0') {
        get_list(call);
    } else if (has_conditions(call)) {
        get_stat(call);
    } else {
        get_read(call);
    }
}

/* A client may leave the slash away, as of any directory below. */
void
handle_file_root(struct call *call)
{
    if (file_begin(call, "", true)) {
        get_list(call);
    }
}

static bool
list_is_below(const char *dir, const char *path)
{
    size_t len = strlen(dir);

    return len == 0 ? *path != '\0' : strncmp(dir, path, len) == 0 && path[len] == '/';
}

static bool
list_line(struct call *call, const char *line, size_t len)
{
    struct file *file = call->file;
    _cleanup_(sbx_json_decrefp) json_t *object = NULL;
    struct sbx_field_error err;
    struct file_entry entry;
    struct sbx_jsonw w;

    if (sbx_json_parse(&object, line, len, &err) != 0 || !file_entry_take(&entry, object) ||
        !list_is_below(file->path, entry.path) || ++file->n_entries > LIST_MAX) {
        return false;
    }
    sbx_buf_puts(&file->list, file->n_entries > 1 ? "," : "");
    sbx_jsonw_init(&w, &file->list);
    sbx_jsonw_object(&w, NULL);
    file_entry_write(&w, &entry);
    sbx_jsonw_object_end(&w);
    sbx_buf_reset(&file->rest); /* the last path, for the next page */
    sbx_buf_puts(&file->rest, entry.path);
    return true;
}

static void
list_on_data(struct call *call, const char *data, size_t len)
{
    file_lines(call->file, data, len, list_line);
}

static void
list_on_done(struct call *call, const json_t *end)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT((16u << 20) + 8192);
    struct file *file = call->file;
    const json_t *more = json_object_get(end, "more");
    struct sbx_jsonw w;
    uint64_t unnamed, n;

    if (!json_is_boolean(more) || !file_count_take(end, "unnamed", &unnamed) ||
        !file_count_take(end, "entries", &n) || n != file->n_entries || file->line.len > 0) {
        file_nonsense(file, "the end of a list of files");
        return;
    }
    sbx_buf_puts(&file->list, "]");
    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "path", file->path);
    sbx_jsonw_raw(&w, "entries", file->list.data, file->list.len);
    sbx_jsonw_uint(&w, "unnamed", unnamed);
    sbx_jsonw_str(&w, "next", json_is_true(more) && n > 0 ? file->rest.data : NULL);
    sbx_jsonw_object_end(&w);
    body.failed = body.failed || file->list.failed || file->rest.failed;
    call_reply_json(call, 200, NULL, 0, &body);
}

/* Parameters of a list; false when one was refused. */
static bool
list_params(struct call *call, struct sbx_jsonw *w)
{
    char text[FILE_PATH_MAX + 1], after[FILE_PATH_MAX + 1];
    struct sbx_field_error err = { 0 };
    enum call_param recursive = call_param(call, "recursive", text, sizeof(text));
    char *end;

    if (recursive == CALL_PARAM_BAD ||
        (recursive == CALL_PARAM_FINE && strcmp(text, "true") != 0 && strcmp(text, "false") != 0)) {
        sbx_field_error_set(&err, "recursive", "must be true or false");
    }
    sbx_jsonw_bool(w, "recursive", recursive == CALL_PARAM_FINE && strcmp(text, "true") == 0);
    switch (call_param(call, "limit", text, sizeof(text))) {
    case CALL_PARAM_ABSENT:
        break;
    case CALL_PARAM_FINE: {
        unsigned long limit = strtoul(text, &end, 10);

        if (text[0] < '0' || text[0] > '9' || *end != '\0' || limit < 1 || limit > LIST_MAX) {
            sbx_field_error_set(&err, "limit", "must be 1 to 1000");
        }
        sbx_jsonw_uint(w, "limit", limit);
        break;
    }
    case CALL_PARAM_BAD:
        sbx_field_error_set(&err, "limit", "must be 1 to 1000");
        break;
    }
    switch (call_param(call, "after", after, sizeof(after))) {
    case CALL_PARAM_ABSENT:
        break;
    case CALL_PARAM_FINE:
        if (file_path_refusal(after, false) != NULL || !list_is_below(call->file->path, after)) {
            sbx_field_error_set(&err, "after", "must be the next of the page before");
        }
        sbx_jsonw_str(w, "after", after);
        break;
    case CALL_PARAM_BAD:
        sbx_field_error_set(&err, "after", "must be the next of the page before");
        break;
    }
    if (err.message[0] != '\0') {
        call_problem_field(call, &err);
        return false;
    }
    return true;
}

static void
get_list(struct call *call)
{
    static const struct file_events events = { .data = list_on_data, .done = list_on_done };
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(FILE_JSON_MAX);
    struct file *file = call->file;
    struct sbx_jsonw w;

    sbx_buf_puts(&file->list, "[");
    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "op", "fs.list");
    sbx_jsonw_str(&w, "path", file->path);
    if (!list_params(call, &w)) {
        return;
    }
    sbx_jsonw_object_end(&w);
    file_ask(call, &json, &events);
}

static void
entry_on_done(struct call *call, const json_t *end)
{
    struct file_entry entry;

    if (!file_entry_take(&entry, end) || strcmp(entry.path, call->file->path) != 0) {
        file_nonsense(call->file, "an entry that is none");
        return;
    }
    file_reply_entry(call, 200, &entry);
}

void
handle_file_stat(struct call *call)
{
    static const struct file_events events = { .done = entry_on_done };
    char path[FILE_PATH_MAX + 2];
    enum call_param has = call_param(call, "path", path, sizeof(path));

    if (file_begin(call, has == CALL_PARAM_FINE ? path : has == CALL_PARAM_ABSENT ? "" : NULL, true)) {
        ask_path(call, "fs.stat", &events);
    }
}

static void
tar_on_note(struct call *call, const json_t *note)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf disposition = SBX_BUF_INIT(4096);
    struct file *file = call->file;
    struct sbx_http_header headers[2];
    struct file_entry entry;

    if (file->streaming || !file_entry_take(&entry, note) || strcmp(entry.path, file->path) != 0) {
        file_nonsense(file, "which directory comes");
        return;
    }
    name_disposition(&disposition, file->path[0] == '\0' ? "workspace" : file->path, ".tar");
    headers[0] = (struct sbx_http_header){ "X-Content-Type-Options", "nosniff" };
    headers[1] = (struct sbx_http_header){ "Content-Disposition",
                                           disposition.failed ? "attachment" : disposition.data };
    call_start_stream(call, 200, "application/x-tar", headers, 2, CALL_STREAM_CHUNKED);
    file->streaming = true;
}

static void
tar_on_data(struct call *call, const char *data, size_t len)
{
    struct file *file = call->file;

    if (!file->streaming) {
        file_nonsense(file, "bytes before what they are");
        return;
    }
    file->sent += len;
    get_pass(call, data, len);
}

static void
tar_on_done(struct call *call, const json_t *end _unused_)
{
    struct file *file = call->file;

    if (!file->streaming) {
        file_nonsense(file, "an archive that did not come");
        return;
    }
    file_audit(call, "file.archived", file->path, NULL, file->sent, NULL);
    call_end_stream(call);
}

void
handle_archive_get(struct call *call)
{
    static const struct file_events events = {
        .note = tar_on_note,
        .data = tar_on_data,
        .done = tar_on_done,
    };
    char path[FILE_PATH_MAX + 2];
    enum call_param has = call_param(call, "path", path, sizeof(path));

    if (file_begin(call, has == CALL_PARAM_FINE ? path : has == CALL_PARAM_ABSENT ? "" : NULL, true)) {
        call->file->archive = true;
        ask_path(call, "fs.tar", &events);
    }
}
