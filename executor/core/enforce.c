#include "executor/core/enforce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/log.h"

#define ENFORCE_SLICE 256 /* live things asked about in one turn of the loop */
#define ENFORCE_JSON_MAX 2048

enum enforce_phase { ENFORCE_IDLE, ENFORCE_JOBS, ENFORCE_SESSIONS };

struct enforce {
    struct enforce_spec spec;
    struct timer *timer;
    enum enforce_phase phase;
    unsigned part;
    unsigned asked; /* in this turn */
    bool again;     /* something changed while it was under way */
};

static void enforce_on_turn(void *arg);

int
enforce_new(struct enforce **ret, const struct enforce_spec *spec)
{
    struct enforce *enforce = calloc(1, sizeof(*enforce));
    int r;

    if (enforce == NULL) {
        return -ENOMEM;
    }
    enforce->spec = *spec;
    r = timer_new(&enforce->timer, spec->timers, enforce_on_turn, enforce);
    if (r) {
        free(enforce);
        return r;
    }
    *ret = enforce;
    return 0;
}

struct enforce *
enforce_free(struct enforce *enforce)
{
    if (enforce != NULL) {
        timer_free(enforce->timer);
        free(enforce);
    }
    return NULL;
}

void
enforce_again(struct enforce *enforce)
{
    if (enforce->phase != ENFORCE_IDLE) {
        enforce->again = true;
        return;
    }
    enforce->phase = ENFORCE_JOBS;
    enforce->part = 0;
    timer_start(enforce->timer, 0);
}

static char *
violation_text(const struct governance_verdict *verdict)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(ENFORCE_JSON_MAX);
    const struct sbx_violation *violation = &verdict->violation;
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &text);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "rule", violation->rule);
    sbx_jsonw_str(&w, "name", "policy");
    sbx_jsonw_raw(&w, "limit", violation->limit, strlen(violation->limit));
    sbx_jsonw_raw(&w, "observed", violation->observed, strlen(violation->observed));
    sbx_jsonw_str(&w, "hint", violation->hint);
    sbx_jsonw_str(&w, "policy_id", verdict->policy_id);
    sbx_jsonw_uint(&w, "policy_version", verdict->policy_version);
    sbx_jsonw_object_end(&w);
    return sbx_buf_take(&text, NULL);
}

static void
message_text(char out[JOB_MESSAGE_LEN], const struct governance_verdict *verdict)
{
    /* All three are short. */
    (void)snprintf(out, JOB_MESSAGE_LEN, "policy %s, version %u, does not allow it: %s", verdict->policy_id,
                   verdict->policy_version, verdict->violation.rule);
}

static void
enforce_job(void *arg, struct job *job)
{
    struct enforce *enforce = arg;
    const struct job_record *record = &job->record;
    const struct governance_who who = {
        .tenant = record->tenant,
        .app = record->app,
        .agent = record->agent,
        .template_name = record->template_name,
    };
    struct governance_verdict verdict;
    struct job_denial *denial;

    enforce->asked++;
    if (!job->is_governed || job->ended ||
        governance_allows(enforce->spec.governance, &who, &job->asked, &verdict)) {
        return;
    }
    denial = calloc(1, sizeof(*denial));
    if (denial == NULL) {
        enforce->again = true; /* it must not go on for want of words */
        return;
    }
    denial->violation_json = violation_text(&verdict);
    message_text(denial->message, &verdict);
    log_info("job.denied", LOG_STR("job", record->id.text), LOG_STR("tenant", record->tenant),
             LOG_STR("rule", verdict.violation.rule), LOG_STR("policy", verdict.policy_id),
             LOG_INT("version", verdict.policy_version));
    engine_deny(enforce->spec.engine, job, denial);
}

/* What runs in it is asked about as well: it is one sandbox, and ends as one. */
static bool
contexts_allowed(const struct enforce *enforce, const struct session *session,
                 const struct governance_who *who, struct governance_verdict *ret)
{
    for (struct list *it = session->contexts.next; it != &session->contexts; it = it->next) {
        struct sbx_policy_input input = { .kind = SBX_POLICY_STEP };

        /* Names of the registry and of templates: they fit. */
        (void)snprintf(input.language, sizeof(input.language), "%s",
                       list_entry(it, struct session_context, link)->language);
        (void)snprintf(input.template_name, sizeof(input.template_name), "%s", who->template_name);
        if (!governance_allows(enforce->spec.governance, who, &input, ret)) {
            return false;
        }
    }
    return true;
}

static void
enforce_session(void *arg, struct session *session)
{
    struct enforce *enforce = arg;
    struct session_record *record = &session->record;
    const struct governance_who who = {
        .tenant = record->tenant,
        .app = record->app,
        .agent = record->agent,
        .template_name = record->template_name,
    };
    struct governance_verdict verdict;
    char message[JOB_MESSAGE_LEN];

    enforce->asked++;
    if (!session->is_governed || record->state == SESSION_ENDED ||
        (governance_allows(enforce->spec.governance, &who, &session->asked, &verdict) &&
         contexts_allowed(enforce, session, &who, &verdict))) {
        return;
    }
    message_text(message, &verdict);
    free(record->violation_json);
    record->violation_json = violation_text(&verdict);
    session_end(session, SESSION_POLICY, message);
}

static void
enforce_on_turn(void *arg)
{
    struct enforce *enforce = arg;

    enforce->asked = 0;
    while (enforce->phase != ENFORCE_IDLE && enforce->asked < ENFORCE_SLICE) {
        if (enforce->phase == ENFORCE_JOBS) {
            enforce->part = engine_each_of(enforce->spec.engine, enforce->part, enforce_job, enforce);
            enforce->phase = enforce->part == 0 ? ENFORCE_SESSIONS : ENFORCE_JOBS;
        } else {
            enforce->part = sessions_each_of(enforce->spec.sessions, enforce->part, enforce_session, enforce);
            enforce->phase = enforce->part == 0 ? ENFORCE_IDLE : ENFORCE_SESSIONS;
        }
    }
    if (enforce->phase != ENFORCE_IDLE) {
        timer_start(enforce->timer, 0);
    } else if (enforce->again) {
        enforce->again = false;
        enforce_again(enforce);
    }
}
