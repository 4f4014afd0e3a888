/*
 * Bodies whose time is over go: an audit.erased event and the rows in one transaction, then the segment, written anew
 * beside itself and renamed. What is committed and not yet done in the files is in a list in the database, so a start
 * goes on with it. Only segments that are not written to any more; a segment at a time.
 */
#pragma once

#include "sqlite_audit.h"

#define ERASE_FAILED_MAX 256

/* Segments that could not be rewritten since the start: each is told once, and does not hold up the others. */
struct erase_failures {
    uint64_t first[ERASE_FAILED_MAX];
    bool for_good[ERASE_FAILED_MAX]; /* what is in it is not what it should be: not tried again */
    unsigned n;
    _Atomic uint64_t count;
};

/* One batch, on the writer's thread between two rounds. 1 when there may be more, 0, or -errno. */
_must_check_ int sqlite_erase(struct sqlite_conn *conn, struct audit_log *log,
                              struct sqlite_audit_state *state, struct erase_failures *failures);
