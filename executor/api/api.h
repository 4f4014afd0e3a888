/* The HTTP interface: server, routes, who may. The only place that knows HTTP status. */
#pragma once

#include "executor/core/engine.h"

struct api;
struct artifacts;
struct changes;
struct policies;
struct budgets;
struct governance;
struct registry;
struct sessions;

struct api_spec {
    void *loop;
    struct engine *engine;
    struct sessions *sessions;
    struct runtime *runtime;
    struct artifacts *artifacts;
    struct changes *changes;
    struct policies *policies;
    const struct governance *governance; /* NULL: the edge alone decides */
    struct budgets *budgets;             /* NULL: none are held */
    const struct registry *languages;    /* borrows */
    const struct runner_pool *pools;     /* borrows */
    unsigned n_pools;
    const void *context_key; /* borrows */
    size_t context_key_len;
    bool accept_bypass;
    unsigned max_connections;
    unsigned max_streams, max_streams_per_tenant;
    uint64_t stream_keepalive_ms;
    uint64_t max_body_bytes; /* of all requests that are not answered yet */
};

_must_check_ int api_new(struct api **ret, const struct api_spec *spec);
/* `group` -1 leaves it. */
_must_check_ int api_listen(struct api *api, const char *path, unsigned mode, int64_t group);
/* Running requests are answered, new connections are not taken. */
void api_drain(struct api *api, void (*done)(void *arg), void *arg);
/* Closes what is open and frees; `done` when nothing is left. */
void api_close(struct api *api, void (*done)(void *arg), void *arg);
