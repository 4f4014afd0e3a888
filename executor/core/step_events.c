/* What a step's feed says besides its output. */
#include <string.h>

#include "executor/core/step_inside.h"
#include "lib/sbx_time.h"

#define EVENT_MAX (1u << 20)

static void
write_text(struct sbx_jsonw *w, const char *key, const char *text)
{
    sbx_jsonw_str(w, key, *text != '\0' ? text : NULL);
}

static void
write_raw(struct sbx_jsonw *w, const char *key, const char *json)
{
    if (json == NULL) {
        sbx_jsonw_null(w, key);
    } else {
        sbx_jsonw_raw(w, key, json, strlen(json));
    }
}

void
step_event_start(struct sbx_buf *out, const struct step_record *record)
{
    char started[SBX_RFC3339_LEN];
    struct sbx_jsonw w;

    sbx_rfc3339(started, record->started_ms);
    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "step_id", record->id.text);
    sbx_jsonw_str(&w, "session_id", record->session_id.text);
    sbx_jsonw_uint(&w, "number", record->number);
    sbx_jsonw_str(&w, "context", record->context);
    sbx_jsonw_str(&w, "language", record->language);
    sbx_jsonw_str(&w, "started_at", started);
    sbx_jsonw_object_end(&w);
}

void
step_event_end(struct sbx_buf *out, const struct step_record *record)
{
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "step_id", record->id.text);
    sbx_jsonw_str(&w, "status", step_state_status(record->state));
    if (record->has_exit_code) {
        sbx_jsonw_int(&w, "exit_code", record->exit_code);
    } else {
        sbx_jsonw_null(&w, "exit_code");
    }
    write_text(&w, "signal", record->signal);
    write_raw(&w, "error", record->error_json);
    write_raw(&w, "violation", record->violation_json);
    write_text(&w, "message", record->message);
    sbx_jsonw_uint(&w, "stdout_bytes", record->stream[JOB_STDOUT].total);
    sbx_jsonw_uint(&w, "stderr_bytes", record->stream[JOB_STDERR].total);
    sbx_jsonw_bool(&w, "truncated", record->truncated);
    sbx_jsonw_object_end(&w);
}

void
step_feed_start(struct step *step)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(EVENT_MAX);

    step_event_start(&text, &step->record);
    if (!text.failed) {
        feed_event(step->feed, "start", text.data, text.len);
    }
}

void
step_feed_end(struct step *step)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(EVENT_MAX);
    const char *usage = step->record.usage_json;

    if (usage != NULL) {
        feed_closing_event(step->feed, "usage", usage, strlen(usage));
    }
    step_event_end(&text, &step->record);
    if (!text.failed) {
        feed_closing_event(step->feed, "end", text.data, text.len);
    }
    feed_close(step->feed);
}
