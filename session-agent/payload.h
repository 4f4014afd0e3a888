/*
 * From fork to execve of tenant code: one list of privilege drops, each of which
 * must succeed. The child calls only async-signal-safe functions; what failed
 * travels as {stage, errno} over a descriptor that execve closes.
 */
#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include "session-agent/workspace.h"

struct payload_spec {
    char *const *argv;     /* argv[0] is an absolute path, unless there are programs */
    char *const *programs; /* NULL, or paths: the first that is there is run */
    char *const *env;
    const char *cwd;
    int stdio[3];
    bool has_control; /* `control` becomes descriptor 3 */
    int control;
    bool has_more; /* `more` become 5 and 6 */
    int more[2];
    bool has_terminal; /* stdio[0] is one, and becomes its session's */
    struct identity identity;
    const struct sock_fprog *filter; /* NULL: none (standalone) */
    unsigned processes;              /* RLIMIT_NPROC; 0: no limit */
    bool is_slot;                    /* the limits of its work come with the work: confine_slot */
};

struct payload {
    pid_t pid;
    int status_fd;
    int word_fd; /* the owner's to close: where its last word comes (last_word.h); -1: it will say none */
};

_must_check_ int payload_spawn(struct payload *ret, const struct payload_spec *spec);
/* After the child's death: whether it never reached the program; closes status_fd. */
bool payload_failed(struct payload *payload, const char **ret_stage, int *ret_error);
