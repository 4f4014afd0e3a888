/*
 * Proves that the audit log is what was written: from the first segment's first line, every number in its
 * turn, every line in its one form, every hash that of its bytes and of the line before. Compared with the
 * index, when there is one, it also finds a tail that was cut and a history rewritten from some line on.
 *
 * Safe beside a running executord: events that are committed and not yet in the log get two seconds to
 * arrive.
 */
#pragma once

#include "audit_chain.h"

enum audit_fault {
    AUDIT_FAULT_NONE,
    AUDIT_FAULT_CHANGED,
    AUDIT_FAULT_MISSING,
    AUDIT_FAULT_REORDERED,
    AUDIT_FAULT_INSERTED,
    AUDIT_FAULT_TRUNCATED,
};

enum {
    AUDIT_E_BROKEN = 1, /* see the report's fault */
};

struct audit_report {
    uint64_t lines, segments; /* that are in order */
    struct audit_chain head;  /* the last line that is in order */
    bool has_index;
    enum audit_fault fault;
    char file[64];    /* segment, "index" when the log is right and the index is not, or "" */
    uint64_t line;    /* in the file, from 1; 0 when it is about the whole file */
    uint64_t seq;     /* the event that is bad or should have been there */
    char detail[192]; /* one sentence, no bytes of the log */
};

/*
 * `database` is the index's url as in db_spec, or NULL. Returns 0, AUDIT_E_BROKEN or -errno (detail says
 * about what); *ret is filled in any case.
 */
_must_check_ int audit_verify(const char *audit_dir, const char *database, struct audit_report *ret);
/* "changed", "missing", "reordered", "inserted", "truncated"; "none". */
const char *audit_fault_name(enum audit_fault fault);
