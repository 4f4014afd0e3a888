/* Origins of web pages: which are taken. */
#pragma once

#include "ngx_http_sandbox.h"

#pragma GCC visibility push(hidden)

/* True when the request names no Origin, once one of this machine, or one of these (struct ngx_sandbox_origin; NULL: none). */
ngx_flag_t ngx_http_sandbox_mcp_origin_is_ours(ngx_http_request_t *r, const ngx_array_t *origins);

/* The directive `sandbox_mcp_origin`, into the ngx_array_t * at cmd->offset. */
char *ngx_http_sandbox_mcp_origins(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

#pragma GCC visibility pop
