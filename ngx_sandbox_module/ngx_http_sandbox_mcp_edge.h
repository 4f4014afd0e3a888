/* What is answered at the edge. */
#pragma once

#include "ngx_http_sandbox_mcp.h"

#pragma GCC visibility push(hidden)

/* From the content handler: answers the message, sends it on, or holds it. What the content handler returns. */
ngx_int_t ngx_http_sandbox_mcp_dispatch(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp);

#pragma GCC visibility pop
