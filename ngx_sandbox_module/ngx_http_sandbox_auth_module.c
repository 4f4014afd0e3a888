/*
 * Who is asking: verifies the token of a request in PREACCESS, so that limits, which
 * run later in the same phase, know the tenant. Denies unless something here allows.
 */
#include "ngx_http_sandbox_auth.h"
#include "ngx_http_sandbox_control.h"
#include "ngx_http_sandbox_token_near.h"
#include "ngx_http_sandbox_mcp.h"

#include "lib/sbx_signed_url.h"


typedef struct {
    ngx_str_t token;
    ngx_http_sandbox_auth_e method;
} ngx_http_sandbox_auth_token_t;


static ngx_int_t ngx_http_sandbox_auth_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_sandbox_auth_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_sandbox_auth_init_process(ngx_cycle_t *cycle);
static void ngx_http_sandbox_auth_exit_process(ngx_cycle_t *cycle);


/* The lowest bit is NGX_CONF_BITMASK_SET. */
#define ALG_BIT(alg)  (1 << ((alg) + 1))

static ngx_conf_bitmask_t ngx_http_sandbox_auth_algorithms[] = {
    { ngx_string("HS256"), ALG_BIT(NGX_SANDBOX_ALG_HS256) },
    { ngx_string("HS384"), ALG_BIT(NGX_SANDBOX_ALG_HS384) },
    { ngx_string("HS512"), ALG_BIT(NGX_SANDBOX_ALG_HS512) },
    { ngx_string("RS256"), ALG_BIT(NGX_SANDBOX_ALG_RS256) },
    { ngx_string("PS256"), ALG_BIT(NGX_SANDBOX_ALG_PS256) },
    { ngx_string("ES256"), ALG_BIT(NGX_SANDBOX_ALG_ES256) },
    { ngx_string("ES384"), ALG_BIT(NGX_SANDBOX_ALG_ES384) },
    { ngx_string("EdDSA"), ALG_BIT(NGX_SANDBOX_ALG_EDDSA) },
    { ngx_null_string, 0 }
};

#undef ALG_BIT


static ngx_conf_post_t ngx_http_sandbox_auth_leeway_post = { ngx_http_sandbox_auth_check_leeway };


static ngx_command_t ngx_http_sandbox_auth_commands[] = {

    { ngx_string("sandbox_auth"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_sandbox_auth_loc_conf_t, enable),
      NULL },

    { ngx_string("sandbox_signed_url"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_sandbox_auth_loc_conf_t, signed_url),
      NULL },

    { ngx_string("sandbox_auth_bypass"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_sandbox_auth_main_conf_t, bypass),
      NULL },

    { ngx_string("sandbox_auth_secret_file"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_sandbox_auth_secret_file,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sandbox_auth_key_file"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_sandbox_auth_key_file,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sandbox_auth_jwks_file"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_sandbox_auth_jwks_file,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sandbox_auth_algorithms"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_conf_set_bitmask_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_sandbox_auth_loc_conf_t, algs),
      &ngx_http_sandbox_auth_algorithms },

    { ngx_string("sandbox_auth_issuer"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_sandbox_auth_names,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_sandbox_auth_loc_conf_t, issuers),
      NULL },

    { ngx_string("sandbox_auth_audience"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_sandbox_auth_names,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_sandbox_auth_loc_conf_t, audiences),
      NULL },

    { ngx_string("sandbox_auth_leeway"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_sandbox_auth_loc_conf_t, leeway),
      &ngx_http_sandbox_auth_leeway_post },

    { ngx_string("sandbox_auth_max_age"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_sandbox_auth_loc_conf_t, max_age),
      NULL },

    { ngx_string("sandbox_auth_claim"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE2,
      ngx_http_sandbox_auth_claim,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sandbox_auth_scope"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LMT_CONF|NGX_CONF_1MORE,
      ngx_http_sandbox_auth_scope,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sandbox_auth_tool_scope"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_2MORE,
      ngx_http_sandbox_auth_tool_scope,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sandbox_issuer"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_sandbox_auth_issuer_block,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_sandbox_auth_main_conf_t, issuers),
      NULL },

    { ngx_string("sandbox_resource"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_sandbox_auth_resource,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sandbox_resource_metadata"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_sandbox_auth_resource_metadata,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sandbox_auth_cache"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_sandbox_auth_cache,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t ngx_http_sandbox_auth_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_sandbox_auth_init,            /* postconfiguration */

    ngx_http_sandbox_auth_create_main_conf, /* create main configuration */
    ngx_http_sandbox_auth_init_main_conf,  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_sandbox_auth_create_loc_conf, /* create location configuration */
    ngx_http_sandbox_auth_merge_loc_conf   /* merge location configuration */
};


ngx_module_t ngx_http_sandbox_auth_module = {
    NGX_MODULE_V1,
    &ngx_http_sandbox_auth_module_ctx,     /* module context */
    ngx_http_sandbox_auth_commands,        /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_sandbox_auth_init_process,    /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_sandbox_auth_exit_process,    /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* RFC 6750: the scheme without case, then spaces. */
static ngx_int_t
ngx_http_sandbox_auth_bearer(ngx_str_t *value, ngx_str_t *ret)
{
    static ngx_str_t scheme = ngx_string("bearer ");

    if (value->len <= scheme.len || ngx_strncasecmp(value->data, scheme.data, scheme.len) != 0) {
        return NGX_DECLINED;
    }
    ret->data = value->data + scheme.len;
    ret->len = value->len - scheme.len;
    while (ret->len != 0 && *ret->data == ' ') {
        ret->data++;
        ret->len--;
    }
    return ret->len == 0 ? NGX_DECLINED : NGX_OK;
}


/*
 * NGX_OK and the token; NGX_DECLINED with *ret_why when what was sent cannot be one, or
 * NULL there when nothing was sent. Two headers of one name, or two tokens, are refused:
 * another party might have believed the other.
 */
static ngx_int_t
ngx_http_sandbox_auth_find_token(ngx_http_request_t *r, ngx_http_sandbox_auth_token_t *ret, const char **ret_why)
{
    static ngx_str_t bearer_name = ngx_string("authorization");
    static ngx_str_t api_key_name = ngx_string("x-api-key");
    ngx_table_elt_t *bearer, *api_key;
    ngx_uint_t n_bearers, n_api_keys;
    ngx_str_t in_query;

    *ret_why = NULL;
    if (ngx_http_arg(r, (u_char *) "access_token", sizeof("access_token") - 1, &in_query) == NGX_OK) {
        *ret_why = "a token in the query, which others log";
        return NGX_DECLINED;
    }
    bearer = ngx_http_sandbox_header_in(r, &bearer_name, &n_bearers);
    api_key = ngx_http_sandbox_header_in(r, &api_key_name, &n_api_keys);
    if (n_bearers > 1 || n_api_keys > 1) {
        *ret_why = "two headers of one name";
        return NGX_DECLINED;
    }
    if (bearer == NULL && api_key == NULL) {
        return NGX_DECLINED;
    }
    if (bearer != NULL && ngx_http_sandbox_auth_bearer(&bearer->value, &ret->token) != NGX_OK) {
        *ret_why = "Authorization is no bearer token";
        return NGX_DECLINED;
    }
    ret->method = NGX_HTTP_SANDBOX_AUTH_BEARER;
    if (bearer == NULL) {
        ret->token = api_key->value;
        ret->method = NGX_HTTP_SANDBOX_AUTH_API_KEY;
        return NGX_OK;
    }
    if (api_key != NULL
        && (api_key->value.len != ret->token.len
            || ngx_memcmp(api_key->value.data, ret->token.data, ret->token.len) != 0))
    {
        *ret_why = "Authorization and X-API-KEY differ";
        return NGX_DECLINED;
    }
    return NGX_OK;
}


static void
ngx_http_sandbox_auth_set_identity(ngx_http_sandbox_ctx_t *ctx, const struct ngx_sandbox_identity *identity,
    ngx_http_sandbox_auth_e method)
{
    struct sbx_context *context = &ctx->context;

    ngx_memcpy(context->tenant, identity->tenant, sizeof(context->tenant));
    ngx_memcpy(context->app, identity->app, sizeof(context->app));
    ngx_memcpy(context->agent, identity->agent, sizeof(context->agent));
    ngx_memcpy(context->subject, identity->subject, sizeof(context->subject));
    ngx_memcpy(context->token_id, identity->token_id, sizeof(context->token_id));
    ngx_memcpy(context->scopes, identity->scopes, sizeof(context->scopes));
    context->bypass = method == NGX_HTTP_SANDBOX_AUTH_BYPASS;
    ctx->auth = method;
    ctx->service = identity->client[0] != '\0';
    ctx->expires_s = 0;
}


static ngx_int_t
ngx_http_sandbox_auth_bypassed(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx,
    ngx_http_sandbox_auth_main_conf_t *amcf)
{
    ngx_http_sandbox_auth_set_identity(ctx, &amcf->bypass_identity, NGX_HTTP_SANDBOX_AUTH_BYPASS);
    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0, "sandbox auth: bypassed as tenant \"%s\", request %s",
                  ctx->context.tenant, ctx->context.request_id);
    return NGX_DECLINED;
}


/*
 * A request whose URL brings a signature. It stands or falls with that: no token makes up for a bad one, and none may
 * come along, because only one of both could be meant.
 */
static ngx_int_t
ngx_http_sandbox_auth_signed_url(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx)
{
    struct ngx_sandbox_identity identity;
    ngx_http_sandbox_auth_token_t token;
    const char *why = NULL;
    ngx_int_t rc;

    rc = ngx_http_sandbox_auth_find_token(r, &token, &why);
    if (rc == NGX_OK || why != NULL) {
        return ngx_http_sandbox_problem(r, "signed_url_and_token", SBX_PROBLEM_BAD_REQUEST,
                                        "Send a token or a signed URL, not both.");
    }

    rc = ngx_http_sandbox_auth_verify_url(r, &identity, &why);
    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "sandbox auth: signed URL refused: %s", why);
        return ngx_http_sandbox_problem(r, "signed_url", SBX_PROBLEM_UNAUTHORIZED,
                                        "The signed URL is not valid, or has expired.");
    }
    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "sandbox auth: a signed URL could not be verified");
        return ngx_http_sandbox_problem(r, "internal", SBX_PROBLEM_INTERNAL, NULL);
    }

    if (r == r->main) {
        ngx_http_sandbox_auth_set_identity(ctx, &identity, NGX_HTTP_SANDBOX_AUTH_SIGNED_URL);
    }
    return ngx_http_sandbox_auth_check_scopes(r, identity.scopes);
}


/* The answer to a token that was not verified, by what ngx_http_sandbox_auth_verify returned. */
static ngx_int_t
ngx_http_sandbox_auth_not_verified(ngx_http_request_t *r, ngx_int_t rc, const char *why, ngx_uint_t retry_s)
{
    struct sbx_problem unknown = {
        .code = SBX_PROBLEM_UNAVAILABLE,
        .detail = "The keys of the token's issuer are not known yet.",
        .retry_after_s = (unsigned) retry_s
    };

    if (rc == NGX_DECLINED) {
        return ngx_http_sandbox_auth_unauthorized(r, why == NULL ? "token_missing" : "token_invalid", why);
    }
    if (rc == NGX_BUSY) {
        return ngx_http_sandbox_refuse(r, "keys_unknown", &unknown);
    }
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "sandbox auth: a token could not be verified");
    return ngx_http_sandbox_problem(r, "internal", SBX_PROBLEM_INTERNAL, NULL);
}


/* The answer to a token that was taken back, or of which nobody here knows whether it was. */
static ngx_int_t
ngx_http_sandbox_auth_not_current(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx, ngx_int_t rc)
{
    static const struct sbx_problem unknown = { .code = SBX_PROBLEM_POLICY_UNKNOWN, .retry_after_s = 1 };

    /* The record says who it was; nothing may be done in this name. */
    ctx->auth = NGX_HTTP_SANDBOX_AUTH_NONE;
    if (rc == NGX_DECLINED) {
        return ngx_http_sandbox_auth_unauthorized(r, "token_revoked", "revoked");
    }
    if (rc == NGX_AGAIN) {
        return ngx_http_sandbox_refuse(r, "policy_unknown", &unknown);
    }
    return ngx_http_sandbox_problem(r, "internal", SBX_PROBLEM_INTERNAL, NULL);
}


/* Of a good token: as whom the request goes on, and whether it may here. */
static ngx_int_t
ngx_http_sandbox_auth_verified(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx,
    struct ngx_sandbox_identity *identity, ngx_http_sandbox_auth_e method)
{
    ngx_http_sandbox_auth_loc_conf_t *alcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_auth_module);
    char own[SBX_NAME_MAX + 1];
    ngx_int_t rc, may_act;

    if (r != r->main) {
        return ngx_http_sandbox_auth_check_scopes(r, identity->scopes);
    }
    ngx_memcpy(own, identity->tenant, sizeof(own));
    may_act = ngx_http_sandbox_auth_act_for(r, ctx, identity);
    ngx_http_sandbox_auth_set_identity(ctx, identity, method);
    ctx->expires_s = identity->expires_s + (uint64_t) alcf->leeway;
    rc = ngx_http_sandbox_auth_check_revoked(r, ctx, own, identity->issued_s);
    if (rc != NGX_OK) {
        return ngx_http_sandbox_auth_not_current(r, ctx, rc);
    }
    if (may_act != NGX_OK) {
        return ngx_http_sandbox_problem(r, "act_for", SBX_PROBLEM_FORBIDDEN,
                                        "This service may not act for the tenant that Sandbox-Tenant names.");
    }
    return ngx_http_sandbox_auth_check_scopes(r, identity->scopes);
}


/*
 * A message that went on to its tool's location, which is internal: the token was verified where it came in, by what that location says of
 * issuers and audiences. What this one adds is what the tool needs.
 */
static ngx_flag_t
ngx_http_sandbox_auth_is_forwarded(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx)
{
    const ngx_http_core_loc_conf_t *clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    const ngx_http_sandbox_mcp_t *mcp = ctx->mcp;

    return r == r->main && mcp != NULL && mcp->forwarded && clcf->internal && ctx->auth != NGX_HTTP_SANDBOX_AUTH_NONE;
}


/*
 * NGX_DECLINED lets the request go on to the next handler; everything else ends it. The
 * identity of an earlier pass (internal redirect) is forgotten first, so that a location
 * never sees one that its own rules did not verify. A subrequest is checked like any
 * other and changes nothing of the request it belongs to.
 */
static ngx_int_t
ngx_http_sandbox_auth_handler(ngx_http_request_t *r)
{
    static const struct ngx_sandbox_identity nobody;
    ngx_http_sandbox_auth_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_sandbox_auth_module);
    ngx_http_sandbox_auth_loc_conf_t *alcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_auth_module);
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx(r);
    struct ngx_sandbox_identity identity;
    ngx_http_sandbox_auth_token_t found;
    ngx_uint_t retry_s = 0;
    const char *why = NULL;
    ngx_int_t rc;

    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (ngx_http_sandbox_exempt(r)) {
        return NGX_DECLINED;
    }
    if (ngx_http_sandbox_auth_is_forwarded(r, ctx)) {
        return ctx->context.bypass ? NGX_DECLINED : ngx_http_sandbox_auth_check_scopes(r, ctx->context.scopes);
    }
    /* None is without a tenant. */
    if (r == r->main && (ctx->auth != NGX_HTTP_SANDBOX_AUTH_NONE || ctx->context.tenant[0] != '\0')) {
        ngx_http_sandbox_auth_set_identity(ctx, &nobody, NGX_HTTP_SANDBOX_AUTH_NONE);
    }
    if (!alcf->enable) {
        return NGX_DECLINED;
    }
    if (alcf->signed_url && sbx_signed_url_wanted((const char *) r->args.data, r->args.len)) {
        return ngx_http_sandbox_auth_signed_url(r, ctx);
    }
    if (amcf->bypass) {
        return ngx_http_sandbox_auth_bypassed(r, ctx, amcf);
    }

    rc = ngx_http_sandbox_auth_find_token(r, &found, &why);
    if (rc == NGX_OK) {
        rc = ngx_http_sandbox_auth_verify(r, &found.token, &identity, &why, &retry_s);
    }
    if (rc == NGX_AGAIN) {
        return rc;
    }
    if (rc != NGX_OK) {
        return ngx_http_sandbox_auth_not_verified(r, rc, why, retry_s);
    }
    return ngx_http_sandbox_auth_verified(r, ctx, &identity, found.method);
}


static ngx_int_t
ngx_http_sandbox_auth_init_process(ngx_cycle_t *cycle)
{
    ngx_http_sandbox_auth_main_conf_t *amcf;
    ngx_http_sandbox_auth_issuer_t *issuer;
    ngx_uint_t i;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE) {
        return NGX_OK;
    }
    ngx_http_sandbox_auth_watch_start(cycle);
    amcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_sandbox_auth_module);
    if (amcf == NULL || amcf->issuers == NULL) {
        return NGX_OK;
    }
    issuer = amcf->issuers->elts;
    for (i = 0; i < amcf->issuers->nelts; i++) {
        if (issuer[i].jwks != NULL) {
            ngx_http_sandbox_jwks_start(issuer[i].jwks, cycle);
        }
    }
    return NGX_OK;
}


static void
ngx_http_sandbox_auth_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_sandbox_token_near_clear();
}


static ngx_int_t
ngx_http_sandbox_auth_init(ngx_conf_t *cf)
{
    ngx_http_sandbox_auth_main_conf_t *amcf;
    ngx_http_core_main_conf_t *cmcf;
    ngx_http_handler_pt *h;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_auth_module);
    if (amcf->used && !ngx_http_sandbox_has_context_key(cf)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"sandbox_auth on\" needs \"sandbox_context_key_file\"");
        return NGX_ERROR;
    }
    amcf->can_revoke = ngx_http_sandbox_control_configured(cf);
    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }
    *h = ngx_http_sandbox_auth_handler;
    return NGX_OK;
}
