/*
 * What a sandbox is to the executor: one vtable per isolation tier. All calls from the loop's thread; callbacks
 * exactly once, never from inside the call that started them, never after the
 * sandbox was freed by destroy's callback.
 *
 *   create -> WARM -> adopt -> run -> (fetch)* -> destroy
 *                           -> attach -> (stat | pause)* -> destroy
 * destroy is legal in every state and cancels what is under way (its callback is not made).
 * An int returned by a starting call is 0, or < 0 and then there is no callback; a
 * runtime that is away says so in the callback.
 */
#pragma once

#include "lib/sbx_buf.h"
#include "lib/sbx_isolation.h"
#include "lib/sbx_limits.h"
#include "lib/sbx_wall.h"

struct runtime;
struct sandbox;

enum {
    RUNTIME_E_UNAVAILABLE = 1, /* no launcher now, or it has no slot: try again later */
    RUNTIME_E_AGENT,           /* the agent broke off, was late or answered nonsense */
    RUNTIME_E_ENDED,           /* the sandbox died first: see the report */
    RUNTIME_E_REFUSED,         /* the agent refused the step (its message in the outcome) */
    RUNTIME_E_UNSUPPORTED,     /* the launcher cannot make a sandbox of this tier: waiting does not help */
};

#define RUNTIME_MAX_LANGUAGE 32 /* bytes of a language's name */

struct runtime_file {
    const char *path;
    const void *data;
    size_t len;
};

struct runtime_env {
    const char *name, *value;
};

/* Everything a run needs; borrows until on_done. */
struct runtime_run {
    const char *id;       /* the job's */
    const char *language; /* canonical name in the registry */
    const char *code;
    size_t code_len;
    const char *const *args;
    unsigned n_args;
    const struct runtime_env *env;
    unsigned n_env;
    const struct runtime_file *files;
    unsigned n_files;
    const void *stdin_data;
    size_t stdin_len;
    const char *event_json; /* NULL: none */
    size_t event_len;
    const char *const *artifacts; /* globs */
    unsigned n_artifacts;
    unsigned max_artifacts;
    uint64_t max_artifact_bytes;
    struct sbx_limits limits;
};

/* The kernel's word, from the launcher. */
struct runtime_report {
    uint64_t cpu_ms, wall_ms, peak_memory_bytes, disk_bytes;
    uint64_t cpu_throttled_ms; /* it had work and was held back by its cpu rate */
    bool host_oom;             /* something in it was killed because the host had no memory left */
    bool has_verdict;
    enum sbx_limit verdict; /* SBX_LIMIT_CPU MEMORY DISK PROCESSES TIME */
    uint64_t verdict_limit, verdict_observed;
    bool verdict_files; /* of the disk: limit and observed are files, not bytes */
};

struct runtime_artifact {
    char *path; /* relative to the workspace, UTF-8, validated */
    uint64_t size;
};

/* What the agent said (bounded, validated, not believed beyond its own job) and what the kernel said. */
struct runtime_outcome {
    bool exited; /* exit_code is set; else signal */
    int exit_code;
    char signal[16]; /* "SIGKILL" or "" */
    bool
        crowded; /* there were more processes than allowed: of the tier whose kernel counts no refused fork */
    char *result_json; /* NULL when none; one valid JSON value */
    size_t result_len;
    char result_error[128]; /* "" when fine */
    struct runtime_artifact *artifacts;
    unsigned n_artifacts;
    char *skipped_json; /* JSON array of {path, reason}; NULL when none */
    char message[128];  /* of RUNTIME_E_REFUSED */
    struct runtime_report report;
};

struct runtime_events {
    /* stdout (1) or stderr (2) as it comes. False: nothing more is read or delivered, and on_done follows
       with RUNTIME_E_ENDED and the kernel's numbers so far, unless the caller destroys at once. */
    bool (*on_output)(void *arg, int fd, const char *data, size_t len);
    /* rc 0 or RUNTIME_E_*; all output was delivered before. outcome borrows until destroy; report is filled
     * as far as known. */
    void (*on_done)(void *arg, int rc, const struct runtime_outcome *outcome);
};

/* What holds on the host where sandboxes are made; sets of walls. */
struct runtime_walls {
    bool known;       /* a launcher answered since the start */
    bool refused;     /* and is not used for what is missing */
    uint64_t missing; /* required ones, accepted or not */
};

struct sbx_mux;

typedef void (*runtime_stat_fn)(void *arg, int rc, const struct runtime_report *report);
typedef void (*runtime_attached_fn)(void *arg, int rc, struct sbx_mux *mux);
typedef void (*runtime_created_fn)(void *arg, int rc, struct sandbox *sandbox);
typedef void (*runtime_done_fn)(void *arg, int rc);

/* Which interpreters may wait in a new sandbox. */
enum runtime_prepare {
    RUNTIME_PREPARE_ANY, /* one that is started takes as long as when it is needed, and more processors: for nobody yet */
    RUNTIME_PREPARE_FORKED, /* no other than one that is there at once: for who waits */
};

struct runtime_ops {
    const char *name; /* of the tier: "process", "gvisor" */
    /*
     * Becomes ready or fails; deadline inside. With a language (canonical; NULL: none) done comes when an interpreter of
     * it waits in there too, or when it is clear that none will: sandbox->is_prepared. What runs later may be any language.
     */
    int (*create)(struct runtime *runtime, const char *template_name, const char *language,
                  enum runtime_prepare prepare, runtime_created_fn done, void *arg);
    /* Somebody waits by now for what create was given `arg` for, PREPARE_ANY, and whose done has not come. */
    void (*hasten)(struct runtime *runtime, const void *arg);
    /* Binds limits and starts the clocks. Sandboxes of the same non-zero share divide one's weight on the processors. */
    int (*adopt)(struct sandbox *sandbox, const struct sbx_limits *limits, uint64_t share,
                 runtime_done_fn done, void *arg);
    int (*run)(struct sandbox *sandbox, const struct runtime_run *run, const struct runtime_events *events,
               void *arg);
    /* Streams one declared artifact of an ended run. on_data with len 0 never happens. */
    int (*fetch)(struct sandbox *sandbox, const char *path, uint64_t max_bytes,
                 void (*on_data)(void *arg, const char *data, size_t len), runtime_done_fn done, void *arg);
    /*
     * Instead of a run, in an adopted sandbox: lib/sbx_mux.h with its agent. done: 0 and the opener's end, which goes
     * with the sandbox, or RUNTIME_E_* and NULL. Then on_lost, once: the sandbox died or its agent is lost; all
     * channels have ended. ENDED: the report says of what, AGENT: of nothing that it could tell, UNAVAILABLE: NULL.
     */
    int (*attach)(struct sandbox *sandbox, runtime_stat_fn on_lost, runtime_attached_fn done, void *arg);
    /* Of an attached sandbox: the kernel's numbers now. One at a time (-EBUSY). 0, or RUNTIME_E_* and NULL. */
    int (*stat)(struct sandbox *sandbox, runtime_stat_fn done, void *arg);
    /* Of an attached sandbox: all of its processes stop where they are, or go on; its clocks do. In turn with stat
     * (-EBUSY), answered as stat is, or with UNSUPPORTED where the host cannot: then nothing has changed. */
    int (*pause)(struct sandbox *sandbox, bool is_paused, runtime_stat_fn done, void *arg);
    /* Kills the whole tree and removes everything; done (may be NULL) when nothing is left. Takes the
     * sandbox. */
    void (*destroy)(struct sandbox *sandbox, runtime_done_fn done, void *arg);
    /* Called once: the sandbox died while WARM (pool must forget it; then it must be destroyed). dead NULL
     * unhooks. */
    void (*on_dead)(struct sandbox *sandbox, void (*dead)(void *arg), void *arg);
    bool (*available)(const struct runtime *runtime);
    /* Creations and destructions under way still get their callback; sandboxes that callers hold are dead and
       must be destroyed. The memory goes when the last is and the loop has turned. */
    struct runtime *(*free)(struct runtime *runtime);
    void (*walls)(const struct runtime *runtime, struct runtime_walls *ret);
};

/* First member of every runtime and sandbox, so that callers need only this header. */
struct runtime {
    const struct runtime_ops *ops;
};

struct sandbox {
    const struct runtime_ops *ops;
    bool is_prepared; /* for the language that create was asked for */
    bool is_forked;   /* and that took no start: the next may be had as soon */
};

struct process_spec {
    void *loop;                /* uv_loop_t */
    const char *launch_socket; /* path of sandbox-launch's socket */
    uint64_t create_timeout_ms;
    uint64_t agent_timeout_ms; /* for messages that run nothing */
    /* Optional: judges the required walls that a launcher lacks, each time one is connected. False: that
       launcher is not used. `first` is true when this was the first try to connect. */
    bool (*judge)(void *arg, uint64_t missing, bool first);
    /* Optional: the first try to connect is over, one way or the other. */
    void (*tried)(void *arg);
    void *judge_arg; /* of both */
    /* Optional: what an operator should know. Constant event name, printable detail. */
    void (*log)(void *arg, const char *event, const char *detail);
    void *log_arg;
};

/* Each has a connection to the launcher of its own. */
_must_check_ int runtime_process_new(struct runtime **ret, const struct process_spec *spec);
_must_check_ int runtime_gvisor_new(struct runtime **ret, const struct process_spec *spec);
