/*
 * The listening socket and the loop's bookkeeping of who is watched.
 */
#pragma once

#include "executor/launcher/settings.h"

/* What an epoll event is about; the rest of its 64 bits is an id of that kind. */
enum server_source {
    SERVER_LISTEN,
    SERVER_SIGNAL,
    SERVER_CONN,
    SERVER_SYNC,
    SERVER_DEATH,
    SERVER_READY,
    SERVER_NETWORK,
    SERVER_ZYGOTE,
    SERVER_SPAWNER
};

#define SERVER_ID_BITS 56

struct server {
    int fd;
    int dir_fd; /* of the socket: its name is removed from here at the end */
    char name[SETTINGS_SOCKET_LEN];
};

#define SERVER_NULL                                                                                          \
    {                                                                                                        \
        .fd = -1, .dir_fd = -1                                                                               \
    }

_must_check_ int server_open(struct server *ret, const struct settings *settings);
void server_deinit(struct server *server);
/* Takes one client; one of another user is closed at once. */
void server_accept(const struct server *server, int epoll_fd, const struct settings *settings);

_must_check_ int server_watch(int epoll_fd, int fd, enum server_source source, uint64_t id);
void server_unwatch(int epoll_fd, int fd);
