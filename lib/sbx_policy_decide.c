/* Requests against the merged policy: what exceeds, what then holds. */
#include "sbx_policy_inside.h"

#include <stdio.h>
#include <string.h>

struct sbx_violation *
sbx_policy_refuse(struct sbx_decision *decision, const char *rule)
{
    struct sbx_violation *violation;

    decision->allowed = false;
    if (decision->n_violations == SBX_POLICY_MAX_VIOLATIONS) {
        return NULL;
    }
    violation = &decision->violation[decision->n_violations++];
    memset(violation, 0, sizeof(*violation));
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
    violation = sbx_policy_refuse(decision, rule);
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

    if (asked <= max) {
        return; /* almost always, and texts take longer than all the rest */
    }
    sbx_limit_text(most, sizeof(most), limit, max);
    /* Our own words and one number: they fit. */
    (void)snprintf(rule, sizeof(rule), "limits.%s", sbx_limit_key(limit));
    (void)snprintf(hint, sizeof(hint), "ask for at most %s, or leave %s out", most, sbx_limit_key(limit));
    check_amount(decision, rule, limit, asked, max, hint);
}

/* What is kept free at the end of a list of entries. */
#define LIST_CLOSING (sizeof(",\"...\"]") - 1)

void
sbx_text_list_start(struct sbx_text_list *list, char *out, size_t size)
{
    *list = (struct sbx_text_list){ .out = out, .size = size, .len = 1 };
    out[0] = '[';
    out[1] = '\0';
}

void
sbx_text_list_add(struct sbx_text_list *list, const char *json, size_t len)
{
    if (list->cut || list->len + len + 1 + LIST_CLOSING + 1 > list->size) {
        list->cut = true;
        return;
    }
    if (list->n++ > 0) {
        list->out[list->len++] = ',';
    }
    memcpy(list->out + list->len, json, len);
    list->len += len;
}

void
sbx_text_list_cut(struct sbx_text_list *list)
{
    list->cut = true;
}

void
sbx_text_list_end(struct sbx_text_list *list)
{
    /* LIST_CLOSING was kept free. */
    (void)snprintf(list->out + list->len, list->size - list->len, "%s%s]",
                   list->cut && list->n > 0 ? "," : "", list->cut ? "\"...\"" : "");
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
    violation = sbx_policy_refuse(decision, "isolation.minimum");
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
        if (asked[i] <= policy->longest[i]) {
            continue;
        }
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
sbx_policy_decide_numbers(const struct sbx_policy *full, const struct sbx_policy_input *input,
                          struct sbx_decision *decision)
{
    settle(decision, full, input);
    check_amount(decision, "env.max", SBX_LIMIT_PROCESSES, input->n_env, full->max_env,
                 "send fewer variables");
    check_amount(decision, "files.max", SBX_LIMIT_PROCESSES, input->n_files, full->max_files,
                 "send fewer files");
    check_amount(decision, "files.max_bytes", SBX_LIMIT_MEMORY, input->file_bytes, full->max_file_bytes,
                 "send fewer or smaller files");
    check_amount(decision, "artifacts.max", SBX_LIMIT_PROCESSES, input->n_artifacts, full->max_artifacts,
                 "name fewer patterns");
    check_amount(decision, "max_wait", SBX_LIMIT_TIME, input->wait_ms, full->max_wait_ms,
                 "wait less, then poll for the result");
    check_amount(decision, "services.max", SBX_LIMIT_PROCESSES, json_array_size(input->services),
                 full->max_services, "ask for fewer ports");
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
