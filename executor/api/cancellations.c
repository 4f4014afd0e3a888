/*
 * POST /tools/cancellations: the end of what a call began whose answer nobody waits for any more, by the key that came with the
 * call. The answer is the same whether there was such a call or not.
 */
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/handlers.h"
#include "executor/api/routes.h"
#include "executor/api/tool_keys.h"
#include "executor/api/tool_reply.h"
#include "lib/sbx_json.h"

#define REPLY_MAX 512u

static void
cancel_answer(struct call *call)
{
    static const char text[] = "What the call had begun is ended, if it runs.";
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(REPLY_MAX);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_array(&w, "content");
    tool_text(&w, text, sizeof(text) - 1);
    sbx_jsonw_array_end(&w);
    sbx_jsonw_bool(&w, "isError", false);
    sbx_jsonw_object_end(&w);
    tool_reply(call, NULL, &body);
}

/* NULL: answered. Borrows from *ret. */
static const char *
cancel_key(struct call *call, json_t **ret)
{
    static const char *const known[] = { "key", NULL };
    struct sbx_field_error err = { 0 };
    const char *body, *key = NULL;
    size_t len, key_len = 0;
    int r;

    body = sbx_http_request_body(call->request, &len);
    r = sbx_json_parse(ret, body, len, &err);
    if (r < 0) {
        call_problem_internal(call, r);
        return NULL;
    }
    if (r > 0 && !err.too_large) {
        call_reply_problem(
            call, &(struct sbx_problem){ .code = SBX_PROBLEM_MALFORMED_JSON, .detail = err.message });
        return NULL;
    }
    if (r == 0 && !json_is_object(*ret)) {
        sbx_field_error_set(&err, "", "must be an object");
    } else if (r == 0 && sbx_json_only(*ret, "", known, &err) &&
               sbx_json_get_str(*ret, "", "key", TOOL_KEY_LEN, &key, &key_len, &err)) {
        if (key != NULL && tool_key_valid(key, key_len)) {
            return key;
        }
        sbx_field_error_set(&err, "/key", "must be 32 hex digits");
    }
    err.too_large = false;
    call_problem_field(call, &err);
    return NULL;
}

void
handle_tool_cancel(struct call *call)
{
    _cleanup_(sbx_json_decrefp) json_t *body = NULL;
    const char *key;

    /* Which of them it takes would tell what there is. */
    if (!scope_permits("jobs:write", call->context.scopes) &&
        !scope_permits("sessions:write", call->context.scopes)) {
        call_problem(call, SBX_PROBLEM_FORBIDDEN, "the token's scopes do not allow this");
        return;
    }
    key = cancel_key(call, &body);
    if (key != NULL) {
        (void)tool_keys_cancel(call->api, key, &call->context); /* nobody is told */
        cancel_answer(call);
    }
}
