#include "executor/core/feed_stored.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MARK_MAX 64
#define MARK_DIGITS 20
#define UNEVEN                                                                                               \
    8 /* head and tail have the same budget, less a character that was cut, plus a byte of an odd one */

/*
 * The line says N bytes, and head + line + N + tail is as long as what was said: for each number of digits there is
 * at most one such N, so what the run itself printed is hardly taken for it. Head and tail are then of one length.
 */
static const char *
mark_find(const struct feed_stored *stored, size_t *ret_len, uint64_t *ret_omitted)
{
    static const char form[] = "\n[... %" PRIu64 " bytes omitted ...]\n";
    const char *found;

    for (unsigned digits = 1; digits <= MARK_DIGITS; digits++) {
        size_t len = strlen("\n[...  bytes omitted ...]\n") + digits;
        uint64_t omitted;
        char mark[MARK_MAX];

        if (len > stored->len || stored->total + len < stored->len) {
            continue;
        }
        omitted = stored->total + len - stored->len;
        if ((size_t)snprintf(mark, sizeof(mark), form, omitted) != len) {
            continue;
        }
        for (const char *at = stored->data;; at = found + 1) {
            size_t left = stored->len - (size_t)(at - stored->data), head, tail;

            found = memmem(at, left, mark, len);
            if (found == NULL) {
                break;
            }
            head = (size_t)(found - stored->data);
            tail = stored->len - head - len;
            if ((head > tail ? head - tail : tail - head) <= UNEVEN) {
                *ret_len = len;
                *ret_omitted = omitted;
                return found;
            }
        }
    }
    return NULL;
}

void
feed_stored_split(struct feed_stored_parts *ret, const struct feed_stored *stored)
{
    uint64_t omitted = 0;
    size_t len = 0;
    const char *mark = stored->truncated ? mark_find(stored, &len, &omitted) : NULL;

    *ret = (struct feed_stored_parts){ .head = "", .tail = "" };
    if (mark != NULL) {
        ret->head = stored->data;
        ret->head_len = (size_t)(mark - stored->data);
        ret->omitted = omitted;
        ret->tail = mark + len;
        ret->tail_len = stored->len - ret->head_len - len;
    } else if (stored->len == stored->total) {
        ret->head = stored->data;
        ret->head_len = stored->len;
    } else {
        ret->omitted = stored->total;
    }
}

void
feed_put_stored(struct feed *feed, unsigned stream, const struct feed_stored *stored)
{
    struct feed_stored_parts parts;

    feed_stored_split(&parts, stored);
    feed_output(feed, stream, parts.head, parts.head_len);
    feed_skip(feed, stream, parts.omitted);
    feed_output(feed, stream, parts.tail, parts.tail_len);
}
