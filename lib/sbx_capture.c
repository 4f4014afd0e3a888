/*
 * Both halves grow with what arrives: a job that prints a line does not cost
 * its whole output limit. The tail is a ring of its final size once it wraps.
 */
#include "sbx_capture.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CAPTURE_FIRST 4096
#define UTF8_LONGEST 4

static size_t
head_size(const struct sbx_capture *capture)
{
    return capture->keep / 2;
}

static size_t
tail_size(const struct sbx_capture *capture)
{
    return capture->keep - capture->keep / 2;
}

/* Bytes that ever went past the head. */
static uint64_t
tail_seen(const struct sbx_capture *capture)
{
    return capture->total - capture->head_len;
}

/* What a half with `len` bytes in it has allocated: a function, so that it needs no field. */
static size_t
half_cap(size_t len, size_t size)
{
    size_t cap = CAPTURE_FIRST;

    if (len == 0) {
        return 0;
    }
    while (cap < len && cap < size) {
        cap *= 2;
    }
    return cap < size ? cap : size;
}

static bool
half_grow(char **half, size_t len, size_t more, size_t size)
{
    size_t need = more > size - len ? size : len + more;
    size_t cap = half_cap(need, size);
    char *data;

    if (cap <= half_cap(len, size)) {
        return true;
    }
    data = realloc(*half, cap);
    if (data == NULL) {
        return false;
    }
    *half = data;
    return true;
}

void
sbx_capture_init(struct sbx_capture *capture, size_t keep)
{
    memset(capture, 0, sizeof(*capture));
    capture->keep = keep;
}

void
sbx_capture_deinit(struct sbx_capture *capture)
{
    free(capture->head);
    free(capture->tail);
    sbx_capture_init(capture, 0);
}

/* Out of memory: from here on everything is only counted, and what was kept reads as omitted. */
static bool
capture_give_up(struct sbx_capture *capture, size_t len)
{
    uint64_t total = capture->total + len;

    sbx_capture_deinit(capture);
    capture->total = total;
    return false;
}

static bool
add_tail(struct sbx_capture *capture, const char *data, size_t len)
{
    size_t size = tail_size(capture), at, first;
    uint64_t seen = tail_seen(capture);

    capture->total += len;
    if (size == 0) {
        return true;
    }
    if (!half_grow(&capture->tail, seen < size ? (size_t)seen : size, len, size)) {
        return false;
    }
    if (len > size) {
        seen += len - size;
        data += len - size;
        len = size;
    }

    at = (size_t)(seen % size);
    first = len < size - at ? len : size - at;
    memcpy(capture->tail + at, data, first);
    memcpy(capture->tail, data + first, len - first);
    return true;
}

bool
sbx_capture_add(struct sbx_capture *capture, const void *data, size_t len)
{
    const char *next = data;
    size_t room = head_size(capture) - capture->head_len;
    size_t n = len < room ? len : room;

    if (n > 0) {
        if (!half_grow(&capture->head, capture->head_len, n, head_size(capture))) {
            return capture_give_up(capture, len);
        }
        memcpy(capture->head + capture->head_len, next, n);
        capture->head_len += n;
        capture->total += n;
    }
    if (len > n && !add_tail(capture, next + n, len - n)) {
        return capture_give_up(capture, 0);
    }
    return true;
}

bool
sbx_capture_truncated(const struct sbx_capture *capture)
{
    return capture->total > capture->keep;
}

static size_t
sequence_length(uint8_t first)
{
    if (first < 0xc0) {
        return 1;
    }
    if (first < 0xe0) {
        return 2;
    }
    return first < 0xf0 ? 3 : UTF8_LONGEST;
}

/* Bytes at the end that begin a character the cut took the rest of. */
static size_t
cut_at_end(const char *data, size_t len)
{
    size_t back;

    for (back = 1; back < UTF8_LONGEST && back <= len; back++) {
        uint8_t c = (uint8_t)data[len - back];

        if ((c & 0xc0) != 0x80) {
            return sequence_length(c) > back ? back : 0;
        }
    }
    return 0;
}

/* Bytes at the start that end a character the cut took the beginning of. */
static size_t
cut_at_start(const struct sbx_capture *capture, size_t start)
{
    size_t size = tail_size(capture), n;

    for (n = 0; n < UTF8_LONGEST - 1 && n < size; n++) {
        if (((uint8_t)capture->tail[(start + n) % size] & 0xc0) != 0x80) {
            break;
        }
    }
    return n;
}

static void
put_ring(const struct sbx_capture *capture, struct sbx_buf *out, size_t start, size_t len)
{
    size_t size = tail_size(capture);
    size_t first = len < size - start ? len : size - start;

    sbx_buf_append(out, capture->tail + start, first);
    sbx_buf_append(out, capture->tail, len - first);
}

size_t
sbx_capture_last(const struct sbx_capture *capture, char *out, size_t size)
{
    size_t ring = tail_size(capture);
    uint64_t seen = tail_seen(capture);
    size_t tail = seen < ring ? (size_t)seen : ring, head, n = 0;

    if (capture->tail == NULL) {
        tail = 0; /* nothing went past the head, or there was no memory for it */
        seen = 0;
    }
    head = tail < size && seen <= ring ? size - tail : 0;
    head = head < capture->head_len ? head : capture->head_len;
    tail = tail < size ? tail : size;
    if (head > 0) {
        memcpy(out, capture->head + capture->head_len - head, head);
    }
    for (; n < tail; n++) {
        out[head + n] = capture->tail[(seen - tail + n) % ring];
    }
    return head + tail;
}

void
sbx_capture_text(const struct sbx_capture *capture, struct sbx_buf *out)
{
    size_t size = tail_size(capture), head = capture->head_len, tail = 0, start = 0, cut;

    if (!sbx_capture_truncated(capture)) {
        sbx_buf_append(out, capture->head, capture->head_len);
        sbx_buf_append(out, capture->tail, (size_t)tail_seen(capture));
        return;
    }

    if (size > 0) {
        start = (size_t)(tail_seen(capture) % size);
        cut = cut_at_start(capture, start);
        start = (start + cut) % size;
        tail = size - cut;
    }
    head -= cut_at_end(capture->head, head);

    sbx_buf_append(out, capture->head, head);
    sbx_buf_printf(out, "\n[... %" PRIu64 " bytes omitted ...]\n", capture->total - head - tail);
    if (tail > 0) {
        put_ring(capture, out, start, tail);
    }
}
