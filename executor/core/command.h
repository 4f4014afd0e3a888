/*
 * A command in the background of a session: started once its audit event is durable, told of by a feed, and gone with
 * the session. The session keeps those that live and the newest of those that ended.
 *
 *   starting --> running --> exited
 *       \            \
 *        +------------+----> failed     the agent could not start it, or the session ended
 */
#pragma once

#include "executor/core/audit_means.h"
#include "executor/core/feed.h"
#include "executor/core/session.h"
#include "executor/core/waiter.h"
#include "executor/runtime/command_reply.h"
#include "lib/sbx_jsonw.h"

#define COMMAND_MAX_LIVING 32u
#define COMMAND_MAX_ENDED 64u
#define COMMAND_MAX_TEXT (64u << 10) /* of one argument, and of a shell's text */
#define COMMAND_MAX_ARGS 256u

enum command_state { COMMAND_STARTING, COMMAND_RUNNING, COMMAND_EXITED, COMMAND_FAILED };
enum { COMMAND_WAIT_START, COMMAND_WAIT_END };

struct command_size {
    unsigned rows, cols;
};

/* What is asked for. Strings borrow until command_create returns. */
struct command_ask {
    const char *const *argv; /* n_argv of them; none: shell */
    unsigned n_argv;
    const char *shell;
    const char *cwd; /* "": the workspace */
    const struct runtime_env *env;
    unsigned n_env;
    bool has_stdin, has_terminal;
    struct command_size size;
    uint64_t timeout_ms;
    const struct sbx_context *context;
    struct idempotency_entry *idempotency; /* NULL: no key */
};

/* Who wants to write its input, or hears of the session's end. Embedded; zeroed is not linked. */
struct command_writer {
    struct list link;
    void (*on_writable)(void *arg); /* from the loop; also when it takes no more */
    void *arg;
};

struct command {
    struct list link; /* in the session's */
    unsigned refs;
    struct session *session; /* NULL once that has ended */
    struct session_processes *owner;
    struct sbx_id id;
    struct sbx_id session_id;
    char subject[SBX_SUBJECT_MAX + 1], app[SBX_NAME_MAX + 1], agent[SBX_NAME_MAX + 1],
        request_id[SBX_NAME_MAX + 1];
    struct audit_means means;
    enum command_state state;
    char *what_json; /* {"argv","shell","cwd"} as members, without braces */
    char *open_json; /* the OPEN; NULL once sent */
    bool has_stdin, has_terminal;
    struct command_size size;
    uint64_t timeout_ms;
    struct sbx_channel *channel; /* NULL: not open */
    struct feed *feed;
    struct list waiters, writers;
    struct idempotency_entry *idempotency; /* until the audit event is durable */
    bool accepted;                         /* it is */
    bool input_ended;
    unsigned pid;
    uint64_t created_ms, started_ms, ended_ms; /* Unix; 0: not yet */
    uint64_t bytes[2];
    struct command_reply_end end;
};

enum {
    COMMAND_E_FULL = 1, /* as many live as may */
    COMMAND_E_PAUSED,
};

/* It is in the session's list; command_wait tells when it runs. One reference is the caller's. */
_must_check_ int command_create(struct command **ret, struct session *session, const struct command_ask *ask);
/* By id; borrowed. NULL: none. */
struct command *command_find(const struct session *session, const char *id);
struct command *command_ref(struct command *command);
struct command *command_unref(struct command *command); /* accepts NULL, returns NULL */
void command_each(const struct session *session, void (*visit)(void *arg, const struct command *command),
                  void *arg);
/* WAIT_START: it runs or has ended. The session's end is the end of both. */
_must_check_ int command_wait(struct waiter **ret, struct command *command, unsigned kind, uint64_t ms,
                              waiter_fn done, void *arg);
bool command_is_over(const struct command *command);
/* Bytes that were taken; fewer when it is to be tried again after on_writable. All of them when nobody reads any more. */
size_t command_write(struct command *command, const void *data, size_t len);
void command_end_input(struct command *command);
/* Whether it reads input now. */
bool command_takes_input(const struct command *command);
void command_writer_add(struct command *command, struct command_writer *writer);
void command_writer_remove(struct command_writer *writer);
/* `name` is one of sbx_signal_parse's. */
void command_signal(struct command *command, const char *name);
void command_resize(struct command *command, struct command_size size);
/* SIGKILL to all of its group. It ends once the agent says so. */
void command_kill(struct command *command);
/* One object; the form of every answer and of the feed's last event. */
void command_write_json(struct sbx_jsonw *w, const char *key, const struct command *command);
const char *command_state_name(enum command_state state);
