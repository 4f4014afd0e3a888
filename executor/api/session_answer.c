#include "executor/api/session_answer.h"

#include <string.h>

#include "executor/api/reply_parts.h"
#include "executor/core/sessions.h"
#include "lib/sbx_time.h"

#define NO_USAGE                                                                                             \
    "{\"wall_ms\":0,\"cpu_ms\":0,\"cpu_throttled_ms\":0,\"peak_memory_bytes\":0,\"disk_bytes\":0}"
#define NO_STEP_USAGE "{\"wall_ms\":0,\"cpu_ms\":0,\"displays_dropped\":0}"

void
context_answer_write(struct sbx_jsonw *w, const char *key, const struct session_context *context)
{
    sbx_jsonw_object(w, key);
    sbx_jsonw_str(w, "name", context->name);
    sbx_jsonw_str(w, "language", context->language);
    sbx_jsonw_str(w, "status", session_context_state_name(context->state));
    sbx_jsonw_uint(w, "restarts", context->restarts);
    sbx_jsonw_object_end(w);
}

static void
write_contexts(struct sbx_jsonw *w, const struct session *live)
{
    sbx_jsonw_array(w, "contexts");
    for (struct list *it = live == NULL ? NULL : live->contexts.next; it != NULL && it != &live->contexts;
         it = it->next) {
        const struct session_context *context = list_entry(it, struct session_context, link);

        if (session_context_find(live, context->name) == context) {
            context_answer_write(w, NULL, context);
        }
    }
    sbx_jsonw_array_end(w);
}

static void
write_usage(struct sbx_jsonw *w, const struct session_record *record, const struct session *live)
{
    if (live == NULL || record->usage_json != NULL) {
        reply_raw(w, "usage", record->usage_json, NO_USAGE);
    } else {
        session_usage_write(w, "usage", live);
    }
}

static void
write_duration(struct sbx_jsonw *w, const char *key, uint64_t ms)
{
    char text[32];

    sbx_limit_text(text, sizeof(text), SBX_LIMIT_TIME, ms); /* JSON, and it fits */
    sbx_jsonw_raw(w, key, text, strlen(text));
}

void
session_answer_write(struct sbx_jsonw *w, const char *key, const struct session_record *record,
                     const struct session *live)
{
    bool ended = record->state == SESSION_ENDED;

    sbx_jsonw_object(w, key);
    sbx_jsonw_str(w, "session_id", record->id.text);
    sbx_jsonw_str(w, "status", session_state_name(record->state));
    sbx_jsonw_str(w, "reason", session_reason_name(record->reason));
    sbx_jsonw_str(w, "language", record->language);
    sbx_jsonw_str(w, "template", record->template_name);
    sbx_jsonw_str(w, "isolation", sbx_isolation_name(record->isolation));
    reply_text(w, "app", record->app);
    reply_text(w, "agent", record->agent);
    reply_raw(w, "metadata", record->metadata_json, "{}");
    reply_raw(w, "limits", record->limits_json, "{}");
    write_duration(w, "ttl", record->ttl_ms);
    write_duration(w, "idle_timeout", record->idle_timeout_ms);
    write_duration(w, "step_timeout", record->step_timeout_ms);
    reply_time(w, "created_at", record->created_ms);
    reply_time(w, "started_at", record->started_ms);
    reply_time(w, "expires_at", record->expires_ms);
    reply_time(w, "idle_expires_at", live == NULL || ended ? 0 : session_idle_expires_ms(live));
    reply_time(w, "ended_at", record->ended_ms);
    write_contexts(w, ended ? NULL : live);
    sbx_jsonw_uint(w, "n_steps", record->n_steps);
    sbx_jsonw_uint(w, "queued_steps", live == NULL ? 0 : live->n_waiting);
    write_usage(w, record, live);
    reply_text(w, "message", record->message);
    reply_raw(w, "violation", record->violation_json, "null");
    sbx_jsonw_object_end(w);
}

static void
write_output(struct sbx_jsonw *w, const struct step_record *record)
{
    if (!record->brief) {
        reply_stream(w, "stdout", "stdout_base64", &record->stream[JOB_STDOUT]);
        reply_stream(w, "stderr", "stderr_base64", &record->stream[JOB_STDERR]);
    }
    sbx_jsonw_uint(w, "stdout_bytes", record->stream[JOB_STDOUT].total);
    sbx_jsonw_uint(w, "stderr_bytes", record->stream[JOB_STDERR].total);
    sbx_jsonw_bool(w, "truncated", record->truncated);
    if (!record->brief) {
        reply_raw(w, "results", record->results_json, "[]");
        reply_raw(w, "error", record->error_json, "null");
    }
}

static void
write_end(struct sbx_jsonw *w, const struct step_record *record)
{
    if (record->has_exit_code) {
        sbx_jsonw_int(w, "exit_code", record->exit_code);
    } else {
        sbx_jsonw_null(w, "exit_code");
    }
    reply_text(w, "signal", record->signal);
    sbx_jsonw_str(w, "interpreter", step_interpreter_name(record->interpreter));
    sbx_jsonw_bool(w, "restarted", record->restarted);
    reply_raw(w, "usage", record->usage_json, NO_STEP_USAGE);
    reply_raw(w, "violation", record->violation_json, "null");
    reply_text(w, "message", record->message);
}

void
step_answer_write(struct sbx_jsonw *w, const char *key, const struct step_record *record)
{
    sbx_jsonw_object(w, key);
    sbx_jsonw_str(w, "step_id", record->id.text);
    sbx_jsonw_str(w, "session_id", record->session_id.text);
    sbx_jsonw_uint(w, "number", record->number);
    sbx_jsonw_str(w, "context", record->context);
    sbx_jsonw_str(w, "language", record->language);
    sbx_jsonw_str(w, "status", step_state_status(record->state));
    write_output(w, record);
    write_end(w, record);
    sbx_jsonw_str(w, "code_sha256", record->code_sha256);
    reply_time(w, "created_at", record->created_ms);
    reply_time(w, "started_at", record->started_ms);
    reply_time(w, "finished_at", record->finished_ms);
    sbx_jsonw_object_end(w);
}
