/* Owns the verdict on a URL that an executor signed. */
#include "ngx_http_sandbox_auth.h"

#include "lib/sbx_signed_url.h"


ngx_int_t
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
