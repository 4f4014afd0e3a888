/*
 * What is in the control zone. A tenant has a node while it has a document or a revocation; a document is one block with its targets
 * and its compiled form; a revocation hangs under its id, for who deletes it, and under what it revokes, for who asks.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_sandbox_control_inside.h"

#define NGX_SANDBOX_CONTROL_KEY (2 * SBX_NAME_MAX + SBX_SUBJECT_MAX + 8)

typedef struct {
    ngx_str_node_t node;
    ngx_queue_t documents;
    uint64_t stamp;
    size_t size;
    uint32_t n_documents;
    uint32_t n_unreadable;
    uint32_t n_revocations;
    u_char name[SBX_NAME_MAX + 1];
} ngx_sandbox_control_node_t;

typedef struct {
    ngx_str_node_t node;
    ngx_queue_t revocations;
    u_char key[];
} ngx_sandbox_control_mark_t;

typedef struct {
    ngx_str_node_t node;
    ngx_queue_t queue; /* of its mark */
    ngx_sandbox_control_mark_t *mark;
    uint64_t epoch;
    uint64_t issued_before_s;
    uint64_t expires_s;
    u_char tenant_len;
    u_char key[];
} ngx_sandbox_control_revocation_t;

static uint32_t
ngx_sandbox_control_hash(ngx_str_t *key)
{
    return ngx_crc32_long(key->data, key->len);
}

static void
ngx_sandbox_control_insert(ngx_rbtree_t *tree, ngx_str_node_t *node, u_char *data, ngx_str_t *key)
{
    ngx_memcpy(data, key->data, key->len);
    node->str.data = data;
    node->str.len = key->len;
    node->node.key = ngx_sandbox_control_hash(key);
    ngx_rbtree_insert(tree, &node->node);
}

static ngx_sandbox_control_node_t *
ngx_sandbox_control_find(ngx_sandbox_control_shared_t *shared, ngx_str_t *tenant)
{
    /* The node is the first member. */
    return (ngx_sandbox_control_node_t *) ngx_str_rbtree_lookup(&shared->tenants, tenant,
                                                                ngx_sandbox_control_hash(tenant));
}

static ngx_sandbox_control_node_t *
ngx_sandbox_control_tenant(ngx_sandbox_control_zone_t *zone, const char *name)
{
    ngx_sandbox_control_shared_t *shared = zone->shared;
    ngx_sandbox_control_node_t *node;
    ngx_str_t key;

    key.data = (u_char *) name;
    key.len = ngx_strlen(name);

    node = ngx_sandbox_control_find(shared, &key);
    if (node != NULL) {
        return node;
    }

    node = ngx_slab_calloc_locked(zone->shpool, sizeof(ngx_sandbox_control_node_t));
    if (node == NULL) {
        return NULL;
    }

    ngx_queue_init(&node->documents);
    ngx_sandbox_control_insert(&shared->tenants, &node->node, node->name, &key);

    return node;
}

static void
ngx_sandbox_control_tenant_done(ngx_sandbox_control_zone_t *zone, ngx_sandbox_control_node_t *node)
{
    if (node->n_documents == 0 && node->n_revocations == 0) {
        ngx_rbtree_delete(&zone->shared->tenants, &node->node.node);
        ngx_slab_free_locked(zone->shpool, node);
    }
}

static void
ngx_sandbox_control_lose(ngx_sandbox_control_shared_t *shared, const char *tenant)
{
    uint32_t bit = ngx_crc32_long((u_char *) tenant, ngx_strlen(tenant)) % NGX_SANDBOX_CONTROL_LOST_BITS;

    (void) ngx_atomic_fetch_add(&shared->full, 1); /* the old value is nothing to us */

    if (!(shared->lost[bit / 8] & (1u << bit % 8))) {
        shared->lost[bit / 8] |= (u_char) (1u << bit % 8);
        shared->n_lost++;
        shared->lost_stamp = shared->change + 1;
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, 0,
                      "event=control.full tenant=%s the zone of sandbox_control is too small: the tenant is refused",
                      tenant);
    }
}

static ngx_flag_t
ngx_sandbox_control_lost(ngx_sandbox_control_shared_t *shared, ngx_str_t *tenant)
{
    uint32_t bit = ngx_sandbox_control_hash(tenant) % NGX_SANDBOX_CONTROL_LOST_BITS;

    return (shared->lost[bit / 8] & (1u << bit % 8)) != 0;
}

static ngx_sandbox_control_document_t *
ngx_sandbox_control_document(ngx_sandbox_control_node_t *node, const char *id)
{
    ngx_sandbox_control_document_t *document;
    ngx_queue_t *q;

    for (q = ngx_queue_head(&node->documents); q != ngx_queue_sentinel(&node->documents); q = ngx_queue_next(q)) {
        document = ngx_queue_data(q, ngx_sandbox_control_document_t, queue);
        if (ngx_strcmp(document->id, id) == 0) {
            return document;
        }
    }

    return NULL;
}

static void
ngx_sandbox_control_document_remove(ngx_sandbox_control_zone_t *zone, ngx_sandbox_control_node_t *node,
    ngx_sandbox_control_document_t *document)
{
    node->size -= document->size;
    node->n_documents--;
    node->n_unreadable -= document->doc == 0;
    node->stamp = zone->shared->change + 1;
    zone->shared->n_documents--;

    ngx_queue_remove(&document->queue);
    ngx_slab_free_locked(zone->shpool, document);
}

static ngx_int_t
ngx_sandbox_control_document_add(ngx_sandbox_control_zone_t *zone, ngx_sandbox_control_node_t *node,
    const struct ngx_sandbox_change *change)
{
    ngx_sandbox_control_document_t *document;
    size_t head, doc, size;

    head = ngx_align(sizeof(ngx_sandbox_control_document_t) + change->n_targets * sizeof(struct ngx_sandbox_target), 16);
    doc = change->doc == NULL ? 0 : sbx_policy_doc_size(change->doc);
    size = ngx_align(head + doc, 16);

    document = ngx_slab_alloc_locked(zone->shpool, size);
    if (document == NULL) {
        return NGX_ABORT;
    }

    document->revision = change->revision;
    document->epoch = zone->shared->epoch;
    document->size = size;
    document->doc = doc == 0 ? 0 : head;
    document->n_targets = change->n_targets;
    ngx_memcpy(document->id, change->id, sizeof(document->id));
    if (change->n_targets != 0) {
        ngx_memcpy(document->target, change->target, change->n_targets * sizeof(struct ngx_sandbox_target));
    }
    if (doc != 0) {
        ngx_memcpy((u_char *) document + head, change->doc, doc);
    }

    ngx_queue_insert_tail(&node->documents, &document->queue);
    node->size += size;
    node->n_documents++;
    node->n_unreadable += doc == 0;
    node->stamp = zone->shared->change + 1;
    zone->shared->n_documents++;

    return NGX_OK;
}

static ngx_int_t
ngx_sandbox_control_apply_policy(ngx_sandbox_control_zone_t *zone, const struct ngx_sandbox_change *change)
{
    ngx_sandbox_control_document_t *old;
    ngx_sandbox_control_node_t *node;
    ngx_int_t rc = NGX_OK;

    node = ngx_sandbox_control_tenant(zone, change->tenant);
    if (node == NULL) {
        if (change->kind == NGX_SANDBOX_POLICY_DELETED) {
            return NGX_OK;
        }
        ngx_sandbox_control_lose(zone->shared, change->tenant);
        return NGX_ABORT;
    }

    /* The old one goes first: its place may be the one that is needed, and without the new one the tenant is refused anyway. */
    old = ngx_sandbox_control_document(node, change->id);
    if (old != NULL) {
        ngx_sandbox_control_document_remove(zone, node, old);
    }

    /* A draft, applied to nothing, says nothing to anybody. */
    if (change->kind == NGX_SANDBOX_POLICY_SET && change->n_targets != 0) {
        rc = ngx_sandbox_control_document_add(zone, node, change);
        if (rc != NGX_OK) {
            ngx_sandbox_control_lose(zone->shared, change->tenant);
        }
    }

    ngx_sandbox_control_tenant_done(zone, node);

    return rc;
}

static void
ngx_sandbox_control_mark_key(ngx_str_t *ret, u_char *buf, const char *tenant, enum ngx_sandbox_revoked_kind kind,
    const char *value)
{
    ret->data = buf;
    ret->len = (size_t) (ngx_snprintf(buf, NGX_SANDBOX_CONTROL_KEY, "%s/%d/%s", tenant, (int) kind, value) - buf);
}

static void
ngx_sandbox_control_revocation_key(ngx_str_t *ret, u_char *buf, const char *tenant, const char *id)
{
    ret->data = buf;
    ret->len = (size_t) (ngx_snprintf(buf, NGX_SANDBOX_CONTROL_KEY, "%s/%s", tenant, id) - buf);
}

static void
ngx_sandbox_control_revocation_remove(ngx_sandbox_control_zone_t *zone, ngx_sandbox_control_revocation_t *revocation)
{
    ngx_sandbox_control_shared_t *shared = zone->shared;
    ngx_sandbox_control_mark_t *mark = revocation->mark;
    ngx_sandbox_control_node_t *node;
    ngx_str_t tenant;

    tenant.data = revocation->key;
    tenant.len = revocation->tenant_len;
    node = ngx_sandbox_control_find(shared, &tenant);

    ngx_queue_remove(&revocation->queue);
    ngx_rbtree_delete(&shared->revocations, &revocation->node.node);
    ngx_slab_free_locked(zone->shpool, revocation);
    shared->n_revocations--;

    if (ngx_queue_empty(&mark->revocations)) {
        ngx_rbtree_delete(&shared->marks, &mark->node.node);
        ngx_slab_free_locked(zone->shpool, mark);
    }

    if (node != NULL) {
        node->n_revocations--;
        if (node->n_revocations == 0) {
            node->stamp = shared->change + 1;
        }
        ngx_sandbox_control_tenant_done(zone, node);
    }
}

static ngx_sandbox_control_mark_t *
ngx_sandbox_control_mark(ngx_sandbox_control_zone_t *zone, const struct ngx_sandbox_change *change)
{
    ngx_sandbox_control_shared_t *shared = zone->shared;
    ngx_sandbox_control_mark_t *mark;
    u_char buf[NGX_SANDBOX_CONTROL_KEY];
    ngx_str_t key;

    ngx_sandbox_control_mark_key(&key, buf, change->tenant, change->revoked, change->value);

    mark = (ngx_sandbox_control_mark_t *) ngx_str_rbtree_lookup(&shared->marks, &key, ngx_sandbox_control_hash(&key));
    if (mark != NULL) {
        return mark;
    }

    mark = ngx_slab_alloc_locked(zone->shpool, sizeof(ngx_sandbox_control_mark_t) + key.len);
    if (mark == NULL) {
        return NULL;
    }

    ngx_queue_init(&mark->revocations);
    ngx_sandbox_control_insert(&shared->marks, &mark->node, mark->key, &key);

    return mark;
}

static ngx_int_t
ngx_sandbox_control_revocation_add(ngx_sandbox_control_zone_t *zone, const struct ngx_sandbox_change *change,
    ngx_str_t *key)
{
    ngx_sandbox_control_shared_t *shared = zone->shared;
    ngx_sandbox_control_revocation_t *revocation;
    ngx_sandbox_control_node_t *node;

    node = ngx_sandbox_control_tenant(zone, change->tenant);
    if (node == NULL) {
        return NGX_ABORT;
    }

    revocation = ngx_slab_alloc_locked(zone->shpool, sizeof(ngx_sandbox_control_revocation_t) + key->len);
    if (revocation == NULL) {
        ngx_sandbox_control_tenant_done(zone, node);
        return NGX_ABORT;
    }

    revocation->mark = ngx_sandbox_control_mark(zone, change);
    if (revocation->mark == NULL) {
        ngx_slab_free_locked(zone->shpool, revocation);
        ngx_sandbox_control_tenant_done(zone, node);
        return NGX_ABORT;
    }

    revocation->epoch = shared->epoch;
    /* A named token is meant whenever it was made. */
    revocation->issued_before_s = change->revoked == NGX_SANDBOX_REVOKED_TOKEN ? UINT64_MAX : change->issued_before_s;
    revocation->expires_s = change->expires_s;
    revocation->tenant_len = (u_char) ngx_strlen(change->tenant);
    ngx_queue_insert_tail(&revocation->mark->revocations, &revocation->queue);
    ngx_sandbox_control_insert(&shared->revocations, &revocation->node, revocation->key, key);
    shared->n_revocations++;

    node->n_revocations++;
    if (node->n_revocations == 1) {
        node->stamp = shared->change + 1;
    }

    return NGX_OK;
}

static ngx_sandbox_control_revocation_t *
ngx_sandbox_control_revocation(ngx_sandbox_control_shared_t *shared, ngx_str_t *key)
{
    return (ngx_sandbox_control_revocation_t *) ngx_str_rbtree_lookup(&shared->revocations, key,
                                                                      ngx_sandbox_control_hash(key));
}

static ngx_int_t
ngx_sandbox_control_apply_revocation(ngx_sandbox_control_zone_t *zone, const struct ngx_sandbox_change *change)
{
    ngx_sandbox_control_revocation_t *old;
    u_char buf[NGX_SANDBOX_CONTROL_KEY];
    ngx_str_t key;
    ngx_int_t rc;

    ngx_sandbox_control_revocation_key(&key, buf, change->tenant, change->id);

    old = ngx_sandbox_control_revocation(zone->shared, &key);
    if (old != NULL) {
        ngx_sandbox_control_revocation_remove(zone, old);
    }

    if (change->kind == NGX_SANDBOX_REVOCATION_DELETED) {
        return NGX_OK;
    }

    rc = ngx_sandbox_control_revocation_add(zone, change, &key);
    if (rc != NGX_OK) {
        /* A token that should be revoked must not pass: the tenant is refused. */
        ngx_sandbox_control_lose(zone->shared, change->tenant);
    }

    return rc;
}

static ngx_int_t
ngx_sandbox_control_apply_change(ngx_sandbox_control_zone_t *zone, const struct ngx_sandbox_change *change)
{
    switch (change->kind) {

    case NGX_SANDBOX_POLICY_SET:
    case NGX_SANDBOX_POLICY_DELETED:
        return ngx_sandbox_control_apply_policy(zone, change);

    case NGX_SANDBOX_REVOCATION_SET:
    case NGX_SANDBOX_REVOCATION_DELETED:
        return ngx_sandbox_control_apply_revocation(zone, change);
    }

    return NGX_ABORT;
}

static ngx_int_t
ngx_sandbox_control_apply_all(ngx_sandbox_control_zone_t *zone, const struct ngx_sandbox_feed *feed)
{
    ngx_int_t rc = NGX_OK;
    ngx_uint_t i;

    for (i = 0; i < feed->n_changes; i++) {
        if (ngx_sandbox_control_apply_change(zone, &feed->change[i]) != NGX_OK) {
            rc = NGX_ABORT;
        }
    }

    return rc;
}

ngx_int_t
ngx_sandbox_control_zone_apply(ngx_sandbox_control_zone_t *zone, const struct ngx_sandbox_feed *feed)
{
    ngx_sandbox_control_shared_t *shared = zone->shared;
    ngx_int_t rc = NGX_DECLINED;

    ngx_sandbox_control_lock(zone);

    if (ngx_sandbox_control_holds(zone) && shared->heard && !shared->broken) {
        ngx_sandbox_control_begin(zone);
        rc = ngx_sandbox_control_apply_all(zone, feed);
        shared->revision = feed->revision;
        ngx_memcpy(shared->instance, feed->instance, sizeof(shared->instance));
        ngx_sandbox_control_end(zone);
    }

    ngx_sandbox_control_unlock(zone);

    return rc;
}

/*
 * By what it says: a database that was restored from a backup gives the same revision to something else.
 */
static ngx_flag_t
ngx_sandbox_control_same(const ngx_sandbox_control_document_t *document, const struct ngx_sandbox_change *change)
{
    size_t size = change->doc == NULL ? 0 : sbx_policy_doc_size(change->doc);

    if (document->revision != change->revision || document->n_targets != change->n_targets
        || (document->doc == 0) != (change->doc == NULL) || document->size - document->doc < size)
    {
        return 0;
    }

    return (change->n_targets == 0
            || ngx_memcmp(document->target, change->target, change->n_targets * sizeof(change->target[0])) == 0)
           && (size == 0 || ngx_memcmp((u_char *) document + document->doc, change->doc, size) == 0);
}

/* What a whole set has as it is here keeps its place, and the copies of it stay valid. */
static void
ngx_sandbox_control_keep(ngx_sandbox_control_zone_t *zone, const struct ngx_sandbox_feed *feed)
{
    ngx_sandbox_control_document_t *document;
    ngx_sandbox_control_node_t *node;
    const struct ngx_sandbox_change *change;
    ngx_str_t tenant;
    ngx_uint_t i;

    for (i = 0; i < feed->n_changes; i++) {
        change = &feed->change[i];
        if (change->kind != NGX_SANDBOX_POLICY_SET) {
            continue;
        }

        tenant.data = (u_char *) change->tenant;
        tenant.len = ngx_strlen(change->tenant);
        node = ngx_sandbox_control_find(zone->shared, &tenant);
        document = node == NULL ? NULL : ngx_sandbox_control_document(node, change->id);
        if (document != NULL && ngx_sandbox_control_same(document, change)) {
            document->epoch = zone->shared->epoch;
        }
    }
}

static void
ngx_sandbox_control_sweep_tenant(ngx_sandbox_control_zone_t *zone, ngx_sandbox_control_node_t *node)
{
    ngx_sandbox_control_document_t *document;
    ngx_queue_t *q, *next;

    for (q = ngx_queue_head(&node->documents); q != ngx_queue_sentinel(&node->documents); q = next) {
        next = ngx_queue_next(q);
        document = ngx_queue_data(q, ngx_sandbox_control_document_t, queue);
        if (document->epoch != zone->shared->epoch) {
            ngx_sandbox_control_document_remove(zone, node, document);
        }
    }

    ngx_sandbox_control_tenant_done(zone, node);
}

static void
ngx_sandbox_control_sweep_documents(ngx_sandbox_control_zone_t *zone)
{
    ngx_rbtree_t *tree = &zone->shared->tenants;
    ngx_rbtree_node_t *at, *next;

    if (tree->root == tree->sentinel) {
        return;
    }

    for (at = ngx_rbtree_min(tree->root, tree->sentinel); at != NULL; at = next) {
        next = ngx_rbtree_next(tree, at);
        ngx_sandbox_control_sweep_tenant(zone, (ngx_sandbox_control_node_t *) at);
    }
}

/* Revocations are small: all of them are made anew. */
static void
ngx_sandbox_control_sweep_revocations(ngx_sandbox_control_zone_t *zone)
{
    ngx_rbtree_t *tree = &zone->shared->revocations;

    while (tree->root != tree->sentinel) {
        ngx_sandbox_control_revocation_remove(zone, (ngx_sandbox_control_revocation_t *) tree->root);
    }
}

static ngx_int_t
ngx_sandbox_control_put(ngx_sandbox_control_zone_t *zone, const struct ngx_sandbox_change *change)
{
    ngx_sandbox_control_document_t *document;
    ngx_sandbox_control_node_t *node;
    ngx_str_t tenant;

    if (change->kind == NGX_SANDBOX_POLICY_SET) {
        tenant.data = (u_char *) change->tenant;
        tenant.len = ngx_strlen(change->tenant);
        node = ngx_sandbox_control_find(zone->shared, &tenant);
        document = node == NULL ? NULL : ngx_sandbox_control_document(node, change->id);
        /* Kept: what was not is gone by now. One that changed while the set was told comes twice. */
        if (document != NULL && document->revision == change->revision) {
            return NGX_OK;
        }
    }

    return ngx_sandbox_control_apply_change(zone, change);
}

ngx_int_t
ngx_sandbox_control_zone_replace(ngx_sandbox_control_zone_t *zone, struct ngx_sandbox_feed *const *set, ngx_uint_t n)
{
    ngx_sandbox_control_shared_t *shared = zone->shared;
    ngx_int_t rc = NGX_OK;
    ngx_uint_t i, k;

    ngx_sandbox_control_lock(zone);

    if (!ngx_sandbox_control_holds(zone) || shared->broken) {
        ngx_sandbox_control_unlock(zone);
        return NGX_DECLINED;
    }

    ngx_sandbox_control_begin(zone);
    shared->epoch++;

    for (i = 0; i < n; i++) {
        ngx_sandbox_control_keep(zone, set[i]);
    }

    ngx_sandbox_control_sweep_documents(zone);
    ngx_sandbox_control_sweep_revocations(zone);

    if (shared->n_lost != 0) {
        ngx_memzero(shared->lost, sizeof(shared->lost));
        shared->n_lost = 0;
        shared->lost_stamp = shared->change + 1;
    }

    for (i = 0; i < n; i++) {
        for (k = 0; k < set[i]->n_changes; k++) {
            if (ngx_sandbox_control_put(zone, &set[i]->change[k]) != NGX_OK) {
                rc = NGX_ABORT;
            }
        }
    }

    shared->revision = set[n - 1]->revision;
    ngx_memcpy(shared->instance, set[n - 1]->instance, sizeof(shared->instance));
    shared->heard = 1;
    ngx_sandbox_control_end(zone);
    ngx_sandbox_control_unlock(zone);

    return rc;
}

void
ngx_sandbox_control_zone_copy(ngx_sandbox_control_zone_t *zone, ngx_str_t *tenant, ngx_sandbox_control_tenant_t *ret,
    u_char *out, size_t room)
{
    ngx_sandbox_control_document_t *document;
    ngx_sandbox_control_node_t *node;
    ngx_queue_t *q;

    ngx_memzero(ret, sizeof(*ret));

    ngx_sandbox_control_lock(zone);

    ret->change = zone->shared->change;
    ret->stamp.lost = zone->shared->lost_stamp;
    ret->lost = ngx_sandbox_control_lost(zone->shared, tenant);
    ret->unknown = ret->lost;

    node = ngx_sandbox_control_find(zone->shared, tenant);
    if (node != NULL) {
        ret->stamp.tenant = node->stamp;
        ret->size = node->size;
        ret->n_documents = node->n_documents;
        ret->unknown = ret->unknown || node->n_unreadable != 0;
        ret->revocations = node->n_revocations != 0;

        for (q = ngx_queue_head(&node->documents); out != NULL && node->size <= room
             && q != ngx_queue_sentinel(&node->documents); q = ngx_queue_next(q))
        {
            document = ngx_queue_data(q, ngx_sandbox_control_document_t, queue);
            out = ngx_cpymem(out, document, document->size);
        }
    }

    ngx_sandbox_control_unlock(zone);
}

static ngx_flag_t
ngx_sandbox_control_hits(ngx_sandbox_control_shared_t *shared, ngx_str_t *key, uint64_t issued_s, uint64_t now_s)
{
    ngx_sandbox_control_revocation_t *revocation;
    ngx_sandbox_control_mark_t *mark;
    ngx_queue_t *q;

    mark = (ngx_sandbox_control_mark_t *) ngx_str_rbtree_lookup(&shared->marks, key, ngx_sandbox_control_hash(key));
    if (mark == NULL) {
        return 0;
    }

    for (q = ngx_queue_head(&mark->revocations); q != ngx_queue_sentinel(&mark->revocations); q = ngx_queue_next(q)) {
        revocation = ngx_queue_data(q, ngx_sandbox_control_revocation_t, queue);
        if (now_s < revocation->expires_s && issued_s < revocation->issued_before_s) {
            return 1;
        }
    }

    return 0;
}

ngx_flag_t
ngx_sandbox_control_zone_revoked(ngx_sandbox_control_zone_t *zone, const char *tenant, const char *subject,
    const char *token_id, uint64_t issued_s, uint64_t now_s)
{
    u_char all[NGX_SANDBOX_CONTROL_KEY], sub[NGX_SANDBOX_CONTROL_KEY], jti[NGX_SANDBOX_CONTROL_KEY];
    ngx_str_t all_key, sub_key, jti_key;
    ngx_flag_t hit;

    ngx_sandbox_control_mark_key(&all_key, all, tenant, NGX_SANDBOX_REVOKED_ALL, "");
    ngx_sandbox_control_mark_key(&sub_key, sub, tenant, NGX_SANDBOX_REVOKED_SUBJECT, subject);
    ngx_sandbox_control_mark_key(&jti_key, jti, tenant, NGX_SANDBOX_REVOKED_TOKEN, token_id);

    ngx_sandbox_control_lock(zone);

    hit = ngx_sandbox_control_hits(zone->shared, &all_key, issued_s, now_s)
          || (*subject != '\0' && ngx_sandbox_control_hits(zone->shared, &sub_key, issued_s, now_s))
          || (*token_id != '\0' && ngx_sandbox_control_hits(zone->shared, &jti_key, issued_s, now_s));

    ngx_sandbox_control_unlock(zone);

    return hit;
}
