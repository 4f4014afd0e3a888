#include "executor/walls.h"

#include "executor/core/audit.h"
#include "executor/log.h"
#include "lib/sbx_wall.h"

#define NAMES_LEN 1024 /* of all walls */

static void
walls_on_stored(void *arg _unused_, int rc, const struct db_result *result _unused_)
{
    if (rc != 0) {
        log_error("audit.walls_failed", LOG_INT("code", rc));
    }
}

static void
walls_audit(struct walls *walls, uint64_t accepted)
{
    struct db_tx *tx;

    if (db_tx_new(&tx, walls->db) != 0) {
        log_error("audit.walls_failed", LOG_INT("code", -ENOMEM));
        return;
    }
    audit_walls_accepted(tx, accepted);
    db_tx_submit(tx, walls_on_stored, NULL);
}

static void
walls_tell(struct walls *walls, uint64_t missing, bool first)
{
    uint64_t accepted = missing & walls->config->accept_missing;
    uint64_t bare = missing & ~accepted;
    bool production = walls->config->production;
    char names[NAMES_LEN];

    if (accepted != 0) {
        log_warn("walls.accepted", LOG_STR("walls", sbx_walls_text(accepted, names, sizeof(names))),
                 LOG_STR("message", "missing on this host, and walls.accept_missing says so"));
        walls_audit(walls, accepted);
    }
    if (bare != 0) {
        log_at(production ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN,
               production && first ? "start.walls" : "walls.missing",
               LOG_STR("walls", sbx_walls_text(bare, names, sizeof(names))),
               LOG_STR("message", production ? "this host does not hold what production requires; executord "
                                               "check-host says more, walls.accept_missing takes it on"
                                             : "production would refuse this host"));
    }
}

_must_check_ bool
walls_judge(struct walls *walls, uint64_t missing, bool first)
{
    if (!walls->told || walls->missing != missing) {
        walls->told = true;
        walls->missing = missing;
        walls_tell(walls, missing, first);
    }
    return !walls->config->production || (missing & ~walls->config->accept_missing) == 0;
}
