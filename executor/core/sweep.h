/*
 * Once, after a start: removes the artifacts that a process left behind which died after it had stored them and
 * before their job's record was durable. Slowly, beside the work.
 */
#pragma once

#include "executor/core/timer.h"
#include "executor/store/db.h"

struct blob_store;
struct sweep;

_must_check_ int sweep_new(struct sweep **ret, struct timers *timers, struct db *db,
                           struct blob_store *blobs);
/* After the database was closed: no callback may be due. */
struct sweep *sweep_free(struct sweep *sweep);
