/* Owns the answers that need nobody behind the edge, and the writing of any answer that is sent in one piece. */
#include "ngx_http_sandbox_mcp_edge.h"

#include "lib/sbx_mcp_reply.h"


/* Room for what stands around a result's members. */
#define NGX_HTTP_SANDBOX_MCP_FRAME  1024

static ngx_str_t ngx_http_sandbox_mcp_json = ngx_string("application/json");


/* Begins a result, whose members follow when has_members. */
static void
ngx_http_sandbox_mcp_begin(const ngx_http_sandbox_mcp_t *mcp, struct sbx_buf *out, ngx_flag_t has_members)
{
    const struct sbx_mcp_reply_to to = { .message = &mcp->message, .server_info = mcp->conf->catalogue->server_info };

    if (sbx_mcp_reply_head(out, &to, SBX_MCP_REPLY_COMPLETE) && has_members) {
        sbx_buf_putc(out, ',');
    }
}


static void
ngx_http_sandbox_mcp_free(void *data)
{
    free(data);
}


/* Takes what is in the buffer. */
static ngx_int_t
ngx_http_sandbox_mcp_send(ngx_http_request_t *r, ngx_uint_t status, struct sbx_buf *out)
{
    ngx_pool_cleanup_t *cln;
    ngx_str_t body;

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    body.data = (u_char *) sbx_buf_take(out, &body.len);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    cln->handler = ngx_http_sandbox_mcp_free;
    cln->data = body.data;
    return ngx_http_sandbox_send(r, status, &ngx_http_sandbox_mcp_json, &body);
}


static ngx_int_t
ngx_http_sandbox_mcp_end(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, struct sbx_buf *out)
{
    mcp->outcome = NGX_HTTP_SANDBOX_MCP_RESULT;
    sbx_buf_putc(out, '}');
    sbx_buf_puts(out, sbx_mcp_reply_tail(SBX_MCP_REPLY_COMPLETE));
    return ngx_http_sandbox_mcp_send(r, NGX_HTTP_OK, out);
}


ngx_int_t
ngx_http_sandbox_mcp_send_result(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, const char *members, size_t len)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(NGX_HTTP_SANDBOX_MCP_ANSWER_MAX);

    (void) sbx_buf_reserve(&out, len + NGX_HTTP_SANDBOX_MCP_FRAME); /* its failure is the buffer's */
    ngx_http_sandbox_mcp_begin(mcp, &out, len != 0);
    sbx_buf_append(&out, members, len);
    return ngx_http_sandbox_mcp_end(r, mcp, &out);
}


ngx_int_t
ngx_http_sandbox_mcp_send_error(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, const struct sbx_mcp_error *err)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(NGX_HTTP_SANDBOX_MCP_ANSWER_MAX);

    mcp->outcome = NGX_HTTP_SANDBOX_MCP_ERROR;
    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "sandbox mcp: a message was refused: %d", err->code);
    sbx_mcp_error_write(&out, err);
    return ngx_http_sandbox_mcp_send(r, (ngx_uint_t) err->status, &out);
}


ngx_int_t
ngx_http_sandbox_mcp_send_accepted(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp)
{
    static ngx_str_t nothing = ngx_string("");

    mcp->outcome = NGX_HTTP_SANDBOX_MCP_ACCEPTED;
    return ngx_http_sandbox_send(r, NGX_HTTP_ACCEPTED, &nothing, &nothing);
}


void
ngx_http_sandbox_mcp_error_begin(const ngx_http_sandbox_mcp_t *mcp, struct sbx_mcp_error *err)
{
    ngx_memzero(err, sizeof(*err));
    ngx_memcpy(err->id, mcp->message.id, mcp->message.id_len + 1);
    err->id_len = mcp->message.id_len;
}


static ngx_int_t
ngx_http_sandbox_mcp_send_unknown(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp)
{
    struct sbx_mcp_error err;

    ngx_http_sandbox_mcp_error_begin(mcp, &err);
    sbx_mcp_error_set(&err, mcp->message.era == SBX_MCP_MODERN ? NGX_HTTP_NOT_FOUND : NGX_HTTP_OK, SBX_MCP_METHOD_NOT_FOUND,
                      "Method not found: %s is not answered here", sbx_mcp_method_name(mcp->message.method));
    return ngx_http_sandbox_mcp_send_error(r, mcp, &err);
}


static ngx_int_t
ngx_http_sandbox_mcp_policy_unknown(ngx_http_request_t *r)
{
    struct sbx_problem problem = { .code = SBX_PROBLEM_POLICY_UNKNOWN, .retry_after_s = 1 };
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx_peek(r);

    if (ctx != NULL) {
        ctx->denied = "policy_unknown";
    }
    return ngx_http_sandbox_send_problem(r, &problem);
}


/* tools/list: the same for the same caller, whatever the connection. */
static ngx_int_t
ngx_http_sandbox_mcp_list_tools(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(NGX_HTTP_SANDBOX_MCP_ANSWER_MAX);
    const struct sbx_mcp_catalogue *catalogue = mcp->conf->catalogue;
    size_t len = NGX_HTTP_SANDBOX_MCP_FRAME;
    uint64_t tools;
    ngx_int_t rc;
    unsigned i;

    rc = ngx_http_sandbox_mcp_tools(r, mcp, &tools);
    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? ngx_http_sandbox_mcp_policy_unknown(r) : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    for (i = 0; i < catalogue->n_tools; i++) {
        len += catalogue->tool[i].text_len[mcp->message.era] + 1;
    }
    (void) sbx_buf_reserve(&out, len); /* its failure is the buffer's */
    ngx_http_sandbox_mcp_begin(mcp, &out, 1);
    sbx_mcp_catalogue_tools(catalogue, &out, mcp->message.era, tools);
    return ngx_http_sandbox_mcp_end(r, mcp, &out);
}


/* The lists that are the same for everybody, and what the server is. */
static ngx_int_t
ngx_http_sandbox_mcp_list(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp,
    void (*write)(const struct sbx_mcp_catalogue *catalogue, struct sbx_buf *out, enum sbx_mcp_era era))
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(NGX_HTTP_SANDBOX_MCP_ANSWER_MAX);

    (void) sbx_buf_reserve(&out, 4ul * NGX_HTTP_SANDBOX_MCP_FRAME); /* its failure is the buffer's */
    ngx_http_sandbox_mcp_begin(mcp, &out, 1);
    write(mcp->conf->catalogue, &out, mcp->message.era);
    return ngx_http_sandbox_mcp_end(r, mcp, &out);
}


static void
ngx_http_sandbox_mcp_write_discover(const struct sbx_mcp_catalogue *catalogue, struct sbx_buf *out, enum sbx_mcp_era era)
{
    sbx_mcp_catalogue_discover(catalogue, out);
}


static ngx_int_t
ngx_http_sandbox_mcp_initialize(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(NGX_HTTP_SANDBOX_MCP_ANSWER_MAX);

    ngx_http_sandbox_mcp_begin(mcp, &out, 1);
    sbx_mcp_catalogue_initialize(mcp->conf->catalogue, &out, mcp->message.version);
    return ngx_http_sandbox_mcp_end(r, mcp, &out);
}


/* Arguments that a tool's schema mirrors into headers (x-mcp-header): intermediaries went by them. NGX_OK or NGX_DECLINED with *err. */
static ngx_int_t
ngx_http_sandbox_mcp_check_mirrors(ngx_http_request_t *r, const ngx_http_sandbox_mcp_t *mcp, struct sbx_mcp_error *err)
{
    const struct sbx_mcp_mirror *mirror;
    struct sbx_mcp_header header;
    ngx_table_elt_t *h;
    ngx_str_t name;
    ngx_uint_t n;

    if (mcp->message.era != SBX_MCP_MODERN) {
        return NGX_OK;
    }
    for (mirror = mcp->tool->mirrors; mirror != NULL && mirror->header != NULL; mirror++) {
        name.data = (u_char *) mirror->header;
        name.len = ngx_strlen(mirror->header);
        h = ngx_http_sandbox_header_in(r, &name, &n);
        ngx_memzero(&header, sizeof(header));
        if (h != NULL) {
            header.value = (const char *) h->value.data;
            header.len = h->value.len;
            header.n = (unsigned) n;
        }
        if (!sbx_mcp_header_agrees(&header, json_object_get(mcp->message.arguments, mirror->property))) {
            sbx_mcp_error_set(err, NGX_HTTP_BAD_REQUEST, SBX_MCP_HEADER_MISMATCH,
                              "Header mismatch: %s is not what params.arguments.%s says", mirror->header, mirror->property);
            return NGX_DECLINED;
        }
    }
    return NGX_OK;
}


/* What the catalogue answers itself or has a backend for. All tools are known: one that the caller may not use says why, in its own location. */
static ngx_int_t
ngx_http_sandbox_mcp_ask(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(NGX_HTTP_SANDBOX_MCP_ANSWER_MAX);
    const struct sbx_mcp_catalogue *catalogue = mcp->conf->catalogue;
    const struct sbx_mcp_message *message = &mcp->message;
    struct sbx_mcp_caller caller = { .tools = UINT64_MAX };
    struct sbx_mcp_error err;
    ngx_int_t rc;
    int answer;

    ngx_http_sandbox_mcp_error_begin(mcp, &err);
    if (message->method == SBX_MCP_TOOLS_CALL && message->name != NULL) {
        mcp->tool = sbx_mcp_catalogue_tool(catalogue, message->name, message->name_len);
    }
    if (mcp->tool != NULL && ngx_http_sandbox_mcp_check_mirrors(r, mcp, &err) != NGX_OK) {
        return ngx_http_sandbox_mcp_send_error(r, mcp, &err);
    }

    rc = ngx_http_sandbox_mcp_caller(r, mcp, &caller, &err);
    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? ngx_http_sandbox_mcp_send_error(r, mcp, &err) : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    sbx_mcp_call_init(&mcp->call);
    mcp->called = 1;
    answer = sbx_mcp_catalogue_answer(catalogue, message, &caller, &out, &mcp->call, &err);
    switch (answer) {

    case SBX_MCP_FORWARD:
        return ngx_http_sandbox_mcp_forward(r, mcp);

    case SBX_MCP_REFUSED:
        return ngx_http_sandbox_mcp_send_error(r, mcp, &err);

    case SBX_MCP_ANSWERED:
    case SBX_MCP_TOOL_ERROR:
        if (!message->is_request) {
            return ngx_http_sandbox_mcp_send_accepted(r, mcp);
        }
        rc = ngx_http_sandbox_mcp_send_result(r, mcp, out.data, out.len);
        mcp->outcome = answer == SBX_MCP_TOOL_ERROR ? NGX_HTTP_SANDBOX_MCP_TOOL_ERROR : mcp->outcome;
        return rc;

    default:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
}


ngx_int_t
ngx_http_sandbox_mcp_dispatch(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp)
{
    const struct sbx_mcp_catalogue *catalogue = mcp->conf->catalogue;

    switch (mcp->message.method) {

    case SBX_MCP_DISCOVER:
        return ngx_http_sandbox_mcp_list(r, mcp, ngx_http_sandbox_mcp_write_discover);

    case SBX_MCP_INITIALIZE:
        return ngx_http_sandbox_mcp_initialize(r, mcp);

    case SBX_MCP_PING:
        return ngx_http_sandbox_mcp_send_result(r, mcp, "", 0);

    case SBX_MCP_TOOLS_LIST:
        return ngx_http_sandbox_mcp_list_tools(r, mcp);

    case SBX_MCP_RESOURCES_LIST:
        return ngx_http_sandbox_mcp_list(r, mcp, sbx_mcp_catalogue_resources);

    case SBX_MCP_RESOURCE_TEMPLATES_LIST:
        return ngx_http_sandbox_mcp_list(r, mcp, sbx_mcp_catalogue_templates);

    case SBX_MCP_PROMPTS_LIST:
        return ngx_http_sandbox_mcp_list(r, mcp, sbx_mcp_catalogue_prompts);

    case SBX_MCP_LOGGING_SET_LEVEL:
        return catalogue->legacy_logging ? ngx_http_sandbox_mcp_send_result(r, mcp, "", 0)
                                         : ngx_http_sandbox_mcp_send_unknown(r, mcp);

    case SBX_MCP_RESOURCES_SUBSCRIBE:
    case SBX_MCP_RESOURCES_UNSUBSCRIBE:
        return catalogue->legacy_subscribe ? ngx_http_sandbox_mcp_send_result(r, mcp, "", 0)
                                           : ngx_http_sandbox_mcp_send_unknown(r, mcp);

    case SBX_MCP_TOOLS_CALL:
    case SBX_MCP_RESOURCES_READ:
    case SBX_MCP_PROMPTS_GET:
    case SBX_MCP_COMPLETE:
    case SBX_MCP_TASKS_GET:
    case SBX_MCP_TASKS_UPDATE:
    case SBX_MCP_TASKS_CANCEL:
    case SBX_MCP_CANCELLED:
        return ngx_http_sandbox_mcp_ask(r, mcp);

    case SBX_MCP_LISTEN:
        return ngx_http_sandbox_mcp_listen(r, mcp);

    case SBX_MCP_INITIALIZED:
    case SBX_MCP_NOTIFICATION:
        return ngx_http_sandbox_mcp_send_accepted(r, mcp);

    case SBX_MCP_UNKNOWN:
        break;
    }
    return ngx_http_sandbox_mcp_send_unknown(r, mcp);
}
