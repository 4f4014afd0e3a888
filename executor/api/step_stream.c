/* A step as server-sent events: live, from the shelf of those that ended, or from its record. */
#include "executor/api/api_inside.h"
#include "executor/api/session_work.h"
#include "executor/api/steps.h"
#include "executor/api/stream.h"
#include "executor/core/step_feed.h"

static void
step_stream_feed(struct call *call, const struct step_record *record, struct feed *feed)
{
    struct call_place place;

    step_place(call, record, &place);
    stream_start(call, feed, place.header, place.n);
}

static void
step_stream_on_accepted(void *arg, enum waiter_result result)
{
    struct call *call = arg;
    struct step *step = call->work->step;

    call->work->waiter = NULL;
    if (result == WAITER_STORE) {
        call_reply_problem(call, &(struct sbx_problem){
                                     .code = SBX_PROBLEM_UNAVAILABLE,
                                     .detail = "the step could not be recorded and was not kept",
                                     .retry_after_s = 1,
                                 });
        return;
    }
    step_stream_feed(call, step_record(step), step_feed(step));
}

/* Nothing is said of a step that may yet turn out never to have been there. */
void
step_stream_live(struct call *call, struct step *step)
{
    struct session_work *work;
    int r;

    if (step_accepted(step)) {
        step_stream_feed(call, step_record(step), step_feed(step));
        return;
    }
    work = session_work(call);
    if (work == NULL) {
        return;
    }
    work->step = step;
    r = step_wait(&work->waiter, step, 0, step_stream_on_accepted, call);
    if (r) {
        call_problem_internal(call, r);
    }
}

/* The record says whether the step is of this session; what is on the shelf is as it was live. */
static void
step_stream_loaded(struct call *call)
{
    struct feed_shelf *shelf = engine_shelf(call->api->spec.engine);
    struct step_record *record = &call->work->step_record;
    struct feed *feed = feed_shelf_find(shelf, record->tenant, record->id.text);
    struct feed *again = NULL;
    int r = 0;

    if (feed == NULL && !step_state_final(record->state)) {
        call_reply_problem(call,
                           &(struct sbx_problem){ .code = SBX_PROBLEM_UNAVAILABLE, .retry_after_s = 1 });
        return;
    }
    if (feed == NULL) {
        r = step_feed_replay(&again, record, engine_feeds(call->api->spec.engine));
    }
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    if (again != NULL) {
        feed_shelf_put(shelf, record->tenant, record->id.text, again);
    }
    step_stream_feed(call, record, feed != NULL ? feed : again);
    feed_unref(again);
}

void
step_stream_ended(struct call *call)
{
    step_load(call, step_stream_loaded);
}
