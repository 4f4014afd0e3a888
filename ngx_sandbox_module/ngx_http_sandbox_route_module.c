/*
 * Owns `sandbox_route`, `sandbox_tool` and $sandbox_route: the configured name of what a request asks for, and of the
 * tool as which it does.
 */

#include "ngx_http_sandbox.h"
#include "ngx_http_sandbox_route.h"

#define NGX_HTTP_SANDBOX_ROUTE_MAX 63

typedef struct {
    ngx_str_t method; /* empty: any method */
    ngx_str_t name;
} ngx_http_sandbox_route_t;

typedef struct {
    ngx_array_t names; /* ngx_str_t */
} ngx_http_sandbox_route_main_conf_t;

typedef struct {
    ngx_array_t *routes; /* ngx_http_sandbox_route_t; the one for any method comes last */
    ngx_array_t *tools;  /* the same */
} ngx_http_sandbox_route_loc_conf_t;

static ngx_int_t ngx_http_sandbox_route_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_sandbox_route_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data);
static ngx_int_t ngx_http_sandbox_route_add_variables(ngx_conf_t *cf);
static void *ngx_http_sandbox_route_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_sandbox_route_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_sandbox_route_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static ngx_int_t ngx_http_sandbox_route_init(ngx_conf_t *cf);
static char *ngx_http_sandbox_route_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

static ngx_command_t ngx_http_sandbox_route_commands[] = {

    { ngx_string("sandbox_route"),
      NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_sandbox_route_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_sandbox_route_loc_conf_t, routes),
      NULL },

    { ngx_string("sandbox_tool"),
      NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_sandbox_route_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_sandbox_route_loc_conf_t, tools),
      NULL },

      ngx_null_command
};

static ngx_http_module_t ngx_http_sandbox_route_module_ctx = {
    .preconfiguration = ngx_http_sandbox_route_add_variables,
    .postconfiguration = ngx_http_sandbox_route_init,
    .create_main_conf = ngx_http_sandbox_route_create_main_conf,
    .create_loc_conf = ngx_http_sandbox_route_create_loc_conf,
    .merge_loc_conf = ngx_http_sandbox_route_merge_loc_conf,
};

ngx_module_t ngx_http_sandbox_route_module = {
    NGX_MODULE_V1,
    &ngx_http_sandbox_route_module_ctx,
    ngx_http_sandbox_route_commands,
    NGX_HTTP_MODULE,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NGX_MODULE_V1_PADDING
};

static ngx_http_variable_t ngx_http_sandbox_route_variables[] = {

    { ngx_string("sandbox_route"), NULL, ngx_http_sandbox_route_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};

static ngx_str_t ngx_http_sandbox_route_none = ngx_null_string;

ngx_str_t *
ngx_http_sandbox_route(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx_peek(r);

    return ctx == NULL || ctx->route == NULL ? &ngx_http_sandbox_route_none : ctx->route;
}

/* The name that the request's method has among `names`; empty when there is none. */
static ngx_str_t *
ngx_http_sandbox_route_of_method(ngx_http_request_t *r, ngx_array_t *names)
{
    ngx_http_sandbox_route_t *route;
    ngx_uint_t i;

    if (names == NULL) {
        return &ngx_http_sandbox_route_none;
    }

    route = names->elts;

    for (i = 0; i < names->nelts; i++) {
        if (route[i].method.len == 0
            || (route[i].method.len == r->method_name.len
                && ngx_strncmp(route[i].method.data, r->method_name.data, r->method_name.len) == 0))
        {
            return &route[i].name;
        }
    }

    return &ngx_http_sandbox_route_none;
}

ngx_flag_t
ngx_http_sandbox_route_serves(const void *conf, const char *tool)
{
    const ngx_http_sandbox_route_loc_conf_t *rlcf = conf;
    const ngx_http_sandbox_route_t *route;
    ngx_uint_t i;

    if (rlcf->tools == NULL) {
        return 1;
    }

    route = rlcf->tools->elts;

    for (i = 0; i < rlcf->tools->nelts; i++) {
        if (route[i].name.len == ngx_strlen(tool) && ngx_strncmp(route[i].name.data, tool, route[i].name.len) == 0) {
            return 1;
        }
    }

    return 0;
}

/* Names are shorter than the room for them: the configuration was checked. */
static void
ngx_http_sandbox_route_set_tool(ngx_http_sandbox_ctx_t *ctx, ngx_str_t *tool)
{
    if (tool->len != 0) {
        ngx_memcpy(ctx->context.tool, tool->data, tool->len);
    }
    ctx->context.tool[tool->len] = '\0';
}

ngx_array_t *
ngx_http_sandbox_routes(ngx_conf_t *cf)
{
    ngx_http_sandbox_route_main_conf_t *rmcf;

    rmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_route_module);

    return &rmcf->names;
}

/*
 * First in PREACCESS: an error_page leads the request to another location later, and
 * what was asked for must not change with that.
 */
static ngx_int_t
ngx_http_sandbox_route_handler(ngx_http_request_t *r)
{
    ngx_http_sandbox_route_loc_conf_t *rlcf;
    ngx_http_sandbox_ctx_t *ctx;

    if (r != r->main) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_sandbox_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->route == NULL) {
        rlcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_route_module);
        ctx->route = ngx_http_sandbox_route_of_method(r, rlcf->routes);
        ngx_http_sandbox_route_set_tool(ctx, ngx_http_sandbox_route_of_method(r, rlcf->tools));
    }

    return NGX_DECLINED;
}

static ngx_int_t
ngx_http_sandbox_route_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t *name;

    name = ngx_http_sandbox_route(r);

    if (name->len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;
    v->data = name->data;
    v->len = (unsigned) name->len;

    return NGX_OK;
}

static ngx_int_t
ngx_http_sandbox_route_add_variables(ngx_conf_t *cf)
{
    return ngx_http_sandbox_add_variables(cf, ngx_http_sandbox_route_variables);
}

static ngx_int_t
ngx_http_sandbox_route_init(ngx_conf_t *cf)
{
    ngx_http_core_main_conf_t *cmcf;
    ngx_http_handler_pt *h;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }
    *h = ngx_http_sandbox_route_handler;

    return NGX_OK;
}

static void *
ngx_http_sandbox_route_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_sandbox_route_main_conf_t *rmcf;

    rmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_route_main_conf_t));
    if (rmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&rmcf->names, cf->pool, 16, sizeof(ngx_str_t)) != NGX_OK) {
        return NULL;
    }

    return rmcf;
}

static void *
ngx_http_sandbox_route_create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_route_loc_conf_t));
}

static char *
ngx_http_sandbox_route_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_sandbox_route_loc_conf_t *prev = parent;
    ngx_http_sandbox_route_loc_conf_t *conf = child;

    if (conf->routes == NULL) {
        conf->routes = prev->routes;
    }

    if (conf->tools == NULL) {
        conf->tools = prev->tools;
    }

    return NGX_CONF_OK;
}

/* Adds the name to the cycle's list of names when it is new. */
static ngx_int_t
ngx_http_sandbox_route_note(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_array_t *names = ngx_http_sandbox_routes(cf);
    ngx_str_t *known = names->elts;
    ngx_uint_t i;

    for (i = 0; i < names->nelts; i++) {
        if (known[i].len == name->len && ngx_strncmp(known[i].data, name->data, name->len) == 0) {
            return NGX_OK;
        }
    }

    known = ngx_array_push(names);
    if (known == NULL) {
        return NGX_ERROR;
    }

    *known = *name;

    return NGX_OK;
}

/* The same alphabet as in a policy's "routes": no quoting is ever needed. */
static ngx_flag_t
ngx_http_sandbox_route_valid(ngx_str_t *name)
{
    size_t i;

    if (name->len == 0 || name->len > NGX_HTTP_SANDBOX_ROUTE_MAX) {
        return 0;
    }

    for (i = 0; i < name->len; i++) {
        u_char c = name->data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-')) {
            return 0;
        }
    }

    return 1;
}

static ngx_flag_t
ngx_http_sandbox_route_method_valid(ngx_str_t *method)
{
    size_t i;

    for (i = 0; i < method->len; i++) {
        if (method->data[i] < 'A' || method->data[i] > 'Z') {
            return 0;
        }
    }

    return method->len != 0;
}

static char *
ngx_http_sandbox_route_parse(ngx_conf_t *cf, ngx_str_t *value, ngx_http_sandbox_route_t *route)
{
    u_char *equals;

    ngx_str_null(&route->method);
    route->name = *value;

    equals = ngx_strlchr(value->data, value->data + value->len, '=');
    if (equals != NULL) {
        route->method.data = value->data;
        route->method.len = (size_t) (equals - value->data);
        route->name.data = equals + 1;
        route->name.len = value->len - route->method.len - 1;
    }

    if (!ngx_http_sandbox_route_valid(&route->name)
        || (equals != NULL && !ngx_http_sandbox_route_method_valid(&route->method)))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid route \"%V\"", value);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}

/*
 * sandbox_route name [METHOD=name ...], and sandbox_tool likewise: methods are looked at before the name for all
 * others.
 */
static char *
ngx_http_sandbox_route_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_route_t *route;
    ngx_array_t **names = (ngx_array_t **) ((char *) conf + cmd->offset);
    ngx_str_t *value = cf->args->elts;
    ngx_uint_t i;

    if (*names != NULL) {
        return "is duplicate";
    }

    *names = ngx_array_create(cf->pool, cf->args->nelts - 1, sizeof(ngx_http_sandbox_route_t));
    if (*names == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = cf->args->nelts - 1; i > 0; i--) {
        route = ngx_array_push(*names);
        if (route == NULL || ngx_http_sandbox_route_parse(cf, &value[i], route) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }

        if ((i == 1) != (route->method.len == 0)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid name \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        /* The metrics have a label for each route. */
        if (cmd->offset == offsetof(ngx_http_sandbox_route_loc_conf_t, routes)
            && ngx_http_sandbox_route_note(cf, &route->name) != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}
