/*
 * The named contexts of a session: each an interpreter that keeps its state between steps, is started anew when it has
 * ended, and runs one step at a time.
 */
#pragma once

#include "session-agent/hub.h"

struct contexts;

_must_check_ int contexts_new(struct contexts **ret, struct hub *hub);
/* Interpreters are killed; steps under way go with the mux. Accepts NULL, returns NULL. */
struct contexts *contexts_free(struct contexts *contexts);

/* Rows of hub.c. */
void context_on_start(struct hub *hub, struct sbx_channel *channel, const json_t *request);
void context_on_end(struct hub *hub, struct sbx_channel *channel, const json_t *request);
void context_on_step(struct hub *hub, struct sbx_channel *channel, const json_t *request);
