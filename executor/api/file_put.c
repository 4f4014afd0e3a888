/*
 * Bytes into a workspace: a whole file, a piece of one, an archive. The body is passed on as it comes, as fast as the
 * agent takes it: what has no window waits in one buffer, and the client with it.
 *
 *   begin_* -> put_on_body ... -> handle_file_put (the body has ended) -> put_on_done -> answer
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/file.h"
#include "executor/api/handlers.h"
#include "executor/api/range.h"
#include "executor/api/session_call.h"

#define PUT_TAGS_MAX 32u
#define ARCHIVE_MAX_FILES 100000u
/* An archive is larger than its files: a header and padding each, at most two headers for a long name. */
#define ARCHIVE_OVERHEAD 4096u

static bool
body_drop(struct sbx_http_request *request _unused_, const char *data _unused_, size_t len _unused_)
{
    return false; /* the answer is on its way */
}

static void
put_too_large(struct call *call)
{
    char detail[96];

    (void)snprintf(detail, sizeof(detail), "at most %" PRIu64 " bytes", call->file->max_bytes); /* fits */
    call_problem(call, SBX_PROBLEM_PAYLOAD_TOO_LARGE, detail);
}

/* All that has come and had no room. */
static void
put_flush(struct file *file)
{
    size_t n;

    if (file->rest.len == 0) {
        return;
    }
    n = sbx_channel_write(file->channel, 0, file->rest.data, file->rest.len);
    if (n > 0) {
        file_progress(file);
        sbx_buf_consume(&file->rest, n);
    }
}

static void
put_on_writable(struct call *call)
{
    struct file *file = call->file;

    put_flush(file);
    if (file->rest.len > 0) {
        return;
    }
    if (file->complete) {
        sbx_channel_shut(file->channel);
    } else {
        file->client_silent = true;
        sbx_http_request_resume(call->request);
    }
}

static bool
put_on_body(struct sbx_http_request *request, const char *data, size_t len)
{
    struct call *call = sbx_http_request_user(request);
    struct file *file = call->file;
    size_t n;

    if (len > file->max_bytes - file->received) {
        put_too_large(call);
        return false;
    }
    if (file->channel == NULL) {
        return false; /* the session is about to end, or has */
    }
    file->received += len;
    if (sbx_sha256_update(file->sha256, data, len) != 0) {
        call_problem_internal(call, -EIO);
        return false;
    }
    n = file->rest.len > 0 ? 0 : sbx_channel_write(file->channel, 0, data, len);
    if (n > 0) {
        file_progress(file);
    }
    sbx_buf_append(&file->rest, data + n, len - n);
    if (file->rest.failed) {
        call_problem_internal(call, -ENOMEM);
        return false;
    }
    file->client_silent = file->rest.len == 0;
    return file->rest.len == 0;
}

/* Nothing comes of a body that is larger than it may be: said before it is sent. */
static bool
put_length_fine(struct call *call, uint64_t limit)
{
    const char *length = sbx_http_request_header(call->request, "Content-Length");

    if (length != NULL && strtoull(length, NULL, 10) > limit) {
        put_too_large(call);
        return false;
    }
    return true;
}

static bool
put_begin(struct call *call, const char *path, bool may_be_root)
{
    struct file *file;
    int r;

    sbx_http_request_stream(call->request, body_drop);
    if (!file_begin(call, path, may_be_root)) {
        return false;
    }
    file = call->file;
    file->max_bytes = call->context.max_upload_bytes;
    if (file->max_bytes == 0 || file->max_bytes > INT64_MAX / 4) {
        file->max_bytes = API_MAX_UPLOAD;
    }
    r = sbx_sha256_new(&file->sha256);
    if (r) {
        call_problem_internal(call, r);
        return false;
    }
    file->client_silent = true;
    return true;
}

/* `"a", W/"b"` as an array of a and b, "*" of itself; weak ones match no writing (RFC 9110, 13.1.1). */
static bool
put_tags(struct call *call, struct sbx_jsonw *w, const char *header, const char *key, bool weak)
{
    const char *p = sbx_http_request_header(call->request, header);
    struct sbx_field_error err = { 0 };
    unsigned n = 0;

    if (p == NULL) {
        return true;
    }
    call->file->conditional = true;
    sbx_jsonw_array(w, key);
    while (*(p += strspn(p, " \t,")) != '\0') {
        bool is_weak = strncmp(p, "W/", 2) == 0;
        const char *end;

        p += is_weak ? 2 : 0;
        end = *p == '"' ? strchr(p + 1, '"') : NULL;
        if (*p == '*' && !is_weak && n == 0) {
            end = p++;
            sbx_jsonw_str(w, NULL, "*");
        } else if (end == NULL || end - p > FILE_ETAG_MAX - 20 || n == PUT_TAGS_MAX) {
            sbx_field_error_set(&err, header, "must be entity tags, or *");
            call_problem_field(call, &err);
            return false;
        } else if (!is_weak || weak) {
            sbx_jsonw_strn(w, NULL, p + 1, (size_t)(end - p - 1));
        }
        p = end + 1;
        n++;
    }
    sbx_jsonw_array_end(w);
    return true;
}

/* Content-Range of a PUT: the piece goes where it says. */
static bool
put_piece(struct call *call, struct sbx_jsonw *w)
{
    const char *text = sbx_http_request_header(call->request, "Content-Range");
    const char *length = sbx_http_request_header(call->request, "Content-Length");
    struct file *file = call->file;
    const char *why = NULL;
    struct range_piece piece;

    if (text == NULL) {
        sbx_jsonw_str(w, "mode", "replace");
        if (length != NULL) {
            sbx_jsonw_uint(w, "total", strtoull(length, NULL, 10));
        }
        return put_length_fine(call, file->max_bytes);
    }
    if (sbx_http_request_header_count(call->request, "Content-Range") != 1 ||
        !range_piece_parse(&piece, text)) {
        why = "must be bytes FIRST-LAST/TOTAL";
    } else if (length != NULL && strtoull(length, NULL, 10) != piece.length) {
        why = "must be as long as the body";
    }
    if (why != NULL) {
        struct sbx_field_error err;

        sbx_field_error_set(&err, "Content-Range", "%s", why);
        call_problem_field(call, &err);
        return false;
    }
    if (piece.total > file->max_bytes) {
        put_too_large(call);
        return false;
    }
    file->partial = true;
    file->first = piece.first;
    file->length = piece.length;
    sbx_jsonw_str(w, "mode", "range");
    sbx_jsonw_uint(w, "offset", piece.first);
    sbx_jsonw_uint(w, "total", piece.total);
    return true;
}

static void
put_sha256(struct file *file, char hex[SBX_SHA256_HEX])
{
    uint8_t digest[SBX_SHA256_LEN];

    hex[0] = '\0';
    if (sbx_sha256_final(file->sha256, digest) == 0) {
        sbx_hex(hex, digest, sizeof(digest));
    }
}

static void
put_on_done(struct call *call, const json_t *end)
{
    struct file *file = call->file;
    const json_t *created = json_object_get(end, "created");
    char hex[SBX_SHA256_HEX];
    struct file_entry entry;
    uint64_t offset;

    if (!file->complete || !file_entry_take(&entry, end) || strcmp(entry.path, file->path) != 0 ||
        entry.etag == NULL || !json_is_boolean(created) || !file_count_take(end, "offset", &offset) ||
        offset != file->first + file->received) {
        file_nonsense(file, "how a file was written");
        return;
    }
    put_sha256(file, hex);
    file_audit(call, "file.uploaded", file->path, NULL, file->received, hex);
    file_reply_entry(call, json_is_true(created) ? 201 : 200, &entry);
}

void
begin_file_put(struct call *call)
{
    static const struct file_events events = { .writable = put_on_writable, .done = put_on_done };
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(FILE_JSON_MAX);
    struct sbx_jsonw w;

    if (!put_begin(call, call->rest, false)) {
        return;
    }
    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "op", "fs.write");
    sbx_jsonw_str(&w, "path", call->file->path);
    sbx_jsonw_uint(&w, "max_bytes", call->file->max_bytes);
    if (!put_piece(call, &w) || !put_tags(call, &w, "If-Match", "if_match", false) ||
        !put_tags(call, &w, "If-None-Match", "if_none_match", true)) {
        return;
    }
    sbx_jsonw_object_end(&w);
    sbx_http_request_stream(call->request, put_on_body);
    file_ask(call, &json, &events);
}

/* The body has ended. */
void
handle_file_put(struct call *call)
{
    struct file *file = call->file;
    struct sbx_field_error err = { 0 };

    if (file == NULL || file->channel == NULL) {
        return; /* it is being answered */
    }
    if (file->partial && file->received != file->length) {
        sbx_field_error_set(&err, "Content-Range", "must be as long as the body");
        call_problem_field(call, &err);
        return;
    }
    file->complete = true;
    file->client_silent = false;
    file_progress(file);
    if (file->rest.len == 0) {
        sbx_channel_shut(file->channel);
    } /* else put_on_writable does */
}

static void
archive_on_done(struct call *call, const json_t *end)
{
    static const char *const counts[] = { "files", "directories", "bytes" };
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(FILE_JSON_MAX);
    struct file *file = call->file;
    char hex[SBX_SHA256_HEX];
    struct sbx_jsonw w;
    uint64_t value;

    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "path", file->path);
    for (size_t i = 0; i < SBX_COUNT(counts); i++) {
        if (!file->complete || !file_count_take(end, counts[i], &value)) {
            file_nonsense(file, "how an archive was unpacked");
            return;
        }
        sbx_jsonw_uint(&w, counts[i], value);
    }
    sbx_jsonw_object_end(&w);
    put_sha256(file, hex);
    file_audit(call, "file.uploaded", file->path, NULL, file->received, hex);
    call_reply_json(call, 200, NULL, 0, &body);
}

void
begin_archive_put(struct call *call)
{
    static const struct file_events events = { .writable = put_on_writable, .done = archive_on_done };
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(FILE_JSON_MAX);
    char path[FILE_PATH_MAX + 2];
    enum call_param has = call_param(call, "path", path, sizeof(path));
    struct sbx_jsonw w;
    uint64_t max;

    if (!put_begin(call, has == CALL_PARAM_FINE ? path : has == CALL_PARAM_ABSENT ? "" : NULL, true)) {
        return;
    }
    max = call->file->max_bytes;
    if (!put_length_fine(call, max + (uint64_t)ARCHIVE_OVERHEAD * ARCHIVE_MAX_FILES)) {
        return;
    }
    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "op", "fs.untar");
    sbx_jsonw_str(&w, "path", call->file->path);
    sbx_jsonw_uint(&w, "max_bytes", max);
    sbx_jsonw_uint(&w, "max_files", ARCHIVE_MAX_FILES);
    sbx_jsonw_object_end(&w);
    call->file->max_bytes = max + (uint64_t)ARCHIVE_OVERHEAD * ARCHIVE_MAX_FILES;
    sbx_http_request_stream(call->request, put_on_body);
    file_ask(call, &json, &events);
}
