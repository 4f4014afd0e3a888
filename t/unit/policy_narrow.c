/*
 * Generated documents and requests: whatever is added to a view, it only narrows; the order of what is added does not
 * matter; a copy of a document at another place decides alike; and the lists say what a plain reading of them says.
 * SEED=n repeats a run.
 */
#include <inttypes.h>
#include <strings.h>

#include "lib/sbx_time.h"
#include "t/unit/policy_random.h"

#define ROUNDS 10000
#define MAX_DOCUMENTS 6

/* --- what must hold */

static bool
within_rate(struct sbx_rate narrow, struct sbx_rate wide)
{
    return wide.per_second_milli == 0 ||
           (narrow.per_second_milli != 0 && narrow.per_second_milli <= wide.per_second_milli &&
            narrow.burst <= wide.burst);
}

static bool
within_said(uint64_t narrow, uint64_t wide)
{
    return wide == 0 || (narrow != 0 && narrow <= wide);
}

/* What has a rate in `wide` has one in `narrow`, its own or, where the table was full, the agent's. */
static bool
within_named_rates(const struct sbx_policy *narrow, const struct sbx_policy *wide)
{
    struct sbx_rate agent = narrow->rate[SBX_SCOPE_AGENT];
    unsigned i, k;
    bool fine = true, bound;

    for (i = 0; i < wide->n_routes; i++) {
        bound = within_rate(agent, wide->route[i].rate);
        for (k = 0; k < narrow->n_routes; k++) {
            bound = bound || (strcmp(narrow->route[k].route, wide->route[i].route) == 0 &&
                              within_rate(narrow->route[k].rate, wide->route[i].rate));
        }
        fine = fine && bound;
    }
    for (i = 0; i < wide->n_tools; i++) {
        bound = within_rate(agent, wide->tool[i].rate);
        for (k = 0; k < narrow->n_tools; k++) {
            bound = bound || (strcmp(narrow->tool[k].tool, wide->tool[i].tool) == 0 &&
                              within_rate(narrow->tool[k].rate, wide->tool[i].rate));
        }
        fine = fine && bound;
    }
    return fine;
}

static bool
within_named_caps(const struct sbx_named_cap *narrow, unsigned n_narrow, const struct sbx_named_cap *wide,
                  unsigned n_wide, uint32_t agent)
{
    unsigned i, k;
    bool fine = true, bound;

    for (i = 0; i < n_wide; i++) {
        bound = within_said(agent, wide[i].most);
        for (k = 0; k < n_narrow; k++) {
            bound = bound || (strcmp(narrow[k].name, wide[i].name) == 0 && narrow[k].most <= wide[i].most);
        }
        fine = fine && bound;
    }
    return fine;
}

static bool
within_caps(const struct sbx_policy *narrow, const struct sbx_policy *wide)
{
    uint32_t agent = narrow->concurrency[SBX_SCOPE_AGENT];
    bool fine =
        within_named_rates(narrow, wide) &&
        within_named_caps(narrow->route_cap, narrow->n_route_caps, wide->route_cap, wide->n_route_caps,
                          agent) &&
        within_named_caps(narrow->tool_cap, narrow->n_tool_caps, wide->tool_cap, wide->n_tool_caps, agent);
    unsigned i;

    for (i = 0; i < SBX_N_SCOPES; i++) {
        fine = fine && within_rate(narrow->rate[i], wide->rate[i]) &&
               within_said(narrow->concurrency[i], wide->concurrency[i]) &&
               within_said(narrow->budget_cpu_ms[i], wide->budget_cpu_ms[i]);
    }
    return fine;
}

static bool
within_sessions(const struct sbx_session_policy *a, const struct sbx_session_policy *b)
{
    bool fine = a->max <= b->max && within_said(a->max_lifetime_ms, b->max_lifetime_ms) &&
                within_said(a->longest[SBX_SESSION_TTL], a->max_lifetime_ms);
    unsigned i;

    for (i = 0; i < SBX_N_SESSION_TIMES; i++) {
        fine = fine && within_said(a->fallback[i], b->fallback[i]) &&
               within_said(a->longest[i], b->longest[i]) && a->fallback[i] <= a->longest[i];
    }
    return fine;
}

static bool
within(const struct sbx_policy *narrow, const struct sbx_policy *wide)
{
    bool fine =
        within_sessions(&narrow->sessions, &wide->sessions) && within_caps(narrow, wide) &&
        narrow->max_env <= wide->max_env && narrow->max_files <= wide->max_files &&
        narrow->max_artifacts <= wide->max_artifacts && narrow->max_file_bytes <= wide->max_file_bytes &&
        narrow->max_artifact_bytes <= wide->max_artifact_bytes && narrow->max_wait_ms <= wide->max_wait_ms &&
        narrow->max_stored_bytes <= wide->max_stored_bytes &&
        narrow->max_upload_bytes <= wide->max_upload_bytes && narrow->max_services <= wide->max_services &&
        within_said(narrow->retention_records_ms, wide->retention_records_ms) &&
        within_said(narrow->retention_artifacts_ms, wide->retention_artifacts_ms) &&
        within_said(narrow->retention_audit_ms, wide->retention_audit_ms) &&
        narrow->min_isolation >= wide->min_isolation && narrow->isolation >= wide->isolation;
    unsigned i;

    for (i = 0; i < SBX_N_LIMITS; i++) {
        fine = fine && within_said(narrow->max.value[i], wide->max.value[i]) &&
               within_said(narrow->fallback.value[i], wide->fallback.value[i]) &&
               narrow->fallback.value[i] <= narrow->max.value[i];
    }
    return fine;
}

/* Nothing that was refused is allowed, and what is allowed gets no more than before. */
static bool
narrows(const struct sbx_decision *now, const struct sbx_decision *before)
{
    bool fine = before->allowed && now->isolation >= before->isolation &&
                now->min_isolation >= before->min_isolation && now->max_artifacts <= before->max_artifacts &&
                now->max_artifact_bytes <= before->max_artifact_bytes;
    unsigned i;

    if (!now->allowed) {
        return now->n_violations > 0;
    }
    for (i = 0; i < SBX_N_LIMITS; i++) {
        fine = fine && now->limits.value[i] <= before->limits.value[i];
    }
    return fine;
}

/* The same, but for how a list that refused is shown. */
static bool
same(const struct sbx_decision *a, const struct sbx_decision *b)
{
    bool fine = a->allowed == b->allowed && a->n_violations == b->n_violations &&
                a->isolation == b->isolation && a->min_isolation == b->min_isolation &&
                memcmp(&a->limits, &b->limits, sizeof(a->limits)) == 0;
    unsigned i;

    for (i = 0; i < a->n_violations && fine; i++) {
        fine = strcmp(a->violation[i].rule, b->violation[i].rule) == 0;
    }
    return fine;
}

/* --- the lists read plainly */

/* Does the entry of a document allow that of a request? Only of lists whose entries are plain words or ports. */
static bool
plain_entry(unsigned kind, const json_t *rule, const json_t *item)
{
    char host[64], *colon;
    const char *text = json_string_value(rule), *port;
    unsigned low, high, asked;
    size_t len;

    if (kind == SBX_RULE_SECRETS) {
        return strcmp(text, json_string_value(item)) == 0;
    }
    if (kind == SBX_RULE_SERVICES) {
        low = high = (unsigned)json_integer_value(rule);
        if (text != NULL && sscanf(text, "%u-%u", &low, &high) != 2) {
            BAIL_OUT("no range: %s", text);
        }
        asked = (unsigned)json_integer_value(item);
        return low <= asked && asked <= high;
    }
    (void)snprintf(host, sizeof(host), "%s", json_string_value(item)); /* all of ours fit */
    colon = strchr(host, ':');
    *colon = '\0';
    port = strchr(text, ':');
    if (port != NULL && strcmp(port + 1, colon + 1) != 0) {
        return false;
    }
    len = port != NULL ? (size_t)(port - text) : strlen(text);
    if (len == 1 && text[0] == '*') {
        return true;
    }
    if (text[0] == '*') {
        return strlen(host) > len - 1 && strncasecmp(host + strlen(host) - (len - 1), text + 1, len - 1) == 0;
    }
    return strlen(host) == len && strncasecmp(host, text, len) == 0;
}

static bool
plain_allows(json_t *const *document, unsigned n, unsigned kind, const json_t *item)
{
    const json_t *array, *rule;
    bool allowed = true, found;
    unsigned i;
    size_t k;

    for (i = 0; i < n; i++) {
        array = kind == SBX_RULE_SERVICES
                    ? json_object_get(json_object_get(document[i], "services"), "ports")
                    : json_object_get(document[i], kind == SBX_RULE_EGRESS ? "egress" : "secrets");
        found = array == NULL && i > 0; /* what the default does not list is none */
        json_array_foreach (array, k, rule) {
            found = found || plain_entry(kind, rule, item);
        }
        allowed = allowed && found;
    }
    return allowed;
}

static bool
has_rule(const struct sbx_decision *decision, const char *rule)
{
    unsigned i;

    for (i = 0; i < decision->n_violations && strcmp(decision->violation[i].rule, rule) != 0; i++) {
    }
    return i < decision->n_violations;
}

static unsigned
plain_wrong(json_t *const *document, unsigned n, const struct sbx_policy_input *input,
            const struct sbx_decision *decision)
{
    static const struct {
        unsigned kind;
        const char *rule;
    } lists[] = { { SBX_RULE_EGRESS, "egress" },
                  { SBX_RULE_SECRETS, "secrets" },
                  { SBX_RULE_SERVICES, "services" } };
    const json_t *items[] = { input->egress, input->secrets, input->services }, *item;
    unsigned wrong = 0, i;
    size_t k;

    for (i = 0; i < SBX_COUNT(lists); i++) {
        bool allowed = true;

        json_array_foreach (items[i], k, item) {
            allowed = allowed && plain_allows(document, n, lists[i].kind, item);
        }
        wrong += allowed == has_rule(decision, lists[i].rule);
    }
    return wrong;
}

/* --- rounds */

struct tally {
    unsigned allowed, denied, turned, widened, raised, order, moved, plain;
};

static struct sbx_policy_doc *
compile(const json_t *json)
{
    struct sbx_policy_doc *doc = NULL;
    struct sbx_field_error err;

    if (sbx_policy_doc_compile(&doc, json, &err) != 0) {
        BAIL_OUT("generated what is no policy: %s %s", err.field, err.message);
    }
    return doc;
}

static void
decide(struct sbx_policy_doc *const *doc, unsigned n, const struct sbx_policy_input *input,
       struct sbx_decision *ret)
{
    struct sbx_policy_view view;
    unsigned i;

    sbx_policy_view_init(&view, doc[0]);
    for (i = 1; i < n; i++) {
        if (!sbx_policy_view_add(&view, doc[i])) {
            BAIL_OUT("no room");
        }
    }
    sbx_policy_view_decide(&view, input, ret);
}

/* Adds one after the other. */
static void
check_adding(struct tally *tally, struct sbx_policy_doc *const *doc, json_t *const *json, unsigned n,
             const struct sbx_policy_input *input)
{
    struct sbx_decision before, now;
    struct sbx_policy_view view;
    struct sbx_policy merged;
    unsigned i;

    sbx_policy_view_init(&view, doc[0]);
    sbx_policy_view_decide(&view, input, &before);
    for (i = 1; i < n; i++) {
        tally->plain += plain_wrong(json, i, input, &before);
        merged = view.merged;
        if (!sbx_policy_view_add(&view, doc[i])) {
            BAIL_OUT("no room");
        }
        sbx_policy_view_decide(&view, input, &now);
        tally->turned += now.allowed && !before.allowed;
        tally->raised += !narrows(&now, &before) && (now.allowed || now.n_violations == 0);
        tally->widened +=
            !within(&view.merged, &merged) || !within(&view.merged, sbx_policy_doc_said(doc[i]));
        before = now;
    }
    *(before.allowed ? &tally->allowed : &tally->denied) += 1;
}

/* Those that were added in another order, then all of them at other places. */
static void
check_order(struct tally *tally, struct sbx_policy_doc *const *doc, unsigned n,
            const struct sbx_policy_input *input)
{
    struct sbx_policy_doc *other[MAX_DOCUMENTS], *swap;
    struct sbx_decision first, second;
    unsigned i, k;

    memcpy(other, doc, n * sizeof(*other));
    for (i = n - 1; i > 1; i--) {
        k = 1 + below(i);
        swap = other[i];
        other[i] = other[k];
        other[k] = swap;
    }
    decide(doc, n, input, &first);
    decide(other, n, input, &second);
    tally->order += !same(&first, &second);

    for (i = 0; i < n; i++) {
        other[i] = malloc(sbx_policy_doc_size(doc[i]));
        if (other[i] == NULL) {
            BAIL_OUT("no memory");
        }
        memcpy(other[i], doc[i], sbx_policy_doc_size(doc[i]));
    }
    decide(other, n, input, &second);
    tally->moved += memcmp(&first, &second, sizeof(first)) != 0;
    for (i = 0; i < n; i++) {
        free(other[i]);
    }
}

static void
run_round(struct tally *tally)
{
    static const char *const tools[] = { "", "", "run_code", "status", "write_files", "other" };
    enum sbx_policy_kind kind = one_in(2) ? SBX_POLICY_JOB : (enum sbx_policy_kind)below(SBX_POLICY_TOOL + 1);
    struct sbx_policy_doc *doc[MAX_DOCUMENTS];
    json_t *json[MAX_DOCUMENTS], *request = random_request(kind);
    unsigned i, n = below(MAX_DOCUMENTS) + 1;
    struct sbx_policy_input input;
    struct sbx_field_error err;
    bool wide = !one_in(4);

    for (i = 0; i < n; i++) {
        json[i] = random_document(wide);
        doc[i] = compile(json[i]);
    }
    if (!sbx_policy_input_from_json(&input, kind, request, &err)) {
        BAIL_OUT("generated what is no request: %s %s", err.field, err.message);
    }
    (void)snprintf(input.tool, sizeof(input.tool), "%s", tools[below(SBX_COUNT(tools))]); /* fits */

    check_adding(tally, doc, json, n, &input);
    check_order(tally, doc, n, &input);
    for (i = 0; i < n; i++) {
        free(doc[i]);
        json_decref(json[i]);
    }
    json_decref(request);
}

int
main(void)
{
    struct tally tally = { 0 };
    const char *given = getenv("SEED");
    unsigned i;

    seed = given != NULL ? strtoull(given, NULL, 10) : (sbx_now_unix_ms() | 1);
    note("SEED=%" PRIu64, seed);
    seed = seed != 0 ? seed : 1;
    for (i = 0; i < ROUNDS; i++) {
        run_round(&tally);
    }
    note("%u requests allowed, %u denied", tally.allowed, tally.denied);
    is_uint(tally.turned, 0, "no denial became an allow in %d rounds", ROUNDS);
    is_uint(tally.raised, 0, "nobody got more than before");
    is_uint(tally.widened, 0, "no number went up, no tier down");
    is_uint(tally.order, 0, "the order of what is added does not matter");
    is_uint(tally.moved, 0, "a copy decides alike");
    is_uint(tally.plain, 0, "the tables say what the lists say");
    ok(tally.allowed > ROUNDS / 20 && tally.denied > ROUNDS / 20, "and many of both were looked at");
    return done_testing();
}
