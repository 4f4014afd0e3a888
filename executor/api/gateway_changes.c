/* GET /v1/gateway/changes: what gateways ask, and wait for. docs/governance.md, "The feed". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/handlers.h"
#include "executor/api/listing.h"
#include "executor/core/changes.h"
#include "executor/core/policy_record.h"
#include "executor/core/rows.h"
#include "lib/sbx_time.h"

#define CHANGES_PAGE 256
#define CHANGES_PAGE_BYTES (1u << 20)
/* The one that begins within the page's bytes may be as long as a document, and escapes may double what is not JSON. */
#define CHANGES_REPLY_MAX (CHANGES_PAGE_BYTES + 2 * POLICY_DOCUMENT_MAX + CHANGES_PAGE * 12288u)
#define CHANGES_WAIT_MAX_MS 30000

static bool
read_after(struct call *call, uint64_t *ret)
{
    char text[24];

    *ret = 0;
    switch (call_param(call, "after", text, sizeof(text))) {
    case CALL_PARAM_ABSENT:
        return true;
    case CALL_PARAM_FINE:
        if (*text != '\0' && strlen(text) <= 18 && strspn(text, "0123456789") == strlen(text)) {
            *ret = strtoull(text, NULL, 10);
            return true;
        }
        break;
    case CALL_PARAM_BAD:
        break;
    }
    return listing_bad(call, "after", "is not a revision");
}

static bool
read_instance(struct call *call, char out[CHANGES_INSTANCE_LEN + 1])
{
    switch (call_param(call, "instance", out, CHANGES_INSTANCE_LEN + 1)) {
    case CALL_PARAM_ABSENT:
        *out = '\0';
        return true;
    case CALL_PARAM_FINE:
        if (*out == '\0' || (strlen(out) == CHANGES_INSTANCE_LEN &&
                             strspn(out, "0123456789abcdef") == CHANGES_INSTANCE_LEN)) {
            return true;
        }
        break;
    case CALL_PARAM_BAD:
        break;
    }
    return listing_bad(call, "instance", "must be 32 digits");
}

static bool
read_wait(struct call *call, uint64_t *ret)
{
    char text[32];

    *ret = 0;
    switch (call_param(call, "wait", text, sizeof(text))) {
    case CALL_PARAM_ABSENT:
        return true;
    case CALL_PARAM_FINE:
        if (sbx_duration_parse(text, strlen(text), ret) && *ret <= CHANGES_WAIT_MAX_MS) {
            return true;
        }
        break;
    case CALL_PARAM_BAD:
        break;
    }
    return listing_bad(call, "wait", "must be a duration of at most 30s");
}

/* The query is still the request's: reading it again is cheaper than keeping it. */
static bool
read_place(struct call *call, struct changes_place *ret)
{
    return read_after(call, &ret->after) && read_instance(call, ret->instance);
}

static void
answer_reset(struct call *call, const struct changes_head *head)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(4096);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "instance", head->instance);
    sbx_jsonw_uint(&w, "revision", 0);
    sbx_jsonw_bool(&w, "complete", false);
    sbx_jsonw_bool(&w, "reset", true);
    sbx_jsonw_array(&w, "changes");
    sbx_jsonw_array_end(&w);
    sbx_jsonw_object_end(&w);
    call_reply_json(call, 200, NULL, 0, &body);
}

static int
write_policy(struct sbx_jsonw *w, const struct db_value *row)
{
    struct policy_target target[POLICY_TARGETS_MAX];
    unsigned n = 0;
    int r;

    if (row[DB_CHANGE_DOCUMENT].type != DB_TEXT || row[DB_CHANGE_APPLIES_TO].type != DB_TEXT) {
        return -EIO;
    }
    r = policy_targets_load(target, &n, row[DB_CHANGE_APPLIES_TO].data);
    sbx_jsonw_uint(w, "version", row_take_number(&row[DB_CHANGE_VERSION]));
    policy_targets_write(w, "applies_to", target, n);
    sbx_jsonw_raw(w, "document", row[DB_CHANGE_DOCUMENT].data, row[DB_CHANGE_DOCUMENT].len);
    return r;
}

static int
write_revocation(struct sbx_jsonw *w, const struct db_value *row)
{
    if (row[DB_CHANGE_EXPIRES_MS].type != DB_INT) {
        return -EIO;
    }
    if (row[DB_CHANGE_TOKEN_ID].type == DB_TEXT) {
        sbx_jsonw_str(w, "token_id", row[DB_CHANGE_TOKEN_ID].data);
    } else if (row[DB_CHANGE_SUBJECT].type == DB_TEXT) {
        sbx_jsonw_str(w, "subject", row[DB_CHANGE_SUBJECT].data);
    } else {
        sbx_jsonw_bool(w, "all", true);
    }
    sbx_jsonw_uint(w, "issued_before", row_take_number(&row[DB_CHANGE_ISSUED_BEFORE_S]));
    /* Up: what ends within a second ends after it. */
    sbx_jsonw_uint(w, "expires_at", (row_take_number(&row[DB_CHANGE_EXPIRES_MS]) + 999) / 1000);
    return 0;
}

static int
write_change(struct sbx_jsonw *w, const struct db_value *row)
{
    const bool policy =
        row[DB_CHANGE_KIND].type == DB_TEXT && strcmp(row[DB_CHANGE_KIND].data, "policy") == 0;
    int r = 0;

    sbx_jsonw_object(w, NULL);
    sbx_jsonw_uint(w, "revision", row_take_number(&row[DB_CHANGE_REVISION]));
    sbx_jsonw_str(w, "kind", row[DB_CHANGE_KIND].data);
    sbx_jsonw_str(w, "tenant", row[DB_CHANGE_TENANT].data);
    sbx_jsonw_str(w, policy ? "policy_id" : "revocation_id", row[DB_CHANGE_OBJECT].data);
    if (row[DB_CHANGE_GONE_MS].type != DB_NULL) {
        sbx_jsonw_bool(w, "deleted", true);
    } else {
        r = policy ? write_policy(w, row) : write_revocation(w, row);
    }
    sbx_jsonw_object_end(w);
    return r;
}

static void
answer_changes(struct call *call, const struct changes_place *place, const struct changes_head *head,
               const struct db_result *result)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(CHANGES_REPLY_MAX);
    const bool any = db_at(result, 0, DB_CHANGE_REVISION)->type != DB_NULL;
    uint64_t last = head->revision;
    bool complete = true;
    struct sbx_jsonw w;
    int r = 0;

    if (any) {
        last = row_take_number(db_at(result, result->n_rows - 1, DB_CHANGE_REVISION));
        complete = last >= head->newest;
        last = complete ? head->revision : last;
    }
    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    /* Who goes on keeps the name under which it began. */
    sbx_jsonw_str(&w, "instance", place->after == 0 ? head->instance : place->instance);
    sbx_jsonw_uint(&w, "revision", last);
    sbx_jsonw_bool(&w, "complete", complete);
    sbx_jsonw_bool(&w, "reset", false);
    sbx_jsonw_array(&w, "changes");
    for (unsigned i = 0; any && i < result->n_rows && r == 0; i++) {
        r = write_change(&w, db_at(result, i, 0));
    }
    sbx_jsonw_array_end(&w);
    sbx_jsonw_object_end(&w);
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    call_reply_json(call, 200, NULL, 0, &body);
}

static void changes_ask(struct call *call);

static void
changes_on_waited(void *arg, enum waiter_result result _unused_)
{
    struct call *call = arg;

    call->waiter = NULL;
    call->wait_ms = 0;
    changes_ask(call);
}

static void
changes_wait_more(struct call *call)
{
    const int r =
        changes_wait(&call->waiter, call->api->spec.changes, call->wait_ms, changes_on_waited, call);

    if (r == CHANGES_E_FULL || r == CHANGES_E_DRAINING) {
        call_reply_problem(call, &(struct sbx_problem){
                                     .code = SBX_PROBLEM_UNAVAILABLE,
                                     .detail = r == CHANGES_E_FULL ? "as many gateways wait as may"
                                                                   : "the executor is stopping",
                                     .retry_after_s = 1,
                                 });
    } else if (r) {
        call_problem_internal(call, r);
    }
}

static void
changes_on_read(struct call *call, int rc, const struct db_result *result)
{
    struct changes *changes = call->api->spec.changes;
    struct changes_place place = { 0 };
    struct changes_head head = { 0 };
    int r = rc != 0 ? rc : changes_head_load(&head, result);

    if (r) {
        call_problem_internal(call, r > 0 ? -EIO : r);
        return;
    }
    if (!read_place(call, &place)) {
        return;
    }
    changes_saw(changes, head.revision);
    if (!changes_place_valid(&place, &head)) {
        answer_reset(call, &head);
    } else if (db_at(result, 0, DB_CHANGE_REVISION)->type != DB_NULL || call->wait_ms == 0) {
        answer_changes(call, &place, &head, result);
    } else if (changes_revision(changes) > head.revision) {
        changes_ask(call); /* something was committed while this was read */
    } else {
        changes_wait_more(call);
    }
}

static void
changes_ask(struct call *call)
{
    struct changes_place place = { 0 };

    if (!read_place(call, &place)) {
        return;
    }
    const struct db_value values[] = { DB_VINT(place.after), DB_VINT(CHANGES_PAGE),
                                       DB_VINT(CHANGES_PAGE_BYTES) };

    call_read(call, DB_CHANGES_AFTER, values, SBX_COUNT(values), changes_on_read);
}

void
handle_gateway_changes(struct call *call)
{
    if (read_wait(call, &call->wait_ms)) {
        changes_ask(call);
    }
}
