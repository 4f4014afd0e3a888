#include "executor/core/job.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "executor/log.h"
#include "executor/store/db.h"

int
job_new(struct job **ret, struct job_spec *spec, size_t output_keep, size_t feed_keep)
{
    _cleanup_(job_freep) struct job *job = NULL;
    int r;

    job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return -ENOMEM;
    }
    list_init(&job->link);
    list_init(&job->waiters);
    hold_init(&job->hold);
    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        sbx_capture_init(&job->capture[i], output_keep);
        r = sbx_sha256_new(&job->digest[i]);
        if (r) {
            return r;
        }
    }
    r = feed_new(&job->feed, feed_keep);
    if (r) {
        return r;
    }
    r = sbx_id_new(&job->record.id, "job");
    if (r) {
        return r;
    }
    job->record.state = JOB_QUEUED;
    job->item.weight = spec->weight;
    job->spec = spec;
    *ret = steal(&job);
    return 0;
}

struct job *
job_free(struct job *job)
{
    if (job == NULL) {
        return NULL;
    }
    assert(list_empty(&job->waiters) && job->run == NULL && job->item.tenant == NULL);
    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        sbx_capture_deinit(&job->capture[i]);
        sbx_sha256_free(job->digest[i]);
    }
    if (job->feed != NULL) {
        feed_close(job->feed); /* without an end, if there was none: its readers come back */
        feed_unref(job->feed);
    }
    if (job->denial != NULL) {
        free(job->denial->violation_json);
        free(job->denial);
    }
    hold_take(&job->hold);
    job->admission = db_tx_free(job->admission);
    free(job->cancelled_by);
    budget_use_end(&job->budget);
    timer_free(job->deadline);
    job_spec_free(job->spec);
    job_record_deinit(&job->record);
    free(job);
    return NULL;
}

void
job_set_state(struct job *job, enum job_state state)
{
    struct job_record *record = &job->record;

    assert(job_state_follows(record->state, state));
    record->state = state;
    log_debug("job.state", LOG_STR("job", record->id.text), LOG_STR("tenant", record->tenant),
              LOG_STR("request_id", record->request_id), LOG_STR("status", job_state_status(state)));
}

uint64_t
job_output_add(struct job *job, unsigned stream, const char *data, size_t len)
{
    feed_output(job->feed, stream, data, len);
    /* Out of memory for what is kept: the bytes count all the same and the text shows the gap. */
    (void)sbx_capture_add(&job->capture[stream], data, len);
    if (sbx_sha256_update(job->digest[stream], data, len) != 0) {
        job->digest[stream] = sbx_sha256_free(job->digest[stream]);
    }
    return job->capture[JOB_STDOUT].total + job->capture[JOB_STDERR].total;
}

int
job_output_render(struct job *job)
{
    struct job_record *record = &job->record;

    record->truncated = false;
    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        const struct sbx_capture *capture = &job->capture[i];
        struct sbx_buf text = SBX_BUF_INIT(capture->keep + 128);
        size_t len = 0;
        char *data;

        sbx_capture_text(capture, &text);
        data = sbx_buf_take(&text, &len);
        sbx_buf_deinit(&text);
        if (data == NULL) {
            return -ENOMEM;
        }
        free(record->stream[i].data);
        record->stream[i].data = data;
        record->stream[i].len = len;
        record->stream[i].total = capture->total;
        record->truncated = record->truncated || sbx_capture_truncated(capture);
    }
    return 0;
}

int
job_wait(struct waiter **ret, struct job *job, struct timers *timers, uint64_t ms, waiter_fn done, void *arg)
{
    return waiter_new(ret, &job->waiters, timers, ms, &job->accepted, 0, done, arg);
}
