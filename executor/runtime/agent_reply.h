/*
 * Judges what a session agent answered. The agent is on the hostile side: each
 * byte is bounded and checked, unknown members are refused, and its own word on
 * time and memory is checked for shape and then dropped. Pure: no socket, no loop.
 */
#pragma once

#include "executor/runtime/runtime.h"

#define AGENT_REPLY_MAX_RESULT (1024ul * 1024)
/* Entries of files_skipped, and files_skipped_count: an agent looks at 10000 files and tells of the first. */
#define AGENT_REPLY_MAX_SKIPPED 200u
#define AGENT_REPLY_MAX_SKIPPED_COUNT 12000u
#define AGENT_REPLY_MAX_PATH 1024u
/* Of a whole reply to a step: the result, and paths of artifacts taken and skipped. */
#define AGENT_REPLY_MAX_BODY (8ul * 1024 * 1024)

enum {
    AGENT_REPLY_E_INVALID = 1, /* *err says what; nothing of the reply may be used */
};

struct agent_reply_rules {
    const char *step_id; /* must come back */
    unsigned max_artifacts;
    uint64_t max_artifact_bytes; /* of all together */
};

/* Fills everything but report; *ret must be zero. After an error too runtime_outcome_deinit is due. */
_must_check_ int agent_reply_step(struct runtime_outcome *ret, const char *body, size_t len,
                                  const struct agent_reply_rules *rules, struct sbx_field_error *err);
/* One printable line out of a problem document, into at least 32 bytes; a constant when there is none. */
void agent_reply_refusal(char *message, size_t size, const char *body, size_t len);
/* Whether this is the answer of a healthy agent. */
bool agent_reply_health(const char *body, size_t len);
/* Whether a file may be asked for by this name: relative, normal, printable UTF-8. */
bool agent_reply_path_valid(const char *path, size_t len);

void runtime_outcome_deinit(struct runtime_outcome *outcome);
