/*
 * The hash chain and the two forms of its lines. Form 2 is the one that is written:
 *
 *   {"seq":N,"ts":"...Z","tenant":"...","kind":"...","object":...,"request_id":...,"decision":...,
 *    "keep_until":...,"body_sha256":"<hex>","prev":"<hex>","hash":"<hex>","body":{...}}
 *
 * without white space, in this order, absent texts as null, body with sorted keys, or null once it was erased. hash is
 * SHA-256 over the line as it would be without its last two members, so the body counts by its digest alone; prev is
 * the hash of the line before, 64 zeros for the first. Form 1, of older logs, is
 *
 *   {"seq":N, ... "decision":...,"body":{...},"prev":"<hex>","hash":"<hex>"}
 *
 * where hash is over all but the last member: its bodies stay. No line of form 1 follows one of form 2.
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

enum audit_form { AUDIT_FORM_WHOLE = 1, AUDIT_FORM_DIGEST = 2 };

struct audit_event {
    enum audit_form form;
    uint64_t seq;
    char ts[SBX_RFC3339_LEN], keep_until[SBX_RFC3339_LEN];      /* the latter "": for ever */
    const char *tenant, *kind, *object, *request_id, *decision; /* the last three may be NULL */
    const char *body;                                           /* canonical JSON object; NULL: erased */
    size_t body_len;
    char body_sha256[SBX_SHA256_HEX]; /* of form 2 */
    const char *prev;
};

void audit_chain_init(struct audit_chain *chain);
/* Fills in body_sha256 from the body. */
_must_check_ int audit_event_digest(struct audit_event *event);
/* Appends the event's line and '\n' to out; *hash becomes the line's. */
_must_check_ int audit_event_seal(const struct audit_event *event, struct sbx_buf *out,
                                  char hash[SBX_SHA256_HEX]);

enum {
    AUDIT_E_FORM = 1, /* not a line of the chain, or not in its one form */
    AUDIT_E_HASH,     /* the line is well-formed and a hash in it is not that of its bytes */
};

#define AUDIT_NAME_MAX 64 /* of a tenant: longer ones are cut here */

struct audit_line {
    uint64_t seq;
    enum audit_form form;
    bool erased;
    char ts[SBX_RFC3339_LEN], keep_until[SBX_RFC3339_LEN];
    char tenant[AUDIT_NAME_MAX + 1];
    char prev[SBX_SHA256_HEX];
    char hash[SBX_SHA256_HEX];
};

/*
 * What an audit.erased event says: bodies of the tenant's events from..to whose keep_until is not after `until` are
 * gone.
 */
struct audit_erasure {
    char tenant[AUDIT_NAME_MAX + 1];
    uint64_t from, to;
    char until[SBX_RFC3339_LEN];
};

#define AUDIT_ERASED_KIND "audit.erased"
#define AUDIT_KEY_KIND "audit.key"

/*
 * Reads one line without its '\n'. Returns 0, AUDIT_E_* or -ENOMEM; on AUDIT_E_HASH *ret is filled as well.
 */
_must_check_ int audit_line_parse(struct audit_line *ret, const char *line, size_t len);
/* Whether the line, which was found sound, is an erasure; fills *ret then. */
bool audit_erasure_parse(struct audit_erasure *ret, const char *line, size_t len);
bool audit_erasure_covers(const struct audit_erasure *erasure, const struct audit_line *line);
