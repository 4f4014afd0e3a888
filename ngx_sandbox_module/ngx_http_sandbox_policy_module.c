/*
 * Owns the policy decision at the edge: reads the body of a request that creates
 * something, asks lib's evaluator, refuses with 403 or puts the effective limits
 * into the context that gets signed.
 */

#include "ngx_http_sandbox.h"
#include "ngx_http_sandbox_body.h"
#include "ngx_http_sandbox_opa.h"
#include "ngx_http_sandbox_policy.h"
#include "ngx_http_sandbox_policy_views.h"

#define NGX_HTTP_SANDBOX_POLICY_OFF 0
#define NGX_HTTP_SANDBOX_POLICY_ON  1
/* The modes that read a body: this and a kind of lib's. */
#define NGX_HTTP_SANDBOX_POLICY_BODY 2

typedef struct {
    ngx_str_t dir;
    ngx_sandbox_policy_store_t *store;
    ngx_http_sandbox_policy_views_t views; /* of this worker */
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
static ngx_int_t ngx_http_sandbox_policy_init_process(ngx_cycle_t *cycle);
static void ngx_http_sandbox_policy_exit_process(ngx_cycle_t *cycle);

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
    NULL,
    NULL,
    ngx_http_sandbox_policy_init_process,
    NULL,
    NULL,
    ngx_http_sandbox_policy_exit_process,
    NULL,
    NGX_MODULE_V1_PADDING
};

ngx_int_t
ngx_http_sandbox_policy(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx, const char *template_name,
    const struct sbx_policy_view **ret)
{
    ngx_http_sandbox_policy_main_conf_t *pmcf;
    ngx_http_sandbox_policy_loc_conf_t *plcf;
    ngx_sandbox_policy_who_t who;
    ngx_int_t rc;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_sandbox_policy_module);
    plcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_policy_module);

    who.tenant = ctx->context.tenant;
    who.app = ctx->context.app;
    who.agent = ctx->context.agent;

    rc = ngx_http_sandbox_policy_views_get(&pmcf->views, pmcf->store, r, &who, template_name, ret);
    if (rc == NGX_DECLINED && plcf->mode == NGX_HTTP_SANDBOX_POLICY_OFF) {
        *ret = ngx_sandbox_policy_store_view(pmcf->store, &who, r->pool);
        return *ret == NULL ? NGX_ERROR : NGX_OK;
    }

    return rc;
}

ngx_int_t
ngx_http_sandbox_policy_refuse_unknown(ngx_http_request_t *r)
{
    struct sbx_problem problem = { .code = SBX_PROBLEM_POLICY_UNKNOWN, .retry_after_s = 1 };

    return ngx_http_sandbox_refuse(r, "policy_unknown", &problem);
}

ngx_flag_t
ngx_http_sandbox_policy_has_rates(ngx_conf_t *cf)
{
    ngx_http_sandbox_policy_main_conf_t *pmcf;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_policy_module);

    return ngx_sandbox_policy_store_has_rates(pmcf->store);
}

/*
 * Fills *input from the body. NGX_OK, or NGX_DECLINED with *problem (and *err, which it
 * points to) saying what is wrong with the body. The input borrows from *json, the caller's to release.
 */
static ngx_int_t
ngx_http_sandbox_policy_input(ngx_http_request_t *r, struct sbx_policy_input *input, json_t **json,
    struct sbx_problem *problem, struct sbx_field_error *err)
{
    ngx_http_sandbox_policy_loc_conf_t *plcf;
    ngx_str_t body;
    u_char *copy;
    ngx_int_t rc;
    ngx_flag_t fits;
    int parsed = 0;

    rc = ngx_http_sandbox_body(r, &body, &copy);
    if (rc == NGX_OK) {
        parsed = sbx_json_parse_brief(json, (const char *) body.data, body.len, err);
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
                                      *json, err);

    if (!fits) {
        problem->code = err->too_large ? SBX_PROBLEM_PAYLOAD_TOO_LARGE : SBX_PROBLEM_INVALID_REQUEST;
        problem->field = err;
        return NGX_DECLINED;
    }

    return NGX_OK;
}

/* Keeps the decision: what is written about the request when it ends says why. */
static ngx_int_t
ngx_http_sandbox_policy_deny(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx, const struct sbx_decision *decision)
{
    struct sbx_problem problem = {
        .code = SBX_PROBLEM_POLICY_VIOLATION,
        .violation = decision->violation,
        .n_violations = decision->n_violations,
    };
    ngx_uint_t i;

    ctx->policy = "deny";

    ctx->decision = ngx_palloc(r->pool, sizeof(struct sbx_decision));
    if (ctx->decision == NULL) {
        return ngx_http_sandbox_problem(r, "internal", SBX_PROBLEM_INTERNAL, NULL);
    }
    *ctx->decision = *decision;

    for (i = 0; i < decision->n_violations; i++) {
        /* Limit and observed value are JSON text: nothing of the client's stands in the log unescaped. */
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "event=policy.deny request_id=%s tenant=%s app=%s agent=%s policy=%s "
                      "rule=%s limit=%s observed=%s",
                      ctx->context.request_id, ctx->context.tenant, ctx->context.app, ctx->context.agent,
                      ctx->context.policy_id, decision->violation[i].rule, decision->violation[i].limit,
                      decision->violation[i].observed);
    }

    return ngx_http_sandbox_refuse(r, "policy", &problem);
}

/* As what tool it is asked for; sandbox_tool's names are no longer than policy's. */
static void
ngx_http_sandbox_policy_tool(ngx_http_sandbox_ctx_t *ctx, struct sbx_policy_input *input)
{
    ngx_memcpy(input->tool, ctx->context.tool, sizeof(input->tool) - 1);
}

/* Of a request without a body to decide on: may the tool be used? */
static ngx_int_t
ngx_http_sandbox_policy_decide_tool(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx,
    const struct sbx_policy_view *view)
{
    struct sbx_policy_input input;
    struct sbx_decision decision;

    ctx->policy = "allow";
    if (ctx->context.tool[0] == '\0') {
        return NGX_DECLINED;
    }

    ngx_memzero(&input, sizeof(input));
    input.kind = SBX_POLICY_TOOL;
    ngx_http_sandbox_policy_tool(ctx, &input);
    sbx_policy_view_decide(view, &input, &decision);

    return decision.allowed ? NGX_DECLINED : ngx_http_sandbox_policy_deny(r, ctx, &decision);
}

static void
ngx_http_sandbox_policy_note(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx, const struct sbx_policy *policy)
{
    const struct sbx_session_policy *sessions = &policy->sessions;

    ngx_memcpy(ctx->context.policy_id, policy->id, sizeof(policy->id));
    ctx->context.policy_version = policy->version;
    ctx->context.policy_revision = ngx_http_sandbox_control_revision(r);
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
    ctx->context.retention_audit_ms = policy->retention_audit_ms;
    ngx_memcpy(ctx->context.budget_cpu_ms, policy->budget_cpu_ms, sizeof(policy->budget_cpu_ms));
}

static ngx_int_t
ngx_http_sandbox_policy_decide(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx)
{
    const struct sbx_policy_view *view;
    struct sbx_policy_input input;
    struct sbx_decision decision;
    struct sbx_problem problem;
    struct sbx_field_error err;
    const char *template_name;
    json_t *json = NULL;
    ngx_int_t rc;

    ngx_memzero(&problem, sizeof(problem));
    ngx_memzero(&err, sizeof(err));
    ngx_memzero(&input, sizeof(input));

    if (ngx_http_sandbox_policy_input(r, &input, &json, &problem, &err) != NGX_OK) {
        json_decref(json);
        return ngx_http_sandbox_refuse(r, "body", &problem);
    }

    /* As it is now, not as it was before the body came. Who names no template in the body works in one that was decided on. */
    template_name = input.kind == SBX_POLICY_JOB || input.kind == SBX_POLICY_SESSION ? input.template_name : NULL;
    rc = ngx_http_sandbox_policy(r, ctx, template_name, &view);
    if (rc != NGX_OK) {
        json_decref(json);
        return rc == NGX_DECLINED ? ngx_http_sandbox_policy_refuse_unknown(r)
                                  : ngx_http_sandbox_problem(r, "internal", SBX_PROBLEM_INTERNAL, NULL);
    }

    ngx_http_sandbox_policy_note(r, ctx, &view->merged);
    ngx_http_sandbox_policy_tool(ctx, &input);
    sbx_policy_view_decide(view, &input, &decision);
    if (decision.allowed) {
        rc = ngx_http_sandbox_opa_note(r, ctx, &input, &decision);
    }
    json_decref(json);

    if (rc != NGX_OK) {
        return ngx_http_sandbox_problem(r, "internal", SBX_PROBLEM_INTERNAL, NULL);
    }

    if (!decision.allowed) {
        return ngx_http_sandbox_policy_deny(r, ctx, &decision);
    }

    ctx->policy = "allow";
    if (input.kind != SBX_POLICY_JOB && input.kind != SBX_POLICY_SESSION) {
        return NGX_DECLINED;
    }

    ctx->context.has_limits = true;
    ctx->context.limits = decision.limits;
    ctx->context.isolation = decision.isolation;
    ctx->context.min_isolation = decision.min_isolation;
    ctx->context.max_artifacts = decision.max_artifacts;
    ctx->context.max_artifact_bytes = decision.max_artifact_bytes;

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

    if (!ngx_http_sandbox_body_is_json(r)) {
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

/* Never NGX_OK: with `satisfy any` that would let the request past the other access checks. */
static ngx_int_t
ngx_http_sandbox_policy_handler(ngx_http_request_t *r)
{
    ngx_http_sandbox_policy_loc_conf_t *plcf;
    ngx_http_sandbox_policy_wait_t *wait;
    const struct sbx_policy_view *view;
    ngx_http_sandbox_ctx_t *ctx;
    ngx_uint_t asking;
    ngx_int_t rc;

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

    /* What held before the body was looked up then, and what holds now is for the decision. */
    wait = ngx_http_get_module_ctx(r, ngx_http_sandbox_policy_module);
    if (wait != NULL && wait->body_read) {
        return ngx_http_sandbox_policy_decide(r, ctx);
    }

    rc = ngx_http_sandbox_policy(r, ctx, NULL, &view);
    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? ngx_http_sandbox_policy_refuse_unknown(r) : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_http_sandbox_policy_note(r, ctx, &view->merged);

    /* Only what creates or extends has a body to decide on; reading, listing and ending ask for nothing. */
    asking = plcf->mode == NGX_HTTP_SANDBOX_POLICY_BODY + SBX_POLICY_EXTEND ? NGX_HTTP_PATCH : NGX_HTTP_POST;
    if (plcf->mode == NGX_HTTP_SANDBOX_POLICY_ON || r->method != asking) {
        return ngx_http_sandbox_policy_decide_tool(r, ctx, view);
    }

    return ngx_http_sandbox_policy_read_body(r);
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
ngx_http_sandbox_policy_init_process(ngx_cycle_t *cycle)
{
    /* Not in the master: a reload that fails there takes its copy of this module, and the allocator with it, away again. */
    (void) sbx_json_arena_init();

    return NGX_OK;
}

static void
ngx_http_sandbox_policy_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_sandbox_policy_main_conf_t *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_sandbox_policy_module);

    if (pmcf != NULL) {
        ngx_http_sandbox_policy_views_drop(&pmcf->views);
    }
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
