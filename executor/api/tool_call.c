#include "executor/api/tool_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/accept.h"
#include "executor/api/api_inside.h"
#include "executor/api/jobs.h"
#include "executor/api/stream.h"
#include "executor/api/tool_images.h"
#include "executor/api/tool_reply.h"
#include "executor/api/tool_stream.h"
#include "lib/sbx_jsonw.h"

#define PROBLEM_TEXT_MAX 16384ul
#define UNKNOWN_TASK (-32602) /* JSON-RPC's "Invalid params" */

static bool
is_word(const char *text, size_t len, const char *word)
{
    return strlen(word) == len && memcmp(text, word, len) == 0;
}

/* What is not known is for a later revision of either side. */
static void
take_word(struct tool_call *tool, const char *text, size_t len)
{
    static const char key[] = "key=";
    const size_t skip = sizeof(key) - 1;

    if (is_word(text, len, "task")) {
        tool->task = true;
    } else if (is_word(text, len, "cancel")) {
        tool->cancels = true;
    } else if (len > skip && strncmp(text, key, skip) == 0 && tool_key_valid(text + skip, len - skip) &&
               tool->key == NULL) {
        tool->key = tool_key_new(tool->call->api, tool->call->context.tenant, text + skip);
    }
}

static bool
accepts_stream(const struct call *call)
{
    const char *accept = sbx_http_request_header(call->request, "Accept");

    return accept_prefers(accept, STREAM_TYPE, "text/plain");
}

static void
write_error(struct sbx_buf *out, int code, const char *message)
{
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_int(&w, "code", code);
    sbx_jsonw_str(&w, "message", message);
    sbx_jsonw_object_end(&w);
}

/* What began with a stream ends as one. */
static void
write_problem(struct sbx_buf *out, const struct sbx_problem *problem)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(PROBLEM_TEXT_MAX);
    struct sbx_jsonw w;

    sbx_buf_puts(&text, sbx_problem_title(problem->code));
    if (problem->detail != NULL) {
        sbx_buf_printf(&text, ": %s", problem->detail);
    }
    if (problem->retry_after_s > 0) {
        sbx_buf_printf(&text, "\nNext: try again in %u s.", problem->retry_after_s);
    }
    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_array(&w, "content");
    tool_text(&w, text.failed ? "" : text.data, text.failed ? 0 : text.len);
    sbx_jsonw_array_end(&w);
    sbx_jsonw_bool(&w, "isError", true);
    sbx_jsonw_object_end(&w);
}

static bool
tool_refuse(struct call *call, const struct sbx_problem *problem)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf object = SBX_BUF_INIT(4 * PROBLEM_TEXT_MAX);
    struct tool_call *tool = call->tool;

    if (tool == NULL ||
        (tool->stream == NULL && !(tool->is_task && problem->code == SBX_PROBLEM_NOT_FOUND))) {
        return false;
    }
    if (tool->is_task) {
        write_error(&object, UNKNOWN_TASK, "there is no such task");
    } else {
        write_problem(&object, problem);
    }
    if (!object.failed) {
        tool_send(call, tool->is_task ? "error" : "complete", &object);
    } else if (tool->stream != NULL) {
        call_break_stream(call);
    } else {
        return false;
    }
    return true;
}

static bool
tool_new(struct call *call)
{
    const char *text = sbx_http_request_header(call->request, "Sandbox-Tool-Call");
    struct tool_call *tool = calloc(1, sizeof(*tool));

    if (tool == NULL) {
        call_problem_internal(call, -ENOMEM);
        return false;
    }
    tool->call = call;
    call->tool = tool;
    call->refuse = tool_refuse;
    tool->wants_stream = accepts_stream(call);
    while (text != NULL && *(text += strspn(text, ", \t")) != '\0') {
        size_t len = strcspn(text, ", \t");

        take_word(tool, text, len);
        text += len;
    }
    return true;
}

bool
tool_ask(struct call *call)
{
    return !tool_wanted(call) || tool_new(call);
}

bool
tool_ask_task(struct call *call, bool cancelling)
{
    if (!tool_new(call)) {
        return false;
    }
    call->tool->is_task = true;
    call->tool->cancelling = cancelling;
    call->tool->wants_stream = false;
    return true;
}

uint64_t
tool_wait_end(const struct call *call)
{
    return call->tool != NULL && call->tool->is_task ? 0 : JOBS_SETTLE_MS;
}

struct tool_call *
tool_call_free(struct tool_call *tool)
{
    if (tool != NULL) {
        tool_key_free(tool->key);
        tool_images_free(tool->images);
        tool_stream_free(tool->stream);
        free(tool);
    }
    return NULL;
}

void
tool_call_leave(struct tool_call *tool)
{
    struct call *call;

    if (tool == NULL) {
        return;
    }
    call = tool->call;
    if (tool->cancels) {
        (void)tool_object_cancel(call->api, &tool->began, &call->context,
                                 "client_gone"); /* or it has ended */
    } else {
        tool_key_leave(steal(&tool->key));
    }
    tool_call_free(tool);
}

void
tool_began(struct call *call, const char *id, const char *sub)
{
    struct tool_call *tool = call->tool;

    if (tool == NULL) {
        return;
    }
    (void)snprintf(tool->began.id, sizeof(tool->began.id), "%s", id); /* ids fit */
    (void)snprintf(tool->began.sub, sizeof(tool->began.sub), "%s", sub == NULL ? "" : sub);
    if (tool->key != NULL) {
        tool_key_began(tool->key, &tool->began);
    }
}

void
tool_settle(struct call *call)
{
    if (call->tool != NULL) {
        tool_stream_settle(call->tool->stream);
    }
}

uint64_t
tool_wait_default(const struct call *call)
{
    return call->tool == NULL || call->tool->is_task ? 0 : TOOL_WAIT_DEFAULT_MS;
}

void
tool_locate(struct call *call, const char *id, const char *sub)
{
    /* Both forms fit. */
    if (sub == NULL) {
        (void)snprintf(call->tool->location, TOOL_LOCATION_LEN, "/v1/jobs/%s", id);
    } else {
        (void)snprintf(call->tool->location, TOOL_LOCATION_LEN, "/v1/sessions/%s/steps/%s", id, sub);
    }
}

unsigned
tool_headers(struct call *call, struct sbx_http_header out[TOOL_HEADERS])
{
    unsigned n = 0;

    if (call->tool->location[0] != '\0') {
        out[n++] = (struct sbx_http_header){ "Location", call->tool->location };
    }
    if (call->replayed) {
        call->api->replays++;
        out[n++] = (struct sbx_http_header){ "Idempotency-Replayed", "true" };
    }
    return n;
}

void
tool_send(struct call *call, const char *kind, const struct sbx_buf *object)
{
    struct sbx_http_header headers[TOOL_HEADERS];
    unsigned n;

    if (object->failed) {
        call_problem(call, SBX_PROBLEM_UNAVAILABLE, "the answer is too large for the memory there is");
        return;
    }
    if (sbx_http_request_left(call->request)) {
        return; /* nobody is told: call_abort follows, and ends what this call began if that was wanted */
    }
    if (call->tool->stream != NULL) {
        tool_stream_close(call->tool->stream, kind, object);
        return;
    }
    n = tool_headers(call, headers);
    headers[n++] = (struct sbx_http_header){ "Sandbox-Tool-Result", kind };
    call_reply(call, 200, TOOL_TYPE, headers, n, object->data, object->len);
}
