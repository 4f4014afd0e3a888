/* What the files of the auth module share. */
#pragma once

#include "ngx_http_sandbox.h"
#include "ngx_http_sandbox_auth_conf.h"
#include "ngx_http_sandbox_auth_issuer.h"

#pragma GCC visibility push(hidden)

/*
 * 401 for no token (why is NULL) and for any that is not good: the words are the same, `why` is for our log, `denied` for
 * $sandbox_denied. As ngx_http_sandbox_refuse.
 */
ngx_int_t ngx_http_sandbox_auth_unauthorized(ngx_http_request_t *r, const char *denied, const char *why);

/* NGX_DECLINED when the scopes hold all that location and tool ask for, else 403 as ngx_http_sandbox_refuse. */
ngx_int_t ngx_http_sandbox_auth_check_scopes(ngx_http_request_t *r, const char *scopes);

/*
 * Whether the caller has what a location asks for a tool, without a refusal: `conf` is this module's of that location. True where that
 * location alone can tell.
 */
ngx_flag_t ngx_http_sandbox_auth_may_use(ngx_http_sandbox_ctx_t *ctx, const void *conf, const char *tool);

/* NGX_OK and the identity; NGX_DECLINED with the reason; NGX_ERROR. The path counts as the client spelt it. */
ngx_int_t ngx_http_sandbox_auth_verify_url(ngx_http_request_t *r, struct ngx_sandbox_identity *ret, const char **ret_why);

/*
 * NGX_OK and the identity, NGX_DECLINED with the reason, NGX_AGAIN: held, the phases run again; NGX_BUSY: the keys of its issuer
 * are not known, *ret_retry_s; NGX_ERROR. Only NGX_OK may allow anything.
 */
ngx_int_t ngx_http_sandbox_auth_verify(ngx_http_request_t *r, ngx_str_t *token, struct ngx_sandbox_identity *ret,
    const char **ret_why, ngx_uint_t *ret_retry_s);

/*
 * A service that names a tenant in Sandbox-Tenant: *identity becomes that tenant's, without its scopes of administration. NGX_OK, also
 * when nobody asked; NGX_DECLINED when it may not.
 */
ngx_int_t ngx_http_sandbox_auth_act_for(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx,
    struct ngx_sandbox_identity *identity);

/*
 * Whether the token of the identity in ctx was taken back; `own` is its tenant, also where a service acts for another. NGX_OK, and it is asked
 * about again while the request runs; NGX_DECLINED: revoked; NGX_AGAIN: not known yet; NGX_ERROR.
 */
ngx_int_t ngx_http_sandbox_auth_check_revoked(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx, const char *own,
    uint64_t issued_s);

/* In a worker, before it takes requests. */
void ngx_http_sandbox_auth_watch_start(ngx_cycle_t *cycle);

/* Keys of all issuers as of now, and their epoch. NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_sandbox_auth_sync(ngx_http_sandbox_auth_main_conf_t *amcf);

/* Directives of ngx_http_sandbox_auth_resource.c. */
char *ngx_http_sandbox_auth_resource(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_sandbox_auth_resource_metadata(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

#pragma GCC visibility pop
