#include "executor/core/job_feed.h"

#include <string.h>

#include "executor/core/feed_stored.h"
#include "lib/sbx_jsonw.h"

#define JOB_FEED_EVENT_MAX (8u << 20)
#define JOB_FEED_SLACK (256u << 10)
#define NO_USAGE "{\"wall_ms\":0,\"cpu_ms\":0,\"cpu_throttled_ms\":0,\"peak_memory_bytes\":0}"

void
job_feed_start(struct feed *feed, const struct job_record *record)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(JOB_FEED_EVENT_MAX);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "job_id", record->id.text);
    sbx_jsonw_str(&w, "language", record->language);
    sbx_jsonw_str(&w, "template", record->template_name);
    sbx_jsonw_str(&w, "isolation", sbx_isolation_name(record->isolation));
    sbx_jsonw_time(&w, "created_at", record->created_ms);
    sbx_jsonw_time(&w, "started_at", record->started_ms);
    sbx_jsonw_object_end(&w);
    feed_event(feed, "start", out.failed ? "{}" : out.data, out.failed ? 2 : out.len);
}

static void
job_feed_put_end(struct feed *feed, const struct job_record *record, const struct sbx_buf *end)
{
    const char *usage = record->usage_json != NULL ? record->usage_json : NO_USAGE;

    if (record->result_json != NULL) {
        feed_closing_event(feed, "result", record->result_json, strlen(record->result_json));
    }
    feed_closing_event(feed, "usage", usage, strlen(usage));
    /* Without its end a stream is one that was cut: the client comes back. */
    if (!end->failed && end->len > 0) {
        feed_closing_event(feed, "end", end->data, end->len);
    }
    feed_close(feed);
}

void
job_feed_end(struct feed *feed, const struct job_record *record, job_feed_describe_fn describe)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf end = SBX_BUF_INIT(JOB_FEED_EVENT_MAX);

    describe(&end, record);
    job_feed_put_end(feed, record, &end);
}

static size_t
record_bytes(const struct job_record *record, const struct sbx_buf *end)
{
    size_t bytes = JOB_FEED_SLACK + end->len;

    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        bytes += record->stream[i].len + record->stream[i].len / 64;
    }
    return bytes + (record->result_json == NULL ? 0 : strlen(record->result_json));
}

int
job_feed_replay(struct feed **ret, const struct job_record *record, job_feed_describe_fn describe,
                struct feed_budget *budget)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf end = SBX_BUF_INIT(JOB_FEED_EVENT_MAX);
    struct feed *feed;
    int r;

    describe(&end, record);
    r = feed_new(&feed, record_bytes(record, &end));
    if (r) {
        return r;
    }
    feed_join(feed, budget);
    if (record->started_ms != 0) {
        job_feed_start(feed, record);
    }
    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        const struct job_stream *stream = &record->stream[i];
        const struct feed_stored stored = {
            .data = stream->data == NULL ? "" : stream->data,
            .len = stream->len,
            .total = stream->total,
            .truncated = record->truncated,
        };

        feed_put_stored(feed, i, &stored);
    }
    job_feed_put_end(feed, record, &end);
    *ret = feed;
    return 0;
}
