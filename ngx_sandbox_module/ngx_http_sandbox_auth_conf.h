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
    ngx_array_t *issuers; /* ngx_http_sandbox_auth_issuer_t; NULL: no sandbox_issuer */
    ngx_array_t *scopes;  /* ngx_str_t: every one that some location asks for, once */
    u_char epoch[SBX_SHA256_LEN]; /* of the issuers, with the keys that this worker has now */
    ngx_flag_t has_epoch;
    ngx_flag_t can_revoke; /* there is a sandbox_control */
} ngx_http_sandbox_auth_main_conf_t;


/* What a tool needs besides what its location does. */
typedef struct {
    ngx_str_t name;
    ngx_array_t *scopes; /* ngx_str_t */
} ngx_http_sandbox_auth_tool_t;


typedef struct {
    ngx_flag_t enable;
    ngx_flag_t signed_url; /* a signed URL is as good as a token here */
    ngx_uint_t algs;
    ngx_array_t *issuers; /* ngx_str_t, NUL-terminated */
    ngx_array_t *audiences;
    ngx_array_t *scopes;      /* ngx_str_t */
    ngx_array_t *tool_scopes; /* ngx_http_sandbox_auth_tool_t */
    ngx_str_t resource;       /* RFC 9728: this location's resource identifier; empty: not said */
    ngx_str_t resource_path;  /* as it was said, to be put after the resource of the level above */
    ngx_str_t metadata;       /* and where its metadata is */
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
char *ngx_http_sandbox_auth_scope(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_sandbox_auth_tool_scope(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_sandbox_auth_claim(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_sandbox_auth_cache(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_sandbox_auth_check_leeway(ngx_conf_t *cf, void *post, void *data);

/* In ngx_http_sandbox_auth_resource.c; NGX_OK, or NGX_ERROR after saying why. */
ngx_int_t ngx_http_sandbox_auth_merge_resource(ngx_conf_t *cf, const ngx_http_sandbox_auth_loc_conf_t *prev,
    ngx_http_sandbox_auth_loc_conf_t *conf);

/* `<word> tenant|app|agent|subject|scopes name;` in cf->args, into the list by enum ngx_sandbox_claim. */
char *ngx_http_sandbox_auth_set_claim(ngx_conf_t *cf, const char **claim);

#pragma GCC visibility pop
