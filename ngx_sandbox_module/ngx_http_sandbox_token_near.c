#include "ngx_http_sandbox_token_near.h"

#include "lib/sbx_crypto.h"


#define N_SETS           64ul
#define N_WAYS           4
#define TOKEN_NEAR_MIN   16
#define TOKEN_NEAR_MAX   2048 /* with the above it bounds what a worker holds */


/*
 * The token itself is kept, so that no other can be taken for it: in this process requests have theirs in memory anyhow,
 * and the key that signs contexts is worth all of them. It is wiped when its place is taken.
 */
typedef struct {
    uint64_t hash;
    size_t len;
    u_char rules[SBX_SHA256_LEN];
    u_char epoch[SBX_SHA256_LEN];
    struct ngx_sandbox_identity identity;
    u_char token[1];
} ngx_http_sandbox_token_near_t;


/* Of this worker. Used last comes first in its set. */
static ngx_http_sandbox_token_near_t *ngx_http_sandbox_token_near[N_SETS][N_WAYS];


/*
 * Of the token's end, which is a signature: no two tokens that verified have it in common but by chance, and who wants
 * them to share a set needs as many good tokens. The bytes are compared too.
 */
static uint64_t
ngx_http_sandbox_token_near_hash(const ngx_str_t *token)
{
    uint64_t a, b;

    ngx_memcpy(&a, token->data + token->len - 16, sizeof(a));
    ngx_memcpy(&b, token->data + token->len - 8, sizeof(b));
    a = (a ^ (b << 29 | b >> 35)) * 0x9e3779b97f4a7c15ull;
    return a ^ a >> 32;
}


static ngx_flag_t
ngx_http_sandbox_token_near_is(const ngx_http_sandbox_token_near_t *near, uint64_t hash,
    const ngx_http_sandbox_token_key_t *key)
{
    return near != NULL && near->hash == hash && near->len == key->token->len
           && ngx_memcmp(near->token, key->token->data, near->len) == 0
           && ngx_memcmp(near->rules, key->rules, SBX_SHA256_LEN) == 0
           && ngx_memcmp(near->epoch, key->epoch, SBX_SHA256_LEN) == 0;
}


static void
ngx_http_sandbox_token_near_free(ngx_http_sandbox_token_near_t *near)
{
    if (near != NULL) {
        ngx_explicit_memzero(near, sizeof(ngx_http_sandbox_token_near_t) + near->len);
        ngx_free(near);
    }
}


/* Puts what is at `way`, or what comes instead of it, to the front. */
static void
ngx_http_sandbox_token_near_front(ngx_http_sandbox_token_near_t **set, ngx_uint_t way, ngx_http_sandbox_token_near_t *near)
{
    for (; way > 0; way--) {
        set[way] = set[way - 1];
    }
    set[0] = near;
}


const struct ngx_sandbox_identity *
ngx_http_sandbox_token_near_find(const ngx_http_sandbox_token_key_t *key)
{
    ngx_http_sandbox_token_near_t **set, *near;
    ngx_uint_t way;
    uint64_t hash;

    if (key->token->len < TOKEN_NEAR_MIN || key->token->len > TOKEN_NEAR_MAX) {
        return NULL;
    }
    hash = ngx_http_sandbox_token_near_hash(key->token);
    set = ngx_http_sandbox_token_near[hash % N_SETS];
    for (way = 0; way < N_WAYS; way++) {
        if (ngx_http_sandbox_token_near_is(set[way], hash, key)) {
            near = set[way];
            ngx_http_sandbox_token_near_front(set, way, near);
            return &near->identity;
        }
    }
    return NULL;
}


void
ngx_http_sandbox_token_near_add(const ngx_http_sandbox_token_key_t *key, const struct ngx_sandbox_identity *identity)
{
    ngx_http_sandbox_token_near_t **set, *near;
    const size_t len = key->token->len;
    ngx_uint_t way = 0;
    uint64_t hash;

    if (len < TOKEN_NEAR_MIN || len > TOKEN_NEAR_MAX) {
        return;
    }
    near = ngx_alloc(sizeof(ngx_http_sandbox_token_near_t) + len, ngx_cycle->log);
    if (near == NULL) {
        return;
    }
    hash = ngx_http_sandbox_token_near_hash(key->token);
    near->hash = hash;
    near->len = len;
    ngx_memcpy(near->rules, key->rules, SBX_SHA256_LEN);
    ngx_memcpy(near->epoch, key->epoch, SBX_SHA256_LEN);
    near->identity = *identity;
    ngx_memcpy(near->token, key->token->data, len);

    /* The same one, when it was here and its dates did not hold; else the last. */
    set = ngx_http_sandbox_token_near[hash % N_SETS];
    while (way < N_WAYS - 1 && !ngx_http_sandbox_token_near_is(set[way], hash, key)) {
        way++;
    }
    ngx_http_sandbox_token_near_free(set[way]);
    ngx_http_sandbox_token_near_front(set, way, near);
}


void
ngx_http_sandbox_token_near_clear(void)
{
    ngx_uint_t i;

    for (i = 0; i < N_SETS * N_WAYS; i++) {
        ngx_http_sandbox_token_near_free(ngx_http_sandbox_token_near[i / N_WAYS][i % N_WAYS]);
        ngx_http_sandbox_token_near[i / N_WAYS][i % N_WAYS] = NULL;
    }
}
