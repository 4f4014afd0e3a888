/*
 * How something was asked for, and by whom: what an audit event says of that, kept with what outlives its request.
 * Copies of a verified context: bounded and of its character sets.
 */
#pragma once

#include "lib/sbx_context.h"

/* Besides application, agent and subject, which records have. */
struct audit_means {
    char token_id[SBX_SUBJECT_MAX + 1];
    char client[48];
    char trace[33]; /* 32 hex digits, or "" */
    char tool[SBX_NAME_MAX + 1];
    char policy_id[SBX_NAME_MAX + 1];
    uint32_t policy_version;
    uint64_t policy_revision;
    uint64_t keep_ms; /* of the policy: so long is an event's body kept; 0: it does not say */
    bool bypass;
};
void audit_means_take(struct audit_means *ret, const struct sbx_context *context);

/* All of one who asked for something later: for an end, a pause. */
struct audit_asker {
    char app[SBX_NAME_MAX + 1], agent[SBX_NAME_MAX + 1], subject[SBX_SUBJECT_MAX + 1],
        request_id[SBX_NAME_MAX + 1];
    struct audit_means means;
    const char *reason; /* why, when nobody asked for just that; constant text, NULL: it was asked for */
};
/* malloc'd; NULL without memory: the event is made without. */
struct audit_asker *audit_asker_new(const struct sbx_context *context, const char *reason);
