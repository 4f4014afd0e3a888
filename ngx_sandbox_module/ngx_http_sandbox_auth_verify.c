/* Owns the way from a token's bytes to an identity: whose keys, the cache, and for whom a service acts. */
#include "ngx_http_sandbox_auth.h"
#include "ngx_http_sandbox_token_cache.h"
#include "ngx_http_sandbox_token_near.h"


ngx_int_t
ngx_http_sandbox_auth_sync(ngx_http_sandbox_auth_main_conf_t *amcf)
{
    ngx_http_sandbox_auth_issuer_t *issuer;
    ngx_flag_t is_new = !amcf->has_epoch;
    struct sbx_sha256 *state;
    ngx_uint_t i;
    int rc;

    if (amcf->issuers == NULL) {
        return NGX_OK;
    }
    issuer = amcf->issuers->elts;
    for (i = 0; i < amcf->issuers->nelts; i++) {
        if (issuer[i].jwks != NULL && ngx_http_sandbox_jwks_sync(issuer[i].jwks)) {
            is_new = 1;
        }
    }
    if (!is_new) {
        return NGX_OK;
    }
    amcf->has_epoch = 0;
    if (sbx_sha256_new(&state) != 0) {
        return NGX_ERROR;
    }
    rc = ngx_http_sandbox_auth_issuers_digest(state, amcf->issuers);
    if (rc == 0) {
        rc = sbx_sha256_final(state, amcf->epoch);
    }
    (void) sbx_sha256_free(state); /* always NULL */
    amcf->has_epoch = rc == 0;
    return rc == 0 ? NGX_OK : NGX_ERROR;
}


/* Of everything that decides about a token, and the token: an entry made under other keys or rules is never found. */
static ngx_int_t
ngx_http_sandbox_auth_cache_key(ngx_http_sandbox_auth_main_conf_t *amcf, ngx_http_sandbox_auth_loc_conf_t *alcf,
    ngx_str_t *token, u_char key[SBX_SHA256_LEN])
{
    u_char bytes[2 * SBX_SHA256_LEN + NGX_SANDBOX_TOKEN_MAX];

    ngx_memcpy(bytes, alcf->digest, SBX_SHA256_LEN);
    ngx_memcpy(bytes + SBX_SHA256_LEN, amcf->epoch, SBX_SHA256_LEN);
    ngx_memcpy(bytes + 2ul * SBX_SHA256_LEN, token->data, token->len);
    return sbx_sha256(bytes, 2ul * SBX_SHA256_LEN + token->len, key) == 0 ? NGX_OK : NGX_ERROR;
}


/* No key of this issuer fits: one that the next refresh brings may. */
static ngx_int_t
ngx_http_sandbox_auth_no_key(ngx_http_request_t *r, ngx_http_sandbox_jwks_t *jwks, ngx_uint_t *ret_retry_s)
{
    ngx_int_t rc;

    rc = ngx_http_sandbox_jwks_hold(r, jwks);
    if (rc == NGX_DECLINED && ngx_http_sandbox_jwks_keys(jwks) == NULL) {
        *ret_retry_s = ngx_http_sandbox_jwks_retry_after(jwks);
        return NGX_BUSY;
    }
    return rc;
}


/* As ngx_http_sandbox_auth_verify, without the cache. */
static ngx_int_t
ngx_http_sandbox_auth_verify_new(ngx_http_request_t *r, ngx_str_t *token, struct ngx_sandbox_identity *ret,
    const char **ret_why, ngx_uint_t *ret_retry_s)
{
    ngx_http_sandbox_auth_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_sandbox_auth_module);
    ngx_http_sandbox_auth_loc_conf_t *alcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_auth_module);
    const struct ngx_sandbox_jwt_rules *rules = &alcf->rules;
    ngx_http_sandbox_auth_issuer_t *issuer = NULL;
    struct ngx_sandbox_jwt_rules own;
    char name[NGX_SANDBOX_ISSUER_MAX + 1];
    int rc = 0;

    /* The issuer's name is nobody's word yet: it only says whose keys the token has to stand. */
    if (amcf->issuers != NULL) {
        rc = ngx_sandbox_jwt_issuer(name, (const char *) token->data, token->len);
        issuer = rc == 0 ? ngx_http_sandbox_auth_issuer_find(amcf->issuers, name) : NULL;
    }
    if (issuer != NULL) {
        ngx_http_sandbox_auth_issuer_rules(&own, issuer, rules);
        rules = &own;
    }
    if (rc == JWT_E_INVALID) {
        *ret_why = "claims are not strict JSON in strict base64url";
        return NGX_DECLINED;
    }
    if (rc == 0) {
        rc = ngx_sandbox_jwt_verify(ret, (const char *) token->data, token->len, rules, (uint64_t) ngx_time(), ret_why);
    }
    if (rc == JWT_E_KEY && issuer != NULL && issuer->jwks != NULL) {
        rc = ngx_http_sandbox_auth_no_key(r, issuer->jwks, ret_retry_s);
        return rc;
    }
    if (rc > 0) {
        return NGX_DECLINED;
    }
    if (rc != 0) {
        return NGX_ERROR;
    }
    ret->issuer = issuer == NULL ? 0 : (unsigned) (issuer - (ngx_http_sandbox_auth_issuer_t *) amcf->issuers->elts) + 1;
    return NGX_OK;
}


ngx_int_t
ngx_http_sandbox_auth_verify(ngx_http_request_t *r, ngx_str_t *token, struct ngx_sandbox_identity *ret,
    const char **ret_why, ngx_uint_t *ret_retry_s)
{
    ngx_http_sandbox_auth_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_sandbox_auth_module);
    ngx_http_sandbox_auth_loc_conf_t *alcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_auth_module);
    ngx_http_sandbox_token_key_t near = { .token = token, .rules = alcf->digest, .epoch = amcf->epoch };
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx(r);
    const struct ngx_sandbox_identity *known;
    u_char key[SBX_SHA256_LEN];
    ngx_int_t rc;

    /* Rules that were never made have no claims: nothing can be verified by them. */
    if (ctx == NULL || alcf->rules.claim[0] == NULL || ngx_http_sandbox_auth_sync(amcf) != NGX_OK) {
        return NGX_ERROR;
    }
    if (token->len > NGX_SANDBOX_TOKEN_MAX) {
        *ret_why = "token is too long";
        return NGX_DECLINED;
    }
    if (alcf->cache == NULL) {
        return ngx_http_sandbox_auth_verify_new(r, token, ret, ret_why, ret_retry_s);
    }

    known = ngx_http_sandbox_token_near_find(&near);
    if (known != NULL && ngx_sandbox_identity_current(known, alcf->rules.leeway_s, (uint64_t) ngx_time())) {
        *ret = *known;
        ctx->auth_cache = "HIT";
        return NGX_OK;
    }
    if (ngx_http_sandbox_auth_cache_key(amcf, alcf, token, key) != NGX_OK) {
        return NGX_ERROR;
    }
    if (ngx_http_sandbox_token_cache_find(alcf->cache, key, ret) == NGX_OK
        && ngx_sandbox_identity_current(ret, alcf->rules.leeway_s, (uint64_t) ngx_time()))
    {
        ctx->auth_cache = "HIT";
        ngx_http_sandbox_token_near_add(&near, ret);
        return NGX_OK;
    }
    ctx->auth_cache = "MISS";
    rc = ngx_http_sandbox_auth_verify_new(r, token, ret, ret_why, ret_retry_s);
    if (rc == NGX_OK) {
        ngx_http_sandbox_token_cache_add(alcf->cache, key, ret);
        ngx_http_sandbox_token_near_add(&near, ret);
    }
    return rc;
}


ngx_int_t
ngx_http_sandbox_auth_act_for(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx, struct ngx_sandbox_identity *identity)
{
    ngx_http_sandbox_auth_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_sandbox_auth_module);
    ngx_http_sandbox_auth_issuer_t *issuer;
    char tenant[SBX_NAME_MAX + 1];

    /* Of a user the header means nothing, as ever. */
    if (ctx->n_act_for == 0 || identity->client[0] == '\0') {
        return NGX_OK;
    }
    if (ctx->n_act_for != 1 || identity->issuer == 0 || amcf->issuers == NULL
        || !ngx_sandbox_identity_name_valid((const char *) ctx->act_for.data, ctx->act_for.len))
    {
        return NGX_DECLINED;
    }
    ngx_memcpy(tenant, ctx->act_for.data, ctx->act_for.len);
    tenant[ctx->act_for.len] = '\0';
    issuer = (ngx_http_sandbox_auth_issuer_t *) amcf->issuers->elts + identity->issuer - 1;

    /* Both lists are there: a block with the one is refused without the other. */
    if (issuer->act_for == NULL || issuer->tenants == NULL
        || !ngx_sandbox_tenant_in(issuer->act_for->elts, (unsigned) issuer->act_for->nelts, identity->client)
        || !ngx_sandbox_tenant_in(issuer->tenants->elts, (unsigned) issuer->tenants->nelts, tenant))
    {
        return NGX_DECLINED;
    }
    if (ngx_strcmp(tenant, identity->tenant) == 0) {
        return NGX_OK;
    }
    ngx_memcpy(identity->tenant, tenant, ctx->act_for.len + 1);
    ngx_sandbox_scopes_plain(identity->scopes);
    return NGX_OK;
}
