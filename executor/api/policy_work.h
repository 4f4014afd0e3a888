/* What handlers of policies keep between callbacks; let go of when the call ends. And what their files share. */
#pragma once

#include "executor/api/call.h"
#include "executor/api/policy_request.h"
#include "lib/sbx_jsonw.h"

#define POLICY_REPLY_MAX (2u << 20) /* one with its document */

struct policy_work {
    struct policy_record *making;     /* what it is to be; until it was submitted */
    const struct policy_record *sent; /* since; borrows until its callback returns */
    struct policy_record current;     /* as it was found */
    char *message;
    uint32_t wanted; /* version */
};

/* The call's; NULL when there is no memory: then the call was answered. */
struct policy_work *policy_work(struct call *call);
struct policy_work *policy_work_free(struct policy_work *work); /* accepts NULL, returns NULL */

/* Reads the policy of call->id into work->current, then calls `then`, or answers 404. */
void policy_load(struct call *call, void (*then)(struct call *call));
/* The same of one version, which the path names. */
void policy_load_version(struct call *call, uint32_t version, void (*then)(struct call *call));
/* call->sub as a version; 0: it is none. */
uint32_t policy_version_of(const struct call *call);
void policy_write(struct sbx_jsonw *w, const char *key, const struct policy_record *record);
void policy_answer(struct call *call, int status, const struct policy_record *record);
