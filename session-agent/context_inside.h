/* What context.c (interpreters by name) and context_step.c (what one runs) share. */
#pragma once

#include "session-agent/context.h"
#include "session-agent/driver.h"

struct context_step;

struct context {
    struct context *next;
    struct contexts *all;
    char name[65];
    struct runtime_entry runtime;
    json_t *env;           /* NULL: none of its own */
    struct driver *driver; /* NULL: it has ended, or was never started */
    bool is_ready;
    bool is_leaving;  /* when its interpreter is dead it is no more */
    uv_timer_t timer; /* of the start, the step or the grace: one at a time */
    struct sbx_channel *starting, *ending;
    struct context_step *step;
};

struct contexts {
    struct hub *hub;
    struct context *list;
    unsigned n;
};

/* NULL: there is none of that name. */
struct context *context_find(const struct contexts *contexts, const char *name);
/* 0, or a negative errno. on_ready or on_dead of the context follow. */
_must_check_ int context_start_driver(struct context *context);
void context_set_timer(struct context *context, uv_timer_cb fn, uint64_t ms);

/* context_step.c; each does nothing when no step is there. */
/* Whatever the step waited for: it goes on, or ends. */
void context_step_advance(struct context *context);
void context_step_on_outcome(struct context *context, const struct driver_outcome *outcome);
void context_step_on_dead(struct context *context, const struct driver_death *death);
size_t context_step_room(const struct context *context);
void context_step_on_output(struct context *context, unsigned stream, const char *data, size_t len);
bool context_step_on_display(struct context *context, const struct driver_display *display);
void context_step_free(struct context *context);
