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
feed_put_stored(struct feed *feed, unsigned stream, const struct feed_stored *stored)
{
    uint64_t omitted = 0;
    size_t len = 0, head;
    const char *mark = stored->truncated ? mark_find(stored, &len, &omitted) : NULL;

    if (mark == NULL && stored->len == stored->total) {
        feed_output(feed, stream, stored->data, stored->len);
        return;
    }
    if (mark == NULL) {
        feed_skip(feed, stream, stored->total);
        return;
    }
    head = (size_t)(mark - stored->data);
    feed_output(feed, stream, stored->data, head);
    feed_skip(feed, stream, omitted);
    feed_output(feed, stream, mark + len, stored->len - head - len);
}
