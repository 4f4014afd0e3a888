#include "executor/core/step_feed.h"

#include <string.h>

#include "executor/core/feed_stored.h"
#include "executor/core/step.h"
#include "executor/core/step_results.h"

#define STEP_FEED_SLACK (256u << 10)
#define STEP_FEED_EVENT_MAX (1u << 20)

static void
put_displays(struct feed *feed, const char *results)
{
    struct step_result one;

    while (step_results_next(&results, &one)) {
        feed_event(feed, one.is_result ? "result" : "display", one.text, one.len);
    }
}

static size_t
record_bytes(const struct step_record *record)
{
    size_t bytes = STEP_FEED_SLACK + 2 * (size_t)STEP_FEED_EVENT_MAX;

    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        bytes += record->stream[i].len + record->stream[i].len / 64;
    }
    return bytes + (record->results_json == NULL ? 0 : strlen(record->results_json));
}

static void
put_output(struct feed *feed, const struct step_record *record)
{
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
}

static void
put_end(struct feed *feed, const struct step_record *record)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(STEP_FEED_EVENT_MAX);

    if (record->usage_json != NULL) {
        feed_closing_event(feed, "usage", record->usage_json, strlen(record->usage_json));
    }
    step_event_end(&text, record);
    if (!text.failed) {
        feed_closing_event(feed, "end", text.data, text.len);
    }
    feed_close(feed);
}

int
step_feed_replay(struct feed **ret, const struct step_record *record, struct feed_budget *budget)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(STEP_FEED_EVENT_MAX);
    struct feed *feed;
    int r;

    r = feed_new(&feed, record_bytes(record));
    if (r) {
        return r;
    }
    feed_join(feed, budget);
    if (record->started_ms != 0) {
        step_event_start(&text, record);
        feed_event(feed, "start", text.failed ? "{}" : text.data, text.failed ? 2 : text.len);
    }
    put_output(feed, record);
    if (record->results_json != NULL) {
        put_displays(feed, record->results_json);
    }
    put_end(feed, record);
    *ret = feed;
    return 0;
}
