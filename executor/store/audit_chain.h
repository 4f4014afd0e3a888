/*
 * The hash chain and the one form of its lines:
 *
 *   {"seq":N,"ts":"...Z","tenant":"...","kind":"...","object":...,"request_id":...,"decision":...,
 *    "body":{...},"prev":"<hex>","hash":"<hex>"}
 *
 * without white space, in this order, absent texts as null, body with sorted keys. hash is SHA-256 over the
 * line as it would be without its last member; prev is the hash of the line before, 64 zeros for the first.
 */
#pragma once

#include "lib/sbx_buf.h"
#include "lib/sbx_crypto.h"
#include "lib/sbx_time.h"

#define AUDIT_LINE_MAX (384u << 10)        /* more than DB_AUDIT_MAX_* can make */
#define AUDIT_LINE_BUF ((size_t)768 << 10) /* one that is made again, before its size is compared */

struct audit_chain {
    uint64_t seq; /* of the last line; 0 before the first */
    char hash[SBX_SHA256_HEX];
};

struct audit_event {
    uint64_t seq;
    char ts[SBX_RFC3339_LEN];
    const char *tenant, *kind, *object, *request_id, *decision; /* the last three may be NULL */
    const char *body;                                           /* canonical JSON object */
    size_t body_len;
    const char *prev;
};

void audit_chain_init(struct audit_chain *chain);
/* Appends the event's line and '\n' to out; *hash becomes the line's. */
_must_check_ int audit_event_seal(const struct audit_event *event, struct sbx_buf *out,
                                  char hash[SBX_SHA256_HEX]);

enum {
    AUDIT_E_FORM = 1, /* not a line of the chain, or not in its one form */
    AUDIT_E_HASH,     /* the line is well-formed and its hash is not that of its bytes */
};

struct audit_line {
    uint64_t seq;
    char prev[SBX_SHA256_HEX];
    char hash[SBX_SHA256_HEX];
};

/*
 * Reads one line without its '\n'. Returns 0, AUDIT_E_* or -ENOMEM; on AUDIT_E_HASH *ret is filled as well.
 */
_must_check_ int audit_line_parse(struct audit_line *ret, const char *line, size_t len);
