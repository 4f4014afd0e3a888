/*
 * Whose pages may send messages from a browser. A page of anyone can make its visitor's browser post to an address that only
 * the visitor reaches, also under a name of its own that it lets point there (DNS rebinding); what it can't do is to name another
 * Origin than its own.
 */
#include "ngx_http_sandbox_mcp_origin.h"
#include "ngx_sandbox_origin.h"


ngx_flag_t
ngx_http_sandbox_mcp_origin_is_ours(ngx_http_request_t *r, const ngx_array_t *origins)
{
    static ngx_str_t name = ngx_string("origin");
    const struct ngx_sandbox_origin *ours;
    struct ngx_sandbox_origin origin;
    ngx_table_elt_t *h;
    ngx_uint_t i, n;

    h = ngx_http_sandbox_header_in(r, &name, &n);
    if (h == NULL) {
        return 1;
    }
    if (n != 1 || !ngx_sandbox_origin_parse(&origin, (const char *) h->value.data, h->value.len)) {
        return 0;
    }
    if (ngx_sandbox_origin_is_loopback(&origin)) {
        return 1;
    }

    ours = origins == NULL ? NULL : origins->elts;
    for (i = 0; ours != NULL && i < origins->nelts; i++) {
        if (ngx_sandbox_origin_same(&origin, &ours[i])) {
            return 1;
        }
    }
    return 0;
}


/* sandbox_mcp_origin origin ...; */
char *
ngx_http_sandbox_mcp_origins(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_array_t **origins = (ngx_array_t **) ((u_char *) conf + cmd->offset);
    struct ngx_sandbox_origin *origin;
    ngx_str_t *value = cf->args->elts;
    ngx_uint_t i;

    if (*origins != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }
    *origins = ngx_array_create(cf->pool, cf->args->nelts - 1, sizeof(struct ngx_sandbox_origin));
    if (*origins == NULL) {
        return NGX_CONF_ERROR;
    }
    for (i = 1; i < cf->args->nelts; i++) {
        origin = ngx_array_push(*origins);
        if (origin == NULL) {
            return NGX_CONF_ERROR;
        }
        if (!ngx_sandbox_origin_parse(origin, (const char *) value[i].data, value[i].len)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid origin \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }
    }
    return NGX_CONF_OK;
}
