/* GET /v1/policies, and the versions of one: listings, one version, what changed between two. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/handlers.h"
#include "executor/api/listing.h"
#include "executor/api/policy_diff.h"
#include "executor/api/policy_work.h"
#include "executor/api/reply_parts.h"
#include "executor/core/artifact.h"

#define LIST_REPLY_MAX (4u << 20)

struct policies_listing {
    char name[POLICY_NAME_MAX + 1]; /* "" when not asked for */
    bool by_target;
    struct policy_target target;
    char scope[LISTING_SCOPE_MAX]; /* what the cursor is bound to */
    struct cursor after;
    unsigned limit;
};

static bool
listing_name(struct call *call, struct policies_listing *listing)
{
    const enum call_param given = call_param(call, "name", listing->name, sizeof(listing->name));

    if (given == CALL_PARAM_ABSENT) {
        listing->name[0] = '\0';
        return true;
    }
    return (given == CALL_PARAM_FINE && artifact_name_valid(listing->name)) ||
           listing_bad(call, "name", "is no policy's name");
}

static bool
listing_target(struct call *call, struct policies_listing *listing)
{
    char text[SBX_NAME_MAX + 16];

    switch (call_param(call, "applies_to", text, sizeof(text))) {
    case CALL_PARAM_ABSENT:
        return true;
    case CALL_PARAM_FINE:
        listing->by_target = policy_target_parse(&listing->target, text, strlen(text));
        if (listing->by_target) {
            return true;
        }
        break;
    case CALL_PARAM_BAD:
        break;
    }
    return listing_bad(call, "applies_to", "must be tenant, app:<name>, agent:<name> or template:<name>");
}

static bool
listing_read(struct call *call, struct policies_listing *listing)
{
    if (!listing_name(call, listing) || !listing_target(call, listing) ||
        !listing_limit(call, &listing->limit)) {
        return false;
    }
    /* None of them holds a newline, so the parts cannot run into each other. */
    (void)snprintf(listing->scope, sizeof(listing->scope), "policies\n%s\n%s\n%d %d\n%s",
                   call->context.tenant, listing->name, listing->by_target, (int)listing->target.kind,
                   listing->target.name); /* all bounded: it fits */
    return listing_cursor(call, listing->scope, &listing->after);
}

/* A page of rows of enum db_policy_column, without their documents. */
struct page {
    const char *key, *scope;
    unsigned limit;
    bool versions; /* else policies */
};

static void
version_write(struct sbx_jsonw *w, const struct policy_record *record)
{
    sbx_jsonw_object(w, NULL);
    sbx_jsonw_uint(w, "version", record->version);
    sbx_jsonw_str(w, "name", record->name);
    sbx_jsonw_str(w, "document_sha256", record->sha256);
    policy_targets_write(w, "applies_to", record->target, record->n_targets);
    reply_text(w, "message", record->message == NULL ? "" : record->message);
    reply_time(w, "updated_at", record->updated_ms);
    sbx_jsonw_str(w, "updated_by", record->updated_by);
    sbx_jsonw_object_end(w);
}

static int
page_write(struct sbx_buf *body, const struct call *call, const struct page *page,
           const struct db_result *result)
{
    _cleanup_(policy_record_deinitp) struct policy_record record = { 0 };
    struct cursor last;
    struct sbx_jsonw w;
    int r = 0;

    sbx_jsonw_init(&w, body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_array(&w, page->key);
    for (unsigned i = 0; i < result->n_rows && i < page->limit && r == 0; i++) {
        policy_record_deinit(&record);
        r = policy_record_load(&record, call->context.tenant, result, i);
        if (r == 0 && page->versions) {
            version_write(&w, &record);
        } else if (r == 0) {
            policy_write(&w, NULL, &record);
        }
    }
    sbx_jsonw_array_end(&w);
    last =
        (struct cursor){ .created_ms = page->versions ? record.version : record.created_ms, .id = record.id };
    if (r == 0) {
        r = listing_write_next(&w, call, page->scope, result->n_rows > page->limit ? &last : NULL);
    }
    sbx_jsonw_object_end(&w);
    return r;
}

static void
page_answer(struct call *call, const struct page *page, const struct db_result *result)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(LIST_REPLY_MAX);
    const int r = page_write(&body, call, page, result);

    if (r) {
        call_problem_internal(call, r);
        return;
    }
    call_reply_json(call, 200, NULL, 0, &body);
}

static void
list_on_read(struct call *call, int rc, const struct db_result *result)
{
    struct policies_listing listing = { 0 };

    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
        return;
    }
    /* The query is still the request's: reading it again is cheaper than keeping it. */
    if (listing_read(call, &listing)) {
        page_answer(call, &(struct page){ .key = "policies", .scope = listing.scope, .limit = listing.limit },
                    result);
    }
}

void
handle_policy_list(struct call *call)
{
    struct policies_listing listing = { 0 };

    if (!listing_read(call, &listing)) {
        return;
    }
    const struct db_value values[] = {
        DB_VTEXT(call->context.tenant),
        DB_VTEXT(listing.name[0] == '\0' ? NULL : listing.name),
        DB_VTEXT(listing.by_target ? policy_target_kind_name(listing.target.kind) : NULL),
        DB_VTEXT(listing.target.name),
        DB_VINT(listing.after.created_ms),
        DB_VTEXT(listing.after.id.text),
        DB_VINT(listing.limit + 1),
    };
    call_read(call, DB_POLICY_LIST, values, SBX_COUNT(values), list_on_read);
}

static bool
versions_read(struct call *call, struct policies_listing *listing)
{
    if (!listing_limit(call, &listing->limit)) {
        return false;
    }
    (void)snprintf(listing->scope, sizeof(listing->scope), "policy.versions\n%s\n%s", call->context.tenant,
                   call->id); /* fits */
    return listing_cursor(call, listing->scope, &listing->after);
}

static void
versions_on_read(struct call *call, int rc, const struct db_result *result)
{
    struct policies_listing listing = { 0 };

    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
        return;
    }
    if (!versions_read(call, &listing)) {
        return;
    }
    /* Each policy has one version at least; behind the oldest there is no cursor. */
    if (result->n_rows == 0) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    page_answer(
        call,
        &(struct page){ .key = "versions", .scope = listing.scope, .limit = listing.limit, .versions = true },
        result);
}

void
handle_policy_versions(struct call *call)
{
    struct policies_listing listing = { 0 };

    if (call->id[0] == '\0') {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    if (!versions_read(call, &listing)) {
        return;
    }
    const struct db_value values[] = { DB_VTEXT(call->context.tenant), DB_VTEXT(call->id),
                                       DB_VINT(listing.after.created_ms), DB_VINT(listing.limit + 1) };

    call_read(call, DB_POLICY_VERSION_LIST, values, SBX_COUNT(values), versions_on_read);
}

static uint32_t
version_parse(const char *text)
{
    const size_t len = strlen(text);

    if (len == 0 || len > 9 || strspn(text, "0123456789") != len || *text == '0') {
        return 0;
    }
    return (uint32_t)strtoul(text, NULL, 10);
}

uint32_t
policy_version_of(const struct call *call)
{
    return version_parse(call->sub);
}

static void
version_loaded(struct call *call)
{
    policy_answer(call, 200, &call->policy->current);
}

void
handle_policy_version(struct call *call)
{
    policy_load_version(call, policy_version_of(call), version_loaded);
}

static void
diff_answer(struct call *call, const struct policy_record *before, const struct policy_record *after)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(POLICY_REPLY_MAX);
    struct sbx_jsonw w;
    int r;

    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "policy_id", after->id.text);
    sbx_jsonw_uint(&w, "version", after->version);
    sbx_jsonw_uint(&w, "to", before->version);
    r = policy_diff_write(&w, "patch", before, after);
    sbx_jsonw_object_end(&w);
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    call_reply_json(call, 200, NULL, 0, &body);
}

static void
diff_on_other(struct call *call, int rc, const struct db_result *result)
{
    _cleanup_(policy_record_deinitp) struct policy_record other = { 0 };
    int r = rc > 0 ? -EIO : rc;

    if (r == 0 && result->n_rows == 0) {
        (void)listing_bad(call, "to", "is no version of this policy that is kept"); /* it answers */
        return;
    }
    if (r == 0) {
        r = policy_record_load(&other, call->context.tenant, result, 0);
    }
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    diff_answer(call, &other, &call->policy->current);
}

/* Against the version before, or the one that is named; the first one against nothing. */
static void
diff_loaded(struct call *call)
{
    const struct policy_record *current = &call->policy->current;
    const struct policy_record nothing = { .id = current->id };

    if (call->policy->wanted == 0) {
        call->policy->wanted = current->version - 1;
    }
    if (call->policy->wanted == 0) {
        diff_answer(call, &nothing, current);
        return;
    }
    const struct db_value values[] = { DB_VTEXT(call->context.tenant), DB_VTEXT(call->id),
                                       DB_VINT(call->policy->wanted) };

    call_read(call, DB_POLICY_VERSION_GET, values, SBX_COUNT(values), diff_on_other);
}

void
handle_policy_diff(struct call *call)
{
    struct policy_work *work = policy_work(call);
    char text[16];

    if (work == NULL) {
        return;
    }
    switch (call_param(call, "to", text, sizeof(text))) {
    case CALL_PARAM_ABSENT:
        break;
    case CALL_PARAM_FINE:
        work->wanted = version_parse(text);
        if (work->wanted != 0) {
            break;
        }
        (void)listing_bad(call, "to", "is not a version"); /* it answers */
        return;
    case CALL_PARAM_BAD:
        (void)listing_bad(call, "to", "is not a version");
        return;
    }
    policy_load_version(call, policy_version_of(call), diff_loaded);
}
