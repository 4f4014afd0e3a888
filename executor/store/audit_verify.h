/*
 * Proves that the audit log is what was written: from the first segment's first line, every number in its
 * turn, every line in its one form, every hash that of its bytes and of the line before, every body there unless an
 * erasure covers it. Compared with the index, when there is one, or with signed heads and the public key, it also finds
 * a tail that was cut and a history rewritten from some line on.
 *
 * Safe beside a running executord: events that are committed and not yet in the log get two seconds to
 * arrive.
 */
#pragma once

#include "audit_heads.h"

enum audit_fault {
    AUDIT_FAULT_NONE,
    AUDIT_FAULT_CHANGED,
    AUDIT_FAULT_MISSING,
    AUDIT_FAULT_REORDERED,
    AUDIT_FAULT_INSERTED,
    AUDIT_FAULT_TRUNCATED,
    AUDIT_FAULT_ERASED, /* a body is gone and no erasure says so */
};

enum {
    AUDIT_E_BROKEN = 1, /* see the report's fault */
};

struct audit_report {
    uint64_t lines, segments; /* that are in order */
    struct audit_chain head;  /* the last line that is in order */
    bool has_index;
    uint64_t heads;      /* signed ones that are in order */
    bool believed;       /* and a given key stands behind them */
    uint64_t tombstones; /* events whose body was erased, as an erasure says */
    uint64_t pending;    /* erased in the index, not yet in the log */
    enum audit_fault fault;
    char file[64];    /* segment, heads.jsonl, "index" when the log is right and the index is not, or "" */
    uint64_t line;    /* in the file, from 1; 0 when it is about the whole file */
    uint64_t seq;     /* the event that is bad or should have been there */
    char detail[192]; /* one sentence, no bytes of the log */
};

/*
 * `database` is the index's url as in db_spec, or NULL. Returns 0, AUDIT_E_BROKEN or -errno (detail says
 * about what); *ret is filled in any case.
 */
_must_check_ int audit_verify(const char *audit_dir, const char *database, struct audit_report *ret);
struct audit_verify_spec {
    const char *dir, *database;
    struct sbx_sign_key *const *keys; /* public ones that are believed; borrows */
    unsigned n_keys;
};
_must_check_ int audit_verify_with(const struct audit_verify_spec *spec, struct audit_report *ret);
/* "changed", "missing", "reordered", "inserted", "truncated", "erased"; "none". */
const char *audit_fault_name(enum audit_fault fault);
