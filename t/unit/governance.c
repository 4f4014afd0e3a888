/*
 * Documents in force in the executor: whom they hold for, what takes their place, when there are too many. And what runs is
 * asked about again a part at a time, with the loop, the engine and the sessions in the test's hand.
 */
#include "executor/core/enforce.h"

#include "executor/log.h"
#include "lib/sbx_json.h"
#include "t/unit/tap.h"

#define N_PARTS 300u
#define JOBS_MAX 900u

/* The loop: one timer, fired by hand. */

struct timer {
    void (*fire)(void *arg);
    void *arg;
    bool armed;
};

static struct timer *only_timer;

int
timer_new(struct timer **ret, struct timers *timers, void (*fire)(void *arg), void *arg)
{
    struct timer *timer = calloc(1, sizeof(*timer));

    (void)timers;
    if (timer == NULL) {
        return -ENOMEM;
    }
    timer->fire = fire;
    timer->arg = arg;
    *ret = only_timer = timer;
    return 0;
}

void
timer_start(struct timer *timer, uint64_t ms)
{
    is_uint(ms, 0, "it goes on with the next turn of the loop");
    timer->armed = true;
}

struct timer *
timer_free(struct timer *timer)
{
    free(timer);
    return NULL;
}

static bool
turn(void)
{
    if (!only_timer->armed) {
        return false;
    }
    only_timer->armed = false;
    only_timer->fire(only_timer->arg);
    return true;
}

/* What lives. Job n is in part n % N_PARTS; the sessions are all in the first. */

static struct job jobs[JOBS_MAX];
static struct session sessions_of[2];
static unsigned n_jobs, n_sessions, visited, denied[JOBS_MAX], ended[2];
static char last_violation[512], last_message[JOB_MESSAGE_LEN];
static enum session_reason last_reason;
static void (*on_visit)(void);

unsigned
engine_each_of(struct engine *engine, unsigned part, void (*visit)(void *arg, struct job *job), void *arg)
{
    (void)engine;
    for (unsigned n = part; n < n_jobs; n += N_PARTS) {
        visited++;
        visit(arg, &jobs[n]);
        if (on_visit != NULL) {
            on_visit();
        }
    }
    return part + 1 < N_PARTS ? part + 1 : 0;
}

void
engine_deny(struct engine *engine, struct job *job, struct job_denial *denial)
{
    (void)engine;
    denied[job - jobs]++;
    (void)snprintf(last_violation, sizeof(last_violation), "%s", denial->violation_json);
    (void)snprintf(last_message, sizeof(last_message), "%s", denial->message);
    free(denial->violation_json);
    free(denial);
}

unsigned
sessions_each_of(struct sessions *sessions, unsigned part, void (*visit)(void *arg, struct session *session),
                 void *arg)
{
    (void)sessions;
    for (unsigned n = 0; part == 0 && n < n_sessions; n++) {
        visit(arg, &sessions_of[n]);
    }
    return 0;
}

void
session_end(struct session *session, enum session_reason reason, const char *message)
{
    ended[session - sessions_of]++;
    last_reason = reason;
    (void)snprintf(last_message, sizeof(last_message), "%s", message);
    (void)snprintf(last_violation, sizeof(last_violation), "%s", session->record.violation_json);
}

/* Documents. */

static struct sbx_policy_doc *
compile(const char *text, const char *id, unsigned version)
{
    struct sbx_policy_doc *doc = NULL;
    struct sbx_field_error err;
    json_t *json = NULL;

    if (sbx_json_parse(&json, text, strlen(text), &err) != 0 ||
        sbx_policy_doc_compile(&doc, json, &err) != 0) {
        BAIL_OUT("no policy: %s: %s %s", text, err.field, err.message);
    }
    json_decref(json);
    sbx_policy_doc_name(doc, id, version);
    return doc;
}

#define TARGET(k, n)                                                                                         \
    (struct policy_target)                                                                                   \
    {                                                                                                        \
        .kind = (k), .name = n                                                                               \
    }
#define PYTHON "{\"version\":1,\"languages\":[\"python\"]}"
#define BASH "{\"version\":1,\"languages\":[\"bash\"]}"
#define NOTHING "{\"version\":1,\"languages\":[]}"

static struct governance *
governance_make(void)
{
    struct governance *governance = NULL;

    if (governance_new(&governance, NULL) != 0) {
        BAIL_OUT("no memory");
    }
    return governance;
}

static void
put(struct governance *governance, const char *tenant, const char *id, struct policy_target target,
    const char *text, unsigned version)
{
    if (governance_put(governance, tenant, id, &target, 1, compile(text, id, version)) != 0) {
        BAIL_OUT("no memory");
    }
}

static bool
allows(const struct governance *governance, const char *tenant, const char *template_name,
       const char *language, struct governance_verdict *ret)
{
    const struct governance_who who = {
        .tenant = tenant,
        .app = "web",
        .agent = "coder",
        .template_name = template_name,
    };
    struct sbx_policy_input input = { .kind = SBX_POLICY_JOB };

    (void)snprintf(input.language, sizeof(input.language), "%s", language);
    (void)snprintf(input.template_name, sizeof(input.template_name), "%s", template_name);
    return governance_allows(governance, &who, &input, ret);
}

static void
test_whose(void)
{
    struct governance *governance = governance_make();
    struct governance_verdict verdict;

    ok(allows(governance, "acme", "default", "bash", &verdict), "without documents all is allowed");
    put(governance, "acme", "pol_1", TARGET(POLICY_TARGET_TENANT, ""), PYTHON, 3);
    ok(!allows(governance, "acme", "default", "bash", &verdict), "a tenant's forbids");
    is_str(verdict.violation.rule, "languages", "by a rule");
    is_str(verdict.policy_id, "pol_1", "of a policy");
    is_uint(verdict.policy_version, 3, "in a version");
    ok(allows(governance, "acme", "default", "python", &verdict), "and allows");
    ok(allows(governance, "unknown", "default", "bash", &verdict), "an unknown tenant has none");
    ok(allows(governance, "acm", "default", "bash", &verdict), "nor has one whose name begins like it");
    ok(allows(governance, "", "default", "bash", &verdict), "nor one without a name");
    put(governance, "acme", "pol_1", TARGET(POLICY_TARGET_APP, "batch"), PYTHON, 4);
    ok(allows(governance, "acme", "default", "bash", &verdict), "another app's does not concern it");
    put(governance, "acme", "pol_1", TARGET(POLICY_TARGET_APP, "web"), PYTHON, 5);
    ok(!allows(governance, "acme", "default", "bash", &verdict), "its own app's does");
    is_uint(verdict.policy_version, 5, "in its newest version");
    put(governance, "acme", "pol_1", TARGET(POLICY_TARGET_AGENT, "other"), PYTHON, 6);
    ok(allows(governance, "acme", "default", "bash", &verdict), "another agent's does not");
    put(governance, "acme", "pol_1", TARGET(POLICY_TARGET_AGENT, "coder"), PYTHON, 7);
    ok(!allows(governance, "acme", "default", "bash", &verdict), "its agent's does");
    governance_free(governance);
}

static void
test_templates(void)
{
    struct governance *governance = governance_make();
    struct governance_verdict verdict;

    put(governance, "acme", "pol_t", TARGET(POLICY_TARGET_TEMPLATE, "basic"), PYTHON, 1);
    ok(allows(governance, "acme", "default", "bash", &verdict), "a template's holds for no other");
    ok(!allows(governance, "acme", "basic", "bash", &verdict), "but for it");
    ok(allows(governance, "else", "basic", "bash", &verdict), "not for another tenant's use of it");
    put(governance, "acme", "pol_a", TARGET(POLICY_TARGET_TENANT, ""), BASH, 2);
    ok(!allows(governance, "acme", "basic", "python", &verdict), "it widens nothing");
    is_str(verdict.policy_id, "pol_a", "the tenant's, which comes before it, is blamed");
    ok(!allows(governance, "acme", "basic", "bash", &verdict), "and what that one allows");
    is_str(verdict.policy_id, "pol_t", "the template's may refuse");
    governance_free(governance);
}

static void
test_deletion(void)
{
    struct governance *governance = governance_make();
    struct governance_verdict verdict;
    const struct policy_target *target;
    unsigned n;

    governance_remove(governance, "acme", "pol_1");
    pass("to delete of a tenant that has none changes nothing");
    put(governance, "acme", "pol_1", TARGET(POLICY_TARGET_TENANT, ""), NOTHING, 1);
    put(governance, "acme", "pol_2", TARGET(POLICY_TARGET_TENANT, ""), PYTHON, 1);
    governance_remove(governance, "acme", "pol_3");
    governance_remove(governance, "acme", "");
    governance_remove(governance, "else", "pol_1");
    ok(!allows(governance, "acme", "default", "python", &verdict), "nor does that of another");
    governance_remove(governance, "acme", "pol_1");
    ok(allows(governance, "acme", "default", "python", &verdict), "a deleted one forbids nothing");
    ok(!allows(governance, "acme", "default", "bash", &verdict), "the other still does");
    ok(governance_find(governance, "acme", "pol_1", &target, &n) == NULL, "it is not found");
    ok(governance_find(governance, "acme", "pol_2", &target, &n) != NULL && n == 1, "the other is");
    ok(governance_find(governance, "else", "pol_2", &target, &n) == NULL, "not by another tenant");
    governance_remove(governance, "acme", "pol_2");
    ok(allows(governance, "acme", "default", "bash", &verdict), "without any all is allowed");
    governance_free(governance);
}

static void
test_too_many(void)
{
    struct governance *governance = governance_make();
    struct governance_verdict verdict;
    char id[8];

    for (unsigned i = 0; i < SBX_POLICY_PER_TARGET_MAX; i++) {
        (void)snprintf(id, sizeof(id), "pol_%u", i);
        put(governance, "acme", id, TARGET(POLICY_TARGET_TENANT, ""), BASH, 1);
    }
    ok(allows(governance, "acme", "default", "bash", &verdict), "as many as may apply to one thing");
    put(governance, "acme", "pol_x", TARGET(POLICY_TARGET_TENANT, ""), BASH, 1);
    ok(!allows(governance, "acme", "default", "bash", &verdict), "with one more nothing is allowed");
    ok(verdict.violation.rule[0] != '\0', "which is named: %s", verdict.violation.rule);
    ok(allows(governance, "else", "default", "bash", &verdict), "but of this tenant only");
    put(governance, "acme", "pol_x", TARGET(POLICY_TARGET_APP, "batch"), NOTHING, 2);
    ok(allows(governance, "acme", "default", "bash", &verdict), "moved elsewhere it counts there");
    governance_free(governance);
}

static void
test_operator(void)
{
    struct governance *governance = governance_make();
    struct governance_verdict verdict;
    char id[8];

    if (governance_add_operator(governance, "acme", "", "", compile(PYTHON, "op", 9)) != 0) {
        BAIL_OUT("no memory");
    }
    for (unsigned i = 0; i < SBX_POLICY_PER_TARGET_MAX; i++) {
        (void)snprintf(id, sizeof(id), "pol_%u", i);
        put(governance, "acme", id, TARGET(POLICY_TARGET_TENANT, ""), "{\"version\":1}", 1);
    }
    ok(allows(governance, "acme", "default", "python", &verdict),
       "the operator's takes no place of a tenant's");
    ok(!allows(governance, "acme", "default", "bash", &verdict), "and holds");
    is_str(verdict.policy_id, "op", "by its own name");
    for (unsigned i = 0; i < SBX_POLICY_PER_TARGET_MAX; i++) {
        (void)snprintf(id, sizeof(id), "pol_%u", i);
        governance_remove(governance, "acme", id);
    }
    governance_remove(governance, "acme", "");
    governance_remove(governance, "acme", "op");
    ok(!allows(governance, "acme", "default", "bash", &verdict), "no tenant deletes it");
    governance_free(governance);
}

/* One that is not in force yet, in the place of the one of its id. */
static void
test_draft(void)
{
    const struct governance_who who = {
        .tenant = "acme", .app = "", .agent = "", .template_name = "default"
    };
    struct policy_target target = TARGET(POLICY_TARGET_TENANT, "");
    struct governance *governance = governance_make();
    struct sbx_policy_doc *doc = compile(BASH, "pol_1", 2);
    struct governance_draft draft = { .id = "pol_1", .target = &target, .n_targets = 1, .doc = doc };
    struct governance_layers layers;

    put(governance, "acme", "pol_1", TARGET(POLICY_TARGET_TENANT, ""), PYTHON, 1);
    governance_collect(governance, &who, &draft, &layers);
    ok(layers.n == 1 && layers.doc[0] == doc, "a draft stands in the place of the one it would replace");
    draft.id = "";
    governance_collect(governance, &who, &draft, &layers);
    is_uint(layers.n, 2, "or besides it");
    draft.n_targets = 0;
    governance_collect(governance, &who, &draft, &layers);
    ok(layers.n == 1 && layers.doc[0] != doc, "one that applies to nothing is none");
    free(doc);
    governance_free(governance);
}

/* Asking again. */

static struct enforce *
enforce_make(struct governance *governance)
{
    const struct enforce_spec spec = { .governance = governance };
    struct enforce *enforce = NULL;

    if (enforce_new(&enforce, &spec) != 0) {
        BAIL_OUT("no memory");
    }
    return enforce;
}

static void
live(unsigned n)
{
    memset(jobs, 0, sizeof(jobs));
    memset(denied, 0, sizeof(denied));
    memset(ended, 0, sizeof(ended));
    n_jobs = n;
    n_sessions = 0;
    visited = 0;
    on_visit = NULL;
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(jobs[i].record.tenant, sizeof(jobs[i].record.tenant), "acme");
        (void)snprintf(jobs[i].asked.language, sizeof(jobs[i].asked.language), "bash");
        jobs[i].asked.kind = SBX_POLICY_JOB;
        jobs[i].is_governed = true;
    }
}

static unsigned
count_denied(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < n_jobs; i++) {
        n += denied[i];
    }
    return n;
}

static void
test_batches(struct enforce *enforce)
{
    unsigned most = 0, turns = 0;

    live(JOBS_MAX);
    enforce_again(enforce);
    is_uint(visited, 0, "nobody is asked about inside of the change");
    for (unsigned before = 0; turn(); turns++, before = visited) {
        most = visited - before > most ? visited - before : most;
    }
    is_uint(visited, JOBS_MAX, "each is asked about once");
    is_uint(count_denied(), JOBS_MAX, "and denied once");
    ok(most >= 256 && most < 256 + JOBS_MAX / N_PARTS, "%u in one turn at most", most);
    is_uint(turns, 4, "in so many turns");
    ok(strstr(last_violation, "\"rule\":\"languages\"") != NULL &&
           strstr(last_violation, "\"policy_id\":\"pol_1\"") != NULL &&
           strstr(last_violation, "\"policy_version\":7") != NULL,
       "with rule, policy and version: %s", last_violation);
    is_str(last_message, "policy pol_1, version 7, does not allow it: languages", "in words");
    ok(!turn(), "then there is nothing to do");
}

static void
test_left_alone(struct enforce *enforce)
{
    live(4);
    jobs[0].is_governed = false;
    jobs[1].ended = true;
    (void)snprintf(jobs[2].asked.language, sizeof(jobs[2].asked.language), "python");
    (void)snprintf(jobs[3].record.tenant, sizeof(jobs[3].record.tenant), "else");
    enforce_again(enforce);
    while (turn()) {
    }
    is_uint(visited, 4, "four are asked about");
    is_uint(denied[0], 0, "what the service itself began is left alone");
    is_uint(denied[1], 0, "so is what has ended");
    is_uint(denied[2], 0, "what is allowed");
    is_uint(denied[3], 0, "and what is another tenant's");
}

static struct enforce *to_repeat;

static void
again_once(void)
{
    on_visit = NULL;
    enforce_again(to_repeat);
    enforce_again(to_repeat);
}

static void
test_again(struct enforce *enforce)
{
    live(10);
    to_repeat = enforce;
    on_visit = again_once;
    enforce_again(enforce);
    while (turn()) {
    }
    is_uint(visited, 20, "changes while it is under way: all are asked about once more, not twice");
}

static void
test_sessions(struct enforce *enforce)
{
    struct session_context context = { .language = "bash" };

    live(0);
    memset(sessions_of, 0, sizeof(sessions_of));
    n_sessions = 2;
    for (unsigned i = 0; i < n_sessions; i++) {
        struct session *session = &sessions_of[i];

        list_init(&session->contexts);
        (void)snprintf(session->record.tenant, sizeof(session->record.tenant), "acme");
        (void)snprintf(session->asked.language, sizeof(session->asked.language), "python");
        session->asked.kind = SBX_POLICY_SESSION;
        session->is_governed = true;
        session->record.state = SESSION_RUNNING;
    }
    list_append(&sessions_of[1].contexts, &context.link);
    enforce_again(enforce);
    while (turn()) {
    }
    is_uint(ended[0], 0, "a session that is allowed goes on");
    is_uint(ended[1], 1, "one with an interpreter that is not ends");
    is_int(last_reason, SESSION_POLICY, "for the policy");
    ok(strstr(last_violation, "\"rule\":\"languages\"") != NULL, "by its rule");
    sessions_of[1].record.state = SESSION_ENDED;
    enforce_again(enforce);
    while (turn()) {
    }
    is_uint(ended[1], 1, "once");
    free(sessions_of[1].record.violation_json);
}

int
main(void)
{
    struct governance *governance = governance_make();
    struct enforce *enforce;

    if (log_open(NULL, LOG_LEVEL_WARN) != 0) {
        BAIL_OUT("no log");
    }
    test_whose();
    test_templates();
    test_deletion();
    test_too_many();
    test_operator();
    test_draft();
    put(governance, "acme", "pol_1", TARGET(POLICY_TARGET_TENANT, ""), PYTHON, 7);
    enforce = enforce_make(governance);
    test_batches(enforce);
    test_left_alone(enforce);
    test_again(enforce);
    test_sessions(enforce);
    enforce_free(enforce);
    governance_free(governance);
    return done_testing();
}
