/*
 * Names of routes: what limits, metrics and logs call the thing a request asks for.
 * Only configured names exist, so a client cannot make new ones.
 */
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#pragma GCC visibility push(hidden)

/* The name of the request's route; "" without one, and before PREACCESS. Lives as long as the request. */
ngx_str_t *ngx_http_sandbox_route(ngx_http_request_t *r);

/* All names, each once: ngx_str_t elements; complete after the configuration was read. */
ngx_array_t *ngx_http_sandbox_routes(ngx_conf_t *cf);

/* Whether a location, of which `conf` is this module's, serves the tool: by some method, or it says nothing of tools. */
ngx_flag_t ngx_http_sandbox_route_serves(const void *conf, const char *tool);

extern ngx_module_t ngx_http_sandbox_route_module;

#pragma GCC visibility pop
