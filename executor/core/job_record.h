/*
 * What is known of a job: the form that a live job, a row of the database and
 * every reply share. Text members are "" and pointers NULL when there is nothing.
 */
#pragma once

#include "executor/core/job_state.h"
#include "executor/store/blob.h"
#include "lib/sbx_context.h"
#include "lib/sbx_crypto.h"
#include "lib/sbx_id.h"
#include "lib/sbx_isolation.h"

#define JOB_LANGUAGE_LEN 64
#define JOB_TEMPLATE_LEN 32
#define JOB_MESSAGE_LEN 192

enum { JOB_STDOUT, JOB_STDERR, JOB_N_STREAMS };

struct job_stream {
    char *data; /* what was kept, with the mark of an omission inside */
    size_t len;
    uint64_t total;              /* bytes the program wrote */
    char sha256[SBX_SHA256_HEX]; /* of all of them; for the audit */
};

struct job_artifact {
    struct sbx_id id;
    char *path;
    uint64_t size;
    char sha256[SBX_SHA256_HEX];
    const char *mime;          /* static */
    uint8_t key[BLOB_KEY_LEN]; /* of one that is not in the database yet */
};

struct job_record {
    struct sbx_id id;
    enum job_state state;
    char tenant[SBX_NAME_MAX + 1];
    char app[SBX_NAME_MAX + 1];
    char agent[SBX_NAME_MAX + 1];
    char subject[SBX_SUBJECT_MAX + 1];
    char request_id[SBX_NAME_MAX + 1];
    char traceparent[56];
    char language[JOB_LANGUAGE_LEN];
    char template_name[JOB_TEMPLATE_LEN];
    enum sbx_isolation isolation; /* the tier it runs in; settled before it is accepted */
    char code_sha256[SBX_SHA256_HEX];
    uint64_t created_ms, started_ms, finished_ms; /* Unix; 0: not yet */
    bool has_exit_code;
    int exit_code;
    char signal[16];
    struct job_stream stream[JOB_N_STREAMS];
    bool truncated;
    unsigned queue_position; /* 0: it does not wait, or nobody asked */
    bool brief;              /* from a listing: output, result and files were not read */
    char *metadata_json;     /* object */
    char *result_json;       /* any value */
    char *violation_json;    /* object */
    char *usage_json;        /* object */
    char *skipped_json;      /* array */
    struct job_artifact *artifacts;
    unsigned n_artifacts;
    char message[JOB_MESSAGE_LEN];
};

void job_record_deinit(struct job_record *record);
static inline void
job_record_deinitp(struct job_record *record)
{
    job_record_deinit(record);
}
struct job_artifact *job_artifacts_free(struct job_artifact *artifacts, unsigned n);
/* By the name's extension, out of a short list; never by content. */
const char *artifact_mime(const char *path);
