/* The process that makes network namespaces for executor/launcher/network.c, and what the two say to each other. */
#pragma once

#include "executor/launcher/network.h"

/* With it goes the namespace, or there was an error, after which no more is made. */
struct network_made {
    int32_t error;
    char stage[28];
};

/* `fd`: one byte in for each that is wanted. Ends with the launcher, or when that closes its end. */
_Noreturn void network_maker_run(int fd, const struct networks_spec *spec);
/* lo of the caller's network. */
_must_check_ int network_loopback_up(void);
