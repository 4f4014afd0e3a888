/*
 * The identities that this worker asked for last, by the bytes of their tokens: what spares a request the digest by which
 * the zone of all workers is asked. Holds only what was verified, or found there.
 */
#pragma once

#include "ngx_sandbox_jwt.h"

#include <ngx_config.h>
#include <ngx_core.h>

#pragma GCC visibility push(hidden)

/* All that decides about a token, and the token. Borrowed for the time of a call. */
typedef struct {
    const ngx_str_t *token;
    const u_char *rules; /* SBX_SHA256_LEN bytes each */
    const u_char *epoch;
} ngx_http_sandbox_token_key_t;

/* The identity, until the next addition; NULL when it is not here. The caller checks the dates. */
const struct ngx_sandbox_identity *ngx_http_sandbox_token_near_find(const ngx_http_sandbox_token_key_t *key);

/* Keeps a copy in the place of the one that was used longest ago. What is too long, or finds no memory, is not kept. */
void ngx_http_sandbox_token_near_add(const ngx_http_sandbox_token_key_t *key, const struct ngx_sandbox_identity *identity);

/* Forgets all: before a worker ends. */
void ngx_http_sandbox_token_near_clear(void);

#pragma GCC visibility pop
