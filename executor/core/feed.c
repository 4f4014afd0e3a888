/*
 * A list of pieces, oldest first: bytes of one stream, an event, or bytes that nobody has. What goes out at the front
 * moves `start`: a reader whose cursor lies before it in any of the three has missed the difference. A reader passes
 * over what its cursor says it has, piece by piece: so a cursor from another cutting or another order of the streams
 * is as good as one from here.
 */
#include "executor/core/feed.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_MIN 64
#define PIECE_MAX 16384
#define CURSOR_DIGITS 19 /* below 2^63: sums of what a client says do not wrap */

enum piece_kind { PIECE_OUTPUT, PIECE_SKIP, PIECE_EVENT };

struct piece {
    struct list link;
    uint64_t seq;
    enum piece_kind kind;
    unsigned stream;
    const char *name;
    uint64_t from; /* of the stream; of an event the number before its own */
    uint64_t len;  /* an event counts 1 */
    size_t size, cap;
    char data[];
};

struct feed_budget {
    unsigned refs;
    size_t max, held;
    struct list feeds; /* least lately written to first */
};

struct feed {
    unsigned refs;
    struct feed_budget *budget; /* NULL: its own keep is all that bounds it */
    struct list link;           /* in the budget's */
    size_t keep, held;
    struct list pieces;
    struct list waiting;           /* readers that have all */
    uint64_t next_seq;             /* of pieces */
    struct feed_cursor start, end; /* of what is held; what was ever said */
    uint64_t n_plain;              /* events before the closing ones, once there is one */
    bool closing, closed, read;
};

struct feed_reader {
    struct list link; /* in waiting, or alone */
    struct feed *feed;
    struct piece *piece; /* to look at next; gone when its number is before the first held */
    uint64_t seq;
    struct feed_cursor cursor;
    void (*ready)(void *arg);
    void *arg;
};

int
feed_new(struct feed **ret, size_t keep)
{
    struct feed *feed;

    if (keep < FEED_MIN_KEEP) {
        return -EINVAL;
    }
    feed = calloc(1, sizeof(*feed));
    if (feed == NULL) {
        return -ENOMEM;
    }
    feed->refs = 1;
    feed->keep = keep;
    list_init(&feed->link);
    list_init(&feed->pieces);
    list_init(&feed->waiting);
    *ret = feed;
    return 0;
}

int
feed_budget_new(struct feed_budget **ret, size_t max)
{
    struct feed_budget *budget;

    budget = calloc(1, sizeof(*budget));
    if (budget == NULL) {
        return -ENOMEM;
    }
    budget->refs = 1;
    budget->max = max;
    list_init(&budget->feeds);
    *ret = budget;
    return 0;
}

struct feed_budget *
feed_budget_unref(struct feed_budget *budget)
{
    if (budget != NULL && --budget->refs == 0) {
        assert(list_empty(&budget->feeds) && budget->held == 0);
        free(budget);
    }
    return NULL;
}

size_t
feed_budget_held(const struct feed_budget *budget)
{
    return budget->held;
}

void
feed_join(struct feed *feed, struct feed_budget *budget)
{
    assert(feed->budget == NULL && feed->held == 0);
    budget->refs++;
    feed->budget = budget;
    list_append(&budget->feeds, &feed->link);
}

struct feed *
feed_ref(struct feed *feed)
{
    feed->refs++;
    return feed;
}

static struct piece *
feed_first(const struct feed *feed)
{
    return list_empty(&feed->pieces) ? NULL : list_entry(feed->pieces.next, struct piece, link);
}

static struct piece *
feed_last(const struct feed *feed)
{
    return list_empty(&feed->pieces) ? NULL : list_entry(feed->pieces.prev, struct piece, link);
}

static uint64_t *
cursor_part(struct feed_cursor *cursor, const struct piece *piece)
{
    return piece->kind == PIECE_EVENT ? &cursor->events : &cursor->bytes[piece->stream];
}

static void
feed_charge(struct feed *feed, const struct piece *piece)
{
    feed->held += sizeof(*piece) + piece->cap;
    if (feed->budget != NULL) {
        feed->budget->held += sizeof(*piece) + piece->cap;
    }
}

static void
feed_discharge(struct feed *feed, const struct piece *piece)
{
    feed->held -= sizeof(*piece) + piece->cap;
    if (feed->budget != NULL) {
        feed->budget->held -= sizeof(*piece) + piece->cap;
    }
}

static void
feed_drop_first(struct feed *feed)
{
    struct piece *piece = list_entry(list_pop(&feed->pieces), struct piece, link);

    *cursor_part(&feed->start, piece) = piece->from + piece->len;
    feed_discharge(feed, piece);
    free(piece);
}

struct feed *
feed_unref(struct feed *feed)
{
    if (feed == NULL || --feed->refs > 0) {
        return NULL;
    }
    assert(list_empty(&feed->waiting));
    while (!list_empty(&feed->pieces)) {
        feed_drop_first(feed);
    }
    list_remove(&feed->link);
    feed_budget_unref(feed->budget);
    free(feed);
    return NULL;
}

/* Nothing is held: every reader misses what it does not have. Needs no memory. */
static void
feed_lose(struct feed *feed)
{
    while (!list_empty(&feed->pieces)) {
        feed_drop_first(feed);
    }
    feed->start = feed->end;
}

static void
feed_trim(struct feed *feed)
{
    struct feed_budget *budget = feed->budget;

    while (feed->held > feed->keep) {
        feed_drop_first(feed);
    }
    if (budget == NULL) {
        return;
    }
    list_remove(&feed->link);
    list_append(&budget->feeds, &feed->link);
    /* Those that hold nothing come again when they are written to. */
    while (budget->held > budget->max) {
        struct feed *oldest = list_entry(budget->feeds.next, struct feed, link);

        if (list_empty(&oldest->pieces)) {
            list_remove(&oldest->link);
        } else {
            feed_drop_first(oldest);
        }
    }
}

/* A callback may free any reader, its own and those that are still to be called. */
static void
feed_wake(struct feed *feed)
{
    struct list woken;

    list_init(&woken);
    feed_ref(feed);
    while (!list_empty(&feed->waiting)) {
        list_append(&woken, list_pop(&feed->waiting));
    }
    while (!list_empty(&woken)) {
        struct feed_reader *reader = list_entry(list_pop(&woken), struct feed_reader, link);

        reader->ready(reader->arg);
    }
    feed_unref(feed);
}

static struct piece *
feed_add(struct feed *feed, enum piece_kind kind, size_t cap)
{
    struct piece *piece;

    if (cap > feed->keep) {
        return NULL;
    }
    piece = malloc(sizeof(*piece) + cap);
    if (piece == NULL) {
        return NULL;
    }
    *piece = (struct piece){ .kind = kind, .seq = feed->next_seq++, .cap = cap };
    list_append(&feed->pieces, &piece->link);
    feed_charge(feed, piece);
    return piece;
}

/* Small pieces for who says little, larger ones behind each other for a flood. */
static size_t
output_cap(const struct feed *feed, const struct piece *last, size_t len)
{
    size_t most = feed->keep / 4 < PIECE_MAX ? feed->keep / 4 : PIECE_MAX;
    size_t cap = last != NULL ? last->cap * 2 : PIECE_MIN;

    cap = cap < len ? len : cap;
    return cap < most ? cap : most;
}

static struct piece *
feed_room(struct feed *feed, unsigned stream, size_t len)
{
    struct piece *last = feed_last(feed), *piece;

    if (last != NULL && (last->kind != PIECE_OUTPUT || last->stream != stream)) {
        last = NULL;
    }
    if (last != NULL && last->size < last->cap) {
        return last;
    }
    piece = feed_add(feed, PIECE_OUTPUT, output_cap(feed, last, len));
    if (piece != NULL) {
        piece->stream = stream;
        piece->from = feed->end.bytes[stream];
    }
    return piece;
}

void
feed_output(struct feed *feed, unsigned stream, const char *data, size_t len)
{
    assert(stream < 2);
    if (feed->closed || len == 0) {
        return;
    }
    while (len > 0) {
        struct piece *piece = feed_room(feed, stream, len);
        size_t n;

        if (piece == NULL) {
            feed->end.bytes[stream] += len;
            feed_lose(feed);
            break;
        }
        n = piece->cap - piece->size < len ? piece->cap - piece->size : len;
        memcpy(piece->data + piece->size, data, n);
        piece->size += n;
        piece->len += n;
        feed->end.bytes[stream] += n;
        data += n;
        len -= n;
        feed_trim(feed);
    }
    feed_wake(feed);
}

void
feed_event(struct feed *feed, const char *name, const char *json, size_t len)
{
    struct piece *piece;

    if (feed->closed) {
        return;
    }
    piece = feed_add(feed, PIECE_EVENT, len);
    if (piece != NULL) {
        piece->name = name;
        piece->from = feed->end.events;
        piece->len = 1;
        piece->size = len;
        memcpy(piece->data, json, len);
    }
    feed->end.events++;
    if (piece == NULL) {
        feed_lose(feed);
    } else {
        feed_trim(feed);
    }
    feed_wake(feed);
}

void
feed_closing_event(struct feed *feed, const char *name, const char *json, size_t len)
{
    if (!feed->closing) {
        feed->closing = true;
        feed->n_plain = feed->end.events;
        feed->end.events = FEED_CLOSING;
    }
    feed_event(feed, name, json, len);
}

void
feed_skip(struct feed *feed, unsigned stream, uint64_t len)
{
    struct piece *piece;

    assert(stream < 2);
    if (feed->closed || len == 0) {
        return;
    }
    piece = feed_add(feed, PIECE_SKIP, 0);
    if (piece != NULL) {
        piece->stream = stream;
        piece->from = feed->end.bytes[stream];
        piece->len = len;
    }
    feed->end.bytes[stream] += len;
    if (piece == NULL) {
        feed_lose(feed);
    } else {
        feed_trim(feed);
    }
    feed_wake(feed);
}

void
feed_close(struct feed *feed)
{
    feed->closed = true;
    feed_wake(feed);
}

bool
feed_closed(const struct feed *feed)
{
    return feed->closed;
}

bool
feed_was_read(const struct feed *feed)
{
    return feed->read;
}

size_t
feed_held(const struct feed *feed)
{
    return feed->held;
}

int
feed_reader_new(struct feed_reader **ret, struct feed *feed, const struct feed_cursor *cursor,
                void (*ready)(void *arg), void *arg)
{
    struct feed_reader *reader;

    reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return -ENOMEM;
    }
    list_init(&reader->link);
    reader->feed = feed_ref(feed);
    feed->read = true;
    if (cursor != NULL) {
        reader->cursor = *cursor;
    }
    reader->ready = ready;
    reader->arg = arg;
    *ret = reader;
    return 0;
}

struct feed_reader *
feed_reader_free(struct feed_reader *reader)
{
    if (reader != NULL) {
        list_remove(&reader->link);
        feed_unref(reader->feed);
        free(reader);
    }
    return NULL;
}

/* How many events have a number up to this one. */
static uint64_t
event_rank(const struct feed *feed, uint64_t number)
{
    if (!feed->closing) {
        return number;
    }
    if (number > FEED_CLOSING) {
        return feed->n_plain + (number - FEED_CLOSING);
    }
    return number < feed->n_plain ? number : feed->n_plain;
}

static uint64_t
raise_to(uint64_t *have, uint64_t least)
{
    uint64_t missed = *have < least ? least - *have : 0;

    *have += missed;
    return missed;
}

/* Whether some of what the reader has not had is held no more. */
static bool
reader_missed(struct feed_reader *reader, struct feed_item *ret)
{
    const struct feed *feed = reader->feed;
    struct feed_cursor *cursor = &reader->cursor;
    uint64_t events = cursor->events;

    *ret = (struct feed_item){ .kind = FEED_GAP };
    for (unsigned i = 0; i < 2; i++) {
        ret->missed[i] = raise_to(&cursor->bytes[i], feed->start.bytes[i]);
    }
    if (raise_to(&cursor->events, feed->start.events) > 0) {
        ret->missed_events = event_rank(feed, cursor->events) - event_rank(feed, events);
    }
    ret->cursor = *cursor;
    return ret->missed[0] > 0 || ret->missed[1] > 0 || ret->missed_events > 0;
}

/* The first piece that has something the reader has not; NULL: none yet. */
static struct piece *
reader_find(struct feed_reader *reader)
{
    const struct feed *feed = reader->feed;
    struct piece *piece = feed_first(feed);

    if (piece == NULL) {
        reader->piece = NULL;
        return NULL;
    }
    if (reader->piece != NULL && reader->seq >= piece->seq) {
        piece = reader->piece;
    }
    while (*cursor_part(&reader->cursor, piece) >= piece->from + piece->len &&
           piece->link.next != &feed->pieces) {
        piece = list_entry(piece->link.next, struct piece, link);
    }
    reader->piece = piece;
    reader->seq = piece->seq;
    return *cursor_part(&reader->cursor, piece) >= piece->from + piece->len ? NULL : piece;
}

static void
reader_take(struct feed_reader *reader, const struct piece *piece, size_t max, struct feed_item *ret)
{
    uint64_t *have = cursor_part(&reader->cursor, piece);
    /* The numbers between the plain and the closing events are nobody's. */
    uint64_t had = *have > piece->from ? *have - piece->from : 0;
    uint64_t left = piece->len - had;

    *ret = (struct feed_item){ 0 };
    switch (piece->kind) {
    case PIECE_OUTPUT:
        ret->kind = piece->stream == 0 ? FEED_STDOUT : FEED_STDERR;
        ret->data = piece->data + had;
        ret->len = left < max ? (size_t)left : max;
        left = ret->len;
        break;
    case PIECE_SKIP:
        ret->kind = FEED_GAP;
        ret->missed[piece->stream] = left;
        break;
    case PIECE_EVENT:
        ret->kind = FEED_EVENT;
        ret->name = piece->name;
        ret->data = piece->data;
        ret->len = piece->size;
        break;
    }
    *have = piece->from + had + left;
    ret->cursor = reader->cursor;
}

enum feed_next
feed_next(struct feed_reader *reader, size_t max, struct feed_item *ret)
{
    struct piece *piece;

    assert(max > 0);
    if (reader_missed(reader, ret)) {
        return FEED_NEXT_ITEM;
    }
    piece = reader_find(reader);
    if (piece != NULL) {
        reader_take(reader, piece, max, ret);
        return FEED_NEXT_ITEM;
    }
    if (reader->feed->closed) {
        return FEED_NEXT_END;
    }
    list_remove(&reader->link);
    list_append(&reader->feed->waiting, &reader->link);
    return FEED_NEXT_WAIT;
}

void
feed_cursor_text(char out[FEED_CURSOR_LEN], const struct feed_cursor *cursor)
{
    /* Three numbers of at most 20 digits. */
    (void)snprintf(out, FEED_CURSOR_LEN, "%" PRIu64 ".%" PRIu64 ".%" PRIu64, cursor->bytes[0],
                   cursor->bytes[1], cursor->events);
}

static bool
number_parse(const char **text, uint64_t *ret)
{
    const char *p = *text;
    size_t n = strspn(p, "0123456789");

    if (n == 0 || n > CURSOR_DIGITS || (n > 1 && p[0] == '0')) {
        return false;
    }
    *ret = 0;
    for (; n > 0; n--) {
        *ret = *ret * 10 + (uint64_t)(*p++ - '0');
    }
    *text = p;
    return *ret <= INT64_MAX;
}

bool
feed_cursor_parse(struct feed_cursor *ret, const char *text)
{
    struct feed_cursor cursor;

    if (!number_parse(&text, &cursor.bytes[0]) || *text++ != '.' || !number_parse(&text, &cursor.bytes[1]) ||
        *text++ != '.' || !number_parse(&text, &cursor.events) || *text != '\0') {
        return false;
    }
    *ret = cursor;
    return true;
}
