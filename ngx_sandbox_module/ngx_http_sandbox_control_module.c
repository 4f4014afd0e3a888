/* Owns `sandbox_control`: who learns is the learner's matter, what there is the zone's; here is what requests ask. */

#include "ngx_http_sandbox_control.h"
#include "ngx_http_sandbox_limit.h"
#include "ngx_sandbox_control_copy.h"
#include "ngx_sandbox_control_learner.h"

#define NGX_HTTP_SANDBOX_CONTROL_WAIT_MAX 30000 /* executors hold a question no longer */

typedef struct {
    ngx_shm_zone_t *shm_zone;
    ngx_sandbox_fetch_target_t *target;
    ngx_msec_t wait;
    ngx_sandbox_control_learner_t learner;
    ngx_sandbox_control_copies_t copies; /* of this worker */
} ngx_http_sandbox_control_main_conf_t;

static ngx_int_t ngx_http_sandbox_control_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_sandbox_control_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_http_sandbox_control_init(ngx_conf_t *cf);
static void *ngx_http_sandbox_control_create_main_conf(ngx_conf_t *cf);
static ngx_int_t ngx_http_sandbox_control_init_process(ngx_cycle_t *cycle);
static void ngx_http_sandbox_control_exit_process(ngx_cycle_t *cycle);
static char *ngx_http_sandbox_control(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

static ngx_command_t ngx_http_sandbox_control_commands[] = {

    { ngx_string("sandbox_control"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE23,
      ngx_http_sandbox_control,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};

static ngx_http_variable_t ngx_http_sandbox_control_variables[] = {

    { ngx_string("sandbox_control"), NULL, ngx_http_sandbox_control_variable,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};

static ngx_http_module_t ngx_http_sandbox_control_module_ctx = {
    .preconfiguration = ngx_http_sandbox_control_add_variables,
    .postconfiguration = ngx_http_sandbox_control_init,
    .create_main_conf = ngx_http_sandbox_control_create_main_conf,
};

ngx_module_t ngx_http_sandbox_control_module = {
    NGX_MODULE_V1,
    &ngx_http_sandbox_control_module_ctx,
    ngx_http_sandbox_control_commands,
    NGX_HTTP_MODULE,
    NULL,
    NULL,
    ngx_http_sandbox_control_init_process,
    NULL,
    NULL,
    ngx_http_sandbox_control_exit_process,
    NULL,
    NGX_MODULE_V1_PADDING
};

/* NULL without sandbox_control. */
static ngx_http_sandbox_control_main_conf_t *
ngx_http_sandbox_control_conf(ngx_http_request_t *r)
{
    ngx_http_sandbox_control_main_conf_t *ccf;

    ccf = ngx_http_get_module_main_conf(r, ngx_http_sandbox_control_module);

    return ccf->shm_zone == NULL ? NULL : ccf;
}

ngx_flag_t
ngx_http_sandbox_control_configured(ngx_conf_t *cf)
{
    ngx_http_sandbox_control_main_conf_t *ccf;

    ccf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_control_module);

    return ccf->shm_zone != NULL;
}

/* NGX_OK and what holds for the tenant; NGX_DECLINED: that is not known; NGX_ERROR: out of memory. */
static ngx_int_t
ngx_http_sandbox_control_find(ngx_http_sandbox_control_main_conf_t *ccf, const char *tenant,
    ngx_sandbox_control_copy_t **ret)
{
    *ret = ngx_sandbox_control_copy_get(&ccf->copies, tenant);
    if (*ret == NULL) {
        return NGX_ERROR;
    }

    /* Asked last: making the copy is where a zone that must be emptied is found out. */
    if (!ngx_sandbox_control_zone_heard(ccf->copies.zone) || ngx_sandbox_control_copy_unknown(*ret)) {
        return NGX_DECLINED;
    }

    return NGX_OK;
}

ngx_int_t
ngx_http_sandbox_control_acquire(ngx_http_request_t *r, const ngx_sandbox_policy_who_t *who, const char *template_name,
    struct sbx_policy_view *view, ngx_http_sandbox_control_pin_t *pin)
{
    ngx_http_sandbox_control_main_conf_t *ccf = ngx_http_sandbox_control_conf(r);
    ngx_sandbox_control_copy_t *copy;
    ngx_int_t rc;

    if (ccf == NULL) {
        return NGX_OK;
    }

    rc = ngx_http_sandbox_control_find(ccf, who->tenant, &copy);
    if (rc != NGX_OK) {
        return rc;
    }

    if (pin->tenant != NULL) {
        ngx_sandbox_control_copy_drop(pin->tenant);
    }
    ngx_sandbox_control_copy_hold(copy);
    pin->tenant = copy;

    return ngx_sandbox_control_copy_view(copy, who, template_name, view) ? NGX_OK : NGX_ERROR;
}

ngx_int_t
ngx_http_sandbox_control_check(ngx_http_request_t *r, const char *tenant, const ngx_http_sandbox_control_pin_t *pin)
{
    ngx_http_sandbox_control_main_conf_t *ccf = ngx_http_sandbox_control_conf(r);
    ngx_sandbox_control_copy_t *copy;
    ngx_int_t rc;

    if (ccf == NULL) {
        return NGX_OK;
    }

    rc = ngx_http_sandbox_control_find(ccf, tenant, &copy);
    if (rc != NGX_OK) {
        return rc;
    }

    return copy == pin->tenant ? NGX_OK : NGX_AGAIN;
}

void
ngx_http_sandbox_control_release(ngx_http_sandbox_control_pin_t *pin)
{
    if (pin->tenant != NULL) {
        ngx_sandbox_control_copy_drop(pin->tenant);
        pin->tenant = NULL;
    }
}

uint64_t
ngx_http_sandbox_control_change(ngx_http_request_t *r)
{
    ngx_http_sandbox_control_main_conf_t *ccf = ngx_http_sandbox_control_conf(r);

    return ccf == NULL ? 0 : ngx_sandbox_control_zone_change(ccf->copies.zone);
}

uint64_t
ngx_http_sandbox_control_revision(ngx_http_request_t *r)
{
    ngx_http_sandbox_control_main_conf_t *ccf = ngx_http_sandbox_control_conf(r);

    return ccf == NULL ? 0 : ngx_sandbox_control_zone_revision(ccf->copies.zone);
}

ngx_int_t
ngx_http_sandbox_control_revoked(ngx_http_request_t *r, const ngx_http_sandbox_control_token_t *token, uint64_t now_s)
{
    ngx_http_sandbox_control_main_conf_t *ccf = ngx_http_sandbox_control_conf(r);
    ngx_sandbox_control_copy_t *copy;

    if (ccf == NULL) {
        return NGX_OK;
    }

    /* A document that cannot be read says nothing of tokens, and who mends it must be let in. */
    copy = ngx_sandbox_control_copy_get(&ccf->copies, token->tenant);
    if (copy == NULL || ngx_sandbox_control_copy_lost(copy)) {
        return NGX_AGAIN;
    }

    /* Most tenants have none, and then nothing is locked. */
    if (ngx_sandbox_control_copy_revocations(copy)
        && ngx_sandbox_control_zone_revoked(ccf->copies.zone, token->tenant, token->subject, token->token_id,
                                            token->issued_s, now_s))
    {
        return NGX_DECLINED;
    }

    /* The lock may have been where it was found out that nothing is known any more. */
    return ngx_sandbox_control_zone_heard(ccf->copies.zone) ? NGX_OK : NGX_AGAIN;
}

ngx_flag_t
ngx_http_sandbox_control_status(ngx_http_request_t *r, ngx_http_sandbox_control_status_t *ret)
{
    ngx_http_sandbox_control_main_conf_t *ccf = ngx_http_sandbox_control_conf(r);
    ngx_sandbox_control_usage_t usage;

    if (ccf == NULL) {
        return 0;
    }

    ngx_sandbox_control_zone_usage(ccf->copies.zone, &usage);
    ret->revision = usage.revision;
    ret->age_ms = usage.age_ms;
    ret->documents = usage.documents;
    ret->revocations = usage.revocations;
    ret->failures = usage.failures;
    ret->full = usage.full;

    return 1;
}

static ngx_int_t
ngx_http_sandbox_control_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_sandbox_control_main_conf_t *ccf = ngx_http_sandbox_control_conf(r);

    if (ccf == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    if (ngx_sandbox_control_zone_heard(ccf->copies.zone)) {
        v->data = (u_char *) "known";
        v->len = sizeof("known") - 1;
    } else {
        v->data = (u_char *) "unknown";
        v->len = sizeof("unknown") - 1;
    }
    v->valid = 1;

    return NGX_OK;
}

static ngx_int_t
ngx_http_sandbox_control_add_variables(ngx_conf_t *cf)
{
    return ngx_http_sandbox_add_variables(cf, ngx_http_sandbox_control_variables);
}

static ngx_int_t
ngx_http_sandbox_control_init_process(ngx_cycle_t *cycle)
{
    ngx_http_sandbox_control_main_conf_t *ccf;

    ccf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_sandbox_control_module);

    /* The cache's helper processes serve no request. */
    if (ccf == NULL || ccf->shm_zone == NULL
        || (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    ngx_sandbox_control_copies_init(&ccf->copies, ccf->shm_zone->data);

    ccf->learner.zone = ccf->shm_zone->data;
    ccf->learner.target = ccf->target;
    ccf->learner.key = ngx_http_sandbox_cycle_key(cycle);
    ccf->learner.wait = ccf->wait;
    ngx_sandbox_control_learner_start(&ccf->learner, cycle->log);

    return NGX_OK;
}

static void
ngx_http_sandbox_control_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_sandbox_control_main_conf_t *ccf;

    ccf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_sandbox_control_module);

    if (ccf != NULL && ccf->shm_zone != NULL) {
        ngx_sandbox_control_learner_stop(&ccf->learner);
        ngx_sandbox_control_copies_deinit(&ccf->copies);
    }
}

static void *
ngx_http_sandbox_control_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_control_main_conf_t));
}

static ngx_int_t
ngx_http_sandbox_control_init(ngx_conf_t *cf)
{
    if (!ngx_http_sandbox_control_configured(cf)) {
        return NGX_OK;
    }

    if (!ngx_http_sandbox_has_context_key(cf)) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "\"sandbox_control\" needs \"sandbox_context_key_file\"");
        return NGX_ERROR;
    }

    /* Any document that comes may have rates, and limits that nobody counts would be no limits. */
    if (!ngx_http_sandbox_limit_configured(cf)) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "\"sandbox_control\" needs \"sandbox_limit_zone\"");
        return NGX_ERROR;
    }

    return NGX_OK;
}

static char *
ngx_http_sandbox_control(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_control_main_conf_t *ccf = conf;
    ngx_str_t *value = cf->args->elts, text;
    ngx_msec_t wait = NGX_HTTP_SANDBOX_CONTROL_WAIT_MAX;
    ngx_uint_t i;

    if (ccf->target != NULL) {
        return "is duplicate";
    }

    for (i = 2; i < cf->args->nelts; i++) {
        if (value[i].len > 5 && ngx_strncmp(value[i].data, "zone=", 5) == 0 && ccf->shm_zone == NULL) {
            text.data = value[i].data + 5;
            text.len = value[i].len - 5;
            ccf->shm_zone = ngx_sandbox_control_zone_add(cf, &text, &ngx_http_sandbox_control_module);
            if (ccf->shm_zone == NULL) {
                return NGX_CONF_ERROR;
            }
            continue;
        }

        if (value[i].len > 8 && ngx_strncmp(value[i].data, "timeout=", 8) == 0) {
            text.data = value[i].data + 8;
            text.len = value[i].len - 8;
            wait = (ngx_msec_t) ngx_parse_time(&text, 0);
            if (wait >= 1000 && wait <= NGX_HTTP_SANDBOX_CONTROL_WAIT_MAX) {
                continue;
            }
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid timeout \"%V\", it must be 1s to 30s", &value[i]);
            return NGX_CONF_ERROR;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"", &value[i]);
        return NGX_CONF_ERROR;
    }

    if (ccf->shm_zone == NULL) {
        return "needs \"zone=name:size\"";
    }

    ccf->wait = wait;
    ccf->target = ngx_sandbox_fetch_target(cf, &value[1], NULL);

    return ccf->target == NULL ? NGX_CONF_ERROR : NGX_CONF_OK;
}
