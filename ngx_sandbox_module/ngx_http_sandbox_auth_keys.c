#include "ngx_http_sandbox_auth_keys.h"
#include "ngx_http_sandbox.h"

#include "ngx_sandbox_jwk.h"


static void
ngx_http_sandbox_auth_keys_cleanup(void *data)
{
    (void) ngx_sandbox_keys_free(data); /* always NULL */
}


struct ngx_sandbox_keys *
ngx_http_sandbox_auth_new_keys(ngx_conf_t *cf)
{
    struct ngx_sandbox_keys *keys;
    ngx_pool_cleanup_t *cln;

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL || ngx_sandbox_keys_new(&keys) != 0) {
        return NULL;
    }
    cln->handler = ngx_http_sandbox_auth_keys_cleanup;
    cln->data = keys;
    return keys;
}


char *
ngx_http_sandbox_auth_key_error(ngx_conf_t *cf, const char *source, const struct sbx_field_error *err, int rc)
{
    if (rc > 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "key in \"%s\" refused: %s%s%s", source, err->field,
                           err->field[0] == '\0' ? "" : ": ", err->message);
    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, -rc, "key in \"%s\" could not be loaded", source);
    }
    return NGX_CONF_ERROR;
}


/* The parameters after the file: kid= and alg=. */
static ngx_int_t
ngx_http_sandbox_auth_key_spec(ngx_conf_t *cf, struct ngx_sandbox_key_spec *ret)
{
    ngx_str_t *value = cf->args->elts;
    ngx_uint_t i;

    ngx_memzero(ret, sizeof(struct ngx_sandbox_key_spec));
    for (i = 2; i < cf->args->nelts; i++) {
        const char *text = (const char *) value[i].data + 4;
        size_t len = value[i].len > 4 ? value[i].len - 4 : 0;

        if (len != 0 && ngx_strncmp(value[i].data, "kid=", 4) == 0 && ret->kid == NULL) {
            ret->kid = text;
            ret->kid_len = len;
        } else if (len != 0 && ngx_strncmp(value[i].data, "alg=", 4) == 0 && ret->alg == NULL) {
            ret->alg = text;
            ret->alg_len = len;
        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"", &value[i]);
            return NGX_ERROR;
        }
    }
    return NGX_OK;
}


typedef int (*ngx_http_sandbox_auth_key_add_pt)(struct ngx_sandbox_keys *keys, ngx_str_t *text,
    const struct ngx_sandbox_key_spec *spec, struct sbx_field_error *err);


/* One newline at the end belongs to the editor, not to the secret. */
static int
ngx_http_sandbox_auth_add_secret(struct ngx_sandbox_keys *keys, ngx_str_t *text,
    const struct ngx_sandbox_key_spec *spec, struct sbx_field_error *err)
{
    struct ngx_sandbox_bytes bytes = { text->data, text->len };

    if (bytes.data[bytes.len - 1] == '\n') {
        bytes.len--;
    }
    return ngx_sandbox_keys_add_secret(keys, bytes, spec, err);
}


static int
ngx_http_sandbox_auth_add_pem(struct ngx_sandbox_keys *keys, ngx_str_t *text,
    const struct ngx_sandbox_key_spec *spec, struct sbx_field_error *err)
{
    return ngx_sandbox_keys_add_pem(keys, (const char *) text->data, text->len, spec, err);
}


static int
ngx_http_sandbox_auth_add_jwks(struct ngx_sandbox_keys *keys, ngx_str_t *text,
    const struct ngx_sandbox_key_spec *spec, struct sbx_field_error *err)
{
    return ngx_sandbox_jwk_load(keys, (const char *) text->data, text->len, err);
}


char *
ngx_http_sandbox_auth_add_keys(ngx_conf_t *cf, struct ngx_sandbox_keys **keys, ngx_http_sandbox_auth_file_e kind)
{
    static const ngx_http_sandbox_auth_key_add_pt add[] = {
        [NGX_HTTP_SANDBOX_AUTH_SECRET_FILE] = ngx_http_sandbox_auth_add_secret,
        [NGX_HTTP_SANDBOX_AUTH_KEY_FILE] = ngx_http_sandbox_auth_add_pem,
        [NGX_HTTP_SANDBOX_AUTH_JWKS_FILE] = ngx_http_sandbox_auth_add_jwks
    };
    ngx_str_t *value = cf->args->elts;
    struct ngx_sandbox_key_spec spec;
    struct sbx_field_error err;
    ngx_str_t text;
    int rc;

    if (*keys == NULL) {
        *keys = ngx_http_sandbox_auth_new_keys(cf);
        if (*keys == NULL) {
            return NGX_CONF_ERROR;
        }
    }
    if (ngx_http_sandbox_auth_key_spec(cf, &spec) != NGX_OK
        || ngx_http_sandbox_read_file(cf, &value[1], NGX_SANDBOX_KEY_FILE_MAX, &text) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }
    rc = add[kind](*keys, &text, &spec, &err);
    ngx_explicit_memzero(text.data, text.len);
    return rc == 0 ? NGX_CONF_OK : ngx_http_sandbox_auth_key_error(cf, (const char *) value[1].data, &err, rc);
}
