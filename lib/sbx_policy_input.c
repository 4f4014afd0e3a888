/* What a request asks for, read from its body. */
#include "sbx_policy_inside.h"

#include <string.h>

#define MAX_ITEMS 4096
#define MAX_NAME (SBX_POLICY_NAME_LEN - 1)
#define MAX_PATH_BYTES 4096
#define DEFAULT_TEMPLATE "default"
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
    const char *name = NULL, *content = NULL, *uri = NULL, *encoding = "utf-8";
    char field[sizeof(err->field)];
    size_t len = 0;

    if (!json_is_object(file)) {
        sbx_field_error_set(err, path, "must be an object with path and content");
        return false;
    }
    if (!sbx_json_get_str(file, path, "path", MAX_PATH_BYTES, &name, NULL, err) ||
        !sbx_json_get_str(file, path, "content", SIZE_MAX, &content, &len, err) ||
        !sbx_json_get_str(file, path, "uri", SIZE_MAX, &uri, NULL, err) ||
        !sbx_json_get_str(file, path, "encoding", SIZE_MAX, &encoding, NULL, err)) {
        return false;
    }
    if (name != NULL && content == NULL && uri != NULL) {
        return true; /* how large it is knows who has it */
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

/* An array of at most SBX_POLICY_MAX_ITEMS entries of this kind; *ret stays NULL when it is absent. */
static bool
read_items(const json_t **ret, enum sbx_rule_kind kind, const json_t *object, const char *path,
           const char *key, struct sbx_field_error *err)
{
    char list[sizeof(err->field)], field[sizeof(err->field)];
    json_t *array = NULL, *item;
    struct sbx_ask ask;
    size_t i;

    if (!sbx_json_get_array(object, path, key, SBX_POLICY_MAX_ITEMS, &array, err)) {
        err->too_large = false; /* names, not a payload */
        return false;
    }
    if (array == NULL) {
        return true;
    }
    sbx_json_pointer(list, sizeof(list), path, key, 0);
    json_array_foreach (array, i, item) {
        sbx_json_pointer(field, sizeof(field), list, NULL, i);
        if (!sbx_ask_parse(&ask, kind, item, field, err)) {
            return false;
        }
    }
    *ret = array;
    return true;
}

static bool
read_lists(struct sbx_policy_input *input, const json_t *body, struct sbx_field_error *err)
{
    static const char *const known[] = { "pip", "npm", NULL };
    json_t *dependencies = NULL;

    return sbx_json_get_object(body, "", "dependencies", &dependencies, err) &&
           (dependencies == NULL || sbx_json_only(dependencies, "/dependencies", known, err)) &&
           read_items(&input->pip, SBX_RULE_PIP, dependencies, "/dependencies", "pip", err) &&
           read_items(&input->npm, SBX_RULE_NPM, dependencies, "/dependencies", "npm", err) &&
           read_items(&input->egress, SBX_RULE_EGRESS, body, "", "egress", err) &&
           read_items(&input->secrets, SBX_RULE_SECRETS, body, "", "secrets", err) &&
           read_items(&input->services, SBX_RULE_SERVICES, body, "", "services", err);
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
    memcpy(input->template_name, DEFAULT_TEMPLATE, sizeof(DEFAULT_TEMPLATE));
    if (!read_name(input->language, body, "language", err) ||
        !read_name(input->template_name, body, "template", err) || !read_isolation(input, body, err)) {
        return false;
    }
    if (input->language[0] == '\0') {
        sbx_field_error_set(err, "/language", "is required");
        return false;
    }
    return read_limits(input, body, "limits", err) && read_env(input, body, err) &&
           read_files(input, body, err) && read_artifacts(input, body, err) && read_lists(input, body, err);
}

static bool
read_session(struct sbx_policy_input *input, const json_t *body, struct sbx_field_error *err)
{
    memcpy(input->language, SBX_SESSION_LANGUAGE, sizeof(SBX_SESSION_LANGUAGE));
    memcpy(input->template_name, DEFAULT_TEMPLATE, sizeof(DEFAULT_TEMPLATE));
    return read_either_name(input->language, body, "language", "runtime", err) &&
           read_either_name(input->template_name, body, "template", "template_id", err) &&
           read_isolation(input, body, err) && read_session_limits(input, body, err) &&
           read_session_times(input, body, err) && read_env(input, body, err) &&
           read_files(input, body, err) && read_lists(input, body, err);
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
    case SBX_POLICY_TOOL:
        return true;
    }
    return false;
}

bool
sbx_policy_input_from_json(struct sbx_policy_input *ret, enum sbx_policy_kind kind, const json_t *body,
                           struct sbx_field_error *err)
{
    struct sbx_policy_input input = { .kind = kind };
    const char *canonical;

    if (kind == SBX_POLICY_TOOL) {
        *ret = input;
        return true;
    }
    if (!json_is_object(body)) {
        sbx_field_error_set(err, "", "must be an object");
        return false;
    }
    if (!read_kind(&input, body, err) ||
        !sbx_json_get_duration(body, "", "wait", MAX_WAIT_MS, &input.wait_ms, err)) {
        return false;
    }
    canonical = sbx_language_canonical(input.language);
    if (canonical != input.language) {
        memcpy(input.language, canonical, strlen(canonical) + 1); /* one of ours, short */
    }

    *ret = input;
    return true;
}
