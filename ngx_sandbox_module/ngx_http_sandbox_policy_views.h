/*
 * Views that were made, one for each caller and template that was seen lately: most requests find theirs, and nothing is merged or
 * allocated for them.
 */
#pragma once

#include "ngx_http_sandbox_control.h"

#pragma GCC visibility push(hidden)

#define NGX_HTTP_SANDBOX_POLICY_VIEWS 256 /* places; a worker that serves more callers at a time makes some anew */

typedef struct ngx_http_sandbox_policy_slot_s ngx_http_sandbox_policy_slot_t;

typedef struct {
    ngx_http_sandbox_policy_slot_t *slot[NGX_HTTP_SANDBOX_POLICY_VIEWS];
} ngx_http_sandbox_policy_views_t;

/* As ngx_http_sandbox_policy, whatever the location says. */
ngx_int_t ngx_http_sandbox_policy_views_get(ngx_http_sandbox_policy_views_t *views,
    ngx_sandbox_policy_store_t *store, ngx_http_request_t *r, const ngx_sandbox_policy_who_t *who,
    const char *template_name, const struct sbx_policy_view **ret);
/* When the worker ends. */
void ngx_http_sandbox_policy_views_drop(ngx_http_sandbox_policy_views_t *views);

#pragma GCC visibility pop
