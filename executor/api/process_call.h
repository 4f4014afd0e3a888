/* What handlers of commands keep between callbacks; let go of when the call ends. */
#pragma once

#include "executor/core/command.h"
#include "lib/sbx_buf.h"

struct call;

struct process_call {
    struct call *call;
    struct command *command; /* held */
    struct waiter *waiter;
    int status;  /* of the answer that is waited for */
    bool starts; /* which is that it runs */
    /* stdin: what had no room yet; the body waits for it. */
    struct command_writer writer;
    struct sbx_buf rest;
};

/* Of the running session's command that the path names; NULL: the call was or will be answered. */
struct process_call *process_call_of(struct call *call, bool must_run);
/* The same of a command that was just made, whose reference is taken. */
struct process_call *process_call_new(struct call *call, struct command *command);
struct process_call *process_call_free(struct process_call *process); /* accepts NULL, returns NULL */
