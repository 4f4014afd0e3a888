/* GET /tools/complete: the tenant's ids that begin so, for who types one. Of sessions those that live, of jobs the newest. */
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/handlers.h"
#include "executor/api/listing.h"
#include "executor/api/routes.h"
#include "executor/api/session_call.h"
#include "executor/api/tool_reply.h"

#define COMPLETE_VALUES 100u /* that an answer may have */
#define COMPLETE_JOBS 1000   /* of the newest that are looked at */
#define REPLY_MAX 65536u

enum complete_kind { COMPLETE_SESSION, COMPLETE_JOB };

struct completion {
    const struct call *call;
    char prefix[SBX_ID_LEN + 2]; /* one byte more than any id */
    unsigned n;                  /* that there are */
    const struct session_record *session[COMPLETE_VALUES];
};

static bool
complete_kind(struct call *call, enum complete_kind *ret)
{
    char text[16];

    if (call_param(call, "kind", text, sizeof(text)) == CALL_PARAM_FINE) {
        *ret = strcmp(text, "job") == 0 ? COMPLETE_JOB : COMPLETE_SESSION;
        if (*ret == COMPLETE_JOB || strcmp(text, "session") == 0) {
            return true;
        }
    }
    return listing_bad(call, "kind", "must be session or job");
}

/* What is longer than an id, or has what none has, begins none. */
static void
complete_prefix(const struct call *call, char out[SBX_ID_LEN + 2])
{
    enum call_param has = call_param(call, "value", out, SBX_ID_LEN + 2);

    if (has == CALL_PARAM_ABSENT) {
        out[0] = '\0';
    } else if (has == CALL_PARAM_BAD || strspn(out, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(out)) {
        memcpy(out, "-", 2);
    }
}

static void
answer_begin(struct sbx_jsonw *w, struct sbx_buf *body)
{
    sbx_jsonw_init(w, body);
    sbx_jsonw_object(w, NULL);
    sbx_jsonw_object(w, "completion");
    sbx_jsonw_array(w, "values");
}

static void
answer_end(struct call *call, struct sbx_jsonw *w, unsigned total)
{
    sbx_jsonw_array_end(w);
    sbx_jsonw_uint(w, "total", total);
    sbx_jsonw_bool(w, "hasMore", total > COMPLETE_VALUES);
    sbx_jsonw_object_end(w);
    sbx_jsonw_object_end(w);
    tool_reply(call, NULL, w->buf);
}

static void
visit_session(void *arg, struct session *session)
{
    struct completion *completion = arg;
    const struct session_record *record = &session->record;
    unsigned i;

    if (record->state == SESSION_ENDED || !session->accepted || session->refused ||
        strcmp(record->tenant, completion->call->context.tenant) != 0 ||
        strncmp(record->id.text, completion->prefix, strlen(completion->prefix)) != 0) {
        return;
    }
    /* Ids are in the order of births: the newest first, and the oldest falls out. */
    i = completion->n < COMPLETE_VALUES ? completion->n : COMPLETE_VALUES - 1;
    if (completion->n >= COMPLETE_VALUES && strcmp(record->id.text, completion->session[i]->id.text) < 0) {
        completion->n++;
        return;
    }
    for (; i > 0 && strcmp(record->id.text, completion->session[i - 1]->id.text) > 0; i--) {
        completion->session[i] = completion->session[i - 1];
    }
    completion->session[i] = record;
    completion->n++;
}

static void
complete_sessions(struct call *call)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(REPLY_MAX);
    struct completion completion = { .call = call };
    struct sbx_jsonw w;

    complete_prefix(call, completion.prefix);
    sessions_each(call_sessions(call), visit_session, &completion);
    answer_begin(&w, &body);
    for (unsigned i = 0; i < completion.n && i < COMPLETE_VALUES; i++) {
        sbx_jsonw_str(&w, NULL, completion.session[i]->id.text);
    }
    answer_end(call, &w, completion.n);
}

static void
jobs_on_read(struct call *call, int rc, const struct db_result *result)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(REPLY_MAX);
    struct sbx_jsonw w;

    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
        return;
    }
    answer_begin(&w, &body);
    for (unsigned i = 0; i < result->n_rows && i < COMPLETE_VALUES; i++) {
        sbx_jsonw_str(&w, NULL, db_at(result, i, 0)->data);
    }
    answer_end(call, &w, result->n_rows);
}

static void
complete_jobs(struct call *call)
{
    char prefix[SBX_ID_LEN + 2];

    complete_prefix(call, prefix);
    const struct db_value values[] = { DB_VTEXT(call->context.tenant), DB_VTEXT(prefix),
                                       DB_VINT(COMPLETE_JOBS) };

    call_read(call, DB_JOB_COMPLETE, values, SBX_COUNT(values), jobs_on_read);
}

void
handle_tool_complete(struct call *call)
{
    enum complete_kind kind = COMPLETE_SESSION;

    if (!complete_kind(call, &kind)) {
        return;
    }
    if (!scope_permits(kind == COMPLETE_JOB ? "jobs:read" : "sessions:read", call->context.scopes)) {
        call_problem(call, SBX_PROBLEM_FORBIDDEN, "the token's scopes do not allow this");
    } else if (kind == COMPLETE_JOB) {
        complete_jobs(call);
    } else {
        complete_sessions(call);
    }
}
