/*
 *   FIELD ---':'---> VALUE ---newline---> FIELD        (a name and its value: kept, both short)
 *     |
 *     +--"data:"---> KEEP ---newline---> FIELD          (an object: written whole, so that one that breaks off is never begun)
 *                     |
 *                     +--too long---> PASS ---newline---> FIELD    (only an answer may be: written as it comes)
 */
#include "sbx_mcp_stream.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LEN 16

enum state { FIELD, VALUE, KEEP, PASS };

struct sbx_mcp_stream {
    struct sbx_mcp_reply_to to;
    enum state state;
    enum sbx_mcp_reply_kind kind; /* of the event that is being told; NONE before its name */
    bool data;                    /* this event had its line of data */
    bool is_event;                /* the value is an event's name */
    bool at_value;                /* its first byte is yet to come, which may be a space */
    bool over;
    char last; /* byte of the line of data that passes */
    size_t line_len;
    char name[NAME_MAX_LEN];
    unsigned name_len;
    struct sbx_buf line;
};

int
sbx_mcp_stream_new(struct sbx_mcp_stream **ret, const struct sbx_mcp_reply_to *to)
{
    struct sbx_mcp_stream *stream = calloc(1, sizeof(*stream));

    if (stream == NULL) {
        return -ENOMEM;
    }
    stream->to = *to;
    stream->line.max = SBX_MCP_REPLY_PARSED_MAX;
    *ret = stream;
    return 0;
}

struct sbx_mcp_stream *
sbx_mcp_stream_free(struct sbx_mcp_stream *stream)
{
    if (stream != NULL) {
        sbx_buf_deinit(&stream->line);
        free(stream);
    }
    return NULL;
}

bool
sbx_mcp_stream_is_over(const struct sbx_mcp_stream *stream)
{
    return stream->over;
}

bool
sbx_mcp_stream_is_open(const struct sbx_mcp_stream *stream)
{
    return stream->state == PASS;
}

void
sbx_mcp_stream_event(struct sbx_buf *out, const char *text, size_t len)
{
    sbx_buf_puts(out, "data: ");
    sbx_buf_append(out, text, len);
    sbx_buf_puts(out, "\n\n");
}

static bool
is_answer(enum sbx_mcp_reply_kind kind)
{
    return kind != SBX_MCP_REPLY_NONE && kind != SBX_MCP_REPLY_PROGRESS && kind != SBX_MCP_REPLY_NOTIFICATION;
}

/* A question or an error is read, whatever it was sent as; the status of HTTP was sent long ago. */
static int
put_read(struct sbx_mcp_stream *stream, struct sbx_buf *out)
{
    int status, r;

    if (stream->kind == SBX_MCP_REPLY_INPUT_REQUIRED) {
        r = sbx_mcp_reply_input(out, &stream->to, stream->line.data, stream->line.len, &status);
    } else {
        r = sbx_mcp_reply_error(out, &stream->to, stream->line.data, stream->line.len, &status);
    }
    return r > 0 ? SBX_MCP_STREAM_E_FORM : r;
}

/* The head with the object's first bytes behind it: "{", space, then a member or the end. */
static int
put_begin(struct sbx_mcp_stream *stream, struct sbx_buf *out)
{
    size_t i = strspn(stream->line.data, " \t");
    bool comma;

    if (stream->line.data[i] != '{') {
        return SBX_MCP_STREAM_E_FORM;
    }
    i++;
    i += strspn(stream->line.data + i, " \t");
    if (i == stream->line.len) {
        return SBX_MCP_STREAM_E_FORM;
    }
    comma = sbx_mcp_reply_head(out, &stream->to, stream->kind);
    if (comma && stream->line.data[i] != '}') {
        sbx_buf_putc(out, ',');
    }
    sbx_buf_append(out, stream->line.data + i, stream->line.len - i);
    return 0;
}

/* The whole line is kept. */
static int
put_kept(struct sbx_mcp_stream *stream, struct sbx_buf *out)
{
    size_t before = out->len;
    int r;

    sbx_buf_puts(out, "data: ");
    if (stream->kind == SBX_MCP_REPLY_INPUT_REQUIRED || stream->kind == SBX_MCP_REPLY_ERROR) {
        r = put_read(stream, out);
    } else {
        r = stream->line.data[stream->line.len - 1] == '}' ? put_begin(stream, out) : SBX_MCP_STREAM_E_FORM;
        sbx_buf_puts(out, sbx_mcp_reply_tail(stream->kind));
    }
    sbx_buf_puts(out, "\n\n");
    if (r != 0) {
        out->len = before;
    }
    return r;
}

static int
end_data(struct sbx_mcp_stream *stream, struct sbx_buf *out)
{
    int r = 0;

    stream->data = true;
    if (stream->state == PASS) {
        sbx_buf_puts(out, sbx_mcp_reply_tail(stream->kind));
        sbx_buf_puts(out, "\n\n");
        r = stream->last == '}' ? 0 : SBX_MCP_STREAM_E_FORM;
    } else if (stream->line.len == 0) {
        r = SBX_MCP_STREAM_E_FORM;
    } else if (stream->kind != SBX_MCP_REPLY_PROGRESS || stream->to.message->progress[0] != '\0') {
        /* Of progress that nobody asked for nothing is told. */
        r = put_kept(stream, out);
    }
    stream->over = r == 0 && is_answer(stream->kind);
    sbx_buf_reset(&stream->line);
    return r;
}

/* A line of data that is longer than what is kept: from here on it goes as it comes. */
static int
begin_pass(struct sbx_mcp_stream *stream, struct sbx_buf *out)
{
    int r;

    if (stream->kind != SBX_MCP_REPLY_COMPLETE && stream->kind != SBX_MCP_REPLY_TASK) {
        return SBX_MCP_STREAM_E_FORM;
    }
    stream->state = PASS;
    sbx_buf_puts(out, "data: ");
    r = put_begin(stream, out);
    sbx_buf_reset(&stream->line);
    return r;
}

static int
end_line(struct sbx_mcp_stream *stream, struct sbx_buf *out)
{
    enum state state = stream->state;
    int r = 0;

    if (state == KEEP || state == PASS) {
        r = end_data(stream, out);
    } else if (state == VALUE && stream->is_event) {
        stream->kind = sbx_mcp_reply_kind(stream->name, stream->name_len);
        r = sbx_mcp_reply_may_be(stream->to.message, stream->kind) ? 0 : SBX_MCP_STREAM_E_FORM;
    } else if (state == VALUE && stream->name_len == 0 && stream->line_len > 0) {
        sbx_buf_puts(out, ":\n\n");
    } else if (stream->line_len == 0) {
        stream->kind = SBX_MCP_REPLY_NONE;
        stream->data = false;
    }
    if (r == 0) {
        stream->state = FIELD;
        stream->line_len = 0;
        stream->name_len = 0;
        stream->is_event = false;
    }
    return r;
}

/* A field's name is whole: "" is a comment, others than two are nobody's business. */
static int
begin_value(struct sbx_mcp_stream *stream)
{
    bool is_data = stream->name_len == 4 && memcmp(stream->name, "data", 4) == 0;

    stream->at_value = true;
    stream->is_event = stream->name_len == 5 && memcmp(stream->name, "event", 5) == 0;
    stream->state = is_data ? KEEP : VALUE;
    if (is_data && (stream->kind == SBX_MCP_REPLY_NONE || stream->data)) {
        return SBX_MCP_STREAM_E_FORM;
    }
    if (stream->is_event) {
        stream->name_len = 0;
    }
    return 0;
}

static int
take_name(struct sbx_mcp_stream *stream, char c)
{
    if (stream->name_len == NAME_MAX_LEN) {
        return SBX_MCP_STREAM_E_FORM;
    }
    stream->name[stream->name_len++] = c;
    return 0;
}

/* One byte that is not of data. */
static int
take(struct sbx_mcp_stream *stream, struct sbx_buf *out, char c)
{
    if (c == '\n') {
        return end_line(stream, out);
    }
    if (stream->state == FIELD) {
        return c == ':' ? begin_value(stream) : take_name(stream, c);
    }
    return stream->state == VALUE && stream->is_event ? take_name(stream, c) : 0;
}

/* A part of the line of data. */
static int
take_data(struct sbx_mcp_stream *stream, struct sbx_buf *out, const char *data, size_t len)
{
    size_t room = stream->line.max - stream->line.len;
    int r;

    stream->last = data[len - 1];
    if (stream->state == KEEP && len > room) {
        sbx_buf_append(&stream->line, data, room);
        r = stream->line.failed ? -ENOMEM : begin_pass(stream, out);
        if (r != 0) {
            return r;
        }
        data += room;
        len -= room;
    }
    sbx_buf_append(stream->state == PASS ? out : &stream->line, data, len);
    return stream->line.failed ? -ENOMEM : 0;
}

/* Takes some of it, at least a byte; *ret_n is how much. */
static int
take_some(struct sbx_mcp_stream *stream, struct sbx_buf *out, const char *data, size_t len, size_t *ret_n)
{
    const char *end;
    size_t n;

    *ret_n = 1;
    /* To a client it would be the end of a line; in JSON it can stand only where it means nothing. */
    if (data[0] == '\r') {
        return SBX_MCP_STREAM_E_FORM;
    }
    if (data[0] != '\n' && ++stream->line_len > SBX_MCP_STREAM_LINE_MAX) {
        return SBX_MCP_STREAM_E_FORM;
    }
    if (stream->at_value) {
        stream->at_value = false;
        if (data[0] == ' ') {
            return 0;
        }
    }
    if ((stream->state != KEEP && stream->state != PASS) || data[0] == '\n') {
        return take(stream, out, data[0]);
    }
    end = memchr(data, '\n', len);
    n = end != NULL ? (size_t)(end - data) : len;
    *ret_n = n;
    stream->line_len += n - 1;
    return memchr(data, '\r', n) != NULL ? SBX_MCP_STREAM_E_FORM : take_data(stream, out, data, n);
}

int
sbx_mcp_stream_feed(struct sbx_mcp_stream *stream, struct sbx_buf *out, const char *data, size_t len)
{
    size_t at = 0, n;
    int r = 0;

    while (at < len && r == 0 && !stream->over) {
        r = take_some(stream, out, data + at, len - at, &n);
        at += n;
    }
    return r == 0 && out->failed ? -ENOMEM : r;
}
