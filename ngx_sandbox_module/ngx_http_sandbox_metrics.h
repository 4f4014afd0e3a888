/* What other modules report to the metrics besides what a request's ctx says. */
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#pragma GCC visibility push(hidden)

/* A denial record could not be written. */
void ngx_http_sandbox_metrics_denial_lost(ngx_http_request_t *r);

#pragma GCC visibility pop
