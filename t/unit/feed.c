/* A feed: whatever the cutting, the readers and their comings and goings, each has every byte once or knows it missed it. */
#include "executor/core/feed.h"

#include "t/unit/tap.h"

enum { TRUTH_MAX = 1 << 20, EVENTS_MAX = 4096 };

/* What was written, in order: 'o' and 'e' for a byte of a stream, 'v' for an event, 'c' for a closing one. */
struct truth {
    char *bytes[2];
    size_t n_bytes[2];
    unsigned n_events, n_closing;
    char *order;
    size_t n_order;
};

struct reading {
    struct feed_reader *reader;
    struct feed_cursor have;
    uint64_t missed[2], missed_events;
    uint64_t n_ready;
    bool waits, whole; /* whole: one reader from the beginning, nothing missed: the order counts */
    size_t order_at;
};

static uint64_t seed = 88172645463325252u;

static uint64_t
dice(uint64_t sides)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % sides;
}

static struct feed *
new_feed(size_t keep)
{
    struct feed *feed = NULL;

    if (feed_new(&feed, keep) != 0) {
        BAIL_OUT("no feed");
    }
    return feed;
}

static void
on_ready(void *arg)
{
    struct reading *reading = arg;

    reading->n_ready++;
    reading->waits = false;
}

static void
reading_begin(struct reading *reading, struct feed *feed)
{
    char text[FEED_CURSOR_LEN];
    struct feed_cursor cursor;

    feed_cursor_text(text, &reading->have);
    if (!feed_cursor_parse(&cursor, text) ||
        feed_reader_new(&reading->reader, feed, &cursor, on_ready, reading) != 0) {
        BAIL_OUT("no reader");
    }
    reading->waits = false;
}

static void
truth_init(struct truth *truth)
{
    memset(truth, 0, sizeof(*truth));
    truth->bytes[0] = malloc(TRUTH_MAX);
    truth->bytes[1] = malloc(TRUTH_MAX);
    truth->order = malloc(3 * TRUTH_MAX);
    if (truth->bytes[0] == NULL || truth->bytes[1] == NULL || truth->order == NULL) {
        BAIL_OUT("out of memory");
    }
}

static void
truth_deinit(struct truth *truth)
{
    free(truth->bytes[0]);
    free(truth->bytes[1]);
    free(truth->order);
}

static bool
in_order(struct reading *reading, const struct truth *truth, char what, size_t n)
{
    for (; reading->whole && n > 0; n--) {
        if (reading->order_at >= truth->n_order || truth->order[reading->order_at++] != what) {
            return false;
        }
    }
    return true;
}

static bool
event_fits(struct reading *reading, const struct truth *truth, const struct feed_item *item)
{
    char expected[64];
    bool closing = item->cursor.events > FEED_CLOSING;
    uint64_t number = closing ? item->cursor.events - FEED_CLOSING : item->cursor.events;

    (void)snprintf(expected, sizeof(expected), "{\"%c\":%u}", closing ? 'c' : 'v', (unsigned)number);
    if (item->len != strlen(expected) || memcmp(item->data, expected, item->len) != 0) {
        return false;
    }
    if (closing && reading->have.events < FEED_CLOSING) {
        return reading->have.events == truth->n_events && number == 1 && in_order(reading, truth, 'c', 1);
    }
    return item->cursor.events == reading->have.events + 1 &&
           in_order(reading, truth, closing ? 'c' : 'v', 1);
}

static uint64_t
rank(const struct truth *truth, uint64_t events)
{
    return events <= FEED_CLOSING ? (events < truth->n_events ? events : truth->n_events)
                                  : truth->n_events + events - FEED_CLOSING;
}

static bool
item_fits(struct reading *reading, const struct truth *truth, const struct feed_item *item)
{
    const struct feed_cursor *have = &reading->have, *now = &item->cursor;
    unsigned s = item->kind == FEED_STDERR;
    bool fine = true;

    switch (item->kind) {
    case FEED_STDOUT:
    case FEED_STDERR:
        fine = item->len > 0 && now->bytes[s] == have->bytes[s] + item->len &&
               now->bytes[!s] == have->bytes[!s] && now->events == have->events &&
               now->bytes[s] <= truth->n_bytes[s] &&
               memcmp(item->data, truth->bytes[s] + have->bytes[s], item->len) == 0 &&
               in_order(reading, truth, s == 0 ? 'o' : 'e', item->len);
        break;
    case FEED_EVENT:
        fine = now->bytes[0] == have->bytes[0] && now->bytes[1] == have->bytes[1] &&
               event_fits(reading, truth, item);
        break;
    case FEED_GAP:
        reading->whole = false;
        fine = now->bytes[0] == have->bytes[0] + item->missed[0] &&
               now->bytes[1] == have->bytes[1] + item->missed[1] &&
               rank(truth, now->events) == rank(truth, have->events) + item->missed_events &&
               item->missed[0] + item->missed[1] + item->missed_events > 0;
        reading->missed[0] += item->missed[0];
        reading->missed[1] += item->missed[1];
        reading->missed_events += item->missed_events;
        break;
    }
    reading->have = *now;
    return fine;
}

/* Reads up to `n` pieces; false when one does not fit the truth. */
static bool
reading_go(struct reading *reading, const struct truth *truth, size_t n, bool *ended)
{
    struct feed_item item;

    for (; n > 0; n--) {
        switch (feed_next(reading->reader, 1 + dice(3000), &item)) {
        case FEED_NEXT_ITEM:
            if (!item_fits(reading, truth, &item)) {
                return false;
            }
            break;
        case FEED_NEXT_WAIT:
            reading->waits = true;
            return true;
        case FEED_NEXT_END:
            *ended = true;
            return true;
        }
    }
    return true;
}

static void
say(struct feed *feed, struct truth *truth, unsigned stream, size_t len)
{
    char *at = truth->bytes[stream] + truth->n_bytes[stream];

    for (size_t i = 0; i < len; i++) {
        at[i] = (char)dice(256);
    }
    memset(truth->order + truth->n_order, stream == 0 ? 'o' : 'e', len);
    truth->n_order += len;
    truth->n_bytes[stream] += len;
    feed_output(feed, stream, at, len);
}

static void
tell(struct feed *feed, struct truth *truth, bool closing)
{
    char json[64];
    int len;

    truth->order[truth->n_order++] = closing ? 'c' : 'v';
    len = snprintf(json, sizeof(json), "{\"%c\":%u}", closing ? 'c' : 'v',
                   closing ? ++truth->n_closing : ++truth->n_events);
    (closing ? feed_closing_event : feed_event)(feed, "event", json, (size_t)len);
}

static void
write_something(struct feed *feed, struct truth *truth)
{
    static const size_t most[] = { 1, 3, 70, 900, 40000 };
    unsigned stream = (unsigned)dice(2);
    size_t len = dice(most[dice(5)]) + 1;

    if (dice(12) == 0) {
        tell(feed, truth, false);
    } else if (truth->n_bytes[stream] + len <= TRUTH_MAX) {
        say(feed, truth, stream, len);
    }
}

/* One feed with readers of every speed; some leave and come back with the text of their cursor. */
static bool
one_life(size_t keep, bool small)
{
    enum { READERS = 6 };
    struct reading readings[READERS] = { 0 };
    struct feed *feed = new_feed(keep);
    struct truth truth;
    bool fine = true, ended;

    truth_init(&truth);
    for (unsigned i = 0; i < READERS; i++) {
        readings[i].whole = i % 2 == 0;
        reading_begin(&readings[i], feed);
    }
    for (unsigned turn = 0; turn < (small ? 60u : 600u) && fine; turn++) {
        write_something(feed, &truth);
        fine = feed_held(feed) <= keep;
        for (unsigned i = 0; i < READERS && fine; i++) {
            if (dice(i + 1) == 0) {
                fine = reading_go(&readings[i], &truth, 1 + dice(i == 5 ? 2 : 40), &ended);
            }
            if (i % 2 == 1 && dice(9) == 0) {
                readings[i].reader = feed_reader_free(readings[i].reader);
                reading_begin(&readings[i], feed);
            }
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        tell(feed, &truth, true);
    }
    feed_close(feed);
    feed_output(feed, 0, "late", 4);
    feed_unref(feed); /* the readers hold it */
    for (unsigned i = 0; i < READERS; i++) {
        ended = false;
        fine = fine && reading_go(&readings[i], &truth, SIZE_MAX, &ended) && ended;
        fine = fine && readings[i].have.bytes[0] == truth.n_bytes[0] &&
               readings[i].have.bytes[1] == truth.n_bytes[1] && readings[i].have.events == FEED_CLOSING + 3;
        feed_reader_free(readings[i].reader);
    }
    truth_deinit(&truth);
    return fine;
}

static void
test_lives(void)
{
    unsigned bad = 0, first = 0;

    for (unsigned i = 0; i < 300; i++) {
        if (!one_life(FEED_MIN_KEEP + dice(i % 3 == 0 ? 4u << 20 : 60000), i % 4 != 0)) {
            first = bad++ == 0 ? i : first;
        }
    }
    is_uint(bad, 0, "300 feeds of any cutting, any readers, any reconnecting (first bad: %u)", first);
}

/* The same said in another cutting and another order of the streams: any cursor of the one fits the other. */
static void
test_other_cutting(void)
{
    enum { N = 500 };
    struct truth truth;
    struct feed *live, *again;
    struct reading first = { 0 }, second = { 0 };
    unsigned bad = 0;
    bool ended = false;

    for (unsigned round = 0; round < 100; round++) {
        truth_init(&truth);
        live = new_feed(4u << 20);
        for (unsigned i = 0; i < 50; i++) {
            write_something(live, &truth);
        }
        tell(live, &truth, true);
        feed_close(live);
        again = new_feed(4u << 20);
        feed_output(again, 0, truth.bytes[0], truth.n_bytes[0]);
        feed_output(again, 1, truth.bytes[1], truth.n_bytes[1]);
        feed_closing_event(again, "event", "{\"c\":1}", 7);
        feed_close(again);

        memset(&first, 0, sizeof(first));
        memset(&second, 0, sizeof(second));
        reading_begin(&first, live);
        bad += !reading_go(&first, &truth, dice(N), &ended);
        second.have = first.have;
        second.have.events = second.have.events > FEED_CLOSING ? second.have.events : truth.n_events;
        reading_begin(&second, again);
        ended = false;
        bad += !reading_go(&second, &truth, SIZE_MAX, &ended) || !ended ||
               second.have.bytes[0] != truth.n_bytes[0] || second.have.bytes[1] != truth.n_bytes[1] ||
               second.have.events != FEED_CLOSING + 1 || second.missed[0] + second.missed[1] != 0;
        feed_reader_free(first.reader);
        feed_reader_free(second.reader);
        feed_unref(live);
        feed_unref(again);
        truth_deinit(&truth);
    }
    is_uint(bad, 0, "a cursor fits a feed that was made again");
}

static void
test_skip(void)
{
    struct feed *feed = new_feed(FEED_MIN_KEEP);
    struct feed_cursor middle = { { 7, 0 }, 0 };
    struct reading reading = { 0 };
    struct feed_item item;

    feed_output(feed, 0, "head", 4);
    feed_skip(feed, 0, 10);
    feed_output(feed, 0, "tail", 4);
    feed_closing_event(feed, "end", "{}", 2);
    feed_close(feed);

    reading_begin(&reading, feed);
    ok(feed_next(reading.reader, 100, &item) == FEED_NEXT_ITEM && item.len == 4, "the head");
    ok(feed_next(reading.reader, 100, &item) == FEED_NEXT_ITEM && item.kind == FEED_GAP, "a gap");
    is_uint(item.missed[0], 10, "of what was left out");
    is_uint(item.missed[1] + item.missed_events, 0, "and nothing else");
    is_uint(item.cursor.bytes[0], 14, "which the cursor knows");
    ok(feed_next(reading.reader, 100, &item) == FEED_NEXT_ITEM && memcmp(item.data, "tail", 4) == 0,
       "the tail");
    ok(feed_next(reading.reader, 100, &item) == FEED_NEXT_ITEM && item.kind == FEED_EVENT, "the end");
    ok(feed_next(reading.reader, 100, &item) == FEED_NEXT_END, "nothing more");
    ok(feed_next(reading.reader, 100, &item) == FEED_NEXT_END, "and again nothing more");
    feed_reader_free(reading.reader);

    reading.have = middle;
    reading_begin(&reading, feed);
    ok(feed_next(reading.reader, 100, &item) == FEED_NEXT_ITEM && item.missed[0] == 7,
       "who had some of what was left out misses the rest");
    feed_reader_free(reading.reader);

    reading.have = (struct feed_cursor){ { 1000, 1000 }, 0 };
    reading_begin(&reading, feed);
    ok(feed_next(reading.reader, 100, &item) == FEED_NEXT_ITEM && item.kind == FEED_EVENT,
       "who claims more output than there was still learns the end");
    ok(feed_next(reading.reader, 100, &item) == FEED_NEXT_END, "and no more");
    feed_reader_free(reading.reader);
    feed_unref(feed);
}

static void
test_large_event(void)
{
    struct feed *feed = new_feed(FEED_MIN_KEEP);
    struct reading reading = { 0 };
    struct feed_item item;
    char large[2 * FEED_MIN_KEEP];

    memset(large, '1', sizeof(large));
    reading_begin(&reading, feed);
    ok(feed_next(reading.reader, 1, &item) == FEED_NEXT_WAIT, "nothing yet");
    feed_event(feed, "display", large, sizeof(large));
    is_uint(reading.n_ready, 1, "an event that is too large wakes");
    is_uint(feed_held(feed), 0, "is not held");
    ok(feed_next(reading.reader, 1, &item) == FEED_NEXT_ITEM && item.kind == FEED_GAP, "and is missed");
    is_uint(item.missed_events, 1, "one event");
    feed_event(feed, "display", large, FEED_MIN_KEEP);
    ok(feed_next(reading.reader, 1, &item) == FEED_NEXT_ITEM && item.missed_events == 1,
       "one that just does not fit with its head, too");
    feed_event(feed, "display", large, FEED_MIN_KEEP / 2);
    ok(feed_next(reading.reader, 1, &item) == FEED_NEXT_ITEM && item.kind == FEED_EVENT &&
           item.len == FEED_MIN_KEEP / 2,
       "one that fits comes whole, whatever the most of output");
    feed_reader_free(reading.reader);
    feed_unref(feed);
}

static struct feed_reader *victims[3];

static void
on_ready_free_all(void *arg)
{
    unsigned *n = arg;

    (*n)++;
    for (unsigned i = 0; i < 3; i++) {
        victims[i] = feed_reader_free(victims[i]);
    }
}

static void
test_ready(void)
{
    struct feed *feed = new_feed(FEED_MIN_KEEP);
    struct reading reading = { 0 };
    struct feed_item item;
    unsigned n = 0;

    reading_begin(&reading, feed);
    feed_output(feed, 0, "a", 1);
    is_uint(reading.n_ready, 0, "who does not wait is not called");
    ok(feed_next(reading.reader, 9, &item) == FEED_NEXT_ITEM, "there is something");
    ok(feed_next(reading.reader, 9, &item) == FEED_NEXT_WAIT, "and no more");
    ok(feed_next(reading.reader, 9, &item) == FEED_NEXT_WAIT, "and again no more");
    feed_output(feed, 0, "", 0);
    is_uint(reading.n_ready, 0, "no bytes wake nobody");
    feed_output(feed, 1, "b", 1);
    feed_output(feed, 1, "c", 1);
    is_uint(reading.n_ready, 1, "called once");
    ok(feed_next(reading.reader, 9, &item) == FEED_NEXT_ITEM && item.len == 2, "pieces join");
    ok(feed_next(reading.reader, 9, &item) == FEED_NEXT_WAIT, "waits");
    for (unsigned i = 0; i < 3; i++) {
        if (feed_reader_new(&victims[i], feed, NULL, on_ready_free_all, &n) != 0) {
            BAIL_OUT("no reader");
        }
        while (feed_next(victims[i], 9, &item) == FEED_NEXT_ITEM) {
        }
    }
    feed_close(feed);
    is_uint(n, 1, "a callback may free the readers whose turn is still to come");
    is_uint(reading.n_ready, 2, "others are called all the same");
    ok(feed_next(reading.reader, 9, &item) == FEED_NEXT_END, "the end");
    feed_reader_free(reading.reader);
    feed_unref(feed);
    ok(feed_unref(NULL) == NULL && feed_reader_free(NULL) == NULL, "nothing is freed as nothing");
    ok(feed_new(&feed, FEED_MIN_KEEP - 1) < 0, "too small a window is refused");
}

/* Feeds that share: together they hold no more, and who said nothing for longest loses first. */
static void
test_budget(void)
{
    enum { FEEDS = 5, BUDGET = 64 << 10 };
    struct reading readings[FEEDS] = { 0 };
    struct feed *feeds[FEEDS];
    struct truth truths[FEEDS];
    struct feed_budget *budget;
    unsigned bad = 0, over = 0;
    bool ended;

    if (feed_budget_new(&budget, BUDGET) != 0) {
        BAIL_OUT("no budget");
    }
    for (unsigned i = 0; i < FEEDS; i++) {
        truth_init(&truths[i]);
        feeds[i] = new_feed(48 << 10);
        feed_join(feeds[i], budget);
        reading_begin(&readings[i], feeds[i]);
    }
    say(feeds[0], &truths[0], 0, 30000);
    say(feeds[1], &truths[1], 0, 20000);
    ok(feed_held(feeds[0]) >= 30000, "there is room for both");
    say(feeds[2], &truths[2], 0, 30000);
    ok(feed_held(feeds[0]) < 30000 && feed_held(feeds[1]) >= 20000 && feed_held(feeds[2]) >= 30000,
       "a third takes from who spoke first");
    say(feeds[1], &truths[1], 0, 1);
    say(feeds[0], &truths[0], 0, 20000);
    ok(feed_held(feeds[2]) < 30000 && feed_held(feeds[1]) >= 20000,
       "who spoke again is not the first any more");
    for (unsigned turn = 0; turn < 3000; turn++) {
        unsigned i = (unsigned)dice(FEEDS);

        write_something(feeds[i], &truths[i]);
        over += feed_budget_held(budget) > BUDGET;
        bad += dice(3) == 0 && !reading_go(&readings[i], &truths[i], dice(20) + 1, &ended);
    }
    is_uint(over, 0, "never more than the budget");
    for (unsigned i = 0; i < FEEDS; i++) {
        feed_close(feeds[i]);
        feed_unref(feeds[i]);
        ended = false;
        bad += !reading_go(&readings[i], &truths[i], SIZE_MAX, &ended) || !ended;
        feed_reader_free(readings[i].reader);
        truth_deinit(&truths[i]);
    }
    is_uint(bad, 0, "each reader has or knows");
    is_uint(feed_budget_held(budget), 0, "nothing is left");
    feed_budget_unref(budget);
}

static void
test_cursor(void)
{
    static const char *const bad[] = {
        "",
        ".",
        "..",
        "1",
        "1.2",
        "1.2.",
        ".1.2",
        "1..2",
        "1.2.3.",
        "1.2.3.4",
        " 1.2.3",
        "1.2.3 ",
        "+1.2.3",
        "-1.2.3",
        "01.2.3",
        "1.00.3",
        "1.2.0x3",
        "1.2.3\n",
        "a.b.c",
        "9223372036854775808.0.0",
        "0.18446744073709551615.0",
        "0.0.99999999999999999999",
        "1,2,3",
        "0.0.123456789012345678901234567890",
    };
    static const char *const good[] = { "0.0.0", "1.2.3", "9223372036854775807.0.4294967299", "10.20.30" };
    struct feed_cursor cursor = { { 5, 6 }, 7 };
    char text[FEED_CURSOR_LEN];

    for (size_t i = 0; i < SBX_COUNT(bad); i++) {
        ok(!feed_cursor_parse(&cursor, bad[i]), "no cursor: %zu", i);
    }
    ok(cursor.bytes[0] == 5 && cursor.bytes[1] == 6 && cursor.events == 7,
       "what is refused leaves nothing behind");
    for (size_t i = 0; i < SBX_COUNT(good); i++) {
        ok(feed_cursor_parse(&cursor, good[i]), "a cursor");
        feed_cursor_text(text, &cursor);
        is_str(text, good[i], "comes back as it was");
    }
    cursor = (struct feed_cursor){ { UINT64_MAX, UINT64_MAX }, UINT64_MAX };
    feed_cursor_text(text, &cursor);
    is_uint(strlen(text), 62, "the longest fits");
}

int
main(void)
{
    test_lives();
    test_other_cutting();
    test_skip();
    test_large_event();
    test_ready();
    test_budget();
    test_cursor();
    return done_testing();
}
