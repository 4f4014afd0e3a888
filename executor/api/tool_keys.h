/*
 * What tool calls began, by the name that their client has for the call: so that it can be cancelled by a message that comes
 * another way. A key is the edge's, 32 hex digits that stand for the client and its request; it belongs to a tenant. Known as
 * long as the call is, and when its client left before it was told a handle, as long as room is left.
 */
#pragma once

#include "lib/sbx_context.h"
#include "lib/sbx_id.h"
#include "lib/sbx_list.h"

#define TOOL_KEY_LEN 32

struct api;
struct tool_call;
struct tool_key;

/* One job, one step of a session, or one session. */
struct tool_object {
    char id[SBX_ID_LEN + 1];  /* "": nothing */
    char sub[SBX_ID_LEN + 1]; /* of a step */
};

/*
 * Cancels what the tenant's calls with this key began; false when there is none, or what there is has not begun anything, or
 * has ended. Whoever asks cannot tell a key of another tenant's from none.
 */
bool tool_keys_cancel(struct api *api, const char *key, const struct sbx_context *who);
/* "32 hex digits": nothing else is a key. */
bool tool_key_valid(const char *text, size_t len);

/* For tool_call.c. A call with a key has one entry from its beginning. Out of memory it has none. */
struct tool_key *tool_key_new(struct api *api, const char *tenant, const char *key);
void tool_key_began(struct tool_key *key, const struct tool_object *object);
/* The call was answered. Accepts NULL, returns NULL. */
struct tool_key *tool_key_free(struct tool_key *key);
/* Its client left, and what it began goes on. Takes key; accepts NULL. */
void tool_key_leave(struct tool_key *key);
/* At the end of the api. */
void tool_keys_drop(struct api *api);

/* The end of what is known by these ids, when it lives: 0 or 1 things. `reason` is constant text, for the audit. */
bool tool_object_cancel(struct api *api, const struct tool_object *object, const struct sbx_context *who,
                        const char *reason);
