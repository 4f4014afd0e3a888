#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/idempotency.h"
#include "executor/core/session_store.h"
#include "executor/core/step_inside.h"
#include "executor/log.h"
#include "lib/sbx_time.h"

#define STEP_RETRY_STORE_MS 500
#define STEP_RETRY_GUESS_S 5 /* before any has ended */
#define STEP_RETRY_MAX_S 3600

static void step_on_accepted(void *arg, int rc, const struct db_result *result);
static void step_on_stored(void *arg, int rc, const struct db_result *result);

static struct step *
step_free(struct step *step)
{
    if (step == NULL) {
        return NULL;
    }
    assert(list_empty(&step->waiters));
    list_remove(&step->link);
    sbx_channel_reset(step->channel);
    step_unsay(step);
    timer_free(step->timer);
    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        sbx_capture_deinit(&step->capture[i]);
        sbx_sha256_free(step->digest[i]);
    }
    step_displays_deinit(&step->displays);
    feed_unref(step->feed);
    job_spec_free(step->spec);
    step_record_deinit(&step->record);
    free(step->cancelled_by);
    free(step);
    return NULL;
}

static inline void
step_freep(struct step **step)
{
    step_free(*step);
}

static int
step_new(struct step **ret, struct session *session)
{
    _cleanup_(step_freep) struct step *step = NULL;
    size_t keep = sessions_get_spec(session->sessions)->output_keep;
    int r;

    step = calloc(1, sizeof(*step));
    if (step == NULL) {
        return -ENOMEM;
    }
    list_init(&step->link);
    list_init(&step->waiters);
    step->session = session;
    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        sbx_capture_init(&step->capture[i], keep);
    }
    r = sbx_id_new(&step->record.id, "stp");
    if (r == 0) {
        r = feed_new(&step->feed, sessions_get_spec(session->sessions)->feed_keep);
    }
    if (r == 0) {
        feed_join(step->feed, sessions_get_spec(session->sessions)->feeds);
        r = timer_new(&step->timer, sessions_timers(session->sessions), step_on_time, step);
    }
    if (r) {
        return r;
    }
    *ret = steal(&step);
    return 0;
}

void
step_say(struct step *step, const char *message)
{
    (void)snprintf(step->record.message, sizeof(step->record.message), "%s", message); /* cut when too long */
}

void
step_set_state(struct step *step, enum step_state state)
{
    assert(step_state_follows(step->record.state, state));
    step->record.state = state;
}

struct step *
step_find(const struct session *session, const char *id)
{
    for (struct list *it = session->steps.next; it != &session->steps; it = it->next) {
        struct step *step = list_entry(it, struct step, link);

        if (strcmp(step->record.id.text, id) == 0) {
            return step->refused ? NULL : step;
        }
    }
    return NULL;
}

struct step *
step_of(struct list *link)
{
    return list_entry(link, struct step, link);
}

struct step_record *
step_record(struct step *step)
{
    return &step->record;
}

struct feed *
step_feed(const struct step *step)
{
    return step->feed;
}

const struct sbx_capture *
step_capture(const struct step *step, unsigned stream)
{
    return &step->capture[stream];
}

bool
step_accepted(const struct step *step)
{
    return step->accepted;
}

int
step_wait(struct waiter **ret, struct step *step, uint64_t ms, waiter_fn done, void *arg)
{
    bool over = step_state_final(step->record.state);

    return waiter_new(ret, &step->waiters, sessions_timers(step->session->sessions), over ? 0 : ms,
                      &step->accepted, 0, done, arg);
}

bool
session_context_is_used(const struct session_context *context)
{
    const struct session *session = context->session;

    for (struct list *it = session->steps.next; it != &session->steps; it = it->next) {
        const struct step *step = list_entry(it, struct step, link);

        if (step->context == context) {
            return true;
        }
    }
    return false;
}

static int
stream_render(struct job_stream *ret, const struct sbx_capture *capture)
{
    struct sbx_buf text = SBX_BUF_INIT(capture->keep + 128);
    size_t len = 0;
    char *data;

    if (capture->total == 0) {
        return 0; /* no bytes, no copy of them */
    }
    sbx_capture_text(capture, &text);
    data = sbx_buf_take(&text, &len);
    sbx_buf_deinit(&text);
    if (data == NULL) {
        return -ENOMEM;
    }
    free(ret->data);
    ret->data = data;
    ret->len = len;
    ret->total = capture->total;
    return 0;
}

int
step_render(struct step *step)
{
    struct step_record *record = &step->record;

    if (step_state_final(record->state)) {
        return 0;
    }
    record->truncated = false;
    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        if (stream_render(&record->stream[i], &step->capture[i]) != 0) {
            return -ENOMEM;
        }
        record->truncated = record->truncated || sbx_capture_truncated(&step->capture[i]);
    }
    return 0;
}

static void
step_digests(struct step *step)
{
    uint8_t digest[SBX_SHA256_LEN];

    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        if (step->digest[i] != NULL && sbx_sha256_final(step->digest[i], digest) == 0) {
            sbx_hex(step->record.stream[i].sha256, digest, sizeof(digest));
        }
    }
}

static const char *
context_name_for(const struct session *session, const struct step_ask *ask)
{
    if (ask->context_name != NULL) {
        return ask->context_name;
    }
    if (ask->language == NULL || strcmp(ask->language, session->record.language) == 0) {
        return SESSION_CONTEXT_DEFAULT;
    }
    return ask->language;
}

static int
step_fill(struct step *step, const struct step_ask *ask)
{
    struct session *session = step->session;
    const struct sbx_context *context = ask->context;
    struct step_record *record = &step->record;
    uint8_t digest[SBX_SHA256_LEN];
    int r;

    r = session_context_get(&step->context, session, context_name_for(session, ask), ask->language);
    if (r) {
        return r == CONTEXT_E_FULL ? STEP_E_CONTEXTS_FULL : r == CONTEXT_E_LANGUAGE ? STEP_E_LANGUAGE : r;
    }
    r = sbx_sha256(ask->spec->code, ask->spec->code_len, digest);
    if (r) {
        return r;
    }
    sbx_hex(record->code_sha256, digest, sizeof(digest));
    record->created_ms = sbx_now_unix_ms();
    record->session_id = session->record.id;
    memcpy(record->tenant, context->tenant, sizeof(record->tenant));
    memcpy(record->subject, context->subject, sizeof(record->subject));
    memcpy(record->request_id, context->request_id, sizeof(record->request_id));
    memcpy(step->app, context->app, sizeof(step->app));
    memcpy(step->agent, context->agent, sizeof(step->agent));
    audit_means_take(&step->means, context);
    memcpy(record->context, step->context->name, sizeof(record->context));
    (void)snprintf(record->language, sizeof(record->language), "%s", step->context->language); /* bounded */
    step->timeout_ms = ask->timeout_ms;
    return 0;
}

static int
step_accept(struct step *step, const struct step_ask *ask)
{
    const struct sessions_spec *spec = sessions_get_spec(step->session->sessions);
    const struct audit_origin origin = {
        .context = ask->context,
        .request_sha256 = ask->request_sha256,
        .idempotency_key = ask->idempotency == NULL ? NULL : ask->idempotency->key,
    };
    struct db_stats db;

    db_stats(spec->db, &db);
    step->holds_for_accept = !db.healthy;
    return step_store_accept(spec->db, step, &origin, spec->key_ttl_ms, step_on_accepted, step);
}

int
step_submit(struct step **ret, struct session *session, const struct step_ask *ask)
{
    _cleanup_(step_freep) struct step *step = NULL;
    int r;

    if (session->n_waiting >= SESSION_MAX_WAITING ||
        session->waiting_bytes + ask->spec->weight > SESSION_MAX_WAITING_BYTES) {
        return STEP_E_QUEUE_FULL;
    }
    r = step_new(&step, session);
    if (r == 0) {
        r = step_fill(step, ask);
    }
    if (r) {
        return r;
    }
    step->record.number = session->record.n_steps + 1;
    step->queued = true;
    step->spec = ask->spec;
    step->idempotency = ask->idempotency;
    r = step_accept(step, ask);
    if (r) {
        step->spec = NULL;
        return r;
    }
    session->record.n_steps++;
    session->n_waiting++;
    session->waiting_bytes += step->spec->weight;
    sessions_count(session->sessions)->steps++;
    if (step->idempotency != NULL) {
        idempotency_set_object(step->idempotency, &step->record.id);
    }
    list_append(&session->steps, &step->link);
    session_touch(session);
    *ret = step;
    step_next(session);
    (void)steal(&step);
    return 0;
}

unsigned
step_retry_after_s(const struct session *session)
{
    const struct step *step = session->running;
    uint64_t ms;

    if (step == NULL || step->running_ms == 0) {
        return STEP_RETRY_GUESS_S;
    }
    ms = estimate_left_ms(&session->step_runs, 1000ul * STEP_RETRY_GUESS_S,
                          sbx_now_mono_ms() - step->running_ms, step->timeout_ms) +
         4 * session->step_runs.deviation_ms;
    return ms < 1000ul * STEP_RETRY_MAX_S ? (unsigned)(ms / 1000 + 1) : STEP_RETRY_MAX_S;
}

/* It leaves the queue: to run, or because it is over before it could. */
static void
step_leave_queue(struct step *step)
{
    struct session *session = step->session;

    if (step->queued) {
        step->queued = false;
        session->n_waiting--;
        session->waiting_bytes -= step->spec->weight;
    }
}

static struct step *
session_next_step(const struct session *session)
{
    for (struct list *it = session->steps.next; it != &session->steps; it = it->next) {
        struct step *step = list_entry(it, struct step, link);

        if (step->queued) {
            return step->accepted || !step->holds_for_accept ? step : NULL;
        }
    }
    return NULL;
}

void
step_next(struct session *session)
{
    struct step *step;

    if (session->running != NULL || session->record.state != SESSION_RUNNING || session->pausing) {
        return;
    }
    step = session_next_step(session);
    if (step == NULL) {
        session_rest(session);
        return;
    }
    step_leave_queue(step);
    session->running = step;
    if (step->context->up) {
        step_run(step);
    } else {
        step_wait_for_interpreter(step);
    }
}

void
step_context_ready(struct session *session, struct session_context *context, const char *message)
{
    struct step *step = session->running;

    if (step == NULL || step->context != context || step->record.state != STEP_QUEUED) {
        return;
    }
    if (message == NULL) {
        step_run(step);
        return;
    }
    step_say(step, message);
    step->record.interpreter = INTERPRETER_DEAD;
    step_ended(step, STEP_FAILED);
}

void
step_store(struct step *step)
{
    if (step->accepted &&
        step_store_finish(sessions_db(step->session->sessions), step, step_on_stored, step) != 0) {
        timer_start(step->timer, STEP_RETRY_STORE_MS);
    }
}

/* Over and exists for others: whoever waits is told, and the result is on its way to the store. */
static void
step_tell(struct step *step)
{
    step_feed_end(step);
    waiter_tell(&step->waiters, 0, WAITER_OVER);
    step_store(step);
}

static void
step_forget(struct step *step)
{
    struct session *session = step->session;

    step_free(step);
    session_check_gone(session);
}

void
step_ended(struct step *step, enum step_state state)
{
    struct session *session = step->session;
    struct step_record *record = &step->record;

    step_leave_queue(step);
    if (step_render(step) != 0) {
        record->truncated = true;
    }
    step_digests(step);
    step_displays_take(step);
    record->finished_ms = sbx_now_unix_ms();
    step->channel = sbx_channel_reset(step->channel);
    step->context = NULL;
    timer_stop(step->timer);
    step_set_state(step, state);
    log_debug("step.ended", LOG_STR("step", record->id.text), LOG_STR("session", record->session_id.text),
              LOG_STR("status", step_state_status(state)));
    if (session->running == step) {
        if (step->running_ms != 0) {
            estimate_add(&session->step_runs, sbx_now_mono_ms() - step->running_ms + 1);
        }
        session->running = NULL;
        if (session->has_budget) {
            (void)session_measure(session); /* before the next is admitted, mostly */
        }
        session_touch(session);
    }
    step_next(session);
    if (step->refused) {
        step_forget(step);
    } else if (step->accepted) {
        step_tell(step);
    }
}

static void
step_refuse(struct step *step, int rc)
{
    log_error("step.accept_failed", LOG_STR("step", step->record.id.text),
              LOG_STR("session", step->record.session_id.text), LOG_INT("code", rc));
    step->refused = true;
    waiter_tell(&step->waiters, 0, WAITER_STORE);
    feed_close(step->feed);
    if (step_state_final(step->record.state)) {
        step_forget(step);
    } else {
        step_cancel(step);
    }
}

/* Unless it is over by now: step_store_finish tells both then, and the store's thread is woken once for them. */
void
step_tell_start(struct step *step)
{
    struct db_tx *tx;

    if (!step->accepted || step->running_ms == 0 || step->start_told ||
        step_state_final(step->record.state)) {
        return;
    }
    if (db_tx_new(&tx, sessions_db(step->session->sessions)) != 0) {
        log_error("audit.event_failed", LOG_STR("step", step->record.id.text), LOG_INT("code", -ENOMEM));
        return;
    }
    step->start_told = true;
    audit_step_started(tx, step);
    audit_submit_later(tx);
}

static void
step_on_accepted(void *arg, int rc, const struct db_result *result _unused_)
{
    struct step *step = arg;

    idempotency_object_gone(steal(&step->idempotency));
    if (rc) {
        step_refuse(step, rc);
        return;
    }
    step->accepted = true;
    step_tell_start(step);
    if (step_state_final(step->record.state)) {
        step_tell(step);
        return;
    }
    waiter_accepted(&step->waiters);
    step_next(step->session);
}

static void
step_on_stored(void *arg, int rc, const struct db_result *result _unused_)
{
    struct step *step = arg;

    if (rc) {
        log_error("step.finish_failed", LOG_STR("step", step->record.id.text), LOG_INT("code", rc));
        timer_start(step->timer, STEP_RETRY_STORE_MS);
        return;
    }
    if (feed_was_read(step->feed)) {
        feed_shelf_put(sessions_get_spec(step->session->sessions)->shelf, step->record.tenant,
                       step->record.id.text, step->feed);
    }
    step_forget(step);
}

void
step_cancel(struct step *step)
{
    if (step_state_final(step->record.state)) {
        return;
    }
    step->cancelled = true;
    if (step->record.state == STEP_QUEUED) {
        step_ended(step, STEP_CANCELLED);
    } else {
        step_interrupt(step);
    }
}

void
step_cancel_by(struct step *step, const struct sbx_context *context, const char *reason)
{
    if (step->cancelled_by == NULL) {
        step->cancelled_by = audit_asker_new(context, reason);
    }
    step_cancel(step);
}

/* What the end of its session makes of a step. */
static enum step_state
state_by_reason(enum session_reason reason, bool ran)
{
    switch (reason) {
    case SESSION_OOM:
    case SESSION_LIMIT_EXCEEDED:
        return ran ? STEP_LIMIT_EXCEEDED : STEP_CANCELLED;
    case SESSION_CANCELLED:
    case SESSION_TTL:
    case SESSION_IDLE:
    case SESSION_POLICY:
    case SESSION_ADMIN:
        return STEP_CANCELLED;
    case SESSION_CRASH:
    case SESSION_EVICTED:
    case SESSION_LOST:
    case SESSION_FAILED:
    case SESSION_NO_REASON:
    case SESSION_N_REASONS:
        break;
    }
    return STEP_LOST;
}

static void
step_end_with_session(struct step *step)
{
    const struct session_record *session = &step->session->record;
    bool ran = step->record.state == STEP_RUNNING;
    enum step_state state = state_by_reason(session->reason, ran);

    step_say(step, session_reason_text(session->reason));
    if (state == STEP_LIMIT_EXCEEDED && session->violation_json != NULL) {
        step->record.violation_json = strdup(session->violation_json); /* without memory the session has it */
    }
    if (ran) {
        step->record.interpreter = INTERPRETER_DEAD;
    }
    step_ended(step, state);
}

void
steps_end(struct session *session)
{
    struct list *it, *after;

    list_each (it, after, &session->steps) {
        struct step *step = list_entry(it, struct step, link);

        if (!step_state_final(step->record.state)) {
            step_end_with_session(step);
        }
    }
}
