/*
 * All erasures that a log has, for the verifier: they come after the events they erase. Read when the first body is
 * missed, and again when one is missed that none of them covers: the log may have grown. The walk itself finds whether
 * they are sound.
 */
#pragma once

#include "audit_chain.h"

#define AUDIT_ERASURES_MAX (1u << 20)

struct audit_erasures {
    struct audit_erasure *items; /* by tenant, then by from */
    uint64_t *reach;             /* the greatest `to` of the tenant's items up to each */
    size_t n, cap;
};

/* 0 and *ret, or -errno; -E2BIG past AUDIT_ERASURES_MAX. Borrows dir_fd. */
_must_check_ int audit_erasures_cover(struct audit_erasures *erasures, int dir_fd,
                                      const struct audit_line *line, bool *ret);
void audit_erasures_deinit(struct audit_erasures *erasures);
