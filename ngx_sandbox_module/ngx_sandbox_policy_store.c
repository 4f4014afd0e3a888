/* Owns the policy documents of the directory in memory, and the views of them that requests ask for. */

#include "ngx_sandbox_policy_store.h"

#include "lib/sbx_context.h"
#include "lib/sbx_policy_dir.h"

#define NGX_SANDBOX_POLICY_KEY (2ul * SBX_NAME_MAX + sizeof("/agents/"))

typedef struct {
    ngx_str_node_t node; /* "<tenant>", "<tenant>/apps/<app>", "<tenant>/agents/<agent>" */
    struct sbx_policy_doc *doc;
} ngx_sandbox_policy_layer_t;

enum { LAYER_TENANT, LAYER_APP, LAYER_AGENT, N_LAYERS };

/*
 * Merged views are found by the documents they are made of, not by the names asked for:
 * names nobody knows share one entry and cannot fill the cache.
 */
typedef struct {
    ngx_str_node_t node; /* the bytes of `layer` */
    ngx_sandbox_policy_layer_t *layer[N_LAYERS];
    struct sbx_policy_view view;
} ngx_sandbox_policy_merged_t;

struct ngx_sandbox_policy_store_s {
    ngx_pool_t *pool;
    ngx_log_t *log;
    ngx_rbtree_t layers;
    ngx_rbtree_node_t layers_sentinel;
    ngx_rbtree_t merged;
    ngx_rbtree_node_t merged_sentinel;
    ngx_uint_t n_layers;
    ngx_uint_t n_merged;
    ngx_flag_t has_rates;
    struct sbx_policy_doc *document; /* the operator's default; NULL: none */
    struct sbx_policy_view base;
};

static void
ngx_sandbox_policy_store_note_rates(ngx_sandbox_policy_store_t *store, const struct sbx_policy *policy)
{
    ngx_uint_t i;

    for (i = 0; i < SBX_N_SCOPES; i++) {
        if (policy->rate[i].per_second_milli != 0 || policy->concurrency[i] != 0) {
            store->has_rates = 1;
        }
    }

    if (policy->n_routes != 0 || policy->n_tools != 0 || policy->n_route_caps != 0 || policy->n_tool_caps != 0) {
        store->has_rates = 1;
    }
}

/* "<tenant>" + kind + name into `buf` */
static ngx_str_t
ngx_sandbox_policy_key(u_char *buf, const char *tenant, const char *app, const char *agent)
{
    ngx_str_t key;
    u_char *end;

    if (app[0] != '\0') {
        end = ngx_snprintf(buf, NGX_SANDBOX_POLICY_KEY, "%s/apps/%s", tenant, app);
    } else if (agent[0] != '\0') {
        end = ngx_snprintf(buf, NGX_SANDBOX_POLICY_KEY, "%s/agents/%s", tenant, agent);
    } else {
        end = ngx_snprintf(buf, NGX_SANDBOX_POLICY_KEY, "%s", tenant);
    }

    key.data = buf;
    key.len = (size_t) (end - buf);

    return key;
}

static int
ngx_sandbox_policy_add_layer(ngx_sandbox_policy_store_t *store, const struct sbx_policy_place *place,
    struct sbx_policy_doc *doc)
{
    ngx_sandbox_policy_layer_t *layer;
    u_char buf[NGX_SANDBOX_POLICY_KEY];
    ngx_str_t key;

    layer = ngx_pcalloc(store->pool, sizeof(ngx_sandbox_policy_layer_t));
    if (layer == NULL) {
        return -ENOMEM;
    }

    key = ngx_sandbox_policy_key(buf, place->tenant, place->app, place->agent);

    layer->node.str.data = ngx_pstrdup(store->pool, &key);
    if (layer->node.str.data == NULL) {
        return -ENOMEM;
    }
    layer->node.str.len = key.len;
    layer->node.node.key = ngx_crc32_long(key.data, key.len);
    layer->doc = doc;

    ngx_rbtree_insert(&store->layers, &layer->node.node);
    store->n_layers++;

    return 0;
}

/* Keeps a copy of the document in the store's pool: it has no pointers in it. */
static int
ngx_sandbox_policy_on_document(void *data, const struct sbx_policy_place *place, struct sbx_policy_doc *doc)
{
    ngx_sandbox_policy_store_t *store = data;
    struct sbx_policy_doc *copy;
    size_t size = sbx_policy_doc_size(doc);

    copy = ngx_palloc(store->pool, size);
    if (copy != NULL) {
        ngx_memcpy(copy, doc, size);
    }
    free(doc);

    if (copy == NULL) {
        return -ENOMEM;
    }

    ngx_sandbox_policy_store_note_rates(store, sbx_policy_doc_said(copy));

    if (place->tenant[0] == '\0') {
        store->document = copy;
        return 0;
    }

    return ngx_sandbox_policy_add_layer(store, place, copy);
}

static ngx_int_t
ngx_sandbox_policy_load_dir(ngx_sandbox_policy_store_t *store, ngx_str_t *name)
{
    struct sbx_policy_dir_why why;
    int rc;

    /* ngx_conf_full_name ends it with a zero. */
    rc = sbx_policy_dir_load((char *) name->data, ngx_sandbox_policy_on_document, store, &why);
    if (rc != 0) {
        ngx_log_error(NGX_LOG_EMERG, store->log, 0, "%s", rc > 0 ? why.text : "policy documents: out of memory");
        return NGX_ERROR;
    }

    return NGX_OK;
}

ngx_sandbox_policy_store_t *
ngx_sandbox_policy_store_load(ngx_pool_t *pool, ngx_log_t *log, ngx_str_t *dir)
{
    ngx_sandbox_policy_store_t *store;

    store = ngx_pcalloc(pool, sizeof(ngx_sandbox_policy_store_t));
    if (store == NULL) {
        return NULL;
    }

    store->pool = pool;
    store->log = log;
    ngx_rbtree_init(&store->layers, &store->layers_sentinel, ngx_str_rbtree_insert_value);
    ngx_rbtree_init(&store->merged, &store->merged_sentinel, ngx_str_rbtree_insert_value);

    if (dir != NULL && ngx_sandbox_policy_load_dir(store, dir) != NGX_OK) {
        return NULL;
    }

    sbx_policy_view_init(&store->base, store->document);

    return store;
}

static ngx_sandbox_policy_layer_t *
ngx_sandbox_policy_find(ngx_sandbox_policy_store_t *store, const char *tenant, const char *app, const char *agent)
{
    u_char buf[NGX_SANDBOX_POLICY_KEY];
    ngx_str_t key;

    key = ngx_sandbox_policy_key(buf, tenant, app, agent);

    /* ngx_str_node_t is the layer's first member */
    return (ngx_sandbox_policy_layer_t *) ngx_str_rbtree_lookup(&store->layers, &key,
                                                                ngx_crc32_long(key.data, key.len));
}

static void
ngx_sandbox_policy_merge(ngx_sandbox_policy_store_t *store, ngx_sandbox_policy_layer_t **layer,
    struct sbx_policy_view *view)
{
    ngx_uint_t i;

    *view = store->base;
    for (i = 0; i < N_LAYERS; i++) {
        if (layer[i] != NULL && !sbx_policy_view_add(view, layer[i]->doc)) {
            return; /* three of 24: never; and the view refuses all */
        }
    }
}

/* The view of these documents, kept for the next request; NULL when there is no room to keep it. */
static struct sbx_policy_view *
ngx_sandbox_policy_merged(ngx_sandbox_policy_store_t *store, ngx_sandbox_policy_layer_t **layer)
{
    ngx_sandbox_policy_merged_t *merged;
    ngx_str_t key;
    uint32_t hash;

    key.data = (u_char *) layer;
    key.len = N_LAYERS * sizeof(*layer);
    hash = ngx_crc32_long(key.data, key.len);

    merged = (ngx_sandbox_policy_merged_t *) ngx_str_rbtree_lookup(&store->merged, &key, hash);
    if (merged != NULL) {
        return &merged->view;
    }

    if (store->n_merged == NGX_SANDBOX_POLICY_MERGED_MAX) {
        return NULL;
    }

    merged = ngx_palloc(store->pool, sizeof(ngx_sandbox_policy_merged_t));
    if (merged == NULL) {
        return NULL;
    }

    ngx_memcpy(merged->layer, layer, sizeof(merged->layer));
    ngx_sandbox_policy_merge(store, layer, &merged->view);

    merged->node.str.data = (u_char *) merged->layer;
    merged->node.str.len = sizeof(merged->layer);
    merged->node.node.key = hash;
    ngx_rbtree_insert(&store->merged, &merged->node.node);
    store->n_merged++;

    return &merged->view;
}

const struct sbx_policy_view *
ngx_sandbox_policy_store_view(ngx_sandbox_policy_store_t *store, const ngx_sandbox_policy_who_t *who,
    ngx_pool_t *pool)
{
    ngx_sandbox_policy_layer_t *layer[N_LAYERS];
    struct sbx_policy_view *view;

    layer[LAYER_TENANT] = ngx_sandbox_policy_find(store, who->tenant, "", "");
    layer[LAYER_APP] = who->app[0] == '\0' ? NULL : ngx_sandbox_policy_find(store, who->tenant, who->app, "");
    layer[LAYER_AGENT] = who->agent[0] == '\0' ? NULL : ngx_sandbox_policy_find(store, who->tenant, "", who->agent);

    if (layer[LAYER_TENANT] == NULL && layer[LAYER_APP] == NULL && layer[LAYER_AGENT] == NULL) {
        return &store->base;
    }

    view = ngx_sandbox_policy_merged(store, layer);
    if (view != NULL) {
        return view;
    }

    /* Past the bound it is made anew for each request: nobody's entry is ever taken away. */
    view = ngx_palloc(pool, sizeof(struct sbx_policy_view));
    if (view != NULL) {
        ngx_sandbox_policy_merge(store, layer, view);
    }

    return view;
}

ngx_flag_t
ngx_sandbox_policy_store_has_rates(const ngx_sandbox_policy_store_t *store)
{
    return store->has_rates;
}

ngx_uint_t
ngx_sandbox_policy_store_documents(const ngx_sandbox_policy_store_t *store)
{
    return store->n_layers;
}
