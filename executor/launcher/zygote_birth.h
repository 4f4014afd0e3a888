/* The first process of a zygote: everything it does to itself until it is the interpreter. */
#pragma once

#include "executor/launcher/overlay.h"
#include "executor/launcher/seccomp.h"

struct zygote_spec {
    const struct settings_template *template;
    const char *language;
    struct overlay overlay;
    int agent_fd;
    int launcher_pidfd;
    int parent_fd; /* the launcher's end, closed */
    int socket_fd; /* one byte in means go; what fails goes out as a text */
    int filter_fd; /* the payload's program, for slots */
    int cgroup_fd; /* v2: born in this group; else -1 */
    const struct filter *filter;
    uid_t uid;
#ifdef SANDBOX_MUTANT
    const char *walls_off;
#endif
};

/* On success pid and pidfd are the caller's to reap and close. */
_must_check_ int zygote_spawn(pid_t *ret_pid, int *ret_pidfd, const struct zygote_spec *spec);
