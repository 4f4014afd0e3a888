/* What the auth module says of its issuers in the metrics. */
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "lib/sbx_buf.h"

#pragma GCC visibility push(hidden)

/* Appends Prometheus text; nothing when no issuer has a URL. Labels are names of the configuration. */
void ngx_http_sandbox_auth_metrics(ngx_http_request_t *r, struct sbx_buf *out);

#pragma GCC visibility pop
