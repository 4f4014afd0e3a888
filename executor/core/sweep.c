/*
 *   sweep_step -> blob_walk_next -> sweep_on_names -> sweep_step -> db_read -> sweep_on_owner -> sweep_step ...
 *
 * Each step begins from the timer: a callback made by db_close must not ask the database again.
 */
#include "executor/core/sweep.h"

#include <stdlib.h>
#include <string.h>

#include "executor/log.h"
#include "executor/store/blob.h"
#include "executor/store/stmts.h"
#include "lib/sbx_time.h"

#define SWEEP_PAUSE_MS 50 /* between pages of BLOB_WALK_MAX names */
#define SWEEP_CLOCK_MS 1000

struct sweep {
    struct timer *timer;
    struct db *db;
    struct blob_store *blobs;
    struct blob_walk *walk; /* NULL: over */
    struct blob_place places[BLOB_WALK_MAX];
    unsigned n, next;
    bool last; /* no page follows */
    uint64_t removed;
    uint64_t began_unix_ms, began_mono_ms;
};

static void
sweep_end(struct sweep *sweep, int rc)
{
    sweep->walk = blob_walk_close(sweep->walk);
    if (rc != 0 || sweep->removed > 0) {
        log_at(rc ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "artifacts.swept", LOG_INT("removed", sweep->removed),
               LOG_INT("code", rc));
    }
}

/* What is older is told by the wall clock: once that went back, what is new looks old. */
static bool
sweep_clock_went_back(const struct sweep *sweep)
{
    return sbx_now_unix_ms() + SWEEP_CLOCK_MS <
           sweep->began_unix_ms + (sbx_now_mono_ms() - sweep->began_mono_ms);
}

static void
sweep_on_owner(void *arg, int rc, const struct db_result *result)
{
    struct sweep *sweep = arg;
    const struct blob_place *place = &sweep->places[sweep->next++];

    if (rc == 0 && sweep_clock_went_back(sweep)) {
        rc = -ECANCELED;
    }
    if (rc == 0 && result->n_rows == 0) {
        rc = blob_delete_at(sweep->blobs, place, NULL, NULL);
        sweep->removed += rc == 0;
    }
    if (rc) {
        sweep_end(sweep, rc);
        return;
    }
    timer_start(sweep->timer, 0);
}

static void
sweep_on_names(void *arg, int rc, const struct blob_place *places, unsigned n)
{
    struct sweep *sweep = arg;

    if (rc != 0 && rc != BLOB_E_END) {
        sweep_end(sweep, rc);
        return;
    }
    memcpy(sweep->places, places, n * sizeof(*places));
    sweep->n = n;
    sweep->next = 0;
    sweep->last = rc == BLOB_E_END;
    timer_start(sweep->timer, 0);
}

static void
sweep_on_timer(void *arg)
{
    struct sweep *sweep = arg;

    if (sweep->next < sweep->n) {
        const struct db_value values[] = { DB_VTEXT(sweep->places[sweep->next].id) };

        db_read(sweep->db, DB_ARTIFACT_OWNER, values, SBX_COUNT(values), sweep_on_owner, sweep);
    } else if (sweep->last) {
        sweep_end(sweep, 0);
    } else if (sweep->n > 0) {
        sweep->n = sweep->next = 0;
        timer_start(sweep->timer, SWEEP_PAUSE_MS);
    } else {
        blob_walk_next(sweep->walk, sweep_on_names, sweep);
    }
}

int
sweep_new(struct sweep **ret, struct timers *timers, struct db *db, struct blob_store *blobs)
{
    struct sweep *sweep;
    int r;

    sweep = calloc(1, sizeof(*sweep));
    if (sweep == NULL) {
        return -ENOMEM;
    }
    sweep->db = db;
    sweep->blobs = blobs;
    sweep->began_unix_ms = sbx_now_unix_ms();
    sweep->began_mono_ms = sbx_now_mono_ms();
    r = blob_walk_new(&sweep->walk, blobs);
    if (r == 0) {
        r = timer_new(&sweep->timer, timers, sweep_on_timer, sweep);
    }
    if (r) {
        blob_walk_close(sweep->walk);
        free(sweep);
        return r;
    }
    timer_start(sweep->timer, 0);
    *ret = sweep;
    return 0;
}

struct sweep *
sweep_free(struct sweep *sweep)
{
    if (sweep != NULL) {
        blob_walk_close(sweep->walk);
        timer_free(sweep->timer);
        free(sweep);
    }
    return NULL;
}
