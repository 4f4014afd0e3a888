/* Configuration of the auth module: what its directives and the environment make. */
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_sandbox_jwt.h"

#pragma GCC visibility push(hidden)

typedef struct {
    ngx_flag_t bypass;
    ngx_flag_t used; /* some location has auth on */
    struct ngx_sandbox_identity bypass_identity;
    struct ngx_sandbox_keys *env_keys; /* AUTH_JWT_SECRET; NULL when not set */
    ngx_array_t *env_issuers;          /* AUTH_ISSUER, AUTH_AUDIENCE: ngx_str_t */
    ngx_array_t *env_audiences;
} ngx_http_sandbox_auth_main_conf_t;


typedef struct {
    ngx_flag_t enable;
    ngx_flag_t signed_url; /* a signed URL is as good as a token here */
    ngx_uint_t algs;
    ngx_array_t *issuers; /* ngx_str_t, NUL-terminated */
    ngx_array_t *audiences;
    ngx_array_t *scopes;
    time_t leeway;
    time_t max_age;
    const char *claim[NGX_SANDBOX_N_CLAIMS];
    struct ngx_sandbox_keys *keys;
    ngx_shm_zone_t *cache;
    ngx_flag_t cache_off;

    /* Made when merged. */
    struct ngx_sandbox_jwt_rules rules;
    u_char digest[SBX_SHA256_LEN]; /* of keys and rules: part of the cache's keys */
} ngx_http_sandbox_auth_loc_conf_t;


void *ngx_http_sandbox_auth_create_main_conf(ngx_conf_t *cf);
char *ngx_http_sandbox_auth_init_main_conf(ngx_conf_t *cf, void *conf);
void *ngx_http_sandbox_auth_create_loc_conf(ngx_conf_t *cf);
char *ngx_http_sandbox_auth_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);

char *ngx_http_sandbox_auth_secret_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_sandbox_auth_key_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_sandbox_auth_jwks_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_sandbox_auth_names(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_sandbox_auth_claim(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_sandbox_auth_cache(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_sandbox_auth_check_leeway(ngx_conf_t *cf, void *post, void *data);

#pragma GCC visibility pop
