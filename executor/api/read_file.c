/*
 * GET /tools/files: what a file is, for an agent to look at. Text comes as text, an image as an image, a directory as a list,
 * anything else as a link; base64 only to who asks for it. What is not shown is named, and how to get it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/artifact_url.h"
#include "executor/api/file.h"
#include "executor/api/handlers.h"
#include "executor/api/listing.h"
#include "executor/api/routes.h"
#include "executor/api/source.h"
#include "executor/api/tool_reply.h"
#include "lib/sbx_utf8.h"

#define READ_DEFAULT 32768u
#define READ_MIN 16u /* more than a character */
#define READ_MAX 262144u
#define IMAGE_MAX (1u << 20)
#define ENTRIES_DEFAULT 200u
#define REPLY_MAX (8u << 20)
#define URL_LIFE_S 900
#define SIZE_TEXT 64

enum read_as { AS_AUTO, AS_TEXT, AS_IMAGE, AS_BASE64, AS_LINK, N_AS };

struct read_query {
    enum read_as as;
    bool has_limit;
    uint64_t offset, limit;
    bool has_uri;
    char uri[SANDBOX_URI_MAX + 1];
    char path[FILE_PATH_MAX + 2];
    bool path_bad;
    char session[SBX_ID_LEN + 1]; /* "": none of this form */
};

static bool
query_as(struct call *call, enum read_as *ret)
{
    static const char *const names[N_AS] = { "auto", "text", "image", "base64", "link" };
    char text[16];

    switch (call_param(call, "as", text, sizeof(text))) {
    case CALL_PARAM_ABSENT:
        return true;
    case CALL_PARAM_FINE:
        for (unsigned i = 0; i < N_AS; i++) {
            if (strcmp(names[i], text) == 0) {
                *ret = (enum read_as)i;
                return true;
            }
        }
        break;
    case CALL_PARAM_BAD:
        break;
    }
    return listing_bad(call, "as", "must be auto, text, image, base64 or link");
}

static bool
query_number(struct call *call, const char *name, uint64_t *ret, bool *ret_has)
{
    char text[24], *end;

    *ret_has = false;
    switch (call_param(call, name, text, sizeof(text))) {
    case CALL_PARAM_ABSENT:
        return true;
    case CALL_PARAM_FINE:
        if (strspn(text, "0123456789") == strlen(text) && text[0] != '\0' && strlen(text) < 19) {
            *ret_has = true;
            *ret = strtoull(text, &end, 10);
            return true;
        }
        break;
    case CALL_PARAM_BAD:
        break;
    }
    return listing_bad(call, name, "must be a number of bytes");
}

/* Either a URI, or a session and a path in it. */
static bool
query_what(struct call *call, struct read_query *query)
{
    enum call_param uri = call_param(call, "uri", query->uri, sizeof(query->uri));
    enum call_param path = call_param(call, "path", query->path, sizeof(query->path));
    char session[SBX_ID_LEN + 2];
    enum call_param has_session = call_param(call, "session", session, sizeof(session));

    query->has_uri = uri != CALL_PARAM_ABSENT;
    query->path_bad = path == CALL_PARAM_BAD;
    if (query->has_uri == (has_session != CALL_PARAM_ABSENT) ||
        (query->has_uri && path != CALL_PARAM_ABSENT)) {
        return listing_bad(call, "uri", "is needed, or session with path, and not both");
    }
    if (uri == CALL_PARAM_BAD) {
        query->uri[0] = '\0'; /* names nothing */
    }
    if (path != CALL_PARAM_FINE) {
        query->path[0] = '\0';
    }
    if (has_session == CALL_PARAM_FINE && sbx_id_valid(session, strlen(session), "ses")) {
        memcpy(query->session, session, strlen(session) + 1);
    }
    return true;
}

static bool
query_read(struct call *call, struct read_query *query)
{
    bool has_offset;

    memset(query, 0, sizeof(*query));
    query->limit = READ_DEFAULT;
    if (!query_what(call, query) || !query_as(call, &query->as) ||
        !query_number(call, "offset", &query->offset, &has_offset) ||
        !query_number(call, "limit", &query->limit, &query->has_limit)) {
        return false;
    }
    if (query->limit < 1) {
        return listing_bad(call, "limit", "must be at least 1");
    }
    query->limit = query->limit < READ_MIN ? READ_MIN : query->limit > READ_MAX ? READ_MAX : query->limit;
    return true;
}

/* The query is the request's, which outlives all callbacks: read again it costs less than it would kept. */
static struct read_query
query_again(struct call *call)
{
    struct read_query query;

    (void)query_read(call, &query); /* it was fine */
    return query;
}

/* Only the whole of a picture is one. */
static const char *
read_image_type(const struct source *source)
{
    return source->offset == 0 && source->size <= IMAGE_MAX
               ? tool_image_type(source->data.data, source->data.len)
               : NULL;
}

static void
size_text(char out[SIZE_TEXT], uint64_t size)
{
    (void)snprintf(out, SIZE_TEXT, "%" PRIu64 " byte%s", size, size == 1 ? "" : "s"); /* fits */
}

static void
reply_begin(struct sbx_jsonw *w, struct sbx_buf *body)
{
    sbx_jsonw_init(w, body);
    sbx_jsonw_object(w, NULL);
    sbx_jsonw_array(w, "content");
}

static void
reply_end(struct call *call, struct sbx_jsonw *w)
{
    sbx_jsonw_array_end(w);
    sbx_jsonw_bool(w, "isError", false);
    sbx_jsonw_object_end(w);
    tool_reply(call, NULL, w->buf);
}

static void
reply_note(struct sbx_jsonw *w, struct sbx_buf *note)
{
    w->buf->failed = w->buf->failed || note->failed;
    tool_text(w, note->failed ? "" : note->data, note->failed ? 0 : note->len);
}

/* Where its bytes are to be had over HTTP. What is signed needs no token, and is only for who may sign. */
static bool
write_download(struct call *call, struct sbx_buf *out)
{
    const struct source *source = call->source;
    struct artifact_url url;
    int r;

    if (source->uri.kind == SANDBOX_URI_SESSION) {
        sbx_buf_printf(out, "GET /v1/sessions/%s/files/", source->uri.id);
        sandbox_uri_write_path(out, source->uri.path);
        sbx_buf_puts(out, " of the API downloads it.");
        return true;
    }
    if (source->uri.kind == SANDBOX_URI_STEP) {
        sbx_buf_printf(out, "GET /v1/sessions/%s/steps/%s of the API has it among the results.",
                       source->uri.id, source->uri.step);
        return true;
    }
    if (!scope_permits(ARTIFACT_URL_SCOPE, call->context.scopes)) {
        sbx_buf_printf(out, "GET /v1/artifacts/%s/content of the API downloads it.",
                       source->artifact.id.text);
        return true;
    }
    r = artifact_url_make(&url, call, &source->artifact, URL_LIFE_S);
    if (r) {
        call_problem_internal(call, r);
        return false;
    }
    sbx_buf_printf(out, "It can be downloaded until %s without a token from %s", url.expires, url.text);
    return true;
}

static void
reply_link(struct call *call, const char *why)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(REPLY_MAX), note = SBX_BUF_INIT(16384),
                                             uri = SBX_BUF_INIT(16384);
    const struct source *source = call->source;
    struct tool_link link = { .name = source_name(source), .mime = source->mime, .size = source->size };
    char size[SIZE_TEXT];
    struct sbx_jsonw w;

    size_text(size, source->size);
    sbx_buf_printf(&note, "%s: %s, %s. %s", link.name, size, source->mime, why);
    sbx_buf_puts(&note, *why == '\0' ? "" : " ");
    if (!write_download(call, &note)) {
        return;
    }
    sandbox_uri_write(&uri, &source->uri);
    link.uri = uri.failed ? "" : uri.data;
    body.failed = uri.failed;
    reply_begin(&w, &body);
    reply_note(&w, &note);
    tool_link(&w, &link);
    reply_end(call, &w);
}

static void
reply_image(struct call *call, const char *type)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(REPLY_MAX), note = SBX_BUF_INIT(16384);
    const struct source *source = call->source;
    char size[SIZE_TEXT];
    struct sbx_jsonw w;

    size_text(size, source->size);
    sbx_buf_printf(&note, "%s: %s, %s", source_name(source), size, type);
    reply_begin(&w, &body);
    reply_note(&w, &note);
    tool_image(&w, type, source->data.data, source->data.len);
    reply_end(call, &w);
}

/* Which bytes these were, and how to go on; of all of them there is nothing to say. */
static void
write_place(struct sbx_jsonw *w, const struct source *source, uint64_t first, uint64_t len)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf note = SBX_BUF_INIT(512);
    const uint64_t end = first + len;

    if (source->size == 0) {
        sbx_buf_puts(&note, "[the file is empty]");
    } else if (len == 0) {
        sbx_buf_printf(&note, "[offset %" PRIu64 " is the end of the file]", first);
    } else if (first > 0 || end < source->size) {
        sbx_buf_printf(&note, "[bytes %" PRIu64 " to %" PRIu64 " of %" PRIu64, first, end - 1, source->size);
        if (end < source->size) {
            sbx_buf_printf(&note, "; read on with offset=%" PRIu64 "]", end);
        } else {
            sbx_buf_puts(&note, ", to the end]");
        }
    }
    if (note.len > 0 || note.failed) {
        reply_note(w, &note);
    }
}

/* Whole characters: the bytes at the beginning that end one, and at the end those that begin one. */
static void
text_whole(const struct source *source, uint64_t limit, size_t *ret_skip, size_t *ret_len)
{
    const char *data = source->data.data;
    size_t len = source->data.len < limit ? source->data.len : (size_t)limit, skip = 0, cut = 0;

    while (source->offset > 0 && skip < 3 && skip < len && ((unsigned char)data[skip] & 0xc0) == 0x80) {
        skip++;
    }
    if (source->offset + len < source->size) {
        while (cut < 3 && cut < len - skip && ((unsigned char)data[len - 1 - cut] & 0xc0) == 0x80) {
            cut++;
        }
        /* What began is whole, or is cut with the byte that begins it. */
        if (cut < len - skip && (unsigned char)data[len - 1 - cut] >= 0xc0 &&
            sbx_utf8_sequence(data + len - 1 - cut, cut + 1) != cut + 1) {
            cut++;
        } else {
            cut = 0;
        }
    }
    *ret_skip = skip;
    *ret_len = len - skip - cut;
}

static bool
is_text(const char *data, size_t len)
{
    return sbx_utf8_valid(data, len) && memchr(data, '\0', len) == NULL;
}

static void
reply_text(struct call *call, const char *text, size_t skip, size_t len)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(REPLY_MAX);
    const struct source *source = call->source;
    struct sbx_jsonw w;

    reply_begin(&w, &body);
    tool_text(&w, text, len);
    write_place(&w, source, source->offset + skip, len);
    if (!is_text(text, len)) {
        static const char note[] =
            "[bytes that are not UTF-8 are shown as U+FFFD; as=base64 gives them as they are]";

        tool_text(&w, note, sizeof(note) - 1);
    }
    reply_end(call, &w);
}

static void
reply_base64(struct call *call, size_t len)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(REPLY_MAX),
                                             text = SBX_BUF_INIT(REPLY_MAX / 2);
    const struct source *source = call->source;
    struct sbx_jsonw w;

    sbx_b64_encode(&text, source->data.data, len);
    body.failed = text.failed;
    reply_begin(&w, &body);
    tool_text(&w, text.failed || text.len == 0 ? "" : text.data, text.failed ? 0 : text.len);
    write_place(&w, source, source->offset, len);
    reply_end(call, &w);
}

static void
reply_auto(struct call *call, uint64_t limit)
{
    const struct source *source = call->source;
    const char *type = read_image_type(source);
    size_t skip, len;

    if (type != NULL) {
        reply_image(call, type);
        return;
    }
    text_whole(source, limit, &skip, &len);
    if (is_text(source->data.data + skip, len)) {
        reply_text(call, source->data.data + skip, skip, len);
    } else if (tool_image_type(source->data.data, source->data.len) != NULL && source->offset == 0) {
        reply_link(call, "The image is too large to be shown: make it smaller, at most 1 MiB.");
    } else {
        reply_link(call, "It is not text: as=base64 reads its bytes.");
    }
}

static void
reply_as_image(struct call *call)
{
    const struct source *source = call->source;
    const char *type = read_image_type(source);

    if (type != NULL) {
        reply_image(call, type);
    } else if (source->size > IMAGE_MAX) {
        reply_link(call, "It is too large to be shown: make it smaller, at most 1 MiB.");
    } else {
        (void)listing_bad(call, "as", "the file is no PNG, JPEG, GIF or WebP image"); /* it answers */
    }
}

static void
read_on_done(struct call *call)
{
    const struct read_query query = query_again(call);
    struct source *source = call->source;
    size_t skip, len;

    sbx_buf_append(&source->data, "", 0); /* an empty file has bytes too, none */
    if (source->data.failed) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    switch (query.as) {
    case AS_AUTO:
        reply_auto(call, query.limit);
        break;
    case AS_TEXT:
        text_whole(source, query.limit, &skip, &len);
        reply_text(call, source->data.data + skip, skip, len);
        break;
    case AS_IMAGE:
        reply_as_image(call);
        break;
    case AS_BASE64:
        reply_base64(call, source->data.len);
        break;
    case AS_LINK:
        reply_link(call, "");
        break;
    case N_AS:
        break;
    }
}

static bool
read_on_found(struct call *call _unused_)
{
    return true;
}

/* A picture is read to its end, of anything else no more than was asked for. */
static bool
read_enough(struct call *call)
{
    const struct read_query query = query_again(call);
    const struct source *source = call->source;

    if (source->data.len < TOOL_IMAGE_HEAD) {
        return false;
    }
    switch (query.as) {
    case AS_AUTO:
        return source->data.len >= query.limit && read_image_type(source) == NULL;
    case AS_IMAGE:
        return read_image_type(source) == NULL;
    case AS_TEXT:
    case AS_BASE64:
        return source->data.len >= query.limit;
    case AS_LINK:
    case N_AS:
        break;
    }
    return true;
}

static void
read_on_listed(struct call *call)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(REPLY_MAX), text = SBX_BUF_INIT(REPLY_MAX);
    const struct source *source = call->source;
    const char *path = source->uri.path;
    struct sbx_jsonw w;

    if (source->uri.kind == SANDBOX_URI_JOB) {
        sbx_buf_puts(&text, "Files that the job left");
    } else if (source->uri.kind == SANDBOX_URI_STEP) {
        sbx_buf_puts(&text, "Images that the step displayed");
    } else {
        sbx_buf_puts(&text, *path == '\0' ? "The workspace" : path);
    }
    sbx_buf_printf(&text, " (%u%s):%s\n", source->n_entries,
                   source->has_more ? ", and more that are not listed here" : "",
                   source->n_entries == 0 ? " nothing" : "");
    sbx_buf_append(&text, source->data.data, source->data.len);
    text.failed = text.failed || source->data.failed;
    reply_begin(&w, &body);
    reply_note(&w, &text);
    reply_end(call, &w);
}

void
handle_tool_read(struct call *call)
{
    static const struct source_events events = {
        .found = read_on_found,
        .enough = read_enough,
        .done = read_on_done,
        .listed = read_on_listed,
    };
    struct read_query query;
    struct source_ask ask;

    if (!query_read(call, &query)) {
        return;
    }
    memcpy(call->id, query.session, sizeof(call->id));
    ask = (struct source_ask){
        .uri = query.has_uri ? query.uri : NULL,
        .path = query.path_bad ? NULL : query.path,
        .events = &events,
        .offset = query.as == AS_IMAGE ? 0 : query.offset,
        .max_entries = query.has_limit ? (unsigned)query.limit : ENTRIES_DEFAULT,
    };
    ask.most = query.as == AS_LINK                                                  ? 0
               : query.as == AS_IMAGE || (query.as == AS_AUTO && query.offset == 0) ? IMAGE_MAX
                                                                                    : query.limit;
    source_open(call, &ask);
}
