/* Answers about runs and sessions to tools. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/artifact_url.h"
#include "executor/api/reply_parts.h"
#include "executor/api/routes.h"
#include "executor/api/tool_call.h"
#include "executor/api/tool_images.h"
#include "executor/api/tool_reply.h"
#include "executor/api/tool_result.h"
#include "executor/core/sessions.h"
#include "lib/sbx_time.h"

#define TASK_POLL_MS 2000
#define TASK_MAX 4096
#define URL_LIFE_S 900

/* A run that ended does what it was asked for, be it to fail; whoever cancels gets what was asked for in any case. */
static bool
is_error(const struct tool_call *tool, const struct tool_view *view)
{
    return view->is_error && !tool->cancelling;
}

static const char *
task_status(const struct tool_run *run)
{
    return run->end == TOOL_RUN_LIVE ? "working" : run->end == TOOL_RUN_CANCELLED ? "cancelled" : "completed";
}

/* The members of a task; its record is kept so long after its end, at least. */
static void
write_task(struct sbx_jsonw *w, const struct call *call, const struct tool_run *run)
{
    const uint64_t keep_ms = call->context.retention_records_ms;
    uint64_t updated = run->finished_ms != 0 ? run->finished_ms : run->started_ms;

    sbx_jsonw_str(w, "taskId", run->id);
    sbx_jsonw_str(w, "status", task_status(run));
    sbx_jsonw_str(w, "statusMessage", run->status);
    sbx_jsonw_time(w, "createdAt", run->created_ms);
    sbx_jsonw_time(w, "lastUpdatedAt", updated != 0 ? updated : run->created_ms);
    if (keep_ms == 0) {
        sbx_jsonw_null(w, "ttlMs");
    } else {
        sbx_jsonw_uint(w, "ttlMs", keep_ms);
    }
    sbx_jsonw_uint(w, "pollIntervalMs", TASK_POLL_MS);
}

static void
answer_task(struct call *call, const struct tool_run *run, const char *kind)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf object = SBX_BUF_INIT(TASK_MAX);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &object);
    sbx_jsonw_object(&w, NULL);
    write_task(&w, call, run);
    sbx_jsonw_object_end(&w);
    tool_send(call, kind, &object);
}

/* An acknowledgement has no members. */
static void
answer_heard(struct call *call)
{
    char array[3];
    struct sbx_buf object = SBX_BUF_OVER(array);

    sbx_buf_puts(&object, "{}");
    tool_send(call, "complete", &object);
}

/* What there is to say of the end of a task is inside of it. */
static void
answer_result(struct call *call, const struct tool_view *view)
{
    struct tool_call *tool = call->tool;
    struct sbx_buf head = SBX_BUF_INIT(TOOL_RESULT_HEAD_MAX), tail = SBX_BUF_INIT(TOOL_RESULT_TAIL_MAX);
    const char *key = tool->is_task ? "result" : NULL;
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &head);
    if (tool->is_task) {
        sbx_jsonw_object(&w, NULL);
        write_task(&w, call, view->run);
    }
    tool_result_head(&w, key, view);
    w.buf = &tail;
    tool_result_tail(&w, view, is_error(tool, view));
    if (tool->is_task) {
        sbx_jsonw_object_end(&w);
    }
    tool_images_between(call, view, &head, &tail);
}

struct file_urls {
    struct artifact_url url[TOOL_FILES_MAX];
    const char *text[TOOL_FILES_MAX];
};

/*
 * For who may make them; each is audited. Who reads on in the output has them already. NULL: none, or there is no memory, and
 * the plain addresses are told.
 */
static struct file_urls *
sign_files(struct call *call, const struct tool_run *run)
{
    const struct tool_call *tool = call->tool;
    struct file_urls *urls;

    if (run->n_files == 0 || tool->has_offset[JOB_STDOUT] || tool->has_offset[JOB_STDERR] ||
        !scope_permits(ARTIFACT_URL_SCOPE, call->context.scopes)) {
        return NULL;
    }
    urls = calloc(1, sizeof(*urls));
    for (unsigned i = 0; urls != NULL && i < run->n_files && i < TOOL_FILES_MAX; i++) {
        struct artifact artifact = { .id = run->files[i].id };

        memcpy(artifact.tenant, call->context.tenant, sizeof(artifact.tenant));
        memcpy(artifact.sha256, run->files[i].sha256, sizeof(artifact.sha256));
        if (artifact_url_make(&urls->url[i], call, &artifact, URL_LIFE_S) == 0) {
            urls->text[i] = urls->url[i].text;
        }
    }
    return urls;
}

static void
answer_run(struct call *call, const struct tool_run *run)
{
    const struct tool_call *tool = call->tool;
    struct tool_view_ask ask = { .run = run };
    struct file_urls *urls;
    struct tool_view view;
    int r;

    if (tool->is_task && tool->cancelling) {
        answer_heard(call);
        return;
    }
    if (run->end == TOOL_RUN_LIVE && tool->task && !tool->is_task) {
        answer_task(call, run, "task");
        return;
    }
    if (tool->is_task && run->end != TOOL_RUN_ENDED && run->end != TOOL_RUN_STOPPED &&
        run->end != TOOL_RUN_LOST) {
        answer_task(call, run, "complete");
        return;
    }
    urls = sign_files(call, run);
    ask.urls = urls == NULL ? NULL : urls->text;
    memcpy(ask.has_offset, tool->has_offset, sizeof(ask.has_offset));
    memcpy(ask.offset, tool->offset, sizeof(ask.offset));
    r = tool_view_init(&view, &ask);
    if (r) {
        call_problem_internal(call, r);
    } else {
        answer_result(call, &view);
    }
    tool_view_deinit(&view);
    free(urls);
}

void
tool_answer_job(struct call *call, const struct job_record *record)
{
    struct tool_run run;

    tool_run_of_job(&run, record);
    tool_locate(call, record->id.text, NULL);
    answer_run(call, &run);
}

void
tool_answer_step(struct call *call, const struct step_record *record)
{
    struct tool_run run;

    tool_run_of_step(&run, record);
    tool_locate(call, record->session_id.text, record->id.text);
    answer_run(call, &run);
}

#define WORKSPACE "/workspace"

/* When it ends by itself, if nobody uses it: both clocks. */
static void
session_clocks(struct sbx_buf *out, const struct session_record *record, const struct session *live)
{
    uint64_t idle_ms = live == NULL ? 0 : session_idle_expires_ms(live);
    char text[SBX_RFC3339_LEN];

    sbx_rfc3339(text, record->expires_ms);
    sbx_buf_printf(out, "It ends at %s", text);
    if (idle_ms != 0) {
        sbx_rfc3339(text, idle_ms);
        sbx_buf_printf(out, ", or at %s when nothing uses it until then", text);
    }
    sbx_buf_puts(out, ".");
}

static void
session_next(struct sbx_buf *out, const struct session_record *record)
{
    if (record->state == SESSION_ENDED) {
        sbx_buf_puts(out, "Its files are gone. create_session makes another one.");
    } else {
        sbx_buf_printf(out,
                       "Call run_code with session_id \"%s\" to run code in it; close_session when done.",
                       record->id.text);
    }
}

static void
session_text(struct sbx_buf *out, const struct session_record *record, const struct session *live,
             const struct sbx_buf *next)
{
    sbx_buf_printf(out, "Status: %s\nsession_id: %s\nlanguage: %s\nworkspace: %s\nnetwork: none\n",
                   session_state_name(record->state), record->id.text, record->language, WORKSPACE);
    if (record->state == SESSION_ENDED) {
        sbx_buf_printf(out, "Ended: %s\n", session_reason_text(record->reason));
    } else {
        session_clocks(out, record, live);
        sbx_buf_putc(out, '\n');
    }
    sbx_buf_printf(out, "\nNext: %.*s\n", (int)next->len, next->data == NULL ? "" : next->data);
}

static void
session_structure(struct sbx_jsonw *w, const struct session_record *record, const struct session *live)
{
    const bool ended = record->state == SESSION_ENDED;

    sbx_jsonw_str(w, "session_id", record->id.text);
    sbx_jsonw_str(w, "status", session_state_name(record->state));
    reply_text(w, "reason", ended ? session_reason_name(record->reason) : "");
    sbx_jsonw_str(w, "language", record->language);
    sbx_jsonw_str(w, "workspace", WORKSPACE);
    reply_time(w, "expires_at", record->expires_ms);
    reply_time(w, "idle_expires_at", live == NULL || ended ? 0 : session_idle_expires_ms(live));
    reply_raw(w, "limits", record->limits_json, "{}");
    sbx_jsonw_str(w, "network", "none");
    sbx_jsonw_bool(w, "closed", ended);
    sbx_jsonw_bool(w, "workspace_deleted", ended);
}

void
tool_answer_session(struct call *call, const struct session_record *record, const struct session *live)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf object = SBX_BUF_INIT(1ul << 20), text = SBX_BUF_INIT(65536);
    _cleanup_(sbx_buf_deinit) struct sbx_buf next = SBX_BUF_INIT(1024);
    struct sbx_jsonw w;

    session_next(&next, record);
    session_text(&text, record, live, &next);
    sbx_jsonw_init(&w, &object);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_array(&w, "content");
    tool_text(&w, text.data == NULL ? "" : text.data, text.len);
    sbx_jsonw_array_end(&w);
    sbx_jsonw_object(&w, "structuredContent");
    session_structure(&w, record, live);
    sbx_jsonw_strn(&w, "next", next.data, next.len);
    sbx_jsonw_object_end(&w);
    sbx_jsonw_bool(&w, "isError", false);
    sbx_jsonw_object_end(&w);
    object.failed = object.failed || text.failed || next.failed;
    (void)snprintf(call->tool->location, TOOL_LOCATION_LEN, "/v1/sessions/%s", record->id.text); /* fits */
    tool_send(call, "complete", &object);
}
