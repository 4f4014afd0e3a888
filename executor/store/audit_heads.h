/*
 * heads.jsonl: the chain's head as it was from time to time, signed, so that who holds the public key and one head
 * knows the whole log before it:
 *
 *   {"n":N,"seq":N,"hash":"<hex>","ts":"...Z","executor":"<id>","key_id":"<16 hex>","sig":"<base64url>"}
 *
 * without white space, in this order. n counts heads from 1; executor is made with the database; sig is Ed25519 over
 * "ngx_sandbox audit head v1\n" and the line as it would be without its last member.
 */
#pragma once

#include "audit_chain.h"
#include "lib/sbx_sign.h"

#define AUDIT_HEADS_NAME "heads.jsonl"
#define AUDIT_HEAD_LINE_MAX 1024
#define AUDIT_EXECUTOR_MAX 64
#define AUDIT_KEY_RAW_TEXT 64 /* a raw public key in base64url, and NUL */

struct audit_head {
    uint64_t n, seq;
    char hash[SBX_SHA256_HEX];
    char ts[SBX_RFC3339_LEN];
    char executor[AUDIT_EXECUTOR_MAX + 1];
    char key_id[SBX_SIGN_ID];
    uint8_t sig[SBX_SIGN_LEN];
};

/* Appends the line and '\n'. */
void audit_head_write(const struct audit_head *head, struct sbx_buf *out);
/* 0 or AUDIT_E_FORM. */
_must_check_ int audit_head_parse(struct audit_head *ret, const char *line, size_t len);
/* Fills in key_id and sig. */
_must_check_ int audit_head_sign(struct audit_head *head, const struct sbx_sign_key *key);
_must_check_ bool audit_head_verify(const struct audit_head *head, const struct sbx_sign_key *key);

/*
 * What the old key signs when another takes over: "ngx_sandbox audit key v1\n<executor>\n<raw public key, base64url>".
 */
_must_check_ int audit_key_message(struct sbx_buf *out, const char *executor,
                                   const uint8_t raw[SBX_SIGN_RAW]);

struct audit_heads;

struct audit_heads_spec {
    int dir_fd;                     /* borrows for the call */
    const struct sbx_sign_key *key; /* borrows */
    const char *executor;           /* copied */
};

/* Opens or makes the file, cuts a torn last line. -EUCLEAN: the last line is no head. Blocking. */
_must_check_ int audit_heads_open(struct audit_heads **ret, const struct audit_heads_spec *spec);
struct audit_heads *audit_heads_close(struct audit_heads *heads);
/* The last one; n 0 when there is none. */
const struct audit_head *audit_heads_last(const struct audit_heads *heads);
/* Signs the chain's head, unless the last one is of the same event; on disk when it returns 0. */
_must_check_ int audit_heads_add(struct audit_heads *heads, const struct audit_chain *head);
