/* What handlers of commands keep between callbacks; let go of when the call ends. */
#pragma once

#include "executor/core/command.h"
#include "executor/store/db.h"
#include "lib/sbx_buf.h"
#include "lib/sbx_crypto.h"

struct call;

/* What was sent to a command's input: one request's, or one connection's. Zeroed: nothing. */
struct process_input {
    uint64_t bytes;
    struct sbx_sha256 *sha256; /* NULL: nothing yet, or no memory */
    bool ended;                /* it was told that no more comes */
};

struct process_call {
    struct call *call;
    struct command *command; /* held */
    struct waiter *waiter;
    int status;  /* of the answer that is waited for */
    bool starts; /* which is that it runs */
    /* stdin: what had no room yet; the body waits for it. */
    struct command_writer writer;
    struct sbx_buf rest;
    struct process_input input;
};

/* Of the running session's command that the path names; NULL: the call was or will be answered. */
struct process_call *process_call_of(struct call *call, bool must_run);
/* The same of a command that was just made, whose reference is taken. */
struct process_call *process_call_new(struct call *call, struct command *command);
struct process_call *process_call_free(struct process_call *process); /* accepts NULL, returns NULL */

/* process_audit.c */
void process_input_add(struct process_input *input, const char *data, size_t len);
void process_input_deinit(struct process_input *input);
/* process.stdin, unless there was none; empties it. Nobody waits for the events. */
void process_audit_input(struct db *db, const struct sbx_context *context, const struct command *command,
                         struct process_input *input);
void process_audit_signal(struct db *db, const struct sbx_context *context, const struct command *command,
                          const char *signal);
