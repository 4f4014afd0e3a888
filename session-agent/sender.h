/* Who a message on a socket with SO_PASSCRED is from, in the kernel's words (unix(7)). */
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include "lib/sbx_base.h"

/*
 * What is there of the next message, `size` bytes of it at most; -EAGAIN: nothing yet, or another -errno. `ret` has the pid 0 when
 * the kernel does not say. There is no room for descriptors, so none is taken.
 */
_must_check_ ssize_t sender_receive(int fd, void *bytes, size_t size, struct ucred *ret);
