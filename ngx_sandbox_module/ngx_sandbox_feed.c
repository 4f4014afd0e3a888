#include "ngx_sandbox_feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const target_keys[] = {
    [NGX_SANDBOX_TARGET_TENANT] = "tenant",
    [NGX_SANDBOX_TARGET_APP] = "app",
    [NGX_SANDBOX_TARGET_AGENT] = "agent",
    [NGX_SANDBOX_TARGET_TEMPLATE] = "template",
};

static bool
feed_text(const json_t *object, const char *path, const char *key, char *out, size_t size,
          struct sbx_field_error *err)
{
    const char *text = NULL;
    size_t len = 0;

    if (!sbx_json_get_str(object, path, key, size - 1, &text, &len, err)) {
        return false;
    }
    if (text == NULL || len == 0) {
        sbx_field_error_set(err, path, "%s is missing", key);
        return false;
    }
    memcpy(out, text, len + 1);
    return true;
}

static bool
feed_name(const json_t *object, const char *path, const char *key, char out[SBX_NAME_MAX + 1],
          struct sbx_field_error *err)
{
    if (!feed_text(object, path, key, out, SBX_NAME_MAX + 1, err)) {
        return false;
    }
    if (!sbx_name_valid(out, strlen(out))) {
        sbx_field_error_set(err, path, "%s is no name", key);
        return false;
    }
    return true;
}

static bool
feed_number(const json_t *object, const char *path, const char *key, uint64_t *ret,
            struct sbx_field_error *err)
{
    int64_t number = -1;

    if (!sbx_json_get_int(object, path, key, 0, INT64_MAX, &number, err)) {
        return false;
    }
    if (number < 0) {
        sbx_field_error_set(err, path, "%s is missing", key);
        return false;
    }
    *ret = (uint64_t)number;
    return true;
}

static bool
feed_target(const json_t *item, const char *path, struct ngx_sandbox_target *ret, struct sbx_field_error *err)
{
    unsigned kind;

    for (kind = 0; kind < NGX_SANDBOX_N_TARGETS && json_object_get(item, target_keys[kind]) == NULL; kind++) {
        continue;
    }
    if (kind == NGX_SANDBOX_N_TARGETS || json_object_size(item) != 1) {
        sbx_field_error_set(err, path, "is no target");
        return false;
    }

    ret->kind = (enum ngx_sandbox_target_kind)kind;
    if (kind == NGX_SANDBOX_TARGET_TENANT) {
        if (!json_is_true(json_object_get(item, "tenant"))) {
            sbx_field_error_set(err, path, "is no target");
            return false;
        }
        return true;
    }
    /* Names of templates have a sign that others have not. */
    if (!feed_text(item, path, target_keys[kind], ret->name, sizeof(ret->name), err)) {
        return false;
    }
    if (!sbx_name_valid(ret->name, strlen(ret->name)) &&
        !sbx_policy_name_valid(ret->name, strlen(ret->name))) {
        sbx_field_error_set(err, path, "%s is no name", target_keys[kind]);
        return false;
    }
    return true;
}

static int
feed_targets(const json_t *item, const char *path, struct ngx_sandbox_change *ret,
             struct sbx_field_error *err)
{
    json_t *list = NULL;
    char at[128];
    size_t i, n;

    if (!sbx_json_get_array(item, path, "applies_to", NGX_SANDBOX_FEED_TARGETS_MAX, &list, err)) {
        return NGX_SANDBOX_FEED_E_FORM;
    }
    n = json_array_size(list);
    if (list == NULL || n == 0) {
        return 0;
    }
    ret->target = calloc(n, sizeof(*ret->target));
    if (ret->target == NULL) {
        return -ENOMEM;
    }
    for (i = 0; i < n; i++) {
        sbx_json_pointer(at, sizeof(at), path, NULL, i);
        if (!feed_target(json_array_get(list, i), at, &ret->target[i], err)) {
            return NGX_SANDBOX_FEED_E_FORM;
        }
    }
    ret->n_targets = (unsigned)n;
    return 0;
}

static int
feed_policy(const json_t *item, const char *path, struct ngx_sandbox_change *ret, struct sbx_field_error *err)
{
    const json_t *document = json_object_get(item, "document");
    uint64_t version = 0;
    int r;

    if (!feed_number(item, path, "version", &version, err)) {
        return NGX_SANDBOX_FEED_E_FORM;
    }
    if (version > UINT32_MAX || document == NULL) {
        sbx_field_error_set(err, path, "has no version or document");
        return NGX_SANDBOX_FEED_E_FORM;
    }
    ret->version = (uint32_t)version;

    r = feed_targets(item, path, ret, err);
    if (r != 0) {
        return r;
    }

    r = sbx_policy_doc_compile(&ret->doc, document, &ret->why);
    if (r == SBX_POLICY_E_FORM) {
        ret->doc = NULL; /* of a newer executor: whoever it applies to is refused */
        return 0;
    }
    if (r == 0) {
        sbx_policy_doc_name(ret->doc, ret->id, ret->version);
    }
    return r;
}

static int
feed_revocation(const json_t *item, const char *path, struct ngx_sandbox_change *ret,
                struct sbx_field_error *err)
{
    const bool token = json_object_get(item, "token_id") != NULL, all = json_object_get(item, "all") != NULL;
    const bool subject = json_object_get(item, "subject") != NULL;

    if (token + all + subject != 1) {
        sbx_field_error_set(err, path, "must name a token, a subject or all");
        return NGX_SANDBOX_FEED_E_FORM;
    }
    if (!feed_number(item, path, "issued_before", &ret->issued_before_s, err) ||
        !feed_number(item, path, "expires_at", &ret->expires_s, err)) {
        return NGX_SANDBOX_FEED_E_FORM;
    }
    if (all) {
        ret->revoked = NGX_SANDBOX_REVOKED_ALL;
        return 0;
    }
    ret->revoked = token ? NGX_SANDBOX_REVOKED_TOKEN : NGX_SANDBOX_REVOKED_SUBJECT;
    return feed_text(item, path, token ? "token_id" : "subject", ret->value, sizeof(ret->value), err)
               ? 0
               : NGX_SANDBOX_FEED_E_FORM;
}

static int
feed_change(const json_t *item, const char *path, struct ngx_sandbox_change *ret, struct sbx_field_error *err)
{
    char kind[16] = "";
    bool deleted = false, policy;

    if (!json_is_object(item)) {
        sbx_field_error_set(err, path, "is no object");
        return NGX_SANDBOX_FEED_E_FORM;
    }
    if (!feed_text(item, path, "kind", kind, sizeof(kind), err) ||
        !feed_number(item, path, "revision", &ret->revision, err) ||
        !feed_name(item, path, "tenant", ret->tenant, err) ||
        !sbx_json_get_bool(item, path, "deleted", &deleted, err)) {
        return NGX_SANDBOX_FEED_E_FORM;
    }
    policy = strcmp(kind, "policy") == 0;
    if (!policy && strcmp(kind, "revocation") != 0) {
        sbx_field_error_set(err, path, "is of no kind that is known");
        return NGX_SANDBOX_FEED_E_FORM;
    }
    if (!feed_name(item, path, policy ? "policy_id" : "revocation_id", ret->id, err)) {
        return NGX_SANDBOX_FEED_E_FORM;
    }
    if (deleted) {
        ret->kind = policy ? NGX_SANDBOX_POLICY_DELETED : NGX_SANDBOX_REVOCATION_DELETED;
        return 0;
    }
    ret->kind = policy ? NGX_SANDBOX_POLICY_SET : NGX_SANDBOX_REVOCATION_SET;
    return policy ? feed_policy(item, path, ret, err) : feed_revocation(item, path, ret, err);
}

static bool
feed_head(const json_t *json, struct ngx_sandbox_feed *feed, struct sbx_field_error *err)
{
    bool complete = false, reset = false;

    if (!feed_text(json, "", "instance", feed->instance, sizeof(feed->instance), err) ||
        !feed_number(json, "", "revision", &feed->revision, err) ||
        !sbx_json_get_bool(json, "", "complete", &complete, err) ||
        !sbx_json_get_bool(json, "", "reset", &reset, err)) {
        return false;
    }
    if (strlen(feed->instance) != NGX_SANDBOX_FEED_INSTANCE ||
        strspn(feed->instance, "0123456789abcdef") != NGX_SANDBOX_FEED_INSTANCE) {
        sbx_field_error_set(err, "/instance", "must be 32 digits");
        return false;
    }
    feed->complete = complete;
    feed->reset = reset;
    return true;
}

/* Revisions go up from what was asked with to what the answer says; one that leads nowhere would be asked for ever. */
static bool
feed_ordered(const struct ngx_sandbox_feed *feed, uint64_t after, struct sbx_field_error *err)
{
    unsigned i;

    if (feed->reset) {
        if (feed->n_changes != 0 || feed->complete) {
            sbx_field_error_set(err, "/reset", "comes with changes");
            return false;
        }
        return true;
    }
    for (i = 0; i < feed->n_changes; i++) {
        if (feed->change[i].revision <= after) {
            sbx_field_error_set(err, "/changes", "is not in the order of revisions");
            return false;
        }
        after = feed->change[i].revision;
    }
    if (feed->revision < after || (!feed->complete && feed->n_changes == 0)) {
        sbx_field_error_set(err, "/revision", "does not fit the changes");
        return false;
    }
    return true;
}

static int
feed_load(struct ngx_sandbox_feed **ret, const json_t *json, uint64_t after, struct sbx_field_error *err)
{
    struct ngx_sandbox_feed *feed;
    json_t *list = NULL;
    char path[32];
    size_t i, n;
    int r = 0;

    if (!json_is_object(json)) {
        sbx_field_error_set(err, "", "is no object");
        return NGX_SANDBOX_FEED_E_FORM;
    }
    if (!sbx_json_get_array(json, "", "changes", NGX_SANDBOX_FEED_CHANGES_MAX, &list, err)) {
        return NGX_SANDBOX_FEED_E_FORM;
    }
    n = json_array_size(list);
    feed = calloc(1, sizeof(*feed) + n * sizeof(feed->change[0]));
    if (feed == NULL) {
        return -ENOMEM;
    }

    if (list == NULL || !feed_head(json, feed, err)) {
        if (list == NULL) {
            sbx_field_error_set(err, "/changes", "is missing");
        }
        r = NGX_SANDBOX_FEED_E_FORM;
    }
    for (i = 0; i < n && r == 0; i++) {
        (void)snprintf(path, sizeof(path), "/changes/%zu", i); /* fits */
        feed->n_changes = (unsigned)i + 1;                     /* what it holds already is freed with it */
        r = feed_change(json_array_get(list, i), path, &feed->change[i], err);
    }
    if (r == 0 && !feed_ordered(feed, after, err)) {
        r = NGX_SANDBOX_FEED_E_FORM;
    }
    if (r != 0) {
        feed = ngx_sandbox_feed_free(feed);
    }
    *ret = feed;
    return r;
}

int
ngx_sandbox_feed_read(struct ngx_sandbox_feed **ret, const char *text, size_t len, uint64_t after,
                      struct sbx_field_error *err)
{
    json_t *json = NULL;
    int r;

    *ret = NULL;
    if (len > NGX_SANDBOX_FEED_BODY_MAX) {
        sbx_field_error_set(err, "", "is too large");
        return NGX_SANDBOX_FEED_E_FORM;
    }
    r = sbx_json_parse(&json, text, len, err);
    if (r == 0) {
        r = feed_load(ret, json, after, err);
    }
    json_decref(json);
    return r < 0 ? r : r > 0 ? NGX_SANDBOX_FEED_E_FORM : 0;
}

struct ngx_sandbox_feed *
ngx_sandbox_feed_free(struct ngx_sandbox_feed *feed)
{
    unsigned i;

    if (feed != NULL) {
        for (i = 0; i < feed->n_changes; i++) {
            free(feed->change[i].doc);
            free(feed->change[i].target);
        }
        free(feed);
    }
    return NULL;
}
