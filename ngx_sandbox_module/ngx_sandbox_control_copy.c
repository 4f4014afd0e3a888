#include "ngx_sandbox_control_copy.h"

#define NGX_SANDBOX_CONTROL_COPIES_MAX 4096
/* Of a zone that goes on changing while it is copied. */
#define NGX_SANDBOX_CONTROL_COPY_TRIES 8

typedef struct {
    const char *name;
    const struct sbx_policy_doc *doc;
    enum ngx_sandbox_target_kind kind;
} ngx_sandbox_control_ref_t;

/* One block of memory: this, the index, the documents. */
struct ngx_sandbox_control_copy_s {
    ngx_str_node_t node;
    ngx_queue_t queue;
    ngx_sandbox_control_tenant_t tenant;
    ngx_sandbox_control_copies_t *copies; /* NULL: replaced, the last holder frees it */
    ngx_uint_t held;
    size_t size;
    ngx_uint_t n_refs;
    ngx_sandbox_control_ref_t *ref; /* by kind, name and id */
    u_char name[SBX_NAME_MAX + 1];
    u_char data[] __attribute__((aligned(16)));
};

void
ngx_sandbox_control_copies_init(ngx_sandbox_control_copies_t *copies, ngx_sandbox_control_zone_t *zone)
{
    ngx_memzero(copies, sizeof(*copies));
    copies->zone = zone;
    ngx_rbtree_init(&copies->tree, &copies->sentinel, ngx_str_rbtree_insert_value);
    ngx_queue_init(&copies->used);
}

static void
ngx_sandbox_control_copy_free(ngx_sandbox_control_copy_t *copy)
{
    ngx_free(copy->ref);
    ngx_free(copy);
}

static void
ngx_sandbox_control_copy_remove(ngx_sandbox_control_copy_t *copy)
{
    ngx_sandbox_control_copies_t *copies = copy->copies;

    ngx_rbtree_delete(&copies->tree, &copy->node.node);
    ngx_queue_remove(&copy->queue);
    copies->size -= copy->size;
    copies->n--;
    copy->copies = NULL;

    if (copy->held == 0) {
        ngx_sandbox_control_copy_free(copy);
    }
}

void
ngx_sandbox_control_copies_deinit(ngx_sandbox_control_copies_t *copies)
{
    ngx_queue_t *q;

    while (copies->zone != NULL && !ngx_queue_empty(&copies->used)) {
        q = ngx_queue_head(&copies->used);
        ngx_sandbox_control_copy_remove(ngx_queue_data(q, ngx_sandbox_control_copy_t, queue));
    }
}

void
ngx_sandbox_control_copy_hold(ngx_sandbox_control_copy_t *copy)
{
    copy->held++;
}

void
ngx_sandbox_control_copy_drop(ngx_sandbox_control_copy_t *copy)
{
    copy->held--;
    if (copy->held == 0 && copy->copies == NULL) {
        ngx_sandbox_control_copy_free(copy);
    }
}

/* Makes room at the cost of those used least recently; a worker keeps no more than the zone can hold. */
static void
ngx_sandbox_control_copies_trim(ngx_sandbox_control_copies_t *copies, size_t size)
{
    ngx_queue_t *q;

    while (!ngx_queue_empty(&copies->used)
           && (copies->n >= NGX_SANDBOX_CONTROL_COPIES_MAX || copies->size + size > copies->zone->size))
    {
        q = ngx_queue_last(&copies->used);
        ngx_sandbox_control_copy_remove(ngx_queue_data(q, ngx_sandbox_control_copy_t, queue));
    }
}

/* The bytes of the tenant, that hang together; NULL when out of memory. */
static ngx_sandbox_control_copy_t *
ngx_sandbox_control_copy_take(ngx_sandbox_control_copies_t *copies, ngx_str_t *name)
{
    ngx_sandbox_control_copy_t *copy = NULL;
    ngx_sandbox_control_tenant_t tenant;
    ngx_uint_t tries;
    size_t room = 0;

    for (tries = 0; tries < NGX_SANDBOX_CONTROL_COPY_TRIES; tries++) {
        copy = ngx_alloc(sizeof(ngx_sandbox_control_copy_t) + room, ngx_cycle->log);
        if (copy == NULL) {
            return NULL;
        }

        ngx_sandbox_control_zone_copy(copies->zone, name, &tenant, copy->data, room);
        if (tenant.size <= room) {
            ngx_memzero(copy, offsetof(ngx_sandbox_control_copy_t, data));
            copy->tenant = tenant;
            copy->size = sizeof(ngx_sandbox_control_copy_t) + room;
            return copy;
        }

        ngx_free(copy);
        room = tenant.size;
    }

    return NULL;
}

static int ngx_libc_cdecl
ngx_sandbox_control_ref_compare(const void *one, const void *two)
{
    const ngx_sandbox_control_ref_t *a = one, *b = two;
    int order;

    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }

    order = ngx_strcmp(a->name, b->name);

    return order != 0 ? order : ngx_strcmp(sbx_policy_doc_said(a->doc)->id, sbx_policy_doc_said(b->doc)->id);
}

static ngx_int_t
ngx_sandbox_control_copy_index(ngx_sandbox_control_copy_t *copy)
{
    ngx_sandbox_control_document_t *document;
    ngx_sandbox_control_ref_t *ref;
    ngx_uint_t i, k, n = 0;
    u_char *at;

    for (i = 0, at = copy->data; i < copy->tenant.n_documents; i++, at += document->size) {
        document = (ngx_sandbox_control_document_t *) at;
        n += document->doc == 0 ? 0 : document->n_targets;
    }

    if (n == 0) {
        return NGX_OK;
    }

    copy->ref = ngx_alloc(n * sizeof(ngx_sandbox_control_ref_t), ngx_cycle->log);
    if (copy->ref == NULL) {
        return NGX_ERROR;
    }
    copy->size += n * sizeof(ngx_sandbox_control_ref_t);

    for (i = 0, at = copy->data; i < copy->tenant.n_documents; i++, at += document->size) {
        document = (ngx_sandbox_control_document_t *) at;
        for (k = 0; document->doc != 0 && k < document->n_targets; k++) {
            ref = &copy->ref[copy->n_refs++];
            ref->kind = document->target[k].kind;
            ref->name = document->target[k].name;
            ref->doc = (const struct sbx_policy_doc *) (at + document->doc);
        }
    }

    ngx_qsort(copy->ref, copy->n_refs, sizeof(ngx_sandbox_control_ref_t), ngx_sandbox_control_ref_compare);

    return NGX_OK;
}

static ngx_sandbox_control_copy_t *
ngx_sandbox_control_copy_make(ngx_sandbox_control_copies_t *copies, ngx_str_t *name)
{
    ngx_sandbox_control_copy_t *copy;

    copy = ngx_sandbox_control_copy_take(copies, name);
    if (copy == NULL) {
        return NULL;
    }

    if (ngx_sandbox_control_copy_index(copy) != NGX_OK) {
        ngx_sandbox_control_copy_free(copy);
        return NULL;
    }

    ngx_sandbox_control_copies_trim(copies, copy->size);

    ngx_memcpy(copy->name, name->data, name->len);
    copy->node.str.data = copy->name;
    copy->node.str.len = name->len;
    copy->node.node.key = ngx_crc32_short(name->data, name->len);
    copy->copies = copies;
    ngx_rbtree_insert(&copies->tree, &copy->node.node);
    ngx_queue_insert_head(&copies->used, &copy->queue);
    copies->size += copy->size;
    copies->n++;

    return copy;
}

/* Whether it still is what the zone has; asks the zone only when something changed there. */
static ngx_flag_t
ngx_sandbox_control_copy_valid(ngx_sandbox_control_copies_t *copies, ngx_sandbox_control_copy_t *copy)
{
    ngx_sandbox_control_tenant_t now;

    if (copy->tenant.change == ngx_sandbox_control_zone_change(copies->zone)) {
        return 1;
    }

    ngx_sandbox_control_zone_copy(copies->zone, &copy->node.str, &now, NULL, 0);
    if (now.stamp.tenant != copy->tenant.stamp.tenant || now.stamp.lost != copy->tenant.stamp.lost) {
        return 0;
    }

    copy->tenant.change = now.change;

    return 1;
}

ngx_sandbox_control_copy_t *
ngx_sandbox_control_copy_get(ngx_sandbox_control_copies_t *copies, const char *tenant)
{
    ngx_sandbox_control_copy_t *copy;
    ngx_str_t name;

    name.data = (u_char *) tenant;
    name.len = ngx_min(ngx_strlen(tenant), SBX_NAME_MAX);

    /* The node is the first member. */
    copy = (ngx_sandbox_control_copy_t *) ngx_str_rbtree_lookup(&copies->tree, &name,
                                                                ngx_crc32_short(name.data, name.len));
    if (copy != NULL) {
        if (ngx_sandbox_control_copy_valid(copies, copy)) {
            ngx_queue_remove(&copy->queue);
            ngx_queue_insert_head(&copies->used, &copy->queue);
            return copy;
        }
        ngx_sandbox_control_copy_remove(copy);
    }

    return ngx_sandbox_control_copy_make(copies, &name);
}

ngx_flag_t
ngx_sandbox_control_copy_lost(const ngx_sandbox_control_copy_t *copy)
{
    return copy->tenant.lost;
}

ngx_flag_t
ngx_sandbox_control_copy_unknown(const ngx_sandbox_control_copy_t *copy)
{
    return copy->tenant.unknown;
}

ngx_flag_t
ngx_sandbox_control_copy_revocations(const ngx_sandbox_control_copy_t *copy)
{
    return copy->tenant.revocations;
}

/* The first one of the kind and name, or of what comes after. */
static ngx_uint_t
ngx_sandbox_control_copy_search(const ngx_sandbox_control_copy_t *copy, enum ngx_sandbox_target_kind kind,
    const char *name)
{
    const ngx_sandbox_control_ref_t *ref;
    ngx_uint_t from = 0, to = copy->n_refs, i;

    while (from < to) {
        i = from + (to - from) / 2;
        ref = &copy->ref[i];
        if (ref->kind < kind || (ref->kind == kind && ngx_strcmp(ref->name, name) < 0)) {
            from = i + 1;
        } else {
            to = i;
        }
    }

    return from;
}

static ngx_flag_t
ngx_sandbox_control_copy_add(const ngx_sandbox_control_copy_t *copy, enum ngx_sandbox_target_kind kind,
    const char *name, struct sbx_policy_view *view)
{
    const ngx_sandbox_control_ref_t *ref;
    ngx_uint_t i;

    for (i = ngx_sandbox_control_copy_search(copy, kind, name); i < copy->n_refs; i++) {
        ref = &copy->ref[i];
        if (ref->kind != kind || ngx_strcmp(ref->name, name) != 0) {
            break;
        }
        if (!sbx_policy_view_add(view, ref->doc)) {
            return 0;
        }
    }

    return 1;
}

ngx_flag_t
ngx_sandbox_control_copy_view(const ngx_sandbox_control_copy_t *copy, const ngx_sandbox_policy_who_t *who,
    const char *template_name, struct sbx_policy_view *view)
{
    if (copy->n_refs == 0) {
        return 1;
    }

    return ngx_sandbox_control_copy_add(copy, NGX_SANDBOX_TARGET_TENANT, "", view)
           && (who->app[0] == '\0' || ngx_sandbox_control_copy_add(copy, NGX_SANDBOX_TARGET_APP, who->app, view))
           && (who->agent[0] == '\0' || ngx_sandbox_control_copy_add(copy, NGX_SANDBOX_TARGET_AGENT, who->agent, view))
           && (template_name == NULL
               || ngx_sandbox_control_copy_add(copy, NGX_SANDBOX_TARGET_TEMPLATE, template_name, view));
}
