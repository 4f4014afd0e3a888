/*
 * What gVisor puts into every container and a payload is not to have: devices beyond five, terminals, /sys, and pid 1
 * in /proc, for which gVisor has no hidepid. The agent takes it away, as long as it may mount; then it may not.
 */
#pragma once

#include "lib/sbx_base.h"

/* preload/statx.c, built. */
extern const unsigned char nested_preload[];
extern const size_t nested_preload_len;

/* Opens /dev/pts, which is to become descriptor `fd`: afterwards it has no name any more. */
_must_check_ int nested_terminals_keep(int fd);
/* When the filter is open, and before anything of a caller's is read. 0 or -errno, after which there must be no payload. */
_must_check_ int nested_root_strip(void);
/* The calling thread keeps setuid, setgid, kill and setpcap; also the bounding set has no more. 0 or -errno. */
_must_check_ int nested_rights_drop(void);
