/*
 * The slot: one interpreter of a sandbox that is complete but for its work (docs/agent.md, "Slots"). It was started here,
 * or a zygote outside forked it; either says `R` on its socket and waits there.
 *
 *   NONE --slot_prepare--> WAITING --R--> READY --slot_start--> NONE: it is the payload now
 *            any --its death, nonsense, too late, other work--> NONE
 *
 * Nothing of a tenant runs beside it: whatever else is started, the slot is killed first.
 */
#pragma once

#include <uv.h>

#include "session-agent/init.h"
#include "session-agent/payload.h"
#include "session-agent/runtimes.h"

struct slot;

struct slot_spec {
    uv_loop_t *loop;
    struct init *init;
    struct identity identity;
    const struct sock_fprog *filter; /* NULL: none (standalone) */
    const char *opt_dir;
    const char *cwd; /* where it waits */
    int stdio[3];    /* of a step; what is not piped is the same for all */
    bool is_piped[3];
    int forked; /* taken; the socket of one that was forked outside; -1: none */
};

enum {
    SLOT_E_NONE = 1, /* the runtime has none */
    SLOT_E_BUSY,     /* there is one already */
    SLOT_E_UNFORKED, /* none was forked outside */
};

/* ret_origin of a slot that is ready: "forked" or "started"; NULL: there will be none. */
typedef void (*slot_ready_fn)(void *arg, const char *origin);

struct slot_wish {
    const struct runtime_entry *runtime; /* borrowed until return */
    bool is_only_forked;                 /* none but one that was forked outside */
    slot_ready_fn ready;
    void *arg;
};

_must_check_ int slot_new(struct slot **ret, const struct slot_spec *spec);
/* 0: `ready` comes once, from the loop. */
_must_check_ int slot_prepare(struct slot *slot, const struct slot_wish *wish);
enum slot_pipe { SLOT_STEP_IN, SLOT_STEP_OUT, SLOT_STEP_ERR, SLOT_TALK, SLOT_OUT, SLOT_ERR, SLOT_N_PIPES };

/*
 * A pair for a payload of this runtime that is started next, as pipe2 makes it: fds[0] is read from. SLOT_TALK is a
 * socket pair, fds[0] ours. A slot that was started with its descriptors gives those. -errno.
 */
_must_check_ int slot_pipe(struct slot *slot, const char *runtime, enum slot_pipe which, int fds[2]);
/*
 * The slot as a payload of this runtime (NULL: what no slot can be), or when that cannot be a child of its own, as
 * payload_spawn. A slot is gone afterwards; of one that got a step's work the socket is the payload's word_fd.
 */
_must_check_ int slot_start(struct slot *slot, const char *runtime, const struct payload_spec *work,
                            struct payload *ret);
/* Kills it. Who waits for it to be ready is told. */
void slot_drop(struct slot *slot);
/* Accepts NULL, returns NULL. */
struct slot *slot_free(struct slot *slot);
