/*
 * The agent as parent of everything: reaps each child, knows the one that
 * matters, and kills what it left behind. As pid 1 of a sandbox one kill(-1)
 * reaches every process at once; elsewhere the agent is a subreaper and works
 * through its children until it has none.
 */
#pragma once

#include <sys/types.h>
#include <uv.h>

#include "lib/sbx_base.h"

struct init_usage {
    uint64_t cpu_ms;
    uint64_t peak_memory_bytes; /* of the largest single process */
};

/* One child whose end somebody waits for; of its owner, who leaves it alone until the call or init_watch_drop. */
struct init_watch {
    pid_t pid; /* 0: not waited for */
    void (*on_exit)(void *arg, int wait_status, const struct init_usage *usage);
    void *arg;
    struct init_watch *next;
};

struct init {
    uv_signal_t child_signal;
    uv_timer_t retry;
    bool is_pid1;
    pid_t main; /* 0: none */
    struct init_usage usage;
    struct init_watch *watches;
    void (*on_main_exit)(void *arg, int wait_status);
    void (*on_swept)(void *arg, bool clean); /* NULL unless sweeping */
    unsigned turns;
    void *arg;
};

_must_check_ int init_start(struct init *init, uv_loop_t *loop);
/* Expects this child's end; resets the usage. */
void init_watch(struct init *init, pid_t pid, void (*on_main_exit)(void *arg, int wait_status), void *arg);
/* As many more as there are; each is called back at most once, from the loop, and may be added again then. */
void init_watch_add(struct init *init, struct init_watch *watch);
void init_watch_drop(struct init *init, struct init_watch *watch);
/* The children of the main thread of `of`, as far as 4 KiB of their list go; none where the kernel keeps no list. */
void init_each_child(pid_t of, void (*each)(pid_t pid, void *arg), void *arg);
/* SIGKILL to everything that descends from us, now. */
void init_kill_all(const struct init *init);
/*
 * Instead of on_main_exit: the main child has said that it ends. All are killed, now; who is not dead yet is reaped, and if
 * need be killed again, in the loop's time. Nothing else may be started any more.
 */
void init_main_ends(struct init *init);
/* Kills until no child is left, or it is clear that one will not die, then calls back from the loop. After
 * on_main_exit. */
void init_sweep(struct init *init, void (*on_swept)(void *arg, bool clean));
