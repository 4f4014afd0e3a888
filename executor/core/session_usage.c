/*
 * What a session used, in the kernel's words: asked for when somebody wants to know and once more before its sandbox
 * goes. What its agent says of steps and commands is theirs, and adds up to nothing here.
 */
#include <stdlib.h>

#include "executor/core/session_inside.h"
#include "executor/core/step_inside.h"
#include "lib/sbx_jsonw.h"
#include "lib/sbx_time.h"

#define USAGE_MAX 512

void
session_usage_write(struct sbx_jsonw *w, const char *key, const struct session *session)
{
    const struct runtime_report *used = &session->used;

    sbx_jsonw_object(w, key);
    sbx_jsonw_uint(w, "wall_ms", session->running_ms == 0 ? 0 : sbx_now_mono_ms() - session->running_ms);
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
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &text);
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
    }
}

static void
session_on_measured(void *arg, int rc, const struct runtime_report *report)
{
    struct session *session = arg;

    session->measuring = false;
    session_usage_take(session, rc == 0 ? report : NULL);
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
