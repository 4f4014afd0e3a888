/*
 * One client: reads requests, checks that each is permitted now, answers. A client
 * that breaks a rule, or does not read its answers, is closed, and with it go its
 * sandboxes.
 */
#pragma once

#include <sys/types.h>

#include "executor/launcher/wire.h"
#include "lib/sbx_base.h"

#define CONN_MAX 16

struct conn;

/* What LAUNCH_WALLS is answered with; before the first connection, and borrowed for good. */
void conns_set_walls(const struct launch_walls *walls);
/* Takes `fd`. NULL when CONN_MAX are there. */
struct conn *conn_open(int fd, int epoll_fd, uint32_t max_sandboxes);
void conn_on_readable(uint64_t id);
/* Closes those that broke a rule since the last call; never from inside a handler. */
void conns_sweep(void);
void conns_close_all(void);

/* Answers. A failure dooms the connection. */
void conn_created(struct conn *conn, const struct launch_created *created, const int *fds);
void conn_report(struct conn *conn, enum launch_type type, uint64_t seq, uint64_t sandbox,
                 const struct launch_report *report);
void conn_error(struct conn *conn, uint64_t seq, uint64_t sandbox, int error, const char *stage);
