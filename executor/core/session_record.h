/* What is known of a session: the form that a live one, a row of the database and every reply share. */
#pragma once

#include "executor/core/job_record.h"
#include "executor/core/session_state.h"

struct session_record {
    struct sbx_id id;
    enum session_state state;
    enum session_reason reason;
    char tenant[SBX_NAME_MAX + 1];
    char app[SBX_NAME_MAX + 1];
    char agent[SBX_NAME_MAX + 1];
    char subject[SBX_SUBJECT_MAX + 1];
    char request_id[SBX_NAME_MAX + 1];
    char language[JOB_LANGUAGE_LEN];
    char template_name[JOB_TEMPLATE_LEN];
    enum sbx_isolation isolation;
    uint64_t created_ms, started_ms, ended_ms; /* Unix; 0: not yet */
    uint64_t expires_ms;                       /* Unix */
    uint64_t idle_expires_ms;                  /* Unix; 0: it is not idle, or not alive */
    uint64_t ttl_ms, idle_timeout_ms, max_lifetime_ms, step_timeout_ms;
    uint64_t n_steps;     /* all there ever were */
    char *limits_json;    /* object */
    char *metadata_json;  /* object; NULL: none */
    char *violation_json; /* object */
    char *usage_json;     /* object */
    char message[JOB_MESSAGE_LEN];
};

void session_record_deinit(struct session_record *record);
static inline void
session_record_deinitp(struct session_record *record)
{
    session_record_deinit(record);
}
