/* What was refused, in words that a model can act on: one sentence of what, each rule with what was asked for, and what to do next. */
#include "sbx_mcp_reply.h"
#include "sbx_problem.h"

#include <stdio.h>
#include <string.h>

#define MOST_TOLD 16 /* violations, and fields that are wrong */

/* What to do next; the first whose code is the problem's. */
static const struct {
    const char *code;
    const char *next;
} advice[] = {
    { "policy_violation",
      "Change the call so that it keeps to these rules, or do without; asking again unchanged won't help." },
    { "forbidden", "The caller's token does not allow this tool. Tell the user which right is missing." },
    { "not_found", "Ask for the status to see what there is, and use a handle from there." },
    { "gone", "It is over. Ask for the status to see what there is, or begin anew." },
    { "invalid_request", "Correct the argument and call again." },
    { "malformed_json", "Correct the arguments and call again." },
    { "payload_too_large", "Send less, or send it in several calls." },
    { "idempotency_mismatch", "Use another idempotency_key for another call." },
    { "idempotency_in_flight",
      "The first call with this key still runs: wait, then call again with the same key." },
    { "conflict", "Ask for the status, then decide." },
    { "rate_limited", "Wait as long, then call again." },
    { "concurrency_limited", "Let a running call end, then call again." },
    { "tenant_queue_full", "Let running work end, then call again." },
    { "budget_exhausted", "Nothing more can be run before the budget is renewed. Tell the user." },
    { "session_limit", "Close a session that is no longer needed, or use one that status lists." },
    { "step_queue_full", "Let the session's running code end, then call again." },
    { "no_space", "Remove files that are no longer needed, or write less." },
    { "isolation_unavailable", "Ask for another isolation, or none." },
};

static const char *
next_step(const char *code, int status)
{
    unsigned i;

    for (i = 0; i < SBX_COUNT(advice); i++) {
        if (strcmp(advice[i].code, code) == 0) {
            return advice[i].next;
        }
    }
    return status >= 500
               ? "What was begun may have been done all the same: ask for the status before you call again."
               : "Change the call and try again.";
}

/* Members of a document that are told; NULL and 0 for what it does not say. */
struct told {
    const char *title, *detail, *code, *request_id;
    int status;
    json_int_t retry_after_s;
    const json_t *violations, *errors; /* arrays or NULL */
};

static const char *
text_of(const json_t *json, const char *member, const char *fallback)
{
    const char *text = json_string_value(json_object_get(json, member));

    return text != NULL ? text : fallback;
}

static const json_t *
list_of(const json_t *json, const char *member)
{
    const json_t *list = json_object_get(json, member);

    return json_is_array(list) && json_array_size(list) > 0 ? list : NULL;
}

static void
read_problem(struct told *told, const json_t *json, const struct sbx_mcp_reply_to *to,
             const struct sbx_mcp_refusal *refusal)
{
    enum sbx_problem_code code = sbx_problem_by_status(refusal->status);

    memset(told, 0, sizeof(*told));
    told->status = refusal->status;
    told->code = text_of(json, "code", sbx_problem_name(code));
    told->title = text_of(json, "title", sbx_problem_title(code));
    told->detail = text_of(json, "detail", NULL);
    told->request_id = text_of(json, "request_id", to->request_id);
    told->retry_after_s = json_integer_value(json_object_get(json, "retry_after_seconds"));
    if (told->retry_after_s <= 0) {
        told->retry_after_s = refusal->retry_after_s;
    }
    told->violations = list_of(json, "violations");
    told->errors = list_of(json, "errors");
}

static void
put_value(struct sbx_buf *text, const char *before, const json_t *value)
{
    if (value != NULL) {
        sbx_buf_puts(text, before);
        sbx_json_dump(text, value, false);
    }
}

static void
put_violations(struct sbx_buf *text, const json_t *list)
{
    const json_t *item;
    size_t i;

    json_array_foreach (list, i, item) {
        if (i == MOST_TOLD) {
            sbx_buf_puts(text, "- and more\n");
            return;
        }
        sbx_buf_printf(text, "- %s", text_of(item, "rule", "a rule"));
        put_value(text, ": limit ", json_object_get(item, "limit"));
        put_value(text, ", asked for ", json_object_get(item, "observed"));
        sbx_buf_printf(text, ". %s\n", text_of(item, "hint", ""));
    }
}

static void
put_errors(struct sbx_buf *text, const json_t *list)
{
    const json_t *item;
    size_t i;

    json_array_foreach (list, i, item) {
        if (i == MOST_TOLD) {
            sbx_buf_puts(text, "- and more\n");
            return;
        }
        sbx_buf_printf(text, "- %s: %s\n", text_of(item, "field", ""), text_of(item, "message", "is wrong"));
    }
}

static void
put_words(struct sbx_buf *text, const struct told *told)
{
    sbx_buf_printf(text, "%s (%s).", told->title, told->code);
    if (told->detail != NULL) {
        sbx_buf_printf(text, " %s", told->detail);
    }
    sbx_buf_putc(text, '\n');
    put_violations(text, told->violations);
    put_errors(text, told->errors);
    if (told->retry_after_s > 0) {
        sbx_buf_printf(text, "Try again in %lld s.\n", (long long)told->retry_after_s);
    }
    sbx_buf_printf(text, "Next: %s\n", next_step(told->code, told->status));
    if (told->request_id != NULL) {
        sbx_buf_printf(text, "Request id: %s\n", told->request_id);
    }
}

static void
put_list(struct sbx_jsonw *w, const char *key, const json_t *list)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(4ul * SBX_MCP_REPLY_PARSED_MAX);

    if (list == NULL) {
        return;
    }
    sbx_json_dump(&text, list, false);
    if (text.failed) {
        w->buf->failed = true;
        return;
    }
    sbx_jsonw_raw(w, key, text.data, text.len);
}

static void
put_members(struct sbx_jsonw *w, const struct told *told)
{
    sbx_jsonw_str(w, "code", told->code);
    sbx_jsonw_int(w, "status", told->status);
    sbx_jsonw_str(w, "title", told->title);
    if (told->detail != NULL) {
        sbx_jsonw_str(w, "detail", told->detail);
    }
    put_list(w, "violations", told->violations);
    put_list(w, "errors", told->errors);
    if (told->request_id != NULL) {
        sbx_jsonw_str(w, "request_id", told->request_id);
    }
    if (told->retry_after_s > 0) {
        sbx_jsonw_int(w, "retry_after_s", told->retry_after_s);
    }
}

static void
put_tool_result(struct sbx_buf *out, const struct sbx_mcp_reply_to *to, const struct told *told)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(4ul * SBX_MCP_REPLY_PARSED_MAX);
    struct sbx_jsonw w;

    put_words(&text, told);
    if (text.failed) {
        out->failed = true;
        return;
    }
    if (sbx_mcp_reply_head(out, to, SBX_MCP_REPLY_COMPLETE)) {
        sbx_buf_putc(out, ',');
    }
    sbx_buf_puts(out, "\"content\":[");
    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "type", "text");
    sbx_jsonw_strn(&w, "text", text.data, text.len);
    sbx_jsonw_object_end(&w);
    /* Nothing structured: that has to be as the tool's outputSchema says, and clients hold it against it. */
    sbx_buf_puts(out, "],\"isError\":true}}");
}

static int
code_of(const struct sbx_mcp_message *message, int status)
{
    if (status == 404 || status == 410) {
        return message->method == SBX_MCP_RESOURCES_READ && message->era == SBX_MCP_LEGACY
                   ? -32002
                   : SBX_MCP_INVALID_PARAMS;
    }
    return status == 400 || status == 413 || status == 422 ? SBX_MCP_INVALID_PARAMS : SBX_MCP_INTERNAL_ERROR;
}

static void
put_error(struct sbx_buf *out, const struct sbx_mcp_reply_to *to, const struct told *told)
{
    struct sbx_jsonw w;

    (void)sbx_mcp_reply_head(out, to, SBX_MCP_REPLY_ERROR); /* false: an error has no members before these */
    sbx_buf_printf(out, "\"code\":%d,\"message\":", code_of(to->message, told->status));
    sbx_jsonw_init(&w, out);
    sbx_jsonw_str(&w, NULL, told->title);
    sbx_buf_puts(out, ",\"data\":");
    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    if (to->message->method == SBX_MCP_RESOURCES_READ && to->message->name != NULL) {
        sbx_jsonw_strn(&w, "uri", to->message->name, to->message->name_len);
    }
    put_members(&w, told);
    sbx_jsonw_object_end(&w);
    sbx_buf_puts(out, "}}");
}

static void
put_told(struct sbx_buf *out, const struct sbx_mcp_reply_to *to, const struct told *told)
{
    if (to->message->method == SBX_MCP_TOOLS_CALL) {
        put_tool_result(out, to, told);
    } else {
        put_error(out, to, told);
    }
}

void
sbx_mcp_reply_refusal(struct sbx_buf *out, const struct sbx_mcp_reply_to *to,
                      const struct sbx_mcp_refusal *refusal)
{
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    struct sbx_field_error err;
    struct told told;
    int r = 0;

    if (refusal->len > 0 && refusal->len <= SBX_MCP_REPLY_PARSED_MAX) {
        r = sbx_json_parse(&json, refusal->text, refusal->len, &err);
    }
    if (r < 0) {
        out->failed = true;
        return;
    }
    read_problem(&told, json, to, refusal);
    put_told(out, to, &told);
}

void
sbx_mcp_reply_lost(struct sbx_buf *out, const struct sbx_mcp_reply_to *to)
{
    const struct told told = {
        .title = "The answer broke off before it was complete",
        .code = "lost",
        .status = 502,
        .request_id = to->request_id,
    };

    put_told(out, to, &told);
}
