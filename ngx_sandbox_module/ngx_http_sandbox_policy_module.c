/*
 * Owns the policy decision at the edge: reads the body of a request that creates
 * something, asks lib's evaluator, refuses with 403 or puts the effective limits
 * into the context that gets signed.
 */

#include "ngx_http_sandbox.h"
#include "ngx_http_sandbox_policy.h"
#include "ngx_sandbox_policy_store.h"

/* Whatever client_max_body_size says: parsing takes a multiple of this in memory. */
#define NGX_HTTP_SANDBOX_POLICY_BODY_MAX (64l * 1024 * 1024)

#define NGX_HTTP_SANDBOX_POLICY_OFF 0
#define NGX_HTTP_SANDBOX_POLICY_ON  1
/* The modes that read a body: this and a kind of lib's. */
#define NGX_HTTP_SANDBOX_POLICY_BODY 2

typedef struct {
    ngx_str_t dir;
    ngx_sandbox_policy_store_t *store;
} ngx_http_sandbox_policy_main_conf_t;

typedef struct {
    ngx_uint_t mode;
} ngx_http_sandbox_policy_loc_conf_t;

/* While the body is on its way. */
typedef struct {
    unsigned body_read:1;
} ngx_http_sandbox_policy_wait_t;

static ngx_int_t ngx_http_sandbox_policy_handler(ngx_http_request_t *r);
static void *ngx_http_sandbox_policy_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_sandbox_policy_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_sandbox_policy_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_sandbox_policy_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static ngx_int_t ngx_http_sandbox_policy_init(ngx_conf_t *cf);

static ngx_conf_enum_t ngx_http_sandbox_policy_modes[] = {
    { ngx_string("off"), NGX_HTTP_SANDBOX_POLICY_OFF },
    { ngx_string("on"), NGX_HTTP_SANDBOX_POLICY_ON },
    { ngx_string("body"), NGX_HTTP_SANDBOX_POLICY_BODY + SBX_POLICY_JOB },
    { ngx_string("session"), NGX_HTTP_SANDBOX_POLICY_BODY + SBX_POLICY_SESSION },
    { ngx_string("extend"), NGX_HTTP_SANDBOX_POLICY_BODY + SBX_POLICY_EXTEND },
    { ngx_string("step"), NGX_HTTP_SANDBOX_POLICY_BODY + SBX_POLICY_STEP },
    { ngx_string("process"), NGX_HTTP_SANDBOX_POLICY_BODY + SBX_POLICY_PROCESS },
    { ngx_null_string, 0 }
};

static ngx_command_t ngx_http_sandbox_policy_commands[] = {

    { ngx_string("sandbox_policy_dir"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_sandbox_policy_main_conf_t, dir),
      NULL },

    { ngx_string("sandbox_policy"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_sandbox_policy_loc_conf_t, mode),
      &ngx_http_sandbox_policy_modes },

      ngx_null_command
};

static ngx_http_module_t ngx_http_sandbox_policy_module_ctx = {
    .postconfiguration = ngx_http_sandbox_policy_init,
    .create_main_conf = ngx_http_sandbox_policy_create_main_conf,
    .init_main_conf = ngx_http_sandbox_policy_init_main_conf,
    .create_loc_conf = ngx_http_sandbox_policy_create_loc_conf,
    .merge_loc_conf = ngx_http_sandbox_policy_merge_loc_conf,
};

ngx_module_t ngx_http_sandbox_policy_module = {
    NGX_MODULE_V1,
    &ngx_http_sandbox_policy_module_ctx,
    ngx_http_sandbox_policy_commands,
    NGX_HTTP_MODULE,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NGX_MODULE_V1_PADDING
};

const struct sbx_policy *
ngx_http_sandbox_policy(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx)
{
    ngx_http_sandbox_policy_main_conf_t *pmcf;
    ngx_sandbox_policy_who_t who;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_sandbox_policy_module);

    who.tenant = ctx->context.tenant;
    who.app = ctx->context.app;
    who.agent = ctx->context.agent;

    return ngx_sandbox_policy_store_get(pmcf->store, &who, r->pool);
}

ngx_flag_t
ngx_http_sandbox_policy_has_rates(ngx_conf_t *cf)
{
    ngx_http_sandbox_policy_main_conf_t *pmcf;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_policy_module);

    return ngx_sandbox_policy_store_has_rates(pmcf->store);
}

/* "application/json", with no parameter or charset=utf-8. */
static ngx_flag_t
ngx_http_sandbox_policy_is_json(ngx_http_request_t *r)
{
    static ngx_str_t encoding = ngx_string("content-encoding");
    const size_t type = sizeof("application/json") - 1;
    const size_t charset = sizeof("charset=utf-8") - 1;
    ngx_str_t value;
    ngx_uint_t n;

    if (r->headers_in.content_type == NULL || ngx_http_sandbox_header_in(r, &encoding, &n) != NULL) {
        return 0;
    }

    value = r->headers_in.content_type->value;

    if (value.len < type || ngx_strncasecmp(value.data, (u_char *) "application/json", type) != 0) {
        return 0;
    }

    for (value.data += type, value.len -= type; value.len > 0; value.data++, value.len--) {
        if (*value.data != ' ' && *value.data != ';') {
            break;
        }
    }

    return value.len == 0
           || (value.len == charset && value.data[-1] != 'n'
               && ngx_strncasecmp(value.data, (u_char *) "charset=utf-8", charset) == 0);
}

static ngx_int_t
ngx_http_sandbox_policy_copy_buf(ngx_http_request_t *r, ngx_buf_t *b, u_char *out, size_t size)
{
    size_t done = 0;
    ssize_t n;

    if (ngx_buf_in_memory(b)) {
        ngx_memcpy(out, b->pos, size);
        return NGX_OK;
    }

    /* The temporary file was written a moment ago: this reads the page cache. */
    while (done < size) {
        n = ngx_read_file(b->file, out + done, size - done, b->file_pos + (off_t) done);
        if (n <= 0) {
            ngx_log_error(NGX_LOG_ERR, r->connection->log, ngx_errno, "event=policy.body the body's file ended early");
            return NGX_ERROR;
        }
        done += (size_t) n;
    }

    return NGX_OK;
}

/*
 * The whole body in one piece: where it lies when nginx has it so, else in *ret_copy (the
 * caller frees it). NGX_OK, NGX_DECLINED when it is too large, NGX_ERROR.
 */
static ngx_int_t
ngx_http_sandbox_policy_body(ngx_http_request_t *r, ngx_str_t *ret, u_char **ret_copy)
{
    ngx_chain_t *cl, *bufs;
    size_t at = 0;
    off_t size = 0;

    *ret_copy = NULL;
    ngx_str_set(ret, "");

    bufs = r->request_body == NULL ? NULL : r->request_body->bufs;

    for (cl = bufs; cl != NULL; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
        if (size > NGX_HTTP_SANDBOX_POLICY_BODY_MAX) {
            return NGX_DECLINED;
        }
    }

    if (size == 0) {
        return NGX_OK;
    }

    ret->len = (size_t) size;

    if (bufs->next == NULL && ngx_buf_in_memory(bufs->buf)) {
        ret->data = bufs->buf->pos;
        return NGX_OK;
    }

    ret->data = ngx_alloc(ret->len, r->connection->log);
    if (ret->data == NULL) {
        return NGX_ERROR;
    }
    *ret_copy = ret->data;

    for (cl = bufs; cl != NULL; cl = cl->next) {
        size = ngx_buf_size(cl->buf);
        if (ngx_http_sandbox_policy_copy_buf(r, cl->buf, ret->data + at, (size_t) size) != NGX_OK) {
            return NGX_ERROR;
        }
        at += (size_t) size;
    }

    return NGX_OK;
}

/*
 * Fills *input from the body. NGX_OK, or NGX_DECLINED with *problem (and *err, which it
 * points to) saying what is wrong with the body.
 */
static ngx_int_t
ngx_http_sandbox_policy_input(ngx_http_request_t *r, struct sbx_policy_input *input, struct sbx_problem *problem,
    struct sbx_field_error *err)
{
    ngx_http_sandbox_policy_loc_conf_t *plcf;
    ngx_str_t body;
    u_char *copy;
    ngx_int_t rc;
    ngx_flag_t fits;
    json_t *json = NULL;
    int parsed = 0;

    rc = ngx_http_sandbox_policy_body(r, &body, &copy);
    if (rc == NGX_OK) {
        parsed = sbx_json_parse(&json, (const char *) body.data, body.len, err);
    }
    if (copy != NULL) {
        ngx_free(copy);
    }

    if (rc == NGX_ERROR || parsed < 0) {
        problem->code = SBX_PROBLEM_INTERNAL;
        return NGX_DECLINED;
    }
    if (rc == NGX_DECLINED) {
        problem->code = SBX_PROBLEM_PAYLOAD_TOO_LARGE;
        return NGX_DECLINED;
    }
    if (parsed > 0) {
        problem->code = SBX_PROBLEM_MALFORMED_JSON;
        problem->detail = err->message;
        return NGX_DECLINED;
    }

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_policy_module);
    fits = sbx_policy_input_from_json(input, (enum sbx_policy_kind) (plcf->mode - NGX_HTTP_SANDBOX_POLICY_BODY),
                                      json, err);
    json_decref(json);

    if (!fits) {
        problem->code = err->too_large ? SBX_PROBLEM_PAYLOAD_TOO_LARGE : SBX_PROBLEM_INVALID_REQUEST;
        problem->field = err;
        return NGX_DECLINED;
    }

    return NGX_OK;
}

static ngx_int_t
ngx_http_sandbox_policy_deny(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx)
{
    struct sbx_problem problem = {
        .code = SBX_PROBLEM_POLICY_VIOLATION,
        .violation = ctx->decision->violation,
        .n_violations = ctx->decision->n_violations,
    };
    ngx_uint_t i;

    ctx->policy = "deny";

    for (i = 0; i < ctx->decision->n_violations; i++) {
        /* Limit and observed value are JSON text: nothing of the client's stands in the log unescaped. */
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "event=policy.deny request_id=%s tenant=%s app=%s agent=%s policy=%s "
                      "rule=%s limit=%s observed=%s",
                      ctx->context.request_id, ctx->context.tenant, ctx->context.app, ctx->context.agent,
                      ctx->context.policy_id, ctx->decision->violation[i].rule, ctx->decision->violation[i].limit,
                      ctx->decision->violation[i].observed);
    }

    return ngx_http_sandbox_refuse(r, "policy", &problem);
}

static ngx_int_t
ngx_http_sandbox_policy_decide(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx, const struct sbx_policy *policy)
{
    struct sbx_policy_input input;
    struct sbx_problem problem;
    struct sbx_field_error err;

    ngx_memzero(&problem, sizeof(problem));
    ngx_memzero(&err, sizeof(err));
    ngx_memzero(&input, sizeof(input));

    if (ngx_http_sandbox_policy_input(r, &input, &problem, &err) != NGX_OK) {
        return ngx_http_sandbox_refuse(r, "body", &problem);
    }

    ctx->decision = ngx_pcalloc(r->pool, sizeof(struct sbx_decision));
    if (ctx->decision == NULL) {
        return ngx_http_sandbox_problem(r, "internal", SBX_PROBLEM_INTERNAL, NULL);
    }

    sbx_policy_decide(policy, &input, ctx->decision);

    if (!ctx->decision->allowed) {
        return ngx_http_sandbox_policy_deny(r, ctx);
    }

    ctx->policy = "allow";
    if (input.kind != SBX_POLICY_JOB && input.kind != SBX_POLICY_SESSION) {
        return NGX_DECLINED;
    }

    ctx->context.has_limits = true;
    ctx->context.limits = ctx->decision->limits;
    ctx->context.isolation = ctx->decision->isolation;
    ctx->context.min_isolation = ctx->decision->min_isolation;
    ctx->context.max_artifacts = ctx->decision->max_artifacts;
    ctx->context.max_artifact_bytes = ctx->decision->max_artifact_bytes;

    return NGX_DECLINED;
}

static void
ngx_http_sandbox_policy_body_handler(ngx_http_request_t *r)
{
    ngx_http_sandbox_policy_wait_t *wait;

    wait = ngx_http_get_module_ctx(r, ngx_http_sandbox_policy_module);
    wait->body_read = 1;

    r->preserve_body = 1;
    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}

static ngx_int_t
ngx_http_sandbox_policy_read_body(ngx_http_request_t *r)
{
    ngx_http_sandbox_policy_wait_t *wait;
    ngx_int_t rc;

    if (!ngx_http_sandbox_policy_is_json(r)) {
        return ngx_http_sandbox_problem(r, "body", SBX_PROBLEM_UNSUPPORTED_MEDIA_TYPE, NULL);
    }

    wait = ngx_pcalloc(r->pool, sizeof(ngx_http_sandbox_policy_wait_t));
    if (wait == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_http_set_ctx(r, wait, ngx_http_sandbox_policy_module);

    rc = ngx_http_read_client_request_body(r, ngx_http_sandbox_policy_body_handler);
    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    ngx_http_finalize_request(r, NGX_DONE);

    return NGX_DONE;
}

static void
ngx_http_sandbox_policy_note(ngx_http_sandbox_ctx_t *ctx, const struct sbx_policy *policy)
{
    const struct sbx_session_policy *sessions = &policy->sessions;

    ngx_memcpy(ctx->context.policy_id, policy->id, sizeof(policy->id));
    ctx->context.policy_version = policy->version;
    ctx->context.max_wait_ms = policy->max_wait_ms;
    ctx->context.tenant_concurrency = policy->concurrency[SBX_SCOPE_TENANT];

    ctx->context.max_sessions = sessions->max;
    ctx->context.ttl_ms = sessions->fallback[SBX_SESSION_TTL];
    ctx->context.max_ttl_ms = sessions->longest[SBX_SESSION_TTL];
    ctx->context.idle_ms = sessions->fallback[SBX_SESSION_IDLE];
    ctx->context.max_idle_ms = sessions->longest[SBX_SESSION_IDLE];
    ctx->context.step_timeout_ms = sessions->fallback[SBX_SESSION_STEP];
    ctx->context.max_step_timeout_ms = sessions->longest[SBX_SESSION_STEP];
    ctx->context.max_lifetime_ms = sessions->max_lifetime_ms;
    ctx->context.max_artifacts = policy->max_artifacts;
    ctx->context.max_artifact_bytes = policy->max_artifact_bytes;
    ctx->context.max_upload_bytes = policy->max_upload_bytes;
    ctx->context.max_stored_bytes = policy->max_stored_bytes;
    ctx->context.retention_records_ms = policy->retention_records_ms;
    ctx->context.retention_artifacts_ms = policy->retention_artifacts_ms;
}

/* Never NGX_OK: with `satisfy any` that would let the request past the other access checks. */
static ngx_int_t
ngx_http_sandbox_policy_handler(ngx_http_request_t *r)
{
    ngx_http_sandbox_policy_loc_conf_t *plcf;
    ngx_http_sandbox_policy_wait_t *wait;
    const struct sbx_policy *policy;
    ngx_http_sandbox_ctx_t *ctx;
    ngx_uint_t asking;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_policy_module);

    if (r != r->main || plcf->mode == NGX_HTTP_SANDBOX_POLICY_OFF || ngx_http_sandbox_exempt(r)) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_sandbox_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->policy != NULL) {
        return NGX_DECLINED;
    }

    if (ctx->auth == NGX_HTTP_SANDBOX_AUTH_NONE) {
        return ngx_http_sandbox_problem(r, "token_missing", SBX_PROBLEM_UNAUTHORIZED, NULL);
    }

    policy = ngx_http_sandbox_policy(r, ctx);
    if (policy == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_http_sandbox_policy_note(ctx, policy);

    /* Only what creates or extends has a body to decide on; reading, listing and ending ask for nothing. */
    asking = plcf->mode == NGX_HTTP_SANDBOX_POLICY_BODY + SBX_POLICY_EXTEND ? NGX_HTTP_PATCH : NGX_HTTP_POST;
    if (plcf->mode == NGX_HTTP_SANDBOX_POLICY_ON || r->method != asking) {
        ctx->policy = "allow";
        return NGX_DECLINED;
    }

    wait = ngx_http_get_module_ctx(r, ngx_http_sandbox_policy_module);

    return wait != NULL && wait->body_read ? ngx_http_sandbox_policy_decide(r, ctx, policy)
                                           : ngx_http_sandbox_policy_read_body(r);
}

static void *
ngx_http_sandbox_policy_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_policy_main_conf_t));
}

static char *
ngx_http_sandbox_policy_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_sandbox_policy_main_conf_t *pmcf = conf;

    if (pmcf->dir.data != NULL && ngx_conf_full_name(cf->cycle, &pmcf->dir, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    pmcf->store = ngx_sandbox_policy_store_load(cf->pool, cf->log, pmcf->dir.data == NULL ? NULL : &pmcf->dir);

    return pmcf->store == NULL ? NGX_CONF_ERROR : NGX_CONF_OK;
}

static void *
ngx_http_sandbox_policy_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_sandbox_policy_loc_conf_t *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_policy_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->mode = NGX_CONF_UNSET_UINT;

    return conf;
}

static char *
ngx_http_sandbox_policy_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_sandbox_policy_loc_conf_t *prev = parent;
    ngx_http_sandbox_policy_loc_conf_t *conf = child;

    ngx_conf_merge_uint_value(conf->mode, prev->mode, NGX_HTTP_SANDBOX_POLICY_OFF);

    return NGX_CONF_OK;
}

static ngx_int_t
ngx_http_sandbox_policy_init(ngx_conf_t *cf)
{
    ngx_http_core_main_conf_t *cmcf;
    ngx_http_handler_pt *h;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_ACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }
    *h = ngx_http_sandbox_policy_handler;

    return NGX_OK;
}
