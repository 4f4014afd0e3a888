/*
 * What gateways learn from: policies and revocations as they change, numbered by one counter that only grows. The rows
 * are the database's (policy_changes: the newest change of each thing); here are the commit that moves the counter, those
 * who wait for the next, and the end of what need not be told any more. docs/governance.md, "The feed".
 */
#pragma once

#include "executor/core/timer.h"
#include "executor/core/waiter.h"
#include "executor/store/db.h"

#define CHANGES_MAX_WAITERS 64
#define CHANGES_INSTANCE_LEN 32 /* hex digits */

enum {
    CHANGES_E_FULL = 1, /* as many wait as may */
    CHANGES_E_DRAINING, /* the executor stops: nobody waits any more */
};

struct changes;

struct changes_spec {
    struct timers *timers;
    struct db *db;
    uint64_t keep_ms; /* how long a deletion is told, and a revocation that is over */
};

_must_check_ int changes_new(struct changes **ret, const struct changes_spec *spec);
/* After the database was closed: no callback may be due. Accepts NULL, returns NULL. */
struct changes *changes_free(struct changes *changes);
struct db *changes_db(const struct changes *changes);

struct change {
    const char *kind; /* "policy" "revocation" */
    const char *tenant, *object;
    uint64_t bytes;   /* about, of what will be told */
    uint64_t gone_ms; /* Unix, when it was deleted; 0: it is there */
};

/* Adds the change to tx: one to a transaction. */
void changes_add(struct db_tx *tx, const struct change *change);
/* 0 when it is durable, a code of db_tx_expect, or -errno: then nothing of it happened. */
typedef void (*changes_done_fn)(void *arg, int rc, uint64_t revision);
/* Takes tx. Who waits is told right after `done` returned. -ENOMEM: done is not called. */
_must_check_ int changes_submit(struct changes *changes, struct db_tx *tx, changes_done_fn done, void *arg);

/* The newest change that is known to be durable; 0 until something was read or changed. */
uint64_t changes_revision(const struct changes *changes);
/* Of what was read: an earlier process made it. */
void changes_saw(struct changes *changes, uint64_t revision);
/* Until something newer than what changes_revision says, the time or the drain: as of waiter_new. */
_must_check_ int changes_wait(struct waiter **ret, struct changes *changes, uint64_t ms, waiter_fn done,
                              void *arg);
void changes_drain(struct changes *changes);

/*
 * What a gateway that has the changes up to `after` names with it. It holds the newest deletion that was no longer told
 * when that gateway began, so that it misses none without being told to begin again.
 */
struct changes_place {
    char instance[CHANGES_INSTANCE_LEN + 1]; /* "" : it has nothing yet */
    uint64_t after;
};

/* What a row of DB_CHANGES_AFTER says of the feed itself. */
struct changes_head {
    char instance[CHANGES_INSTANCE_LEN + 1];
    uint64_t revision, newest;
    uint64_t purged;
};

_must_check_ int changes_head_load(struct changes_head *ret, const struct db_result *result);
/* Whether the place is one of this feed, and nothing was forgotten that it has not heard. */
bool changes_place_valid(const struct changes_place *place, const struct changes_head *head);

struct changes_stats {
    uint64_t revision, committed;
    uint64_t policies; /* of all tenants */
    unsigned waiters;
};
void changes_stats(const struct changes *changes, struct changes_stats *ret);
/* For who counts what it changed. */
void changes_count_policies(struct changes *changes, int by);
