/*
 * Who is asking: verifies the token of a request in PREACCESS, so that limits, which
 * run later in the same phase, know the tenant. Denies unless something here allows.
 */
#include "ngx_http_sandbox.h"
#include "ngx_http_sandbox_auth_conf.h"
#include "ngx_http_sandbox_token_cache.h"

#include "lib/sbx_signed_url.h"


typedef struct {
    ngx_str_t token;
    ngx_http_sandbox_auth_e method;
} ngx_http_sandbox_auth_token_t;


static ngx_int_t ngx_http_sandbox_auth_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_sandbox_auth_init(ngx_conf_t *cf);


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
      ngx_http_sandbox_auth_names,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_sandbox_auth_loc_conf_t, scopes),
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
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* All bad tokens, and none at all, get the same words: the reason is for our log. */
static ngx_int_t
ngx_http_sandbox_auth_unauthorized(ngx_http_request_t *r, const char *why)
{
    static ngx_str_t name = ngx_string("WWW-Authenticate");
    static ngx_str_t missing = ngx_string("Bearer realm=\"sandbox\"");
    static ngx_str_t invalid = ngx_string("Bearer realm=\"sandbox\", error=\"invalid_token\"");
    ngx_flag_t sent = why != NULL;

    if (ngx_http_sandbox_add_header(r, &name, sent ? &invalid : &missing) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "sandbox auth: token refused: %s", sent ? why : "none sent");
    return ngx_http_sandbox_problem(r, sent ? "token_invalid" : "token_missing", SBX_PROBLEM_UNAUTHORIZED,
                                    "Send a valid token as \"Authorization: Bearer\" or \"X-API-KEY\".");
}


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

    *ret_why = NULL;
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


static ngx_int_t
ngx_http_sandbox_auth_cache_key(ngx_http_sandbox_auth_loc_conf_t *alcf, ngx_str_t *token,
    u_char key[SBX_SHA256_LEN])
{
    u_char bytes[SBX_SHA256_LEN + NGX_SANDBOX_TOKEN_MAX];

    ngx_memcpy(bytes, alcf->digest, SBX_SHA256_LEN);
    ngx_memcpy(bytes + SBX_SHA256_LEN, token->data, token->len);
    return sbx_sha256(bytes, SBX_SHA256_LEN + token->len, key) == 0 ? NGX_OK : NGX_ERROR;
}


/* NGX_OK and the identity; NGX_DECLINED with the reason; NGX_ERROR. Only NGX_OK may allow anything. */
static ngx_int_t
ngx_http_sandbox_auth_verify(ngx_http_request_t *r, ngx_str_t *token, struct ngx_sandbox_identity *ret,
    const char **ret_why)
{
    ngx_http_sandbox_auth_loc_conf_t *alcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_auth_module);
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx(r);
    uint64_t now = (uint64_t) ngx_time();
    u_char key[SBX_SHA256_LEN];
    int rc;

    if (ctx == NULL || alcf->rules.keys == NULL) {
        return NGX_ERROR;
    }
    if (token->len > NGX_SANDBOX_TOKEN_MAX) {
        *ret_why = "token is too long";
        return NGX_DECLINED;
    }
    if (alcf->cache != NULL) {
        if (ngx_http_sandbox_auth_cache_key(alcf, token, key) != NGX_OK) {
            return NGX_ERROR;
        }
        if (ngx_http_sandbox_token_cache_find(alcf->cache, key, ret) == NGX_OK
            && ngx_sandbox_identity_current(ret, alcf->rules.leeway_s, now))
        {
            ctx->auth_cache = "HIT";
            return NGX_OK;
        }
        ctx->auth_cache = "MISS";
    }

    rc = ngx_sandbox_jwt_verify(ret, (const char *) token->data, token->len, &alcf->rules, now, ret_why);
    if (rc == JWT_E_INVALID) {
        return NGX_DECLINED;
    }
    if (rc != 0) {
        return NGX_ERROR;
    }
    if (alcf->cache != NULL) {
        ngx_http_sandbox_token_cache_add(alcf->cache, key, ret);
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
}


static ngx_int_t
ngx_http_sandbox_auth_forbidden(ngx_http_request_t *r, ngx_str_t *scope)
{
    static ngx_str_t name = ngx_string("WWW-Authenticate");
    ngx_str_t value;

    value.data = ngx_pnalloc(r->pool, sizeof("Bearer realm=\"sandbox\", error=\"insufficient_scope\", scope=\"\"")
                                      + scope->len);
    if (value.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    value.len = ngx_sprintf(value.data, "Bearer realm=\"sandbox\", error=\"insufficient_scope\", scope=\"%V\"", scope)
                - value.data;
    if (ngx_http_sandbox_add_header(r, &name, &value) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return ngx_http_sandbox_problem(r, "scope", SBX_PROBLEM_FORBIDDEN, "The token lacks a scope this route needs.");
}


static ngx_int_t
ngx_http_sandbox_auth_check_scopes(ngx_http_request_t *r, const char *scopes)
{
    ngx_http_sandbox_auth_loc_conf_t *alcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_auth_module);
    ngx_str_t *scope;
    ngx_uint_t i;

    if (alcf->scopes == NULL) {
        return NGX_DECLINED;
    }
    scope = alcf->scopes->elts;
    for (i = 0; i < alcf->scopes->nelts; i++) {
        if (!ngx_sandbox_scope_in(scopes, (const char *) scope[i].data, scope[i].len)) {
            return ngx_http_sandbox_auth_forbidden(r, &scope[i]);
        }
    }
    return NGX_DECLINED;
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


/* NGX_OK and the identity; NGX_DECLINED with the reason; NGX_ERROR. The path counts as the client spelt it. */
static ngx_int_t
ngx_http_sandbox_auth_verify_url(ngx_http_request_t *r, struct ngx_sandbox_identity *ret, const char **ret_why)
{
    static const char *const reasons[] = {
        [SBX_SIGNED_URL_E_FORM] = "it is not of the form",
        [SBX_SIGNED_URL_E_MAC] = "its signature is not ours",
        [SBX_SIGNED_URL_E_TIME] = "it has expired, or lives for too long"
    };
    const ngx_str_t *key = ngx_http_sandbox_context_key(r);
    struct sbx_signed_url_request request = {
        .method = (const char *) r->method_name.data,
        .method_len = r->method_name.len,
        .path = (const char *) r->unparsed_uri.data,
        .path_len = r->unparsed_uri.len - r->args.len - 1,
        .query = (const char *) r->args.data,
        .query_len = r->args.len
    };
    struct sbx_signed_url url;
    u_char url_key[SBX_SIGNED_URL_KEY_LEN];
    int rc;

    /* A rewritten path, an absolute target or a fragment: what was spelt is not what will be served. */
    if (r->unparsed_uri.len != r->uri.len + 1 + r->args.len
        || ngx_memcmp(r->unparsed_uri.data, r->uri.data, r->uri.len) != 0)
    {
        *ret_why = reasons[SBX_SIGNED_URL_E_FORM];
        return NGX_DECLINED;
    }

    rc = sbx_signed_url_key(url_key, key->data, key->len);
    if (rc == 0) {
        rc = sbx_signed_url_verify(&url, &request, url_key, (uint64_t) ngx_time());
    }
    ngx_explicit_memzero(url_key, sizeof(url_key));
    if (rc > 0) {
        *ret_why = reasons[rc];
        return NGX_DECLINED;
    }
    if (rc != 0) {
        return NGX_ERROR;
    }
    if (!ngx_sandbox_identity_name_valid(url.tenant, ngx_strlen(url.tenant))) {
        *ret_why = "no token has such a tenant";
        return NGX_DECLINED;
    }

    ngx_memzero(ret, sizeof(*ret));
    ngx_memcpy(ret->tenant, url.tenant, sizeof(url.tenant));
    ngx_memcpy(ret->subject, "signed-url", sizeof("signed-url"));
    ngx_memcpy(ret->scopes, "artifacts:read", sizeof("artifacts:read"));
    return NGX_OK;
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
    const char *why = NULL;
    ngx_int_t rc;

    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (ngx_http_sandbox_exempt(r)) {
        return NGX_DECLINED;
    }
    if (r == r->main) {
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
        rc = ngx_http_sandbox_auth_verify(r, &found.token, &identity, &why);
    }
    if (rc == NGX_DECLINED) {
        return ngx_http_sandbox_auth_unauthorized(r, why);
    }
    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "sandbox auth: a token could not be verified");
        return ngx_http_sandbox_problem(r, "internal", SBX_PROBLEM_INTERNAL, NULL);
    }
    if (r == r->main) {
        ngx_http_sandbox_auth_set_identity(ctx, &identity, found.method);
    }
    return ngx_http_sandbox_auth_check_scopes(r, identity.scopes);
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
    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }
    *h = ngx_http_sandbox_auth_handler;
    return NGX_OK;
}
