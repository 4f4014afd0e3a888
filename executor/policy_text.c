#include "executor/policy_text.h"

#include <stdlib.h>
#include <string.h>

#include "executor/log.h"
#include "lib/sbx_json.h"
#include "lib/sbx_policy_dir.h"

/* Everything up to the product's ceilings: narrowing is the edges' business, and that of the tenants' own documents. */
static const char wide[] = "{\"version\":1,\"id\":\"executor\",\"limits\":{\"cpu\":{\"max\":64},\"cpu_time\":"
                           "{\"max\":\"24h\"},\"memory\":{\"max\":\"64Gi\"},"
                           "\"disk\":{\"max\":\"64Gi\"},\"processes\":{\"max\":4096},\"time\":{\"max\":"
                           "\"24h\"},\"output\":{\"max\":\"1Gi\"}},"
                           "\"env\":{\"max\":1024},\"files\":{\"max\":1024,\"max_bytes\":\"1Gi\"},"
                           "\"artifacts\":{\"max\":1024,\"max_bytes\":\"1Gi\"},"
                           "\"max_wait\":\"10m\",\"sessions\":{\"max_lifetime\":\"24h\",\"ttl\":{\"max\":"
                           "\"24h\"},\"idle_timeout\":{\"max\":\"24h\"},"
                           "\"step_timeout\":{\"max\":\"24h\"},\"cpu_time\":{\"max\":\"24h\"}},"
                           "\"dependencies\":{\"pip\":[\"*\"],\"npm\":[\"*\"]}}";
static const char nothing[] = "{\"version\":1,\"languages\":[],\"templates\":[],\"tools\":[]}";

static int
compile(struct sbx_policy_doc **ret, const char *text, const char *what)
{
    struct sbx_field_error err = { 0 };
    json_t *json = NULL;
    int r;

    r = sbx_json_parse(&json, text, strlen(text), &err);
    if (r == 0) {
        r = sbx_policy_doc_compile(ret, json, &err);
        json_decref(json);
    }
    if (r > 0) {
        log_error("policy.invalid", LOG_STR("policy", what), LOG_STR("field", err.field),
                  LOG_STR("why", err.message));
        return -EINVAL;
    }
    return r;
}

void
policy_text_put(struct governance *governance, const struct policy_record *record)
{
    struct sbx_policy_doc *doc = NULL;
    int r = record->document == NULL ? -EINVAL : compile(&doc, record->document, record->id.text);

    if (r) {
        r = compile(&doc, nothing, "nothing");
    }
    if (r == 0) {
        sbx_policy_doc_name(doc, record->id.text, record->version);
        r = governance_put(governance, record->tenant, record->id.text, record->target, record->n_targets,
                           doc);
    }
    if (r) {
        free(doc);
        log_error("policy.not_in_force", LOG_STR("policy", record->id.text),
                  LOG_STR("tenant", record->tenant), LOG_INT("code", r));
    }
}

struct loading {
    struct governance *governance;
};

static int
on_document(void *data, const struct sbx_policy_place *place, struct sbx_policy_doc *doc)
{
    struct loading *loading = data;
    int r;

    if (*place->tenant == '\0') {
        r = governance_new(&loading->governance, doc); /* the default comes first */
    } else {
        r = loading->governance == NULL
                ? -EINVAL
                : governance_add_operator(loading->governance, place->tenant, place->app, place->agent, doc);
    }
    if (r) {
        free(doc);
    }
    return r;
}

int
policy_text_governance(struct governance **ret, const char *dir)
{
    struct loading loading = { 0 };
    struct sbx_policy_dir_why why = { .text = "" };
    struct sbx_policy_doc *base = NULL;
    int r;

    if (*dir == '\0') {
        r = compile(&base, wide, "executor");
        if (r == 0) {
            r = governance_new(ret, base);
        }
        if (r) {
            free(base);
        }
        return r;
    }
    r = sbx_policy_dir_load(dir, on_document, &loading, &why);
    if (r == 0 && loading.governance == NULL) {
        r = governance_new(&loading.governance, NULL);
    }
    if (r) {
        log_error("start.policies", LOG_STR("object", dir),
                  LOG_STR("error", r > 0 ? why.text : strerror(-r)));
        governance_free(loading.governance);
        return r > 0 ? -EINVAL : r;
    }
    *ret = loading.governance;
    return 0;
}
