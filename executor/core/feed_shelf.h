/*
 * Feeds of runs that ended, for readers that come back: by tenant and id, for a while and up to a budget of memory.
 * Who finds none here makes one again from the record and may put it here for the next.
 */
#pragma once

#include "executor/core/feed.h"
#include "executor/core/timer.h"

struct feed_shelf;

struct feed_shelf_spec {
    struct timers *timers;
    size_t max_bytes;
    uint64_t linger_ms;
};

_must_check_ int feed_shelf_new(struct feed_shelf **ret, const struct feed_shelf_spec *spec);
struct feed_shelf *feed_shelf_free(struct feed_shelf *shelf); /* accepts NULL, returns NULL */
/* Holds the feed, which is closed, until its time is over or newer ones need the room. Out of memory it is not kept. */
void feed_shelf_put(struct feed_shelf *shelf, const char *tenant, const char *id, struct feed *feed);
/* Borrowed until the next turn of the loop; NULL: none. */
struct feed *feed_shelf_find(const struct feed_shelf *shelf, const char *tenant, const char *id);
