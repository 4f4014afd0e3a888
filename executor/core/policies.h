/*
 * The policies of all tenants. Each change makes a version, tells who watches and whom gateways ask (changes.h), and is in
 * the audit log: all in one transaction. A version that was read before is held to: of two changes that began with the same
 * one, one is made.
 */
#pragma once

#include "executor/core/audit.h"
#include "executor/core/changes.h"
#include "executor/core/policy_record.h"
#include "lib/sbx_policy_doc.h"

#define POLICIES_PER_TENANT 256
#define POLICIES_PER_TARGET SBX_POLICY_PER_TARGET_MAX
/* Of a tenant's documents as they are now: all gateways and executors keep them in memory that all tenants share. */
#define POLICIES_BYTES (4u << 20)
#define POLICY_VERSIONS_KEPT 1000
#define POLICY_VERSIONS_BYTES (16u << 20) /* of one policy together; the newest is kept in any case */

enum {
    POLICIES_E_STALE = DB_E_OWN, /* it is not there, or not in that version */
    POLICIES_E_FULL,             /* the tenant has as many as it may */
    POLICIES_E_BYTES,            /* its documents have as many bytes as they may */
    POLICIES_E_TARGET,           /* and above: as many apply to target[rc - POLICIES_E_TARGET] as may */
};

struct policies;

_must_check_ int policies_new(struct policies **ret, struct changes *changes);
/* After the database was closed: no callback may be due. Accepts NULL, returns NULL. */
struct policies *policies_free(struct policies *policies);
struct changes *policies_changes(const struct policies *policies);

/* Borrows until policies_prepare returns. */
struct policy_edit {
    const struct policy_record *record; /* what it is to be; version is the one it gets */
    uint32_t before;                    /* the version it replaces; 0: it is new */
    uint32_t rolled_back;               /* to what that version said; 0: no */
    const struct audit_origin *origin;
};
/* A transaction to which more may be added. */
_must_check_ int policies_prepare(struct db_tx **ret, struct policies *policies,
                                  const struct policy_edit *edit);
/* `version` 0: whichever it is in. The record says what is deleted. */
_must_check_ int policies_prepare_delete(struct db_tx **ret, struct policies *policies,
                                         const struct policy_record *record, uint32_t version,
                                         const struct audit_origin *origin);

/* 0 when it is durable, one of the above, or -errno. */
typedef void (*policies_done_fn)(void *arg, int rc);
struct policy_submission {
    struct policy_record *record; /* taken, also on failure; whoever watches is shown it */
    bool created, deleted;
    policies_done_fn done;
    void *arg;
};
/* Takes tx. -ENOMEM: done is not called. */
_must_check_ int policies_submit(struct policies *policies, struct db_tx *tx,
                                 const struct policy_submission *submission);

/* Called from the loop after each commit, before who asked is answered, in the order of revisions. Borrows. */
struct policy_change {
    uint64_t revision;
    const struct policy_record *record; /* of one that is deleted: id, tenant and what it applied to */
    bool deleted;
};
typedef void (*policies_changed_fn)(void *arg, const struct policy_change *change);
void policies_watch(struct policies *policies, policies_changed_fn changed, void *arg);

/*
 * Reads all policies that apply to something, of all tenants: `visit` for each (borrows), then `done` once, with 0 or
 * -errno. For the start, before anybody is served: what changes meanwhile may be visited or not.
 */
typedef void (*policies_visit_fn)(void *arg, const struct policy_record *record);
_must_check_ int policies_each(struct policies *policies, policies_visit_fn visit, policies_done_fn done,
                               void *arg);
