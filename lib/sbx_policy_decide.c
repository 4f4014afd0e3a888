/* Requests against the merged policy: what is asked for, what exceeds, what then holds. */
#include "sbx_policy.h"

#include <stdio.h>
#include <string.h>

#define MAX_ITEMS 4096
#define MAX_NAME (SBX_POLICY_NAME_LEN - 1)
#define MAX_PATH_BYTES 4096
#define MAX_WAIT_MS (24ull * 3600 * 1000)

const char *
sbx_language_canonical(const char *name)
{
    static const struct {
        const char *alias, *name;
    } aliases[] = {
        { "node", "javascript" }, { "js", "javascript" }, { "python3", "python" },
        { "py", "python" },       { "shell", "bash" },    { "sh", "bash" },
    };
    unsigned i;

    for (i = 0; i < SBX_COUNT(aliases); i++) {
        if (strcmp(name, aliases[i].alias) == 0) {
            return aliases[i].name;
        }
    }
    return name;
}

/* Leaves `out` when the member is absent. */
static bool
read_name(char out[SBX_POLICY_NAME_LEN], const json_t *body, const char *key, struct sbx_field_error *err)
{
    char field[sizeof(err->field)];
    const char *name = NULL;
    size_t len = 0;

    if (!sbx_json_get_str(body, "", key, MAX_NAME, &name, &len, err)) {
        err->too_large = false; /* a name, not a payload */
        return false;
    }
    if (name == NULL) {
        return true;
    }
    if (!sbx_policy_name_valid(name, len)) {
        sbx_json_pointer(field, sizeof(field), "", key, 0);
        sbx_field_error_set(err, field, "must be a name of the characters A-Z a-z 0-9 _ . + -");
        return false;
    }
    memcpy(out, name, len + 1);
    return true;
}

/* Decoded size of base64 text; the decoder itself comes later and refuses what is not base64. */
static uint64_t
base64_size(const char *text, size_t len)
{
    uint64_t size = ((uint64_t)len + 3) / 4 * 3;

    if (len >= 4 && text[len - 1] == '=') {
        size -= text[len - 2] == '=' ? 2 : 1;
    }
    return size;
}

static bool
read_file(struct sbx_policy_input *input, const json_t *file, const char *path, struct sbx_field_error *err)
{
    const char *name = NULL, *content = NULL, *encoding = "utf-8";
    char field[sizeof(err->field)];
    size_t len = 0;

    if (!json_is_object(file)) {
        sbx_field_error_set(err, path, "must be an object with path and content");
        return false;
    }
    if (!sbx_json_get_str(file, path, "path", MAX_PATH_BYTES, &name, NULL, err) ||
        !sbx_json_get_str(file, path, "content", SIZE_MAX, &content, &len, err) ||
        !sbx_json_get_str(file, path, "encoding", SIZE_MAX, &encoding, NULL, err)) {
        return false;
    }
    if (name == NULL || content == NULL) {
        sbx_json_pointer(field, sizeof(field), path, name == NULL ? "path" : "content", 0);
        sbx_field_error_set(err, field, "is required");
        return false;
    }
    if (strcmp(encoding, "utf-8") != 0 && strcmp(encoding, "base64") != 0) {
        sbx_json_pointer(field, sizeof(field), path, "encoding", 0);
        sbx_field_error_set(err, field, "must be \"utf-8\" or \"base64\"");
        return false;
    }

    input->file_bytes += encoding[0] == 'b' ? base64_size(content, len) : len;
    return true;
}

static bool
read_files(struct sbx_policy_input *input, const json_t *body, struct sbx_field_error *err)
{
    char path[sizeof(err->field)];
    json_t *files = NULL, *file;
    size_t i;

    if (!sbx_json_get_array(body, "", "files", MAX_ITEMS, &files, err)) {
        return false;
    }
    json_array_foreach (files, i, file) {
        sbx_json_pointer(path, sizeof(path), "/files", NULL, i);
        if (!read_file(input, file, path, err)) {
            return false;
        }
    }
    input->n_files = (uint32_t)json_array_size(files);
    return true;
}

static bool
read_env(struct sbx_policy_input *input, const json_t *body, struct sbx_field_error *err)
{
    char field[sizeof(err->field)];
    json_t *env = NULL;
    void *iter;

    if (!sbx_json_get_object(body, "", "env", &env, err)) {
        return false;
    }
    for (iter = json_object_iter(env); iter != NULL; iter = json_object_iter_next(env, iter)) {
        if (!json_is_string(json_object_iter_value(iter))) {
            sbx_json_pointer(field, sizeof(field), "/env", json_object_iter_key(iter), 0);
            sbx_field_error_set(err, field, "must be a string");
            return false;
        }
    }
    input->n_env = (uint32_t)json_object_size(env);
    return true;
}

static bool
read_artifacts(struct sbx_policy_input *input, const json_t *body, struct sbx_field_error *err)
{
    char field[sizeof(err->field)];
    json_t *artifacts = NULL, *item;
    size_t i;

    if (!sbx_json_get_array(body, "", "artifacts", MAX_ITEMS, &artifacts, err)) {
        return false;
    }
    json_array_foreach (artifacts, i, item) {
        if (!json_is_string(item)) {
            sbx_json_pointer(field, sizeof(field), "/artifacts", NULL, i);
            sbx_field_error_set(err, field, "must be a string");
            return false;
        }
    }
    input->n_artifacts = (uint32_t)json_array_size(artifacts);
    return true;
}

/*
 * The name under which the body has the member: this API's or that of an older form of it; not both.
 */
static const char *
either_key(const json_t *body, const char *key, const char *other, struct sbx_field_error *err,
           bool *ret_fine)
{
    const json_t *first = json_object_get(body, key), *second = json_object_get(body, other);
    char field[sizeof(err->field)];

    *ret_fine = true;
    if (second == NULL || json_is_null(second)) {
        return key;
    }
    if (first != NULL && !json_is_null(first)) {
        sbx_json_pointer(field, sizeof(field), "", other, 0);
        sbx_field_error_set(err, field, "says the same as %s: send one of them", key);
        *ret_fine = false;
    }
    return other;
}

static bool
read_either_name(char out[SBX_POLICY_NAME_LEN], const json_t *body, const char *key, const char *other,
                 struct sbx_field_error *err)
{
    bool fine;
    const char *found = either_key(body, key, other, err, &fine);

    return fine && read_name(out, body, found, err);
}

static bool
read_time(uint64_t *ret_ms, const json_t *body, const char *key, struct sbx_field_error *err)
{
    const json_t *value = json_object_get(body, key);
    char field[sizeof(err->field)];

    if (value == NULL || json_is_null(value)) {
        return true;
    }
    sbx_json_pointer(field, sizeof(field), "", key, 0);
    return sbx_limit_from_json(SBX_LIMIT_TIME, value, field, ret_ms, err);
}

static bool
read_session_times(struct sbx_policy_input *input, const json_t *body, struct sbx_field_error *err)
{
    bool fine;
    const char *ttl = either_key(body, "ttl", "timeout", err, &fine);

    return fine && read_time(&input->session_ms[SBX_SESSION_TTL], body, ttl, err) &&
           read_time(&input->session_ms[SBX_SESSION_IDLE], body, "idle_timeout", err) &&
           read_time(&input->session_ms[SBX_SESSION_STEP], body, "step_timeout", err);
}

static bool
read_limits(struct sbx_policy_input *input, const json_t *body, const char *key, struct sbx_field_error *err)
{
    char path[sizeof(err->field)];
    json_t *limits = NULL;

    sbx_json_pointer(path, sizeof(path), "", key, 0);
    return sbx_json_get_object(body, "", key, &limits, err) &&
           (limits == NULL || sbx_limits_from_json(&input->limits, limits, path, err));
}

/* A session has one clock for its CPU and no limit of wall time but its ttl. */
static bool
read_session_limits(struct sbx_policy_input *input, const json_t *body, struct sbx_field_error *err)
{
    bool fine;
    const char *key = either_key(body, "limits", "resources", err, &fine);
    char path[sizeof(err->field)];

    if (!fine || !read_limits(input, body, key, err)) {
        return false;
    }
    if (input->limits.value[SBX_LIMIT_TIME] != 0) {
        sbx_json_pointer(path, sizeof(path), "", key, 0);
        sbx_field_error_set(err, path, "must not bound the time: a session has a ttl, a step a timeout");
        return false;
    }
    input->session_ms[SBX_SESSION_CPU_TIME] = input->limits.value[SBX_LIMIT_CPU];
    input->limits.value[SBX_LIMIT_CPU] = 0;
    return true;
}

static bool
read_isolation(struct sbx_policy_input *input, const json_t *body, struct sbx_field_error *err)
{
    const json_t *value = json_object_get(body, "isolation");

    if (value == NULL || json_is_null(value)) {
        return true;
    }
    input->isolation =
        json_is_string(value) ? sbx_isolation_parse(json_string_value(value)) : SBX_ISOLATION_NONE;
    if (input->isolation == SBX_ISOLATION_NONE) {
        sbx_field_error_set(err, "/isolation", "must be \"process\" or \"gvisor\"");
        return false;
    }
    return true;
}

static bool
read_job(struct sbx_policy_input *input, const json_t *body, struct sbx_field_error *err)
{
    (void)snprintf(input->template_name, sizeof(input->template_name), "default"); /* fits */
    if (!read_name(input->language, body, "language", err) ||
        !read_name(input->template_name, body, "template", err) || !read_isolation(input, body, err)) {
        return false;
    }
    if (input->language[0] == '\0') {
        sbx_field_error_set(err, "/language", "is required");
        return false;
    }
    return read_limits(input, body, "limits", err) && read_env(input, body, err) &&
           read_files(input, body, err) && read_artifacts(input, body, err);
}

static bool
read_session(struct sbx_policy_input *input, const json_t *body, struct sbx_field_error *err)
{
    /* Both fit. */
    (void)snprintf(input->language, sizeof(input->language), "%s", SBX_SESSION_LANGUAGE);
    (void)snprintf(input->template_name, sizeof(input->template_name), "default");
    return read_either_name(input->language, body, "language", "runtime", err) &&
           read_either_name(input->template_name, body, "template", "template_id", err) &&
           read_isolation(input, body, err) && read_session_limits(input, body, err) &&
           read_session_times(input, body, err) && read_env(input, body, err) && read_files(input, body, err);
}

static bool
read_kind(struct sbx_policy_input *input, const json_t *body, struct sbx_field_error *err)
{
    switch (input->kind) {
    case SBX_POLICY_JOB:
        return read_job(input, body, err);
    case SBX_POLICY_SESSION:
        return read_session(input, body, err);
    case SBX_POLICY_EXTEND:
        return read_session_times(input, body, err);
    case SBX_POLICY_STEP:
        return read_name(input->language, body, "language", err) && read_env(input, body, err) &&
               read_time(&input->session_ms[SBX_SESSION_STEP], body, "timeout", err);
    case SBX_POLICY_PROCESS:
        return read_env(input, body, err);
    }
    return false;
}

bool
sbx_policy_input_from_json(struct sbx_policy_input *ret, enum sbx_policy_kind kind, const json_t *body,
                           struct sbx_field_error *err)
{
    struct sbx_policy_input input = { .kind = kind };
    char canonical[SBX_POLICY_NAME_LEN];

    if (!json_is_object(body)) {
        sbx_field_error_set(err, "", "must be an object");
        return false;
    }
    if (!read_kind(&input, body, err) ||
        !sbx_json_get_duration(body, "", "wait", MAX_WAIT_MS, &input.wait_ms, err)) {
        return false;
    }
    (void)snprintf(canonical, sizeof(canonical), "%s",
                   sbx_language_canonical(input.language)); /* never longer */
    memcpy(input.language, canonical, sizeof(canonical));

    *ret = input;
    return true;
}

/* NULL when there is no room left: the refusal stands all the same. */
static struct sbx_violation *
refuse(struct sbx_decision *decision, const char *rule)
{
    struct sbx_violation *violation;

    decision->allowed = false;
    if (decision->n_violations == SBX_POLICY_MAX_VIOLATIONS) {
        return NULL;
    }
    violation = &decision->violation[decision->n_violations++];
    (void)snprintf(violation->rule, sizeof(violation->rule), "%s", rule); /* ours, short */
    return violation;
}

/* `unit` is the limit whose way of writing values fits. */
static void
check_amount(struct sbx_decision *decision, const char *rule, enum sbx_limit unit, uint64_t asked,
             uint64_t max, const char *hint)
{
    struct sbx_violation *violation;

    if (asked <= max) {
        return;
    }
    violation = refuse(decision, rule);
    if (violation != NULL) {
        sbx_limit_text(violation->limit, sizeof(violation->limit), unit, max);
        sbx_limit_text(violation->observed, sizeof(violation->observed), unit, asked);
        (void)snprintf(violation->hint, sizeof(violation->hint), "%s", hint); /* ours, short */
    }
}

static void
check_limit(struct sbx_decision *decision, enum sbx_limit limit, uint64_t asked, uint64_t max)
{
    char rule[48], hint[128], most[32];

    sbx_limit_text(most, sizeof(most), limit, max);
    /* Our own words and one number: they fit. */
    (void)snprintf(rule, sizeof(rule), "limits.%s", sbx_limit_key(limit));
    (void)snprintf(hint, sizeof(hint), "ask for at most %s, or leave %s out", most, sbx_limit_key(limit));
    check_amount(decision, rule, limit, asked, max, hint);
}

/* A JSON array of the names; what has no room is left out and "..." says so. */
static void
write_names(char *out, size_t size, const struct sbx_name_set *set)
{
    const size_t closing = strlen(",\"...\"]");
    size_t len = 1, need;
    unsigned i;

    out[0] = '[';
    for (i = 0; i < set->n; i++) {
        need = strlen(set->name[i]) + 3;
        if (len + need + closing + 1 > size) {
            len += (size_t)snprintf(out + len, size - len, "%s\"...\"", i > 0 ? "," : "");
            break;
        }
        len += (size_t)snprintf(out + len, size - len, "%s\"%s\"", i > 0 ? "," : "", set->name[i]);
    }
    (void)snprintf(out + len, size - len, "]"); /* `closing` was kept free */
}

static void
check_name(struct sbx_decision *decision, const char *rule, const char *name, const struct sbx_name_set *set)
{
    struct sbx_violation *violation;

    if (name[0] == '\0' || !set->set || sbx_name_set_has(set, name)) {
        return;
    }
    violation = refuse(decision, rule);
    if (violation != NULL) {
        write_names(violation->limit, sizeof(violation->limit), set);
        /* A name needs no escapes: sbx_policy_input_from_json saw to it. */
        (void)snprintf(violation->observed, sizeof(violation->observed), "\"%.63s\"", name);
        (void)snprintf(violation->hint, sizeof(violation->hint), "%s",
                       set->n > 0 ? "use one of those in limit"
                                  : "this policy allows none"); /* ours, short */
    }
}

void
sbx_violation_isolation(struct sbx_violation *ret, enum sbx_isolation minimum, enum sbx_isolation asked)
{
    const char *least = sbx_isolation_name(minimum);

    /* Our own words: they fit. */
    (void)snprintf(ret->rule, sizeof(ret->rule), "isolation.minimum");
    (void)snprintf(ret->limit, sizeof(ret->limit), "\"%s\"", least);
    (void)snprintf(ret->observed, sizeof(ret->observed), "\"%s\"", sbx_isolation_name(asked));
    (void)snprintf(ret->hint, sizeof(ret->hint), "ask for %s, or leave isolation out", least);
}

static void
settle_isolation(struct sbx_decision *decision, const struct sbx_policy *policy, enum sbx_isolation asked)
{
    struct sbx_violation *violation;

    decision->min_isolation = policy->min_isolation;
    decision->isolation = asked;
    if (asked == SBX_ISOLATION_NONE) {
        decision->isolation = sbx_isolation_stronger(policy->isolation, policy->min_isolation);
        return;
    }
    if (asked >= policy->min_isolation) {
        return;
    }
    violation = refuse(decision, "isolation.minimum");
    if (violation != NULL) {
        sbx_violation_isolation(violation, policy->min_isolation, asked);
    }
}

static void
settle_limits(struct sbx_decision *decision, const struct sbx_policy *policy, const struct sbx_limits *asked)
{
    unsigned i;

    for (i = 0; i < SBX_N_LIMITS; i++) {
        check_limit(decision, (enum sbx_limit)i, asked->value[i], policy->max.value[i]);
        decision->limits.value[i] = asked->value[i] != 0 ? asked->value[i] : policy->fallback.value[i];
    }
}

static void
check_session_times(struct sbx_decision *decision, const struct sbx_session_policy *policy,
                    const uint64_t asked[SBX_N_SESSION_TIMES])
{
    char rule[48], hint[128], most[32];
    const char *key;
    unsigned i;

    for (i = 0; i < SBX_N_SESSION_TIMES; i++) {
        key = sbx_session_time_key((enum sbx_session_time)i);
        sbx_limit_text(most, sizeof(most), SBX_LIMIT_TIME, policy->longest[i]);
        /* Our own words and one number: they fit. */
        (void)snprintf(rule, sizeof(rule), "sessions.%s", key);
        (void)snprintf(hint, sizeof(hint), "ask for at most %s, or leave it out", most);
        check_amount(decision, rule, SBX_LIMIT_TIME, asked[i], policy->longest[i], hint);
    }
}

/* The whole session's: its CPU time is not a job's, and nothing but its life bounds its wall clock. */
static void
settle_session(struct sbx_decision *decision, const struct sbx_session_policy *policy,
               const struct sbx_policy_input *input)
{
    uint64_t asked = input->session_ms[SBX_SESSION_CPU_TIME];

    decision->limits.value[SBX_LIMIT_CPU] = asked != 0 ? asked : policy->fallback[SBX_SESSION_CPU_TIME];
    decision->limits.value[SBX_LIMIT_TIME] = policy->max_lifetime_ms;
}

static void
settle(struct sbx_decision *decision, const struct sbx_policy *policy, const struct sbx_policy_input *input)
{
    if (input->kind == SBX_POLICY_JOB || input->kind == SBX_POLICY_SESSION) {
        settle_isolation(decision, policy, input->isolation);
        settle_limits(decision, policy, &input->limits);
    }
    if (input->kind == SBX_POLICY_SESSION) {
        settle_session(decision, &policy->sessions, input);
    }
    check_session_times(decision, &policy->sessions, input->session_ms);
}

void
sbx_policy_decide(const struct sbx_policy *policy, const struct sbx_policy_input *input,
                  struct sbx_decision *ret)
{
    struct sbx_policy full;

    /* A policy that leaves something unsaid must not leave it unlimited. */
    sbx_policy_base(&full, policy);
    memset(ret, 0, sizeof(*ret));
    ret->allowed = true;

    check_name(ret, "languages", input->language, &full.languages);
    check_name(ret, "templates", input->template_name, &full.templates);
    settle(ret, &full, input);
    check_amount(ret, "env.max", SBX_LIMIT_PROCESSES, input->n_env, full.max_env, "send fewer variables");
    check_amount(ret, "files.max", SBX_LIMIT_PROCESSES, input->n_files, full.max_files, "send fewer files");
    check_amount(ret, "files.max_bytes", SBX_LIMIT_MEMORY, input->file_bytes, full.max_file_bytes,
                 "send fewer or smaller files");
    check_amount(ret, "artifacts.max", SBX_LIMIT_PROCESSES, input->n_artifacts, full.max_artifacts,
                 "name fewer patterns");
    check_amount(ret, "max_wait", SBX_LIMIT_TIME, input->wait_ms, full.max_wait_ms,
                 "wait less, then poll for the result");

    if (!ret->allowed) {
        memset(&ret->limits, 0, sizeof(ret->limits));
        ret->isolation = SBX_ISOLATION_NONE;
        return;
    }
    ret->max_artifacts = full.max_artifacts;
    ret->max_artifact_bytes = full.max_artifact_bytes;
}

void
sbx_violations_write(struct sbx_jsonw *w, const struct sbx_violation *violation, unsigned n)
{
    unsigned i;

    sbx_jsonw_array(w, "violations");
    for (i = 0; i < n; i++) {
        sbx_jsonw_object(w, NULL);
        sbx_jsonw_str(w, "rule", violation[i].rule);
        sbx_jsonw_raw(w, "limit", violation[i].limit, strlen(violation[i].limit));
        sbx_jsonw_raw(w, "observed", violation[i].observed, strlen(violation[i].observed));
        sbx_jsonw_str(w, "hint", violation[i].hint);
        sbx_jsonw_object_end(w);
    }
    sbx_jsonw_array_end(w);
}
