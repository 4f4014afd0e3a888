#include "executor/api/identity.h"

#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/routes.h"
#include "executor/log.h"
#include "lib/sbx_time.h"

void
identity_anonymous(struct call *call)
{
    const char *given = sbx_http_request_header(call->request, "X-Request-Id");
    const char *trace = sbx_http_request_header(call->request, "traceparent");
    struct sbx_id id;

    if (given != NULL && sbx_name_valid(given, strlen(given))) {
        memcpy(call->request_id, given, strlen(given) + 1);
    } else if (sbx_id_new(&id, "req") == 0) {
        memcpy(call->request_id, id.text, sizeof(id.text));
    }
    if (sbx_traceparent_child(call->traceparent, trace, trace == NULL ? 0 : strlen(trace)) != 0) {
        call->traceparent[0] = '\0';
    }
}

static const char *
identity_reason(int r)
{
    switch (r) {
    case SBX_CONTEXT_E_FORM:
        return "form";
    case SBX_CONTEXT_E_MAC:
        return "signature";
    case SBX_CONTEXT_E_TIME:
        return "time";
    default:
        return "internal";
    }
}

static bool
identity_refuse(struct call *call, const char *reason)
{
    call->api->unauthorized++;
    log_warn("identity.refused", LOG_STR("request_id", call->request_id), LOG_STR("reason", reason));
    return false;
}

/* Fire and forget is right here: the request itself stands or falls with its own records. */
static void
identity_on_bypass_stored(void *arg _unused_, int rc, const struct db_result *result _unused_)
{
    if (rc) {
        log_error("audit.bypass_failed", LOG_INT("code", rc));
    }
}

static void
identity_audit_bypass(struct call *call)
{
    struct db_tx *tx;

    log_warn("authz.bypass", LOG_STR("request_id", call->request_id),
             LOG_STR("tenant", call->context.tenant));
    if (db_tx_new(&tx, engine_db(call->api->spec.engine)) != 0) {
        log_error("audit.bypass_failed", LOG_INT("code", -ENOMEM));
        return;
    }
    audit_bypass(tx, &call->context, sbx_http_request_method(call->request), route_name(call));
    db_tx_submit(tx, identity_on_bypass_stored, NULL);
}

bool
identity_verify(struct call *call)
{
    const struct api_spec *spec = &call->api->spec;
    const char *value = sbx_http_request_header(call->request, SBX_CONTEXT_HEADER);
    int r;

    if (value == NULL || sbx_http_request_header_count(call->request, SBX_CONTEXT_HEADER) != 1) {
        return identity_refuse(call, value == NULL ? "absent" : "repeated");
    }
    r = sbx_context_verify(&call->context, call->api->verifier, value, strlen(value), sbx_now_unix_ms());
    if (r) {
        return identity_refuse(call, identity_reason(r));
    }
    if (call->context.bypass && !spec->accept_bypass) {
        return identity_refuse(call, "bypass");
    }
    if (call->context.gateway && (call->route == NULL || !route_is_internal(call->route))) {
        return identity_refuse(call, "gateway");
    }

    call->identified = true;
    memcpy(call->request_id, call->context.request_id, sizeof(call->request_id));
    if (call->context.traceparent[0] != '\0') {
        memcpy(call->traceparent, call->context.traceparent, sizeof(call->traceparent));
    }
    if (call->context.bypass) {
        identity_audit_bypass(call);
    }
    return true;
}
