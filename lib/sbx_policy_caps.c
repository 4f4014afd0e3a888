/*
 * Rates, concurrency and budgets of a document: by scope, and the first two also by the names of routes and tools.
 */
#include "sbx_policy_inside.h"

#include <stdio.h>
#include <string.h>

#define MILLI 1000u
#define MAX_BURST 1000000
#define MAX_CONCURRENCY 100000
#define MAX_BUDGET_MS (1000ull * 1000 * 3600 * MILLI) /* a million hours a day */

static const char *const scope_keys[SBX_N_SCOPES] = {
    [SBX_SCOPE_TENANT] = "tenant",
    [SBX_SCOPE_APP] = "app",
    [SBX_SCOPE_AGENT] = "agent",
};

/* "100/s", "30/m", "20/h": whole numbers of up to six digits, at least one token in 1000 s. */
static bool
parse_rate(const char *text, size_t len, uint32_t *ret)
{
    uint64_t n = 0, seconds;
    size_t i;

    if (len < 3 || len > 8 || text[0] < '1' || text[0] > '9' || text[len - 2] != '/') {
        return false;
    }
    for (i = 0; i < len - 2; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        n = n * 10 + (uint64_t)(text[i] - '0');
    }

    if (text[len - 1] == 's') {
        seconds = 1;
    } else if (text[len - 1] == 'm') {
        seconds = 60;
    } else if (text[len - 1] == 'h') {
        seconds = 3600;
    } else {
        return false;
    }
    *ret = (uint32_t)(n * MILLI / seconds);
    return *ret > 0;
}

void
sbx_rate_text(char *out, size_t size, const struct sbx_rate *rate)
{
    static const struct {
        char letter;
        uint64_t seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 } };
    uint64_t milli = rate->per_second_milli, n = 0;
    size_t i;

    /* Reading rounds down, so the number is rounded up; in hours that always leads back. */
    for (i = 0;; i++) {
        n = (milli * units[i].seconds + MILLI - 1) / MILLI;
        if (n * MILLI / units[i].seconds == milli || i + 1 == SBX_COUNT(units)) {
            break;
        }
    }
    (void)snprintf(out, size, "\"%llu/%c\"", (unsigned long long)n, units[i].letter); /* cut is fine */
}

static bool
read_rate(struct sbx_rate *ret, const json_t *object, const char *path, struct sbx_field_error *err)
{
    static const char *const known[] = { "rate", "burst", NULL };
    char field[sizeof(err->field)];
    const json_t *rate;

    if (!json_is_object(object)) {
        sbx_field_error_set(err, path, "must be an object with rate and burst");
        return false;
    }
    if (!sbx_policy_members(object, path, known, err)) {
        return false;
    }

    rate = json_object_get(object, "rate");
    if (!json_is_string(rate) ||
        !parse_rate(json_string_value(rate), json_string_length(rate), &ret->per_second_milli)) {
        sbx_json_pointer(field, sizeof(field), path, "rate", 0);
        sbx_field_error_set(err, field,
                            "must be a rate such as \"100/s\", \"30/m\" or \"20/h\", at least \"4/h\"");
        return false;
    }
    ret->burst = (ret->per_second_milli + MILLI - 1) / MILLI;
    return sbx_policy_count(object, path, "burst", 1, MAX_BURST, &ret->burst, err);
}

static bool
name_slot(char out[SBX_POLICY_NAME_LEN], const char *name, const char *path, struct sbx_field_error *err)
{
    if (!sbx_policy_name_valid(name, strlen(name))) {
        sbx_field_error_set(err, path, "is not the name of a route or a tool");
        return false;
    }
    (void)snprintf(out, SBX_POLICY_NAME_LEN, "%s", name); /* checked */
    return true;
}

/* The object of a group whose members are names, at most `most`; *ret stays NULL when it is absent. */
static bool
named_object(json_t **ret, const json_t *group, const char *path, const char *key, unsigned most,
             struct sbx_field_error *err)
{
    char field[sizeof(err->field)];

    if (!sbx_json_get_object(group, path, key, ret, err)) {
        return false;
    }
    if (json_object_size(*ret) > most) {
        sbx_json_pointer(field, sizeof(field), path, key, 0);
        sbx_field_error_set(err, field, "must not name more than %u", most);
        return false;
    }
    return true;
}

static bool
read_routes(struct sbx_policy *policy, const json_t *rates, struct sbx_field_error *err)
{
    char path[sizeof(err->field)];
    json_t *routes = NULL;
    void *iter;

    if (!named_object(&routes, rates, "/rates", "routes", SBX_POLICY_MAX_ROUTES, err)) {
        return false;
    }
    for (iter = json_object_iter(routes); iter != NULL; iter = json_object_iter_next(routes, iter)) {
        sbx_json_pointer(path, sizeof(path), "/rates/routes", json_object_iter_key(iter), 0);
        if (!name_slot(policy->route[policy->n_routes].route, json_object_iter_key(iter), path, err) ||
            !read_rate(&policy->route[policy->n_routes].rate, json_object_iter_value(iter), path, err)) {
            return false;
        }
        policy->n_routes++;
    }
    return true;
}

static bool
read_tools(struct sbx_policy *policy, const json_t *rates, struct sbx_field_error *err)
{
    char path[sizeof(err->field)];
    json_t *tools = NULL;
    void *iter;

    if (!named_object(&tools, rates, "/rates", "tools", SBX_POLICY_MAX_TOOLS, err)) {
        return false;
    }
    for (iter = json_object_iter(tools); iter != NULL; iter = json_object_iter_next(tools, iter)) {
        sbx_json_pointer(path, sizeof(path), "/rates/tools", json_object_iter_key(iter), 0);
        if (!name_slot(policy->tool[policy->n_tools].tool, json_object_iter_key(iter), path, err) ||
            !read_rate(&policy->tool[policy->n_tools].rate, json_object_iter_value(iter), path, err)) {
            return false;
        }
        policy->n_tools++;
    }
    return true;
}

static bool
read_rates(struct sbx_policy *policy, const json_t *document, struct sbx_field_error *err)
{
    static const char *const known[] = { "tenant", "app", "agent", "routes", "tools", NULL };
    char path[sizeof(err->field)];
    json_t *rates = NULL, *rate;
    unsigned i;

    if (!sbx_policy_group(document, "rates", known, &rates, err)) {
        return false;
    }
    for (i = 0; i < SBX_N_SCOPES; i++) {
        rate = json_object_get(rates, scope_keys[i]);
        sbx_json_pointer(path, sizeof(path), "/rates", scope_keys[i], 0);
        if (rate != NULL && !read_rate(&policy->rate[i], rate, path, err)) {
            return false;
        }
    }
    return read_routes(policy, rates, err) && read_tools(policy, rates, err);
}

static bool
read_named_caps(struct sbx_named_cap *cap, uint8_t *ret_n, unsigned most, const json_t *group,
                const char *key, struct sbx_field_error *err)
{
    char path[sizeof(err->field)], field[sizeof(err->field)];
    json_t *object = NULL;
    const char *name;
    void *iter;

    if (!named_object(&object, group, "/concurrency", key, most, err)) {
        return false;
    }
    sbx_json_pointer(path, sizeof(path), "/concurrency", key, 0);
    for (iter = json_object_iter(object); iter != NULL; iter = json_object_iter_next(object, iter)) {
        name = json_object_iter_key(iter);
        sbx_json_pointer(field, sizeof(field), path, name, 0);
        if (json_is_null(json_object_iter_value(iter))) {
            sbx_field_error_set(err, field, "must not be null");
            return false;
        }
        if (!name_slot(cap[*ret_n].name, name, field, err) ||
            !sbx_policy_count(object, path, name, 1, MAX_CONCURRENCY, &cap[*ret_n].most, err)) {
            return false;
        }
        ++*ret_n;
    }
    return true;
}

static bool
read_concurrency(struct sbx_policy *policy, const json_t *document, struct sbx_field_error *err)
{
    static const char *const known[] = { "tenant", "app", "agent", "routes", "tools", NULL };
    json_t *object = NULL;
    unsigned i;

    if (!sbx_policy_group(document, "concurrency", known, &object, err)) {
        return false;
    }
    for (i = 0; i < SBX_N_SCOPES; i++) {
        if (!sbx_policy_count(object, "/concurrency", scope_keys[i], 1, MAX_CONCURRENCY,
                              &policy->concurrency[i], err)) {
            return false;
        }
    }
    return read_named_caps(policy->route_cap, &policy->n_route_caps, SBX_POLICY_MAX_ROUTES, object, "routes",
                           err) &&
           read_named_caps(policy->tool_cap, &policy->n_tool_caps, SBX_POLICY_MAX_TOOLS, object, "tools",
                           err);
}

static bool
read_budgets(struct sbx_policy *policy, const json_t *document, struct sbx_field_error *err)
{
    static const char *const known[] = { "tenant", "app", "agent", NULL };
    static const char *const of_scope[] = { "cpu_per_day", NULL };
    char path[sizeof(err->field)];
    json_t *budgets = NULL, *budget;
    unsigned i;

    if (!sbx_policy_group(document, "budgets", known, &budgets, err)) {
        return false;
    }
    for (i = 0; i < SBX_N_SCOPES; i++) {
        budget = NULL;
        sbx_json_pointer(path, sizeof(path), "/budgets", scope_keys[i], 0);
        if (!sbx_json_get_object(budgets, "/budgets", scope_keys[i], &budget, err) ||
            (budget != NULL && !sbx_policy_members(budget, path, of_scope, err)) ||
            !sbx_policy_period(budget, path, "cpu_per_day", MAX_BUDGET_MS, &policy->budget_cpu_ms[i], err)) {
            return false;
        }
    }
    return true;
}

bool
sbx_policy_caps(struct sbx_policy *policy, const json_t *document, struct sbx_field_error *err)
{
    return read_rates(policy, document, err) && read_concurrency(policy, document, err) &&
           read_budgets(policy, document, err);
}
