/* Several documents asked together. */
#include "sbx_policy_inside.h"

#include <stdio.h>
#include <string.h>

void
sbx_policy_view_init(struct sbx_policy_view *view, const struct sbx_policy_doc *base)
{
    view->overfull = false;
    view->n = 0;
    view->base = base;
    sbx_policy_base(&view->merged, base != NULL ? sbx_policy_doc_said(base) : NULL);
}

bool
sbx_policy_view_add(struct sbx_policy_view *view, const struct sbx_policy_doc *doc)
{
    if (view->n == SBX_POLICY_LAYERS_MAX) {
        view->overfull = true;
        return false;
    }
    view->doc[view->n++] = doc;
    sbx_policy_narrow(&view->merged, sbx_policy_doc_said(doc));
    return true;
}

/* What the built-in floor says of a list that the operator's default document does not have. */
static bool
floor_allows(enum sbx_rule_kind kind)
{
    return kind == SBX_RULE_LANGUAGES || kind == SBX_RULE_TEMPLATES || kind == SBX_RULE_TOOLS;
}

/* Of what documents the list is: NULL stands for the built-in floor, which allows none. */
struct lists {
    const struct sbx_policy_doc *doc[SBX_POLICY_LAYERS_MAX + 1];
    unsigned n;
};

static void
find_lists(struct lists *ret, const struct sbx_policy_view *view, enum sbx_rule_kind kind)
{
    unsigned i;

    ret->n = 0;
    if (view->base != NULL && sbx_policy_doc_has(view->base, kind)) {
        ret->doc[ret->n++] = view->base;
    } else if (!floor_allows(kind)) {
        ret->doc[ret->n++] = NULL;
        return;
    }
    for (i = 0; i < view->n; i++) {
        if (sbx_policy_doc_has(view->doc[i], kind)) {
            ret->doc[ret->n++] = view->doc[i];
        }
    }
}

/* The first document that does not allow it; -1 when all do. */
static int
refused_by(const struct lists *lists, enum sbx_rule_kind kind, const struct sbx_ask *ask)
{
    unsigned i;

    for (i = 0; i < lists->n; i++) {
        if (lists->doc[i] == NULL || !sbx_policy_doc_allows(lists->doc[i], kind, ask)) {
            return (int)i;
        }
    }
    return -1;
}

static void
add_text(struct sbx_text_list *text, const struct sbx_policy_doc *doc, enum sbx_rule_kind kind, unsigned at)
{
    const char *json = sbx_policy_doc_rule_text(doc, kind, at);

    sbx_text_list_add(text, json, strlen(json));
}

/* The names that all documents allow, in the order of the one that has the fewest. */
static void
write_common(struct sbx_text_list *text, const struct lists *lists, enum sbx_rule_kind kind)
{
    const struct sbx_policy_doc *least = lists->doc[0];
    struct sbx_ask ask;
    const char *json;
    unsigned i, n;

    for (i = 1; i < lists->n; i++) {
        if (sbx_policy_doc_n_rules(lists->doc[i], kind) < sbx_policy_doc_n_rules(least, kind)) {
            least = lists->doc[i];
        }
    }
    n = sbx_policy_doc_n_rules(least, kind);
    for (i = 0; i < n && i < SBX_RULES_SHOWN && !text->cut; i++) {
        json = sbx_policy_doc_rule_text(least, kind, i);
        sbx_ask_quoted(&ask, json);
        if (refused_by(lists, kind, &ask) < 0) {
            sbx_text_list_add(text, json, strlen(json));
        }
    }
    if (n > SBX_RULES_SHOWN) {
        sbx_text_list_cut(text);
    }
}

/* Writes the list that refused: of names what is left of all, else that of the document that refused first. */
static void
write_limit(struct sbx_violation *violation, const struct lists *lists, enum sbx_rule_kind kind, int by)
{
    const struct sbx_policy_doc *doc = lists->doc[by];
    struct sbx_text_list text;
    unsigned i, n;

    sbx_text_list_start(&text, violation->limit, sizeof(violation->limit));
    if (doc != NULL && (floor_allows(kind) || kind == SBX_RULE_SECRETS)) {
        write_common(&text, lists, kind);
    } else if (doc != NULL) {
        n = sbx_policy_doc_n_rules(doc, kind);
        for (i = 0; i < n && i < SBX_RULES_SHOWN && !text.cut; i++) {
            add_text(&text, doc, kind, i);
        }
        if (n > SBX_RULES_SHOWN) {
            sbx_text_list_cut(&text);
        }
    }
    sbx_text_list_end(&text);
    (void)snprintf(violation->hint, sizeof(violation->hint), "%s",
                   text.n > 0 || text.cut ? "use one of those in limit"
                                          : "this policy allows none"); /* ours, short */
}

static void
check_name(struct sbx_decision *decision, const char *rule, const struct sbx_policy_view *view,
           enum sbx_rule_kind kind, const char *name)
{
    struct sbx_violation *violation;
    struct lists lists;
    struct sbx_ask ask;
    int by;

    if (name[0] == '\0') {
        return;
    }
    find_lists(&lists, view, kind);
    sbx_ask_name(&ask, name);
    by = refused_by(&lists, kind, &ask);
    if (by < 0) {
        return;
    }
    violation = sbx_policy_refuse(decision, rule);
    if (violation != NULL) {
        write_limit(violation, &lists, kind, by);
        /* A name needs no escapes: sbx_policy_input_from_json saw to it. */
        (void)snprintf(violation->observed, sizeof(violation->observed), "\"%.63s\"", name);
    }
}

/* An entry of a request, whose characters need no escapes: sbx_ask_parse saw to it. */
static void
add_observed(struct sbx_text_list *list, const json_t *item)
{
    char json[SBX_POLICY_MAX_ITEM_LEN + 3];
    int len = json_is_integer(item) ? snprintf(json, sizeof(json), "%d", (int)json_integer_value(item))
                                    : snprintf(json, sizeof(json), "\"%s\"", json_string_value(item));

    sbx_text_list_add(list, json, (size_t)len);
}

/* One violation of a list, that names what is refused. */
static void
check_items(struct sbx_decision *decision, const char *rule, const struct sbx_policy_view *view,
            enum sbx_rule_kind kind, const json_t *items)
{
    struct sbx_violation *violation = NULL;
    struct sbx_text_list observed;
    struct sbx_field_error err;
    struct lists lists;
    struct sbx_ask ask;
    bool refused = false;
    size_t i, n = json_array_size(items);
    int by;

    if (n == 0) {
        return;
    }
    find_lists(&lists, view, kind);
    for (i = 0; i < n; i++) {
        /* What cannot be read was refused before; if it was not, it is now. */
        by = sbx_ask_parse(&ask, kind, json_array_get(items, i), "", &err) ? refused_by(&lists, kind, &ask)
                                                                           : 0;
        if (by < 0) {
            continue;
        }
        if (!refused) {
            refused = true;
            violation = sbx_policy_refuse(decision, rule);
            if (violation != NULL) {
                write_limit(violation, &lists, kind, by);
                sbx_text_list_start(&observed, violation->observed, sizeof(violation->observed));
            }
        }
        if (violation == NULL) {
            return;
        }
        add_observed(&observed, json_array_get(items, i));
    }
    if (violation != NULL) {
        sbx_text_list_end(&observed);
    }
}

/* The numbers, then the lists that a request brings. */
static void
settle(const struct sbx_policy_view *view, const struct sbx_policy_input *input, struct sbx_decision *ret)
{
    sbx_policy_decide_numbers(&view->merged, input, ret);
    check_items(ret, "dependencies.pip", view, SBX_RULE_PIP, input->pip);
    check_items(ret, "dependencies.npm", view, SBX_RULE_NPM, input->npm);
    check_items(ret, "egress", view, SBX_RULE_EGRESS, input->egress);
    check_items(ret, "secrets", view, SBX_RULE_SECRETS, input->secrets);
    check_items(ret, "services", view, SBX_RULE_SERVICES, input->services);

    if (!ret->allowed) {
        memset(&ret->limits, 0, sizeof(ret->limits));
        ret->isolation = SBX_ISOLATION_NONE;
        return;
    }
    ret->max_artifacts = view->merged.max_artifacts;
    ret->max_artifact_bytes = view->merged.max_artifact_bytes;
}

/* More documents than a view holds: nobody knows what those left out forbid. */
static void
refuse_overfull(struct sbx_decision *decision)
{
    struct sbx_violation *violation = sbx_policy_refuse(decision, "policies.max");

    if (violation != NULL) {
        (void)snprintf(violation->limit, sizeof(violation->limit), "%d", SBX_POLICY_LAYERS_MAX);
        (void)snprintf(violation->observed, sizeof(violation->observed), "%d", SBX_POLICY_LAYERS_MAX + 1);
        (void)snprintf(violation->hint, sizeof(violation->hint), "apply fewer policies");
    }
}

void
sbx_policy_view_decide(const struct sbx_policy_view *view, const struct sbx_policy_input *input,
                       struct sbx_decision *ret)
{
    /* Of violations there is room for many and mostly none: each is cleared when it is taken. */
    ret->allowed = true;
    ret->n_violations = 0;
    memset(&ret->limits, 0, sizeof(ret->limits));
    ret->max_artifacts = 0;
    ret->max_artifact_bytes = 0;
    ret->isolation = SBX_ISOLATION_NONE;
    ret->min_isolation = SBX_ISOLATION_NONE;
    if (view->overfull) {
        refuse_overfull(ret);
    }
    check_name(ret, "languages", view, SBX_RULE_LANGUAGES, input->language);
    check_name(ret, "templates", view, SBX_RULE_TEMPLATES, input->template_name);
    check_name(ret, "tools", view, SBX_RULE_TOOLS, input->tool);
    settle(view, input, ret);
}
