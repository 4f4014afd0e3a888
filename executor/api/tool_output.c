#include "executor/api/tool_output.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/sbx_utf8.h"

#define ESCAPE_LEN 4 /* \xNN */
#define CHARACTER_MAX 4

/* Bytes of the stream from `at` on that are kept one behind the other. */
struct span {
    const char *data;
    size_t len;
    uint64_t at;
};

/* Length of the character at data that may stand as it is; 0: its first byte is escaped. */
static size_t
plain(const char *data, size_t len)
{
    uint8_t c = (uint8_t)data[0];
    size_t n;

    if (c < 0x80) {
        return (c >= 0x20 && c != 0x7f) || c == '\t' || c == '\n' || c == '\r' ? 1 : 0;
    }
    n = sbx_utf8_sequence(data, len);
    return n == 2 && c == 0xc2 && (uint8_t)data[1] < 0xa0 ? 0 : n; /* C1: terminals obey them, too */
}

void
tool_output_escape(struct sbx_buf *out, const char *data, size_t len)
{
    size_t i = 0, start = 0;

    while (i < len && !out->failed) {
        size_t n = plain(data + i, len - i);

        if (n > 0) {
            i += n;
            continue;
        }
        sbx_buf_append(out, data + start, i - start);
        sbx_buf_printf(out, "\\x%02x", (unsigned)(uint8_t)data[i++]);
        start = i;
    }
    sbx_buf_append(out, data + start, i - start);
}

/* How many bytes from the beginning make at most `max` of text; *max is less by the text. */
static size_t
fit_head(const char *data, size_t len, size_t *max)
{
    size_t i = 0;

    while (i < len) {
        size_t n = plain(data + i, len - i), text = n > 0 ? n : ESCAPE_LEN;

        if (text > *max) {
            break;
        }
        *max -= text;
        i += n > 0 ? n : 1;
    }
    return i;
}

/* The same from the end. Whole characters do not overlap, so each is found from behind as it is from before. */
static size_t
fit_tail(const char *data, size_t len, size_t max)
{
    size_t left = len;

    while (left > 0) {
        size_t n = 0, text;

        for (size_t k = 1; k <= CHARACTER_MAX && k <= left && n == 0; k++) {
            n = plain(data + left - k, k) == k ? k : 0;
        }
        text = n > 0 ? n : ESCAPE_LEN;
        if (text > max) {
            break;
        }
        max -= text;
        left -= n > 0 ? n : 1;
    }
    return len - left;
}

void
tool_number(char out[TOOL_NUMBER_LEN], uint64_t number)
{
    char digits[21];
    size_t len = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, number), n = 0;

    for (size_t i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            out[n++] = ',';
        }
        out[n++] = digits[i];
    }
    out[n] = '\0';
}

/* A line of its own, wherever the text before ends. */
static void
put_line(struct sbx_buf *out, const char *text)
{
    if (out->len > 0 && out->data[out->len - 1] != '\n') {
        sbx_buf_putc(out, '\n');
    }
    sbx_buf_printf(out, "[... %s ...]\n", text);
}

/* `lost` of the omitted bytes are kept nowhere. */
static void
put_omission(struct sbx_buf *out, const char *name, uint64_t omitted, uint64_t lost, uint64_t next)
{
    char number[TOOL_NUMBER_LEN], gone[TOOL_NUMBER_LEN], text[160];

    tool_number(number, omitted);
    tool_number(gone, lost);
    /* All fit. */
    if (lost == omitted) {
        (void)snprintf(text, sizeof(text), "%s bytes were not kept", number);
    } else if (lost > 0) {
        (void)snprintf(text, sizeof(text),
                       "%s bytes omitted, %s of them not kept; get_job %s_offset=%" PRIu64, number, gone,
                       name, next);
    } else {
        (void)snprintf(text, sizeof(text), "%s bytes omitted; get_job %s_offset=%" PRIu64, number, name,
                       next);
    }
    put_line(out, text);
}

static void
put_more(struct sbx_buf *out, const char *name, uint64_t more, uint64_t next)
{
    char number[TOOL_NUMBER_LEN], text[128];

    tool_number(number, more);
    (void)snprintf(text, sizeof(text), "%s more bytes; get_job %s_offset=%" PRIu64, number, name,
                   next); /* fits */
    put_line(out, text);
}

/* Whole, when it fits; else as much of head and of tail. */
static void
write_both_ends(struct sbx_buf *out, const struct tool_output_ask *ask, const struct span *head,
                const struct span *tail, struct tool_output *ret)
{
    const struct span *last = tail->len > 0 ? tail : head;
    const uint64_t lost = tail->at - (head->at + head->len);
    size_t all = ask->max, half = ask->max / 2, first, rest;
    uint64_t shown_to, resumes;

    if (lost == 0 && tail->len == 0 && fit_head(head->data, head->len, &all) == head->len) {
        tool_output_escape(out, head->data, head->len);
        return;
    }
    first = fit_head(head->data, head->len, &half);
    rest = fit_tail(last->data, last->len, ask->max / 2 + half);
    if (last == head && rest > head->len - first) {
        rest = head->len - first;
    }
    shown_to = head->at + first;
    resumes = last == tail ? tail->at + tail->len - rest : head->at + head->len - rest;
    if (last == head && lost > 0) {
        resumes = tail->at; /* nothing is kept behind the gap */
        rest = 0;
    }
    ret->omitted = true;
    ret->more = resumes - shown_to > lost;
    ret->next = first < head->len ? shown_to : tail->at;
    tool_output_escape(out, head->data, first);
    put_omission(out, ask->name, resumes - shown_to, lost, ret->next);
    tool_output_escape(out, last->data + last->len - rest, rest);
}

void
tool_output_ends(struct sbx_buf *out, const char *data, size_t len, size_t max)
{
    size_t all = max, half = max / 2, head, tail;
    char number[TOOL_NUMBER_LEN], text[64];

    if (fit_head(data, len, &all) == len) {
        tool_output_escape(out, data, len);
        return;
    }
    head = fit_head(data, len, &half);
    tail = fit_tail(data, len, max / 2 + half);
    tool_number(number, len - head - tail);
    (void)snprintf(text, sizeof(text), "%s bytes omitted", number); /* fits */
    tool_output_escape(out, data, head);
    put_line(out, text);
    tool_output_escape(out, data + len - tail, tail);
}

/* What of a span lies behind `offset`, as far as it fits. Returns where it stopped. */
static uint64_t
write_span(struct sbx_buf *out, const struct span *span, uint64_t offset, size_t *max)
{
    size_t skip = offset > span->at ? (size_t)(offset - span->at) : 0, n;

    n = fit_head(span->data + skip, span->len - skip, max);
    tool_output_escape(out, span->data + skip, n);
    return span->at + skip + n;
}

static void
write_onwards(struct sbx_buf *out, const struct tool_output_ask *ask, const struct span *head,
              const struct span *tail, struct tool_output *ret)
{
    const uint64_t gap = head->at + head->len, end = tail->at + tail->len;
    uint64_t at = ask->offset < end ? ask->offset : end;
    size_t max = ask->max;

    if (at < gap) {
        at = write_span(out, head, at, &max);
    }
    if (at >= gap && at < tail->at) {
        put_omission(out, ask->name, tail->at - at, tail->at - at, 0);
        ret->omitted = true;
        at = tail->at;
    }
    if (at >= tail->at && at < end) {
        at = write_span(out, tail, at, &max);
    }
    ret->end = at;
    ret->next = at;
    ret->more = at < end;
    if (ret->more) {
        put_more(out, ask->name, end - at, at);
    }
}

void
tool_output_write(struct sbx_buf *out, const struct tool_output_ask *ask, struct tool_output *ret)
{
    struct feed_stored_parts parts;
    struct span head, tail;

    feed_stored_split(&parts, &ask->stored);
    head = (struct span){ parts.head, parts.head_len, 0 };
    tail = (struct span){ parts.tail, parts.tail_len, 0 };
    if (ask->live && tail.len > 0) {
        tail.len -= sbx_utf8_unfinished(tail.data, tail.len);
    } else if (ask->live && parts.omitted == 0) {
        head.len -= sbx_utf8_unfinished(head.data, head.len);
    }
    tail.at = head.len + parts.omitted;
    *ret = (struct tool_output){ .end = tail.at + tail.len, .next = tail.at + tail.len };
    if (ask->from) {
        write_onwards(out, ask, &head, &tail, ret);
    } else {
        write_both_ends(out, ask, &head, &tail, ret);
    }
}

void
tool_output_last_line(struct sbx_buf *out, const char *data, size_t len, size_t max)
{
    size_t start;

    while (len > 0 && (data[len - 1] == '\n' || data[len - 1] == '\r' || data[len - 1] == ' ')) {
        len--;
    }
    start = len;
    while (start > 0 && data[start - 1] != '\n' && data[start - 1] != '\r') {
        start--;
    }
    len -= start;
    tool_output_escape(out, data + start, fit_head(data + start, len, &max));
}
