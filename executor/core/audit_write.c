/* What audit events say of who asked and how, and of inputs and outputs. */
#include <stdlib.h>
#include <string.h>

#include "executor/core/audit_inside.h"
#include "lib/sbx_crypto.h"

#define AUDIT_BODY_MAX 262144

void
audit_event_begin(struct audit_event *event)
{
    event->body = (struct sbx_buf)SBX_BUF_INIT(AUDIT_BODY_MAX);
    sbx_jsonw_init_canonical(&event->w, &event->body, &event->canonical);
    sbx_jsonw_object(&event->w, NULL);
}

/* A body that could not be made is no JSON: the store then fails the whole transaction, as it must. */
void
audit_event_end(struct audit_event *event, struct db_tx *tx, struct db_audit *head)
{
    sbx_jsonw_object_end(&event->w);
    head->body = event->body.failed ? "" : event->body.data;
    head->body_len = event->body.failed ? 0 : event->body.len;
    head->canonical = !event->body.failed && !event->canonical.doubt;
    db_tx_audit(tx, head);
    sbx_buf_deinit(&event->body);
}

void
audit_write_who(struct sbx_jsonw *w, const char *app, const char *agent, const char *subject)
{
    if (app != NULL && *app != '\0') {
        sbx_jsonw_str(w, "app", app);
    }
    if (agent != NULL && *agent != '\0') {
        sbx_jsonw_str(w, "agent", agent);
    }
    sbx_jsonw_str(w, "subject", subject);
}

void
audit_write_digest(struct sbx_jsonw *w, const char *key, const void *data, size_t len)
{
    uint8_t digest[SBX_SHA256_LEN];
    char hex[SBX_SHA256_HEX];

    if (sbx_sha256(data, len, digest) != 0) {
        sbx_jsonw_null(w, key);
        return;
    }
    sbx_hex(hex, digest, sizeof(digest));
    sbx_jsonw_str(w, key, hex);
}

void
audit_write_input(struct sbx_jsonw *w, const struct job_spec *spec)
{
    sbx_jsonw_uint(w, "code_bytes", spec->code_len);
    sbx_jsonw_uint(w, "args", spec->n_args);
    sbx_jsonw_uint(w, "env", spec->n_env);
    if (spec->stdin_len > 0) {
        sbx_jsonw_uint(w, "stdin_bytes", spec->stdin_len);
        audit_write_digest(w, "stdin_sha256", spec->stdin_data, spec->stdin_len);
    }
    if (spec->event_json != NULL) {
        audit_write_digest(w, "event_sha256", spec->event_json, spec->event_len);
    }
    if (spec->n_files == 0) {
        return;
    }
    sbx_jsonw_array(w, "files");
    for (unsigned i = 0; i < spec->n_files; i++) {
        sbx_jsonw_object(w, NULL);
        sbx_jsonw_str(w, "path", spec->files[i].path);
        sbx_jsonw_uint(w, "size", spec->files[i].len);
        audit_write_digest(w, "sha256", spec->files[i].data, spec->files[i].len);
        sbx_jsonw_object_end(w);
    }
    sbx_jsonw_array_end(w);
}

void
audit_write_request(struct sbx_jsonw *w, const struct audit_origin *origin)
{
    sbx_jsonw_str(w, "request_sha256", origin->request_sha256);
    if (origin->idempotency_key != NULL) {
        sbx_jsonw_str(w, "idempotency_key", origin->idempotency_key);
    }
}

static void
write_said(struct sbx_jsonw *w, const char *key, const char *text)
{
    if (*text != '\0') {
        sbx_jsonw_str(w, key, text);
    }
}

void
audit_means_take(struct audit_means *ret, const struct sbx_context *context)
{
    *ret = (struct audit_means){
        .policy_version = context->policy_version,
        .policy_revision = context->policy_revision,
        .keep_ms = context->retention_audit_ms,
        .bypass = context->bypass,
    };
    memcpy(ret->token_id, context->token_id, sizeof(ret->token_id));
    memcpy(ret->client, context->client, sizeof(ret->client));
    memcpy(ret->tool, context->tool, sizeof(ret->tool));
    memcpy(ret->policy_id, context->policy_id, sizeof(ret->policy_id));
    /* The trace is the part of traceparent that all who took part share. */
    if (strlen(context->traceparent) > 35) {
        memcpy(ret->trace, context->traceparent + 3, sizeof(ret->trace) - 1);
    }
}

struct audit_asker *
audit_asker_new(const struct sbx_context *context, const char *reason)
{
    struct audit_asker *asker = calloc(1, sizeof(*asker));

    if (asker != NULL) {
        memcpy(asker->app, context->app, sizeof(asker->app));
        memcpy(asker->agent, context->agent, sizeof(asker->agent));
        memcpy(asker->subject, context->subject, sizeof(asker->subject));
        memcpy(asker->request_id, context->request_id, sizeof(asker->request_id));
        audit_means_take(&asker->means, context);
        asker->reason = reason;
    }
    return asker;
}

void
audit_write_means(struct sbx_jsonw *w, const struct audit_means *means)
{
    write_said(w, "token_id", means->token_id);
    write_said(w, "client", means->client);
    write_said(w, "trace", means->trace);
    write_said(w, "tool", means->tool);
    sbx_jsonw_object(w, "policy");
    sbx_jsonw_str(w, "id", means->policy_id);
    sbx_jsonw_uint(w, "version", means->policy_version);
    sbx_jsonw_uint(w, "revision", means->policy_revision);
    sbx_jsonw_object_end(w);
    if (means->bypass) {
        sbx_jsonw_bool(w, "authorization_bypassed", true);
    }
}

static void
write_means(struct sbx_jsonw *w, const struct sbx_context *context)
{
    struct audit_means means;

    audit_means_take(&means, context);
    audit_write_means(w, &means);
}

void
audit_write_context(struct sbx_jsonw *w, const struct sbx_context *context)
{
    audit_write_who(w, context->app, context->agent, context->subject);
    write_means(w, context);
}

void
audit_write_origin(struct sbx_jsonw *w, const struct audit_origin *origin)
{
    audit_write_request(w, origin);
    write_means(w, origin->context);
}

void
audit_write_asker(struct sbx_jsonw *w, const char *key, const struct audit_asker *asker)
{
    if (asker != NULL) {
        sbx_jsonw_object(w, key);
        audit_write_who(w, asker->app, asker->agent, asker->subject);
        sbx_jsonw_str(w, "request_id", asker->request_id);
        audit_write_means(w, &asker->means);
        if (asker->reason != NULL) {
            sbx_jsonw_str(w, "reason", asker->reason);
        }
        sbx_jsonw_object_end(w);
    }
}

void
audit_write_network(struct sbx_jsonw *w)
{
    sbx_jsonw_object(w, "network");
    sbx_jsonw_str(w, "egress", "none");
    sbx_jsonw_null(w, "attempts");
    sbx_jsonw_object_end(w);
}

void
audit_write_violation(struct sbx_jsonw *w, const char *violation_json)
{
    static const char begin[] = "{\"rule\":\"";
    const char *rule;

    if (violation_json == NULL) {
        return;
    }
    sbx_jsonw_raw(w, "violation", violation_json, strlen(violation_json));
    if (strncmp(violation_json, begin, sizeof(begin) - 1) == 0) {
        rule = violation_json + sizeof(begin) - 1;
        sbx_jsonw_strn(w, "rule", rule, strcspn(rule, "\""));
    }
}

void
audit_write_stream(struct sbx_jsonw *w, const char *key, const struct job_stream *stream)
{
    sbx_jsonw_object(w, key);
    sbx_jsonw_uint(w, "bytes", stream->total);
    sbx_jsonw_str(w, "sha256", stream->sha256[0] != '\0' ? stream->sha256 : NULL);
    sbx_jsonw_object_end(w);
}
