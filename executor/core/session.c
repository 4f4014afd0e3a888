/*
 *   sessions_create -> session_start_begin -> session_started -> ... -> session_end -> its row -> told -> freed
 *
 * A session is freed when its end is durable, its sandbox is gone and none of its steps is left.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/audit.h"
#include "executor/core/idempotency.h"
#include "executor/core/session_inside.h"
#include "executor/core/session_store.h"
#include "executor/core/usage.h"
#include "executor/core/verdict.h"
#include "executor/log.h"
#include "lib/sbx_time.h"

#define SESSION_RETRY_STORE_MS 500
#define SESSION_JSON_MAX 4096

static void session_on_time(void *arg);
static void session_on_end_stored(void *arg, int rc, const struct db_result *result);

int
session_new(struct session **ret, struct sessions *sessions)
{
    _cleanup_(session_freep) struct session *session = NULL;
    int r;

    session = calloc(1, sizeof(*session));
    if (session == NULL) {
        return -ENOMEM;
    }
    list_init(&session->link);
    list_init(&session->hooks);
    list_init(&session->contexts);
    list_init(&session->steps);
    list_init(&session->waiters);
    session->sessions = sessions;
    session->used_ms = session->born_ms = timers_now_ms(sessions_timers(sessions));
    r = sbx_id_new(&session->record.id, "ses");
    if (r == 0) {
        r = timer_new(&session->timer, sessions_timers(sessions), session_on_time, session);
    }
    if (r) {
        return r;
    }
    *ret = steal(&session);
    return 0;
}

struct session *
session_free(struct session *session)
{
    if (session == NULL) {
        return NULL;
    }
    assert(list_empty(&session->steps) && list_empty(&session->hooks) && list_empty(&session->waiters));
    list_remove(&session->link);
    session_contexts_free(session);
    timer_free(session->timer);
    budget_use_end(&session->budget);
    free(session->env);
    free(session->pause_by);
    free(session->ended_by);
    session_record_deinit(&session->record);
    free(session);
    return NULL;
}

void
session_set_state(struct session *session, enum session_state state)
{
    struct session_record *record = &session->record;

    assert(session_state_follows(record->state, state));
    record->state = state;
    log_debug("session.state", LOG_STR("session", record->id.text), LOG_STR("tenant", record->tenant),
              LOG_STR("status", session_state_name(state)));
}

struct sbx_mux *
session_mux(const struct session *session)
{
    return session->record.state == SESSION_RUNNING ? session->mux : NULL;
}

void
session_touch(struct session *session)
{
    session->used_ms = timers_now_ms(sessions_timers(session->sessions));
}

void
session_hold(struct session *session)
{
    session->holds++;
}

void
session_release(struct session *session)
{
    assert(session->holds > 0);
    session->holds--;
    session_touch(session);
    session_rest(session);
}

void
session_rest(struct session *session)
{
    if (sessions_draining(session->sessions) && session_idle_at(session) != 0) {
        session_end_soon(session, SESSION_EVICTED);
    }
}

void
session_hook_add(struct session *session, struct session_hook *hook,
                 void (*fn)(struct session_hook *hook, struct session *session))
{
    session_hook_remove(hook);
    hook->fn = fn;
    list_append(&session->hooks, &hook->link);
}

void
session_hook_remove(struct session_hook *hook)
{
    if (hook->link.next != NULL) {
        list_remove(&hook->link);
    }
    hook->link = (struct list){ 0 };
}

uint64_t
session_idle_at(const struct session *session)
{
    const struct session_record *record = &session->record;

    if (record->state != SESSION_RUNNING || session->holds > 0 || session->running != NULL ||
        session->n_waiting > 0) {
        return 0;
    }
    return session->used_ms + record->idle_timeout_ms;
}

static uint64_t
session_ttl_at(const struct session *session)
{
    return session->born_ms + (session->record.expires_ms - session->record.created_ms);
}

/* Use moves the end away without touching the timer: it finds out when it fires too early, and waits for the rest. */
void
session_arm(struct session *session)
{
    uint64_t now = timers_now_ms(sessions_timers(session->sessions));
    uint64_t idle = session_idle_at(session);
    uint64_t next = session_ttl_at(session);

    if (idle == 0) {
        idle = now + session->record.idle_timeout_ms;
    }
    next = idle < next ? idle : next;
    timer_start(session->timer, next > now ? next - now : 0);
}

static void
session_look_at_clocks(struct session *session)
{
    uint64_t now = timers_now_ms(sessions_timers(session->sessions));
    uint64_t idle = session_idle_at(session);

    if (now >= session_ttl_at(session)) {
        session_end(session, SESSION_TTL, "");
    } else if (idle != 0 && now >= idle) {
        session_end(session, SESSION_IDLE, "");
    } else {
        session_arm(session);
    }
}

uint64_t
session_idle_expires_ms(const struct session *session)
{
    uint64_t now = timers_now_ms(sessions_timers(session->sessions));
    uint64_t idle = session_idle_at(session);

    if (idle == 0) {
        return 0;
    }
    return sbx_now_unix_ms() + (idle > now ? idle - now : 0);
}

void
session_extend(struct session *session, uint64_t ttl_ms, uint64_t idle_timeout_ms, char **metadata_json)
{
    struct session_record *record = &session->record;
    uint64_t age = timers_now_ms(sessions_timers(session->sessions)) - session->born_ms;
    uint64_t life = age + ttl_ms;

    if (ttl_ms > 0) {
        record->ttl_ms = ttl_ms;
        record->expires_ms =
            record->created_ms + (life < record->max_lifetime_ms ? life : record->max_lifetime_ms);
    }
    if (idle_timeout_ms > 0) {
        record->idle_timeout_ms = idle_timeout_ms;
    }
    if (*metadata_json != NULL) {
        free(record->metadata_json);
        record->metadata_json = steal(metadata_json);
    }
    session_touch(session);
    if (session->due == SESSION_NO_REASON) {
        session_arm(session);
    }
}

static void
session_store(struct session *session)
{
    struct db *db = sessions_db(session->sessions);

    if (session_store_end(db, session, session_on_end_stored, session) != 0) {
        timer_start(session->timer, SESSION_RETRY_STORE_MS);
    }
}

static void
session_on_time(void *arg)
{
    struct session *session = arg;

    if (session->record.state == SESSION_ENDED && !session->settled) {
        session_settle(session); /* the kernel is not waited for any longer */
    } else if (session->record.state == SESSION_ENDED) {
        if (session->accepted && !session->stored) {
            session_store(session);
        }
    } else if (session->due != SESSION_NO_REASON) {
        session_end(session, session->due, session->due_message == NULL ? "" : session->due_message);
    } else {
        session_look_at_clocks(session);
    }
}

void
session_end_soon(struct session *session, enum session_reason reason)
{
    if (session->record.state != SESSION_ENDED && session->due == SESSION_NO_REASON) {
        session->due = reason;
        timer_start(session->timer, 0);
    }
}

void
session_nonsense(struct session *session, const char *what)
{
    log_warn("session.nonsense", LOG_STR("session", session->record.id.text),
             LOG_STR("tenant", session->record.tenant), LOG_STR("what", what));
    session->due_message = session->due == SESSION_NO_REASON ? what : session->due_message;
    session_end_soon(session, SESSION_CRASH);
}

static void
session_write_violation(struct session *session, const struct runtime_report *report)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(SESSION_JSON_MAX);
    const struct verdict verdict = {
        .has_violation = true,
        .violated = report->verdict,
        .limit = report->verdict_limit,
        .observed = report->verdict_observed,
        .in_files = report->verdict_files,
    };
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &text);
    violation_write(&w, NULL, &verdict);
    session->record.violation_json = sbx_buf_take(&text, NULL);
}

static enum session_reason
reason_of_verdict(enum sbx_limit verdict)
{
    switch (verdict) {
    case SBX_LIMIT_MEMORY:
        return SESSION_OOM;
    case SBX_LIMIT_TIME:
        return SESSION_TTL;
    case SBX_LIMIT_CPU_RATE:
    case SBX_LIMIT_CPU:
    case SBX_LIMIT_DISK:
    case SBX_LIMIT_PROCESSES:
    case SBX_LIMIT_OUTPUT:
    case SBX_N_LIMITS:
        break;
    }
    return SESSION_LIMIT_EXCEEDED;
}

void
session_on_lost(void *arg, int rc, const struct runtime_report *report)
{
    struct session *session = arg;

    session_usage_take(session, report);
    if (session->record.state == SESSION_ENDED) {
        session_settle(session);
        return;
    }
    session->lost = true;
    if (report != NULL && report->has_verdict) {
        session_write_violation(session, report);
        session_end(session, reason_of_verdict(report->verdict), "");
    } else if (report != NULL && report->host_oom) {
        session_end(session, SESSION_OOM, "the host had no memory left");
    } else if (rc == RUNTIME_E_UNAVAILABLE) {
        session_end(session, SESSION_LOST, "the sandbox launcher went away");
    } else if (session->due_message != NULL) {
        session_end(session, SESSION_CRASH, session->due_message);
    } else {
        session_end(session, SESSION_CRASH,
                    rc == RUNTIME_E_AGENT ? "the sandbox's agent broke off" : "the sandbox died");
    }
}

/* Events that nobody waits for. */
static void
session_tell(struct session *session, void (*write)(struct db_tx *tx, const struct session *session))
{
    struct db_tx *tx;

    if (db_tx_new(&tx, sessions_db(session->sessions)) == 0) {
        write(tx, session);
        audit_submit_later(tx);
    } else {
        log_error("audit.event_failed", LOG_STR("session", session->record.id.text),
                  LOG_INT("code", -ENOMEM));
    }
}

static void
session_tell_pause(struct session *session)
{
    session_tell(session, audit_session_paused);
    free(session->pause_by);
    session->pause_by = NULL;
}

/* Once it is durable that there is such a session. */
static void
session_tell_start(struct session *session)
{
    if (session->accepted && session->running_ms != 0 && !session->start_told) {
        session->start_told = true;
        session_tell(session, audit_session_started);
    }
}

static void
session_on_paused(void *arg, int rc, const struct runtime_report *report)
{
    struct session *session = arg;
    bool was_running = session->record.state == SESSION_RUNNING;

    session->pausing = false;
    session_usage_take(session, report);
    if (rc) {
        log_warn("session.pause_failed", LOG_STR("session", session->record.id.text), LOG_INT("code", rc));
    } else {
        session_set_state(session, was_running ? SESSION_PAUSED : SESSION_RUNNING);
        session_touch(session);
        session_arm(session);
        session_tell_pause(session);
    }
    waiter_tell(&session->waiters, SESSION_WAITS_PAUSE, WAITER_OVER);
    step_next(session);
}

static int
session_pause_start(struct session *session)
{
    return session->sandbox->ops->pause(session->sandbox, session->record.state == SESSION_RUNNING,
                                        session_on_paused, session);
}

void
session_pause_due(struct session *session)
{
    if (session->pause_due) {
        session->pause_due = false;
        if (session_pause_start(session) != 0) {
            session_on_paused(session, RUNTIME_E_UNAVAILABLE, NULL);
        }
    }
}

int
session_pause(struct session *session, bool pause)
{
    enum session_state state = session->record.state;
    int r = 0;

    if (state != SESSION_RUNNING && state != SESSION_PAUSED) {
        return SESSION_PAUSE_E_STATE;
    }
    if (session->pausing || session->running != NULL || session->n_waiting > 0) {
        return SESSION_PAUSE_E_BUSY;
    }
    if ((state == SESSION_PAUSED) == pause) {
        return 0;
    }
    session->pause_due = session->measuring; /* one question at a time */
    if (!session->pause_due) {
        r = session_pause_start(session);
    }
    session->pausing = r == 0;
    return r;
}

int
session_pause_by(struct session *session, bool pause, const struct sbx_context *context)
{
    const bool already = (session->record.state == SESSION_PAUSED) == pause;
    int r = session_pause(session, pause);

    if (r == 0 && !already) {
        free(session->pause_by);
        session->pause_by = audit_asker_new(context, NULL);
    }
    return r;
}

static void
session_on_destroyed(void *arg, int rc _unused_)
{
    struct session *session = arg;

    session->destroying = false;
    session_check_gone(session);
}

static void
session_destroy_sandbox(struct session *session)
{
    struct sandbox *sandbox = steal(&session->sandbox);

    session->mux = NULL;
    if (sandbox == NULL) {
        return;
    }
    session->destroying = true;
    sandbox->ops->destroy(sandbox, session_on_destroyed, session);
}

static void
session_tell_hooks(struct session *session)
{
    while (!list_empty(&session->hooks)) {
        struct session_hook *hook = list_entry(session->hooks.next, struct session_hook, link);

        session_hook_remove(hook);
        hook->fn(hook, session);
    }
}

void
session_settle(struct session *session)
{
    struct usage due;

    if (session->settled) {
        return;
    }
    session->settled = true;
    session->measuring = false; /* its callback goes with the sandbox */
    session->over_ms = sbx_now_mono_ms();
    timer_stop(session->timer);
    session_usage_keep(session);
    session_usage_due(session, &due);
    budget_use_record(&session->budget, due.cpu_ms);
    budget_use_end(&session->budget);
    session_destroy_sandbox(session);
    waiter_tell(&session->waiters, SESSION_WAITS_USAGE, WAITER_OVER);
    if (session->accepted) {
        session_store(session);
    }
}

/* What it used is known for the last time while its sandbox is there; the end goes on without when that takes long. */
static void
session_end_measure(struct session *session)
{
    session->pausing = session->pausing && !session->pause_due;
    if (!session->lost && session_measure(session)) {
        timer_start(session->timer, SESSION_MEASURE_MS);
    } else {
        session_settle(session);
    }
}

/* Whoever made it is told when it runs or has ended, and it is durable that it was made. */
static void
session_tell_running(struct session *session)
{
    if (session->accepted && session->record.state != SESSION_STARTING) {
        waiter_tell(&session->waiters, SESSION_WAITS_RUN, WAITER_OVER);
    }
}

void
session_end(struct session *session, enum session_reason reason, const char *message)
{
    struct session_record *record = &session->record;

    if (record->state == SESSION_ENDED) {
        return;
    }
    session->ending = true;
    session_start_stop(session);
    session_set_state(session, SESSION_ENDED);
    record->reason = reason;
    record->ended_ms = sbx_now_unix_ms();
    (void)snprintf(record->message, sizeof(record->message), "%s", message); /* cut when too long */
    sessions_count(session->sessions)->ended[reason]++;
    log_info("session.ended", LOG_STR("session", record->id.text), LOG_STR("tenant", record->tenant),
             LOG_STR("request_id", record->request_id), LOG_STR("reason", session_reason_name(reason)),
             LOG_STR("message", message[0] == '\0' ? NULL : message), LOG_INT("steps", record->n_steps));
    steps_end(session);
    session_tell_hooks(session);
    session_contexts_free(session);
    timer_stop(session->timer);
    session_end_measure(session);
    session->pausing = session->pause_due = false;
    waiter_tell(&session->waiters, SESSION_WAITS_PAUSE, WAITER_OVER);
    session_tell_running(session);
    session->ending = false;
}

void
session_cancel_by(struct session *session, const struct sbx_context *context, const char *reason)
{
    if (session->record.state != SESSION_ENDED) {
        session->ended_by = audit_asker_new(context, reason);
        session_end(session, SESSION_CANCELLED, "");
    }
}

static void
session_on_end_stored(void *arg, int rc, const struct db_result *result _unused_)
{
    struct session *session = arg;

    if (rc) {
        log_error("session.end_failed", LOG_STR("session", session->record.id.text), LOG_INT("code", rc));
        waiter_tell(&session->waiters, SESSION_WAITS_END, WAITER_STORE);
        timer_start(session->timer, SESSION_RETRY_STORE_MS);
        return;
    }
    session->stored = true;
    session_check_gone(session);
}

void
session_check_gone(struct session *session)
{
    if (session->record.state != SESSION_ENDED || session->ending || session->destroying ||
        !session->settled || !(session->stored || session->refused)) {
        return;
    }
    waiter_tell(&session->waiters, SESSION_WAITS_END, session->refused ? WAITER_STORE : WAITER_OVER);
    if (list_empty(&session->steps)) {
        sessions_forget(session);
    }
}

void
session_started(struct session *session)
{
    struct session_record *record = &session->record;
    struct session_context *context;

    record->started_ms = sbx_now_unix_ms();
    session->running_ms = sbx_now_mono_ms();
    session_set_state(session, SESSION_RUNNING);
    session_touch(session);
    session_arm(session);
    log_info("session.started", LOG_STR("session", record->id.text), LOG_STR("tenant", record->tenant),
             LOG_INT("ms", timers_now_ms(sessions_timers(session->sessions)) - session->born_ms));
    /* Begins while its first step is still on its way. */
    if (session_context_get(&context, session, SESSION_CONTEXT_DEFAULT, NULL) == 0 && !context->up &&
        context->channel == NULL && session_context_start(context) != 0) {
        log_warn("session.context_failed",
                 LOG_STR("session", record->id.text)); /* its first step tries again */
    }
    session_tell_start(session);
    session_tell_running(session);
    step_next(session);
}

void
session_on_accepted(void *arg, int rc, const struct db_result *result _unused_)
{
    struct session *session = arg;
    struct session_record *record = &session->record;

    idempotency_object_gone(steal(&session->idempotency));
    if (rc) {
        log_error("session.accept_failed", LOG_STR("session", record->id.text), LOG_INT("code", rc));
        session->refused = true;
        session_end(session, SESSION_FAILED, "the session could not be recorded and was not kept");
        waiter_tell(&session->waiters, SESSION_WAITS_RUN, WAITER_STORE);
        session_check_gone(session); /* may free it */
        return;
    }
    session->accepted = true;
    sessions_count(session->sessions)->created++;
    session_tell_start(session);
    log_info("session.created", LOG_STR("session", record->id.text), LOG_STR("tenant", record->tenant),
             LOG_STR("app", record->app), LOG_STR("agent", record->agent),
             LOG_STR("request_id", record->request_id), LOG_STR("language", record->language),
             LOG_STR("isolation", sbx_isolation_name(record->isolation)));
    session_tell_running(session);
    waiter_accepted(&session->waiters);
    if (session->settled) {
        session_store(session);
    }
}
