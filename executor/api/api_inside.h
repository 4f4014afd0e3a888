/* What the files of api/ share of struct api. */
#pragma once

#include "executor/api/api.h"
#include "executor/api/call.h"
#include "lib/sbx_signed_url.h"

#define API_MAX_HEAD 32768
#define API_MAX_BODY 16384 /* of requests that need none */
#define API_MAX_META_BODY 32768
#define API_MAX_JOB_BODY (24u << 20) /* of POST /v1/jobs */
#define API_MAX_STEP_BODY (8u << 20) /* of a step: 1 MiB of code, every byte escaped, and env */
#define API_MAX_PATCH (512u << 10)   /* of what changes a session: metadata */
#define API_MAX_POLICY_BODY                                                                                  \
    (512u << 10)                    /* of a policy: its document, every other byte white space or escaped */
#define API_MAX_UPLOAD (2ull << 30) /* of a file or artifact, when the context says nothing */
#define API_STATUS_CLASSES 6

struct api {
    struct api_spec spec;
    struct sbx_http_server *server;
    struct sbx_context_verifier *verifier;
    uint8_t cursor_key[SBX_SHA256_LEN];
    uint8_t url_key[SBX_SIGNED_URL_KEY_LEN];
    uint64_t requests[API_STATUS_CLASSES]; /* by first digit of the status */
    uint64_t replays, unauthorized;
    struct list streams; /* that are open, or are about to be */
    uint64_t stream_gaps;
    struct list tool_keys; /* tool_keys.h */
    unsigned n_tool_keys_left;
    unsigned n_sockets; /* WebSockets: they are no connections of the server any more */
    uint64_t uploads, upload_bytes, downloads, download_bytes; /* artifacts */
    uint64_t body_bytes; /* promised by the heads of requests not yet answered */
    void (*closed)(void *arg);
    void *closed_arg;
};
