/* Who may use which tool: what the catalogue's tools ask of a caller, by the locations that they lead to. */
#pragma once

#include "ngx_http_sandbox_mcp.h"

#pragma GCC visibility push(hidden)

/* A location with `sandbox_mcp`. */
typedef struct {
    ngx_str_t path; /* of the catalogue, full */
    ngx_http_sandbox_mcp_loc_conf_t *conf;
    ngx_http_core_srv_conf_t *server;
} ngx_http_sandbox_mcp_place_t;

typedef struct {
    ngx_array_t places; /* ngx_http_sandbox_mcp_place_t */
} ngx_http_sandbox_mcp_main_conf_t;

/*
 * Finds the internal locations that the place's tools lead to, in the same server; NGX_ERROR after saying which is missing. Once all
 * locations are known, so in postconfiguration.
 */
ngx_int_t ngx_http_sandbox_mcp_find_doors(ngx_conf_t *cf, ngx_http_sandbox_mcp_place_t *place);

#pragma GCC visibility pop
