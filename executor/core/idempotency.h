/*
 * Idempotency keys of requests under way. A key belongs to (tenant, subject,
 * route). An entry lives while the first request with the key has no answer yet or
 * what it made is live; after that the database knows the key.
 */
#pragma once

#include "lib/sbx_context.h"
#include "lib/sbx_crypto.h"
#include "lib/sbx_id.h"
#include "lib/sbx_list.h"

#define IDEMPOTENCY_KEY_MAX 255
#define IDEMPOTENCY_ROUTE_MAX 63

enum {
    IDEMPOTENCY_E_MISMATCH = 1, /* the key came with another body before */
    IDEMPOTENCY_E_IN_FLIGHT,    /* the first request has no answer yet */
    IDEMPOTENCY_E_KNOWN,        /* it has one: the entry names what was made */
};

struct idempotency;

struct idempotency_entry {
    struct list link;
    struct idempotency *owner;
    char tenant[SBX_NAME_MAX + 1];
    char subject[SBX_SUBJECT_MAX + 1];
    char route[IDEMPOTENCY_ROUTE_MAX + 1];
    char key[IDEMPOTENCY_KEY_MAX + 1];
    char body_sha256[SBX_SHA256_HEX];
    struct sbx_id object_id; /* "" before anything was admitted */
    bool asked;              /* the first request waits for its answer */
    bool running;            /* what was made is live */
};

struct idempotency_key {
    const char *tenant, *subject, *route, *key, *body_sha256;
};

_must_check_ int idempotency_new(struct idempotency **ret);
struct idempotency *idempotency_free(struct idempotency *idempotency); /* entries die with it */
/* 1 to 255 visible ASCII characters. */
bool idempotency_key_valid(const char *key);
/* Returns 0 with a fresh entry (asked), IDEMPOTENCY_E_KNOWN with the old one, or another condition and no entry. */
_must_check_ int idempotency_begin(struct idempotency *idempotency, const struct idempotency_key *key,
                                   struct idempotency_entry **ret);
/* What the request makes was admitted: a job, a session, a step ... */
void idempotency_set_object(struct idempotency_entry *entry, const struct sbx_id *object_id);
/* The first request was answered or its client is gone. The entry may be freed. Accepts NULL. */
void idempotency_answered(struct idempotency_entry *entry);
/* It is no longer live. The entry may be freed. Accepts NULL. */
void idempotency_object_gone(struct idempotency_entry *entry);
