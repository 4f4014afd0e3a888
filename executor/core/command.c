#include "executor/core/command.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/audit_command.h"
#include "executor/core/idempotency.h"
#include "executor/core/session_inside.h"
#include "executor/core/session_store.h"
#include "executor/log.h"
#include "lib/sbx_time.h"

#define OPEN_MAX ((1u << 20) - 4096)
#define JSON_MAX (2u << 20)
#define NOTE_MAX 128
#define END_OF_FILE "\x04" /* a terminal goes on after it */

struct session_processes {
    struct session *session;
    struct session_hook hook;
    struct list all; /* in the order of their births */
    unsigned n_living;
    unsigned n_ended;
};

const char *
command_state_name(enum command_state state)
{
    switch (state) {
    case COMMAND_STARTING:
        return "starting";
    case COMMAND_RUNNING:
        return "running";
    case COMMAND_EXITED:
        return "exited";
    case COMMAND_FAILED:
        return "failed";
    }
    return "failed";
}

struct command *
command_ref(struct command *command)
{
    command->refs++;
    return command;
}

struct command *
command_unref(struct command *command)
{
    if (command != NULL && --command->refs == 0) {
        assert(command->channel == NULL && list_empty(&command->waiters) && list_empty(&command->writers));
        feed_unref(command->feed);
        free(command->what_json);
        free(command->open_json);
        free(command);
    }
    return NULL;
}

bool
command_is_over(const struct command *command)
{
    return command->state == COMMAND_EXITED || command->state == COMMAND_FAILED;
}

static void
write_end(struct sbx_jsonw *w, const struct command *command)
{
    const struct command_reply_end *end = &command->end;

    if (end->has_exit_code) {
        sbx_jsonw_int(w, "exit_code", end->exit_code);
    } else {
        sbx_jsonw_null(w, "exit_code");
    }
    sbx_jsonw_str(w, "signal", end->signal[0] != '\0' ? end->signal : NULL);
    sbx_jsonw_bool(w, "timed_out", end->timed_out);
    sbx_jsonw_str(w, "error", end->error[0] != '\0' ? end->error : NULL);
    sbx_jsonw_str(w, "message", end->message[0] != '\0' ? end->message : NULL);
    if (command->state == COMMAND_EXITED) {
        sbx_jsonw_object(w, "usage");
        sbx_jsonw_uint(w, "wall_ms", end->wall_ms);
        sbx_jsonw_uint(w, "cpu_ms", end->cpu_ms);
        sbx_jsonw_uint(w, "peak_memory_bytes", end->peak_memory_bytes);
        sbx_jsonw_object_end(w);
    } else {
        sbx_jsonw_null(w, "usage");
    }
}

void
command_write_json(struct sbx_jsonw *w, const char *key, const struct command *command)
{
    sbx_jsonw_object(w, key);
    sbx_jsonw_str(w, "process_id", command->id.text);
    sbx_jsonw_str(w, "session_id", command->session_id.text);
    sbx_jsonw_str(w, "status", command_state_name(command->state));
    sbx_jsonw_raw(w, "command", command->what_json, strlen(command->what_json));
    sbx_jsonw_bool(w, "stdin", command->has_stdin);
    if (command->has_terminal) {
        sbx_jsonw_object(w, "pty");
        sbx_jsonw_uint(w, "rows", command->size.rows);
        sbx_jsonw_uint(w, "cols", command->size.cols);
        sbx_jsonw_object_end(w);
    } else {
        sbx_jsonw_null(w, "pty");
    }
    if (command->pid != 0) {
        sbx_jsonw_uint(w, "pid", command->pid);
    } else {
        sbx_jsonw_null(w, "pid");
    }
    write_end(w, command);
    sbx_jsonw_uint(w, "stdout_bytes", command->bytes[0]);
    sbx_jsonw_uint(w, "stderr_bytes", command->bytes[1]);
    sbx_jsonw_time(w, "created_at", command->created_ms);
    sbx_jsonw_time(w, "started_at", command->started_ms);
    sbx_jsonw_time(w, "ended_at", command->ended_ms);
    sbx_jsonw_object_end(w);
}

/* "start" when it runs; at the end what there is to say, and no more. */
static void
feed_tell(struct command *command)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(JSON_MAX);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &out);
    command_write_json(&w, NULL, command);
    if (out.failed) {
        log_warn("process.untold", LOG_STR("process", command->id.text));
    } else if (command_is_over(command)) {
        feed_closing_event(command->feed, "end", out.data, out.len);
    } else {
        feed_event(command->feed, "start", out.data, out.len);
    }
    if (command_is_over(command)) {
        feed_close(command->feed);
    }
}

static void
writers_tell(struct command *command)
{
    struct list *it, *after;

    list_each (it, after, &command->writers) {
        struct command_writer *writer = list_entry(it, struct command_writer, link);

        writer->on_writable(writer->arg);
    }
}

/* The oldest that ended makes room. */
static void
ended_trim(struct session_processes *all)
{
    struct list *it, *after;

    list_each (it, after, &all->all) {
        struct command *command = list_entry(it, struct command, link);

        if (all->n_ended <= COMMAND_MAX_ENDED) {
            return;
        }
        if (command_is_over(command)) {
            list_remove(&command->link);
            command->owner = NULL;
            command->session = NULL; /* whose end nobody tells it any more */
            all->n_ended--;
            command_unref(command);
        }
    }
}

static void
ended_record(const struct command *command, const struct session *session)
{
    struct db_tx *tx;
    int r = db_tx_new(&tx, sessions_db(session->sessions));

    if (r == 0) {
        audit_process_ended(tx, command, session->record.tenant);
        db_tx_submit(tx, NULL, NULL);
    } else {
        log_error("process.unrecorded", LOG_STR("process", command->id.text), LOG_INT("error", -r));
    }
}

/* The one way to its end; `command` may be gone when it returns, unless the caller holds it. */
static void
command_finish(struct command *command, enum command_state state)
{
    struct session_processes *all = command->owner;
    struct session *session = command->session;

    assert(!command_is_over(command) && command->channel == NULL);
    command_ref(command);
    command->state = state;
    command->ended_ms = sbx_now_unix_ms();
    all->n_living--;
    all->n_ended++;
    if (command->accepted) {
        ended_record(command, session);
    }
    feed_tell(command);
    waiter_tell(&command->waiters, COMMAND_WAIT_START, WAITER_OVER);
    waiter_tell(&command->waiters, COMMAND_WAIT_END, WAITER_OVER);
    writers_tell(command);
    ended_trim(all);
    command_unref(command);
}

static void
command_on_note(void *arg, const char *json, size_t len)
{
    struct command *command = arg;

    if (command->state != COMMAND_STARTING || command_reply_started(&command->pid, json, len) != 0) {
        session_nonsense(command->session, "a command's note");
        return;
    }
    command->state = COMMAND_RUNNING;
    command->started_ms = sbx_now_unix_ms();
    feed_tell(command);
    waiter_tell(&command->waiters, COMMAND_WAIT_START, WAITER_OVER);
}

/* The feed keeps the newest: whoever reads slowly loses, and the command does not wait. */
static void
command_on_data(void *arg, unsigned stream, const char *data, size_t len)
{
    struct command *command = arg;

    if (command->state != COMMAND_RUNNING || stream < 1 || stream > 2) {
        session_nonsense(command->session, "a command's output");
        return;
    }
    command->bytes[stream - 1] += len;
    feed_output(command->feed, stream - 1, data, len);
    sbx_channel_consumed(command->channel, len);
}

static void
command_on_writable(void *arg)
{
    writers_tell(arg);
}

static void
command_on_end(void *arg, int rc, const char *json, size_t len)
{
    struct command *command = arg;
    struct session *session = command->session;
    int r;

    command->channel = NULL;
    if (rc != 0) {
        return; /* the session's end follows, and with it the hook */
    }
    r = command_reply_end(&command->end, json, len);
    if (r == 0 && command->end.ok && command->state == COMMAND_STARTING) {
        r = COMMAND_REPLY_E_INVALID; /* ended before it began */
    }
    if (r != 0) {
        command->end =
            (struct command_reply_end){ .error = "failed", .message = "the agent's word makes no sense" };
    }
    command_finish(command, r == 0 && command->end.ok ? COMMAND_EXITED : COMMAND_FAILED);
    if (r > 0) {
        session_nonsense(session, "a command's end");
    }
}

static const struct sbx_channel_events events = {
    .on_note = command_on_note,
    .on_data = command_on_data,
    .on_writable = command_on_writable,
    .on_end = command_on_end,
};

static void
command_fail(struct command *command, const char *message)
{
    command->end = (struct command_reply_end){ .error = "failed" };
    (void)snprintf(command->end.message, sizeof(command->end.message), "%s", message); /* may be cut */
    command_finish(command, COMMAND_FAILED);
}

static void
command_open(struct command *command)
{
    struct sbx_mux *mux = session_mux(command->session);
    int r = mux == NULL ? SBX_MUX_E_LOST
                        : sbx_channel_open(&command->channel, mux, command->open_json,
                                           strlen(command->open_json), &events, command);

    free(command->open_json);
    command->open_json = NULL;
    if (r != 0) {
        command->channel = NULL;
        command_fail(command, mux == NULL ? "the session does not run" : "the session takes no more now");
    }
}

/* What is started is on record before it starts. */
static void
command_on_recorded(void *arg, int rc, const struct db_result *result _unused_)
{
    struct command *command = arg;

    idempotency_object_gone(steal(&command->idempotency));
    if (command->session != NULL && rc == 0) {
        command->accepted = true;
        waiter_accepted(&command->waiters);
        command_open(command);
    } else if (command->session != NULL) {
        command_fail(command, "it could not be recorded, and was not started");
    }
    command_unref(command); /* the transaction's */
}

/* The session has ended: so has everything in it. */
static void
processes_on_session_end(struct session_hook *hook, struct session *session)
{
    struct session_processes *all = list_entry(hook, struct session_processes, hook);

    while (!list_empty(&all->all)) {
        struct command *command = list_entry(all->all.next, struct command, link);

        command_ref(command);
        if (!command_is_over(command)) {
            if (command->channel != NULL) {
                command->channel = sbx_channel_reset(command->channel);
            }
            command_fail(command, "the session ended");
        }
        if (!list_empty(&command->link)) {
            list_remove(&command->link);
            command_unref(command); /* the list's */
        }
        command->session = NULL;
        command->owner = NULL;
        command_unref(command);
    }
    session->processes = NULL;
    free(all);
}

_must_check_ static int
processes_of(struct session_processes **ret, struct session *session)
{
    struct session_processes *all = session->processes;

    if (all == NULL) {
        all = calloc(1, sizeof(*all));
        if (all == NULL) {
            return -ENOMEM;
        }
        all->session = session;
        list_init(&all->all);
        session->processes = all;
        session_hook_add(session, &all->hook, processes_on_session_end);
    }
    *ret = all;
    return 0;
}

static void
write_argv(struct sbx_jsonw *w, const struct command_ask *ask)
{
    if (ask->n_argv == 0) {
        sbx_jsonw_str(w, "shell", ask->shell);
        return;
    }
    sbx_jsonw_array(w, "argv");
    for (unsigned i = 0; i < ask->n_argv; i++) {
        sbx_jsonw_str(w, NULL, ask->argv[i]);
    }
    sbx_jsonw_array_end(w);
}

static const struct runtime_env *
env_find(const struct runtime_env *env, unsigned n, const char *name)
{
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(env[i].name, name) == 0) {
            return &env[i];
        }
    }
    return NULL;
}

/* The session's, and the command's own over it. */
static void
write_env(struct sbx_jsonw *w, const struct session *session, const struct command_ask *ask)
{
    sbx_jsonw_object(w, "env");
    for (unsigned i = 0; i < session->n_env; i++) {
        if (env_find(ask->env, ask->n_env, session->env[i].name) == NULL) {
            sbx_jsonw_str(w, session->env[i].name, session->env[i].value);
        }
    }
    for (unsigned i = 0; i < ask->n_env; i++) {
        sbx_jsonw_str(w, ask->env[i].name, ask->env[i].value);
    }
    sbx_jsonw_object_end(w);
}

static char *
open_make(const struct session *session, const struct command_ask *ask)
{
    struct sbx_buf out = SBX_BUF_INIT(OPEN_MAX);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "op", "exec");
    write_argv(&w, ask);
    sbx_jsonw_str(&w, "cwd", ask->cwd);
    write_env(&w, session, ask);
    sbx_jsonw_bool(&w, "stdin", ask->has_stdin);
    if (ask->has_terminal) {
        sbx_jsonw_object(&w, "pty");
        sbx_jsonw_uint(&w, "rows", ask->size.rows);
        sbx_jsonw_uint(&w, "cols", ask->size.cols);
        sbx_jsonw_object_end(&w);
    }
    sbx_jsonw_uint(&w, "timeout_ms", ask->timeout_ms);
    sbx_jsonw_object_end(&w);
    if (out.failed) {
        sbx_buf_deinit(&out);
    }
    return out.data;
}

static char *
what_make(const struct command_ask *ask)
{
    struct sbx_buf out = SBX_BUF_INIT(OPEN_MAX);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &out);
    sbx_jsonw_object(&w, NULL);
    write_argv(&w, ask);
    sbx_jsonw_str(&w, "cwd", ask->cwd);
    sbx_jsonw_object_end(&w);
    if (out.failed) {
        sbx_buf_deinit(&out);
    }
    return out.data;
}

static void
command_unrefp(struct command **command)
{
    command_unref(*command);
}

_must_check_ static int
command_new(struct command **ret, struct session *session, const struct command_ask *ask)
{
    const struct sessions_spec *spec = sessions_get_spec(session->sessions);
    const struct sbx_context *context = ask->context;
    _cleanup_(command_unrefp) struct command *command = NULL;
    int r;

    command = calloc(1, sizeof(*command));
    if (command == NULL) {
        return -ENOMEM;
    }
    command->refs = 1;
    list_init(&command->link);
    list_init(&command->waiters);
    list_init(&command->writers);
    command->session_id = session->record.id;
    command->has_stdin = ask->has_stdin || ask->has_terminal;
    command->has_terminal = ask->has_terminal;
    command->size = ask->size;
    command->timeout_ms = ask->timeout_ms;
    command->created_ms = sbx_now_unix_ms();
    memcpy(command->subject, context->subject, sizeof(command->subject));
    memcpy(command->app, context->app, sizeof(command->app));
    memcpy(command->agent, context->agent, sizeof(command->agent));
    memcpy(command->request_id, context->request_id, sizeof(command->request_id));
    audit_means_take(&command->means, context);
    command->what_json = what_make(ask);
    command->open_json = open_make(session, ask);
    r = command->what_json == NULL || command->open_json == NULL ? -E2BIG : sbx_id_new(&command->id, "prc");
    if (r) {
        return r;
    }
    r = feed_new(&command->feed, spec->feed_keep);
    if (r) {
        return r;
    }
    feed_join(command->feed, spec->feeds);
    *ret = steal(&command);
    return 0;
}

int
command_create(struct command **ret, struct session *session, const struct command_ask *ask)
{
    struct session_processes *all;
    struct command *command;
    struct db_tx *tx;
    int r = session_mux(session) == NULL ? COMMAND_E_PAUSED : processes_of(&all, session);

    if (r) {
        return r;
    }
    if (all->n_living >= COMMAND_MAX_LIVING) {
        return COMMAND_E_FULL;
    }
    r = command_new(&command, session, ask);
    if (r) {
        return r;
    }
    r = db_tx_new(&tx, sessions_db(session->sessions));
    if (r) {
        command_unref(command);
        return r;
    }
    command->session = session;
    command->owner = all;
    list_append(&all->all, &command->link);
    all->n_living++;
    session_touch(session);
    command->idempotency = ask->idempotency;
    if (command->idempotency != NULL) {
        idempotency_set_object(command->idempotency, &command->id);
    }
    key_store(tx, command->idempotency, &command->id, command->created_ms,
              sessions_get_spec(session->sessions)->key_ttl_ms);
    audit_process_started(tx, command, session->record.tenant);
    db_tx_submit(tx, command_on_recorded, command_ref(command));
    *ret = command_ref(command);
    return 0;
}

struct command *
command_find(const struct session *session, const char *id)
{
    struct list *it, *after;

    if (session->processes == NULL) {
        return NULL;
    }
    list_each (it, after, &session->processes->all) {
        struct command *command = list_entry(it, struct command, link);

        if (strcmp(command->id.text, id) == 0) {
            return command;
        }
    }
    return NULL;
}

void
command_each(const struct session *session, void (*visit)(void *arg, const struct command *command),
             void *arg)
{
    struct list *it, *after;

    if (session->processes == NULL) {
        return;
    }
    list_each (it, after, &session->processes->all) {
        visit(arg, list_entry(it, struct command, link));
    }
}

int
command_wait(struct waiter **ret, struct command *command, unsigned kind, uint64_t ms, waiter_fn done,
             void *arg)
{
    return waiter_new(ret, &command->waiters, sessions_timers(command->session->sessions), ms,
                      &command->accepted, kind, done, arg);
}

bool
command_takes_input(const struct command *command)
{
    return command->channel != NULL && command->state == COMMAND_RUNNING && command->has_stdin &&
           !command->input_ended;
}

size_t
command_write(struct command *command, const void *data, size_t len)
{
    if (!command_takes_input(command)) {
        return len;
    }
    session_touch(command->session);
    return sbx_channel_write(command->channel, 0, data, len);
}

void
command_end_input(struct command *command)
{
    if (command->has_terminal) {
        (void)command_write(command, END_OF_FILE,
                            1); /* with no window left it is one of those that nobody reads */
    } else if (command_takes_input(command)) {
        command->input_ended = true;
        sbx_channel_shut(command->channel);
    }
}

void
command_writer_add(struct command *command, struct command_writer *writer)
{
    list_append(&command->writers, &writer->link);
}

void
command_writer_remove(struct command_writer *writer)
{
    if (writer->link.next != NULL) {
        list_remove(&writer->link);
    }
}

static void
command_note(struct command *command, const char *json)
{
    if (command->channel == NULL) {
        return;
    }
    session_touch(command->session);
    if (sbx_channel_note(command->channel, json, strlen(json)) != 0) {
        session_nonsense(command->session, "the agent takes nothing any more");
    }
}

void
command_signal(struct command *command, const char *name)
{
    char note[NOTE_MAX];

    (void)snprintf(note, sizeof(note), "{\"signal\":\"%s\"}", name); /* one of a closed set */
    command_note(command, note);
}

void
command_resize(struct command *command, struct command_size size)
{
    char note[NOTE_MAX];

    if (command->has_terminal) {
        command->size = size;
        (void)snprintf(note, sizeof(note), "{\"resize\":{\"rows\":%u,\"cols\":%u}}", size.rows,
                       size.cols); /* fits */
        command_note(command, note);
    }
}

void
command_kill(struct command *command)
{
    command_signal(command, "SIGKILL");
}
