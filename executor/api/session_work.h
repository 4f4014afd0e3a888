/* What handlers of sessions and steps keep between callbacks; let go of when the call ends. */
#pragma once

#include "executor/api/session_request.h"
#include "executor/core/sessions.h"
#include "executor/core/step.h"

struct call;

struct session_work {
    struct waiter *waiter;
    struct session *session; /* live while the waiter is */
    struct step *step;       /* so too */
    struct session_request request;
    struct session_record record; /* read from the database */
    struct step_record step_record;
    void (*loaded)(struct call *call); /* after either was */
};

/* The call's; NULL when there is no memory: then the call was answered. */
struct session_work *session_work(struct call *call);
struct session_work *session_work_free(struct session_work *work); /* accepts NULL, returns NULL */
/* Parses the request's body into call->spec and *ret; false: answered. */
_must_check_ bool session_request_take(struct call *call,
                                       int (*parse)(struct job_spec **ret, struct session_request *ret_more,
                                                    const char *text, size_t len,
                                                    struct sbx_field_error *err),
                                       struct session_request *ret);
/* Reads the session of call->id from the database, then calls `then` with call->work->record filled, or answers 404. */
void session_load(struct call *call, void (*then)(struct call *call));
