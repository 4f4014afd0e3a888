#include "executor/launcher/birth.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "executor/launcher/limits.h"
#include "executor/launcher/mounts.h"
#include "executor/launcher/ns.h"
#include "executor/launcher/server.h"
#include "executor/launcher/spawner.h"
#include "executor/launcher/zygote.h"

#define OOM_SCORE 500 /* sandboxes die before anything of the host */

/* Descriptors that end with the creation: the child's ends. */
struct ends {
    int agent[NS_N_AGENT_FDS];
    int sync;
    int slot;
    struct overlay overlay;
};

static void
ends_close(struct ends *ends)
{
    for (size_t i = 0; i < NS_N_AGENT_FDS; i++) {
        sandbox_fd_close(&ends->agent[i]);
    }
    sandbox_fd_close(&ends->sync);
    sandbox_fd_close(&ends->slot);
    overlay_deinit(&ends->overlay);
}
static inline void
ends_closep(struct ends *ends)
{
    ends_close(ends);
}

/* There the payload's input comes with the step, and its filter is a file of the root. */
static bool
is_gvisor(const struct sandbox *sb)
{
    return sb->isolation == SBX_ISOLATION_GVISOR;
}

/* Pipe for agent descriptor 4 + i; its mode allows the payload to open /dev/stdout, so it must own it. */
_must_check_ static int
stream_open(struct sandbox *sb, const struct sandbox_host *host, struct ends *ends, unsigned i)
{
    int fds[2];
    bool is_input = i == 0;

    if (pipe2(fds, O_CLOEXEC) < 0) {
        return -errno;
    }
    ends->agent[1 + i] = fds[is_input ? 0 : 1];
    sb->client_fds[1 + i] = fds[is_input ? 1 : 0];
    /* The sentry sees it through a user namespace that does not know its owner. */
    if (is_gvisor(sb) && fchmod(ends->agent[1 + i], 0666) < 0) {
        return -errno;
    }
    return fchown(ends->agent[1 + i], sandbox_payload_uid(sb, host), sandbox_payload_uid(sb, host)) < 0
               ? -errno
               : 0;
}

_must_check_ static int
filter_open(const struct sandbox_host *host, struct ends *ends, const struct filter *filter)
{
    char path[32];

    /* An open file of its own: a shared one would share its offset with every other sandbox. */
    (void)snprintf(path, sizeof(path), "self/fd/%d", filter->fd); /* fits */
    ends->agent[4] = openat(host->proc_fd, path, O_RDONLY | O_CLOEXEC);
    return ends->agent[4] < 0 ? -errno : 0;
}

_must_check_ static int
ends_open(struct sandbox *sb, const struct sandbox_host *host, struct ends *ends, const struct filter *filter)
{
    int fds[2], r = 0;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        return -errno;
    }
    sb->client_fds[0] = fds[0];
    ends->agent[0] = fds[1];
    for (unsigned i = is_gvisor(sb); i < 3 && r == 0; i++) {
        r = stream_open(sb, host, ends, i);
    }
    if (r == 0 && !is_gvisor(sb)) {
        r = filter_open(host, ends, filter);
    }
    if (r < 0) {
        return r;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
        return -errno;
    }
    sb->sync_fd = fds[0];
    ends->sync = fds[1];
    return fcntl(ends->sync, F_SETFL, 0) < 0 ? -errno : 0; /* the child's end blocks */
}

/* What the agent and a zygote that is there are to have in common. */
_must_check_ static int
slot_open(struct sandbox *sb, const struct sandbox_host *host, struct ends *ends,
          const struct settings_template *template, const char *language)
{
    const int on = 1;
    int fds[2];

    if (is_gvisor(sb) || !zygote_serves(&sb->zygote, host, template, language)) {
        return 0;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
        return -errno;
    }
    sb->slot_fd = fds[0];
    ends->slot = fds[1];
    /* Whose word it is the agent learns by this; the slot may be up before the agent has asked for it. */
    return setsockopt(ends->slot, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ? -errno : 0;
}

_must_check_ static int
child_release(struct sandbox *sb, const struct sandbox_host *host, bool has_ids, const char **ret_stage)
{
    int r;

    *ret_stage = "cgroup attach";
    r = host->tree.ops->attach(&sb->cgroup, sb->pid);
    if (r < 0) {
        return r;
    }
    *ret_stage = "oom score";
    r = ns_set_oom_score(host->proc_fd, sb->pid, OOM_SCORE);
    if (r < 0) {
        return r;
    }
    *ret_stage = "id maps";
    r = has_ids ? 0 : ns_map_ids(host->proc_fd, sb->pid, sandbox_payload_uid(sb, host), is_gvisor(sb));
    if (r < 0) {
        return r;
    }
    *ret_stage = "go";
    return send(sb->sync_fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : -errno;
}

_must_check_ static int
child_start(struct sandbox *sb, const struct sandbox_host *host, struct ends *ends,
            const struct settings_template *template, const char **ret_stage)
{
    struct ns_spec spec = {
        .template = template,
        .sync_fd = ends->sync,
        .parent_sync_fd = sb->sync_fd,
        .disk_fd = sb->disk_fd,
        .overlay = ends->overlay,
        .agent_fd = host->agent_fd,
        .launcher_pidfd = host->launcher_pidfd,
        .slot_fd = ends->slot,
        .network = NETWORK_NULL,
        .payload_uid = sandbox_payload_uid(sb, host),
        .cgroup_fd = cgroup_clone_fd(&sb->cgroup, &host->tree),
        .filter = is_gvisor(sb) ? &host->runsc_filter : &host->agent_filter[template->inet],
        .runsc = is_gvisor(sb) ? &host->runsc : NULL,
    };
    bool has_ids = true;
    int r;

    /* runsc looks at the network that it is in, and changes it. */
    if (!is_gvisor(sb) && network_take(&sb->network)) {
        spec.network = sb->network;
    }
#ifdef SANDBOX_MUTANT
    spec.walls_off = host->settings.walls_off;
#endif
    memcpy(spec.agent_fds, ends->agent, sizeof(spec.agent_fds));
    *ret_stage = "clone";
    r = spawner_spawn(&sb->pid, &sb->pidfd, &spec);
    if (r == -EOPNOTSUPP) {
        r = ns_spawn(&sb->pid, &sb->pidfd, &spec);
        has_ids = false;
    }
    if (r < 0) {
        return r;
    }
    *ret_stage = "epoll";
    r = server_watch(host->epoll_fd, sb->pidfd, SERVER_DEATH, sb->id);
    if (r == 0) {
        r = server_watch(host->epoll_fd, sb->sync_fd, SERVER_SYNC, sb->id);
    }
    return r < 0 ? r : child_release(sb, host, has_ids, ret_stage);
}

_must_check_ int
birth_start(struct sandbox *sb, const struct sandbox_host *host, const struct settings_template *template,
            const char *language, const char **ret_stage)
{
    _cleanup_(ends_closep) struct ends ends = {
        .agent = { -1, -1, -1, -1, -1 }, .sync = -1, .slot = -1, .overlay = OVERLAY_NULL
    };
    const struct cgroup_limits limits = limits_until_adopted(sb->isolation, host->n_cpus);
    int r;

    *ret_stage = "cgroup";
    r = cgroup_create(&sb->cgroup, &host->tree, sb->slot, &limits);
    if (r < 0) {
        return r;
    }
    *ret_stage = "disk";
    sb->disk_bytes = limits_disk_until_adopted();
    r = mounts_disk_new(&sb->disk_fd, sandbox_payload_uid(sb, host), sb->disk_bytes);
    if (r < 0) {
        return r;
    }
    *ret_stage = "own inodes";
    /* gVisor keeps locks and watches to itself. */
    r = is_gvisor(sb) ? 0 : overlay_new(&ends.overlay, &host->settings, template);
    if (r < 0) {
        return r;
    }
    *ret_stage = "descriptors";
    r = ends_open(sb, host, &ends, &host->payload_filter[template->inet]);
    if (r == 0) {
        r = slot_open(sb, host, &ends, template, language);
    }
    return r < 0 ? r : child_start(sb, host, &ends, template, ret_stage);
}
