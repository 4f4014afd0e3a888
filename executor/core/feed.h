/*
 * What a run has said so far, in order, for readers that come, go and come back: output as it happens and the
 * events between. Keeps a bounded window of the newest; a reader that fell behind it learns how much it missed.
 * A writer never waits for a reader. Pure: no clock, no loop but through callbacks.
 *
 * A cursor says what a reader has: bytes of stdout, bytes of stderr, and events. It grows in each of the three and does
 * not depend on how output was cut into pieces or on the order of the two streams: it fits a feed that was made again
 * from a stored record. Closing events are numbered apart from those before them, so that a record which does not
 * tell all of the latter gives the former the same numbers.
 */
#pragma once

#include "lib/sbx_buf.h"
#include "lib/sbx_list.h"

struct feed;
struct feed_budget;
struct feed_reader;

#define FEED_CURSOR_LEN 64
#define FEED_MIN_KEEP 4096
#define FEED_CLOSING (UINT64_C(1) << 32) /* the number before the first closing event's */

struct feed_cursor {
    uint64_t bytes[2]; /* of stdout, stderr */
    uint64_t events;
};

enum feed_kind { FEED_STDOUT, FEED_STDERR, FEED_EVENT, FEED_GAP };

/* Borrows until the next call on any feed of the same budget, a writer's too. */
struct feed_item {
    enum feed_kind kind;
    const char *name; /* FEED_EVENT: "start", "display", "result", "usage", "end" ... */
    const char *data; /* bytes, or one JSON value */
    size_t len;
    uint64_t missed[2];        /* FEED_GAP: bytes of stdout and stderr */
    uint64_t missed_events;    /* FEED_GAP */
    struct feed_cursor cursor; /* what a reader has once it has this */
};

/* keep: memory that output and events may take, at least FEED_MIN_KEEP; an event larger than that is missed by all. */
_must_check_ int feed_new(struct feed **ret, size_t keep);
/* One more holder: what a run and its readers share is freed with the last. */
struct feed *feed_ref(struct feed *feed);
struct feed *feed_unref(struct feed *feed); /* accepts NULL, returns NULL */
static inline void
feed_unrefp(struct feed **feed)
{
    feed_unref(*feed);
}

/*
 * Memory that several feeds share. When they hold more together, the one that was written to least lately lets go of its
 * oldest pieces first: who reads what ended long ago, and slowly, misses something before anybody else does.
 */
_must_check_ int feed_budget_new(struct feed_budget **ret, size_t max);
struct feed_budget *feed_budget_unref(struct feed_budget *budget); /* accepts NULL; feeds hold it, too */
/* Once, before anything is written. */
void feed_join(struct feed *feed, struct feed_budget *budget);
size_t feed_budget_held(const struct feed_budget *budget);

/*
 * The writer's part. Out of memory makes a gap, not an error. After feed_close each does nothing. Readers' ready is
 * called from inside of these.
 */
/* stream: 0 stdout, 1 stderr. */
void feed_output(struct feed *feed, unsigned stream, const char *data, size_t len);
/* `name` is constant text; `json` one JSON value without line breaks, copied. */
void feed_event(struct feed *feed, const char *name, const char *json, size_t len);
/* The same for what follows all output: result, usage, end. Only such may follow. */
void feed_closing_event(struct feed *feed, const char *name, const char *json, size_t len);
/* Output that was not kept, in the place where it was. */
void feed_skip(struct feed *feed, unsigned stream, uint64_t len);
/* Nothing follows; readers that have all see the end. */
void feed_close(struct feed *feed);
bool feed_closed(const struct feed *feed);
/* Whether there ever was a reader. */
bool feed_was_read(const struct feed *feed);
/* Memory that output and events take now. */
size_t feed_held(const struct feed *feed);

/*
 * From `cursor` on; NULL: from the beginning. Holds the feed. When feed_next said FEED_NEXT_WAIT, ready is called once,
 * from inside of the writer's next call; it may read and free readers but not write.
 */
_must_check_ int feed_reader_new(struct feed_reader **ret, struct feed *feed,
                                 const struct feed_cursor *cursor, void (*ready)(void *arg), void *arg);
struct feed_reader *feed_reader_free(struct feed_reader *reader); /* accepts NULL, returns NULL */
enum feed_next { FEED_NEXT_ITEM, FEED_NEXT_WAIT, FEED_NEXT_END };
/* The next piece, output at most `max` bytes of it. */
enum feed_next feed_next(struct feed_reader *reader, size_t max, struct feed_item *ret);

/* "1024.0.3": the text of an SSE event's id. */
void feed_cursor_text(char out[FEED_CURSOR_LEN], const struct feed_cursor *cursor);
/* Takes what feed_cursor_text makes and nothing else. */
_must_check_ bool feed_cursor_parse(struct feed_cursor *ret, const char *text);
