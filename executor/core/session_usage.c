/*
 * What a session used, in the kernel's words: asked for when somebody wants to know and once more before its sandbox
 * goes. What its agent says of steps and commands is theirs, and adds up to nothing here.
 */
#include <stdlib.h>

#include "executor/core/session_inside.h"
#include "executor/core/step_inside.h"
#include "executor/core/usage.h"
#include "executor/log.h"
#include "lib/sbx_jsonw.h"
#include "lib/sbx_time.h"

#define USAGE_MAX 512
#define RECORD_CPU_MS 100 /* less than that waits for more, or for the end */

static uint64_t
session_wall_ms(const struct session *session)
{
    uint64_t until = session->over_ms != 0 ? session->over_ms : sbx_now_mono_ms();

    return session->running_ms == 0 ? 0 : until - session->running_ms;
}

void
session_usage_write(struct sbx_jsonw *w, const char *key, const struct session *session)
{
    const struct runtime_report *used = &session->used;

    sbx_jsonw_object(w, key);
    sbx_jsonw_uint(w, "wall_ms", session_wall_ms(session));
    sbx_jsonw_uint(w, "cpu_ms", used->cpu_ms);
    sbx_jsonw_uint(w, "cpu_throttled_ms", used->cpu_throttled_ms);
    sbx_jsonw_uint(w, "peak_memory_bytes", used->peak_memory_bytes);
    sbx_jsonw_uint(w, "disk_bytes", used->disk_bytes);
    sbx_jsonw_object_end(w);
}

void
session_usage_keep(struct session *session)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(USAGE_MAX);
    struct sbx_jsonw_canonical canonical; /* it becomes part of an audit event */
    struct sbx_jsonw w;

    sbx_jsonw_init_canonical(&w, &text, &canonical);
    session_usage_write(&w, NULL, session);
    free(session->record.usage_json);
    session->record.usage_json = sbx_buf_take(&text, NULL);
}

/* A sandbox that died untold comes with a report of nothing. */
void
session_usage_take(struct session *session, const struct runtime_report *report)
{
    if (report != NULL && report->wall_ms > 0 && !session->settled) {
        session->used = *report;
        budget_use_live(&session->budget, report->cpu_ms > session->recorded_cpu_ms
                                              ? report->cpu_ms - session->recorded_cpu_ms
                                              : 0);
    }
}

void
session_usage_due(const struct session *session, struct usage *ret)
{
    const struct runtime_report *used = &session->used;
    uint64_t wall_ms = session_wall_ms(session) - session->recorded_wall_ms;

    *ret = (struct usage){
        .cpu_ms = used->cpu_ms > session->recorded_cpu_ms ? used->cpu_ms - session->recorded_cpu_ms : 0,
        .wall_ms = wall_ms,
        .memory_mib_ms = usage_memory(used->peak_memory_bytes, wall_ms),
    };
}

static void
record_on_stored(void *arg _unused_, int rc, const struct db_result *result _unused_)
{
    if (rc) {
        log_error("session.usage_lost",
                  LOG_INT("code", rc)); /* the event with it: their sums are still equal */
    }
}

static void
session_record(struct session *session)
{
    struct usage usage;
    struct db_tx *tx;

    session->record_due = false;
    session_usage_due(session, &usage);
    if (usage.cpu_ms < RECORD_CPU_MS || !session->accepted ||
        db_tx_new(&tx, sessions_db(session->sessions)) != 0) {
        return;
    }
    audit_session_used(tx, session, &usage);
    session->recorded_cpu_ms += usage.cpu_ms;
    session->recorded_wall_ms += usage.wall_ms;
    budget_use_record(&session->budget, usage.cpu_ms);
    db_tx_submit(tx, record_on_stored, NULL);
}

void
session_usage_record(struct session *session)
{
    session->record_due = session_measure(session);
}

static void
session_on_measured(void *arg, int rc, const struct runtime_report *report)
{
    struct session *session = arg;

    session->measuring = false;
    session_usage_take(session, rc == 0 ? report : NULL);
    if (session->record_due && session->record.state != SESSION_ENDED) {
        session_record(session);
    }
    waiter_tell(&session->waiters, SESSION_WAITS_USAGE, WAITER_OVER);
    if (session->record.state == SESSION_ENDED) {
        session_settle(session);
    } else if (rc == 0 && report->has_verdict) {
        session_on_lost(session, RUNTIME_E_ENDED, report); /* who tells of it is on the way */
    } else {
        if (session->running != NULL) {
            step_judged(session->running);
        }
        session_pause_due(session);
    }
}

bool
session_measure(struct session *session)
{
    /* Only of an attached sandbox, and in turn with being stopped. */
    if (session->mux == NULL || session->running_ms == 0 || session->pausing) {
        return false;
    }
    if (!session->measuring) {
        session->measuring = session->sandbox->ops->stat(session->sandbox, session_on_measured, session) == 0;
    }
    return session->measuring;
}
