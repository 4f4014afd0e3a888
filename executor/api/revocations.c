/* Taking tokens back: making, listing, reading and lifting a revocation. docs/governance.md */
#include "executor/core/revocations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/handlers.h"
#include "executor/api/idempotent.h"
#include "executor/api/listing.h"
#include "executor/api/reply_parts.h"
#include "executor/api/revocation_request.h"
#include "lib/sbx_time.h"

#define CREATE_ROUTE "revocations.create"
#define REPLY_MAX (1u << 20)

static void
revocation_write(struct sbx_jsonw *w, const struct revocation *revocation)
{
    const bool token = revocation->token_id[0] != '\0';

    sbx_jsonw_object(w, NULL);
    sbx_jsonw_str(w, "revocation_id", revocation->id.text);
    reply_text(w, "token_id", revocation->token_id);
    reply_text(w, "subject", revocation->revoked_subject);
    sbx_jsonw_bool(w, "all", !token && revocation->revoked_subject[0] == '\0');
    reply_time(w, "issued_before", token ? 0 : revocation->issued_before_s * 1000);
    reply_text(w, "reason", revocation->reason);
    reply_time(w, "created_at", revocation->created_ms);
    sbx_jsonw_str(w, "created_by", revocation->created_by);
    reply_time(w, "expires_at", revocation->expires_ms);
    sbx_jsonw_object_end(w);
}

static void
revocation_answer(struct call *call, int status, const struct revocation *revocation)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(REPLY_MAX);
    struct call_place place;
    struct sbx_jsonw w;

    call_place(call, &place, "/v1/revocations/%s", revocation->id.text);
    sbx_jsonw_init(&w, &body);
    revocation_write(&w, revocation);
    call_reply_json(call, status, place.header, place.n, &body);
}

static struct audit_origin
origin_of(const struct call *call)
{
    return (struct audit_origin){
        .context = &call->context,
        .request_sha256 = call->body_sha256,
        .idempotency_key = call->idempotency == NULL ? NULL : call->idempotency->key,
    };
}

/* On its way into the database; lives until its callback. */
struct pending {
    struct call *call;
    struct revocation revocation;
};

static void
create_on_stored(void *arg, int rc, uint64_t revision _unused_)
{
    struct pending *pending = arg;
    struct call *call = call_unhold(pending->call);

    if (call == NULL) {
        free(pending);
        return;
    }
    if (rc == REVOCATIONS_E_FULL) {
        call_problem(call, SBX_PROBLEM_CONFLICT, "the tenant has as many revocations as it may have");
    } else if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
    } else {
        revocation_answer(call, 201, &pending->revocation);
    }
    free(pending);
}

/* Takes pending. */
static void
pending_submit(struct pending *pending, struct db_tx *tx, changes_done_fn done)
{
    struct call *call = pending->call;
    int r;

    call_hold(call);
    r = changes_submit(call->api->spec.changes, tx, done, pending);
    if (r) {
        free(pending);
        call_problem_internal(call_unhold(call), r);
    }
}

/* The body is read again: it was fine, and is the request's still. */
static bool
create_parse(struct call *call, struct revocation *ret)
{
    struct sbx_field_error err;
    const char *body;
    size_t len;
    int r;

    ret->created_ms = sbx_now_unix_ms();
    body = sbx_http_request_body(call->request, &len);
    r = revocation_request_parse(ret, body, len, ret->created_ms, &err);
    if (r == 400) {
        call_reply_problem(
            call, &(struct sbx_problem){ .code = SBX_PROBLEM_MALFORMED_JSON, .detail = err.message });
    } else if (r == 422) {
        call_problem_field(call, &err);
    } else if (r) {
        call_problem_internal(call, r);
    }
    return r == 0;
}

static void
create_fresh(struct call *call)
{
    struct pending *pending = calloc(1, sizeof(*pending));
    const struct audit_origin origin = origin_of(call);
    struct db_tx *tx;
    int r;

    if (pending == NULL) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    pending->call = call;
    if (!create_parse(call, &pending->revocation)) {
        free(pending);
        return;
    }
    memcpy(pending->revocation.tenant, call->context.tenant, sizeof(pending->revocation.tenant));
    memcpy(pending->revocation.created_by, call->context.subject, sizeof(pending->revocation.created_by));
    r = sbx_id_new(&pending->revocation.id, "rev");
    if (r == 0) {
        r = revocations_prepare(&tx, call->api->spec.changes, &pending->revocation, &origin);
    }
    if (r) {
        free(pending);
        call_problem_internal(call, r);
        return;
    }
    idempotent_store(tx, call, pending->revocation.id.text, pending->revocation.created_ms);
    pending_submit(pending, tx, create_on_stored);
}

static bool
take(struct revocation *ret, struct call *call, int rc, const struct db_result *result)
{
    int r = rc > 0 ? -EIO : rc;

    if (r == 0 && result->n_rows == 0) {
        call_problem(call, call->replayed ? SBX_PROBLEM_GONE : SBX_PROBLEM_NOT_FOUND,
                     call->replayed ? "the revocation is over" : NULL);
        return false;
    }
    if (r == 0) {
        r = revocation_load(ret, call->context.tenant, result, 0);
    }
    if (r) {
        call_problem_internal(call, r);
    }
    return r == 0;
}

static void
find(struct call *call, const char *id, call_read_fn then)
{
    const struct db_value values[] = { DB_VTEXT(call->context.tenant), DB_VTEXT(id),
                                       DB_VINT(sbx_now_unix_ms()) };

    if (*id == '\0') {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    call_read(call, DB_REVOCATION_GET, values, SBX_COUNT(values), then);
}

static void
get_on_read(struct call *call, int rc, const struct db_result *result)
{
    struct revocation revocation;

    if (take(&revocation, call, rc, result)) {
        revocation_answer(call, 200, &revocation);
    }
}

static void
create_replay(struct call *call, const char *id)
{
    find(call, id, get_on_read);
}

void
handle_revocation_create(struct call *call)
{
    struct revocation tried = { 0 };

    if (create_parse(call, &tried)) {
        idempotent(call, CREATE_ROUTE, create_fresh, create_replay);
    }
}

void
handle_revocation_get(struct call *call)
{
    find(call, call->id, get_on_read);
}

static void
delete_on_stored(void *arg, int rc, uint64_t revision _unused_)
{
    struct pending *pending = arg;
    struct call *call = call_unhold(pending->call);

    free(pending);
    if (call == NULL) {
        return;
    }
    if (rc == REVOCATIONS_E_NOT_FOUND) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
    } else if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
    } else {
        call_reply(call, 204, NULL, NULL, 0, "", 0);
    }
}

static void
delete_on_read(struct call *call, int rc, const struct db_result *result)
{
    struct pending *pending;
    struct revocation revocation;
    struct audit_origin origin;
    struct db_tx *tx;
    int r;

    if (!take(&revocation, call, rc, result) || !idempotent_hash_body(call)) {
        return;
    }
    pending = calloc(1, sizeof(*pending));
    if (pending == NULL) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    pending->call = call;
    origin = origin_of(call);
    r = revocations_prepare_delete(&tx, call->api->spec.changes, &revocation, &origin);
    if (r) {
        free(pending);
        call_problem_internal(call, r);
        return;
    }
    pending_submit(pending, tx, delete_on_stored);
}

void
handle_revocation_delete(struct call *call)
{
    find(call, call->id, delete_on_read);
}

struct revocations_listing {
    char scope[LISTING_SCOPE_MAX]; /* what the cursor is bound to */
    struct cursor after;
    unsigned limit;
};

static bool
listing_read(struct call *call, struct revocations_listing *listing)
{
    (void)snprintf(listing->scope, sizeof(listing->scope), "revocations\n%s",
                   call->context.tenant); /* fits */
    return listing_limit(call, &listing->limit) && listing_cursor(call, listing->scope, &listing->after);
}

static int
listing_write(struct sbx_buf *body, const struct call *call, const struct revocations_listing *listing,
              const struct db_result *result)
{
    struct revocation revocation = { 0 };
    struct cursor last;
    struct sbx_jsonw w;
    int r = 0;

    sbx_jsonw_init(&w, body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_array(&w, "revocations");
    for (unsigned i = 0; i < result->n_rows && i < listing->limit && r == 0; i++) {
        r = revocation_load(&revocation, call->context.tenant, result, i);
        if (r == 0) {
            revocation_write(&w, &revocation);
        }
    }
    sbx_jsonw_array_end(&w);
    last = (struct cursor){ .created_ms = revocation.created_ms, .id = revocation.id };
    if (r == 0) {
        r = listing_write_next(&w, call, listing->scope, result->n_rows > listing->limit ? &last : NULL);
    }
    sbx_jsonw_object_end(&w);
    return r;
}

static void
list_on_read(struct call *call, int rc, const struct db_result *result)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(REPLY_MAX);
    struct revocations_listing listing = { 0 };
    int r = rc > 0 ? -EIO : rc;

    /* The query is still the request's: reading it again is cheaper than keeping it. */
    if (r == 0 && !listing_read(call, &listing)) {
        return;
    }
    if (r == 0) {
        r = listing_write(&body, call, &listing, result);
    }
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    call_reply_json(call, 200, NULL, 0, &body);
}

void
handle_revocation_list(struct call *call)
{
    struct revocations_listing listing = { 0 };

    if (!listing_read(call, &listing)) {
        return;
    }
    const struct db_value values[] = {
        DB_VTEXT(call->context.tenant),  DB_VINT(sbx_now_unix_ms()), DB_VINT(listing.after.created_ms),
        DB_VTEXT(listing.after.id.text), DB_VINT(listing.limit + 1),
    };
    call_read(call, DB_REVOCATION_LIST, values, SBX_COUNT(values), list_on_read);
}
