/* What the files of audit events share. */
#pragma once

#include "executor/core/audit.h"
#include "executor/core/audit_means.h"

struct audit_event {
    struct sbx_buf body;
    struct sbx_jsonw_canonical canonical;
    struct sbx_jsonw w;
};

void audit_event_begin(struct audit_event *event);
/* Appends it; head's body is set here. */
void audit_event_end(struct audit_event *event, struct db_tx *tx, struct db_audit *head);
void audit_write_who(struct sbx_jsonw *w, const char *app, const char *agent, const char *subject);
/* All of who asks, from the request's context: who, token, address, trace, tool, policy. */
void audit_write_context(struct sbx_jsonw *w, const struct sbx_context *context);
/* As audit_write_context, of what was kept; without who. */
void audit_write_means(struct sbx_jsonw *w, const struct audit_means *means);
/* An object of who asked and how; nothing for NULL. */
void audit_write_asker(struct sbx_jsonw *w, const char *key, const struct audit_asker *asker);
/* Sandboxes have no interfaces: nothing of what a program tries can be seen, or get out. */
void audit_write_network(struct sbx_jsonw *w);
/* A violation as its record has it, and its rule (ours, the first member: a plain word) where filters look for it. Nothing for NULL. */
void audit_write_violation(struct sbx_jsonw *w, const char *violation_json);
/* Sizes and digests of what a job or a session begins with. */
void audit_write_input(struct sbx_jsonw *w, const struct job_spec *spec);
/* What the request itself was, besides audit_write_context: its digest, its key. */
void audit_write_request(struct sbx_jsonw *w, const struct audit_origin *origin);
/* audit_write_request, and of the context all that audit_write_who has not. */
void audit_write_origin(struct sbx_jsonw *w, const struct audit_origin *origin);
/* A SHA-256 in hex; null when it cannot be made. */
void audit_write_digest(struct sbx_jsonw *w, const char *key, const void *data, size_t len);
void audit_write_stream(struct sbx_jsonw *w, const char *key, const struct job_stream *stream);
