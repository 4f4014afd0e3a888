/* The bodies of POST /v1/sessions, PATCH of one, POST of its steps and contexts: shape here, policy elsewhere. */
#pragma once

#include "executor/api/job_request.h"

#define SESSION_MAX_DURATION_MS (UINT64_C(366) * 86400 * 1000)

/* What they say besides a job_spec's members. */
struct session_request {
    bool has_ttl, has_idle_timeout, has_step_timeout, has_timeout;
    uint64_t ttl_ms, idle_timeout_ms, step_timeout_ms, timeout_ms;
    char *context_name; /* of a step or a context; NULL: not said */
};

/* Each as job_request_parse. language "" when it was not said. */
_must_check_ int session_body_parse(struct job_spec **ret, struct session_request *ret_more, const char *text,
                                    size_t len, struct sbx_field_error *err);
_must_check_ int session_patch_parse(struct job_spec **ret, struct session_request *ret_more,
                                     const char *text, size_t len, struct sbx_field_error *err);
_must_check_ int step_body_parse(struct job_spec **ret, struct session_request *ret_more, const char *text,
                                 size_t len, struct sbx_field_error *err);
_must_check_ int context_body_parse(struct job_spec **ret, struct session_request *ret_more, const char *text,
                                    size_t len, struct sbx_field_error *err);
/* {"files"}: at least one. */
_must_check_ int files_body_parse(struct job_spec **ret, struct session_request *ret_more, const char *text,
                                  size_t len, struct sbx_field_error *err);
/* "key":"value" as it stands in a stored metadata object; false when no object has such a member. */
_must_check_ bool session_metadata_member(struct sbx_buf *out, const char *key, const char *value);
