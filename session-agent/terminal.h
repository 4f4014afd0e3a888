/*
 * Pseudo-terminals. The agent keeps the master; of the slave there is a descriptor and no name that a payload could
 * use, so that it has the one terminal it was given.
 */
#pragma once

#include "lib/sbx_base.h"

#define TERMINAL_MAX 1000u /* rows, columns */

struct terminal {
    int master; /* not blocking */
    int slave;
};
#define TERMINAL_NULL                                                                                        \
    {                                                                                                        \
        -1, -1                                                                                               \
    }

struct terminal_size {
    unsigned rows, cols;
};

/* dir: of a devpts; -1: the host's own, for an agent outside of a sandbox. */
_must_check_ int terminal_open(struct terminal *ret, int dir, struct terminal_size size);
void terminal_deinit(struct terminal *terminal);
/* Tells the foreground. */
_must_check_ int terminal_resize(int master, struct terminal_size size);
