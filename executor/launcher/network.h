/*
 * Network namespaces with lo up, made ahead and used again. The kernel makes and removes one in a millisecond of
 * processor time each; most programs never open an IP socket. One is used again only if it is provably as new: no
 * socket of any family is left in it and no counter of its protocols has moved since it was made.
 *
 * Who makes them is a process of its own, without any right on the host: it has a user namespace, which owns them.
 * No sandbox is in that one, so none has a right over the network that it is in.
 */
#pragma once

#include "executor/launcher/settings.h"

struct network {
    int ns;
};

#define NETWORK_NULL                                                                                         \
    {                                                                                                        \
        .ns = -1                                                                                             \
    }

struct networks_spec {
    int epoll_fd;
    int proc_fd; /* borrows it until networks_stop() */
    int launcher_pidfd;
    unsigned spare; /* that are kept ready; 0: none are, and sandboxes make their own */
    int owner_ns;   /* the user namespace that they belong to; -1: one of the maker's own */
    uid_t uid;      /* of the maker */
};

/* The maker is a copy of the caller, its filter and descriptors included. Errors leave sandboxes to make their own. */
void networks_start(const struct networks_spec *spec);
/* From the loop: one has been made, or the maker is gone. */
void networks_on_made(void);
void networks_stop(void);

/* False: none is ready. */
_must_check_ bool network_take(struct network *ret);
/* Whoever was in it is gone. Kept when it is as new; closed in any case. */
void network_give(struct network *network);
/* The caller's children are born in it, until network_leave(). */
_must_check_ int network_enter(const struct network *network);
_must_check_ int network_leave(void);
