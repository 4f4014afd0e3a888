#include "ngx_http_sandbox_auth_metrics.h"
#include "ngx_http_sandbox_auth.h"


static void
ngx_http_sandbox_auth_metric_head(struct sbx_buf *out, const char *name, const char *type, const char *help)
{
    sbx_buf_printf(out, "# HELP sandbox_gateway_%s %s\n# TYPE sandbox_gateway_%s %s\n", name, help, name, type);
}


void
ngx_http_sandbox_auth_metrics(ngx_http_request_t *r, struct sbx_buf *out)
{
    ngx_http_sandbox_auth_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_sandbox_auth_module);
    ngx_http_sandbox_jwks_status_t status[NGX_HTTP_SANDBOX_AUTH_ISSUERS_MAX];
    const char *name[NGX_HTTP_SANDBOX_AUTH_ISSUERS_MAX];
    ngx_http_sandbox_auth_issuer_t *issuer;
    ngx_uint_t i, n = 0;

    if (amcf->issuers == NULL || ngx_http_sandbox_auth_sync(amcf) != NGX_OK) {
        return;
    }
    issuer = amcf->issuers->elts;
    for (i = 0; i < amcf->issuers->nelts; i++) {
        if (issuer[i].jwks != NULL) {
            ngx_http_sandbox_jwks_status(issuer[i].jwks, &status[n]);
            name[n++] = (const char *) issuer[i].name.data;
        }
    }
    if (n == 0) {
        return;
    }
    ngx_http_sandbox_auth_metric_head(out, "issuer_keys", "gauge", "Keys in force of an issuer's URL.");
    for (i = 0; i < n; i++) {
        sbx_buf_printf(out, "sandbox_gateway_issuer_keys{issuer=\"%s\"} %lu\n", name[i], (unsigned long) status[i].n_keys);
    }
    ngx_http_sandbox_auth_metric_head(out, "issuer_keys_age_seconds", "gauge", "Time since an issuer's keys were last confirmed.");
    for (i = 0; i < n; i++) {
        sbx_buf_printf(out, "sandbox_gateway_issuer_keys_age_seconds{issuer=\"%s\"} %lu\n", name[i],
                       (unsigned long) status[i].age_s);
    }
    ngx_http_sandbox_auth_metric_head(out, "issuer_fetches_total", "counter", "Fetches of an issuer's keys, by result.");
    for (i = 0; i < n; i++) {
        sbx_buf_printf(out, "sandbox_gateway_issuer_fetches_total{issuer=\"%s\",result=\"ok\"} %lu\n", name[i],
                       (unsigned long) status[i].fetched);
        sbx_buf_printf(out, "sandbox_gateway_issuer_fetches_total{issuer=\"%s\",result=\"failed\"} %lu\n", name[i],
                       (unsigned long) status[i].failed);
    }
}
