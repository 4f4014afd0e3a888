/* Counters of MCP messages, within the block of all counters. */
#pragma once

#include "ngx_http_sandbox_mcp.h"

#pragma GCC visibility push(hidden)

#define NGX_HTTP_SANDBOX_MCP_METHODS  (SBX_MCP_NOTIFICATION + 1)
#define NGX_HTTP_SANDBOX_MCP_COUNTED_TOOLS  128

typedef struct {
    u_char name[SBX_MCP_NAME_MAX + 1];
    ngx_atomic_t n[NGX_HTTP_SANDBOX_MCP_N_OUTCOMES];
} ngx_http_sandbox_mcp_tool_count_t;

/* Names of tools are only ever added, at the end, when a configuration is read. All zero at first. */
typedef struct {
    ngx_atomic_t message[NGX_HTTP_SANDBOX_MCP_METHODS][2][NGX_HTTP_SANDBOX_MCP_N_OUTCOMES]; /* by method, era, outcome */
    ngx_uint_t n_tools;
    ngx_http_sandbox_mcp_tool_count_t tool[NGX_HTTP_SANDBOX_MCP_COUNTED_TOOLS];
} ngx_http_sandbox_mcp_counts_t;

/* Every location with `sandbox_mcp`, complete after the configuration was read; for the next. */
const ngx_array_t *ngx_http_sandbox_mcp_places(ngx_conf_t *cf);

/* The names of all their catalogues' tools; in the master, when the zone is made ready for a configuration. */
void ngx_http_sandbox_mcp_count_tools(ngx_http_sandbox_mcp_counts_t *counts, const ngx_array_t *places, ngx_log_t *log);

/* In the log phase: counts the request's message, if it brought one. */
void ngx_http_sandbox_mcp_count(ngx_http_sandbox_mcp_counts_t *counts, ngx_http_request_t *r);

/* Appends Prometheus text. */
void ngx_http_sandbox_mcp_write_counts(struct sbx_buf *out, const ngx_http_sandbox_mcp_counts_t *counts);

#pragma GCC visibility pop
