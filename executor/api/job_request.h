/* The body of POST /v1/jobs, parsed and validated: shape here, policy elsewhere. */
#pragma once

#include "executor/core/job_spec.h"
#include "lib/sbx_json.h"

#define JOB_MAX_CODE (1u << 20)
#define JOB_MAX_STDIN (8u << 20)
#define JOB_MAX_STDIN_TEXT ((JOB_MAX_STDIN + 2ul) / 3 * 4) /* in base64 */
#define JOB_MAX_ARGS 256
#define JOB_MAX_ARG 4096
#define JOB_MAX_ENV 64
#define JOB_MAX_ENV_VALUE 32768
#define JOB_MAX_ENV_TOTAL 262144
#define JOB_MAX_FILES 64
#define JOB_MAX_FILE_BYTES (8u << 20) /* together */
#define JOB_MAX_FILE_TEXT ((JOB_MAX_FILE_BYTES + 2ul) / 3 * 4)
#define JOB_MAX_PATH 1024
#define JOB_MAX_URI 4096
#define JOB_MAX_PATH_DEPTH 16
#define JOB_MAX_GLOBS 64
#define JOB_MAX_GLOB 512
#define JOB_MAX_EVENT (1u << 20)
#define JOB_MAX_METADATA 32
#define JOB_MAX_METADATA_KEY 64
#define JOB_MAX_METADATA_VALUE 512
#define JOB_MAX_WAIT_MS 600000

enum {
    JOB_REQUEST_E_SYNTAX = 1, /* not a JSON document */
    JOB_REQUEST_E_FIELD,      /* *err names it */
};

/*
 * Returns 0 and a spec that owns everything it needs, a condition above with *err filled, or -errno. Languages
 * and templates are not looked up: any name of the right form passes.
 */
_must_check_ int job_request_parse(struct job_spec **ret, const char *body, size_t len,
                                   struct sbx_field_error *err);
