/*
 * requestState of the Model Context Protocol (2026-07-28, "Multi round-trip requests"): what a server gives a client to bring back. Sealed,
 * so that a client can neither read nor edit it, and bound to who asked for what: nobody else, nothing else, not for ever.
 */
#pragma once

#include "sbx_crypto.h"

#pragma GCC visibility push(hidden)

#define SBX_MCP_STATE_MAX 16384      /* sealed */
#define SBX_MCP_STATE_LIFE_MS 600000 /* ten minutes */

struct sbx_mcp_state_keeper;

/* The key is derived from `key`, whose bytes need not stay. 0 or -errno. */
_must_check_ int sbx_mcp_state_keeper_new(struct sbx_mcp_state_keeper **ret, const void *key, size_t key_len);
struct sbx_mcp_state_keeper *sbx_mcp_state_keeper_free(struct sbx_mcp_state_keeper *keeper);

/*
 * `principal` names who asks (tenant, app, agent, subject), `request` is what is asked, in one spelling: method, name, canonical arguments.
 * Appends text that is safe in JSON; 0 or -errno.
 */
_must_check_ int sbx_mcp_state_seal(struct sbx_mcp_state_keeper *keeper, struct sbx_buf *out,
                                    const char *principal, const struct sbx_buf *request, const char *state,
                                    size_t len, uint64_t now_ms);
/* Appends what was sealed; -EBADMSG for whatever is not exactly that, of the same principal and request, or is too old. */
_must_check_ int sbx_mcp_state_open(struct sbx_mcp_state_keeper *keeper, struct sbx_buf *out,
                                    const char *principal, const struct sbx_buf *request, const char *text,
                                    size_t len, uint64_t now_ms);

#pragma GCC visibility pop
