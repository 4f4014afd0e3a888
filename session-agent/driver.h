/*
 * One interpreter that keeps its state, behind its driver (docs/agent.md, "Drivers"): the process, its output pipes and
 * the descriptor the driver speaks on.
 *
 *   STARTING --ready--> IDLE <--step/outcome--> RUNNING        any --its end, or nonsense--> DEAD
 *
 * Output is read while a step runs, and no faster than its reader has room: the code waits on its pipe. What is written
 * between steps waits there for the next one. Before an outcome is told, everything is read that was written before it.
 */
#pragma once

#include <uv.h>

#include "session-agent/driver_frame.h"
#include "session-agent/init.h"
#include "session-agent/payload.h"

struct driver;
struct slot;

struct driver_death {
    const char *failed_stage; /* NULL: the interpreter was reached, and the rest holds */
    int error;                /* errno of the stage */
    int wait_status;
    struct init_usage usage;
    const char *nonsense; /* NULL, or why we ended it: constant text */
};

/* None is called from inside a call. Any may call driver_free. */
struct driver_events {
    void (*on_ready)(void *arg);
    /* Bytes that on_output and on_bytes may bring now, of the step that runs. */
    size_t (*room)(void *arg);
    void (*on_output)(void *arg, unsigned stream, const char *data, size_t len);
    /* False: its bytes are not wanted. */
    bool (*on_display)(void *arg, const struct driver_display *display);
    void (*on_bytes)(void *arg, const char *data, size_t len);
    /* Of the step. */
    void (*on_outcome)(void *arg, const struct driver_outcome *outcome);
    /* Once, the last; driver_free is due. No outcome comes of a step that runs. */
    void (*on_dead)(void *arg, const struct driver_death *death);
};

struct driver_spec {
    uv_loop_t *loop;
    struct init *init;
    struct slot *slot;           /* NULL: none */
    const char *runtime;         /* its name, borrowed until return */
    struct payload_spec payload; /* but stdio and control; borrowed until return */
    const struct driver_events *events;
    void *arg;
};

_must_check_ int driver_start(struct driver **ret, const struct driver_spec *spec);
/* False also of one that has ended, though on_dead is still to come. */
bool driver_is_idle(const struct driver *driver);
/* `head` is a JSON object in one line. Of an idle one only. -ENOMEM. */
_must_check_ int driver_step(struct driver *driver, const char *head, size_t head_len, const char *code,
                             size_t code_len);
/* There is room again. */
void driver_resume(struct driver *driver);
/* A step runs whose outcome has not been read; what it wrote may come after that. */
bool driver_runs_code(const struct driver *driver);
/* SIGINT to its process group, while it runs code. */
void driver_interrupt(struct driver *driver);
/* Of the step that ran last: it may have had its end already, and the next must know whose signal it is. */
bool driver_was_interrupted(const struct driver *driver);
/* SIGINT again, to those below it that are in its group, not to itself: one that had not yet executed its program when the
 * first came has caught it in a shell's stead and forgotten it (bash that has a trap). */
void driver_interrupt_children(const struct driver *driver);
/* SIGURG to the interpreter alone, which does nothing unless it has a trap for it: that its step is still to end. */
void driver_poke(const struct driver *driver);
/* SIGKILL to its process group; on_dead follows. */
void driver_kill(struct driver *driver);
/* Processor time of the interpreter itself so far, in nanoseconds; 0 when that cannot be told. */
uint64_t driver_cpu_ns(const struct driver *driver);
/* Kills what is left; no callback any more. Accepts NULL, returns NULL. */
struct driver *driver_free(struct driver *driver);
