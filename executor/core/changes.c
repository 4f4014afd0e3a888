#include "executor/core/changes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/rows.h"
#include "executor/log.h"
#include "executor/store/stmts.h"
#include "lib/sbx_time.h"

#define PURGE_MS 60000 /* between looks for what need not be told any more, or a quarter of keep_ms */
#define PURGE_MIN_MS 200
#define PURGE_BATCH 256
#define INSTANCE_OWN 16 /* digits of the database's own part; the other 16 are `purged` */

struct changes {
    struct changes_spec spec;
    struct timer *timer;
    struct list waiters;
    bool draining;
    struct changes_stats stats;
};

static const bool accepted = true; /* what is waited for is no record of ours */

static uint64_t
purge_interval(const struct changes *changes)
{
    const uint64_t quarter = changes->spec.keep_ms / 4;

    return quarter < PURGE_MIN_MS ? PURGE_MIN_MS : quarter > PURGE_MS ? PURGE_MS : quarter;
}

static void
changes_on_purged(void *arg, int rc, const struct db_result *result)
{
    struct changes *changes = arg;

    if (rc) {
        log_warn("changes.purge_failed", LOG_INT("code", rc));
    } else if (result->changes > 0) {
        log_debug("changes.purged", LOG_INT("rows", result->changes));
    }
    timer_start(changes->timer, purge_interval(changes));
}

static void
changes_on_timer(void *arg)
{
    struct changes *changes = arg;
    const uint64_t now = sbx_now_unix_ms();
    const struct db_value values[] = {
        DB_VINT(now > changes->spec.keep_ms ? now - changes->spec.keep_ms : 0),
        DB_VINT(PURGE_BATCH),
    };
    struct db_tx *tx;

    if (db_tx_new(&tx, changes->spec.db) != 0) {
        timer_start(changes->timer, purge_interval(changes));
        return;
    }
    db_tx_add(tx, DB_CHANGES_FORGET, values, 1);
    db_tx_add(tx, DB_CHANGES_PURGE, values, 1);
    db_tx_add(tx, DB_REVOCATIONS_PURGE_CHANGES, values, SBX_COUNT(values));
    db_tx_add(tx, DB_REVOCATIONS_PURGE, values, SBX_COUNT(values));
    db_tx_submit(tx, changes_on_purged, changes);
}

static void
changes_on_head(void *arg, int rc, const struct db_result *result)
{
    struct changes *changes = arg;

    if (rc != 0 || result->n_rows != 1) {
        log_warn("changes.head_failed", LOG_INT("code", rc));
        return;
    }
    changes_saw(changes, row_take_number(db_at(result, 0, 0)));
    changes->stats.policies += row_take_number(db_at(result, 0, 1));
}

int
changes_new(struct changes **ret, const struct changes_spec *spec)
{
    struct changes *changes;
    int r;

    changes = calloc(1, sizeof(*changes));
    if (changes == NULL) {
        return -ENOMEM;
    }
    changes->spec = *spec;
    list_init(&changes->waiters);
    r = timer_new(&changes->timer, spec->timers, changes_on_timer, changes);
    if (r) {
        free(changes);
        return r;
    }
    timer_start(changes->timer, purge_interval(changes));
    db_read(spec->db, DB_CHANGES_HEAD, NULL, 0, changes_on_head, changes);
    *ret = changes;
    return 0;
}

struct changes *
changes_free(struct changes *changes)
{
    if (changes != NULL) {
        assert(list_empty(&changes->waiters));
        timer_free(changes->timer);
        free(changes);
    }
    return NULL;
}

struct db *
changes_db(const struct changes *changes)
{
    return changes->spec.db;
}

void
changes_add(struct db_tx *tx, const struct change *change)
{
    const struct db_value values[] = {
        DB_VTEXT(change->object),          DB_VTEXT(change->kind),
        DB_VTEXT(change->tenant),          DB_VINT(change->bytes),
        row_time_or_null(change->gone_ms),
    };

    db_tx_add(tx, DB_CHANGE_NEXT, NULL, 0);
    db_tx_add(tx, DB_CHANGE_SET, values, SBX_COUNT(values));
}

struct submission {
    struct changes *changes;
    changes_done_fn done;
    void *arg;
};

static void
submission_on_stored(void *arg, int rc, const struct db_result *result)
{
    struct submission *submission = arg;
    struct changes *changes = submission->changes;
    uint64_t revision = 0;

    /* The counter's is the only statement with a row. */
    if (rc == 0 && result->n_rows == 1) {
        revision = row_take_number(db_at(result, 0, 0));
        changes->stats.committed++;
        changes_saw(changes, revision);
    }
    submission->done(submission->arg, rc == DB_E_CONFLICT ? -EIO : rc, revision);
    free(submission);
    if (rc == 0) {
        waiter_tell(&changes->waiters, 0, WAITER_OVER);
    }
}

int
changes_submit(struct changes *changes, struct db_tx *tx, changes_done_fn done, void *arg)
{
    struct submission *submission = malloc(sizeof(*submission));

    if (submission == NULL) {
        db_tx_free(tx);
        return -ENOMEM;
    }
    *submission = (struct submission){ changes, done, arg };
    db_tx_submit(tx, submission_on_stored, submission);
    return 0;
}

uint64_t
changes_revision(const struct changes *changes)
{
    return changes->stats.revision;
}

void
changes_saw(struct changes *changes, uint64_t revision)
{
    if (revision > changes->stats.revision) {
        changes->stats.revision = revision;
    }
}

static unsigned
changes_waiting(const struct changes *changes)
{
    unsigned n = 0;

    for (const struct list *it = changes->waiters.next; it != &changes->waiters; it = it->next) {
        n++;
    }
    return n;
}

int
changes_wait(struct waiter **ret, struct changes *changes, uint64_t ms, waiter_fn done, void *arg)
{
    if (changes->draining) {
        return CHANGES_E_DRAINING;
    }
    if (changes_waiting(changes) >= CHANGES_MAX_WAITERS) {
        return CHANGES_E_FULL;
    }
    return waiter_new(ret, &changes->waiters, changes->spec.timers, ms, &accepted, 0, done, arg);
}

void
changes_drain(struct changes *changes)
{
    changes->draining = true;
    waiter_tell(&changes->waiters, 0, WAITER_TIMEOUT);
}

int
changes_head_load(struct changes_head *ret, const struct db_result *result)
{
    char own[INSTANCE_OWN + 1] = "";
    int r = 0;

    if (result->n_rows == 0 || result->n_columns != DB_CHANGE_N_COLUMNS) {
        return -EIO;
    }
    row_take_text(own, sizeof(own), db_at(result, 0, DB_CHANGE_INSTANCE), &r);
    if (r != 0 || strlen(own) != INSTANCE_OWN) {
        return -EIO;
    }
    ret->revision = row_take_number(db_at(result, 0, DB_CHANGE_HEAD));
    ret->newest = row_take_number(db_at(result, 0, DB_CHANGE_NEWEST));
    ret->purged = row_take_number(db_at(result, 0, DB_CHANGE_PURGED));
    (void)snprintf(ret->instance, sizeof(ret->instance), "%s%016" PRIx64, own, ret->purged); /* fits */
    return 0;
}

/*
 * A gateway begins at 0 and is then told all that is there, which needs no deletion of before. From then on it must hear
 * each deletion: it has when none was forgotten since it began, or none that is newer than what it has.
 */
bool
changes_place_valid(const struct changes_place *place, const struct changes_head *head)
{
    if (place->after == 0) {
        return true;
    }
    if (place->after > head->revision || strlen(place->instance) != CHANGES_INSTANCE_LEN ||
        strncmp(place->instance, head->instance, INSTANCE_OWN) != 0) {
        return false;
    }
    return strcmp(place->instance, head->instance) == 0 || place->after >= head->purged;
}

void
changes_stats(const struct changes *changes, struct changes_stats *ret)
{
    *ret = changes->stats;
    ret->waiters = changes_waiting(changes);
}

void
changes_count_policies(struct changes *changes, int by)
{
    changes->stats.policies += (uint64_t)(int64_t)by;
}
