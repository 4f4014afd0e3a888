/* Owns the protected resource's metadata (RFC 9728): where it is, and what it says. */
#include "ngx_http_sandbox_auth.h"

#include "lib/sbx_jsonw.h"


#define NGX_HTTP_SANDBOX_AUTH_METADATA_MAX  (64ul * 1024)

static const char ngx_http_sandbox_auth_well_known[] = "/.well-known/oauth-protected-resource";


static ngx_flag_t
ngx_http_sandbox_auth_is_url(const u_char *text)
{
    return ngx_strncmp(text, "https://", 8) == 0 || ngx_strncmp(text, "http://", 7) == 0;
}


/* scheme://host[:port][/path], no query, no fragment, nothing that has to be escaped in a header. */
static ngx_int_t
ngx_http_sandbox_auth_resource_path(ngx_str_t *url, ngx_str_t *ret)
{
    u_char *p, *last = url->data + url->len;

    if (url->len > NGX_SANDBOX_ISSUER_MAX || !ngx_http_sandbox_auth_is_url(url->data)) {
        return NGX_ERROR;
    }
    for (p = url->data; p < last; p++) {
        if (*p <= ' ' || *p >= 0x7f || ngx_strchr("\"\\<>^`{|}?#@", *p) != NULL) {
            return NGX_ERROR;
        }
    }
    ret->data = url->data + (url->data[4] == 's' ? 8 : 7);
    for (p = ret->data; p < last && *p != '/'; p++) { /* void */ }
    if (p == ret->data) {
        return NGX_ERROR;
    }
    ret->data = p;
    ret->len = last - p;
    return NGX_OK;
}


/* Where its metadata is: the well-known part goes between authority and path (RFC 9728, section 3.1). */
static ngx_int_t
ngx_http_sandbox_auth_set_metadata(ngx_conf_t *cf, ngx_http_sandbox_auth_loc_conf_t *alcf)
{
    ngx_str_t *url = &alcf->resource, path;
    u_char *p;

    if (ngx_http_sandbox_auth_resource_path(url, &path) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid resource \"%V\"", url);
        return NGX_ERROR;
    }
    alcf->metadata.data = ngx_pnalloc(cf->pool, url->len + sizeof(ngx_http_sandbox_auth_well_known));
    if (alcf->metadata.data == NULL) {
        return NGX_ERROR;
    }
    p = ngx_cpymem(alcf->metadata.data, url->data, path.data - url->data);
    p = ngx_cpymem(p, ngx_http_sandbox_auth_well_known, sizeof(ngx_http_sandbox_auth_well_known) - 1);
    if (path.len > 1) {
        p = ngx_cpymem(p, path.data, path.len);
    }
    *p = '\0';
    alcf->metadata.len = p - alcf->metadata.data;
    return NGX_OK;
}


/* sandbox_resource url | /path; */
char *
ngx_http_sandbox_auth_resource(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_auth_loc_conf_t *alcf = conf;
    ngx_str_t *value = cf->args->elts;

    if (alcf->resource.len != 0 || alcf->resource_path.len != 0) {
        return "is duplicate";
    }
    if (value[1].len > 1 && value[1].data[0] == '/' && value[1].data[1] != '/') {
        alcf->resource_path = value[1];
        return NGX_CONF_OK;
    }
    alcf->resource = value[1];
    return ngx_http_sandbox_auth_set_metadata(cf, alcf) == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
}


ngx_int_t
ngx_http_sandbox_auth_merge_resource(ngx_conf_t *cf, const ngx_http_sandbox_auth_loc_conf_t *prev,
    ngx_http_sandbox_auth_loc_conf_t *conf)
{
    const ngx_str_t *base = &prev->resource;
    size_t len;
    u_char *p;

    if (conf->resource.len != 0) {
        return NGX_OK;
    }
    if (conf->resource_path.len == 0 || base->len == 0) {
        conf->resource = prev->resource;
        conf->metadata = prev->metadata;
        return NGX_OK;
    }
    len = base->len - (base->data[base->len - 1] == '/' ? 1 : 0);
    p = ngx_pnalloc(cf->pool, len + conf->resource_path.len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }
    conf->resource.data = p;
    p = ngx_cpymem(p, base->data, len);
    p = ngx_cpymem(p, conf->resource_path.data, conf->resource_path.len);
    *p = '\0';
    conf->resource.len = p - conf->resource.data;
    return ngx_http_sandbox_auth_set_metadata(cf, conf);
}


static void
ngx_http_sandbox_auth_write_issuers(struct sbx_jsonw *w, ngx_http_sandbox_auth_main_conf_t *amcf, ngx_array_t *plain)
{
    ngx_http_sandbox_auth_issuer_t *issuer = amcf->issuers == NULL ? NULL : amcf->issuers->elts;
    ngx_str_t *name = plain == NULL ? NULL : plain->elts;
    ngx_uint_t i, n = 0;

    for (i = 0; issuer != NULL && i < amcf->issuers->nelts; i++) {
        n += ngx_http_sandbox_auth_is_url(issuer[i].name.data);
    }
    for (i = 0; name != NULL && i < plain->nelts; i++) {
        n += ngx_http_sandbox_auth_is_url(name[i].data);
    }
    if (n == 0) {
        return; /* a member without a value is left out */
    }
    sbx_jsonw_array(w, "authorization_servers");
    for (i = 0; issuer != NULL && i < amcf->issuers->nelts; i++) {
        if (ngx_http_sandbox_auth_is_url(issuer[i].name.data)) {
            sbx_jsonw_str(w, NULL, (const char *) issuer[i].name.data);
        }
    }
    for (i = 0; name != NULL && i < plain->nelts; i++) {
        if (ngx_http_sandbox_auth_is_url(name[i].data)
            && ngx_http_sandbox_auth_issuer_find(amcf->issuers, (const char *) name[i].data) == NULL)
        {
            sbx_jsonw_str(w, NULL, (const char *) name[i].data);
        }
    }
    sbx_jsonw_array_end(w);
}


static void
ngx_http_sandbox_auth_write_metadata(struct sbx_buf *out, ngx_http_sandbox_auth_main_conf_t *amcf,
    ngx_http_sandbox_auth_loc_conf_t *alcf)
{
    struct sbx_jsonw w;
    ngx_str_t *scope;
    ngx_uint_t i;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_strn(&w, "resource", (const char *) alcf->resource.data, alcf->resource.len);
    ngx_http_sandbox_auth_write_issuers(&w, amcf, alcf->issuers);
    if (amcf->scopes != NULL) {
        scope = amcf->scopes->elts;
        sbx_jsonw_array(&w, "scopes_supported");
        for (i = 0; i < amcf->scopes->nelts; i++) {
            sbx_jsonw_strn(&w, NULL, (const char *) scope[i].data, scope[i].len);
        }
        sbx_jsonw_array_end(&w);
    }
    sbx_jsonw_array(&w, "bearer_methods_supported");
    sbx_jsonw_str(&w, NULL, "header");
    sbx_jsonw_array_end(&w);
    sbx_jsonw_str(&w, "resource_name", "ngx_sandbox");
    sbx_jsonw_object_end(&w);
}


/* The path of this location's own metadata and no other: a resource that nobody configured has none. */
static ngx_flag_t
ngx_http_sandbox_auth_is_metadata(ngx_http_request_t *r, ngx_http_sandbox_auth_loc_conf_t *alcf)
{
    return alcf->metadata.len > r->uri.len
           && ngx_memcmp(alcf->metadata.data + alcf->metadata.len - r->uri.len, r->uri.data, r->uri.len) == 0
           && r->uri.len >= sizeof(ngx_http_sandbox_auth_well_known) - 1
           && ngx_memcmp(r->uri.data, ngx_http_sandbox_auth_well_known, sizeof(ngx_http_sandbox_auth_well_known) - 1) == 0;
}


static ngx_int_t
ngx_http_sandbox_auth_metadata_handler(ngx_http_request_t *r)
{
    static ngx_str_t content_type = ngx_string("application/json");
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(NGX_HTTP_SANDBOX_AUTH_METADATA_MAX);
    ngx_http_sandbox_auth_loc_conf_t *alcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_auth_module);
    ngx_str_t body;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }
    if (!ngx_http_sandbox_auth_is_metadata(r, alcf)) {
        return NGX_HTTP_NOT_FOUND;
    }
    ngx_http_sandbox_auth_write_metadata(&out, ngx_http_get_module_main_conf(r, ngx_http_sandbox_auth_module), alcf);
    if (out.failed) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    body.len = out.len;
    body.data = ngx_pnalloc(r->pool, out.len);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_memcpy(body.data, out.data, out.len);
    return ngx_http_sandbox_send(r, NGX_HTTP_OK, &content_type, &body);
}


char *
ngx_http_sandbox_auth_resource_metadata(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_sandbox_auth_metadata_handler;
    return NGX_CONF_OK;
}
