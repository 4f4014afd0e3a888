/* Owns what a client hears that is not let in: RFC 6750's challenge, with RFC 9728's pointer where a resource is named. */
#include "ngx_http_sandbox_auth.h"
#include "ngx_http_sandbox_mcp.h"


#define NGX_HTTP_SANDBOX_AUTH_CHALLENGE_MAX  (32ul * 1024)


/* Calls back for each scope that the location asks for, and the tool ("": none) in it; stops when that returns false. */
static bool
ngx_http_sandbox_auth_each_scope(const ngx_http_sandbox_auth_loc_conf_t *alcf, const char *name,
    bool (*each)(void *data, const ngx_str_t *scope), void *data)
{
    ngx_http_sandbox_auth_tool_t *tool;
    ngx_array_t *lists[2] = { alcf->scopes, NULL };
    ngx_str_t *scope;
    ngx_uint_t i, k;

    if (alcf->tool_scopes != NULL && name[0] != '\0') {
        tool = alcf->tool_scopes->elts;
        for (i = 0; i < alcf->tool_scopes->nelts; i++) {
            if (ngx_strcmp(tool[i].name.data, name) == 0) {
                lists[1] = tool[i].scopes;
            }
        }
    }
    for (i = 0; i < 2; i++) {
        scope = lists[i] == NULL ? NULL : lists[i]->elts;
        for (k = 0; scope != NULL && k < lists[i]->nelts; k++) {
            if (!each(data, &scope[k])) {
                return false;
            }
        }
    }
    return true;
}


static bool
ngx_http_sandbox_auth_append_scope(void *data, const ngx_str_t *scope)
{
    struct sbx_buf *out = data;

    if (out->len != 0) {
        sbx_buf_putc(out, ' ');
    }
    sbx_buf_append(out, scope->data, scope->len);
    return true;
}


static bool
ngx_http_sandbox_auth_has_scope(void *data, const ngx_str_t *scope)
{
    const char *const *scopes = data;

    return ngx_sandbox_scope_granted(*scopes, (const char *) scope->data, scope->len);
}


static const char *
ngx_http_sandbox_auth_tool_name(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx_peek(r);

    return ctx == NULL ? "" : ctx->context.tool;
}


/*
 * Where to learn about the resource that was asked for: what a message led to inside is no client's to ask for, so there it is that of the
 * location that took the message.
 */
static const ngx_str_t *
ngx_http_sandbox_auth_metadata_of(ngx_http_request_t *r)
{
    const ngx_http_sandbox_auth_loc_conf_t *alcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_auth_module);
    const ngx_http_sandbox_mcp_t *mcp = ngx_http_sandbox_mcp(r);

    if (mcp != NULL && mcp->forwarded) {
        alcf = mcp->loc_conf[ngx_http_sandbox_auth_module.ctx_index];
    }
    return &alcf->metadata;
}


/* WWW-Authenticate. `error` NULL: none. All scopes that are needed, so that a client asks for a token once. */
static ngx_int_t
ngx_http_sandbox_auth_challenge(ngx_http_request_t *r, const char *error, ngx_flag_t says_scopes)
{
    static ngx_str_t name = ngx_string("WWW-Authenticate");
    _cleanup_(sbx_buf_deinit) struct sbx_buf scopes = SBX_BUF_INIT(NGX_HTTP_SANDBOX_AUTH_CHALLENGE_MAX);
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(NGX_HTTP_SANDBOX_AUTH_CHALLENGE_MAX);
    ngx_http_sandbox_auth_loc_conf_t *alcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_auth_module);
    const ngx_str_t *metadata = ngx_http_sandbox_auth_metadata_of(r);
    ngx_str_t value;

    if (says_scopes) {
        (void) ngx_http_sandbox_auth_each_scope(alcf, ngx_http_sandbox_auth_tool_name(r), ngx_http_sandbox_auth_append_scope,
                                                &scopes); /* always true */
    }
    sbx_buf_puts(&out, "Bearer realm=\"sandbox\"");
    if (error != NULL) {
        sbx_buf_printf(&out, ", error=\"%s\"", error);
    }
    if (scopes.len != 0) {
        sbx_buf_printf(&out, ", scope=\"%.*s\"", (int) scopes.len, scopes.data);
    }
    if (metadata->len != 0) {
        sbx_buf_printf(&out, ", resource_metadata=\"%s\"", metadata->data);
    }
    if (out.failed || scopes.failed) {
        return NGX_ERROR;
    }
    value.len = out.len;
    value.data = ngx_pnalloc(r->pool, out.len);
    if (value.data == NULL) {
        return NGX_ERROR;
    }
    ngx_memcpy(value.data, out.data, out.len);
    return ngx_http_sandbox_add_header(r, &name, &value);
}


ngx_int_t
ngx_http_sandbox_auth_unauthorized(ngx_http_request_t *r, const char *denied, const char *why)
{
    const ngx_str_t *metadata = ngx_http_sandbox_auth_metadata_of(r);

    /* What a token needs here is for those who look for where to get one. */
    if (ngx_http_sandbox_auth_challenge(r, why == NULL ? NULL : "invalid_token", metadata->len != 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "sandbox auth: token refused: %s", why == NULL ? "none sent" : why);
    return ngx_http_sandbox_problem(r, denied, SBX_PROBLEM_UNAUTHORIZED,
                                    "Send a valid token as \"Authorization: Bearer\" or \"X-API-KEY\".");
}


ngx_flag_t
ngx_http_sandbox_auth_may_use(ngx_http_sandbox_ctx_t *ctx, const void *conf, const char *tool)
{
    const ngx_http_sandbox_auth_loc_conf_t *alcf = conf;
    const char *scopes = ctx->context.scopes;

    /* Where nobody is known, that is for the location itself to say; a bypass passes there. */
    if (!alcf->enable || ctx->auth == NGX_HTTP_SANDBOX_AUTH_NONE || ctx->auth == NGX_HTTP_SANDBOX_AUTH_BYPASS) {
        return 1;
    }
    return ngx_http_sandbox_auth_each_scope(alcf, tool, ngx_http_sandbox_auth_has_scope, &scopes);
}


ngx_int_t
ngx_http_sandbox_auth_check_scopes(ngx_http_request_t *r, const char *scopes)
{
    const ngx_http_sandbox_auth_loc_conf_t *alcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_auth_module);

    if (ngx_http_sandbox_auth_each_scope(alcf, ngx_http_sandbox_auth_tool_name(r), ngx_http_sandbox_auth_has_scope, &scopes)) {
        return NGX_DECLINED;
    }
    if (ngx_http_sandbox_auth_challenge(r, "insufficient_scope", 1) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    return ngx_http_sandbox_problem(r, "scope", SBX_PROBLEM_FORBIDDEN, "The token lacks a scope this route needs.");
}
