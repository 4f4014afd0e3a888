/* What is known of an artifact: a row of the database and every answer share it. Text members are "" when there is nothing. */
#pragma once

#include "executor/core/keyring.h"
#include "executor/store/db.h"
#include "lib/sbx_context.h"
#include "lib/sbx_id.h"

#define ARTIFACT_NAME_MAX 512
#define ARTIFACT_PATH_MAX 4096
#define ARTIFACT_MIME_MAX 128
#define ARTIFACT_METADATA_MAX 16384

struct artifact {
    struct sbx_id id;
    char tenant[SBX_NAME_MAX + 1];
    char job_id[SBX_ID_LEN + 1]; /* of at most one of both */
    char session_id[SBX_ID_LEN + 1];
    char *name; /* what it is called: metadata, never a path of ours */
    char *path; /* in its workspace; NULL: it never was in one */
    uint64_t size;
    char sha256[SBX_SHA256_HEX];
    char mime[ARTIFACT_MIME_MAX + 1];
    bool sealed;                     /* else of the time before there were keys */
    uint64_t created_ms, expires_ms; /* Unix; expires_ms 0: never */
    char *metadata_json;             /* object; NULL: none */
    uint8_t wrapped[KEYRING_WRAPPED_LEN];
    size_t wrapped_len; /* 0: not read, or it has no key */
};

void artifact_deinit(struct artifact *artifact);
static inline void
artifact_deinitp(struct artifact *artifact)
{
    artifact_deinit(artifact);
}
/* A row of enum db_artifact_column. */
_must_check_ int artifact_load(struct artifact *ret, const char *tenant, const struct db_result *result,
                               unsigned row);
/* UTF-8 without control characters, 1 to ARTIFACT_NAME_MAX bytes. */
bool artifact_name_valid(const char *name);
/* type/subtype, with parameters or without: something that can stand in a header. */
bool artifact_mime_valid(const char *mime);
