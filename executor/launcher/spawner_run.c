#include "executor/launcher/spawner_run.h"

#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executor/launcher/creds.h"
#include "executor/launcher/mounts.h"
#include "executor/launcher/ns.h"
#include "executor/launcher/passing.h"
#include "lib/sbx_wall.h"

#define PROCESSES_A_SANDBOX 64
/* In the order of descriptors_keep(). */
#define SOCKET_FD NS_FD_RESERVED
#define AGENT_FD (NS_FD_RESERVED + 1)
#define LAUNCHER_FD (NS_FD_RESERVED + 2)
#define PROC_FD (NS_FD_RESERVED + 3)

static int socket_fd;
static int home_ns = -1; /* a network that is nobody's; -1: without that wall all are in the launcher's */

/* Low ones stay taken, as in the launcher; of the others only what children need is left. */
_must_check_ static int
descriptors_keep(const struct sandbox_host *host, int fd)
{
    int wanted[] = { fd, host->agent_fd, host->launcher_pidfd, host->proc_fd };
    const int n = (int)SBX_COUNT(wanted);

    for (int i = 0; i < n; i++) {
        wanted[i] = fcntl(wanted[i], F_DUPFD_CLOEXEC, NS_FD_RESERVED + n);
        if (wanted[i] < 0) {
            return -errno;
        }
    }
    for (int i = 0; i < n; i++) {
        if (dup3(wanted[i], NS_FD_RESERVED + i, O_CLOEXEC) < 0) {
            return -errno;
        }
    }
    socket_fd = SOCKET_FD;
    return close_range(NS_FD_RESERVED + (unsigned)n, ~0u, 0) < 0 ? -errno : 0;
}

/*
 * Its user namespace is the zygotes' user's. What it writes belongs to root, which only its id for files has to be: the
 * files by which a child is given its ids, and on version 2 the group that a child is born in.
 */
_must_check_ static int
user_namespace_make(const struct sandbox_host *host)
{
    struct rlimit processes;
    uid_t own = settings_helper_uid(&host->settings), owner = settings_zygote_uid(&host->settings);
    int r = creds_keep_over_ids();

    if (r < 0) {
        return r;
    }
    /* What sandboxes have is counted together for the namespace above theirs; each has limits of its own. */
    if (getrlimit(RLIMIT_NPROC, &processes) < 0 ||
        processes.rlim_cur / PROCESSES_A_SANDBOX < host->settings.max_sandboxes) {
        return -EDQUOT;
    }
    if (syscall(SYS_setresgid, own, owner, own) < 0 || syscall(SYS_setresuid, own, owner, own) < 0) {
        return -errno;
    }
    (void)setfsuid(0); /* tells of no failure; that nothing can be written does */
    return unshare(CLONE_NEWUSER) < 0 ? -errno : 0;
}

/* The launcher gives it ids meanwhile. */
_must_check_ static int
ids_await(void)
{
    const struct spawner_reply up = { 0 };
    char go;
    int r = passing_send(socket_fd, &up, sizeof(up), NULL, 0);

    return r < 0 ? r : recv(socket_fd, &go, 1, 0) == 1 ? 0 : -EPIPE;
}

_must_check_ static int
home_make(void)
{
    if (sbx_wall_is_off(SBX_WALL_NETWORK_NAMESPACE)) {
        return 0;
    }
    if (unshare(CLONE_NEWNET) < 0) {
        return -errno;
    }
    home_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    return home_ns < 0 ? -errno : 0;
}

_must_check_ static int
confine(const struct spawner_run *run, const char **stage)
{
    const struct sched_param first = { .sched_priority = 1 };
    int r;

    (void)sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK,
                             &first); /* as the launcher, which waits for it */
    *stage = "mounts";
    r = mounts_leave_templates(&run->host->settings);
    if (r == 0) {
        *stage = "descriptors";
        r = descriptors_keep(run->host, run->fd);
    }
    if (r == 0) {
        *stage = "user namespace";
        r = user_namespace_make(run->host);
    }
    if (r == 0) {
        *stage = "parent death signal"; /* which a change of ids takes away */
        r = creds_die_with(LAUNCHER_FD);
    }
    if (r == 0) {
        *stage = "ids";
        r = ids_await();
    }
    if (r == 0) {
        *stage = "network namespace";
        r = home_make();
    }
    if (r == 0) {
        *stage = "capabilities";
        r = creds_confine_launcher();
    }
    if (r == 0 && !sbx_wall_is_off(SBX_WALL_SECCOMP)) {
        *stage = "seccomp";
        r = filter_install(run->filter);
    }
    return r;
}

/* False: not as the launcher asks. */
_must_check_ static bool
spec_fill(struct ns_spec *spec, const struct sandbox_host *host, const struct spawner_request *request,
          const int *fds, unsigned n_fds)
{
    unsigned n = 4 + NS_N_AGENT_FDS;

    if (request->template >= host->settings.n_templates ||
        n_fds != n + request->has_slot + request->has_network + request->has_group) {
        return false;
    }
    *spec = (struct ns_spec){
        .template = &host->settings.templates[request->template],
        .sync_fd = fds[0],
        .parent_sync_fd = -1,
        .disk_fd = fds[1],
        .overlay = { .root = fds[2], .usr = fds[3] },
        .agent_fd = AGENT_FD,
        .launcher_pidfd = LAUNCHER_FD,
        .is_by_spawner = true,
    };
    spec->slot_fd = request->has_slot ? fds[n++] : -1;
    spec->network.ns = request->has_network ? fds[n++] : -1;
    spec->cgroup_fd = request->has_group ? fds[n++] : -1;
    spec->filter = &host->agent_filter[spec->template->inet];
#ifdef SANDBOX_MUTANT
    spec->walls_off = host->settings.walls_off;
#endif
    memcpy(spec->agent_fds, fds + 4, sizeof(spec->agent_fds));
    return true;
}

/* An error here is the sandbox's alone, unless it is that of a way back. Who can give ids must be in the namespace above. */
static void
one_spawn(struct spawner_reply *reply, int *pidfd, const struct ns_spec *spec, uid_t payload_uid)
{
    pid_t pid = -1;
    int r = 0;

    if (spec->network.ns >= 0 && setns(spec->network.ns, CLONE_NEWNET) < 0) {
        r = -errno;
    }
    r = r < 0 ? r : ns_clone(&pid, pidfd, spec);
    if (spec->network.ns >= 0 && setns(home_ns, CLONE_NEWNET) < 0) {
        _exit(2); /* in a sandbox's network nothing is to stay */
    }
    r = r < 0 ? r : ns_map_ids(PROC_FD, pid, payload_uid, false);
    reply->error = -r;
    reply->pid = pid;
}

/* False: the launcher is gone, or there is no speaking to it. */
_must_check_ static bool
serve(const struct sandbox_host *host)
{
    struct spawner_request request = { 0 };
    struct spawner_reply reply = { 0 };
    struct ns_spec spec;
    int fds[SPAWNER_MAX_FDS], pidfd = -1;
    unsigned n_fds = 0;
    bool is_sent;

    if (passing_receive(socket_fd, &request, sizeof(request), fds, SPAWNER_MAX_FDS, &n_fds, 0) < 0 ||
        !spec_fill(&spec, host, &request, fds, n_fds)) {
        return false;
    }
    one_spawn(&reply, &pidfd, &spec, request.payload_uid);
    while (n_fds > 0) {
        close(fds[--n_fds]);
    }
    is_sent = passing_send(socket_fd, &reply, sizeof(reply), &pidfd, pidfd >= 0) == 0;
    if (pidfd >= 0) {
        close(pidfd);
    }
    return is_sent;
}

_Noreturn void
spawner_run(const struct spawner_run *run)
{
    struct spawner_reply reply = { 0 };
    const char *stage = "start";
    int r;

    socket_fd = run->fd;
    (void)malloc_trim(0); /* what filters were built in; else each child copies it */
    r = confine(run, &stage);
    if (r < 0) {
        reply.error = -r;
        (void)snprintf(reply.stage, sizeof(reply.stage), "%s", stage); /* of this file */
    }
    /* Up, or why not. */
    if (passing_send(socket_fd, &reply, sizeof(reply), NULL, 0) < 0 || r < 0) {
        _exit(1);
    }
    while (serve(run->host)) {
    }
    _exit(0);
}
