#include "executor/api/session_call.h"

#include <stdio.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/session_work.h"
#include "executor/core/session_store.h"

struct sessions *
call_sessions(const struct call *call)
{
    return call->api->spec.sessions;
}

void
session_call_gone(struct call *call, const struct session_record *record)
{
    char detail[JOB_MESSAGE_LEN + 64];

    (void)snprintf(detail, sizeof(detail), "%s%s%s", session_reason_text(record->reason),
                   record->message[0] != '\0' ? ": " : "", record->message); /* cut when too long */
    call_reply_problem(call, &(struct sbx_problem){
                                 .code = SBX_PROBLEM_GONE,
                                 .detail = detail,
                                 .reason = session_reason_name(record->reason),
                             });
}

static void
session_call_on_read(struct call *call, int rc, const struct db_result *result)
{
    _cleanup_(session_record_deinitp) struct session_record record = { 0 };
    int r;

    if (rc == 0 && result->n_rows == 0) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    r = rc != 0 ? rc : session_store_load(&record, result, 0);
    if (r) {
        call_problem_internal(call, r > 0 ? -EIO : r);
    } else if (record.state == SESSION_ENDED) {
        session_call_gone(call, &record);
    } else {
        call_reply_problem(call,
                           &(struct sbx_problem){ .code = SBX_PROBLEM_UNAVAILABLE, .retry_after_s = 1 });
    }
}

struct session *
session_call_live(const struct call *call)
{
    return call->id[0] == '\0' ? NULL : sessions_find(call_sessions(call), call->context.tenant, call->id);
}

static void
session_call_wrong_state(struct call *call, const struct session *session)
{
    bool starting = session->record.state == SESSION_STARTING;

    call_reply_problem(call, &(struct sbx_problem){
                                 .code = SBX_PROBLEM_CONFLICT,
                                 .detail = starting ? "the session is starting" : "the session is paused",
                                 .retry_after_s = starting ? 1 : 0,
                             });
}

struct session *
session_call(struct call *call, enum session_call_need need)
{
    const struct db_value values[] = { DB_VTEXT(call->context.tenant), DB_VTEXT(call->id) };
    struct session *session = session_call_live(call);

    if (call->id[0] == '\0') {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return NULL;
    }
    if (session == NULL) {
        call_read(call, DB_SESSION_GET, values, SBX_COUNT(values), session_call_on_read);
        return NULL;
    }
    if (session->record.state == SESSION_ENDED) {
        session_call_gone(call, &session->record);
        return NULL;
    }
    if (need == SESSION_CALL_RUNNING && session->record.state != SESSION_RUNNING) {
        session_call_wrong_state(call, session);
        return NULL;
    }
    return session;
}
