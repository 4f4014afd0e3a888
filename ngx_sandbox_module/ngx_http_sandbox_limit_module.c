/*
 * Owns rate and concurrency limits at the edge: the shared zone, what a request is
 * charged for, the 429, and the RateLimit fields of every reply that was charged.
 * The arithmetic is ngx_sandbox_bucket's, the bookkeeping ngx_sandbox_quota's.
 */

#include "ngx_http_sandbox.h"
#include "ngx_http_sandbox_limit.h"
#include "ngx_http_sandbox_limit_reply.h"
#include "ngx_http_sandbox_policy.h"
#include "ngx_http_sandbox_route.h"

enum {
    LIMIT_ROUTE = SBX_N_SCOPES,
    LIMIT_TOOL,
    LIMIT_N_SCOPES
};

static const char *const ngx_http_sandbox_limit_scopes[] = {
    [SBX_SCOPE_TENANT] = "tenant",
    [SBX_SCOPE_APP] = "app",
    [SBX_SCOPE_AGENT] = "agent",
    [LIMIT_ROUTE] = "route",
    [LIMIT_TOOL] = "tool",
};

typedef struct {
    ngx_shm_zone_t *shm_zone;
    ngx_flag_t rates; /* some sandbox_rate or sandbox_concurrency was read */
} ngx_http_sandbox_limit_main_conf_t;

typedef struct {
    ngx_flag_t enable;
    struct sbx_rate rate[LIMIT_N_SCOPES];       /* per_second_milli 0: not said */
    ngx_uint_t concurrency[LIMIT_N_SCOPES];     /* 0: not said */
} ngx_http_sandbox_limit_loc_conf_t;

/* The charges of a request, and the scope each belongs to. */
typedef struct {
    struct ngx_sandbox_charge charge[LIMIT_N_SCOPES];
    ngx_uint_t scope[LIMIT_N_SCOPES];
    ngx_uint_t n;
} ngx_http_sandbox_limit_bill_t;

static ngx_int_t ngx_http_sandbox_limit_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_sandbox_limit_header_filter(ngx_http_request_t *r);
static void *ngx_http_sandbox_limit_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_sandbox_limit_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_sandbox_limit_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static ngx_int_t ngx_http_sandbox_limit_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_sandbox_limit_init_process(ngx_cycle_t *cycle);
static void ngx_http_sandbox_limit_exit_process(ngx_cycle_t *cycle);
static char *ngx_http_sandbox_limit_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_sandbox_limit_rate(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_sandbox_limit_concurrency(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

static ngx_command_t ngx_http_sandbox_limit_commands[] = {

    { ngx_string("sandbox_limit_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_sandbox_limit_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sandbox_limit"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_sandbox_limit_loc_conf_t, enable),
      NULL },

    { ngx_string("sandbox_rate"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE23,
      ngx_http_sandbox_limit_rate,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sandbox_concurrency"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE2,
      ngx_http_sandbox_limit_concurrency,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};

static ngx_http_module_t ngx_http_sandbox_limit_module_ctx = {
    .postconfiguration = ngx_http_sandbox_limit_init,
    .create_main_conf = ngx_http_sandbox_limit_create_main_conf,
    .create_loc_conf = ngx_http_sandbox_limit_create_loc_conf,
    .merge_loc_conf = ngx_http_sandbox_limit_merge_loc_conf,
};

ngx_module_t ngx_http_sandbox_limit_module = {
    NGX_MODULE_V1,
    &ngx_http_sandbox_limit_module_ctx,
    ngx_http_sandbox_limit_commands,
    NGX_HTTP_MODULE,
    NULL,
    NULL,
    ngx_http_sandbox_limit_init_process,
    NULL,
    NULL,
    ngx_http_sandbox_limit_exit_process,
    NULL,
    NGX_MODULE_V1_PADDING
};

static ngx_http_output_header_filter_pt ngx_http_next_header_filter;

const char *
ngx_http_sandbox_limit_scope(ngx_http_sandbox_ctx_t *ctx)
{
    ngx_http_sandbox_limit_t *limit = ctx->limit;

    return limit != NULL && limit->refused ? limit->scope : NULL;
}

const struct sbx_violation *
ngx_http_sandbox_limit_violation(ngx_http_sandbox_ctx_t *ctx)
{
    ngx_http_sandbox_limit_t *limit = ctx->limit;

    return limit != NULL && limit->refused ? &limit->violation : NULL;
}

/* Runs with the request's pool, so once, and also when the client went away. */
static void
ngx_http_sandbox_limit_cleanup(void *data)
{
    ngx_http_sandbox_limit_t *limit = data;

    if (limit->lease.serial != 0) {
        ngx_http_sandbox_limit_zone_release(limit->zone, &limit->lease);
    }
}

void
ngx_http_sandbox_limit_release(ngx_http_sandbox_ctx_t *ctx)
{
    if (ctx->limit != NULL) {
        ngx_http_sandbox_limit_cleanup(ctx->limit);
    }
}

ngx_int_t
ngx_http_sandbox_limit_usage(ngx_http_request_t *r, uint32_t *ret_entries, uint32_t *ret_leases)
{
    ngx_http_sandbox_limit_main_conf_t *lmcf;

    lmcf = ngx_http_get_module_main_conf(r, ngx_http_sandbox_limit_module);
    if (lmcf->shm_zone == NULL) {
        return NGX_DECLINED;
    }

    ngx_http_sandbox_limit_zone_usage(lmcf->shm_zone->data, ret_entries, ret_leases);

    return NGX_OK;
}

ngx_flag_t
ngx_http_sandbox_limit_configured(ngx_conf_t *cf)
{
    ngx_http_sandbox_limit_main_conf_t *lmcf;

    lmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_limit_module);

    return lmcf->shm_zone != NULL;
}

/* The tighter of two rates; one that says nothing leaves the other. */
static void
ngx_http_sandbox_limit_narrow(struct sbx_rate *rate, const struct sbx_rate *other)
{
    if (other->per_second_milli == 0) {
        return;
    }

    if (rate->per_second_milli == 0) {
        *rate = *other;
        return;
    }

    rate->per_second_milli = ngx_min(rate->per_second_milli, other->per_second_milli);
    rate->burst = ngx_min(rate->burst, other->burst);
}

/* Names are [A-Za-z0-9_.-]{1,64} and routes shorter, so a key always fits and has one reading. */
static void
ngx_http_sandbox_limit_charge(ngx_http_sandbox_limit_bill_t *bill, ngx_uint_t scope, const char *tenant,
    ngx_str_t *name, const struct sbx_rate *rate, uint32_t concurrency)
{
    struct ngx_sandbox_charge *charge;
    u_char *p;

    if ((rate->per_second_milli == 0 && concurrency == 0) || (scope != SBX_SCOPE_TENANT && name->len == 0)) {
        return;
    }

    charge = &bill->charge[bill->n];
    p = (u_char *) charge->key;
    *p++ = (u_char) ('0' + scope);
    *p++ = ':';
    p = ngx_cpymem(p, tenant, strnlen(tenant, SBX_NAME_MAX));
    *p++ = '/';
    p = ngx_cpymem(p, name->data, ngx_min(name->len, SBX_NAME_MAX));
    charge->key_len = (uint8_t) (p - (u_char *) charge->key);
    charge->rate = *rate;
    charge->concurrency = concurrency;
    bill->scope[bill->n++] = scope;
}

static ngx_flag_t
ngx_http_sandbox_limit_is(const char *name, ngx_str_t *value)
{
    return ngx_strlen(name) == value->len && ngx_strncmp(name, value->data, value->len) == 0;
}

/* What policy says of the scope, and in the table of names of routes or tools. */
static void
ngx_http_sandbox_limit_policy_rate(const struct sbx_policy *policy, ngx_uint_t scope, ngx_str_t *name,
    struct sbx_rate *rate)
{
    ngx_uint_t i;

    if (scope < SBX_N_SCOPES) {
        ngx_http_sandbox_limit_narrow(rate, &policy->rate[scope]);
    }

    for (i = 0; scope == LIMIT_ROUTE && i < policy->n_routes; i++) {
        if (ngx_http_sandbox_limit_is(policy->route[i].route, name)) {
            ngx_http_sandbox_limit_narrow(rate, &policy->route[i].rate);
        }
    }

    for (i = 0; scope == LIMIT_TOOL && i < policy->n_tools; i++) {
        if (ngx_http_sandbox_limit_is(policy->tool[i].tool, name)) {
            ngx_http_sandbox_limit_narrow(rate, &policy->tool[i].rate);
        }
    }
}

/* 0: none */
static uint32_t
ngx_http_sandbox_limit_policy_cap(const struct sbx_policy *policy, ngx_uint_t scope, ngx_str_t *name)
{
    const struct sbx_named_cap *cap;
    ngx_uint_t i, n;

    if (scope < SBX_N_SCOPES) {
        return policy->concurrency[scope];
    }

    cap = scope == LIMIT_ROUTE ? policy->route_cap : policy->tool_cap;
    n = scope == LIMIT_ROUTE ? policy->n_route_caps : policy->n_tool_caps;

    for (i = 0; i < n; i++) {
        if (ngx_http_sandbox_limit_is(cap[i].name, name)) {
            return cap[i].most;
        }
    }

    return 0;
}

static void
ngx_http_sandbox_limit_name(ngx_str_t *name, char *text)
{
    name->data = (u_char *) text;
    name->len = ngx_strlen(text);
}

static void
ngx_http_sandbox_limit_bill(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx, const struct sbx_policy *policy,
    ngx_http_sandbox_limit_bill_t *bill)
{
    ngx_http_sandbox_limit_loc_conf_t *llcf;
    struct sbx_rate rate;
    ngx_uint_t scope, cap;
    ngx_str_t name[LIMIT_N_SCOPES];
    uint32_t most;

    llcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_limit_module);

    ngx_str_set(&name[SBX_SCOPE_TENANT], ""); /* copied as any other, and nowhere is no place to copy from */
    ngx_http_sandbox_limit_name(&name[SBX_SCOPE_APP], ctx->context.app);
    ngx_http_sandbox_limit_name(&name[SBX_SCOPE_AGENT], ctx->context.agent);
    name[LIMIT_ROUTE] = *ngx_http_sandbox_route(r);
    ngx_http_sandbox_limit_name(&name[LIMIT_TOOL], ctx->context.tool);

    bill->n = 0;

    /* Of a message that became another request only what that is has not been charged. */
    for (scope = ctx->again ? LIMIT_ROUTE : 0; scope < LIMIT_N_SCOPES; scope++) {
        rate = llcf->rate[scope];
        ngx_http_sandbox_limit_policy_rate(policy, scope, &name[scope], &rate);

        cap = llcf->concurrency[scope];
        most = ngx_http_sandbox_limit_policy_cap(policy, scope, &name[scope]);
        if (most != 0 && (cap == 0 || most < cap)) {
            cap = most;
        }

        ngx_http_sandbox_limit_charge(bill, scope, ctx->context.tenant, &name[scope], &rate, (uint32_t) cap);
    }
}

static ngx_http_sandbox_limit_t *
ngx_http_sandbox_limit_create(ngx_http_request_t *r, ngx_shm_zone_t *shm_zone)
{
    ngx_http_sandbox_limit_t *limit;
    ngx_pool_cleanup_t *cln;

    /* Before anything is taken: nothing that can fail stands between the lease and its return. */
    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_sandbox_limit_t));
    if (cln == NULL) {
        return NULL;
    }

    limit = cln->data;
    ngx_memzero(limit, sizeof(ngx_http_sandbox_limit_t));
    limit->zone = shm_zone->data;
    cln->handler = ngx_http_sandbox_limit_cleanup;

    return limit;
}

static ngx_int_t
ngx_http_sandbox_limit_handler(ngx_http_request_t *r)
{
    ngx_http_sandbox_limit_main_conf_t *lmcf;
    ngx_http_sandbox_limit_loc_conf_t *llcf;
    ngx_http_sandbox_limit_bill_t bill;
    ngx_http_sandbox_limit_t *limit, *before;
    ngx_http_sandbox_ctx_t *ctx;
    const struct sbx_policy_view *view;
    ngx_int_t known;
    int rc;

    lmcf = ngx_http_get_module_main_conf(r, ngx_http_sandbox_limit_module);
    llcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_limit_module);

    if (r != r->main || !llcf->enable || lmcf->shm_zone == NULL || ngx_http_sandbox_exempt(r)) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_sandbox_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* Where auth is off there is nobody to charge. */
    if (ctx->limited || ctx->auth == NGX_HTTP_SANDBOX_AUTH_NONE) {
        return NGX_DECLINED;
    }

    known = ngx_http_sandbox_policy(r, ctx, NULL, &view);
    if (known != NGX_OK) {
        return known == NGX_DECLINED ? ngx_http_sandbox_policy_refuse_unknown(r) : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_sandbox_limit_bill(r, ctx, &view->merged, &bill);
    if (bill.n == 0) {
        return NGX_DECLINED;
    }

    limit = ngx_http_sandbox_limit_create(r, lmcf->shm_zone);
    if (limit == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_sandbox_limit_zone_admit(limit->zone, bill.charge, bill.n, &limit->lease, &limit->verdict);

    before = ctx->limit;
    ctx->limit = limit;
    ctx->limited = 1;
    limit->rate = bill.charge[limit->verdict.charge].rate;
    limit->concurrency = bill.charge[limit->verdict.charge].concurrency;
    limit->scope = ngx_http_sandbox_limit_scopes[bill.scope[limit->verdict.charge]];

    if (rc == 0) {
        /* The client is told of the tightest of all. */
        if (before != NULL && before->verdict.has_bucket
            && (!limit->verdict.has_bucket || before->verdict.remaining < limit->verdict.remaining))
        {
            ctx->limit = before;
        }
        return NGX_DECLINED;
    }

    if (rc == NGX_SANDBOX_QUOTA_E_FULL) {
        ngx_log_error(NGX_LOG_CRIT, r->connection->log, 0,
                      "event=limit.full the zone of sandbox_limit_zone is too small for the running requests");
        limit->verdict.has_bucket = false;
        return ngx_http_sandbox_problem(r, "limit_zone_full", SBX_PROBLEM_UNAVAILABLE, NULL);
    }

    return ngx_http_sandbox_limit_refuse(r, limit, rc);
}

static ngx_int_t
ngx_http_sandbox_limit_header_filter(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_limit_t *limit;

    if (r == r->main) {
        ctx = ngx_http_sandbox_ctx_peek(r);
        limit = ctx == NULL ? NULL : ctx->limit;

        if (limit != NULL && limit->verdict.has_bucket && ngx_http_sandbox_limit_add_headers(r, limit) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return ngx_http_next_header_filter(r);
}

static ngx_int_t
ngx_http_sandbox_limit_init_process(ngx_cycle_t *cycle)
{
    ngx_http_sandbox_limit_main_conf_t *lmcf;

    lmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_sandbox_limit_module);

    /* The cache's helper processes serve no request. */
    if (lmcf != NULL && lmcf->shm_zone != NULL
        && (ngx_process == NGX_PROCESS_WORKER || ngx_process == NGX_PROCESS_SINGLE))
    {
        ngx_http_sandbox_limit_zone_join(lmcf->shm_zone->data, cycle->log);
    }

    return NGX_OK;
}

static void
ngx_http_sandbox_limit_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_sandbox_limit_main_conf_t *lmcf;

    lmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_sandbox_limit_module);

    if (lmcf != NULL && lmcf->shm_zone != NULL) {
        ngx_http_sandbox_limit_zone_quit(lmcf->shm_zone->data);
    }
}

static void *
ngx_http_sandbox_limit_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_limit_main_conf_t));
}

static void *
ngx_http_sandbox_limit_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_sandbox_limit_loc_conf_t *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_limit_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->enable = NGX_CONF_UNSET;

    return conf;
}

static char *
ngx_http_sandbox_limit_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_sandbox_limit_loc_conf_t *prev = parent;
    ngx_http_sandbox_limit_loc_conf_t *conf = child;
    ngx_uint_t i;

    ngx_conf_merge_value(conf->enable, prev->enable, 1);

    for (i = 0; i < LIMIT_N_SCOPES; i++) {
        if (conf->rate[i].per_second_milli == 0) {
            conf->rate[i] = prev->rate[i];
        }
        if (conf->concurrency[i] == 0) {
            conf->concurrency[i] = prev->concurrency[i];
        }
    }

    return NGX_CONF_OK;
}

static ngx_int_t
ngx_http_sandbox_limit_init(ngx_conf_t *cf)
{
    ngx_http_sandbox_limit_main_conf_t *lmcf;
    ngx_http_core_main_conf_t *cmcf;
    ngx_http_handler_pt *h;

    lmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_limit_module);

    /* Limits that nobody counts would be no limits. */
    if (lmcf->shm_zone == NULL && (lmcf->rates || ngx_http_sandbox_policy_has_rates(cf))) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "rates or concurrency caps are set, but there is no \"sandbox_limit_zone\"");
        return NGX_ERROR;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }
    *h = ngx_http_sandbox_limit_handler;

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_sandbox_limit_header_filter;

    return NGX_OK;
}

static char *
ngx_http_sandbox_limit_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_limit_main_conf_t *lmcf = conf;
    ngx_str_t *value = cf->args->elts;

    if (lmcf->shm_zone != NULL) {
        return "is duplicate";
    }

    lmcf->shm_zone = ngx_http_sandbox_limit_zone_add(cf, &value[1], &ngx_http_sandbox_limit_module);

    return lmcf->shm_zone == NULL ? NGX_CONF_ERROR : NGX_CONF_OK;
}

/* LIMIT_N_SCOPES after logging when it is no scope. */
static ngx_uint_t
ngx_http_sandbox_limit_parse_scope(ngx_conf_t *cf, ngx_str_t *value)
{
    ngx_http_sandbox_limit_main_conf_t *lmcf;
    ngx_uint_t i;

    for (i = 0; i < LIMIT_N_SCOPES; i++) {
        if (ngx_strcmp(value->data, ngx_http_sandbox_limit_scopes[i]) == 0) {
            lmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_limit_module);
            lmcf->rates = 1;
            return i;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid scope \"%V\"", value);

    return LIMIT_N_SCOPES;
}

/* "rate=100r/s", "rate=30r/m", "rate=10r/h"; NGX_ERROR when it is not that, or less than a token in 1000 s. */
static ngx_int_t
ngx_http_sandbox_limit_parse_rate(ngx_str_t *value, struct sbx_rate *ret)
{
    static const struct { u_char unit; ngx_int_t seconds; } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 } };
    const size_t prefix = sizeof("rate=") - 1;
    const size_t suffix = sizeof("r/s") - 1;
    ngx_int_t n;
    ngx_uint_t i;

    if (value->len <= prefix + suffix || ngx_strncmp(value->data, "rate=", prefix) != 0
        || ngx_strncmp(value->data + value->len - suffix, "r/", 2) != 0)
    {
        return NGX_ERROR;
    }

    n = ngx_atoi(value->data + prefix, value->len - prefix - suffix);
    if (n <= 0 || n > 4000000) {
        return NGX_ERROR;
    }

    for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (value->data[value->len - 1] == units[i].unit) {
            ret->per_second_milli = (uint32_t) (n * 1000 / units[i].seconds);
            return ret->per_second_milli == 0 ? NGX_ERROR : NGX_OK;
        }
    }

    return NGX_ERROR;
}

static ngx_int_t
ngx_http_sandbox_limit_parse_burst(ngx_str_t *value, struct sbx_rate *ret)
{
    const size_t prefix = sizeof("burst=") - 1;
    ngx_int_t n;

    if (value->len <= prefix || ngx_strncmp(value->data, "burst=", prefix) != 0) {
        return NGX_ERROR;
    }

    n = ngx_atoi(value->data + prefix, value->len - prefix);
    if (n <= 0 || n > NGX_MAX_INT32_VALUE) {
        return NGX_ERROR;
    }
    ret->burst = (uint32_t) n;

    return NGX_OK;
}

/* sandbox_rate tenant|app|agent|route|tool rate=100r/s [burst=200]; without burst one second's worth. */
static char *
ngx_http_sandbox_limit_rate(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_limit_loc_conf_t *llcf = conf;
    ngx_str_t *value = cf->args->elts;
    struct sbx_rate rate;
    ngx_uint_t scope, i;

    scope = ngx_http_sandbox_limit_parse_scope(cf, &value[1]);
    if (scope == LIMIT_N_SCOPES) {
        return NGX_CONF_ERROR;
    }
    if (llcf->rate[scope].per_second_milli != 0) {
        return "is duplicate";
    }

    ngx_memzero(&rate, sizeof(rate));

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_http_sandbox_limit_parse_rate(&value[i], &rate) != NGX_OK
            && ngx_http_sandbox_limit_parse_burst(&value[i], &rate) != NGX_OK)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    if (rate.per_second_milli == 0) {
        return "has no rate";
    }
    if (rate.burst == 0) {
        rate.burst = ngx_max(rate.per_second_milli / 1000, 1);
    }

    llcf->rate[scope] = rate;

    return NGX_CONF_OK;
}

static char *
ngx_http_sandbox_limit_concurrency(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_limit_loc_conf_t *llcf = conf;
    ngx_str_t *value = cf->args->elts;
    ngx_uint_t scope;
    ngx_int_t n;

    scope = ngx_http_sandbox_limit_parse_scope(cf, &value[1]);
    if (scope == LIMIT_N_SCOPES) {
        return NGX_CONF_ERROR;
    }
    if (llcf->concurrency[scope] != 0) {
        return "is duplicate";
    }

    n = ngx_atoi(value[2].data, value[2].len);
    if (n <= 0 || n > NGX_MAX_INT32_VALUE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid number \"%V\"", &value[2]);
        return NGX_CONF_ERROR;
    }

    llcf->concurrency[scope] = (ngx_uint_t) n;

    return NGX_CONF_OK;
}
