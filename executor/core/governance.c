#include "executor/core/governance.h"

#include <stdlib.h>
#include <string.h>

#include "lib/sbx_list.h"

#define GOVERNANCE_BUCKETS 256u

struct policy_entry {
    struct list link;
    char id[SBX_ID_LEN + 1]; /* "" of the operator's */
    bool is_operator;
    struct sbx_policy_doc *doc;
    unsigned n_targets;
    struct policy_target *target;
};

struct governed_tenant {
    struct list link;
    struct list entries;
    char name[SBX_NAME_MAX + 1];
};

struct governance {
    struct list buckets[GOVERNANCE_BUCKETS];
    struct sbx_policy_doc *base;
};

int
governance_new(struct governance **ret, struct sbx_policy_doc *base)
{
    struct governance *governance = calloc(1, sizeof(*governance));

    if (governance == NULL) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < GOVERNANCE_BUCKETS; i++) {
        list_init(&governance->buckets[i]);
    }
    governance->base = base;
    *ret = governance;
    return 0;
}

static void
entry_free(struct policy_entry *entry)
{
    list_remove(&entry->link);
    free(entry->doc);
    free(entry->target);
    free(entry);
}

static void
tenant_free(struct governed_tenant *tenant)
{
    while (!list_empty(&tenant->entries)) {
        entry_free(list_entry(tenant->entries.next, struct policy_entry, link));
    }
    list_remove(&tenant->link);
    free(tenant);
}

struct governance *
governance_free(struct governance *governance)
{
    if (governance == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < GOVERNANCE_BUCKETS; i++) {
        while (!list_empty(&governance->buckets[i])) {
            tenant_free(list_entry(governance->buckets[i].next, struct governed_tenant, link));
        }
    }
    free(governance->base);
    free(governance);
    return NULL;
}

static const struct list *
tenant_bucket(const struct governance *governance, const char *name)
{
    uint32_t hash = 2166136261u;

    for (; *name != '\0'; name++) {
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    }
    return &governance->buckets[hash % GOVERNANCE_BUCKETS];
}

static struct governed_tenant *
tenant_find(const struct governance *governance, const char *name)
{
    const struct list *head = tenant_bucket(governance, name);

    for (struct list *it = head->next; it != head; it = it->next) {
        struct governed_tenant *tenant = list_entry(it, struct governed_tenant, link);

        if (strcmp(tenant->name, name) == 0) {
            return tenant;
        }
    }
    return NULL;
}

static struct governed_tenant *
tenant_get(struct governance *governance, const char *name)
{
    struct governed_tenant *tenant = tenant_find(governance, name);
    size_t len = strlen(name);

    if (tenant != NULL || len > SBX_NAME_MAX) {
        return tenant;
    }
    tenant = calloc(1, sizeof(*tenant));
    if (tenant != NULL) {
        memcpy(tenant->name, name, len);
        list_init(&tenant->entries);
        list_append((struct list *)(uintptr_t)tenant_bucket(governance, name), &tenant->link);
    }
    return tenant;
}

static struct policy_entry *
entry_find(const struct governed_tenant *tenant, const char *id)
{
    if (tenant == NULL || *id == '\0') {
        return NULL;
    }
    for (struct list *it = tenant->entries.next; it != &tenant->entries; it = it->next) {
        struct policy_entry *entry = list_entry(it, struct policy_entry, link);

        if (strcmp(entry->id, id) == 0) {
            return entry;
        }
    }
    return NULL;
}

/* Before the one of the same id goes: without memory nothing has changed. */
static int
entry_add(struct governed_tenant *tenant, const char *id, const struct policy_target *target,
          unsigned n_targets, struct sbx_policy_doc *doc)
{
    struct policy_entry *entry = calloc(1, sizeof(*entry));
    struct policy_target *copy = calloc(n_targets + 1, sizeof(*copy));

    if (entry == NULL || copy == NULL || strlen(id) > SBX_ID_LEN) {
        free(entry);
        free(copy);
        return -ENOMEM;
    }
    memcpy(copy, target, n_targets * sizeof(*copy));
    memcpy(entry->id, id, strlen(id) + 1);
    entry->is_operator = *id == '\0';
    entry->doc = doc;
    entry->target = copy;
    entry->n_targets = n_targets;
    list_append(&tenant->entries, &entry->link);
    return 0;
}

static void
target_set(struct policy_target *target, enum policy_target_kind kind, const char *name)
{
    *target = (struct policy_target){ .kind = kind };
    memcpy(target->name, name, strnlen(name, SBX_NAME_MAX));
}

int
governance_add_operator(struct governance *governance, const char *tenant, const char *app, const char *agent,
                        struct sbx_policy_doc *doc)
{
    struct governed_tenant *governed = tenant_get(governance, tenant);
    struct policy_target target;

    if (governed == NULL) {
        return -ENOMEM;
    }
    if (*app != '\0') {
        target_set(&target, POLICY_TARGET_APP, app);
    } else if (*agent != '\0') {
        target_set(&target, POLICY_TARGET_AGENT, agent);
    } else {
        target_set(&target, POLICY_TARGET_TENANT, "");
    }
    return entry_add(governed, "", &target, 1, doc);
}

int
governance_put(struct governance *governance, const char *tenant, const char *id,
               const struct policy_target *target, unsigned n_targets, struct sbx_policy_doc *doc)
{
    struct governed_tenant *governed = tenant_get(governance, tenant);
    struct policy_entry *before;
    int r;

    if (governed == NULL) {
        return -ENOMEM;
    }
    before = entry_find(governed, id);
    r = entry_add(governed, id, target, n_targets, doc);
    if (r == 0 && before != NULL) {
        entry_free(before);
    }
    return r;
}

void
governance_remove(struct governance *governance, const char *tenant, const char *id)
{
    struct governed_tenant *governed = tenant_find(governance, tenant);
    struct policy_entry *entry = entry_find(governed, id);

    if (entry != NULL) {
        entry_free(entry);
    }
    if (governed != NULL && list_empty(&governed->entries)) {
        tenant_free(governed);
    }
}

const struct sbx_policy_doc *
governance_find(const struct governance *governance, const char *tenant, const char *id,
                const struct policy_target **ret_target, unsigned *ret_n)
{
    const struct policy_entry *entry = entry_find(tenant_find(governance, tenant), id);

    if (entry == NULL) {
        return NULL;
    }
    *ret_target = entry->target;
    *ret_n = entry->n_targets;
    return entry->doc;
}

/* While they are gathered, each class apart. */
struct gathering {
    unsigned n[GOVERNANCE_N_CLASSES];
    const struct sbx_policy_doc *doc[GOVERNANCE_N_CLASSES][SBX_POLICY_PER_TARGET_MAX];
    bool overfull;
};

static bool
target_hits(const struct policy_target *target, const struct governance_who *who)
{
    switch (target->kind) {
    case POLICY_TARGET_TENANT:
        return true;
    case POLICY_TARGET_APP:
        return strcmp(target->name, who->app) == 0;
    case POLICY_TARGET_AGENT:
        return strcmp(target->name, who->agent) == 0;
    case POLICY_TARGET_TEMPLATE:
        return strcmp(target->name, who->template_name) == 0;
    case POLICY_N_TARGET_KINDS:
        break;
    }
    return false;
}

static enum governance_class
class_of(enum policy_target_kind kind, bool is_operator)
{
    switch (kind) {
    case POLICY_TARGET_TENANT:
        return is_operator ? GOVERNANCE_OPERATOR_TENANT : GOVERNANCE_TENANT;
    case POLICY_TARGET_APP:
        return is_operator ? GOVERNANCE_OPERATOR_APP : GOVERNANCE_APP;
    case POLICY_TARGET_AGENT:
        return is_operator ? GOVERNANCE_OPERATOR_AGENT : GOVERNANCE_AGENT;
    case POLICY_TARGET_TEMPLATE:
    case POLICY_N_TARGET_KINDS:
        break;
    }
    return GOVERNANCE_TEMPLATE;
}

/* One that applies more than once counts where it comes first. */
static void
gather(struct gathering *gathering, const struct governance_who *who, const struct policy_target *target,
       unsigned n, bool is_operator, const struct sbx_policy_doc *doc)
{
    enum governance_class first = GOVERNANCE_N_CLASSES;

    for (unsigned i = 0; i < n; i++) {
        enum governance_class class = class_of(target[i].kind, is_operator);

        first = class < first && target_hits(&target[i], who) ? class : first;
    }
    if (first == GOVERNANCE_N_CLASSES) {
        return;
    }
    if (gathering->n[first] == SBX_POLICY_PER_TARGET_MAX) {
        gathering->overfull = true;
        return;
    }
    gathering->doc[first][gathering->n[first]++] = doc;
}

void
governance_collect(const struct governance *governance, const struct governance_who *who,
                   const struct governance_draft *draft, struct governance_layers *ret)
{
    const struct governed_tenant *tenant = tenant_find(governance, who->tenant);
    struct gathering gathering = { .overfull = false };

    if (tenant != NULL) {
        for (struct list *it = tenant->entries.next; it != &tenant->entries; it = it->next) {
            const struct policy_entry *entry = list_entry(it, struct policy_entry, link);

            if (draft == NULL || entry->is_operator || strcmp(entry->id, draft->id) != 0) {
                gather(&gathering, who, entry->target, entry->n_targets, entry->is_operator, entry->doc);
            }
        }
    }
    if (draft != NULL) {
        gather(&gathering, who, draft->target, draft->n_targets, false, draft->doc);
    }
    *ret = (struct governance_layers){ .base = governance->base, .overfull = gathering.overfull };
    for (unsigned class = 0; class < GOVERNANCE_N_CLASSES; class ++) {
        for (unsigned i = 0; i < gathering.n[class]; i++) {
            if (ret->n == SBX_POLICY_LAYERS_MAX) {
                ret->overfull = true;
                return;
            }
            ret->doc[ret->n] = gathering.doc[class][i];
            ret->class[ret->n++] = (enum governance_class) class;
        }
    }
}

void
governance_view(const struct governance_layers *layers, struct sbx_policy_view *ret)
{
    sbx_policy_view_init(ret, layers->base);
    for (unsigned i = 0; i < layers->n; i++) {
        ret->overfull = !sbx_policy_view_add(ret, layers->doc[i]) || ret->overfull;
    }
    ret->overfull = ret->overfull || layers->overfull;
}

void
governance_blame(const struct governance_layers *layers, const struct sbx_policy_input *input,
                 struct governance_verdict *ret)
{
    struct sbx_policy_view view;
    struct sbx_decision decision;
    unsigned n = 0;

    sbx_policy_view_init(&view, layers->base);
    sbx_policy_view_decide(&view, input, &decision);
    while (decision.allowed && n < layers->n) {
        view.overfull = !sbx_policy_view_add(&view, layers->doc[n++]) || view.overfull;
        sbx_policy_view_decide(&view, input, &decision);
    }
    if (decision.allowed) {
        view.overfull = true; /* nothing else is left */
        sbx_policy_view_decide(&view, input, &decision);
    }
    *ret = (struct governance_verdict){ .policy_version = view.merged.version };
    ret->violation = decision.violation[0];
    memcpy(ret->policy_id, view.merged.id, sizeof(ret->policy_id));
}

bool
governance_allows(const struct governance *governance, const struct governance_who *who,
                  const struct sbx_policy_input *input, struct governance_verdict *ret)
{
    struct governance_layers layers;
    struct sbx_policy_view view;
    struct sbx_decision decision;

    governance_collect(governance, who, NULL, &layers);
    governance_view(&layers, &view);
    sbx_policy_view_decide(&view, input, &decision);
    if (!decision.allowed) {
        governance_blame(&layers, input, ret);
    }
    return decision.allowed;
}
