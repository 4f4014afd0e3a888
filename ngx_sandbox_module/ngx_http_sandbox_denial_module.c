/*
 * Owns the spool of denials: one JSON line for each request that auth, a limit or a
 * policy refused. The executor takes the lines into the audit chain, so a denial is
 * on record also when the executor was away.
 */

#include "ngx_http_sandbox.h"
#include "ngx_http_sandbox_limit.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_route.h"
#include "lib/sbx_crypto.h"
#include "lib/sbx_jsonw.h"
#include "lib/sbx_time.h"

#define NGX_HTTP_SANDBOX_DENIAL_LINE_MAX (16ul * 1024)
#define NGX_HTTP_SANDBOX_DENIAL_SPOOL_MAX (64l * 1024 * 1024)

/* Which refusals are denials: a malformed request is nobody's decision. */
typedef struct {
    const char *why;
    enum sbx_problem_code code;
    ngx_flag_t cheap; /* can be had in any number by anybody, or by a loop in a client */
} ngx_http_sandbox_denial_kind_t;

static const ngx_http_sandbox_denial_kind_t ngx_http_sandbox_denial_kinds[] = {
    { "token_missing", SBX_PROBLEM_UNAUTHORIZED, 1 },
    { "token_invalid", SBX_PROBLEM_UNAUTHORIZED, 1 },
    { "token_revoked", SBX_PROBLEM_UNAUTHORIZED, 1 },
    { "signed_url", SBX_PROBLEM_UNAUTHORIZED, 1 },
    { "rate", SBX_PROBLEM_RATE_LIMITED, 1 },
    { "concurrency", SBX_PROBLEM_CONCURRENCY_LIMITED, 1 },
    { "scope", SBX_PROBLEM_FORBIDDEN, 0 },
    { "act_for", SBX_PROBLEM_FORBIDDEN, 0 },
    { "policy", SBX_PROBLEM_POLICY_VIOLATION, 0 },
};

typedef struct {
    ngx_open_file_t *file;
    off_t max;
} ngx_http_sandbox_denial_main_conf_t;

static ngx_int_t ngx_http_sandbox_denial_handler(ngx_http_request_t *r);
static void *ngx_http_sandbox_denial_create_main_conf(ngx_conf_t *cf);
static ngx_int_t ngx_http_sandbox_denial_init(ngx_conf_t *cf);
static char *ngx_http_sandbox_denial_log(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

static ngx_command_t ngx_http_sandbox_denial_commands[] = {

    { ngx_string("sandbox_denial_log"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_sandbox_denial_log,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};

static ngx_http_module_t ngx_http_sandbox_denial_module_ctx = {
    .postconfiguration = ngx_http_sandbox_denial_init,
    .create_main_conf = ngx_http_sandbox_denial_create_main_conf,
};

ngx_module_t ngx_http_sandbox_denial_module = {
    NGX_MODULE_V1,
    &ngx_http_sandbox_denial_module_ctx,
    ngx_http_sandbox_denial_commands,
    NGX_HTTP_MODULE,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NGX_MODULE_V1_PADDING
};

static const ngx_http_sandbox_denial_kind_t *
ngx_http_sandbox_denial_kind(const char *why)
{
    ngx_uint_t i;

    for (i = 0; i < sizeof(ngx_http_sandbox_denial_kinds) / sizeof(ngx_http_sandbox_denial_kinds[0]); i++) {
        if (ngx_strcmp(ngx_http_sandbox_denial_kinds[i].why, why) == 0) {
            return &ngx_http_sandbox_denial_kinds[i];
        }
    }

    return NULL;
}

static void
ngx_http_sandbox_denial_write_rule(struct sbx_jsonw *w, ngx_http_sandbox_ctx_t *ctx)
{
    const struct sbx_violation *violation = ngx_http_sandbox_limit_violation(ctx);
    unsigned n = violation == NULL ? 0 : 1;

    if (violation == NULL && ctx->decision != NULL) {
        violation = ctx->decision->violation;
        n = ctx->decision->n_violations;
    }

    if (n == 0) {
        sbx_jsonw_null(w, "rule");
        sbx_jsonw_null(w, "limit");
        sbx_jsonw_null(w, "observed");
        return;
    }

    sbx_jsonw_str(w, "rule", violation->rule);
    sbx_jsonw_raw(w, "limit", violation->limit, ngx_strlen(violation->limit));
    sbx_jsonw_raw(w, "observed", violation->observed, ngx_strlen(violation->observed));

    if (n > 1) {
        sbx_violations_write(w, violation, n);
    }
}

/* The body as it was, when all of it was read and lies in memory still: of a part, or of what streams by, nothing is said. */
static void
ngx_http_sandbox_denial_write_body(struct sbx_jsonw *w, ngx_http_request_t *r)
{
    struct sbx_sha256 *state;
    uint8_t digest[SBX_SHA256_LEN];
    char hex[SBX_SHA256_HEX];
    ngx_chain_t *cl;
    ngx_flag_t whole = 1;

    if (r->request_body == NULL || r->request_body->bufs == NULL || r->request_body->rest != 0
        || r->request_body_no_buffering || sbx_sha256_new(&state) != 0)
    {
        return;
    }

    for (cl = r->request_body->bufs; cl != NULL && whole; cl = cl->next) {
        whole = !cl->buf->in_file
                && sbx_sha256_update(state, cl->buf->pos, (size_t) (cl->buf->last - cl->buf->pos)) == 0;
    }

    if (whole && sbx_sha256_final(state, digest) == 0) {
        sbx_hex(hex, digest, sizeof(digest));
        sbx_jsonw_str(w, "request_sha256", hex);
    }

    (void) sbx_sha256_free(state); /* always NULL */
}

/* What a client did not have is not said. */
static void
ngx_http_sandbox_denial_write_origin(struct sbx_jsonw *w, ngx_http_request_t *r, const struct sbx_context *context)
{
    if (context->token_id[0] != '\0') {
        sbx_jsonw_str(w, "token_id", context->token_id);
    }
    if (ngx_strlen(context->traceparent) > 35) {
        sbx_jsonw_strn(w, "trace", context->traceparent + 3, 32);
    }
    if (context->tool[0] != '\0') {
        sbx_jsonw_str(w, "tool", context->tool);
    }
    if (context->retention_audit_ms > 0) {
        sbx_jsonw_uint(w, "keep_ms", context->retention_audit_ms);
    }

    ngx_http_sandbox_denial_write_body(w, r);
    sbx_jsonw_object(w, "policy");
    sbx_jsonw_str(w, "id", context->policy_id);
    sbx_jsonw_uint(w, "version", context->policy_version);
    sbx_jsonw_uint(w, "revision", context->policy_revision);
    sbx_jsonw_object_end(w);
}

static void
ngx_http_sandbox_denial_write(struct sbx_buf *line, ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx,
    enum sbx_problem_code code)
{
    const struct sbx_context *context = &ctx->context;
    char now[SBX_RFC3339_LEN];
    struct sbx_jsonw w;
    ngx_str_t *route;

    route = ngx_http_sandbox_route(r);
    sbx_rfc3339(now, sbx_now_unix_ms());

    sbx_jsonw_init(&w, line);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "time", now);
    sbx_jsonw_str(&w, "event", "gateway.denial");
    sbx_jsonw_str(&w, "request_id", context->request_id);
    sbx_jsonw_str(&w, "tenant", context->tenant);
    sbx_jsonw_str(&w, "app", context->app);
    sbx_jsonw_str(&w, "agent", context->agent);
    sbx_jsonw_str(&w, "subject", context->subject);
    sbx_jsonw_strn(&w, "client", (char *) r->connection->addr_text.data, r->connection->addr_text.len);
    sbx_jsonw_strn(&w, "route", (char *) route->data, route->len);
    sbx_jsonw_str(&w, "code", sbx_problem_name(code));
    ngx_http_sandbox_denial_write_origin(&w, r, context);
    ngx_http_sandbox_denial_write_rule(&w, ctx);
    sbx_jsonw_object_end(&w);
    sbx_buf_putc(line, '\n');
}

/*
 * Room is counted in blocks on disk, not in bytes of length: the reader gives back what
 * it has taken by punching holes, which never loses a line that is being appended. The
 * last quarter is kept for denials that cannot be had by the thousand.
 */
static ngx_flag_t
ngx_http_sandbox_denial_has_room(ngx_http_sandbox_denial_main_conf_t *dmcf, ngx_flag_t cheap)
{
    ngx_file_info_t info;
    off_t max = cheap ? dmcf->max / 4 * 3 : dmcf->max;

    return ngx_fd_info(dmcf->file->fd, &info) != NGX_FILE_ERROR && (off_t) info.st_blocks * 512 < max;
}

static ngx_int_t
ngx_http_sandbox_denial_handler(ngx_http_request_t *r)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf line = SBX_BUF_INIT(NGX_HTTP_SANDBOX_DENIAL_LINE_MAX);
    ngx_http_sandbox_denial_main_conf_t *dmcf;
    const ngx_http_sandbox_denial_kind_t *kind;
    ngx_http_sandbox_ctx_t *ctx;
    ssize_t n;

    dmcf = ngx_http_get_module_main_conf(r, ngx_http_sandbox_denial_module);
    ctx = ngx_http_sandbox_ctx_peek(r);

    kind = r != r->main || ctx == NULL || ctx->denied == NULL ? NULL : ngx_http_sandbox_denial_kind(ctx->denied);
    if (kind == NULL) {
        return NGX_OK;
    }

    ngx_http_sandbox_denial_write(&line, r, ctx, kind->code);

    if (line.failed || !ngx_http_sandbox_denial_has_room(dmcf, kind->cheap)) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "event=denial.lost \"%V\" is full", &dmcf->file->name);
        ngx_http_sandbox_metrics_denial_lost(r);
        return NGX_OK;
    }

    /* O_APPEND and one write: lines of several workers do not mix. */
    n = ngx_write_fd(dmcf->file->fd, line.data, line.len);
    if (n != (ssize_t) line.len) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, n < 0 ? ngx_errno : 0,
                      "event=denial.lost writing to \"%V\" failed", &dmcf->file->name);
        ngx_http_sandbox_metrics_denial_lost(r);
    }

    return NGX_OK;
}

static void *
ngx_http_sandbox_denial_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_denial_main_conf_t));
}

static ngx_int_t
ngx_http_sandbox_denial_init(ngx_conf_t *cf)
{
    ngx_http_sandbox_denial_main_conf_t *dmcf;
    ngx_http_core_main_conf_t *cmcf;
    ngx_http_handler_pt *h;

    dmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_denial_module);
    if (dmcf->file == NULL) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }
    *h = ngx_http_sandbox_denial_handler;

    return NGX_OK;
}

/* sandbox_denial_log path [max=64m] */
static char *
ngx_http_sandbox_denial_log(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_denial_main_conf_t *dmcf = conf;
    ngx_str_t *value = cf->args->elts;
    ngx_str_t size;

    if (dmcf->file != NULL) {
        return "is duplicate";
    }

    dmcf->max = NGX_HTTP_SANDBOX_DENIAL_SPOOL_MAX;

    if (cf->args->nelts == 3) {
        if (value[2].len <= sizeof("max=") - 1 || ngx_strncmp(value[2].data, "max=", sizeof("max=") - 1) != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"", &value[2]);
            return NGX_CONF_ERROR;
        }

        size.data = value[2].data + sizeof("max=") - 1;
        size.len = value[2].len - (sizeof("max=") - 1);

        dmcf->max = ngx_parse_offset(&size);
        if (dmcf->max <= 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid size \"%V\"", &value[2]);
            return NGX_CONF_ERROR;
        }
    }

    dmcf->file = ngx_conf_open_file(cf->cycle, &value[1]);

    return dmcf->file == NULL ? NGX_CONF_ERROR : NGX_CONF_OK;
}
