#include "executor/core/orphans.h"

#include <stdlib.h>
#include <string.h>

#include "executor/log.h"
#include "executor/store/stmts.h"
#include "lib/sbx_time.h"

#define ORPHANS_PAGE 100
#define ORPHANS_MESSAGE "nobody had it any more"

/* Columns of DB_SESSIONS_UNFINISHED and DB_STEPS_UNFINISHED. */
enum { ROW_ID, ROW_TENANT, ROW_APP, ROW_AGENT, ROW_SUBJECT, ROW_REQUEST_ID, ROW_ISOLATION, ROW_SESSION_ID };

enum kind { KIND_STEP, KIND_SESSION, N_KINDS };

static const struct {
    const char *what, *event;
    enum db_stmt read, lost;
    unsigned n_columns, session; /* the column with its session's id */
} kinds[N_KINDS] = {
    [KIND_STEP] = { "step", "step.ended", DB_STEPS_UNFINISHED, DB_STEP_LOST, ROW_SESSION_ID + 1,
                    ROW_SESSION_ID },
    [KIND_SESSION] = { "session", "session.ended", DB_SESSIONS_UNFINISHED, DB_SESSION_LOST, ROW_SESSION_ID,
                       ROW_ID },
};

struct orphans {
    struct sessions *sessions;
    struct timer *timer;
    uint64_t every_ms;
    enum kind kind;                                   /* looked for now */
    char seen[N_KINDS][ORPHANS_PAGE][SBX_ID_LEN + 1]; /* the last time */
    unsigned n_seen[N_KINDS];
};

static void orphans_on_read(void *arg, int rc, const struct db_result *result);

static void
orphans_on_time(void *arg)
{
    const struct db_value values[] = { DB_VTEXT(""), DB_VINT(ORPHANS_PAGE) };
    struct orphans *orphans = arg;

    db_read(sessions_db(orphans->sessions), kinds[orphans->kind].read, values, SBX_COUNT(values),
            orphans_on_read, orphans);
}

static bool
was_seen(const struct orphans *orphans, const char *id)
{
    for (unsigned i = 0; i < orphans->n_seen[orphans->kind]; i++) {
        if (strcmp(orphans->seen[orphans->kind][i], id) == 0) {
            return true;
        }
    }
    return false;
}

static void
orphan_add(struct db_tx *tx, enum kind kind, const struct db_value *row)
{
    const struct db_value values[] = { row[ROW_ID], DB_VINT(sbx_now_unix_ms()), DB_VTEXT(ORPHANS_MESSAGE) };
    const struct audit_orphan orphan = {
        .kind = kinds[kind].event,
        .id = row[ROW_ID].data,
        .tenant = row[ROW_TENANT].data,
        .app = row[ROW_APP].data,
        .agent = row[ROW_AGENT].data,
        .subject = row[ROW_SUBJECT].data,
        .request_id = row[ROW_REQUEST_ID].data,
        .isolation = row[ROW_ISOLATION].data,
        .message = ORPHANS_MESSAGE,
        .session_id = kind == KIND_STEP ? row[ROW_SESSION_ID].data : NULL,
    };

    db_tx_add(tx, kinds[kind].lost, values, SBX_COUNT(values));
    audit_orphaned(tx, &orphan);
    log_error("session.orphan", LOG_STR(kinds[kind].what, orphan.id), LOG_STR("tenant", orphan.tenant));
}

/* One that ended between the read and now was in the table when it was read, or is seen only once. */
static int
orphans_judge(struct orphans *orphans, const struct db_result *result, struct db_tx **tx)
{
    enum kind kind = orphans->kind;
    char now[ORPHANS_PAGE][SBX_ID_LEN + 1];
    unsigned n = 0;
    int r = 0;

    for (unsigned i = 0; i < result->n_rows && i < ORPHANS_PAGE && r == 0; i++) {
        const struct db_value *row = db_at(result, i, 0);

        if (row[ROW_ID].len > SBX_ID_LEN ||
            sessions_find(orphans->sessions, row[ROW_TENANT].data, row[kinds[kind].session].data) != NULL) {
            continue;
        }
        if (was_seen(orphans, row[ROW_ID].data)) {
            r = *tx == NULL ? db_tx_new(tx, sessions_db(orphans->sessions)) : 0;
            if (r == 0) {
                orphan_add(*tx, kind, row);
            }
        }
        memcpy(now[n++], row[ROW_ID].data, row[ROW_ID].len + 1);
    }
    memcpy(orphans->seen[kind], now, n * sizeof(now[0]));
    orphans->n_seen[kind] = n;
    return r;
}

static void
orphans_on_stored(void *arg, int rc, const struct db_result *result _unused_)
{
    struct orphans *orphans = arg;

    if (rc) {
        log_error("session.orphans_failed", LOG_INT("code", rc));
    }
    orphans->kind = orphans->kind == KIND_STEP ? KIND_SESSION : KIND_STEP;
    timer_start(orphans->timer, orphans->every_ms / N_KINDS);
}

static void
orphans_on_read(void *arg, int rc, const struct db_result *result)
{
    struct orphans *orphans = arg;
    struct db_tx *tx = NULL;

    if (rc == 0 && result->n_rows > 0 && result->n_columns >= kinds[orphans->kind].n_columns) {
        rc = orphans_judge(orphans, result, &tx);
    } else {
        orphans->n_seen[orphans->kind] = 0;
    }
    if (tx != NULL) {
        db_tx_submit(tx, orphans_on_stored, orphans);
    } else {
        orphans_on_stored(orphans, rc, NULL);
    }
}

int
orphans_new(struct orphans **ret, struct sessions *sessions, uint64_t every_ms)
{
    struct orphans *orphans;
    int r;

    orphans = calloc(1, sizeof(*orphans));
    if (orphans == NULL) {
        return -ENOMEM;
    }
    orphans->sessions = sessions;
    orphans->every_ms = every_ms;
    r = timer_new(&orphans->timer, sessions_timers(sessions), orphans_on_time, orphans);
    if (r) {
        free(orphans);
        return r;
    }
    timer_start(orphans->timer, every_ms);
    *ret = orphans;
    return 0;
}

struct orphans *
orphans_free(struct orphans *orphans)
{
    if (orphans != NULL) {
        timer_free(orphans->timer);
        free(orphans);
    }
    return NULL;
}
