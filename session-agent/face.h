/*
 * The agent's HTTP face: routes, tokens and problem documents around sessions
 * and steps. One step at a time: everything that is alive below the agent belongs
 * to it, which is what lets nothing of it survive.
 */
#pragma once

#include "lib/sbx_http_server.h"
#include "session-agent/step.h"

struct face;

struct face_spec {
    uv_loop_t *loop;
    struct step_host host;
    const struct runtimes *runtimes;
    const char *workspace_root; /* NULL inside a sandbox */
    bool auth_bypass;
    unsigned max_sessions;
    unsigned max_connections;
    uint64_t idle_timeout_ms; /* 0: none */
};

_must_check_ int face_new(struct face **ret, const struct face_spec *spec);
struct sbx_http_server *face_server(struct face *face);
/* Kills what runs; then, from the loop, everything is closed and freed. */
void face_close(struct face *face);
