/* Commands in the background of a session: starting, listing, reading, waiting for, feeding and ending them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/governed.h"
#include "executor/api/grant.h"
#include "executor/api/handlers.h"
#include "executor/api/idempotent.h"
#include "executor/api/jobs.h"
#include "executor/api/process_call.h"
#include "executor/api/process_request.h"
#include "executor/api/session_call.h"
#include "executor/api/stream.h"

#define REPLY_MAX (4u << 20)
#define LIST_MAX (64u << 20)
#define START_WAIT_MS 10000
#define STDIN_REST (1u << 20) /* one piece of a body, as the server reads them */

struct process_call *
process_call_new(struct call *call, struct command *command)
{
    struct process_call *process = calloc(1, sizeof(*process));

    if (process == NULL) {
        command_unref(command);
        call_problem_internal(call, -ENOMEM);
        return NULL;
    }
    process->call = call;
    process->command = command;
    process->rest.max = STDIN_REST;
    call->process = process;
    return process;
}

static struct db *
process_db(const struct call *call)
{
    return engine_db(call->api->spec.engine);
}

struct process_call *
process_call_free(struct process_call *process)
{
    if (process != NULL) {
        process_audit_input(process_db(process->call), &process->call->context, process->command,
                            &process->input);
        process_input_deinit(&process->input);
        waiter_cancel(process->waiter);
        command_writer_remove(&process->writer);
        sbx_buf_deinit(&process->rest);
        command_unref(process->command);
        free(process);
    }
    return NULL;
}

struct process_call *
process_call_of(struct call *call, bool must_run)
{
    struct session *session = session_call(call, must_run ? SESSION_CALL_RUNNING : SESSION_CALL_ALIVE);
    struct command *command = session == NULL ? NULL : command_find(session, call->sub);

    if (session == NULL) {
        return NULL;
    }
    if (command == NULL) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return NULL;
    }
    if (must_run && command_is_over(command)) {
        call_problem(call, SBX_PROBLEM_CONFLICT, "the process has ended");
        return NULL;
    }
    return process_call_new(call, command_ref(command));
}

static void
process_place(struct call *call, struct call_place *ret)
{
    const struct command *command = call->process->command;

    call_place(call, ret, "/v1/sessions/%s/processes/%s", command->session_id.text, command->id.text);
}

static void
process_stream(struct call *call)
{
    struct call_place place;

    process_place(call, &place);
    stream_start(call, call->process->command->feed, place.header, place.n);
}

/* Ends the call. A session that has ended meanwhile is what there is to tell. */
static void
process_answer(struct call *call, int status)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(REPLY_MAX);
    const struct command *command = call->process->command;
    struct call_place place;
    struct sbx_jsonw w;

    if (command->session == NULL && session_call(call, SESSION_CALL_ALIVE) == NULL) {
        return;
    }
    process_place(call, &place);
    sbx_jsonw_init(&w, &body);
    command_write_json(&w, NULL, command);
    call_reply_json(call, status, place.header, place.n, &body);
}

static void
process_on_waited(void *arg, enum waiter_result result _unused_)
{
    struct call *call = arg;
    struct process_call *process = call->process;

    process->waiter = NULL;
    if (process->starts && !process->command->accepted) {
        call_reply_problem(call, &(struct sbx_problem){
                                     .code = SBX_PROBLEM_UNAVAILABLE,
                                     .detail = "the process could not be recorded, and was not started",
                                     .retry_after_s = 1,
                                 });
    } else if (process->starts && call->stream != NULL) {
        if (!call->replayed) {
            stream_from_start(call);
        }
        process_stream(call);
    } else {
        process_answer(call, process->status);
    }
}

static void
process_wait(struct call *call, unsigned kind, uint64_t ms, int status)
{
    struct process_call *process = call->process;
    int r;

    process->status = status;
    process->starts = kind == COMMAND_WAIT_START;
    r = command_wait(&process->waiter, process->command, kind, ms, process_on_waited, call);
    if (r) {
        call_problem_internal(call, r);
    }
}

/* False: answered. */
static bool
request_fine(struct call *call, int r, const struct sbx_field_error *err)
{
    if (r == 400) {
        call_problem(call, SBX_PROBLEM_MALFORMED_JSON, err->message);
    } else if (r > 0) {
        call_problem_field(call, err);
    } else if (r < 0) {
        call_problem_internal(call, r);
    }
    return r == 0;
}

static bool
create_fine(struct call *call, int r)
{
    switch (r) {
    case 0:
        return true;
    case COMMAND_E_FULL:
        call_problem(call, SBX_PROBLEM_CONCURRENCY_LIMITED, "32 processes of this session are alive");
        return false;
    case COMMAND_E_PAUSED:
        call_problem(call, SBX_PROBLEM_CONFLICT, "the session does not run");
        return false;
    case -E2BIG:
        call_problem(call, SBX_PROBLEM_PAYLOAD_TOO_LARGE, "arguments and environment together");
        return false;
    default:
        call_problem_internal(call, r);
        return false;
    }
}

/* Reads the body only now: a key that came before answers whatever it says. */
static void
create_submit(struct call *call)
{
    _cleanup_(process_request_deinit) struct process_request request = { 0 };
    struct session *session = session_call(call, SESSION_CALL_RUNNING);
    struct sbx_field_error err = { 0 };
    struct command *command;
    const char *body;
    size_t len;

    if (session == NULL) {
        return;
    }
    body = sbx_http_request_body(call->request, &len);
    if (!request_fine(call, process_request_parse(&request, body, len, &err), &err) || !grant_budget(call) ||
        !governed(call,
                  &(struct governed_ask){ .kind = SBX_POLICY_PROCESS,
                                          .body = request.json,
                                          .template_name = session->record.template_name },
                  NULL)) {
        return;
    }
    request.ask.context = &call->context;
    request.ask.idempotency = call->idempotency;
    if (create_fine(call, command_create(&command, session, &request.ask)) &&
        process_call_new(call, command) != NULL) {
        process_wait(call, COMMAND_WAIT_START, START_WAIT_MS, 201);
    }
}

static void
create_replay(struct call *call, const char *id)
{
    struct session *session = session_call(call, SESSION_CALL_ALIVE);
    struct command *command = session == NULL ? NULL : command_find(session, id);

    if (session == NULL) {
        return;
    }
    if (command == NULL) {
        call_problem(call, SBX_PROBLEM_GONE, "the process ended, and newer ones took its place");
    } else if (process_call_new(call, command_ref(command)) == NULL) {
        return; /* answered */
    } else if (command->state == COMMAND_STARTING) {
        process_wait(call, COMMAND_WAIT_START, START_WAIT_MS, 200);
    } else if (call->stream != NULL) {
        process_stream(call);
    } else {
        process_answer(call, 200);
    }
}

/* A key belongs to the session, whose id is a part of the route. */
void
handle_process_create(struct call *call)
{
    char route[SBX_ID_LEN + 16];

    if (session_call(call, SESSION_CALL_ALIVE) == NULL || !stream_ask(call)) {
        return;
    }
    (void)snprintf(route, sizeof(route), "%s/processes", call->id); /* fits */
    idempotent(call, route, create_submit, create_replay);
}

static void
list_add(void *arg, const struct command *command)
{
    command_write_json(arg, NULL, command);
}

void
handle_process_list(struct call *call)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(LIST_MAX);
    struct session *session = session_call(call, SESSION_CALL_ALIVE);
    struct sbx_jsonw w;

    if (session == NULL) {
        return;
    }
    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_array(&w, "processes");
    command_each(session, list_add, &w);
    sbx_jsonw_array_end(&w);
    sbx_jsonw_object_end(&w);
    call_reply_json(call, 200, NULL, 0, &body);
}

void
handle_process_get(struct call *call)
{
    struct process_call *process;

    if (!job_wait_param(call) || !stream_ask(call)) {
        return;
    }
    process = process_call_of(call, false);
    if (process == NULL) {
        return;
    }
    if (call->stream != NULL) {
        process_stream(call);
    } else if (call->wait_ms == 0 || command_is_over(process->command)) {
        process_answer(call, 200);
    } else {
        process_wait(call, COMMAND_WAIT_END, call->wait_ms, 200);
    }
}

/* Killed, not forgotten: 200 when it is over, 202 when that takes longer. */
void
handle_process_end(struct call *call)
{
    struct process_call *process;

    if (!job_wait_param(call)) {
        return;
    }
    process = process_call_of(call, false);
    if (process == NULL) {
        return;
    }
    if (!command_is_over(process->command)) {
        process_audit_signal(process_db(call), &call->context, process->command, "SIGKILL");
    }
    command_kill(process->command);
    if (command_is_over(process->command)) {
        process_answer(call, 200);
    } else if (call->wait_ms == 0) {
        process_answer(call, 202);
    } else {
        process_wait(call, COMMAND_WAIT_END, call->wait_ms, 200);
    }
}

/* What had no room; once it is gone the body goes on. */
static void
stdin_on_writable(void *arg)
{
    struct process_call *process = arg;

    sbx_buf_consume(&process->rest, command_write(process->command, process->rest.data, process->rest.len));
    if (process->rest.len == 0) {
        sbx_http_request_resume(process->call->request);
    }
}

static bool
stdin_on_data(struct sbx_http_request *http, const char *data, size_t len)
{
    struct call *call = sbx_http_request_user(http);
    struct process_call *process = call->process;
    size_t n = command_write(process->command, data, len);

    process_input_add(&process->input, data, len);
    sbx_buf_append(&process->rest, data + n, len - n);
    return process->rest.len == 0;
}

void
handle_process_stdin_begin(struct call *call)
{
    struct process_call *process = process_call_of(call, true);

    if (process == NULL) {
        return;
    }
    if (!command_takes_input(process->command)) {
        call_problem(call, SBX_PROBLEM_CONFLICT, "the process takes no input");
        return;
    }
    process->writer = (struct command_writer){ .on_writable = stdin_on_writable, .arg = process };
    command_writer_add(process->command, &process->writer);
    sbx_http_request_stream(call->request, stdin_on_data);
}

void
handle_process_stdin(struct call *call)
{
    char eof[8] = "";

    if (call->process == NULL) {
        return; /* its answer is on the way */
    }
    if (call_param(call, "eof", eof, sizeof(eof)) == CALL_PARAM_BAD ||
        (*eof != '\0' && strcmp(eof, "true") != 0 && strcmp(eof, "false") != 0)) {
        call_problem_field(call,
                           &(struct sbx_field_error){ .field = "eof", .message = "must be true or false" });
        return;
    }
    if (call->process->rest.failed) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    if (command_is_over(call->process->command)) {
        call_problem(call, SBX_PROBLEM_CONFLICT, "the process ended before it had all");
        return;
    }
    if (strcmp(eof, "true") == 0) {
        command_end_input(call->process->command);
        call->process->input.ended = true;
    }
    call_reply(call, 204, NULL, NULL, 0, "", 0);
}

void
handle_process_signal(struct call *call)
{
    struct process_control control;
    struct sbx_field_error err = { 0 };
    struct process_call *process;
    size_t len;
    const char *body = sbx_http_request_body(call->request, &len);
    int r = process_control_parse(&control, body, len, &err);

    if (r == 0 && control.signal == NULL) {
        sbx_field_error_set(&err, "/signal", "is missing");
        r = 422;
    }
    if (!request_fine(call, r, &err)) {
        return;
    }
    process = process_call_of(call, true);
    if (process != NULL) {
        command_signal(process->command, control.signal);
        process_audit_signal(process_db(call), &call->context, process->command, control.signal);
        process_answer(call, 200);
    }
}

void
handle_process_resize(struct call *call)
{
    struct sbx_field_error err = { 0 };
    struct process_call *process;
    struct command_size size;
    size_t len;
    const char *body = sbx_http_request_body(call->request, &len);

    if (!request_fine(call, process_size_parse(&size, body, len, &err), &err)) {
        return;
    }
    process = process_call_of(call, true);
    if (process == NULL) {
        return;
    }
    if (!process->command->has_terminal) {
        call_problem(call, SBX_PROBLEM_CONFLICT, "the process has no terminal");
        return;
    }
    command_resize(process->command, size);
    process_answer(call, 200);
}
