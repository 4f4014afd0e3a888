/* A job as server-sent events: live, from the shelf of those that ended, or from its record. */
#include "executor/api/api_inside.h"
#include "executor/api/job_reply.h"
#include "executor/api/jobs.h"
#include "executor/api/stream.h"

static void
job_stream_feed(struct call *call, const char *id, struct feed *feed)
{
    struct call_place place;

    call_place(call, &place, "/v1/jobs/%s", id);
    stream_start(call, feed, place.header, place.n);
}

/* It is of this moment and not of the run: without an id, so that no cursor counts it. */
static void
job_stream_queued(struct call *call, const struct job *job)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(1024);
    unsigned position = engine_queue_position(job);
    struct sbx_jsonw w;

    if (position == 0) {
        return;
    }
    sbx_jsonw_init(&w, &out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "job_id", job->record.id.text);
    sbx_jsonw_uint(&w, "queue_position", position);
    sbx_jsonw_object_end(&w);
    if (!out.failed) {
        stream_lead(call, "queued", &out);
    }
}

/* Nothing is said of a job that may yet turn out never to have been there. */
static void
job_stream_on_accepted(void *arg, enum waiter_result result _unused_)
{
    struct call *call = arg;
    struct job *job = steal(&call->job);

    call->waiter = NULL;
    if (job->refused) {
        call_reply_problem(call, &(struct sbx_problem){
                                     .code = SBX_PROBLEM_UNAVAILABLE,
                                     .detail = "the job could not be recorded and was not kept",
                                     .retry_after_s = 1,
                                 });
        return;
    }
    job_stream_queued(call, job);
    job_stream_feed(call, job->record.id.text, job->feed);
}

void
job_stream_live(struct call *call, struct job *job)
{
    int r;

    if (job->accepted) {
        job_stream_queued(call, job);
        job_stream_feed(call, job->record.id.text, job->feed);
        return;
    }
    call->job = job;
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
