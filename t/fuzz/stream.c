/*
 * What a client says of a stream: a cursor and an Accept header, a NUL between. A cursor that is taken is told again as
 * it was; Accept names a type no better for what is added of others. And a record's text, back into a feed: all of its
 * bytes are there or missing.
 */
#include "executor/api/accept.h"
#include "executor/core/feed.h"
#include "executor/core/feed_stored.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
on_ready(void *arg)
{
    (void)arg;
}

static void
check_cursor(const char *text)
{
    struct feed_cursor cursor = { { 0, 0 }, 0 };
    char again[FEED_CURSOR_LEN];

    if (feed_cursor_parse(&cursor, text)) {
        feed_cursor_text(again, &cursor);
        assert(strcmp(text, again) == 0);
    }
}

static void
check_accept(const char *accept)
{
    bool events = accept_prefers(accept, "text/event-stream", "application/json");
    bool json = accept_prefers(accept, "application/json", "text/event-stream");

    assert(!events || !json);
    assert(!events || strcasestr(accept, "text/") != NULL || strstr(accept, "*/*") != NULL);
}

static void
check_stored(const char *text, size_t len, uint64_t total)
{
    const struct feed_stored stored = { .data = text, .len = len, .total = total, .truncated = true };
    struct feed_cursor last = { { 0, 0 }, 0 };
    struct feed_reader *reader;
    struct feed_item item;
    struct feed *feed;

    if (feed_new(&feed, 1 << 20) != 0) {
        return;
    }
    feed_put_stored(feed, 0, &stored);
    feed_close(feed);
    if (feed_reader_new(&reader, feed, NULL, on_ready, NULL) == 0) {
        while (feed_next(reader, 64, &item) == FEED_NEXT_ITEM) {
            last = item.cursor;
        }
        assert(last.bytes[0] == total && last.bytes[1] == 0);
        feed_reader_free(reader);
    }
    feed_unref(feed);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    size_t cursor_len;

    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    cursor_len = strlen(text);
    check_cursor(text);
    if (cursor_len < size) {
        check_accept(text + cursor_len + 1);
        check_stored(text + cursor_len + 1, size - cursor_len - 1, size + cursor_len);
        check_stored(text + cursor_len + 1, size - cursor_len - 1, size - cursor_len - 1);
    }
    free(text);
    return 0;
}
