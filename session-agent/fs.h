/*
 * The files of a session, for who holds its channel: each operation is one channel (docs/agent.md, "Files of a
 * session"). All with the payload's identity and beneath its workspace. Work is cut into turns of the loop, so that
 * a large tree or a slow reader holds up no step.
 */
#pragma once

#include <uv.h>

#include "lib/sbx_json.h"
#include "lib/sbx_mux.h"
#include "session-agent/workspace.h"

struct fs;

struct fs_spec {
    uv_loop_t *loop;
    const struct identity *identity; /* borrows */
    const char *workspace;           /* path of it; borrows */
};

_must_check_ int fs_new(struct fs **ret, const struct fs_spec *spec);
/* Whether an OPEN with this "op" is for fs_open. */
bool fs_takes(const char *op);
/* Takes a channel that was just opened; answers it, now or later. `request` is the parsed OPEN, borrowed. */
void fs_open(struct fs *fs, struct sbx_channel *channel, const json_t *request);
/* Operations under way break off, half-made uploads vanish; their channels must be gone or go with the mux. The
 * memory goes when the loop has turned. Accepts NULL, returns NULL. */
struct fs *fs_close(struct fs *fs);
