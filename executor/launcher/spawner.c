#include "executor/launcher/spawner.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "executor/launcher/passing.h"
#include "executor/launcher/server.h"
#include "executor/launcher/spawner_run.h"

#define ANSWER_SECONDS 5 /* of a loop that stands still; a clone takes a third of a millisecond */

static const struct sandbox_host *host;
static pid_t spawner = -1;
static int spawner_fd = -1, user_ns = -1;

/* Whoever it was making finds its socket closed and ends. */
static void
spawner_end(const char *why, int error)
{
    if (why != NULL) {
        journal(JOURNAL_WARN, "spawner.ended", JOURNAL_STR("reason", why), JOURNAL_INT("error", error));
    }
    if (spawner_fd >= 0) {
        server_unwatch(host->epoll_fd, spawner_fd);
        sandbox_fd_close(&spawner_fd);
    }
    sandbox_fd_close(&user_ns);
    if (spawner > 0) {
        kill(spawner, SIGKILL); /* not yet waited for, so nobody else's number */
        while (waitpid(spawner, NULL, 0) < 0 && errno == EINTR) {
        }
        spawner = -1;
    }
}

void
spawner_stop(void)
{
    spawner_end(NULL, 0);
}

void
spawner_on_event(void)
{
    if (spawner_fd >= 0) {
        spawner_end("gone", 0); /* unasked it says nothing */
    }
}

int
spawner_user_ns(void)
{
    return user_ns;
}

/* Those of all slots, and of whoever is beside the launcher, under the numbers that they have outside. Not 0. */
_must_check_ static int
ids_give(void)
{
    const struct settings *settings = &host->settings;
    char path[32], map[64];
    int r;

    (void)snprintf(path, sizeof(path), "%d/ns/user", (int)spawner); /* fits any pid */
    user_ns = openat(host->proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (user_ns < 0) {
        return -errno;
    }
    (void)snprintf(map, sizeof(map), "%llu %llu %llu\n", (unsigned long long)settings->uid_base,
                   (unsigned long long)settings->uid_base,
                   (unsigned long long)(settings_zygote_uid(settings) + 1 - settings->uid_base)); /* fits */
    r = ns_map_write(host->proc_fd, spawner, map);
    if (r == 0 && send(spawner_fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) {
        r = -errno;
    }
    return r;
}

/* Its first two words: that it waits for ids, and that it is up. */
_must_check_ static int
up_await(const char **ret_why)
{
    static char stage[sizeof(((struct spawner_reply *)NULL)->stage)];
    struct spawner_reply reply = { 0 };
    unsigned n;
    int r = 0;

    for (int i = 0; i < 2 && r == 0; i++) {
        r = passing_receive(spawner_fd, &reply, sizeof(reply), NULL, 0, &n, 0);
        if (r == 0 && reply.error != 0) {
            memcpy(stage, reply.stage, sizeof(stage) - 1);
            *ret_why = stage;
            return -reply.error;
        }
        r = r == 0 && i == 0 ? ids_give() : r;
    }
    return r;
}

void
spawner_start(const struct sandbox_host *shared, const struct filter *filter)
{
    const struct timeval patience = { .tv_sec = ANSWER_SECONDS };
    struct spawner_run run = { .host = shared, .filter = filter };
    const char *why = "starting";
    int fds[2], r = 0;

    host = shared;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
        spawner_end(why, errno);
        return;
    }
    spawner_fd = fds[0];
    run.fd = fds[1];
    spawner = fork();
    if (spawner == 0) {
        spawner_run(&run);
    }
    r = spawner < 0 ? -errno : 0;
    close(run.fd);
    if (r == 0 && setsockopt(spawner_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0) {
        r = -errno;
    }
    r = r < 0 ? r : up_await(&why);
    if (r == 0) {
        r = server_watch(host->epoll_fd, spawner_fd, SERVER_SPAWNER, 0);
    }
    if (r < 0) {
        spawner_end(why, -r);
    }
}

_must_check_ static int
request_send(const struct ns_spec *spec)
{
    struct spawner_request request = {
        .template = (uint32_t)(spec->template - host->settings.templates),
        .payload_uid = spec->payload_uid,
        .has_slot = spec->slot_fd >= 0,
        .has_network = spec->network.ns >= 0,
        .has_group = spec->cgroup_fd >= 0,
    };
    int fds[SPAWNER_MAX_FDS] = { spec->sync_fd, spec->disk_fd, spec->overlay.root, spec->overlay.usr };
    unsigned n = 4 + NS_N_AGENT_FDS;

    memcpy(fds + 4, spec->agent_fds, sizeof(spec->agent_fds));
    if (request.has_slot) {
        fds[n++] = spec->slot_fd;
    }
    if (request.has_network) {
        fds[n++] = spec->network.ns;
    }
    if (request.has_group) {
        fds[n++] = spec->cgroup_fd;
    }
    return passing_send(spawner_fd, &request, sizeof(request), fds, n);
}

_must_check_ int
spawner_spawn(pid_t *ret_pid, int *ret_pidfd, const struct ns_spec *spec)
{
    struct spawner_reply reply = { 0 };
    unsigned n = 0;
    int r, pidfd = -1;

    if (spawner_fd < 0 || spec->runsc != NULL || spec->overlay.root < 0) {
        return -EOPNOTSUPP;
    }
    r = request_send(spec);
    r = r < 0 ? r : passing_receive(spawner_fd, &reply, sizeof(reply), &pidfd, 1, &n, 0);
    if (r == 0 && n == 0 && reply.error == 0) {
        r = -EBADMSG;
    }
    if (r < 0) {
        sandbox_fd_close(&pidfd);
        spawner_end("it does not answer", -r);
        return r;
    }
    /* Without ids it is to be ended as any. */
    if (n > 0) {
        *ret_pid = reply.pid;
        *ret_pidfd = pidfd;
    }
    return -reply.error;
}
