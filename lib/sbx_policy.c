/*
 * Reads one policy document. What it accepts is policies/policy.schema.json
 * and, besides, default <= max and the default isolation >= the minimum.
 */
#include "sbx_policy_inside.h"

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
#define MIN_PERIOD_MS (1ull * MILLI)
#define MAX_RETENTION_MS (10ull * 366 * 24 * 3600 * MILLI)

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
    policy->max_services = UINT32_MAX;
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

bool
sbx_policy_members(const json_t *object, const char *path, const char *const *known,
                   struct sbx_field_error *err)
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
    if (!sbx_policy_members(object, path, known, err)) {
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
    if (!sbx_policy_members(limits, "/limits", known, err)) {
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
    if (!sbx_policy_members(object, "/isolation", known, err) ||
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

bool
sbx_policy_count(const json_t *object, const char *path, const char *key, int64_t min, int64_t max,
                 uint32_t *ret, struct sbx_field_error *err)
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

bool
sbx_policy_group(const json_t *document, const char *key, const char *const *known, json_t **ret,
                 struct sbx_field_error *err)
{
    char path[sizeof(err->field)];

    if (!sbx_json_get_object(document, "", key, ret, err)) {
        return false;
    }
    sbx_json_pointer(path, sizeof(path), "", key, 0);
    return *ret == NULL || sbx_policy_members(*ret, path, known, err);
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
    return sbx_policy_group(document, "env", of_env, &env, err) &&
           sbx_policy_group(document, "files", of_files, &files, err) &&
           sbx_policy_group(document, "artifacts", of_artifacts, &artifacts, err) &&
           sbx_policy_group(document, "uploads", of_uploads, &uploads, err) &&
           sbx_policy_count(env, "/env", "max", 0, MAX_COUNT, &policy->max_env, err) &&
           sbx_policy_count(files, "/files", "max", 0, MAX_COUNT, &policy->max_files, err) &&
           read_bytes(files, "/files", "max_bytes", MAX_BYTES, &policy->max_file_bytes, err) &&
           sbx_policy_count(artifacts, "/artifacts", "max", 0, MAX_COUNT, &policy->max_artifacts, err) &&
           read_bytes(artifacts, "/artifacts", "max_bytes", MAX_BYTES, &policy->max_artifact_bytes, err) &&
           read_bytes(artifacts, "/artifacts", "total_bytes", MAX_STORED_BYTES, &policy->max_stored_bytes,
                      err) &&
           read_bytes(uploads, "/uploads", "max_bytes", MAX_STORED_BYTES, &policy->max_upload_bytes, err);
}

bool
sbx_policy_period(const json_t *object, const char *path, const char *key, uint64_t max_ms, uint64_t *ret_ms,
                  struct sbx_field_error *err)
{
    char field[sizeof(err->field)];

    if (!sbx_json_get_duration(object, path, key, max_ms, ret_ms, err)) {
        return false;
    }
    if (json_object_get(object, key) != NULL && *ret_ms < MIN_PERIOD_MS) {
        sbx_json_pointer(field, sizeof(field), path, key, 0);
        sbx_field_error_set(err, field, "must not be less than a second");
        return false;
    }
    return true;
}

static bool
read_retention(struct sbx_policy *policy, const json_t *document, struct sbx_field_error *err)
{
    static const char *const known[] = { "records", "artifacts", "audit", NULL };
    uint64_t *slots[] = { &policy->retention_records_ms, &policy->retention_artifacts_ms,
                          &policy->retention_audit_ms };
    json_t *object = NULL;
    unsigned i;

    if (!sbx_policy_group(document, "retention", known, &object, err)) {
        return false;
    }
    for (i = 0; i < SBX_COUNT(slots); i++) {
        if (!sbx_policy_period(object, "/retention", known[i], MAX_RETENTION_MS, slots[i], err)) {
            return false;
        }
    }
    return true;
}

/* Its ports are a list. */
static bool
read_services(struct sbx_policy *policy, const json_t *document, struct sbx_field_error *err)
{
    static const char *const known[] = { "ports", "max", NULL };
    json_t *object = NULL;

    return sbx_policy_group(document, "services", known, &object, err) &&
           sbx_policy_count(object, "/services", "max", 0, MAX_COUNT, &policy->max_services, err);
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

    if (!sbx_policy_group(document, "sessions", known, &object, err) ||
        !sbx_policy_count(object, "/sessions", "max", 0, MAX_SESSIONS, &sessions->max, err)) {
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

static bool
read_head(struct sbx_policy *policy, const json_t *document, struct sbx_field_error *err)
{
    const char *id = "";
    size_t len = 0;

    if (json_object_get(document, "version") == NULL) {
        sbx_field_error_set(err, "/version", "is required");
        return false;
    }
    if (!sbx_policy_count(document, "", "version", 1, INT32_MAX, &policy->version, err) ||
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
sbx_policy_numbers(struct sbx_policy *ret, const json_t *document, struct sbx_field_error *err)
{
    static const char *const known[] = {
        "version",  "id",      "limits",       "languages", "templates", "isolation",
        "env",      "files",   "uploads",      "tools",     "retention", "sessions",
        "max_wait", "rates",   "concurrency",  "artifacts", "egress",    "secrets",
        "services", "budgets", "dependencies", NULL,
    };
    struct sbx_policy policy;

    policy_unsaid(&policy);
    if (!json_is_object(document)) {
        sbx_field_error_set(err, "", "must be an object");
        return false;
    }
    if (!sbx_policy_members(document, "", known, err) || !read_head(&policy, document, err) ||
        !read_limits(&policy, document, err) || !read_isolation(&policy, document, err) ||
        !read_sizes(&policy, document, err) || !read_retention(&policy, document, err) ||
        !read_sessions(&policy, document, err) || !read_services(&policy, document, err) ||
        !sbx_json_get_duration(document, "", "max_wait", MAX_WAIT_MS, &policy.max_wait_ms, err) ||
        !sbx_policy_caps(&policy, document, err)) {
        return false;
    }

    *ret = policy;
    return true;
}
