/*
 * GET /v1/status and /tools/status: what the tenant has here now, and what the caller may still have; for who has lost the
 * handle of something, or plans the next thing. Of each kind the newest, and how many there are.
 */
#include "executor/api/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/budget_reply.h"
#include "executor/api/handlers.h"
#include "executor/api/listing.h"
#include "executor/api/reply_parts.h"
#include "executor/api/routes.h"
#include "executor/api/session_call.h"
#include "executor/api/tool_reply.h"
#include "executor/core/job_store.h"
#include "executor/core/step.h"
#include "executor/runtime/registry.h"
#include "lib/sbx_time.h"

#define STATUS_MOST 20u
#define STATUS_STEPS 5u  /* live ones of a session */
#define STATUS_LATELY 3u /* of its newest, those that ended */
#define STATUS_READINGS 4u
#define REPLY_MAX (1u << 20)
#define TEXT_MAX 131072u

/* One of a session's newest steps, as its row says. */
struct status_step {
    struct sbx_id session, id;
    enum step_state state;
};

/* The steps are read session by session, and then the jobs; what lives is looked at when all is known. */
struct status {
    struct call *call;
    struct sbx_id asked[STATUS_MOST]; /* sessions */
    unsigned n_asked, next;
    struct status_step step[STATUS_MOST * STATUS_LATELY];
    unsigned n_steps;
    bool shows_sessions, shows_jobs;
    unsigned n_sessions, n_jobs;          /* all that live; at most STATUS_MOST are there */
    const void *session[STATUS_MOST];     /* struct session */
    const void *job[STATUS_MOST];         /* struct job */
    struct job_record ended[STATUS_MOST]; /* lately; not among the live ones */
    unsigned n_ended;
    bool is_behind; /* a row says that its job goes on, which has ended since and does not live any more */
    unsigned n_readings;
};

static void
status_forget(struct status *status)
{
    for (unsigned i = 0; i < status->n_ended; i++) {
        job_record_deinit(&status->ended[i]);
    }
    status->n_ended = status->n_asked = status->next = status->n_steps = 0;
    status->is_behind = false;
}

struct status *
status_free(struct status *status)
{
    if (status != NULL) {
        status_forget(status);
    }
    free(status);
    return NULL;
}

static unsigned
shown(unsigned n)
{
    return n < STATUS_MOST ? n : STATUS_MOST;
}

/* Into its place among the newest; the oldest falls out. */
static void
keep_newest(const void **list, unsigned n, const void *item, int (*order)(const void *a, const void *b))
{
    unsigned i = shown(n);

    if (i == STATUS_MOST && order(item, list[--i]) > 0) {
        return;
    }
    for (; i > 0 && order(item, list[i - 1]) < 0; i--) {
        list[i] = list[i - 1];
    }
    list[i] = item;
}

static int
session_order(const void *a, const void *b)
{
    const struct session_record *left = &((const struct session *)a)->record;
    const struct session_record *right = &((const struct session *)b)->record;

    return listing_order(left->created_ms, &left->id, right->created_ms, &right->id);
}

static int
job_order(const void *a, const void *b)
{
    const struct job_record *left = &((const struct job *)a)->record;
    const struct job_record *right = &((const struct job *)b)->record;

    return listing_order(left->created_ms, &left->id, right->created_ms, &right->id);
}

static void
visit_session(void *arg, struct session *session)
{
    struct status *status = arg;

    if (session->record.state != SESSION_ENDED && session->accepted && !session->refused &&
        strcmp(session->record.tenant, status->call->context.tenant) == 0) {
        keep_newest(status->session, status->n_sessions, session, session_order);
        status->n_sessions++;
    }
}

static void
visit_job(void *arg, struct job *job)
{
    struct status *status = arg;

    if (!job_state_final(job->record.state) && job->accepted && !job->refused &&
        strcmp(job->record.tenant, status->call->context.tenant) == 0) {
        keep_newest(status->job, status->n_jobs, job, job_order);
        status->n_jobs++;
    }
}

static const struct job *
find_job(const struct status *status, const char *id)
{
    return engine_find(status->call->api->spec.engine, status->call->context.tenant, id);
}

static void
status_look(struct status *status)
{
    const struct call *call = status->call;

    status->n_sessions = status->n_jobs = 0;
    if (status->shows_sessions) {
        sessions_each(call_sessions(call), visit_session, status);
    }
    if (status->shows_jobs) {
        engine_each(call->api->spec.engine, visit_job, status);
    }
}

/* As JSON. */

static void
write_step(struct sbx_jsonw *w, const struct sbx_id *session, const struct sbx_id *id, enum step_state state)
{
    char handle[2 * SBX_ID_LEN + 2];

    (void)snprintf(handle, sizeof(handle), "%s.%s", session->text, id->text); /* fits */
    sbx_jsonw_object(w, NULL);
    sbx_jsonw_str(w, "job_id", handle);
    sbx_jsonw_str(w, "status", step_state_status(state));
    sbx_jsonw_object_end(w);
}

static void
write_running(struct sbx_jsonw *w, const struct session *session)
{
    unsigned n = 0;

    sbx_jsonw_array(w, "running");
    for (struct list *it = session->steps.next; it != &session->steps && n < STATUS_STEPS; it = it->next) {
        struct step *step = step_of(it);
        const struct step_record *record = step_record(step);

        if (!step_state_final(record->state) && step_accepted(step)) {
            write_step(w, &session->record.id, &record->id, record->state);
            n++;
        }
    }
    sbx_jsonw_array_end(w);
}

static const struct step_record *
find_step(const struct session *session, const struct sbx_id *id)
{
    for (struct list *it = session->steps.next; it != &session->steps; it = it->next) {
        const struct step_record *record = step_record(step_of(it));

        if (strcmp(record->id.text, id->text) == 0) {
            return record;
        }
    }
    return NULL;
}

/* Whether it is this session's and has ended. A step is over before its row says so, which comes with a later commit. */
static bool
step_ended(const struct status_step *step, const struct session *session, enum step_state *ret)
{
    const struct step_record *live;

    if (strcmp(step->session.text, session->record.id.text) != 0) {
        return false;
    }
    live = find_step(session, &step->id);
    *ret = live != NULL ? live->state : step->state;
    return step_state_final(*ret);
}

/* With its commit a step ceases to live: its row was read before that, and is final by now. */
static bool
steps_are_behind(const struct status *status)
{
    for (unsigned i = 0; i < status->n_steps; i++) {
        const struct status_step *step = &status->step[i];

        for (unsigned k = 0; k < shown(status->n_sessions) && !step_state_final(step->state); k++) {
            const struct session *session = status->session[k];

            if (strcmp(step->session.text, session->record.id.text) == 0 &&
                find_step(session, &step->id) == NULL) {
                return true;
            }
        }
    }
    return false;
}

static void
write_ended(struct sbx_jsonw *w, const struct status *status, const struct session *session)
{
    enum step_state state;

    sbx_jsonw_array(w, "ended");
    for (unsigned i = 0; i < status->n_steps; i++) {
        if (step_ended(&status->step[i], session, &state)) {
            write_step(w, &session->record.id, &status->step[i].id, state);
        }
    }
    sbx_jsonw_array_end(w);
}

static void
write_session(struct sbx_jsonw *w, const struct status *status, const struct session *session)
{
    const struct session_record *record = &session->record;

    sbx_jsonw_object(w, NULL);
    sbx_jsonw_str(w, "session_id", record->id.text);
    sbx_jsonw_str(w, "status", session_state_name(record->state));
    sbx_jsonw_str(w, "language", record->language);
    reply_time(w, "created_at", record->created_ms);
    reply_time(w, "expires_at", record->expires_ms);
    reply_time(w, "idle_expires_at", session_idle_expires_ms(session));
    write_running(w, session);
    write_ended(w, status, session);
    sbx_jsonw_object_end(w);
}

static void
write_job(struct sbx_jsonw *w, const struct job_record *record)
{
    sbx_jsonw_object(w, NULL);
    sbx_jsonw_str(w, "job_id", record->id.text);
    sbx_jsonw_str(w, "status", job_state_status(record->state));
    sbx_jsonw_str(w, "language", record->language);
    reply_time(w, "created_at", record->created_ms);
    reply_time(w, "finished_at", job_state_final(record->state) ? record->finished_ms : 0);
    sbx_jsonw_object_end(w);
}

static void
write_things(struct sbx_jsonw *w, const struct status *status)
{
    if (status->shows_sessions) {
        sbx_jsonw_uint(w, "n_sessions", status->n_sessions);
        sbx_jsonw_array(w, "sessions");
        for (unsigned i = 0; i < shown(status->n_sessions); i++) {
            write_session(w, status, status->session[i]);
        }
        sbx_jsonw_array_end(w);
    }
    if (status->shows_jobs) {
        sbx_jsonw_uint(w, "n_running_jobs", status->n_jobs);
        sbx_jsonw_array(w, "jobs");
        for (unsigned i = 0; i < shown(status->n_jobs); i++) {
            const struct job *job = status->job[i];

            write_job(w, &job->record);
        }
        for (unsigned i = 0; i < status->n_ended; i++) {
            write_job(w, &status->ended[i]);
        }
        sbx_jsonw_array_end(w);
    }
}

static void
write_limits(struct sbx_jsonw *w, const struct sbx_context *context)
{
    sbx_jsonw_object(w, "limits");
    sbx_jsonw_uint(w, "max_sessions", context->max_sessions);
    if (context->tenant_concurrency == 0) {
        sbx_jsonw_null(w, "max_running");
    } else {
        sbx_jsonw_uint(w, "max_running", context->tenant_concurrency);
    }
    sbx_jsonw_uint(w, "max_wait_ms", context->max_wait_ms);
    sbx_jsonw_uint(w, "max_session_ttl_ms", context->max_ttl_ms);
    sbx_jsonw_uint(w, "max_step_timeout_ms", context->max_step_timeout_ms);
    sbx_jsonw_uint(w, "max_upload_bytes",
                   context->max_upload_bytes == 0 ? API_MAX_UPLOAD : context->max_upload_bytes);
    sbx_jsonw_object_end(w);
}

static void
write_languages(struct sbx_jsonw *w, const struct registry *languages)
{
    sbx_jsonw_array(w, "languages");
    for (unsigned i = 0; i < registry_count(languages); i++) {
        const char *name = registry_name(languages, i);

        sbx_jsonw_object(w, NULL);
        sbx_jsonw_str(w, "name", name);
        sbx_jsonw_bool(w, "sessions", registry_has_repl(languages, name));
        sbx_jsonw_object_end(w);
    }
    sbx_jsonw_array_end(w);
}

static void
write_status(struct sbx_jsonw *w, const char *key, const struct status *status)
{
    sbx_jsonw_object(w, key);
    write_things(w, status);
    write_limits(w, &status->call->context);
    budget_reply_write(w, status->call);
    write_languages(w, status->call->api->spec.languages);
    sbx_jsonw_str(w, "network", "none");
    sbx_jsonw_object_end(w);
}

/* As text. */

static void
text_time(struct sbx_buf *out, const char *before, uint64_t unix_ms)
{
    char text[SBX_RFC3339_LEN];

    if (unix_ms != 0) {
        sbx_rfc3339(text, unix_ms);
        sbx_buf_printf(out, ", %s %s", before, text);
    }
}

static void
text_session(struct sbx_buf *out, const struct status *status, const struct session *session)
{
    const char *before = "    ended lately:";
    enum step_state state;

    sbx_buf_printf(out, "  %s  %s, %s", session->record.id.text, session->record.language,
                   session->running != NULL ? "busy" : session_state_name(session->record.state));
    text_time(out, "expires", session->record.expires_ms);
    text_time(out, "idle until", session_idle_expires_ms(session));
    sbx_buf_putc(out, '\n');
    if (session->running != NULL && step_accepted(session->running)) {
        sbx_buf_printf(out, "    runs %s.%s\n", session->record.id.text,
                       step_record(session->running)->id.text);
    }
    for (unsigned i = 0; i < status->n_steps; i++) {
        const struct status_step *step = &status->step[i];

        if (step_ended(step, session, &state)) {
            sbx_buf_printf(out, "%s %s.%s %s", before, step->session.text, step->id.text,
                           step_state_status(state));
            before = ",";
        }
    }
    sbx_buf_puts(out, *before == ',' ? "\n" : "");
}

static void
text_sessions(struct sbx_buf *out, const struct status *status)
{
    if (!status->shows_sessions) {
        return;
    }
    sbx_buf_printf(out, "Live sessions: %u of at most %u%s\n", status->n_sessions,
                   status->call->context.max_sessions,
                   status->n_sessions > STATUS_MOST ? "; the newest:" : "");
    for (unsigned i = 0; i < shown(status->n_sessions); i++) {
        text_session(out, status, status->session[i]);
    }
}

static void
text_job(struct sbx_buf *out, const struct job_record *record)
{
    sbx_buf_printf(out, "  %s  %s, %s", record->id.text, record->language, job_state_status(record->state));
    text_time(out, "begun", record->created_ms);
    sbx_buf_putc(out, '\n');
}

static void
text_jobs(struct sbx_buf *out, const struct status *status)
{
    if (!status->shows_jobs) {
        return;
    }
    sbx_buf_printf(out, "Jobs that run or wait: %u%s\n", status->n_jobs,
                   status->n_jobs > STATUS_MOST ? "; the newest:" : "");
    for (unsigned i = 0; i < shown(status->n_jobs); i++) {
        const struct job *job = status->job[i];

        text_job(out, &job->record);
    }
    if (status->n_ended > 0) {
        sbx_buf_puts(out, "Ended lately:\n");
    }
    for (unsigned i = 0; i < status->n_ended; i++) {
        text_job(out, &status->ended[i]);
    }
}

static void
text_rest(struct sbx_buf *out, const struct status *status)
{
    const struct registry *languages = status->call->api->spec.languages;
    struct budget_left left[SBX_N_SCOPES];
    const unsigned n = budget_left(status->call, left);

    for (unsigned i = 0; i < n; i++) {
        sbx_buf_printf(out, "CPU time left today (UTC) of the %s: %" PRIu64 " s of %" PRIu64 " s\n",
                       left[i].scope, left[i].left_ms / 1000, left[i].limit_ms / 1000);
    }
    sbx_buf_puts(out, "Languages:");
    for (unsigned i = 0; i < registry_count(languages); i++) {
        const char *name = registry_name(languages, i);

        sbx_buf_printf(out, "%s %s%s", i == 0 ? "" : ",", name,
                       registry_has_repl(languages, name) ? "" : " (not in sessions)");
    }
    sbx_buf_puts(out, "\nNetwork: none\n");
}

static void status_read(struct call *call);

/* It is as it is now. */
static void
status_answer(struct call *call)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(REPLY_MAX), text = SBX_BUF_INIT(TEXT_MAX);
    const struct status *status = call->status;
    struct sbx_jsonw w;

    status_look(call->status);
    if ((status->is_behind || steps_are_behind(status)) && status->n_readings < STATUS_READINGS) {
        status_read(call);
        return;
    }
    sbx_jsonw_init(&w, &body);
    if (!tool_wanted(call)) {
        write_status(&w, NULL, status);
        call_reply_json(call, 200, NULL, 0, &body);
        return;
    }
    text_sessions(&text, status);
    text_jobs(&text, status);
    text_rest(&text, status);
    body.failed = text.failed;
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_array(&w, "content");
    tool_text(&w, text.failed ? "" : text.data, text.failed ? 0 : text.len);
    sbx_jsonw_array_end(&w);
    write_status(&w, "structuredContent", status);
    sbx_jsonw_bool(&w, "isError", false);
    sbx_jsonw_object_end(&w);
    tool_reply(call, NULL, &body);
}

/* What the rows say of those that do not live. */
static int
status_load(struct status *status, const struct db_result *result)
{
    for (unsigned i = 0; i < result->n_rows && status->n_ended < STATUS_MOST; i++) {
        struct job_record record = { 0 };
        const struct job *job;
        int r = job_store_load_brief(&record, status->call->context.tenant, result, i);

        if (r) {
            return r > 0 ? -EIO : r;
        }
        job = find_job(status, record.id.text);
        status->is_behind |= job == NULL && !job_state_final(record.state);
        if ((job != NULL && !job_state_final(job->record.state)) || !job_state_final(record.state)) {
            job_record_deinit(&record); /* it is told of already, or will be */
        } else {
            status->ended[status->n_ended++] = record;
        }
    }
    return 0;
}

static void
jobs_on_read(struct call *call, int rc, const struct db_result *result)
{
    int r = rc != 0 ? rc : status_load(call->status, result);

    if (r) {
        call_problem_internal(call, r > 0 ? -EIO : r);
    } else {
        status_answer(call);
    }
}

static void
read_jobs(struct call *call)
{
    const struct db_value values[] = {
        DB_VTEXT(call->context.tenant),
        DB_VNULL(),
        DB_VNULL(),
        DB_VNULL(),
        DB_VNULL(),
        DB_VNULL(),
        DB_VINT(INT64_MAX),
        DB_VTEXT(""),
        DB_VINT(STATUS_MOST),
    };

    if (call->status->shows_jobs) {
        call_read(call, DB_JOB_LIST, values, SBX_COUNT(values), jobs_on_read);
    } else {
        status_answer(call);
    }
}

static void read_steps(struct call *call);

static void
steps_on_read(struct call *call, int rc, const struct db_result *result)
{
    struct status *status = call->status;
    const struct sbx_id *session = &status->asked[status->next - 1];

    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
        return;
    }
    for (unsigned i = 0; i < result->n_rows && i < STATUS_LATELY; i++) {
        struct status_step *step = &status->step[status->n_steps];
        const char *id = db_at(result, i, DB_STEP_ID)->data;

        if (step_state_parse(db_at(result, i, DB_STEP_STATE)->data, &step->state) &&
            sbx_id_valid(id, strlen(id), "stp")) {
            step->session = *session;
            memcpy(step->id.text, id, sizeof(step->id.text));
            status->n_steps++;
        }
    }
    read_steps(call);
}

static void
read_steps(struct call *call)
{
    struct status *status = call->status;

    if (status->next == status->n_asked) {
        read_jobs(call);
        return;
    }
    const struct db_value values[] = { DB_VTEXT(call->context.tenant),
                                       DB_VTEXT(status->asked[status->next++].text),
                                       DB_VNULL(),
                                       DB_VNULL(),
                                       DB_VINT(INT64_MAX),
                                       DB_VINT(STATUS_LATELY) };

    call_read(call, DB_STEP_LIST, values, SBX_COUNT(values), steps_on_read);
}

static void
status_read(struct call *call)
{
    struct status *status = call->status;

    status_forget(status);
    status->n_readings++;
    status_look(status);
    for (unsigned i = 0; i < shown(status->n_sessions); i++) {
        const struct session *session = status->session[i];

        status->asked[status->n_asked++] = session->record.id;
    }
    read_steps(call);
}

void
handle_status(struct call *call)
{
    struct status *status = calloc(1, sizeof(*status));

    if (status == NULL) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    status->call = call;
    status->shows_sessions = scope_permits("sessions:read", call->context.scopes);
    status->shows_jobs = scope_permits("jobs:read", call->context.scopes);
    call->status = status;
    status_read(call);
}
