/* Owns the policy documents in memory, and the merged policies that requests ask for. */

#include "ngx_sandbox_policy_store.h"

#include "lib/sbx_context.h"

#define NGX_SANDBOX_POLICY_KEY (2ul * SBX_NAME_MAX + sizeof("/agents/"))

typedef struct {
    ngx_str_node_t node; /* "<tenant>", "<tenant>/apps/<app>", "<tenant>/agents/<agent>" */
    struct sbx_policy policy;
} ngx_sandbox_policy_layer_t;

enum { LAYER_TENANT, LAYER_APP, LAYER_AGENT, N_LAYERS };

/*
 * Merged policies are found by the documents they are made of, not by the names asked for:
 * names nobody knows share one entry and cannot fill the cache.
 */
typedef struct {
    ngx_str_node_t node; /* the bytes of `layer` */
    ngx_sandbox_policy_layer_t *layer[N_LAYERS];
    struct sbx_policy policy;
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
    struct sbx_policy base;
};

/* A directory being read; `tenant` is "" above the tenants. */
typedef struct {
    ngx_sandbox_policy_store_t *store;
    const char *path;
    const char *tenant;
} ngx_sandbox_policy_dir_t;

typedef ngx_int_t (*ngx_sandbox_policy_entry_pt)(ngx_sandbox_policy_dir_t *dir, const char *name, size_t len,
    const char *path);

static void
ngx_sandbox_policy_store_note_rates(ngx_sandbox_policy_store_t *store, const struct sbx_policy *policy)
{
    ngx_uint_t i;

    for (i = 0; i < SBX_N_SCOPES; i++) {
        if (policy->rate[i].per_second_milli != 0 || policy->concurrency[i] != 0) {
            store->has_rates = 1;
        }
    }

    if (policy->n_routes != 0) {
        store->has_rates = 1;
    }
}

/* Reads a regular file; NGX_DECLINED when there is none of that name. */
static ngx_int_t
ngx_sandbox_policy_read_file(ngx_sandbox_policy_store_t *store, const char *path, struct sbx_buf *ret)
{
    ngx_file_info_t info;
    ngx_fd_t fd;
    char *room;
    ssize_t n;

    /* Nonblocking, so that a FIFO in the directory cannot hold up the start. */
    fd = open(path, O_RDONLY|O_NONBLOCK|O_CLOEXEC);
    if (fd == NGX_INVALID_FILE) {
        if (ngx_errno == NGX_ENOENT) {
            return NGX_DECLINED;
        }
        ngx_log_error(NGX_LOG_EMERG, store->log, ngx_errno, "policy document \"%s\" cannot be opened", path);
        return NGX_ERROR;
    }

    if (ngx_fd_info(fd, &info) == NGX_FILE_ERROR || !ngx_is_file(&info)) {
        ngx_log_error(NGX_LOG_EMERG, store->log, 0, "policy document \"%s\" is not a regular file", path);
        (void) ngx_close_file(fd); /* only read from: nothing to lose */
        return NGX_ERROR;
    }

    do {
        room = sbx_buf_reserve(ret, 16384);
        n = room == NULL ? -1 : ngx_read_fd(fd, room, 16384);
        ret->len += n > 0 ? (size_t) n : 0;
    } while (n > 0);

    if (ret->failed) {
        ngx_log_error(NGX_LOG_EMERG, store->log, 0, "policy document \"%s\" is larger than %d bytes", path,
                      NGX_SANDBOX_POLICY_DOCUMENT_MAX);
    } else if (n < 0) {
        ngx_log_error(NGX_LOG_EMERG, store->log, ngx_errno, "policy document \"%s\" cannot be read", path);
    }

    (void) ngx_close_file(fd); /* only read from: nothing to lose */

    return n < 0 ? NGX_ERROR : NGX_OK;
}

static ngx_int_t
ngx_sandbox_policy_parse(ngx_sandbox_policy_store_t *store, const char *path, const struct sbx_buf *text,
    struct sbx_policy *ret)
{
    struct sbx_field_error err;
    ngx_flag_t fits;
    json_t *json = NULL;
    int rc;

    ngx_memzero(&err, sizeof(err));

    rc = sbx_json_parse(&json, text->data, text->len, &err);
    if (rc != 0) {
        ngx_log_error(NGX_LOG_EMERG, store->log, 0, "policy document \"%s\" is not valid: %s", path,
                      rc < 0 ? "out of memory" : err.message);
        return NGX_ERROR;
    }

    fits = sbx_policy_from_json(ret, json, &err);
    json_decref(json);

    if (!fits) {
        ngx_log_error(NGX_LOG_EMERG, store->log, 0, "policy document \"%s\" is not valid: at \"%s\": %s", path,
                      err.field, err.message);
        return NGX_ERROR;
    }

    return NGX_OK;
}

/* A document without an id is called by its file's name. */
static void
ngx_sandbox_policy_name(struct sbx_policy *policy, const char *name, size_t len)
{
    if (policy->id[0] == '\0') {
        len = ngx_min(len, sizeof(policy->id) - 1);
        ngx_memcpy(policy->id, name, len);
        policy->id[len] = '\0';
    }
}

static ngx_int_t
ngx_sandbox_policy_load_document(ngx_sandbox_policy_store_t *store, const char *path, const char *name, size_t len,
    struct sbx_policy *ret)
{
    struct sbx_buf text = SBX_BUF_INIT(NGX_SANDBOX_POLICY_DOCUMENT_MAX + 16384);
    ngx_int_t rc;

    rc = ngx_sandbox_policy_read_file(store, path, &text);
    if (rc == NGX_OK) {
        rc = ngx_sandbox_policy_parse(store, path, &text, ret);
    }
    sbx_buf_deinit(&text);

    if (rc == NGX_OK) {
        ngx_sandbox_policy_name(ret, name, len);
        ngx_sandbox_policy_store_note_rates(store, ret);
    }

    return rc;
}

static ngx_int_t
ngx_sandbox_policy_add_layer(ngx_sandbox_policy_store_t *store, const char *path, ngx_str_t *key, const char *name,
    size_t len)
{
    ngx_sandbox_policy_layer_t *layer;
    ngx_int_t rc;

    if (store->n_layers == NGX_SANDBOX_POLICY_DOCUMENTS_MAX) {
        ngx_log_error(NGX_LOG_EMERG, store->log, 0, "more than %d policy documents at \"%s\"",
                      NGX_SANDBOX_POLICY_DOCUMENTS_MAX, path);
        return NGX_ERROR;
    }

    layer = ngx_pcalloc(store->pool, sizeof(ngx_sandbox_policy_layer_t));
    if (layer == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_sandbox_policy_load_document(store, path, name, len, &layer->policy);
    if (rc != NGX_OK) {
        /* A name that readdir gave but open did not find was removed just now: start again. */
        if (rc == NGX_DECLINED) {
            ngx_log_error(NGX_LOG_EMERG, store->log, 0, "policy document \"%s\" vanished", path);
        }
        return NGX_ERROR;
    }

    layer->node.str.data = ngx_pstrdup(store->pool, key);
    if (layer->node.str.data == NULL) {
        return NGX_ERROR;
    }
    layer->node.str.len = key->len;
    layer->node.node.key = ngx_crc32_long(key->data, key->len);

    ngx_rbtree_insert(&store->layers, &layer->node.node);
    store->n_layers++;

    return NGX_OK;
}

/* Calls `entry` for each name in the directory but hidden ones; a missing directory is an empty one. */
static ngx_int_t
ngx_sandbox_policy_walk(ngx_sandbox_policy_dir_t *dir, ngx_sandbox_policy_entry_pt entry)
{
    struct dirent *item;
    u_char path[NGX_MAX_PATH], *end;
    ngx_int_t rc = NGX_OK;
    DIR *stream;

    stream = opendir(dir->path);
    if (stream == NULL) {
        if (ngx_errno == NGX_ENOENT) {
            return NGX_OK;
        }
        ngx_log_error(NGX_LOG_EMERG, dir->store->log, ngx_errno, "policy directory \"%s\" cannot be opened",
                      dir->path);
        return NGX_ERROR;
    }

    for ( ;; ) {
        ngx_set_errno(0);
        item = readdir(stream);
        if (item == NULL) {
            break;
        }
        if (item->d_name[0] == '.') {
            continue;
        }

        end = ngx_snprintf(path, sizeof(path) - 1, "%s/%s", dir->path, item->d_name);
        *end = '\0';

        rc = entry(dir, item->d_name, ngx_strlen(item->d_name), (char *) path);
        if (rc != NGX_OK) {
            break;
        }
    }

    if (item == NULL && ngx_errno != 0) {
        ngx_log_error(NGX_LOG_EMERG, dir->store->log, ngx_errno, "policy directory \"%s\" cannot be read", dir->path);
        rc = NGX_ERROR;
    }

    (void) closedir(stream); /* only read from: nothing to lose */

    return rc;
}

/* Length of a document's name without ".json"; 0 when it is not a document. */
static size_t
ngx_sandbox_policy_stem(const char *name, size_t len)
{
    const size_t suffix = sizeof(".json") - 1;

    if (len <= suffix || ngx_strcmp(name + len - suffix, ".json") != 0) {
        return 0;
    }

    return len - suffix;
}

/* A document whose name can belong to nobody is a mistake that would otherwise pass unseen. */
static ngx_int_t
ngx_sandbox_policy_check_name(ngx_sandbox_policy_store_t *store, const char *name, size_t len, const char *path)
{
    if (sbx_name_valid(name, len)) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, store->log, 0, "\"%s\" has a name that no tenant, app or agent can have", path);

    return NGX_ERROR;
}

static ngx_int_t
ngx_sandbox_policy_on_member(ngx_sandbox_policy_dir_t *dir, const char *name, size_t len, const char *path)
{
    const char *kind = strrchr(dir->path, '/');
    size_t stem = ngx_sandbox_policy_stem(name, len);
    u_char buf[NGX_SANDBOX_POLICY_KEY];
    ngx_str_t key;

    if (stem == 0) {
        return NGX_OK;
    }
    if (ngx_sandbox_policy_check_name(dir->store, name, stem, path) != NGX_OK) {
        return NGX_ERROR;
    }

    key.data = buf;
    key.len = (size_t) (ngx_snprintf(buf, sizeof(buf), "%s%s/%*s", dir->tenant, kind, stem, name) - buf);

    return ngx_sandbox_policy_add_layer(dir->store, path, &key, name, stem);
}

static ngx_int_t
ngx_sandbox_policy_load_members(ngx_sandbox_policy_store_t *store, const char *tenant, const char *path)
{
    static const char *const kinds[] = { "apps", "agents" };
    ngx_sandbox_policy_dir_t dir;
    u_char sub[NGX_MAX_PATH], *end;
    ngx_uint_t i;

    for (i = 0; i < 2; i++) {
        end = ngx_snprintf(sub, sizeof(sub) - 1, "%s/%s", path, kinds[i]);
        *end = '\0';

        dir.store = store;
        dir.path = (char *) sub;
        dir.tenant = tenant;
        if (ngx_sandbox_policy_walk(&dir, ngx_sandbox_policy_on_member) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}

static ngx_int_t
ngx_sandbox_policy_on_tenant(ngx_sandbox_policy_dir_t *dir, const char *name, size_t len, const char *path)
{
    size_t stem = ngx_sandbox_policy_stem(name, len);
    ngx_file_info_t info;
    ngx_str_t key;

    if (ngx_file_info(path, &info) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_EMERG, dir->store->log, ngx_errno, "\"%s\" cannot be examined", path);
        return NGX_ERROR;
    }

    if (ngx_is_dir(&info)) {
        if (ngx_sandbox_policy_check_name(dir->store, name, len, path) != NGX_OK) {
            return NGX_ERROR;
        }
        return ngx_sandbox_policy_load_members(dir->store, name, path);
    }

    if (stem == 0) {
        return NGX_OK;
    }
    if (ngx_sandbox_policy_check_name(dir->store, name, stem, path) != NGX_OK) {
        return NGX_ERROR;
    }

    key.data = (u_char *) name;
    key.len = stem;

    return ngx_sandbox_policy_add_layer(dir->store, path, &key, name, stem);
}

static ngx_int_t
ngx_sandbox_policy_load_dir(ngx_sandbox_policy_store_t *store, ngx_str_t *name)
{
    ngx_sandbox_policy_dir_t dir;
    struct sbx_policy document;
    ngx_file_info_t info;
    u_char path[NGX_MAX_PATH], *end;
    ngx_int_t rc;

    /* A directory that was named and is not there is a mistake, not an empty policy. */
    if (ngx_file_info(name->data, &info) == NGX_FILE_ERROR || !ngx_is_dir(&info)) {
        ngx_log_error(NGX_LOG_EMERG, store->log, ngx_errno, "policy directory \"%V\" is not there", name);
        return NGX_ERROR;
    }

    end = ngx_snprintf(path, sizeof(path) - 1, "%V/default.json", name);
    *end = '\0';

    rc = ngx_sandbox_policy_load_document(store, (char *) path, "default", sizeof("default") - 1, &document);
    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }
    if (rc == NGX_OK) {
        sbx_policy_base(&store->base, &document);
    }

    end = ngx_snprintf(path, sizeof(path) - 1, "%V/tenants", name);
    *end = '\0';

    dir.store = store;
    dir.path = (char *) path;
    dir.tenant = "";

    return ngx_sandbox_policy_walk(&dir, ngx_sandbox_policy_on_tenant);
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
    sbx_policy_base(&store->base, NULL);

    if (dir != NULL && ngx_sandbox_policy_load_dir(store, dir) != NGX_OK) {
        return NULL;
    }

    return store;
}

static ngx_sandbox_policy_layer_t *
ngx_sandbox_policy_find(ngx_sandbox_policy_store_t *store, const char *tenant, const char *kind, const char *name)
{
    u_char buf[NGX_SANDBOX_POLICY_KEY];
    ngx_str_t key;

    key.data = buf;
    key.len = (size_t) (ngx_snprintf(buf, sizeof(buf), "%s%s%s", tenant, kind, name) - buf);

    /* ngx_str_node_t is the layer's first member */
    return (ngx_sandbox_policy_layer_t *) ngx_str_rbtree_lookup(&store->layers, &key,
                                                                ngx_crc32_long(key.data, key.len));
}

const struct sbx_policy *
ngx_sandbox_policy_store_get(ngx_sandbox_policy_store_t *store, const ngx_sandbox_policy_who_t *who, ngx_pool_t *pool)
{
    ngx_sandbox_policy_merged_t *merged;
    ngx_sandbox_policy_layer_t *layer[N_LAYERS];
    ngx_str_t key;
    ngx_uint_t i;
    uint32_t hash;

    layer[LAYER_TENANT] = ngx_sandbox_policy_find(store, who->tenant, "", "");
    layer[LAYER_APP] = who->app[0] == '\0' ? NULL : ngx_sandbox_policy_find(store, who->tenant, "/apps/", who->app);
    layer[LAYER_AGENT] = who->agent[0] == '\0'
                         ? NULL : ngx_sandbox_policy_find(store, who->tenant, "/agents/", who->agent);

    if (layer[LAYER_TENANT] == NULL && layer[LAYER_APP] == NULL && layer[LAYER_AGENT] == NULL) {
        return &store->base;
    }

    key.data = (u_char *) layer;
    key.len = sizeof(layer);
    hash = ngx_crc32_long(key.data, key.len);

    merged = (ngx_sandbox_policy_merged_t *) ngx_str_rbtree_lookup(&store->merged, &key, hash);
    if (merged != NULL) {
        return &merged->policy;
    }

    /* Past the bound it is made anew for each request: nobody's entry is ever taken away. */
    merged = ngx_palloc(store->n_merged < NGX_SANDBOX_POLICY_MERGED_MAX ? store->pool : pool,
                        sizeof(ngx_sandbox_policy_merged_t));
    if (merged == NULL) {
        return NULL;
    }

    merged->policy = store->base;
    for (i = 0; i < N_LAYERS; i++) {
        merged->layer[i] = layer[i];
        if (layer[i] != NULL) {
            sbx_policy_narrow(&merged->policy, &layer[i]->policy);
        }
    }

    if (store->n_merged < NGX_SANDBOX_POLICY_MERGED_MAX) {
        merged->node.str.data = (u_char *) merged->layer;
        merged->node.str.len = sizeof(merged->layer);
        merged->node.node.key = hash;
        ngx_rbtree_insert(&store->merged, &merged->node.node);
        store->n_merged++;
    }

    return &merged->policy;
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
