/* Keys of configuration files, for the auth module's directives and its issuer blocks. */
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_sandbox_keys.h"

#pragma GCC visibility push(hidden)

typedef enum {
    NGX_HTTP_SANDBOX_AUTH_SECRET_FILE = 0,
    NGX_HTTP_SANDBOX_AUTH_KEY_FILE,
    NGX_HTTP_SANDBOX_AUTH_JWKS_FILE
} ngx_http_sandbox_auth_file_e;

/* An empty set that lives as long as cf->pool; NULL when out of memory. */
struct ngx_sandbox_keys *ngx_http_sandbox_auth_new_keys(ngx_conf_t *cf);

/* Logs why a key of `source` was refused; returns NGX_CONF_ERROR. */
char *ngx_http_sandbox_auth_key_error(ngx_conf_t *cf, const char *source, const struct sbx_field_error *err, int rc);

/* Adds what the file says that cf->args names, with its parameters kid= and alg=; *keys is made on first use. */
char *ngx_http_sandbox_auth_add_keys(ngx_conf_t *cf, struct ngx_sandbox_keys **keys, ngx_http_sandbox_auth_file_e kind);

#pragma GCC visibility pop
