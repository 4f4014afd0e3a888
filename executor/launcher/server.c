#include "executor/launcher/server.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "executor/launcher/conn.h"

#define BACKLOG 16

_must_check_ int
server_watch(int epoll_fd, int fd, enum server_source source, uint64_t id)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uint64_t)source << SERVER_ID_BITS | id };

    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void
server_unwatch(int epoll_fd, int fd)
{
    (void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* it may never have been watched */
}

/* The name is free when it is absent or a socket nobody listens on: the state directory's lock says whose it
 * was. */
_must_check_ static int
name_clear(int dir_fd, const char *name)
{
    struct stat st;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    if (!S_ISSOCK(st.st_mode)) {
        return -EEXIST;
    }
    return unlinkat(dir_fd, name, 0) < 0 ? -errno : 0;
}

_must_check_ int
server_open(struct server *ret, const struct settings *settings)
{
    struct server server = SERVER_NULL;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const char *slash = strrchr(settings->socket, '/');
    char dir[SETTINGS_SOCKET_LEN] = "/";
    int r = -EINVAL;

    memcpy(dir, settings->socket, slash > settings->socket ? (size_t)(slash - settings->socket) : 1);
    memcpy(server.name, slash + 1, strlen(slash + 1) + 1);
    memcpy(address.sun_path, settings->socket, strlen(settings->socket) + 1);
    server.dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    server.fd = server.dir_fd < 0 ? -1 : socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server.fd < 0) {
        r = -errno;
    } else {
        r = name_clear(server.dir_fd, server.name);
    }
    /* umask 077 until the mode is right: nobody connects in between. */
    if (r == 0 && (bind(server.fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
                   fchownat(server.dir_fd, server.name, (uid_t)settings->executor_uid,
                            (gid_t)settings->executor_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
                   fchmodat(server.dir_fd, server.name, 0660, 0) < 0 || listen(server.fd, BACKLOG) < 0)) {
        r = -errno;
    }
    if (r < 0) {
        server_deinit(&server);
        return r;
    }
    *ret = server;
    return 0;
}

void
server_deinit(struct server *server)
{
    if (server->fd >= 0) {
        close(server->fd);
        if (unlinkat(server->dir_fd, server->name, 0) < 0 && errno != ENOENT) {
            journal(JOURNAL_WARN, "socket.leftover", JOURNAL_INT("error", errno));
        }
    }
    if (server->dir_fd >= 0) {
        close(server->dir_fd);
    }
    *server = (struct server)SERVER_NULL;
}

void
server_accept(const struct server *server, int epoll_fd, const struct settings *settings)
{
    struct ucred peer = { 0 };
    socklen_t len = sizeof(peer);
    int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        return;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.uid != settings->executor_uid) {
        journal(JOURNAL_WARN, "client.refused", JOURNAL_STR("reason", "user"), JOURNAL_INT("uid", peer.uid));
        close(fd);
        return;
    }
    if (conn_open(fd, epoll_fd, (uint32_t)settings->max_sandboxes) == NULL) {
        journal(JOURNAL_WARN, "client.refused", JOURNAL_STR("reason", "too many"),
                JOURNAL_INT("uid", peer.uid));
        return;
    }
    journal(JOURNAL_INFO, "client.connected", JOURNAL_INT("uid", peer.uid), JOURNAL_INT("pid", peer.pid));
}
