/*
 * The audit log on disk: segment files that only grow, written by the one thread that commits. It holds the
 * directory's lock, so that two writers can never fork the chain. Blocking.
 */
#pragma once

#include "audit_heads.h"

#define AUDIT_SEGMENT_BYTES (64u << 20)
#define AUDIT_SEGMENT_LINES 100000u

struct audit_log;

struct audit_log_limits {
    uint64_t bytes, lines;    /* a segment that has this much is followed by the next one, */
    uint64_t (*now_ms)(void); /* and one of another day (UTC); NULL: by the clock */
};

/*
 * Opens or makes the directory (0700), takes its lock, cuts a torn last line. On failure `error` says why;
 * -EBUSY: another process has it; -EUCLEAN: the last line is not one of the chain's.
 */
_must_check_ int audit_log_open(struct audit_log **ret, const char *dir,
                                const struct audit_log_limits *limits, char *error, size_t error_size);
struct audit_log *audit_log_close(struct audit_log *log);
/* From now on no segment is followed by another before its last line was signed. -EUCLEAN: heads.jsonl is none. */
_must_check_ int audit_log_sign_with(struct audit_log *log, const struct sbx_sign_key *key,
                                     const char *executor);
/* Signs the last line known to be on disk, if there is a key and that line was not signed. */
_must_check_ int audit_log_sign(struct audit_log *log);
/* NULL without a key. */
const struct audit_head *audit_log_signed(const struct audit_log *log);
/* The first event of the open segment; UINT64_MAX when there is none. What is before will not be written to again. */
uint64_t audit_log_open_first(const struct audit_log *log);
int audit_log_dir(const struct audit_log *log);
/* The last line; seq 0 when there is none. */
const struct audit_chain *audit_log_head(const struct audit_log *log);
/*
 * Appends whole lines, the first of which follows the head, and makes `head` the head. On failure the log is
 * as it was (a torn line is cut now or before the next append).
 */
_must_check_ int audit_log_append(struct audit_log *log, const char *lines, size_t len,
                                  const struct audit_chain *head);
/*
 * Puts what was appended on disk. On failure the head is again what is known to be there: append the rest
 * anew.
 */
_must_check_ int audit_log_sync(struct audit_log *log);
/* The last line known to be on disk. */
uint64_t audit_log_synced(const struct audit_log *log);
