/*
 * From a message to the request of a tool's internal location: another method, path and body, and the phases once more, so that whatever
 * decides on the REST request decides on this one, by the same names. And what a client brings back or names of earlier calls.
 */
#include "ngx_http_sandbox_mcp_forward.h"

#include "lib/sbx_crypto.h"
#include "lib/sbx_time.h"


#define NGX_HTTP_SANDBOX_MCP_KEY_LEN    32
#define NGX_HTTP_SANDBOX_MCP_TYPE       "application/vnd.sandbox.tool+json"
/* Of tenant, app, agent and subject, between which stands what no name has. */
#define NGX_HTTP_SANDBOX_MCP_PRINCIPAL  (sizeof(((struct sbx_context *) 0)->tenant) + sizeof(((struct sbx_context *) 0)->app)  \
                                         + sizeof(((struct sbx_context *) 0)->agent)                                          \
                                         + sizeof(((struct sbx_context *) 0)->subject) + 4)


static ngx_int_t ngx_http_sandbox_mcp_call_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);


#define OF_CALL(member)  offsetof(ngx_http_sandbox_mcp_forward_t, member)

static ngx_http_variable_t ngx_http_sandbox_mcp_call_variables[] = {

    { ngx_string("sandbox_mcp_uri"), NULL, ngx_http_sandbox_mcp_call_variable, OF_CALL(uri), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sandbox_mcp_call"), NULL, ngx_http_sandbox_mcp_call_variable, OF_CALL(call), NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};

#undef OF_CALL


static ngx_int_t
ngx_http_sandbox_mcp_call_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_sandbox_mcp_t *mcp = ngx_http_sandbox_mcp(r);
    ngx_str_t *text;

    if (mcp == NULL || mcp->forward == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }
    text = (ngx_str_t *) ((u_char *) mcp->forward + data);
    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;
    v->data = text->data;
    v->len = text->len;
    return NGX_OK;
}


ngx_int_t
ngx_http_sandbox_mcp_call_add_variables(ngx_conf_t *cf)
{
    return ngx_http_sandbox_add_variables(cf, ngx_http_sandbox_mcp_call_variables);
}


static void
ngx_http_sandbox_mcp_forward_cleanup(void *data)
{
    ngx_http_sandbox_mcp_forward_t *forward = data;

    forward->stream = sbx_mcp_stream_free(forward->stream);
    sbx_buf_deinit(&forward->text);
}


/* Whose the request is, in one text. */
static const char *
ngx_http_sandbox_mcp_principal(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx_peek(r);
    u_char *text, *end;

    text = ctx == NULL ? NULL : ngx_pnalloc(r->pool, NGX_HTTP_SANDBOX_MCP_PRINCIPAL);
    if (text == NULL) {
        return NULL;
    }
    end = ngx_snprintf(text, NGX_HTTP_SANDBOX_MCP_PRINCIPAL - 1, "%s\x1f%s\x1f%s\x1f%s", ctx->context.tenant, ctx->context.app,
                       ctx->context.agent, ctx->context.subject);
    *end = '\0';
    return (char *) text;
}


/* One keeper for a worker's life: the key is that of the configuration it began with. */
static struct sbx_mcp_state_keeper *
ngx_http_sandbox_mcp_keeper(ngx_http_request_t *r)
{
    static struct sbx_mcp_state_keeper *keeper;
    static const ngx_str_t *owner;
    const ngx_str_t *key = ngx_http_sandbox_context_key(r);

    if (keeper != NULL && owner != key) {
        keeper = sbx_mcp_state_keeper_free(keeper);
    }
    if (keeper == NULL && (key->len == 0 || sbx_mcp_state_keeper_new(&keeper, key->data, key->len) != 0)) {
        return NULL;
    }
    owner = key;
    return keeper;
}


/* What is asked, in one spelling. A state holds for the same alone. */
static ngx_int_t
ngx_http_sandbox_mcp_digest(enum sbx_mcp_method method, const char *name, size_t name_len, const json_t *arguments,
    char ret[SBX_SHA256_HEX])
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(NGX_HTTP_SANDBOX_MCP_ANSWER_MAX * 16);
    uint8_t digest[SBX_SHA256_LEN];

    sbx_buf_puts(&text, sbx_mcp_method_name(method));
    sbx_buf_putc(&text, '\n');
    if (name != NULL) {
        sbx_buf_append(&text, name, name_len);
    }
    sbx_buf_putc(&text, '\n');
    if (arguments != NULL) {
        sbx_json_dump(&text, arguments, true);
    }
    if (text.failed || sbx_sha256(text.data, text.len, digest) != 0) {
        return NGX_ERROR;
    }
    sbx_hex(ret, digest, sizeof(digest));
    return NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_mcp_digest_message(const struct sbx_mcp_message *message, char ret[SBX_SHA256_HEX])
{
    return ngx_http_sandbox_mcp_digest(message->method, message->name, message->name_len, message->arguments, ret);
}


/* The same of a call whose JSON was let go, by its text, which was taken as a message before. */
static ngx_int_t
ngx_http_sandbox_mcp_digest_text(enum sbx_mcp_method method, const ngx_str_t *text, char ret[SBX_SHA256_HEX])
{
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    struct sbx_field_error err;
    const json_t *params, *name, *arguments;

    if (sbx_json_parse(&json, (char *) text->data, text->len, &err) != 0) {
        return NGX_ERROR;
    }
    params = json_object_get(json, "params");
    name = json_object_get(params, "name");
    arguments = json_object_get(params, "arguments");
    return ngx_http_sandbox_mcp_digest(method, json_string_value(name), json_string_length(name),
                                       json_is_null(arguments) ? NULL : arguments, ret);
}


ngx_int_t
ngx_http_sandbox_mcp_forward_asked(const ngx_http_sandbox_mcp_t *mcp, ngx_http_sandbox_mcp_forward_t *forward)
{
    ngx_int_t rc;

    if (forward->request.len != 0 || !sbx_mcp_reply_may_be(&mcp->message, SBX_MCP_REPLY_INPUT_REQUIRED)) {
        return NGX_OK;
    }
    if (mcp->message.json != NULL) {
        rc = ngx_http_sandbox_mcp_digest_message(&mcp->message, forward->request_text);
    } else {
        rc = ngx_http_sandbox_mcp_digest_text(mcp->message.method, &forward->asked, forward->request_text);
    }
    if (rc == NGX_OK) {
        forward->request.len = ngx_strlen(forward->request_text);
    }
    return rc;
}


/* Keeps the message's text in reach, where nginx has it for as long as the request lives; otherwise the digest is made at once. */
static ngx_int_t
ngx_http_sandbox_mcp_keep_asked(ngx_http_request_t *r, const ngx_http_sandbox_mcp_t *mcp, ngx_http_sandbox_mcp_forward_t *forward)
{
    ngx_chain_t *bufs = r->request_body == NULL ? NULL : r->request_body->bufs;

    if (bufs == NULL || bufs->next != NULL || !ngx_buf_in_memory(bufs->buf)) {
        return ngx_http_sandbox_mcp_forward_asked(mcp, forward);
    }
    forward->asked.data = bufs->buf->pos;
    forward->asked.len = bufs->buf->last - bufs->buf->pos;
    return NGX_OK;
}


/* NGX_OK; NGX_DECLINED with *err: the state was not given to this caller for this, or is too old; NGX_ERROR. */
static ngx_int_t
ngx_http_sandbox_mcp_open_state(ngx_http_request_t *r, const ngx_http_sandbox_mcp_t *mcp, const char *principal, const char **ret,
    struct sbx_mcp_error *err)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf plain = SBX_BUF_INIT(SBX_MCP_STATE_MAX);
    struct sbx_mcp_state_keeper *keeper = ngx_http_sandbox_mcp_keeper(r);
    const char *sealed = mcp->message.request_state;
    char digest[SBX_SHA256_HEX];
    struct sbx_buf request = SBX_BUF_OVER(digest);
    u_char *text;
    int rc;

    if (keeper == NULL || ngx_http_sandbox_mcp_digest_message(&mcp->message, digest) != NGX_OK) {
        return NGX_ERROR;
    }
    request.len = ngx_strlen(digest);

    rc = sbx_mcp_state_open(keeper, &plain, principal, &request, sealed, ngx_strlen(sealed), sbx_now_unix_ms());
    if (rc == -EBADMSG) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "event=mcp.state a requestState was refused");
        ngx_http_sandbox_mcp_error_begin(mcp, err);
        sbx_mcp_error_set(err, NGX_HTTP_OK, SBX_MCP_INVALID_PARAMS,
                          "Invalid params: requestState is not valid for this request, or has expired");
        return NGX_DECLINED;
    }
    if (rc != 0 || plain.failed) {
        return NGX_ERROR;
    }
    text = ngx_pnalloc(r->pool, plain.len + 1);
    if (text == NULL) {
        return NGX_ERROR;
    }
    ngx_memcpy(text, plain.data == NULL ? "" : plain.data, plain.len);
    text[plain.len] = '\0';
    *ret = (char *) text;
    return NGX_OK;
}


/*
 * The name under which a call can be cancelled from another connection: of the caller and the JSON text of the request's id. NULL without
 * memory.
 */
static const char *
ngx_http_sandbox_mcp_cancel_key(ngx_http_request_t *r, const char *principal, const char *id)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(NGX_HTTP_SANDBOX_MCP_PRINCIPAL + SBX_MCP_ID_MAX + 32);
    const ngx_str_t *key = ngx_http_sandbox_context_key(r);
    uint8_t mac[SBX_SHA256_LEN];
    u_char *hex;

    /* No context begins so: what is signed with this key elsewhere can't be taken for it. */
    sbx_buf_printf(&text, "mcp.cancel\n%s\n%s", principal, id);
    hex = ngx_pnalloc(r->pool, NGX_HTTP_SANDBOX_MCP_KEY_LEN + 1);
    if (hex == NULL || text.failed || key->len == 0 || sbx_hmac_sha256(key->data, key->len, text.data, text.len, mac) != 0) {
        return NULL;
    }
    sbx_hex((char *) hex, mac, NGX_HTTP_SANDBOX_MCP_KEY_LEN / 2);
    return (char *) hex;
}


ngx_int_t
ngx_http_sandbox_mcp_caller(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, struct sbx_mcp_caller *ret,
    struct sbx_mcp_error *err)
{
    const char *principal;

    ret->state = NULL;
    ret->cancel_key = NULL;
    if (mcp->message.request_state == NULL && mcp->message.cancels[0] == '\0') {
        return NGX_OK;
    }
    principal = ngx_http_sandbox_mcp_principal(r);
    if (principal == NULL) {
        return NGX_ERROR;
    }
    if (mcp->message.cancels[0] != '\0') {
        ret->cancel_key = ngx_http_sandbox_mcp_cancel_key(r, principal, mcp->message.cancels);
        if (ret->cancel_key == NULL) {
            return NGX_ERROR;
        }
    }
    return mcp->message.request_state == NULL ? NGX_OK : ngx_http_sandbox_mcp_open_state(r, mcp, principal, &ret->state, err);
}


/* Whether the client takes events. Weights are not asked: who names the type reads it. */
static ngx_flag_t
ngx_http_sandbox_mcp_takes_events(ngx_http_request_t *r)
{
    static ngx_str_t name = ngx_string("accept");
    const size_t len = sizeof("text/event-stream") - 1;
    ngx_list_part_t *part;
    ngx_table_elt_t *h;
    ngx_uint_t i;

    for (part = &r->headers_in.headers.part; part != NULL; part = part->next) {
        h = part->elts;
        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == name.len && ngx_strncasecmp(h[i].key.data, name.data, name.len) == 0
                && ngx_strlcasestrn(h[i].value.data, h[i].value.data + h[i].value.len, (u_char *) "text/event-stream", len - 1) != NULL)
            {
                return 1;
            }
        }
    }
    return 0;
}


/* What the backend is told of the call: docs/mcp.md, "Backends". */
static ngx_int_t
ngx_http_sandbox_mcp_describe(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, ngx_http_sandbox_mcp_forward_t *forward)
{
    const struct sbx_mcp_message *message = &mcp->message;
    ngx_flag_t modern = message->era == SBX_MCP_MODERN;
    const char *key;
    u_char *p;

    p = ngx_pnalloc(r->pool, sizeof("modern, task, cancel, progress, key=") + NGX_HTTP_SANDBOX_MCP_KEY_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }
    forward->call.data = p;
    p = ngx_cpymem(p, modern ? "modern" : "legacy", 6);
    if (modern && mcp->call.tool != NULL && mcp->call.tool->answers_tasks && (message->can & SBX_MCP_CAN_TASKS) != 0) {
        p = ngx_cpymem(p, ", task", 6);
    }
    if (modern && message->method == SBX_MCP_TOOLS_CALL) {
        p = ngx_cpymem(p, ", cancel", 8);
    }
    if (message->progress[0] != '\0') {
        p = ngx_cpymem(p, ", progress", 10);
    }
    if (!modern && message->method == SBX_MCP_TOOLS_CALL) {
        key = ngx_http_sandbox_mcp_cancel_key(r, forward->to.principal, message->id);
        if (key == NULL) {
            return NGX_ERROR;
        }
        p = ngx_cpymem(p, ", key=", 6);
        p = ngx_cpymem(p, key, NGX_HTTP_SANDBOX_MCP_KEY_LEN);
    }
    forward->call.len = p - forward->call.data;

    forward->wants_stream = message->is_request && (mcp->call.stream || message->progress[0] != '\0')
                            && ngx_http_sandbox_mcp_takes_events(r);
    if (forward->wants_stream) {
        ngx_str_set(&forward->accept, NGX_HTTP_SANDBOX_MCP_TYPE ", text/event-stream");
    } else {
        ngx_str_set(&forward->accept, NGX_HTTP_SANDBOX_MCP_TYPE);
    }
    return NGX_OK;
}


/* Of a line of a request that we write: nothing that could end it. The catalogue looks to that; this is the place where it would matter. */
static ngx_flag_t
ngx_http_sandbox_mcp_fits_line(const struct sbx_buf *text, u_char least)
{
    size_t i;
    u_char c;

    for (i = 0; i < text->len; i++) {
        c = (u_char) text->data[i];
        if (c < least || c > 0x7e) {
            return 0;
        }
    }
    return 1;
}


static ngx_http_sandbox_mcp_forward_t *
ngx_http_sandbox_mcp_forward_create(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp)
{
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx(r);
    ngx_http_sandbox_mcp_forward_t *forward;
    ngx_pool_cleanup_t *cln;

    cln = ctx == NULL ? NULL : ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_sandbox_mcp_forward_t));
    if (cln == NULL) {
        return NULL;
    }
    forward = cln->data;
    ngx_memzero(forward, sizeof(ngx_http_sandbox_mcp_forward_t));
    cln->handler = ngx_http_sandbox_mcp_forward_cleanup;
    forward->text.max = SBX_MCP_REPLY_PARSED_MAX;
    forward->http_version = r->http_version;

    forward->uri.data = (u_char *) mcp->call.path.data;
    forward->uri.len = mcp->call.path.len;
    forward->idempotency_key.data = (u_char *) mcp->call.idempotency_key.data;
    forward->idempotency_key.len = mcp->call.idempotency_key.len;

    forward->request.data = forward->request_text;
    forward->to.message = &mcp->message;
    forward->to.server_info = mcp->conf->catalogue->server_info;
    forward->to.members = mcp->call.members;
    forward->to.keeper = ngx_http_sandbox_mcp_keeper(r);
    forward->to.principal = ngx_http_sandbox_mcp_principal(r);
    forward->to.request = &forward->request;
    forward->to.request_id = ctx->context.request_id;
    if (forward->to.keeper == NULL || forward->to.principal == NULL) {
        return NULL;
    }
    if (ngx_http_sandbox_mcp_keep_asked(r, mcp, forward) != NGX_OK) {
        return NULL;
    }
    return ngx_http_sandbox_mcp_describe(r, mcp, forward) == NGX_OK ? forward : NULL;
}


static ngx_int_t
ngx_http_sandbox_mcp_set_method(ngx_http_request_t *r, const char *name)
{
    static const struct { ngx_uint_t method; ngx_str_t name; } methods[] = {
        { NGX_HTTP_GET, ngx_string("GET") },
        { NGX_HTTP_POST, ngx_string("POST") },
        { NGX_HTTP_PUT, ngx_string("PUT") },
        { NGX_HTTP_PATCH, ngx_string("PATCH") },
        { NGX_HTTP_DELETE, ngx_string("DELETE") }
    };
    ngx_uint_t i;

    for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (ngx_strcmp(methods[i].name.data, name) == 0) {
            r->method = methods[i].method;
            r->method_name = methods[i].name;
            return NGX_OK;
        }
    }
    return NGX_ERROR;
}


/*
 * The request has this header once, or not at all when the value is empty. In place: nginx and others keep pointers to the elements.
 */
static ngx_int_t
ngx_http_sandbox_mcp_set_header(ngx_http_request_t *r, const char *name, const char *lowcase, const ngx_str_t *value)
{
    size_t len = ngx_strlen(name);
    ngx_flag_t found = value->len == 0;
    ngx_list_part_t *part;
    ngx_table_elt_t *h;
    ngx_uint_t i;

    for (part = &r->headers_in.headers.part; part != NULL; part = part->next) {
        h = part->elts;
        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len != len || ngx_strncasecmp(h[i].key.data, (u_char *) name, len) != 0) {
                continue;
            }
            h[i].value.data = (u_char *) "";
            h[i].value.len = 0;
            if (!found) {
                h[i].value = *value;
                found = 1;
            }
        }
    }
    if (found) {
        return NGX_OK;
    }
    h = ngx_list_push(&r->headers_in.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }
    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = len;
    h->lowcase_key = (u_char *) lowcase;
    h->value = *value;
    return NGX_OK;
}


/* What the client said of its message, or asks of the bytes of a representation, is not said of the call. */
static ngx_int_t
ngx_http_sandbox_mcp_set_headers(ngx_http_request_t *r, ngx_http_sandbox_mcp_forward_t *forward, ngx_flag_t has_body)
{
    static const char *const others[][2] = {
        { "Content-Range", "content-range" },
        { "If-Match", "if-match" },
        { "If-None-Match", "if-none-match" },
        { "If-Range", "if-range" },
        { "If-Modified-Since", "if-modified-since" },
        { "If-Unmodified-Since", "if-unmodified-since" },
        { "Last-Event-ID", "last-event-id" },
        { "Range", "range" }
    };
    static const ngx_str_t json = ngx_string("application/json"), nothing = ngx_string("");
    ngx_uint_t i;

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (ngx_http_sandbox_mcp_set_header(r, others[i][0], others[i][1], &nothing) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    r->headers_in.if_modified_since = NULL;
    r->headers_in.if_unmodified_since = NULL;
    r->headers_in.if_match = NULL;
    r->headers_in.if_none_match = NULL;
    r->headers_in.if_range = NULL;
    r->headers_in.range = NULL;

    if (ngx_http_sandbox_mcp_set_header(r, "Content-Type", "content-type", has_body ? &json : &nothing) != NGX_OK
        || ngx_http_sandbox_mcp_set_header(r, "Idempotency-Key", "idempotency-key", &forward->idempotency_key) != NGX_OK)
    {
        return NGX_ERROR;
    }
    return ngx_http_sandbox_mcp_set_header(r, "Accept", "accept", &forward->accept);
}


/* The body that the phases see, and that goes on, is the call's. */
static ngx_int_t
ngx_http_sandbox_mcp_set_body(ngx_http_request_t *r, const struct sbx_buf *text)
{
    ngx_http_request_body_t *body;
    ngx_buf_t *b;

    body = ngx_pcalloc(r->pool, sizeof(ngx_http_request_body_t));
    if (body == NULL) {
        return NGX_ERROR;
    }
    if (text->len != 0) {
        b = ngx_calloc_buf(r->pool);
        body->bufs = ngx_alloc_chain_link(r->pool);
        if (b == NULL || body->bufs == NULL) {
            return NGX_ERROR;
        }
        b->start = (u_char *) text->data;
        b->pos = b->start;
        b->last = b->start + text->len;
        b->end = b->last;
        b->memory = 1;
        b->last_buf = 1;
        body->bufs->buf = b;
        body->bufs->next = NULL;
    }
    r->request_body = body;
    r->request_body_no_buffering = 0;
    r->headers_in.content_length = NULL;
    r->headers_in.content_length_n = text->len != 0 || r->method != NGX_HTTP_GET ? (off_t) text->len : -1;
    r->headers_in.chunked = 0;
    return NGX_OK;
}


/* The second pass decides anew, by the location's names; who was charged for the message is not charged for it again. */
static void
ngx_http_sandbox_mcp_begin_again(ngx_http_sandbox_ctx_t *ctx)
{
    ctx->route = NULL;
    ctx->policy = NULL;
    ctx->decision = NULL;
    ctx->opa = NULL;
    ctx->again = ctx->limited;
    ctx->limited = 0;
}


ngx_int_t
ngx_http_sandbox_mcp_forward(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp)
{
    const struct sbx_mcp_call *call = &mcp->call;
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx(r);
    ngx_http_sandbox_mcp_forward_t *forward;
    ngx_str_t location;

    if (ctx == NULL || call->path.len == 0 || call->path.data[0] != '/' || call->path.failed || call->body.failed
        || call->idempotency_key.failed || !ngx_http_sandbox_mcp_fits_line(&call->path, 0x21)
        || !ngx_http_sandbox_mcp_fits_line(&call->idempotency_key, 0x20))
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "event=mcp.call the catalogue made no request of a call");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    forward = ngx_http_sandbox_mcp_forward_create(r, mcp);
    if (forward == NULL || ngx_http_sandbox_mcp_set_method(r, call->method) != NGX_OK
        || ngx_http_sandbox_mcp_set_body(r, &call->body) != NGX_OK
        || ngx_http_sandbox_mcp_set_headers(r, forward, call->body.len != 0) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    mcp->forward = forward;
    mcp->forwarded = 1;
    ngx_http_sandbox_mcp_begin_again(ctx);
    if (mcp->message.method == SBX_MCP_TOOLS_CALL) {
        /* The call has what it needs of it, and may run for long. */
        ngx_http_sandbox_mcp_forget_json(mcp);
    }
    location.data = (u_char *) call->location;
    location.len = ngx_strlen(call->location);
    return ngx_http_internal_redirect(r, &location, NULL);
}
