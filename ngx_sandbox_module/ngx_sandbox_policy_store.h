/*
 * Policy documents of a directory (lib/sbx_policy_dir.h), in memory.
 *
 * Loaded whole when the configuration is read, never touched afterwards; a reload
 * makes a new store. Without a default document the built-in floor holds.
 */
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>

#include "lib/sbx_policy_doc.h"

#pragma GCC visibility push(hidden)

#define NGX_SANDBOX_POLICY_MERGED_MAX 1024

typedef struct ngx_sandbox_policy_store_s ngx_sandbox_policy_store_t;

/* Whose policy; app and agent are "" when there is none. Borrowed for the call. */
typedef struct {
    const char *tenant;
    const char *app;
    const char *agent;
} ngx_sandbox_policy_who_t;

/*
 * Reads the documents beneath `dir` (NULL: only the built-in floor) into `pool`, which must
 * outlive the store. NULL after logging the file and the place in it at emerg level.
 */
ngx_sandbox_policy_store_t *ngx_sandbox_policy_store_load(ngx_pool_t *pool, ngx_log_t *log, ngx_str_t *dir);

/*
 * The default document narrowed by those of the tenant, its app and its agent; names nobody
 * wrote a document for leave the layer out. The answer lives as long as `pool`, and the store's
 * documents, from which it borrows, as long as the store; NULL when out of memory. Copy it to
 * add more documents.
 */
const struct sbx_policy_view *ngx_sandbox_policy_store_view(ngx_sandbox_policy_store_t *store,
    const ngx_sandbox_policy_who_t *who, ngx_pool_t *pool);

/* True when some document names a rate or a concurrency cap: then somebody must enforce it. */
ngx_flag_t ngx_sandbox_policy_store_has_rates(const ngx_sandbox_policy_store_t *store);

ngx_uint_t ngx_sandbox_policy_store_documents(const ngx_sandbox_policy_store_t *store);

#pragma GCC visibility pop
