/*
 * Signed URLs of artifacts: whoever has one may read that artifact's bytes until it expires, without a token.
 *
 *   /v1/artifacts/<id>/content?tenant=<tenant>&expires=<Unix seconds>&signature=<base64url HMAC-SHA-256>
 *
 * There is one spelling: other parameters, another order or an escape make it none. The executor signs, the edge
 * verifies; both derive the key from the one they share for the identity context, so it is of no use as that one.
 */
#pragma once

#include "sbx_context.h"
#include "sbx_id.h"

#pragma GCC visibility push(hidden)

#define SBX_SIGNED_URL_KEY_LEN 32
#define SBX_SIGNED_URL_LIFE_MAX_S UINT64_C(604800) /* a week */
#define SBX_SIGNED_URL_MAX 256                     /* longest there is, with its NUL */

enum {
    SBX_SIGNED_URL_E_FORM = 1, /* path, method or query are not such a URL's */
    SBX_SIGNED_URL_E_MAC,
    SBX_SIGNED_URL_E_TIME, /* expired, or for longer than any lives */
};

struct sbx_signed_url {
    char tenant[SBX_NAME_MAX + 1];
    struct sbx_id artifact;
    uint64_t expires_s; /* Unix */
};

/* Whether the query asks for this check at all: it has a parameter `signature`. */
bool sbx_signed_url_wanted(const char *query, size_t len);
_must_check_ int sbx_signed_url_key(uint8_t out[SBX_SIGNED_URL_KEY_LEN], const void *context_key, size_t len);
/* Path and query. -EINVAL when tenant or artifact are none. */
_must_check_ int sbx_signed_url_make(char out[SBX_SIGNED_URL_MAX], const struct sbx_signed_url *url,
                                     const uint8_t key[SBX_SIGNED_URL_KEY_LEN]);

/* As they came, nothing decoded; they need no NUL. */
struct sbx_signed_url_request {
    const char *method, *path, *query;
    size_t method_len, path_len, query_len;
};
/* 0 fills *ret; the MAC is looked at before the time, in constant time. GET and HEAD only. */
_must_check_ int sbx_signed_url_verify(struct sbx_signed_url *ret,
                                       const struct sbx_signed_url_request *request,
                                       const uint8_t key[SBX_SIGNED_URL_KEY_LEN], uint64_t now_s);

#pragma GCC visibility pop
