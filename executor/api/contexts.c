/* The named interpreters of a session. */
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/governed.h"
#include "executor/api/handlers.h"
#include "executor/api/session_answer.h"
#include "executor/api/session_call.h"
#include "executor/api/session_work.h"
#include "executor/runtime/registry.h"

void
handle_context_list(struct call *call)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(SESSION_REPLY_MAX);
    struct session *session = session_call(call, SESSION_CALL_ALIVE);
    struct sbx_jsonw w;

    if (session == NULL) {
        return;
    }
    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_array(&w, "contexts");
    for (struct list *it = session->contexts.next; it != &session->contexts; it = it->next) {
        const struct session_context *context = list_entry(it, struct session_context, link);

        if (session_context_find(session, context->name) == context) {
            context_answer_write(&w, NULL, context);
        }
    }
    sbx_jsonw_array_end(&w);
    sbx_jsonw_object_end(&w);
    call_reply_json(call, 200, NULL, 0, &body);
}

static void
context_answer(struct call *call, const struct session_context *context)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(4096);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &body);
    context_answer_write(&w, NULL, context);
    call_reply_json(call, 201, NULL, 0, &body);
}

static void
context_audit(const struct call *call, const char *kind, const char *name, const char *language)
{
    const struct audit_member members[] = { { .key = "context", .text = name },
                                            { .key = "language", .text = language } };

    call_audit(call, kind, call->id, members, SBX_COUNT(members));
}

static void
context_create(struct call *call, struct session *session)
{
    const char *name = call->work->request.context_name;
    struct sbx_field_error err = { 0 };
    const char *language;
    int r;

    language = *call->spec->language == '\0' ? session->record.language : call->spec->language;
    language = registry_canonical(call->api->spec.languages, language);
    if (language == NULL) {
        sbx_field_error_set(&err, "/language", "is not a language of this executor");
        call_problem_field(call, &err);
        return;
    }
    if (!governed(call,
                  &(struct governed_ask){ .kind = SBX_POLICY_STEP,
                                          .body = call->spec->body,
                                          .language = language,
                                          .template_name = session->record.template_name },
                  NULL)) {
        return;
    }
    r = session_context_add(session, name, language);
    if (r == SESSION_CONTEXT_E_EXISTS) {
        call_problem(call, SBX_PROBLEM_CONFLICT, "there is a context of this name");
    } else if (r == SESSION_CONTEXT_E_FULL) {
        call_problem(call, SBX_PROBLEM_CONFLICT, "the session has as many contexts as it may have");
    } else if (r) {
        call_problem_internal(call, r);
    } else {
        context_audit(call, "context.created", name, language);
        context_answer(call, session_context_find(session, name));
    }
}

void
handle_context_create(struct call *call)
{
    struct session_work *work = session_work(call);
    struct session *session;

    if (work == NULL || !session_request_take(call, context_body_parse, &work->request)) {
        return;
    }
    session = session_call(call, SESSION_CALL_RUNNING);
    if (session != NULL) {
        context_create(call, session);
    }
}

void
handle_context_delete(struct call *call)
{
    struct session *session = session_call(call, SESSION_CALL_RUNNING);
    struct session_context *context;
    const char *language;
    int r;

    if (session == NULL) {
        return;
    }
    context = session_context_find(session, call->sub);
    if (context == NULL) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    language = context->language; /* the registry's: it outlives the context */
    r = session_context_remove(context);
    if (r == 0) {
        context_audit(call, "context.ended", call->sub, language);
        call_reply(call, 204, NULL, NULL, 0, NULL, 0);
    } else if (r == SESSION_CONTEXT_E_BUSY) {
        call_problem(call, SBX_PROBLEM_CONFLICT, "steps of this context run or wait");
    } else {
        call_reply_problem(call,
                           &(struct sbx_problem){ .code = SBX_PROBLEM_UNAVAILABLE, .retry_after_s = 1 });
    }
}
