/*
 * GET /v1/jobs. Ended jobs are the database's; which of its unfinished rows runs by
 * now only the engine knows, so a listing by "queued" or "running" is made of the
 * live jobs and any other is read and then corrected by them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/handlers.h"
#include "executor/api/job_reply.h"
#include "executor/api/jobs.h"
#include "executor/api/listing.h"
#include "executor/core/job_store.h"
#include "lib/sbx_policy.h"

struct listing {
    char status[24]; /* each "" when not asked for */
    char language[JOB_LANGUAGE_LEN];
    char agent[SBX_NAME_MAX + 1];
    char app[SBX_NAME_MAX + 1];
    char isolation[16];
    char scope[LISTING_SCOPE_MAX]; /* what the cursor is bound to */
    struct cursor after;
    unsigned limit;
};

static bool
is_status(const char *word)
{
    enum job_state state;

    return job_state_parse(word, &state);
}

static bool
is_tier(const char *word)
{
    return sbx_isolation_parse(word) != SBX_ISOLATION_NONE;
}

static bool
listing_read(struct call *call, struct listing *listing)
{
    char language[JOB_LANGUAGE_LEN];

    if (!listing_word(call, "status", is_status, "is not a status", listing->status,
                      sizeof(listing->status)) ||
        !listing_text(call, "language", language, sizeof(language)) ||
        !listing_text(call, "agent", listing->agent, sizeof(listing->agent)) ||
        !listing_text(call, "app", listing->app, sizeof(listing->app)) ||
        !listing_word(call, "isolation", is_tier, "is not a tier", listing->isolation,
                      sizeof(listing->isolation)) ||
        !listing_limit(call, &listing->limit)) {
        return false;
    }
    (void)snprintf(listing->language, sizeof(listing->language), "%s",
                   sbx_language_canonical(language)); /* fits */
    /* Names hold no newline, so the parts cannot run into each other. */
    (void)snprintf(listing->scope, sizeof(listing->scope), "jobs\n%s\n%s\n%s\n%s\n%s\n%s",
                   call->context.tenant, listing->status, listing->language, listing->agent, listing->app,
                   listing->isolation); /* all bounded: it fits */
    return listing_cursor(call, listing->scope, &listing->after);
}

static void
listing_answer(struct call *call, const struct listing *listing, const struct job_record *records, unsigned n)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(JOB_REPLY_MAX);
    unsigned shown = n < listing->limit ? n : listing->limit;
    struct cursor last = { 0 };
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_array(&w, "jobs");
    for (unsigned i = 0; i < shown; i++) {
        job_reply_write(&w, NULL, &records[i]);
    }
    if (n > shown) {
        last = (struct cursor){ .created_ms = records[shown - 1].created_ms, .id = records[shown - 1].id };
    }
    listing_end(call, &w, listing->scope, n > shown ? &last : NULL);
}

struct live_list {
    const struct call *call;
    const struct listing *listing;
    const struct job **jobs;
    unsigned n, max;
};

static void
live_visit(void *arg, struct job *job)
{
    struct live_list *list = arg;
    const struct listing *listing = list->listing;
    const struct job_record *record = &job->record;

    if (list->n < list->max && job->accepted && strcmp(record->tenant, list->call->context.tenant) == 0 &&
        listing_matches(listing->status, job_state_status(record->state)) &&
        listing_matches(listing->language, record->language) &&
        listing_matches(listing->agent, record->agent) && listing_matches(listing->app, record->app) &&
        listing_matches(listing->isolation, sbx_isolation_name(record->isolation)) &&
        listing_is_after(&listing->after, record->created_ms, &record->id)) {
        list->jobs[list->n++] = job;
    }
}

static int
newest_first(const void *a, const void *b)
{
    const struct job_record *x = &(*(const struct job *const *)a)->record;
    const struct job_record *y = &(*(const struct job *const *)b)->record;

    return listing_order(x->created_ms, &x->id, y->created_ms, &y->id);
}

/* Shallow: the records borrow from the live jobs and are not released. */
static void
list_live(struct call *call, const struct listing *listing)
{
    struct engine *engine = call->api->spec.engine;
    struct live_list list = { .call = call, .listing = listing, .max = engine_live(engine) };
    struct job_record *records;
    unsigned n;

    list.jobs = calloc(list.max + 1, sizeof(struct job *));
    records = calloc(LISTING_MAX + 1, sizeof(*records));
    if (list.jobs == NULL || records == NULL) {
        free(list.jobs);
        free(records);
        call_problem_internal(call, -ENOMEM);
        return;
    }
    engine_each(engine, live_visit, &list);
    qsort(list.jobs, list.n, sizeof(struct job *), newest_first);
    n = list.n < listing->limit + 1 ? list.n : listing->limit + 1;
    for (unsigned i = 0; i < n; i++) {
        records[i] = list.jobs[i]->record;
        records[i].brief = true;
        records[i].queue_position = engine_queue_position(list.jobs[i]);
    }
    free(list.jobs);
    listing_answer(call, listing, records, n);
    free(records);
}

/* A row that is unfinished in the database may be running by now. */
static void
correct_by_live(const struct call *call, struct job_record *record)
{
    const struct job *job = engine_find(call->api->spec.engine, call->context.tenant, record->id.text);

    if (job_state_final(record->state) || job == NULL || job_state_final(job->record.state)) {
        return;
    }
    record->state = job->record.state;
    record->started_ms = job->record.started_ms;
    record->queue_position = engine_queue_position(job);
    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        record->stream[i].total = job->capture[i].total;
    }
}

static void
list_on_read(struct call *call, int rc, const struct db_result *result)
{
    struct listing listing = { 0 };
    struct job_record *records;
    unsigned n = 0;
    int r = 0;

    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
        return;
    }
    /* The query is still the request's: reading it again is cheaper than keeping it. */
    if (!listing_read(call, &listing)) {
        return;
    }
    records = calloc(result->n_rows + 1, sizeof(*records));
    if (records == NULL) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    for (; n < result->n_rows && r == 0; n++) {
        r = job_store_load_brief(&records[n], call->context.tenant, result, n);
        correct_by_live(call, &records[n]);
    }
    if (r) {
        call_problem_internal(call, r);
    } else {
        listing_answer(call, &listing, records, n);
    }
    for (unsigned i = 0; i < n; i++) {
        job_record_deinit(&records[i]);
    }
    free(records);
}

void
handle_job_list(struct call *call)
{
    struct listing listing = { 0 };

    if (!listing_read(call, &listing)) {
        return;
    }
    if (strcmp(listing.status, "queued") == 0 || strcmp(listing.status, "running") == 0) {
        list_live(call, &listing);
        return;
    }
    const struct db_value values[] = {
        DB_VTEXT(call->context.tenant),    listing_filter(listing.status),  listing_filter(listing.language),
        listing_filter(listing.agent),     listing_filter(listing.app),     listing_filter(listing.isolation),
        DB_VINT(listing.after.created_ms), DB_VTEXT(listing.after.id.text), DB_VINT(listing.limit + 1),
    };
    call_read(call, DB_JOB_LIST, values, SBX_COUNT(values), list_on_read);
}
