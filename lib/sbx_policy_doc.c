/*
 * A document as one block: its numbers, then a table of each list. What is at an offset is counted from the block's
 * start, so the block may be anywhere.
 *
 * A list has its entries twice: in the order of the document, for people, and as indices sorted by key and port.
 */
#include "sbx_policy_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Entries of one key are looked at one after the other: only bounds of versions can make many. */
#define MAX_SAME_KEY 16
#define NOTHING UINT32_MAX

struct table {
    bool has;
    uint32_t first, n; /* in rule[] and in sorted[] */
};

struct rule {
    uint32_t key, text; /* in the strings; text of the first SBX_RULES_SHOWN of a list, else NOTHING */
    uint32_t bounds;    /* in the bounds */
    uint16_t key_len;
    uint16_t low, high;
    uint16_t reach; /* at this place of sorted[]: the highest port up to here */
    uint8_t n_bounds;
};

struct sbx_policy_doc {
    uint32_t size;
    uint32_t rules, bounds, sorted, strings; /* where the parts begin */
    struct table table[SBX_N_RULE_KINDS];
    struct sbx_policy said;
};

/* A document being compiled: the parts of the block, one after the other in the end. */
struct draft {
    struct sbx_policy_doc head;
    struct sbx_buf rules, sorted, bounds, strings;
    unsigned n_entries; /* repeated names included */
    struct sbx_field_error *err;
};

/* What qsort needs to know of the list it sorts. */
struct order {
    const char *strings;
    const struct rule *rule;
    uint16_t at;
};

static int
compare_keys(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

    return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int
compare_entries(const void *left, const void *right)
{
    const struct order *a = left, *b = right;
    int order = compare_keys(a->strings + a->rule->key, a->rule->key_len, b->strings + b->rule->key,
                             b->rule->key_len);

    if (order == 0) {
        order = (a->rule->low > b->rule->low) - (a->rule->low < b->rule->low);
    }
    return order != 0 ? order : (a->at > b->at) - (a->at < b->at);
}

/* Appends to `strings` and returns where. */
static uint32_t
keep(struct draft *draft, const char *text, size_t len)
{
    uint32_t at = (uint32_t)draft->strings.len;

    sbx_buf_append(&draft->strings, text, len);
    return at;
}

static bool
is_name_list(unsigned kind)
{
    return kind == SBX_RULE_LANGUAGES || kind == SBX_RULE_TEMPLATES || kind == SBX_RULE_TOOLS ||
           kind == SBX_RULE_SECRETS;
}

/* The entry as JSON text; one with bounds as name and bounds. None of it needs escapes. */
static uint32_t
keep_text(struct draft *draft, const struct sbx_rule *parsed, const json_t *item, bool is_name)
{
    char number[16];
    uint32_t at;

    if (json_is_integer(item)) {
        return keep(draft, number,
                    (size_t)snprintf(number, sizeof(number), "%d", (int)json_integer_value(item)) + 1);
    }
    at = keep(draft, "\"", 1);
    if (is_name) {
        (void)keep(draft, parsed->key, parsed->key_len);
    } else if (json_is_string(item)) {
        sbx_buf_puts(&draft->strings, json_string_value(item));
    } else {
        sbx_buf_printf(&draft->strings, "%s%s", json_string_value(json_object_get(item, "name")),
                       json_string_value(json_object_get(item, "versions")));
    }
    (void)keep(draft, "\"", 2); /* with its end */
    return at;
}

static void
add_rule(struct draft *draft, unsigned kind, const struct sbx_rule *parsed, const json_t *item)
{
    struct rule rule = {
        .key = keep(draft, parsed->key, parsed->key_len),
        .key_len = (uint16_t)parsed->key_len,
        .low = parsed->low,
        .high = parsed->high,
        .n_bounds = parsed->n_bounds,
        .bounds = (uint32_t)draft->bounds.len,
    };

    rule.text = draft->head.table[kind].n++ < SBX_RULES_SHOWN
                    ? keep_text(draft, parsed, item, is_name_list(kind))
                    : NOTHING;
    sbx_buf_append(&draft->bounds, (const char *)parsed->bound, parsed->n_bounds * sizeof(parsed->bound[0]));
    sbx_buf_append(&draft->rules, (const char *)&rule, sizeof(rule));
}

/* Is the name among those that are shown? People see it once. */
static bool
is_shown(const struct draft *draft, const struct table *table, const struct sbx_rule *parsed)
{
    const struct rule *rules;
    unsigned i;

    if (table->n == 0) {
        return false; /* there may be no rules yet to point at */
    }
    rules = (const struct rule *)(const void *)draft->rules.data + table->first;
    for (i = 0; i < table->n && i < SBX_RULES_SHOWN; i++) {
        if (compare_keys(draft->strings.data + rules[i].key, rules[i].key_len, parsed->key,
                         parsed->key_len) == 0) {
            return true;
        }
    }
    return false;
}

/* Sorts the list that was added last. */
static int
sort_list(struct draft *draft, const struct table *table, const char *path)
{
    struct order *order = NULL;
    struct rule *rules = NULL;
    uint16_t reach = 0;
    unsigned i, same = 0;

    if (table->n == 0) {
        return 0; /* there may be no rules yet to point at */
    }
    rules = (struct rule *)(void *)draft->rules.data + table->first;
    order = calloc(table->n, sizeof(*order));
    if (order == NULL) {
        return -ENOMEM;
    }
    for (i = 0; i < table->n; i++) {
        order[i] = (struct order){ draft->strings.data, &rules[i], (uint16_t)i };
    }
    qsort(order, table->n, sizeof(*order), compare_entries);
    for (i = 0; i < table->n; i++) {
        const struct rule *rule = order[i].rule, *before = i > 0 ? order[i - 1].rule : NULL;

        same = before != NULL && rule->n_bounds > 0 &&
                       compare_keys(draft->strings.data + before->key, before->key_len,
                                    draft->strings.data + rule->key, rule->key_len) == 0
                   ? same + 1
                   : 0;
        if (same == MAX_SAME_KEY) {
            break;
        }
        reach = rule->high > reach ? rule->high : reach;
        rules[order[i].at].reach = reach;
        sbx_buf_append(&draft->sorted, (const char *)&order[i].at, sizeof(order[i].at));
    }
    free(order);
    if (i < table->n) {
        sbx_field_error_set(draft->err, path, "must not have more than %d entries of one package",
                            MAX_SAME_KEY);
        return SBX_POLICY_E_FORM;
    }
    return draft->sorted.failed ? -ENOMEM : 0;
}

static size_t
draft_size(const struct draft *draft)
{
    return sizeof(draft->head) + draft->rules.len + draft->bounds.len + draft->sorted.len +
           draft->strings.len;
}

static int
add_list(struct draft *draft, unsigned kind, const json_t *object, const char *path, const char *key)
{
    struct table *table = &draft->head.table[kind];
    char list[sizeof(draft->err->field)], field[sizeof(draft->err->field)];
    json_t *array = NULL, *item;
    struct sbx_rule parsed;
    size_t i;

    table->first = (uint32_t)(draft->rules.len / sizeof(struct rule));
    if (!sbx_json_get_array(object, path, key, SBX_POLICY_RULES_MAX, &array, draft->err)) {
        return SBX_POLICY_E_FORM;
    }
    if (array == NULL) {
        return 0;
    }
    table->has = true;
    sbx_json_pointer(list, sizeof(list), path, key, 0);
    json_array_foreach (array, i, item) {
        sbx_json_pointer(field, sizeof(field), list, NULL, i);
        if (!sbx_rule_parse(&parsed, (enum sbx_rule_kind)kind, item, field, draft->err)) {
            return SBX_POLICY_E_FORM;
        }
        if (draft->n_entries++ == SBX_POLICY_RULES_MAX || draft_size(draft) > SBX_POLICY_DOC_MAX / 2) {
            sbx_field_error_set(draft->err, field, "is more than a policy may hold: %d entries, %u bytes",
                                SBX_POLICY_RULES_MAX, SBX_POLICY_DOC_MAX / 2);
            return SBX_POLICY_E_FORM;
        }
        if (is_name_list(kind) && is_shown(draft, table, &parsed)) {
            continue;
        }
        add_rule(draft, kind, &parsed, item);
        if (draft->rules.failed || draft->bounds.failed || draft->strings.failed) {
            return -ENOMEM;
        }
    }
    return table->n == 0 ? 0 : sort_list(draft, table, list);
}

static int
add_lists(struct draft *draft, const json_t *document)
{
    static const char *const of_dependencies[] = { "pip", "npm", NULL };
    static const struct {
        const char *group, *path, *key;
    } where[SBX_N_RULE_KINDS] = {
        [SBX_RULE_LANGUAGES] = { NULL, "", "languages" },
        [SBX_RULE_TEMPLATES] = { NULL, "", "templates" },
        [SBX_RULE_TOOLS] = { NULL, "", "tools" },
        [SBX_RULE_PIP] = { "dependencies", "/dependencies", "pip" },
        [SBX_RULE_NPM] = { "dependencies", "/dependencies", "npm" },
        [SBX_RULE_EGRESS] = { NULL, "", "egress" },
        [SBX_RULE_SECRETS] = { NULL, "", "secrets" },
        [SBX_RULE_SERVICES] = { "services", "/services", "ports" },
    };
    json_t *dependencies = NULL;
    unsigned i;
    int r;

    /* Services were looked at with the numbers. */
    if (!sbx_policy_group(document, "dependencies", of_dependencies, &dependencies, draft->err)) {
        return SBX_POLICY_E_FORM;
    }
    for (i = 0; i < SBX_N_RULE_KINDS; i++) {
        const json_t *object = where[i].group != NULL ? json_object_get(document, where[i].group) : document;

        r = add_list(draft, i, object, where[i].path, where[i].key);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

/* Puts the parts into one block. */
static int
assemble(struct sbx_policy_doc **ret, const struct draft *draft)
{
    const struct sbx_buf *parts[] = { &draft->rules, &draft->bounds, &draft->sorted, &draft->strings };
    struct sbx_policy_doc *doc = calloc(1, draft_size(draft));
    uint32_t *offsets[4], at = sizeof(*doc);
    unsigned i;

    if (doc == NULL) {
        return -ENOMEM;
    }
    *doc = draft->head;
    doc->size = (uint32_t)draft_size(draft);
    offsets[0] = &doc->rules;
    offsets[1] = &doc->bounds;
    offsets[2] = &doc->sorted;
    offsets[3] = &doc->strings;
    for (i = 0; i < SBX_COUNT(parts); i++) {
        *offsets[i] = at;
        if (parts[i]->len > 0) {
            memcpy((char *)doc + at, parts[i]->data, parts[i]->len);
        }
        at += (uint32_t)parts[i]->len;
    }
    *ret = doc;
    return 0;
}

int
sbx_policy_doc_compile(struct sbx_policy_doc **ret, const json_t *document, struct sbx_field_error *err)
{
    struct draft draft = {
        .rules = SBX_BUF_INIT(SBX_POLICY_DOC_MAX),
        .sorted = SBX_BUF_INIT(SBX_POLICY_DOC_MAX),
        .bounds = SBX_BUF_INIT(SBX_POLICY_DOC_MAX),
        .strings = SBX_BUF_INIT(SBX_POLICY_DOC_MAX),
        .err = err,
    };
    int r;

    if (!sbx_policy_numbers(&draft.head.said, document, err)) {
        return SBX_POLICY_E_FORM;
    }
    r = add_lists(&draft, document);
    if (r == 0) {
        r = assemble(ret, &draft);
    }
    sbx_buf_deinit(&draft.rules);
    sbx_buf_deinit(&draft.sorted);
    sbx_buf_deinit(&draft.bounds);
    sbx_buf_deinit(&draft.strings);
    return r;
}

size_t
sbx_policy_doc_size(const struct sbx_policy_doc *doc)
{
    return doc->size;
}

const struct sbx_policy *
sbx_policy_doc_said(const struct sbx_policy_doc *doc)
{
    return &doc->said;
}

void
sbx_policy_doc_name(struct sbx_policy_doc *doc, const char *id, uint32_t version)
{
    (void)snprintf(doc->said.id, sizeof(doc->said.id), "%s", id); /* ours, or a file's name: cut to fit */
    doc->said.version = version;
}

bool
sbx_policy_doc_counts(const struct sbx_policy_doc *doc)
{
    const struct sbx_policy *said = &doc->said;
    unsigned i;

    for (i = 0; i < SBX_N_SCOPES; i++) {
        if (said->rate[i].per_second_milli != 0 || said->concurrency[i] != 0 || said->budget_cpu_ms[i] != 0) {
            return true;
        }
    }
    return said->n_routes > 0 || said->n_tools > 0 || said->n_route_caps > 0 || said->n_tool_caps > 0;
}

static const void *
part(const struct sbx_policy_doc *doc, uint32_t at)
{
    return (const char *)doc + at;
}

static const struct rule *
rules_of(const struct sbx_policy_doc *doc, unsigned kind)
{
    return (const struct rule *)part(doc, doc->rules) + doc->table[kind].first;
}

bool
sbx_policy_doc_has(const struct sbx_policy_doc *doc, enum sbx_rule_kind kind)
{
    return doc->table[kind].has;
}

unsigned
sbx_policy_doc_n_rules(const struct sbx_policy_doc *doc, enum sbx_rule_kind kind)
{
    return doc->table[kind].n;
}

const char *
sbx_policy_doc_rule_text(const struct sbx_policy_doc *doc, enum sbx_rule_kind kind, unsigned at)
{
    return (const char *)part(doc, doc->strings) + rules_of(doc, kind)[at].text;
}

/* What is looked for in a table. */
struct wanted {
    const char *key;
    size_t len;
    uint16_t low;
};

/* The number of entries that come before the wanted one. */
static unsigned
count_below(const struct sbx_policy_doc *doc, unsigned kind, const struct wanted *wanted)
{
    const struct table *table = &doc->table[kind];
    const uint16_t *sorted = (const uint16_t *)part(doc, doc->sorted) + table->first;
    const char *strings = part(doc, doc->strings);
    const struct rule *rules = rules_of(doc, kind);
    unsigned from = 0, to = table->n;

    while (from < to) {
        unsigned middle = from + (to - from) / 2;
        const struct rule *rule = &rules[sorted[middle]];
        int order = compare_keys(strings + rule->key, rule->key_len, wanted->key, wanted->len);

        if (order < 0 || (order == 0 && rule->low < wanted->low)) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

/* Is there an entry of just this key and port whose bounds hold? */
static bool
finds(const struct sbx_policy_doc *doc, unsigned kind, const struct wanted *wanted, const struct sbx_ask *ask)
{
    const struct table *table = &doc->table[kind];
    const uint16_t *sorted = (const uint16_t *)part(doc, doc->sorted) + table->first;
    const char *strings = part(doc, doc->strings), *bounds = part(doc, doc->bounds);
    const struct rule *rules = rules_of(doc, kind), *rule;
    unsigned i;

    for (i = count_below(doc, kind, wanted); i < table->n; i++) {
        rule = &rules[sorted[i]];
        if (rule->low != wanted->low ||
            compare_keys(strings + rule->key, rule->key_len, wanted->key, wanted->len) != 0) {
            return false;
        }
        if (sbx_version_fits(ask, (const struct sbx_version_bound *)(const void *)(bounds + rule->bounds),
                             rule->n_bounds)) {
            return true;
        }
    }
    return false;
}

static bool
finds_key(const struct sbx_policy_doc *doc, unsigned kind, const char *key, size_t len,
          const struct sbx_ask *ask)
{
    const struct wanted any = { key, len, 0 }, port = { key, len, ask->port };

    return finds(doc, kind, &any, ask) || (ask->port != 0 && finds(doc, kind, &port, ask));
}

static bool
allows_scope(const struct sbx_policy_doc *doc, const struct sbx_ask *ask)
{
    char key[SBX_RULE_KEY_MAX + 2];
    const char *slash = memchr(ask->key, '/', ask->key_len);
    size_t len = slash != NULL ? (size_t)(slash - ask->key) + 1 : 0;

    if (len == 0) {
        return false;
    }
    memcpy(key, ask->key, len);
    key[len] = '*';
    return finds_key(doc, SBX_RULE_NPM, key, len + 1, ask);
}

/* The host itself, or what a star stands before: its last SBX_POLICY_SUFFIX_LABELS suffixes. */
static bool
allows_host(const struct sbx_policy_doc *doc, const struct sbx_ask *ask)
{
    const char *at = ask->key + ask->key_len;
    unsigned labels = 0;

    if (finds_key(doc, SBX_RULE_EGRESS, ask->key, ask->key_len, ask)) {
        return true;
    }
    while (at > ask->key && labels < SBX_POLICY_SUFFIX_LABELS) {
        at--;
        if (*at != '.') {
            continue;
        }
        labels++;
        if (finds_key(doc, SBX_RULE_EGRESS, at, (size_t)(ask->key + ask->key_len - at), ask)) {
            return true;
        }
    }
    return false;
}

static bool
allows_port(const struct sbx_policy_doc *doc, uint16_t port)
{
    const struct table *table = &doc->table[SBX_RULE_SERVICES];
    const uint16_t *sorted = (const uint16_t *)part(doc, doc->sorted) + table->first;
    const struct wanted beyond = { "", 0, port };
    unsigned n;

    /* Those that begin lower, then one that begins here: all that may hold it. */
    n = count_below(doc, SBX_RULE_SERVICES, &beyond);
    if (n < table->n && rules_of(doc, SBX_RULE_SERVICES)[sorted[n]].low == port) {
        return true;
    }
    return n > 0 && rules_of(doc, SBX_RULE_SERVICES)[sorted[n - 1]].reach >= port;
}

bool
sbx_policy_doc_allows(const struct sbx_policy_doc *doc, enum sbx_rule_kind kind, const struct sbx_ask *ask)
{
    switch (kind) {
    case SBX_RULE_LANGUAGES:
    case SBX_RULE_TEMPLATES:
    case SBX_RULE_TOOLS:
    case SBX_RULE_SECRETS:
        return finds_key(doc, kind, ask->key, ask->key_len, ask);
    case SBX_RULE_PIP:
        return finds_key(doc, kind, ask->key, ask->key_len, ask) || finds_key(doc, kind, "*", 1, ask);
    case SBX_RULE_NPM:
        return finds_key(doc, kind, ask->key, ask->key_len, ask) || allows_scope(doc, ask) ||
               finds_key(doc, kind, "*", 1, ask);
    case SBX_RULE_EGRESS:
        return allows_host(doc, ask) || finds_key(doc, kind, "*", 1, ask);
    case SBX_RULE_SERVICES:
        return allows_port(doc, ask->port);
    case SBX_N_RULE_KINDS:
        break;
    }
    return false;
}
