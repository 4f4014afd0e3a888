/* Messages with descriptors, between the launcher and its clients, and the processes that it has beside it. */
#pragma once

#include <stddef.h>

#include "lib/sbx_base.h"

#define PASSING_MAX_FDS 16

/* The whole message, or an error; never waits. */
_must_check_ int passing_send(int socket, const void *data, size_t len, const int *fds, unsigned n_fds);
/*
 * Takes exactly one message of `len` bytes with at most `max_fds` descriptors, close-on-exec. -EAGAIN: there is none (yet, or within
 * the socket's time); -EPIPE: the other end is gone; -EBADMSG: it was none of these. After an error nothing is open.
 */
_must_check_ int passing_receive(int socket, void *data, size_t len, int *fds, unsigned max_fds,
                                 unsigned *ret_n, int flags);
