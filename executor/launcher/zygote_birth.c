#include "executor/launcher/zygote_birth.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executor/launcher/creds.h"
#include "executor/launcher/mounts.h"
#include "executor/launcher/ns.h"
#include "lib/sbx_wall.h"
#include "lib/sbx_zygote.h"

/* Nothing is left but the streams, which lead nowhere, the socket and the program. */
_must_check_ static int
fds_arrange(const struct zygote_spec *spec)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = 0; fd < 3; fd++) {
        if (null < 0 || dup2(null, fd) < 0) {
            return -errno;
        }
    }
    if (dup2(spec->socket_fd, SBX_ZYGOTE_FD) < 0 || dup2(spec->filter_fd, SBX_ZYGOTE_FD_FILTER) < 0) {
        return -errno;
    }
    return close_range(SBX_ZYGOTE_FD_FILTER + 1, ~0u, CLOSE_RANGE_CLOEXEC) < 0 ? -errno : 0;
}

/*
 * Its pid namespace stays the launcher's: into one beneath that it can fork, into no other. What a slot does not join
 * is the zygote's.
 */
static int
apart(void)
{
    return (sbx_wall_is_off(SBX_WALL_NETWORK_NAMESPACE) ? 0 : CLONE_NEWNET) |
           (sbx_wall_is_off(SBX_WALL_IPC_NAMESPACE) ? 0 : CLONE_NEWIPC) |
           (sbx_wall_is_off(SBX_WALL_UTS_NAMESPACE) ? 0 : CLONE_NEWUTS);
}

_must_check_ static int
child_isolate(const struct zygote_spec *spec, const char **stage)
{
    int r;

    *stage = "unshare";
    if (setsid() < 0 || unshare(apart()) < 0) {
        return -errno;
    }
    *stage = "mount root";
    r = mounts_apply_zygote(&spec->overlay, spec->uid);
    if (r == 0) {
        *stage = "descriptors";
        r = fds_arrange(spec);
    }
    if (r == 0) {
        *stage = "resource limits";
        r = ns_limits_set();
    }
    if (r == 0) {
        *stage = "signals";
        r = ns_signals_unblock();
    }
    return r;
}

_must_check_ static int
child_confine(const struct zygote_spec *spec, const char **stage)
{
    int r;

    *stage = "capabilities";
    r = creds_confine_zygote(spec->uid);
    if (r == 0) {
        *stage = "parent death signal";
        r = creds_die_with(spec->launcher_pidfd);
    }
    if (r == 0) {
        *stage = "seccomp";
        r = sbx_wall_is_off(SBX_WALL_SECCOMP) ? 0 : filter_install(spec->filter);
    }
    return r;
}

/* Returns only when it failed. */
static int
child_exec(const struct zygote_spec *spec)
{
    char language[LAUNCH_PREPARE_LEN], modules[SETTINGS_MODULES_LEN];
    char *argv[] = {
        (char[]){ "session-agent" }, (char[]){ "--zygote" }, language, modules, NULL, NULL, NULL
    };
    char *const none[] = { NULL };
#ifdef SANDBOX_MUTANT
    char walls_off[sizeof(((struct settings *)NULL)->walls_off)];

    memcpy(walls_off, spec->walls_off, sizeof(walls_off));
    argv[4] = (char[]){ "--walls-off" };
    argv[5] = walls_off;
#endif
    (void)snprintf(language, sizeof(language), "%s", spec->language);       /* of this size */
    (void)snprintf(modules, sizeof(modules), "%s", spec->template->zygote); /* likewise */
    execveat(spec->agent_fd, "", argv, none, AT_EMPTY_PATH);
    return -errno;
}

/* Only async-signal-safe calls from here to exec; the launcher's heap and log are not this process's. */
_Noreturn static void
child_run(const struct zygote_spec *spec)
{
    const char *stage = "start";
    char go, text[SBX_ZYGOTE_TEXT_MAX];
    int r, fd = spec->socket_fd;

    umask(022);
    close(spec->parent_fd);
    /* End of file: the launcher died or gave up. */
    if (recv(fd, &go, 1, 0) != 1) {
        _exit(125);
    }
    r = child_isolate(spec, &stage);
    fd = r == 0 ? SBX_ZYGOTE_FD : fd;
    if (r == 0) {
        r = child_confine(spec, &stage);
    }
    if (r == 0) {
        stage = "exec";
        r = child_exec(spec);
    }
    r = snprintf(text, sizeof(text), "%s: error %d", stage, -r);
    (void)!send(fd, text, (size_t)r, MSG_DONTWAIT | MSG_NOSIGNAL); /* exit without a word tells enough */
    _exit(125);
}

_must_check_ int
zygote_spawn(pid_t *ret_pid, int *ret_pidfd, const struct zygote_spec *spec)
{
    int pidfd = -1;
    struct clone_args args = {
        .flags = CLONE_NEWNS | CLONE_PIDFD | (spec->cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = spec->cgroup_fd >= 0 ? (unsigned)spec->cgroup_fd : 0u,
    };
    long pid = syscall(SYS_clone3, &args, sizeof(args));

    if (pid < 0) {
        return -errno;
    }
    if (pid == 0) {
        child_run(spec);
    }
    *ret_pid = (pid_t)pid;
    *ret_pidfd = pidfd;
    return 0;
}
