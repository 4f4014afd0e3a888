/*
 * Periodic work on the store: keys and records whose time is over are removed; while
 * the store is not healthy it is tried every second, so that readiness comes back
 * without a request having to fail first.
 */
#pragma once

#include "executor/core/timer.h"
#include "executor/store/db.h"

struct janitor;

struct janitor_spec {
    struct timers *timers;
    struct db *db;
    uint64_t key_ttl_ms;
    uint64_t keep_ms; /* records, where no policy says: the shorter, the more often it looks */
};

_must_check_ int janitor_new(struct janitor **ret, const struct janitor_spec *spec);
/* After the database was closed: no callback may be due. */
struct janitor *janitor_free(struct janitor *janitor);
