/*
 * JWK sets (RFC 7517): RSA, EC P-256 and P-384, OKP Ed25519 and oct keys. Keys for
 * encryption and of kinds we do not know are passed over; a malformed one refuses the
 * whole set, so that a typing error cannot silently lock a tenant out.
 */
#pragma once

#include "ngx_sandbox_keys.h"

#pragma GCC visibility push(hidden)

/* Adds the set's keys. 0, KEYS_E_REFUSED with a pointer in *err (also when none is usable), -errno. */
_must_check_ int ngx_sandbox_jwk_load(struct ngx_sandbox_keys *keys, const char *text, size_t len,
                                      struct sbx_field_error *err);

#pragma GCC visibility pop
