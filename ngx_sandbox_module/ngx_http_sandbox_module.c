/*
 * Ids of a request, its form, the signed identity context, the $sandbox_* variables,
 * and the two locations that belong to no tenant: problem documents and health.
 */
#include "ngx_http_sandbox.h"
#include "ngx_http_sandbox_forward.h"
#include "ngx_http_sandbox_request.h"

#include "lib/sbx_crypto.h"
#include "lib/sbx_time.h"


#define NGX_HTTP_SANDBOX_KEY_FILE_MAX  4096


typedef struct {
    ngx_str_t context_key;
    struct sbx_context_signer *signer; /* under context_key; NULL without one. Workers each have their copy. */
} ngx_http_sandbox_core_main_conf_t;


typedef struct {
    ngx_array_t *public_ports; /* ngx_uint_t */
} ngx_http_sandbox_core_srv_conf_t;


typedef struct {
    ngx_flag_t exempt;
} ngx_http_sandbox_core_loc_conf_t;


static ngx_int_t ngx_http_sandbox_core_post_read_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_sandbox_core_precontent_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_sandbox_core_problem_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_sandbox_core_health_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_sandbox_core_header_filter(ngx_http_request_t *r);

static ngx_int_t ngx_http_sandbox_core_id_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data);
static ngx_int_t ngx_http_sandbox_core_text_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data);
static ngx_int_t ngx_http_sandbox_core_slug_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data);
static ngx_int_t ngx_http_sandbox_core_method_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data);
static ngx_int_t ngx_http_sandbox_core_identity_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data);
static ngx_int_t ngx_http_sandbox_core_uri_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data);
static ngx_int_t ngx_http_sandbox_core_context_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data);
static ngx_int_t ngx_http_sandbox_core_forward_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data);

static ngx_int_t ngx_http_sandbox_core_add_variables(ngx_conf_t *cf);
static void *ngx_http_sandbox_core_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_sandbox_core_create_srv_conf(ngx_conf_t *cf);
static char *ngx_http_sandbox_core_merge_srv_conf(ngx_conf_t *cf, void *parent, void *child);
static void *ngx_http_sandbox_core_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_sandbox_core_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static ngx_int_t ngx_http_sandbox_core_init(ngx_conf_t *cf);
static char *ngx_http_sandbox_core_key_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_sandbox_core_public_port(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_sandbox_core_problem(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_sandbox_core_health(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


static ngx_command_t ngx_http_sandbox_core_commands[] = {

    { ngx_string("sandbox_context_key_file"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_sandbox_core_key_file,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sandbox_public_port"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_1MORE,
      ngx_http_sandbox_core_public_port,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sandbox_problem"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_sandbox_core_problem,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sandbox_health"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_sandbox_core_health,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t ngx_http_sandbox_module_ctx = {
    ngx_http_sandbox_core_add_variables,   /* preconfiguration */
    ngx_http_sandbox_core_init,            /* postconfiguration */

    ngx_http_sandbox_core_create_main_conf, /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_http_sandbox_core_create_srv_conf, /* create server configuration */
    ngx_http_sandbox_core_merge_srv_conf,  /* merge server configuration */

    ngx_http_sandbox_core_create_loc_conf, /* create location configuration */
    ngx_http_sandbox_core_merge_loc_conf   /* merge location configuration */
};


ngx_module_t ngx_http_sandbox_module = {
    NGX_MODULE_V1,
    &ngx_http_sandbox_module_ctx,     /* module context */
    ngx_http_sandbox_core_commands,        /* module directives */
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


#define CONTEXT_AT(member)  offsetof(ngx_http_sandbox_ctx_t, context.member)

/* None may be cached: the values come into being from phase to phase. */
static ngx_http_variable_t ngx_http_sandbox_core_variables[] = {

    { ngx_string("sandbox_request_id"), NULL, ngx_http_sandbox_core_id_variable,
      CONTEXT_AT(request_id), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sandbox_traceparent"), NULL, ngx_http_sandbox_core_id_variable,
      CONTEXT_AT(traceparent), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sandbox_tenant"), NULL, ngx_http_sandbox_core_text_variable,
      CONTEXT_AT(tenant), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sandbox_app"), NULL, ngx_http_sandbox_core_text_variable,
      CONTEXT_AT(app), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sandbox_agent"), NULL, ngx_http_sandbox_core_text_variable,
      CONTEXT_AT(agent), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sandbox_subject"), NULL, ngx_http_sandbox_core_text_variable,
      CONTEXT_AT(subject), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sandbox_scopes"), NULL, ngx_http_sandbox_core_text_variable,
      CONTEXT_AT(scopes), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sandbox_auth_method"), NULL, ngx_http_sandbox_core_method_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sandbox_identity"), NULL, ngx_http_sandbox_core_identity_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sandbox_auth_cache"), NULL, ngx_http_sandbox_core_slug_variable,
      offsetof(ngx_http_sandbox_ctx_t, auth_cache), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sandbox_denied"), NULL, ngx_http_sandbox_core_slug_variable,
      offsetof(ngx_http_sandbox_ctx_t, denied), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sandbox_policy"), NULL, ngx_http_sandbox_core_slug_variable,
      offsetof(ngx_http_sandbox_ctx_t, policy), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sandbox_uri"), NULL, ngx_http_sandbox_core_uri_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sandbox_context"), NULL, ngx_http_sandbox_core_context_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sandbox_forward"), NULL, ngx_http_sandbox_core_forward_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};

#undef CONTEXT_AT


static ngx_http_output_header_filter_pt ngx_http_next_header_filter;


static ngx_int_t
ngx_http_sandbox_core_post_read_handler(ngx_http_request_t *r)
{
    static ngx_str_t act_for_name = ngx_string("sandbox-tenant");
    ngx_http_sandbox_core_srv_conf_t *cscf;
    const struct sbx_problem *problem;
    ngx_http_sandbox_ctx_t *ctx;
    const char *why = NULL;
    ngx_table_elt_t *h;

    ctx = ngx_http_sandbox_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (ctx->opened) {
        return NGX_DECLINED;
    }
    ctx->opened = 1;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0, "sandbox request id: %s", ctx->context.request_id);

    /* The one header of ours that a client may mean something by, for auth to judge. */
    h = ngx_http_sandbox_header_in(r, &act_for_name, &ctx->n_act_for);
    if (h != NULL) {
        ctx->act_for = h->value;
    }
    if (ngx_http_sandbox_strip_headers(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    cscf = ngx_http_get_module_srv_conf(r, ngx_http_sandbox_module);
    problem = ngx_http_sandbox_check_form(r, cscf->public_ports, &why);
    if (problem != NULL) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "sandbox: request refused for its %s", why);
        /* What follows on the connection was framed by a client that already broke the rules. */
        r->keepalive = 0;
        return ngx_http_sandbox_refuse(r, why, problem);
    }
    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_sandbox_core_sign(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx)
{
    static char scratch[SBX_CONTEXT_MAX + 1];
    struct sbx_buf out = SBX_BUF_OVER(scratch);
    ngx_http_sandbox_core_main_conf_t *cmcf;
    struct sbx_context *context = &ctx->context;
    ngx_str_t signed_context;
    ngx_int_t rc;
    size_t len;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_sandbox_module);
    len = ngx_min(r->connection->addr_text.len, sizeof(context->client) - 1);
    ngx_memcpy(context->client, r->connection->addr_text.data, len);
    context->client[len] = '\0';
    context->issued_ms = sbx_now_unix_ms();
    if (context->policy_id[0] == '\0') {
        ngx_memcpy(context->policy_id, "none", sizeof("none"));
    }

    if (cmcf->signer == NULL || sbx_context_signer_sign(cmcf->signer, &out, context) != 0) {
        return NGX_ERROR;
    }
    signed_context.data = (u_char *) out.data;
    signed_context.len = out.len;
    rc = ngx_http_sandbox_forward(r, ctx, &signed_context);
    ngx_explicit_memzero(scratch, out.len);
    return rc;
}


/* Last before content: no request of a tenant reaches proxy_pass without its context. */
static ngx_int_t
ngx_http_sandbox_core_precontent_handler(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx(r);

    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (r != r->main) {
        return NGX_DECLINED;
    }
    ngx_http_sandbox_forward_forget(ctx);
    if (ctx->auth == NGX_HTTP_SANDBOX_AUTH_NONE || ngx_http_sandbox_exempt(r)) {
        return NGX_DECLINED;
    }
    if (ngx_http_sandbox_core_sign(r, ctx) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "sandbox: the identity context could not be signed");
        return ngx_http_sandbox_problem(r, "context", SBX_PROBLEM_INTERNAL, NULL);
    }
    return NGX_DECLINED;
}


/* nginx's own status codes, and those that only a client's fault makes, have no entry of their own. */
static enum sbx_problem_code
ngx_http_sandbox_core_problem_of(ngx_uint_t status)
{
    switch (status) {

    case 0:
        return SBX_PROBLEM_NOT_FOUND;

    case NGX_HTTP_REQUEST_HEADER_TOO_LARGE:
        return SBX_PROBLEM_HEADERS_TOO_LARGE;

    case NGX_HTTPS_CERT_ERROR:
    case NGX_HTTPS_NO_CERT:
    case NGX_HTTP_TO_HTTPS:
    case NGX_HTTP_MISDIRECTED_REQUEST:
    case NGX_HTTP_NOT_IMPLEMENTED: /* a transfer coding nginx does not know */
    case NGX_HTTP_VERSION_NOT_SUPPORTED:
        return SBX_PROBLEM_BAD_REQUEST;

    default:
        return sbx_problem_by_status((int) status);
    }
}


/*
 * Whether the last upstream was sent nothing: it is away. nginx has one status for that and for an upstream that
 * broke off. A request that may not be repeated has one upstream only, so nobody has done anything for it. The
 * record of the connection outlives the redirect to the document.
 */
static ngx_uint_t
ngx_http_sandbox_core_is_unsent(ngx_http_request_t *r)
{
    ngx_http_upstream_state_t *state;

    if (r->upstream_states == NULL || r->upstream_states->nelts == 0) {
        return 0;
    }
    state = r->upstream_states->elts;
    return state[r->upstream_states->nelts - 1].bytes_sent == 0;
}


static ngx_int_t
ngx_http_sandbox_core_problem_handler(ngx_http_request_t *r)
{
    struct sbx_problem problem = { .code = ngx_http_sandbox_core_problem_of(r->err_status) };
    ngx_uint_t is_upstream = problem.code == SBX_PROBLEM_BAD_GATEWAY || problem.code == SBX_PROBLEM_GATEWAY_TIMEOUT;

    if (is_upstream && ngx_http_sandbox_core_is_unsent(r)) {
        problem.code = SBX_PROBLEM_UNAVAILABLE;
    }
    if (is_upstream || problem.code == SBX_PROBLEM_UNAVAILABLE) {
        problem.retry_after_s = 1;
    }
    return ngx_http_sandbox_send_problem(r, &problem);
}


static ngx_int_t
ngx_http_sandbox_core_health_handler(ngx_http_request_t *r)
{
    static ngx_str_t content_type = ngx_string("application/json");
    static ngx_str_t body = ngx_string("{\"status\":\"ok\"}");
    static ngx_str_t allow = ngx_string("Allow");
    static ngx_str_t methods = ngx_string("GET, HEAD");
    static const struct sbx_problem bad_method = { .code = SBX_PROBLEM_METHOD_NOT_ALLOWED };

    if (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)) {
        return ngx_http_sandbox_send(r, NGX_HTTP_OK, &content_type, &body);
    }
    if (ngx_http_sandbox_add_header(r, &allow, &methods) != NGX_OK) {
        return NGX_ERROR;
    }
    return ngx_http_sandbox_send_problem(r, &bad_method);
}


/* Ours, not the upstream's: both were made from the ids that went there. */
static void
ngx_http_sandbox_core_hide(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_list_part_t *part;
    ngx_table_elt_t *h;
    ngx_uint_t i;

    for (part = &r->headers_out.headers.part; part != NULL; part = part->next) {
        h = part->elts;
        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == name->len && ngx_strncasecmp(h[i].key.data, name->data, name->len) == 0) {
                h[i].hash = 0;
            }
        }
    }
}


static ngx_int_t
ngx_http_sandbox_core_header_filter(ngx_http_request_t *r)
{
    static ngx_str_t id_name = ngx_string("X-Request-Id");
    static ngx_str_t trace_name = ngx_string("traceparent");
    ngx_http_sandbox_ctx_t *ctx;
    ngx_str_t id, trace;

    if (r != r->main) {
        return ngx_http_next_header_filter(r);
    }
    ctx = ngx_http_sandbox_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }
    id.data = (u_char *) ctx->context.request_id;
    id.len = ngx_strlen(id.data);
    trace.data = (u_char *) ctx->context.traceparent;
    trace.len = ngx_strlen(trace.data);

    ngx_http_sandbox_core_hide(r, &id_name);
    ngx_http_sandbox_core_hide(r, &trace_name);
    if (ngx_http_sandbox_add_header(r, &id_name, &id) != NGX_OK
        || ngx_http_sandbox_add_header(r, &trace_name, &trace) != NGX_OK)
    {
        return NGX_ERROR;
    }
    return ngx_http_next_header_filter(r);
}


static void
ngx_http_sandbox_core_set_variable(ngx_http_variable_value_t *v, u_char *data, size_t len)
{
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = len;
    v->data = data;
}


static ngx_int_t
ngx_http_sandbox_core_text_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char *ctx = (u_char *) ngx_http_sandbox_ctx_peek(r);

    if (ctx == NULL || ctx[data] == '\0') {
        v->not_found = 1;
        return NGX_OK;
    }
    ngx_http_sandbox_core_set_variable(v, ctx + data, ngx_strlen(ctx + data));
    return NGX_OK;
}


/* A request that failed before its headers were read has an id all the same. */
static ngx_int_t
ngx_http_sandbox_core_id_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    if (ngx_http_sandbox_ctx(r) == NULL) {
        return NGX_ERROR;
    }
    return ngx_http_sandbox_core_text_variable(r, v, data);
}


static ngx_int_t
ngx_http_sandbox_core_slug_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx_peek(r);
    char *slug = NULL;

    if (ctx != NULL) {
        slug = *(char **) ((u_char *) ctx + data);
    }
    if (slug == NULL || *slug == '\0') {
        v->not_found = 1;
        return NGX_OK;
    }
    ngx_http_sandbox_core_set_variable(v, (u_char *) slug, ngx_strlen(slug));
    return NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_core_method_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    static ngx_str_t names[] = {
        [NGX_HTTP_SANDBOX_AUTH_NONE] = ngx_string("none"),
        [NGX_HTTP_SANDBOX_AUTH_BEARER] = ngx_string("bearer"),
        [NGX_HTTP_SANDBOX_AUTH_API_KEY] = ngx_string("api_key"),
        [NGX_HTTP_SANDBOX_AUTH_BYPASS] = ngx_string("bypass"),
        [NGX_HTTP_SANDBOX_AUTH_SIGNED_URL] = ngx_string("signed_url")
    };
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx_peek(r);
    ngx_str_t *name = &names[ctx == NULL ? NGX_HTTP_SANDBOX_AUTH_NONE : ctx->auth];

    ngx_http_sandbox_core_set_variable(v, name->data, name->len);
    return NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_core_identity_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx_peek(r);

    if (ctx == NULL || ctx->context.tenant[0] == '\0') {
        v->not_found = 1;
        return NGX_OK;
    }
    ngx_http_sandbox_core_set_variable(v, (u_char *) (ctx->service ? "service" : "user"), ctx->service ? 7 : 4);
    return NGX_OK;
}


/*
 * What was decided on is what is forwarded: the normalised path, escaped again, never the raw one. The arguments of a
 * signed URL have done their work: behind the edge the identity is in the context alone.
 */
static ngx_int_t
ngx_http_sandbox_core_uri_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx_peek(r);
    u_char *p, *start;
    size_t len;

    len = r->uri.len + 2 * ngx_escape_uri(NULL, r->uri.data, r->uri.len, NGX_ESCAPE_URI);
    start = ngx_pnalloc(r->pool, len + 1 + r->args.len);
    if (start == NULL) {
        return NGX_ERROR;
    }
    p = (u_char *) ngx_escape_uri(start, r->uri.data, r->uri.len, NGX_ESCAPE_URI);
    if (r->args.len != 0 && (ctx == NULL || ctx->auth != NGX_HTTP_SANDBOX_AUTH_SIGNED_URL)) {
        *p++ = '?';
        p = ngx_cpymem(p, r->args.data, r->args.len);
    }
    ngx_http_sandbox_core_set_variable(v, start, p - start);
    return NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_core_context_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx_peek(r);

    if (ctx == NULL || ctx->signed_context.len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }
    ngx_http_sandbox_core_set_variable(v, ctx->signed_context.data, ctx->signed_context.len);
    return NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_core_forward_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    static const ngx_str_t none;
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx(r);

    /* There since the context was signed; without one, as auth is off here, it is made when asked for. */
    if (ctx == NULL || (ctx->forward.len == 0 && ngx_http_sandbox_forward(r, ctx, &none) != NGX_OK)) {
        return NGX_ERROR;
    }
    ngx_http_sandbox_core_set_variable(v, ctx->forward.data, ctx->forward.len);
    return NGX_OK;
}


ngx_flag_t
ngx_http_sandbox_exempt(ngx_http_request_t *r)
{
    ngx_http_sandbox_core_loc_conf_t *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_module);
    return clcf->exempt;
}


ngx_flag_t
ngx_http_sandbox_has_context_key(ngx_conf_t *cf)
{
    ngx_http_sandbox_core_main_conf_t *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_module);
    return cmcf->context_key.len != 0;
}


const ngx_str_t *
ngx_http_sandbox_context_key(ngx_http_request_t *r)
{
    ngx_http_sandbox_core_main_conf_t *cmcf;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_sandbox_module);
    return &cmcf->context_key;
}


const ngx_str_t *
ngx_http_sandbox_cycle_key(ngx_cycle_t *cycle)
{
    ngx_http_sandbox_core_main_conf_t *cmcf;

    cmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_sandbox_module);
    return &cmcf->context_key;
}


ngx_int_t
ngx_http_sandbox_add_variables(ngx_conf_t *cf, ngx_http_variable_t *variables)
{
    ngx_http_variable_t *var, *v;

    for (v = variables; v->name.len != 0; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }
        var->get_handler = v->get_handler;
        var->data = v->data;
    }
    return NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_core_add_variables(ngx_conf_t *cf)
{
    return ngx_http_sandbox_add_variables(cf, ngx_http_sandbox_core_variables);
}


static void *
ngx_http_sandbox_core_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_core_main_conf_t));
}


static void *
ngx_http_sandbox_core_create_srv_conf(ngx_conf_t *cf)
{
    ngx_http_sandbox_core_srv_conf_t *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_core_srv_conf_t));
    if (conf != NULL) {
        conf->public_ports = NGX_CONF_UNSET_PTR;
    }
    return conf;
}


static char *
ngx_http_sandbox_core_merge_srv_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_sandbox_core_srv_conf_t *prev = parent;
    ngx_http_sandbox_core_srv_conf_t *conf = child;

    ngx_conf_merge_ptr_value(conf->public_ports, prev->public_ports, NULL);
    return NGX_CONF_OK;
}


static void *
ngx_http_sandbox_core_create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_core_loc_conf_t));
}


/*
 * `exempt` belongs to the location that says it; nested ones do not inherit. The size of a
 * body is not asked there: it would be refused a second time on its way to the document.
 */
static char *
ngx_http_sandbox_core_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_sandbox_core_loc_conf_t *conf = child;
    ngx_http_core_loc_conf_t *clcf;

    if (conf->exempt) {
        clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
        clcf->client_max_body_size = 0;
    }
    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_sandbox_core_add_handler(ngx_conf_t *cf, ngx_http_phases phase, ngx_http_handler_pt handler)
{
    ngx_http_core_main_conf_t *cmcf;
    ngx_http_handler_pt *h;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    h = ngx_array_push(&cmcf->phases[phase].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }
    *h = handler;
    return NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_core_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_sandbox_core_header_filter;

    if (ngx_http_sandbox_core_add_handler(cf, NGX_HTTP_POST_READ_PHASE, ngx_http_sandbox_core_post_read_handler)
        != NGX_OK)
    {
        return NGX_ERROR;
    }
    return ngx_http_sandbox_core_add_handler(cf, NGX_HTTP_PRECONTENT_PHASE,
                                             ngx_http_sandbox_core_precontent_handler);
}


ngx_int_t
ngx_http_sandbox_read_file(ngx_conf_t *cf, ngx_str_t *path, size_t max, ngx_str_t *ret)
{
    ngx_file_t file;
    ngx_file_info_t fi;
    ngx_int_t rc = NGX_ERROR;
    ssize_t n;

    ngx_memzero(&file, sizeof(ngx_file_t));
    if (ngx_conf_full_name(cf->cycle, path, 1) != NGX_OK) {
        return NGX_ERROR;
    }
    file.name = *path;
    file.log = cf->log;
    file.fd = ngx_open_file(path->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK, NGX_FILE_OPEN, 0);
    if (file.fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno, ngx_open_file_n " \"%V\" failed", path);
        return NGX_ERROR;
    }
    if (ngx_fd_info(file.fd, &fi) == NGX_FILE_ERROR || !ngx_is_file(&fi)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" is not a regular file", path);
        goto done;
    }
    if (ngx_file_size(&fi) == 0 || (uint64_t) ngx_file_size(&fi) > max) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" must have 1 to %uz bytes", path, max);
        goto done;
    }
    ret->len = (size_t) ngx_file_size(&fi);
    ret->data = ngx_pnalloc(cf->pool, ret->len);
    if (ret->data == NULL) {
        goto done;
    }
    n = ngx_read_file(&file, ret->data, ret->len, 0);
    if (n == (ssize_t) ret->len) {
        rc = NGX_OK;
    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" could not be read whole", path);
    }

done:

    if (ngx_close_file(file.fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno, ngx_close_file_n " \"%V\" failed", path);
    }
    return rc;
}


static void
ngx_http_sandbox_core_signer_cleanup(void *data)
{
    sbx_context_signer_free(data);
}


static char *
ngx_http_sandbox_core_key_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_core_main_conf_t *cmcf = conf;
    ngx_str_t *value = cf->args->elts;
    ngx_str_t *key = &cmcf->context_key;
    ngx_pool_cleanup_t *cln;

    if (key->data != NULL) {
        return "is duplicate";
    }
    if (ngx_http_sandbox_read_file(cf, &value[1], NGX_HTTP_SANDBOX_KEY_FILE_MAX, key) != NGX_OK) {
        return NGX_CONF_ERROR;
    }
    if (key->data[key->len - 1] == '\n') {
        key->len--;
    }
    if (key->len < SBX_CONTEXT_KEY_MIN) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "the key in \"%V\" has fewer than %d bytes", &value[1],
                           SBX_CONTEXT_KEY_MIN);
        return NGX_CONF_ERROR;
    }
    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL || sbx_context_signer_new(&cmcf->signer, key->data, key->len) != 0) {
        return NGX_CONF_ERROR;
    }
    cln->handler = ngx_http_sandbox_core_signer_cleanup;
    cln->data = cmcf->signer;
    return NGX_CONF_OK;
}


static char *
ngx_http_sandbox_core_public_port(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_core_srv_conf_t *cscf = conf;
    ngx_str_t *value = cf->args->elts;
    ngx_uint_t i, *port;
    ngx_int_t n;

    if (cscf->public_ports != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }
    cscf->public_ports = ngx_array_create(cf->pool, cf->args->nelts, sizeof(ngx_uint_t));
    if (cscf->public_ports == NULL) {
        return NGX_CONF_ERROR;
    }
    for (i = 1; i < cf->args->nelts; i++) {
        n = ngx_atoi(value[i].data, value[i].len);
        if (n < 1 || n > 65535) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid port \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }
        port = ngx_array_push(cscf->public_ports);
        if (port == NULL) {
            return NGX_CONF_ERROR;
        }
        *port = (ngx_uint_t) n;
    }
    return NGX_CONF_OK;
}


static char *
ngx_http_sandbox_core_serve(ngx_conf_t *cf, void *conf, ngx_http_handler_pt handler)
{
    ngx_http_sandbox_core_loc_conf_t *slcf = conf;
    ngx_http_core_loc_conf_t *clcf;

    if (slcf->exempt) {
        return "is duplicate";
    }
    slcf->exempt = 1;
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = handler;
    return NGX_CONF_OK;
}


static char *
ngx_http_sandbox_core_problem(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_sandbox_core_serve(cf, conf, ngx_http_sandbox_core_problem_handler);
}


static char *
ngx_http_sandbox_core_health(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_sandbox_core_serve(cf, conf, ngx_http_sandbox_core_health_handler);
}
