/* A job as server-sent events: live, from the shelf of those that ended, or from its record. */
#include "executor/api/api_inside.h"
#include "executor/api/job_reply.h"
#include "executor/api/jobs.h"
#include "executor/api/stream.h"

static void
job_stream_feed(struct call *call, const char *id, struct feed *feed)
{
    struct job_headers headers;

    job_headers(call, id, &headers);
    stream_start(call, feed, headers.header, headers.n);
}

/* Nothing is said of a job that may yet turn out never to have been there. */
static void
job_stream_on_accepted(void *arg, enum job_wait_result result _unused_, struct job *job)
{
    struct call *call = arg;

    call->waiter = NULL;
    if (job->refused) {
        call_reply_problem(call, &(struct sbx_problem){
                                     .code = SBX_PROBLEM_UNAVAILABLE,
                                     .detail = "the job could not be recorded and was not kept",
                                     .retry_after_s = 1,
                                 });
        return;
    }
    job_stream_feed(call, job->record.id.text, job->feed);
}

void
job_stream_live(struct call *call, struct job *job)
{
    int r;

    if (job->accepted) {
        job_stream_feed(call, job->record.id.text, job->feed);
        return;
    }
    r = job_wait(&call->waiter, job, engine_timers(call->api->spec.engine), 0, job_stream_on_accepted, call);
    if (r) {
        call_problem_internal(call, r);
    }
}

static void
job_stream_loaded(struct call *call)
{
    _cleanup_(feed_unrefp) struct feed *feed = NULL;
    struct job_record *record = &call->record;
    int r;

    if (!job_state_final(record->state)) {
        call_reply_problem(call,
                           &(struct sbx_problem){ .code = SBX_PROBLEM_UNAVAILABLE, .retry_after_s = 1 });
        return;
    }
    r = job_feed_replay(&feed, record, job_reply_describe, engine_feeds(call->api->spec.engine));
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    /* Readers of one job share one feed; the record's copy is not needed besides. */
    feed_shelf_put(engine_shelf(call->api->spec.engine), record->tenant, record->id.text, feed);
    job_record_deinit(record);
    job_stream_feed(call, call->id, feed);
}

void
job_stream_ended(struct call *call)
{
    struct feed *feed = feed_shelf_find(engine_shelf(call->api->spec.engine), call->context.tenant, call->id);

    if (feed != NULL) {
        job_stream_feed(call, call->id, feed);
    } else {
        job_load(call, job_stream_loaded);
    }
}
