/*
 * One command of a session: its process group, its three streams or its terminal, its deadline and its end. Output is
 * read as fast as whoever listens has room for it, and no faster: the command waits on its pipe. What a command leaves
 * in the background lives on until the session ends, and is not waited for.
 */
#pragma once

#include <uv.h>

#include "session-agent/init.h"
#include "session-agent/payload.h"
#include "session-agent/terminal.h"

struct process;
struct slot;

struct process_end {
    const char *failed_stage; /* NULL: the program was reached, and the rest holds */
    int error;                /* errno of the stage */
    int wait_status;
    bool timed_out;
    uint64_t wall_ms;
    struct init_usage usage;
};

/* None is called from inside a call. */
struct process_events {
    /* At most as much as there was room for. stream: 1 stdout, 2 stderr; a terminal's are 1. */
    void (*on_output)(void *arg, unsigned stream, const char *data, size_t len);
    size_t (*room)(void *arg);
    /* So many bytes of process_input are done with. */
    void (*on_input_taken)(void *arg, size_t len);
    /* Once, the last; process_free is due. */
    void (*on_end)(void *arg, const struct process_end *end);
};

struct process_spec {
    uv_loop_t *loop;
    struct init *init;
    struct slot *slot;           /* dropped; NULL: none */
    struct payload_spec payload; /* but stdio and has_terminal; borrowed until return */
    int terminals;               /* descriptor of a devpts; -1: none of our own */
    bool has_stdin;
    bool has_terminal;
    struct terminal_size size;
    uint64_t timeout_ms; /* 0: none */
    const struct process_events *events;
    void *arg;
};

_must_check_ int process_start(struct process **ret, const struct process_spec *spec);
pid_t process_pid(const struct process *process);
/* Kept until the command takes it; the caller bounds it. False: it reads no more, and nothing is kept. */
bool process_input(struct process *process, const char *data, size_t len);
void process_input_end(struct process *process);
/* There is room again. */
void process_resume(struct process *process);
/* To its group; what a key would send, to the foreground of its terminal. */
void process_signal(struct process *process, int number);
void process_resize(struct process *process, struct terminal_size size);
/* Killed, and its output is nobody's any more; the end is told. */
void process_abandon(struct process *process);
/* After on_end. Accepts NULL, returns NULL. */
struct process *process_free(struct process *process);
