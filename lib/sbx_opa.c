/* An answer only ever narrows: what cannot be read denies, and no number in it is taken that is larger than ours. */
#include "sbx_opa.h"

#include <stdio.h>
#include <string.h>

static const char *const kind_names[] = {
    [SBX_POLICY_JOB] = "job",   [SBX_POLICY_SESSION] = "session", [SBX_POLICY_EXTEND] = "extend",
    [SBX_POLICY_STEP] = "step", [SBX_POLICY_PROCESS] = "process", [SBX_POLICY_TOOL] = "tool",
};

static void
write_scopes(struct sbx_jsonw *w, const char *scopes)
{
    size_t len;

    sbx_jsonw_array(w, "scopes");
    while (*scopes != '\0') {
        len = strcspn(scopes, " ");
        if (len > 0) {
            sbx_jsonw_strn(w, NULL, scopes, len);
        }
        scopes += len + (scopes[len] == ' ' ? 1 : 0);
    }
    sbx_jsonw_array_end(w);
}

static void
write_who(struct sbx_jsonw *w, const struct sbx_opa_question *question)
{
    const struct sbx_context *context = question->context;

    sbx_jsonw_str(w, "kind", kind_names[question->input->kind]);
    sbx_jsonw_str(w, "tenant", context->tenant);
    sbx_jsonw_str(w, "app", context->app);
    sbx_jsonw_str(w, "agent", context->agent);
    sbx_jsonw_str(w, "subject", context->subject);
    write_scopes(w, context->scopes);
    sbx_jsonw_strn(w, "route", question->route, question->route_len);
    sbx_jsonw_str(w, "tool", question->input->tool);
    sbx_jsonw_object(w, "policy");
    sbx_jsonw_str(w, "id", context->policy_id);
    sbx_jsonw_uint(w, "version", context->policy_version);
    sbx_jsonw_uint(w, "revision", context->policy_revision);
    sbx_jsonw_object_end(w);
}

/* Each has a fixed set of members in base units: a rule need not know what a client may write. 0: not asked. */
static void
write_limits(struct sbx_jsonw *w, const struct sbx_limits *limits)
{
    static const char *const names[SBX_N_LIMITS] = {
        [SBX_LIMIT_CPU_RATE] = "cpu_millicores", [SBX_LIMIT_CPU] = "cpu_time_ms",
        [SBX_LIMIT_MEMORY] = "memory_bytes",     [SBX_LIMIT_DISK] = "disk_bytes",
        [SBX_LIMIT_PROCESSES] = "processes",     [SBX_LIMIT_TIME] = "time_ms",
        [SBX_LIMIT_OUTPUT] = "output_bytes",
    };
    unsigned i;

    sbx_jsonw_object(w, "limits");
    for (i = 0; i < SBX_N_LIMITS; i++) {
        sbx_jsonw_uint(w, names[i], limits->value[i]);
    }
    sbx_jsonw_object_end(w);
}

static void
write_list(struct sbx_jsonw *w, const char *key, const json_t *list)
{
    if (list == NULL) {
        sbx_jsonw_array(w, key);
        sbx_jsonw_array_end(w);
        return;
    }
    sbx_jsonw_raw(w, key, "", 0);
    sbx_json_dump(w->buf, list, false);
}

static void
write_session(struct sbx_jsonw *w, const uint64_t session_ms[SBX_N_SESSION_TIMES])
{
    static const char *const names[SBX_N_SESSION_TIMES] = {
        [SBX_SESSION_TTL] = "ttl_ms",
        [SBX_SESSION_IDLE] = "idle_timeout_ms",
        [SBX_SESSION_STEP] = "step_timeout_ms",
        [SBX_SESSION_CPU_TIME] = "cpu_time_ms",
    };
    unsigned i;

    sbx_jsonw_object(w, "session");
    for (i = 0; i < SBX_N_SESSION_TIMES; i++) {
        sbx_jsonw_uint(w, names[i], session_ms[i]);
    }
    sbx_jsonw_object_end(w);
}

static void
write_request(struct sbx_jsonw *w, const struct sbx_policy_input *input)
{
    sbx_jsonw_object(w, "request");
    sbx_jsonw_str(w, "language", input->language);
    sbx_jsonw_str(w, "template", input->template_name);
    sbx_jsonw_str(w, "isolation", sbx_isolation_name(input->isolation));
    write_limits(w, &input->limits);
    write_session(w, input->session_ms);
    sbx_jsonw_uint(w, "env_count", input->n_env);
    sbx_jsonw_uint(w, "files_count", input->n_files);
    sbx_jsonw_uint(w, "files_bytes", input->file_bytes);
    sbx_jsonw_uint(w, "artifacts_count", input->n_artifacts);
    sbx_jsonw_uint(w, "wait_ms", input->wait_ms);
    sbx_jsonw_object(w, "dependencies");
    write_list(w, "pip", input->pip);
    write_list(w, "npm", input->npm);
    sbx_jsonw_object_end(w);
    write_list(w, "egress", input->egress);
    write_list(w, "secrets", input->secrets);
    write_list(w, "services", input->services);
    sbx_jsonw_object_end(w);
}

void
sbx_opa_question_write(struct sbx_buf *out, const struct sbx_opa_question *question)
{
    const struct sbx_decision *decision = question->decision;
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_object(&w, "input");
    write_who(&w, question);
    write_request(&w, question->input);
    sbx_jsonw_object(&w, "effective");
    write_limits(&w, &decision->limits);
    sbx_jsonw_str(&w, "isolation", sbx_isolation_name(decision->isolation));
    sbx_jsonw_str(&w, "minimum_isolation", sbx_isolation_name(decision->min_isolation));
    sbx_jsonw_object_end(&w);
    sbx_jsonw_object_end(&w);
    sbx_jsonw_object_end(&w);
}

/* [a-z_]+, and behind a dot anything of [a-z0-9._-]: as our own are called. */
static bool
rule_valid(const char *rule, size_t len)
{
    size_t word = strspn(rule, "abcdefghijklmnopqrstuvwxyz_");

    if (len >= sizeof(((struct sbx_violation *)NULL)->rule) || word == 0) {
        return false;
    }
    return word == len || (rule[word] == '.' && len > word + 1 &&
                           strspn(rule + word, "abcdefghijklmnopqrstuvwxyz0123456789_.-") == len - word);
}

/* As JSON text again; "null" when it is absent, an object, has no room, or cannot be written. */
static void
read_value(char *out, size_t size, const json_t *value)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(SBX_OPA_ANSWER_MAX);
    const char *found = "null";

    if (value != NULL && !json_is_object(value)) {
        sbx_json_dump(&text, value, true);
        if (!text.failed && text.len > 0 && text.len < size) {
            found = text.data;
        }
    }
    (void)snprintf(out, size, "%s", found); /* measured, or ours */
}

/* Whole characters that fit. */
static void
read_hint(char *out, size_t size, const json_t *value)
{
    const char *hint = json_is_string(value) ? json_string_value(value) : "";
    size_t len = json_is_string(value) ? json_string_length(value) : 0;

    if (len > size - 1) {
        len = size - 1;
        while (len > 0 && ((uint8_t)hint[len] & 0xc0) == 0x80) {
            len--;
        }
    }
    memcpy(out, hint, len);
    out[len] = '\0';
}

static void
read_violations(struct sbx_opa_answer *answer, const json_t *list)
{
    struct sbx_violation *violation;
    const json_t *item, *rule;
    size_t i;

    for (i = 0; i < json_array_size(list) && answer->n_violations < SBX_OPA_VIOLATIONS; i++) {
        item = json_array_get(list, i);
        rule = json_object_get(item, "rule");
        if (!json_is_string(rule) || !rule_valid(json_string_value(rule), json_string_length(rule))) {
            continue;
        }
        violation = &answer->violation[answer->n_violations++];
        memcpy(violation->rule, json_string_value(rule), json_string_length(rule) + 1);
        read_value(violation->limit, sizeof(violation->limit), json_object_get(item, "limit"));
        read_value(violation->observed, sizeof(violation->observed), json_object_get(item, "observed"));
        read_hint(violation->hint, sizeof(violation->hint), json_object_get(item, "hint"));
    }
}

static int
read_result(struct sbx_opa_answer *ret, const json_t *result, const char **ret_why)
{
    const json_t *allow = json_object_get(result, "allow");
    const json_t *violations = json_object_get(result, "violations");
    const json_t *limits = json_object_get(result, "limits");
    struct sbx_field_error err;

    if (!json_is_object(result)) {
        *ret_why = "it has no result, or one that is no object";
        return SBX_OPA_E_FORM;
    }
    if (!json_is_boolean(allow)) {
        *ret_why = "allow is not true or false";
        return SBX_OPA_E_FORM;
    }
    if (violations != NULL && !json_is_array(violations)) {
        *ret_why = "violations are no array";
        return SBX_OPA_E_FORM;
    }

    read_violations(ret, violations);
    ret->allowed = json_is_true(allow) && json_array_size(violations) == 0;
    if (ret->allowed && limits != NULL && !sbx_limits_from_json(&ret->limits, limits, "/limits", &err)) {
        *ret_why = "limits are not of the form";
        return SBX_OPA_E_FORM;
    }
    return 0;
}

int
sbx_opa_answer_read(struct sbx_opa_answer *ret, const char *text, size_t len, const char **ret_why)
{
    _cleanup_(sbx_json_decrefp) json_t *document = NULL;
    struct sbx_opa_answer answer;
    struct sbx_field_error err;
    int r;

    if (len > SBX_OPA_ANSWER_MAX) {
        *ret_why = "it is too large";
        return SBX_OPA_E_FORM;
    }
    r = sbx_json_parse(&document, text, len, &err);
    if (r != 0) {
        *ret_why = "it is not JSON";
        return r < 0 ? r : SBX_OPA_E_FORM;
    }

    memset(&answer, 0, sizeof(answer));
    r = read_result(&answer, json_object_get(document, "result"), ret_why);
    if (r == 0) {
        *ret = answer;
    }
    return r;
}
