/*
 * The verifier's half that looks at heads.jsonl: in step with the walk over the log it compares each signed head with
 * the line it is of, and whose signature is believed. A key is believed when it was given, or when an audit.key event
 * of the log has a believed key vouch for it. Heads before the first believed one may be anybody's: that one stands
 * for all before it.
 */
#pragma once

#include "audit_heads.h"
#include "audit_segments.h"

#define WITNESS_KEYS_MAX 16

struct witness {
    bool open;      /* there is a file */
    bool asked;     /* the caller gave keys */
    bool believing; /* a head of a believed key was seen */
    bool signing;   /* segments end with a signed head from here on */
    bool pending;   /* `next` waits for its line */
    struct audit_head next;
    uint64_t n, seq; /* of the head taken last */
    char executor[AUDIT_EXECUTOR_MAX + 1];
    struct audit_reader reader;
    struct sbx_sign_key *keys[WITNESS_KEYS_MAX];
    unsigned n_keys;
};

enum {
    WITNESS_E_HEADS = 1, /* the file of heads is wrong */
    WITNESS_E_LINE,      /* the line is not what was signed */
    WITNESS_E_CUT,       /* heads of lines that the log has no more, or heads that are missing */
};

struct witness_why {
    const char *sentence;
    bool missing; /* WITNESS_E_HEADS: heads are not there; else one was changed */
    bool moved;   /* or stands elsewhere */
    bool absent;  /* it is about what should follow the head taken last */
};

/* Borrows dir_fd for the call; copies the keys. Each: 0, WITNESS_E_* with *why, or -errno. */
_must_check_ int witness_open(struct witness *witness, int dir_fd, struct sbx_sign_key *const *keys,
                              unsigned n_keys, struct witness_why *why);
void witness_close(struct witness *witness);
/* A line that is in order, in its turn. */
_must_check_ int witness_line(struct witness *witness, const struct audit_line *line, const char *text,
                              size_t len, struct witness_why *why);
/* No line of the segment follows the one with this number. */
_must_check_ int witness_segment_end(const struct witness *witness, uint64_t seq, struct witness_why *why);
/* The log is over; at least signed_n heads were known to be on disk. */
_must_check_ int witness_end(const struct witness *witness, uint64_t signed_n, struct witness_why *why);
