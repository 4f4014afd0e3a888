/*
 * The identity in a token's claims: names, scopes, and whether a service speaks for itself.
 */
#pragma once

#include "ngx_sandbox_jwt.h"

#pragma GCC visibility push(hidden)

/*
 * Fills the names, scopes, token id and client of *identity from claims that were verified. 0, or JWT_E_INVALID and a
 * constant phrase in *ret_why.
 */
_must_check_ int ngx_sandbox_identity_read(struct ngx_sandbox_identity *identity, const json_t *claims,
                                           const struct ngx_sandbox_jwt_rules *rules, const char **ret_why);

#pragma GCC visibility pop
