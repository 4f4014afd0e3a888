#include "executor/core/janitor.h"

#include <stdlib.h>

#include "executor/log.h"
#include "executor/store/stmts.h"
#include "lib/sbx_time.h"

#define JANITOR_PURGE_MS 60000
#define JANITOR_TICK_MS 1000
/* A job's output may be megabytes: each batch is a small transaction, and others get in between. */
#define JANITOR_BATCH 32
#define JANITOR_MORE_MS 20

struct janitor {
    struct timer *timer;
    struct timer *records;
    struct db *db;
    uint64_t key_ttl_ms;
    uint64_t records_ms; /* between two looks */
    uint64_t purged_ms;  /* monotonic */
    bool busy;
    uint64_t purged; /* records, since there were some */
    bool was_healthy;
};

static void
janitor_on_purged(void *arg, int rc, const struct db_result *result)
{
    struct janitor *janitor = arg;

    janitor->busy = false;
    if (rc == 0 && result->changes > 0) {
        log_debug("idempotency.purged", LOG_INT("keys", result->changes));
    }
}

static void
janitor_purge(struct janitor *janitor)
{
    const struct db_value values[] = { DB_VINT(sbx_now_unix_ms() - janitor->key_ttl_ms) };
    struct db_tx *tx;

    if (janitor->busy || db_tx_new(&tx, janitor->db) != 0) {
        return;
    }
    janitor->busy = true;
    janitor->purged_ms = sbx_now_mono_ms();
    db_tx_add(tx, DB_IDEM_PURGE, values, SBX_COUNT(values));
    db_tx_submit(tx, janitor_on_purged, janitor);
}

static void
janitor_on_records(void *arg, int rc, const struct db_result *result)
{
    struct janitor *janitor = arg;
    bool more = rc == 0 && result->changes > 0;

    if (more) {
        janitor->purged += (uint64_t)result->changes;
    } else if (janitor->purged > 0) {
        log_info("records.purged", LOG_INT("rows", janitor->purged));
        janitor->purged = 0;
    }
    timer_start(janitor->records, more ? JANITOR_MORE_MS : janitor->records_ms);
}

/* Steps before their sessions: what is left of a session is whole or nothing. */
static void
janitor_purge_records(void *arg)
{
    static const enum db_stmt stmts[] = { DB_JOBS_PURGE, DB_STEPS_PURGE, DB_SESSIONS_PURGE };
    struct janitor *janitor = arg;
    const struct db_value values[] = { DB_VINT(sbx_now_unix_ms()), DB_VINT(JANITOR_BATCH) };
    struct db_tx *tx;

    if (db_tx_new(&tx, janitor->db) != 0) {
        timer_start(janitor->records, janitor->records_ms);
        return;
    }
    for (size_t i = 0; i < SBX_COUNT(stmts); i++) {
        db_tx_add(tx, stmts[i], values, SBX_COUNT(values));
    }
    db_tx_submit(tx, janitor_on_records, janitor);
}

static void
janitor_on_tick(void *arg)
{
    struct janitor *janitor = arg;
    struct db_stats stats;

    db_stats(janitor->db, &stats);
    if (stats.healthy != janitor->was_healthy) {
        log_at(stats.healthy ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR,
               stats.healthy ? "db.healthy" : "db.unhealthy", LOG_INT("error", stats.last_error),
               LOG_INT("failures", stats.failures));
        janitor->was_healthy = stats.healthy;
    }
    if (!stats.healthy || sbx_now_mono_ms() - janitor->purged_ms >= JANITOR_PURGE_MS) {
        janitor_purge(janitor);
    }
    timer_start(janitor->timer, JANITOR_TICK_MS);
}

int
janitor_new(struct janitor **ret, const struct janitor_spec *spec)
{
    struct janitor *janitor;
    int r;

    janitor = calloc(1, sizeof(*janitor));
    if (janitor == NULL) {
        return -ENOMEM;
    }
    janitor->db = spec->db;
    janitor->key_ttl_ms = spec->key_ttl_ms;
    janitor->records_ms = spec->keep_ms / 4 < JANITOR_TICK_MS    ? JANITOR_TICK_MS
                          : spec->keep_ms / 4 > JANITOR_PURGE_MS ? JANITOR_PURGE_MS
                                                                 : spec->keep_ms / 4;
    janitor->was_healthy = true;
    r = timer_new(&janitor->timer, spec->timers, janitor_on_tick, janitor);
    if (r == 0) {
        r = timer_new(&janitor->records, spec->timers, janitor_purge_records, janitor);
    }
    if (r) {
        janitor_free(janitor);
        return r;
    }
    timer_start(janitor->timer, JANITOR_TICK_MS);
    timer_start(janitor->records, JANITOR_TICK_MS);
    *ret = janitor;
    return 0;
}

struct janitor *
janitor_free(struct janitor *janitor)
{
    if (janitor != NULL) {
        timer_free(janitor->records);
        timer_free(janitor->timer);
        free(janitor);
    }
    return NULL;
}
