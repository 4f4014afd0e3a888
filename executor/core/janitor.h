/*
 * Periodic work on the store: keys whose time is over are removed; while the store
 * is not healthy it is tried every second, so that readiness comes back without
 * a request having to fail first.
 */
#pragma once

#include "executor/core/timer.h"
#include "executor/store/db.h"

struct janitor;

_must_check_ int janitor_new(struct janitor **ret, struct timers *timers, struct db *db, uint64_t key_ttl_ms);
/* After the database was closed: no callback may be due. */
struct janitor *janitor_free(struct janitor *janitor);
