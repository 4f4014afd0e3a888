/* What the files of audit events share. */
#pragma once

#include "executor/core/audit.h"

struct audit_event {
    struct sbx_buf body;
    struct sbx_jsonw w;
};

void audit_event_begin(struct audit_event *event);
/* Appends it; head's body is set here. */
void audit_event_end(struct audit_event *event, struct db_tx *tx, struct db_audit *head);
void audit_write_who(struct sbx_jsonw *w, const char *app, const char *agent, const char *subject);
/* Sizes and digests of what a job or a session begins with. */
void audit_write_input(struct sbx_jsonw *w, const struct job_spec *spec);
void audit_write_origin(struct sbx_jsonw *w, const struct audit_origin *origin);
void audit_write_stream(struct sbx_jsonw *w, const char *key, const struct job_stream *stream);
