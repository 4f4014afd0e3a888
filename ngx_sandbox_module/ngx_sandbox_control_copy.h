/*
 * What a worker keeps of the control zone in its own memory: the documents of the tenants it serves, until they change.
 */
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_sandbox_control_zone.h"
#include "ngx_sandbox_policy_store.h"

#pragma GCC visibility push(hidden)

typedef struct ngx_sandbox_control_copy_s ngx_sandbox_control_copy_t; /* of one tenant */

typedef struct {
    ngx_sandbox_control_zone_t *zone;
    ngx_rbtree_t tree;
    ngx_rbtree_node_t sentinel;
    ngx_queue_t used; /* last used first */
    size_t size;
    ngx_uint_t n;
} ngx_sandbox_control_copies_t;

void ngx_sandbox_control_copies_init(ngx_sandbox_control_copies_t *copies, ngx_sandbox_control_zone_t *zone);
/* When the worker ends. Those still held are freed when they are dropped. */
void ngx_sandbox_control_copies_deinit(ngx_sandbox_control_copies_t *copies);

/*
 * As it is now: a lookup, and after a change the zone's lock. NULL when out of memory. Holds as long as it is held (hold, drop), or
 * else until the next call; the same pointer means the same documents.
 */
ngx_sandbox_control_copy_t *ngx_sandbox_control_copy_get(ngx_sandbox_control_copies_t *copies, const char *tenant);
void ngx_sandbox_control_copy_hold(ngx_sandbox_control_copy_t *copy);
void ngx_sandbox_control_copy_drop(ngx_sandbox_control_copy_t *copy);

ngx_flag_t ngx_sandbox_control_copy_unknown(const ngx_sandbox_control_copy_t *copy);

/* Whether there was no room for something of this tenant: its revocations are then not all known. */
ngx_flag_t ngx_sandbox_control_copy_lost(const ngx_sandbox_control_copy_t *copy);
ngx_flag_t ngx_sandbox_control_copy_revocations(const ngx_sandbox_control_copy_t *copy);

/* Adds those that are applied to the tenant, to app and agent when not "", to the template when not NULL; false when they are too many. */
ngx_flag_t ngx_sandbox_control_copy_view(const ngx_sandbox_control_copy_t *copy, const ngx_sandbox_policy_who_t *who,
    const char *template_name, struct sbx_policy_view *view);

#pragma GCC visibility pop
