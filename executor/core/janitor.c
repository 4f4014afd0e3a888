#include "executor/core/janitor.h"

#include <stdlib.h>

#include "executor/log.h"
#include "executor/store/stmts.h"
#include "lib/sbx_time.h"

#define JANITOR_PURGE_MS 60000
#define JANITOR_TICK_MS 1000

struct janitor {
    struct timer *timer;
    struct db *db;
    uint64_t key_ttl_ms;
    uint64_t purged_ms; /* monotonic */
    bool busy;
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
janitor_new(struct janitor **ret, struct timers *timers, struct db *db, uint64_t key_ttl_ms)
{
    struct janitor *janitor;
    int r;

    janitor = calloc(1, sizeof(*janitor));
    if (janitor == NULL) {
        return -ENOMEM;
    }
    janitor->db = db;
    janitor->key_ttl_ms = key_ttl_ms;
    janitor->was_healthy = true;
    r = timer_new(&janitor->timer, timers, janitor_on_tick, janitor);
    if (r) {
        free(janitor);
        return r;
    }
    timer_start(janitor->timer, JANITOR_TICK_MS);
    *ret = janitor;
    return 0;
}

struct janitor *
janitor_free(struct janitor *janitor)
{
    if (janitor != NULL) {
        timer_free(janitor->timer);
        free(janitor);
    }
    return NULL;
}
