#include "executor/core/reconcile.h"

#include <stdlib.h>
#include <string.h>

#include "executor/core/audit.h"
#include "executor/log.h"
#include "executor/store/stmts.h"
#include "lib/sbx_time.h"

#define RECONCILE_PAGE 100
#define RECONCILE_MESSAGE "the executor was restarted"

/* Columns of DB_JOBS_UNFINISHED, DB_STEPS_UNFINISHED and DB_SESSIONS_UNFINISHED. */
enum {
    ROW_ID,
    ROW_TENANT,
    ROW_APP,
    ROW_AGENT,
    ROW_SUBJECT,
    ROW_REQUEST_ID,
    ROW_ISOLATION,
    ROW_N_COLUMNS,
    ROW_SESSION_ID = ROW_N_COLUMNS /* of a step */
};

/* Steps before their sessions: those whose row says that they ended have no step that has not. */
static const struct {
    const char *what, *kind;
    enum db_stmt read, lost;
    bool of_session;
} kinds[] = {
    { "job", "job.lost", DB_JOBS_UNFINISHED, DB_JOB_LOST, false },
    { "step", "step.ended", DB_STEPS_UNFINISHED, DB_STEP_LOST, true },
    { "session", "session.ended", DB_SESSIONS_UNFINISHED, DB_SESSION_LOST, false },
};

struct reconcile {
    struct db *db;
    void (*done)(void *arg, int rc, unsigned lost);
    void *arg;
    unsigned kind, lost, page;
    char after[SBX_ID_LEN + 1];
};

static void reconcile_read(struct reconcile *reconcile);

static void
reconcile_end(struct reconcile *reconcile, int rc)
{
    void (*done)(void *arg, int rc, unsigned lost) = reconcile->done;
    void *arg = reconcile->arg;
    unsigned lost = reconcile->lost;

    free(reconcile);
    done(arg, rc, lost);
}

static void
reconcile_on_stored(void *arg, int rc, const struct db_result *result _unused_)
{
    struct reconcile *reconcile = arg;

    if (rc) {
        reconcile_end(reconcile, rc > 0 ? -EIO : rc);
        return;
    }
    reconcile->lost += reconcile->page;
    reconcile_read(reconcile);
}

static void
reconcile_add(struct db_tx *tx, unsigned kind, const struct db_value *row)
{
    const struct db_value values[] = { row[ROW_ID], DB_VINT(sbx_now_unix_ms()), DB_VTEXT(RECONCILE_MESSAGE) };
    const struct audit_orphan orphan = {
        .kind = kinds[kind].kind,
        .id = row[ROW_ID].data,
        .tenant = row[ROW_TENANT].data,
        .app = row[ROW_APP].data,
        .agent = row[ROW_AGENT].data,
        .subject = row[ROW_SUBJECT].data,
        .request_id = row[ROW_REQUEST_ID].data,
        .isolation = row[ROW_ISOLATION].data,
        .message = RECONCILE_MESSAGE,
        .session_id = kinds[kind].of_session ? row[ROW_SESSION_ID].data : NULL,
    };

    db_tx_add(tx, kinds[kind].lost, values, SBX_COUNT(values));
    audit_orphaned(tx, &orphan);
    log_warn("start.lost", LOG_STR(kinds[kind].what, orphan.id), LOG_STR("tenant", orphan.tenant),
             LOG_STR("request_id", orphan.request_id));
}

static void
reconcile_on_read(void *arg, int rc, const struct db_result *result)
{
    struct reconcile *reconcile = arg;
    const struct db_value *last;
    struct db_tx *tx;
    int r;

    if (rc == 0 && result->n_rows == 0 && reconcile->kind + 1 < SBX_COUNT(kinds)) {
        reconcile->kind++;
        reconcile->after[0] = '\0';
        reconcile_read(reconcile);
        return;
    }
    if (rc != 0 || result->n_rows == 0) {
        reconcile_end(reconcile, rc > 0 ? -EIO : rc);
        return;
    }
    last = db_at(result, result->n_rows - 1, ROW_ID);
    if (result->n_columns < (kinds[reconcile->kind].of_session ? ROW_SESSION_ID + 1u : ROW_N_COLUMNS) ||
        last->len > SBX_ID_LEN) {
        reconcile_end(reconcile, -EINVAL);
        return;
    }
    r = db_tx_new(&tx, reconcile->db);
    if (r) {
        reconcile_end(reconcile, r);
        return;
    }
    for (unsigned i = 0; i < result->n_rows; i++) {
        reconcile_add(tx, reconcile->kind, db_at(result, i, 0));
    }
    memcpy(reconcile->after, last->data, last->len + 1);
    reconcile->page = result->n_rows;
    db_tx_submit(tx, reconcile_on_stored, reconcile);
}

static void
reconcile_read(struct reconcile *reconcile)
{
    const struct db_value values[] = { DB_VTEXT(reconcile->after), DB_VINT(RECONCILE_PAGE) };

    db_read(reconcile->db, kinds[reconcile->kind].read, values, SBX_COUNT(values), reconcile_on_read,
            reconcile);
}

int
reconcile_start(struct db *db, void (*done)(void *arg, int rc, unsigned lost), void *arg)
{
    struct reconcile *reconcile;

    reconcile = calloc(1, sizeof(*reconcile));
    if (reconcile == NULL) {
        return -ENOMEM;
    }
    reconcile->db = db;
    reconcile->done = done;
    reconcile->arg = arg;
    reconcile_read(reconcile);
    return 0;
}
