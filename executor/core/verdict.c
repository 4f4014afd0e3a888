#include "executor/core/verdict.h"

#include <stdio.h>
#include <string.h>

static void
verdict_say(struct verdict *verdict, enum job_state state, const char *message)
{
    verdict->state = state;
    (void)snprintf(verdict->message, sizeof(verdict->message), "%s", message); /* cut is fine */
}

static void
verdict_limit(struct verdict *verdict, enum sbx_limit violated, uint64_t limit, uint64_t observed)
{
    verdict->state = JOB_LIMIT_EXCEEDED;
    verdict->has_violation = true;
    verdict->violated = violated;
    verdict->limit = limit;
    verdict->observed = observed;
}

static void
verdict_copy_exit(struct verdict *verdict, const struct runtime_outcome *outcome)
{
    if (outcome->exited) {
        verdict->has_exit_code = true;
        verdict->exit_code = outcome->exit_code;
    } else {
        memcpy(verdict->signal, outcome->signal, sizeof(verdict->signal));
    }
}

static void
verdict_agent(struct verdict *verdict, const struct runtime_outcome *outcome)
{
    if (!outcome->exited || outcome->exit_code != 0) {
        verdict_say(verdict, JOB_FAILED, "");
    } else if (outcome->result_error[0] != '\0') {
        verdict_say(verdict, JOB_FAILED, outcome->result_error);
    } else {
        verdict_say(verdict, JOB_SUCCEEDED, "");
    }
}

/*
 * RLIMIT_FSIZE is the disk limit's other face: a sparse file may be larger than the disk and take
 * nothing of it, so the launcher sees no disk that is full.
 */
static bool
outcome_is_file_too_large(const struct runtime_outcome *outcome)
{
    return !outcome->exited && strcmp(outcome->signal, "SIGXFSZ") == 0;
}

static bool
run_went_wrong(int rc, const struct runtime_outcome *outcome)
{
    return rc != 0 || !outcome->exited || outcome->exit_code != 0;
}

static void
verdict_runtime(struct verdict *verdict, const struct verdict_input *input)
{
    const struct runtime_outcome *outcome = input->outcome;
    int rc = input->rc;

    if (outcome->report.host_oom && run_went_wrong(rc, outcome)) {
        verdict_say(verdict, JOB_LOST, "the host ran out of memory");
    } else if (rc == 0 && outcome_is_file_too_large(outcome)) {
        uint64_t limit = input->limits->value[SBX_LIMIT_DISK];

        verdict_limit(verdict, SBX_LIMIT_DISK, limit, limit + 1);
    } else if (rc == 0 && outcome->crowded && run_went_wrong(rc, outcome)) {
        uint64_t limit = input->limits->value[SBX_LIMIT_PROCESSES];

        verdict_limit(verdict, SBX_LIMIT_PROCESSES, limit, limit + 1);
    } else if (rc == 0) {
        verdict_agent(verdict, outcome);
    } else if (rc == RUNTIME_E_REFUSED) {
        verdict_say(verdict, JOB_FAILED, outcome->message);
    } else if (rc == RUNTIME_E_UNAVAILABLE) {
        verdict_say(verdict, JOB_LOST, "sandbox launcher restarted");
    } else if (rc == RUNTIME_E_AGENT) {
        verdict_say(verdict, JOB_LOST, "the sandbox gave no valid answer");
    } else {
        verdict_say(verdict, JOB_LOST, "the sandbox ended before the program did");
    }
}

void
verdict_decide(struct verdict *ret, const struct verdict_input *input)
{
    const struct runtime_outcome *outcome = input->outcome;
    const struct runtime_report *report = outcome == NULL ? NULL : &outcome->report;

    memset(ret, 0, sizeof(*ret));
    if (outcome != NULL && input->rc == 0) {
        verdict_copy_exit(ret, outcome);
    }
    if (report != NULL && report->has_verdict) {
        verdict_limit(ret, report->verdict, report->verdict_limit, report->verdict_observed);
        ret->in_files = report->verdict_files;
    } else if (input->output_exceeded) {
        verdict_limit(ret, SBX_LIMIT_OUTPUT, input->limits->value[SBX_LIMIT_OUTPUT], input->output_bytes);
    } else if (input->denied) {
        verdict_say(ret, JOB_DENIED, "a policy forbids it");
    } else if (input->cancelled) {
        verdict_say(ret, JOB_CANCELLED, "");
    } else if (input->drained) {
        verdict_say(ret, JOB_LOST, "the executor was stopped");
    } else if (input->expired) {
        verdict_say(ret, JOB_TIMED_OUT, "the job waited longer than the queue allows");
    } else if (input->unsupported) {
        verdict_say(ret, JOB_LOST, "no sandbox of this isolation tier can be made here");
    } else if (outcome != NULL) {
        verdict_runtime(ret, input);
    } else {
        verdict_say(ret, JOB_LOST, "the sandbox gave no answer");
    }
}

void
violation_write(struct sbx_jsonw *w, const char *key, const struct verdict *verdict)
{
    static const char *const hints[SBX_N_LIMITS] = {
        [SBX_LIMIT_CPU_RATE] = "",
        [SBX_LIMIT_CPU] = "compute less or ask for more limits.cpu_time",
        [SBX_LIMIT_MEMORY] = "hold less in memory and files or ask for more limits.memory",
        [SBX_LIMIT_DISK] = "write less or ask for more limits.disk",
        [SBX_LIMIT_PROCESSES] = "start fewer processes and threads or ask for more limits.processes",
        [SBX_LIMIT_TIME] = "finish sooner or ask for more time: limits.time of a job, timeout of a step",
        [SBX_LIMIT_OUTPUT] = "print less, or write to a file and declare it in artifacts",
    };
    const char *hint = verdict->in_files ? "keep fewer files and directories: limit and observed count them"
                                         : hints[verdict->violated];
    char rule[48];

    (void)snprintf(rule, sizeof(rule), "limits.%s", sbx_limit_key(verdict->violated)); /* keys are short */
    sbx_jsonw_object(w, key);
    sbx_jsonw_str(w, "rule", rule);
    sbx_jsonw_str(w, "name", sbx_limit_verdict(verdict->violated));
    sbx_jsonw_uint(w, "limit", verdict->limit);
    sbx_jsonw_uint(w, "observed", verdict->observed);
    sbx_jsonw_str(w, "hint", hint);
    sbx_jsonw_object_end(w);
}
