/*
 * Reads one policy document. What it accepts is policies/policy.schema.json
 * and, besides, default <= max and the default isolation >= the minimum.
 */
#include "sbx_policy.h"

#include <stdio.h>
#include <string.h>

#define MI (1024ull * 1024)
#define MILLI 1000u
#define NAME_MAX_LEN (SBX_POLICY_NAME_LEN - 1)
#define MAX_COUNT 1024
#define MAX_BYTES (1024 * MI)
#define MAX_WAIT_MS (600ull * MILLI)
#define MAX_SESSIONS 10000
#define MAX_STORED_BYTES (1024 * MAX_BYTES)
#define MIN_RETENTION_MS (1ull * MILLI)
#define MAX_RETENTION_MS (10ull * 366 * 24 * 3600 * MILLI)
#define MAX_BURST 1000000
#define MAX_CONCURRENCY 100000

static const char *const scope_keys[SBX_N_SCOPES] = {
    [SBX_SCOPE_TENANT] = "tenant",
    [SBX_SCOPE_APP] = "app",
    [SBX_SCOPE_AGENT] = "agent",
};

static void
policy_unsaid(struct sbx_policy *policy)
{
    memset(policy, 0, sizeof(*policy));
    policy->max_env = UINT32_MAX;
    policy->max_files = UINT32_MAX;
    policy->max_artifacts = UINT32_MAX;
    policy->max_file_bytes = UINT64_MAX;
    policy->max_artifact_bytes = UINT64_MAX;
    policy->max_wait_ms = UINT64_MAX;
    policy->max_stored_bytes = UINT64_MAX;
    policy->max_upload_bytes = UINT64_MAX;
    policy->sessions.max = UINT32_MAX;
}

const char *
sbx_session_time_key(enum sbx_session_time time)
{
    static const char *const keys[SBX_N_SESSION_TIMES] = {
        [SBX_SESSION_TTL] = "ttl",
        [SBX_SESSION_IDLE] = "idle_timeout",
        [SBX_SESSION_STEP] = "step_timeout",
        [SBX_SESSION_CPU_TIME] = "cpu_time",
    };

    return keys[time];
}

bool
sbx_policy_name_valid(const char *text, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        char c = text[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
              c == '.' || c == '-' || c == '+')) {
            return false;
        }
    }
    return len > 0 && len <= NAME_MAX_LEN;
}

/* A member that is present must say something: null is refused, unlike in requests. */
static bool
no_nulls(const json_t *object, const char *path, struct sbx_field_error *err)
{
    char field[sizeof(err->field)];
    void *iter;

    /* The iterator only reads; jansson has no form of it for a const object. */
    for (iter = json_object_iter((json_t *)(uintptr_t)object); iter != NULL;
         iter = json_object_iter_next((json_t *)(uintptr_t)object, iter)) {
        if (json_is_null(json_object_iter_value(iter))) {
            sbx_json_pointer(field, sizeof(field), path, json_object_iter_key(iter), 0);
            sbx_field_error_set(err, field, "must not be null");
            return false;
        }
    }
    return true;
}

static bool
check_members(const json_t *object, const char *path, const char *const *known, struct sbx_field_error *err)
{
    return sbx_json_only(object, path, known, err) && no_nulls(object, path, err);
}

/* {"default", "max"} in the forms and bounds of a limit. */
static bool
read_span(enum sbx_limit limit, uint64_t *ret_fallback, uint64_t *ret_max, const json_t *object,
          const char *path, struct sbx_field_error *err)
{
    static const char *const known[] = { "default", "max", NULL };
    uint64_t *slots[] = { ret_fallback, ret_max };
    char field[sizeof(err->field)];
    const json_t *value;
    unsigned i;

    if (!json_is_object(object) || json_object_size(object) == 0) {
        sbx_field_error_set(err, path, "must be an object with default, max or both");
        return false;
    }
    if (!check_members(object, path, known, err)) {
        return false;
    }
    for (i = 0; i < SBX_COUNT(slots); i++) {
        value = json_object_get(object, known[i]);
        sbx_json_pointer(field, sizeof(field), path, known[i], 0);
        if (value != NULL && !sbx_limit_from_json(limit, value, field, slots[i], err)) {
            return false;
        }
    }
    if (*slots[1] != 0 && *slots[0] > *slots[1]) {
        sbx_json_pointer(field, sizeof(field), path, "default", 0);
        sbx_field_error_set(err, field, "must not be more than max");
        return false;
    }
    return true;
}

static bool
read_limits(struct sbx_policy *policy, const json_t *document, struct sbx_field_error *err)
{
    const char *known[SBX_N_LIMITS + 1] = { NULL };
    char path[sizeof(err->field)];
    json_t *limits = NULL, *limit;
    unsigned i;

    for (i = 0; i < SBX_N_LIMITS; i++) {
        known[i] = sbx_limit_key((enum sbx_limit)i);
    }
    if (!sbx_json_get_object(document, "", "limits", &limits, err)) {
        return false;
    }
    if (limits == NULL) {
        return true;
    }
    if (!check_members(limits, "/limits", known, err)) {
        return false;
    }
    for (i = 0; i < SBX_N_LIMITS; i++) {
        limit = json_object_get(limits, known[i]);
        sbx_json_pointer(path, sizeof(path), "/limits", known[i], 0);
        if (limit != NULL && !read_span((enum sbx_limit)i, &policy->fallback.value[i], &policy->max.value[i],
                                        limit, path, err)) {
            return false;
        }
    }
    return true;
}

static bool
read_names(struct sbx_name_set *set, const json_t *document, const char *key, struct sbx_field_error *err)
{
    char path[sizeof(err->field)], field[sizeof(err->field)];
    json_t *array = NULL, *item;
    const char *name;
    size_t i;

    if (!sbx_json_get_array(document, "", key, SBX_POLICY_MAX_NAMES, &array, err)) {
        return false;
    }
    if (array == NULL) {
        return true;
    }

    set->set = true;
    sbx_json_pointer(path, sizeof(path), "", key, 0);
    json_array_foreach (array, i, item) {
        sbx_json_pointer(field, sizeof(field), path, NULL, i);
        if (!json_is_string(item) ||
            !sbx_policy_name_valid(json_string_value(item), json_string_length(item))) {
            sbx_field_error_set(err, field, "must be a name of 1 to %d characters A-Z a-z 0-9 _ . + -",
                                NAME_MAX_LEN);
            return false;
        }
        name = strcmp(key, "languages") == 0 ? sbx_language_canonical(json_string_value(item))
                                             : json_string_value(item);
        if (!sbx_name_set_has(set, name)) {
            (void)snprintf(set->name[set->n++], SBX_POLICY_NAME_LEN, "%s", name); /* its length was checked */
        }
    }
    return true;
}

static bool
read_tier(const json_t *object, const char *key, enum sbx_isolation *ret, struct sbx_field_error *err)
{
    const json_t *value = json_object_get(object, key);
    char field[sizeof(err->field)];

    if (value == NULL) {
        return true;
    }
    *ret = json_is_string(value) ? sbx_isolation_parse(json_string_value(value)) : SBX_ISOLATION_NONE;
    if (*ret == SBX_ISOLATION_NONE) {
        sbx_json_pointer(field, sizeof(field), "/isolation", key, 0);
        sbx_field_error_set(err, field, "must be \"process\" or \"gvisor\"");
        return false;
    }
    return true;
}

static bool
read_isolation(struct sbx_policy *policy, const json_t *document, struct sbx_field_error *err)
{
    static const char *const known[] = { "minimum", "default", NULL };
    json_t *object = NULL;

    if (!sbx_json_get_object(document, "", "isolation", &object, err)) {
        return false;
    }
    if (object == NULL) {
        return true;
    }
    if (json_object_size(object) == 0) {
        sbx_field_error_set(err, "/isolation", "must be an object with minimum, default or both");
        return false;
    }
    if (!check_members(object, "/isolation", known, err) ||
        !read_tier(object, "minimum", &policy->min_isolation, err) ||
        !read_tier(object, "default", &policy->isolation, err)) {
        return false;
    }
    if (policy->isolation != SBX_ISOLATION_NONE && policy->isolation < policy->min_isolation) {
        sbx_field_error_set(err, "/isolation/default", "must not be weaker than minimum");
        return false;
    }
    return true;
}

static bool
read_count(const json_t *object, const char *path, const char *key, int64_t min, int64_t max, uint32_t *ret,
           struct sbx_field_error *err)
{
    int64_t value = *ret;

    if (!sbx_json_get_int(object, path, key, min, max, &value, err)) {
        return false;
    }
    *ret = (uint32_t)value;
    return true;
}

static bool
read_bytes(const json_t *object, const char *path, const char *key, uint64_t max, uint64_t *ret,
           struct sbx_field_error *err)
{
    const json_t *value = json_object_get(object, key);
    char field[sizeof(err->field)], most[32];
    uint64_t bytes = 0;
    bool fine;

    if (value == NULL) {
        return true;
    }
    if (json_is_integer(value)) {
        bytes = (uint64_t)json_integer_value(value); /* a negative one wraps past the ceiling */
        fine = true;
    } else {
        fine = json_is_string(value) &&
               sbx_quantity_parse(json_string_value(value), json_string_length(value), &bytes);
    }
    if (!fine || bytes > max) {
        sbx_json_pointer(field, sizeof(field), path, key, 0);
        sbx_limit_text(most, sizeof(most), SBX_LIMIT_MEMORY, max);
        sbx_field_error_set(err, field, "must be a number of bytes or a quantity up to %s", most);
        return false;
    }
    *ret = bytes;
    return true;
}

/* An object of the document, if it is there, with no members but the known ones. */
static bool
get_group(const json_t *document, const char *key, const char *const *known, json_t **ret,
          struct sbx_field_error *err)
{
    char path[sizeof(err->field)];

    if (!sbx_json_get_object(document, "", key, ret, err)) {
        return false;
    }
    sbx_json_pointer(path, sizeof(path), "", key, 0);
    return *ret == NULL || check_members(*ret, path, known, err);
}

static bool
read_sizes(struct sbx_policy *policy, const json_t *document, struct sbx_field_error *err)
{
    static const char *const of_env[] = { "max", NULL };
    static const char *const of_files[] = { "max", "max_bytes", NULL };
    static const char *const of_artifacts[] = { "max", "max_bytes", "total_bytes", NULL };
    static const char *const of_uploads[] = { "max_bytes", NULL };
    json_t *env = NULL, *files = NULL, *artifacts = NULL, *uploads = NULL;

    /* A getter of a group that is not there finds none of its members. */
    return get_group(document, "env", of_env, &env, err) &&
           get_group(document, "files", of_files, &files, err) &&
           get_group(document, "artifacts", of_artifacts, &artifacts, err) &&
           get_group(document, "uploads", of_uploads, &uploads, err) &&
           read_count(env, "/env", "max", 0, MAX_COUNT, &policy->max_env, err) &&
           read_count(files, "/files", "max", 0, MAX_COUNT, &policy->max_files, err) &&
           read_bytes(files, "/files", "max_bytes", MAX_BYTES, &policy->max_file_bytes, err) &&
           read_count(artifacts, "/artifacts", "max", 0, MAX_COUNT, &policy->max_artifacts, err) &&
           read_bytes(artifacts, "/artifacts", "max_bytes", MAX_BYTES, &policy->max_artifact_bytes, err) &&
           read_bytes(artifacts, "/artifacts", "total_bytes", MAX_STORED_BYTES, &policy->max_stored_bytes,
                      err) &&
           read_bytes(uploads, "/uploads", "max_bytes", MAX_STORED_BYTES, &policy->max_upload_bytes, err);
}

static bool
read_retention(struct sbx_policy *policy, const json_t *document, struct sbx_field_error *err)
{
    static const char *const known[] = { "records", "artifacts", NULL };
    uint64_t *slots[] = { &policy->retention_records_ms, &policy->retention_artifacts_ms };
    char field[sizeof(err->field)];
    json_t *object = NULL;
    unsigned i;

    if (!get_group(document, "retention", known, &object, err)) {
        return false;
    }
    for (i = 0; i < SBX_COUNT(slots); i++) {
        if (!sbx_json_get_duration(object, "/retention", known[i], MAX_RETENTION_MS, slots[i], err)) {
            return false;
        }
        if (json_object_get(object, known[i]) != NULL && *slots[i] < MIN_RETENTION_MS) {
            sbx_json_pointer(field, sizeof(field), "/retention", known[i], 0);
            sbx_field_error_set(err, field, "must not be less than a second");
            return false;
        }
    }
    return true;
}

static bool
read_sessions(struct sbx_policy *policy, const json_t *document, struct sbx_field_error *err)
{
    static const char *const known[] = { "max",          "max_lifetime", "ttl", "idle_timeout",
                                         "step_timeout", "cpu_time",     NULL };
    struct sbx_session_policy *sessions = &policy->sessions;
    char path[sizeof(err->field)];
    json_t *object = NULL, *value;
    unsigned i;

    if (!get_group(document, "sessions", known, &object, err) ||
        !read_count(object, "/sessions", "max", 0, MAX_SESSIONS, &sessions->max, err)) {
        return false;
    }
    value = json_object_get(object, "max_lifetime");
    if (value != NULL && !sbx_limit_from_json(SBX_LIMIT_TIME, value, "/sessions/max_lifetime",
                                              &sessions->max_lifetime_ms, err)) {
        return false;
    }
    for (i = 0; i < SBX_N_SESSION_TIMES; i++) {
        value = json_object_get(object, sbx_session_time_key((enum sbx_session_time)i));
        sbx_json_pointer(path, sizeof(path), "/sessions", sbx_session_time_key((enum sbx_session_time)i), 0);
        if (value != NULL &&
            !read_span(SBX_LIMIT_TIME, &sessions->fallback[i], &sessions->longest[i], value, path, err)) {
            return false;
        }
    }
    return true;
}

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
    if (!check_members(object, path, known, err)) {
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
    return read_count(object, path, "burst", 1, MAX_BURST, &ret->burst, err);
}

static bool
read_routes(struct sbx_policy *policy, const json_t *rates, struct sbx_field_error *err)
{
    char path[sizeof(err->field)];
    json_t *routes = NULL;
    const char *name;
    void *iter;

    if (!sbx_json_get_object(rates, "/rates", "routes", &routes, err)) {
        return false;
    }
    if (json_object_size(routes) > SBX_POLICY_MAX_ROUTES) {
        sbx_field_error_set(err, "/rates/routes", "must not name more than %d routes", SBX_POLICY_MAX_ROUTES);
        return false;
    }
    for (iter = json_object_iter(routes); iter != NULL; iter = json_object_iter_next(routes, iter)) {
        name = json_object_iter_key(iter);
        sbx_json_pointer(path, sizeof(path), "/rates/routes", name, 0);
        if (!sbx_policy_name_valid(name, strlen(name))) {
            sbx_field_error_set(err, path, "is not the name of a route");
            return false;
        }
        if (!read_rate(&policy->route[policy->n_routes].rate, json_object_iter_value(iter), path, err)) {
            return false;
        }
        (void)snprintf(policy->route[policy->n_routes].route, SBX_POLICY_NAME_LEN, "%s", name); /* checked */
        policy->n_routes++;
    }
    return true;
}

static bool
read_rates(struct sbx_policy *policy, const json_t *document, struct sbx_field_error *err)
{
    static const char *const known[] = { "tenant", "app", "agent", "routes", NULL };
    char path[sizeof(err->field)];
    json_t *rates = NULL, *rate;
    unsigned i;

    if (!sbx_json_get_object(document, "", "rates", &rates, err)) {
        return false;
    }
    if (rates == NULL) {
        return true;
    }
    if (!check_members(rates, "/rates", known, err)) {
        return false;
    }
    for (i = 0; i < SBX_N_SCOPES; i++) {
        rate = json_object_get(rates, scope_keys[i]);
        sbx_json_pointer(path, sizeof(path), "/rates", scope_keys[i], 0);
        if (rate != NULL && !read_rate(&policy->rate[i], rate, path, err)) {
            return false;
        }
    }
    return read_routes(policy, rates, err);
}

static bool
read_concurrency(struct sbx_policy *policy, const json_t *document, struct sbx_field_error *err)
{
    static const char *const known[] = { "tenant", "app", "agent", NULL };
    json_t *object = NULL;
    unsigned i;

    if (!sbx_json_get_object(document, "", "concurrency", &object, err)) {
        return false;
    }
    if (object == NULL) {
        return true;
    }
    if (!check_members(object, "/concurrency", known, err)) {
        return false;
    }
    for (i = 0; i < SBX_N_SCOPES; i++) {
        if (!read_count(object, "/concurrency", scope_keys[i], 1, MAX_CONCURRENCY, &policy->concurrency[i],
                        err)) {
            return false;
        }
    }
    return true;
}

static bool
read_head(struct sbx_policy *policy, const json_t *document, struct sbx_field_error *err)
{
    const char *id = "";
    size_t len = 0;

    if (json_object_get(document, "version") == NULL) {
        sbx_field_error_set(err, "/version", "is required");
        return false;
    }
    if (!read_count(document, "", "version", 1, INT32_MAX, &policy->version, err) ||
        !sbx_json_get_str(document, "", "id", NAME_MAX_LEN, &id, &len, err)) {
        return false;
    }
    if (json_object_get(document, "id") != NULL &&
        (!sbx_policy_name_valid(id, len) || strchr(id, '+') != NULL)) {
        sbx_field_error_set(err, "/id", "must be 1 to %d characters A-Z a-z 0-9 _ . -", NAME_MAX_LEN);
        return false;
    }
    (void)snprintf(policy->id, sizeof(policy->id), "%s", id); /* its length was checked */
    return true;
}

bool
sbx_policy_from_json(struct sbx_policy *ret, const json_t *document, struct sbx_field_error *err)
{
    static const char *const known[] = {
        "version",   "id",      "limits",    "languages", "templates", "isolation", "env",         "files",
        "artifacts", "uploads", "retention", "sessions",  "max_wait",  "rates",     "concurrency", NULL,
    };
    struct sbx_policy policy;

    policy_unsaid(&policy);
    if (!json_is_object(document)) {
        sbx_field_error_set(err, "", "must be an object");
        return false;
    }
    if (!check_members(document, "", known, err) || !read_head(&policy, document, err) ||
        !read_limits(&policy, document, err) || !read_names(&policy.languages, document, "languages", err) ||
        !read_names(&policy.templates, document, "templates", err) ||
        !read_isolation(&policy, document, err) || !read_sizes(&policy, document, err) ||
        !read_retention(&policy, document, err) || !read_sessions(&policy, document, err) ||
        !sbx_json_get_duration(document, "", "max_wait", MAX_WAIT_MS, &policy.max_wait_ms, err) ||
        !read_rates(&policy, document, err) || !read_concurrency(&policy, document, err)) {
        return false;
    }

    *ret = policy;
    return true;
}
