#include "executor/core/policies.h"

#include <stdlib.h>
#include <string.h>

#include "executor/core/audit_policy.h"
#include "executor/core/rows.h"
#include "executor/store/stmts.h"
#include "lib/sbx_time.h"

#define EACH_PAGE 32
#define CHANGE_OVERHEAD 512 /* bytes of a change besides its document, about */
#define MAX_WATCHERS 4

struct policies {
    struct changes *changes;
    struct {
        policies_changed_fn changed;
        void *arg;
    } watcher[MAX_WATCHERS];
    unsigned n_watchers;
};

int
policies_new(struct policies **ret, struct changes *changes)
{
    struct policies *policies = calloc(1, sizeof(*policies));

    if (policies == NULL) {
        return -ENOMEM;
    }
    policies->changes = changes;
    *ret = policies;
    return 0;
}

struct policies *
policies_free(struct policies *policies)
{
    free(policies);
    return NULL;
}

struct changes *
policies_changes(const struct policies *policies)
{
    return policies->changes;
}

void
policies_watch(struct policies *policies, policies_changed_fn changed, void *arg)
{
    assert(policies->n_watchers < MAX_WATCHERS);
    policies->watcher[policies->n_watchers].changed = changed;
    policies->watcher[policies->n_watchers++].arg = arg;
}

static void
add_head(struct db_tx *tx, const struct policy_edit *edit)
{
    const struct policy_record *record = edit->record;
    const struct db_value fresh[] = {
        DB_VTEXT(record->id.text),   DB_VTEXT(record->tenant),     DB_VTEXT(record->name),
        DB_VINT(record->created_ms), DB_VINT(POLICIES_PER_TENANT),
    };
    const struct db_value next[] = {
        DB_VTEXT(record->tenant), DB_VTEXT(record->id.text), DB_VINT(edit->before),
        DB_VINT(record->version), DB_VTEXT(record->name),
    };

    if (edit->before == 0) {
        db_tx_add(tx, DB_POLICY_INSERT, fresh, SBX_COUNT(fresh));
        db_tx_expect(tx, POLICIES_E_FULL);
    } else {
        db_tx_add(tx, DB_POLICY_UPDATE, next, SBX_COUNT(next));
        db_tx_expect(tx, POLICIES_E_STALE);
    }
}

static int
add_version(struct db_tx *tx, const struct policy_record *record)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf targets = SBX_BUF_INIT(POLICY_TARGETS_TEXT_MAX);
    const struct db_value kept[] = { DB_VTEXT(record->id.text), DB_VINT(POLICY_VERSIONS_KEPT),
                                     DB_VINT(POLICY_VERSIONS_BYTES) };

    policy_targets_text(&targets, record);
    if (targets.failed) {
        return -ENOMEM;
    }
    const struct db_value values[] = {
        DB_VTEXT(record->id.text),
        DB_VINT(record->version),
        DB_VINT(strlen(record->document)),
        DB_VINT(record->updated_ms),
        DB_VTEXT(record->updated_by),
        DB_VTEXT(record->name),
        row_text_or_null(record->message),
        DB_VTEXT(record->sha256),
        DB_VTEXT(targets.len == 0 ? "" : targets.data),
        row_text_or_null(record->description),
        DB_VTEXT(record->document),
        DB_VTEXT(record->tenant),
        DB_VINT(POLICIES_BYTES),
    };

    db_tx_add(tx, DB_POLICY_VERSION_INSERT, values, SBX_COUNT(values));
    db_tx_expect(tx, POLICIES_E_BYTES);
    db_tx_add(tx, DB_POLICY_VERSIONS_PRUNE, kept, SBX_COUNT(kept));
    return 0;
}

static void
add_targets(struct db_tx *tx, const struct policy_record *record)
{
    const struct db_value of[] = { DB_VTEXT(record->id.text) };

    db_tx_add(tx, DB_POLICY_TARGETS_DELETE, of, SBX_COUNT(of));
    for (unsigned i = 0; i < record->n_targets; i++) {
        const struct db_value values[] = {
            DB_VTEXT(record->tenant),         DB_VTEXT(policy_target_kind_name(record->target[i].kind)),
            DB_VTEXT(record->target[i].name), DB_VTEXT(record->id.text),
            DB_VINT(POLICIES_PER_TARGET),
        };

        db_tx_add(tx, DB_POLICY_TARGET_INSERT, values, SBX_COUNT(values));
        db_tx_expect(tx, POLICIES_E_TARGET + (int)i);
    }
}

int
policies_prepare(struct db_tx **ret, struct policies *policies, const struct policy_edit *edit)
{
    const struct policy_record *record = edit->record;
    const struct change change = {
        .kind = "policy",
        .tenant = record->tenant,
        .object = record->id.text,
        .bytes = strlen(record->document) + CHANGE_OVERHEAD + record->n_targets * 96ul,
    };
    struct db_tx *tx;
    int r;

    r = db_tx_new(&tx, changes_db(policies->changes));
    if (r) {
        return r;
    }
    add_head(tx, edit);
    r = add_version(tx, record);
    if (r) {
        db_tx_free(tx);
        return r;
    }
    add_targets(tx, record);
    changes_add(tx, &change);
    audit_policy_changed(tx, edit);
    *ret = tx;
    return 0;
}

int
policies_prepare_delete(struct db_tx **ret, struct policies *policies, const struct policy_record *record,
                        uint32_t version, const struct audit_origin *origin)
{
    const struct db_value head[] = { DB_VTEXT(record->tenant), DB_VTEXT(record->id.text), DB_VINT(version) };
    const struct db_value of[] = { DB_VTEXT(record->id.text) };
    const struct change change = {
        .kind = "policy",
        .tenant = record->tenant,
        .object = record->id.text,
        .bytes = CHANGE_OVERHEAD,
        .gone_ms = sbx_now_unix_ms(),
    };
    struct db_tx *tx;
    int r;

    r = db_tx_new(&tx, changes_db(policies->changes));
    if (r) {
        return r;
    }
    db_tx_add(tx, DB_POLICY_DELETE, head, SBX_COUNT(head));
    db_tx_expect(tx, POLICIES_E_STALE);
    db_tx_add(tx, DB_POLICY_TARGETS_DELETE, of, SBX_COUNT(of));
    db_tx_add(tx, DB_POLICY_VERSIONS_DELETE, of, SBX_COUNT(of));
    changes_add(tx, &change);
    audit_policy_deleted(tx, record, origin);
    *ret = tx;
    return 0;
}

struct submitted {
    struct policies *policies;
    struct policy_submission spec;
};

static void
submitted_on_stored(void *arg, int rc, uint64_t revision)
{
    struct submitted *submitted = arg;
    struct policies *policies = submitted->policies;
    const struct policy_change change = {
        .revision = revision,
        .record = submitted->spec.record,
        .deleted = submitted->spec.deleted,
    };

    if (rc == 0) {
        changes_count_policies(policies->changes, submitted->spec.created - submitted->spec.deleted);
        for (unsigned i = 0; i < policies->n_watchers; i++) {
            policies->watcher[i].changed(policies->watcher[i].arg, &change);
        }
    }
    submitted->spec.done(submitted->spec.arg, rc);
    policy_record_free(submitted->spec.record);
    free(submitted);
}

int
policies_submit(struct policies *policies, struct db_tx *tx, const struct policy_submission *submission)
{
    struct submitted *submitted = malloc(sizeof(*submitted));
    int r;

    if (submitted == NULL) {
        db_tx_free(tx);
        policy_record_free(submission->record);
        return -ENOMEM;
    }
    *submitted = (struct submitted){ policies, *submission };
    r = changes_submit(policies->changes, tx, submitted_on_stored, submitted);
    if (r) {
        policy_record_free(submission->record);
        free(submitted);
    }
    return r;
}

struct each {
    struct policies *policies;
    policies_visit_fn visit;
    policies_done_fn done;
    void *arg;
    struct sbx_id last;
};

static void each_read(struct each *each);

static int
each_row(struct each *each, const struct db_result *result, unsigned row)
{
    _cleanup_(policy_record_deinitp) struct policy_record record = { 0 };
    const struct db_value *tenant = db_at(result, row, DB_POLICY_N_COLUMNS);
    struct db_result one = {
        .n_rows = 1,
        .n_columns = DB_POLICY_N_COLUMNS,
        .values = db_at(result, row, 0),
    };
    int r;

    if (tenant->type != DB_TEXT) {
        return -EIO;
    }
    r = policy_record_load(&record, tenant->data, &one, 0);
    if (r == 0) {
        each->last = record.id;
        each->visit(each->arg, &record);
    }
    return r;
}

static void
each_on_read(void *arg, int rc, const struct db_result *result)
{
    struct each *each = arg;
    int r = rc > 0 ? -EIO : rc;

    for (unsigned i = 0; r == 0 && i < result->n_rows; i++) {
        r = each_row(each, result, i);
    }
    if (r == 0 && result->n_rows == EACH_PAGE) {
        each_read(each);
        return;
    }
    each->done(each->arg, r);
    free(each);
}

static void
each_read(struct each *each)
{
    const struct db_value values[] = { DB_VTEXT(each->last.text), DB_VINT(EACH_PAGE) };

    db_read(changes_db(each->policies->changes), DB_POLICIES_IN_FORCE, values, SBX_COUNT(values),
            each_on_read, each);
}

int
policies_each(struct policies *policies, policies_visit_fn visit, policies_done_fn done, void *arg)
{
    struct each *each = malloc(sizeof(*each));

    if (each == NULL) {
        return -ENOMEM;
    }
    *each = (struct each){ .policies = policies, .visit = visit, .done = done, .arg = arg };
    each_read(each);
    return 0;
}
