/* GET /v1/artifacts */
#include <stdio.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/artifact_reply.h"
#include "executor/api/handlers.h"
#include "executor/api/listing.h"

struct listing {
    char job[SBX_ID_LEN + 1]; /* each "" when not asked for */
    char session[SBX_ID_LEN + 1];
    char name[ARTIFACT_NAME_MAX + 1];
    char scope[LISTING_SCOPE_MAX]; /* what the cursor is bound to */
    struct cursor after;
    unsigned limit;
};

static bool
listing_id(struct call *call, const char *name, const char *prefix, char out[SBX_ID_LEN + 1])
{
    const enum call_param given = call_param(call, name, out, SBX_ID_LEN + 1);

    if (given == CALL_PARAM_ABSENT) {
        *out = '\0';
        return true;
    }
    return (given == CALL_PARAM_FINE && sbx_id_valid(out, strlen(out), prefix)) ||
           listing_bad(call, name, "is not such an id");
}

static bool
listing_name(struct call *call, struct listing *listing)
{
    const enum call_param given = call_param(call, "name", listing->name, sizeof(listing->name));

    if (given == CALL_PARAM_ABSENT) {
        listing->name[0] = '\0';
        return true;
    }
    return (given == CALL_PARAM_FINE && artifact_name_valid(listing->name)) ||
           listing_bad(call, "name", "no artifact's name begins with this");
}

static bool
listing_read(struct call *call, struct listing *listing)
{
    if (!listing_id(call, "job", "job", listing->job) ||
        !listing_id(call, "session", "ses", listing->session) || !listing_name(call, listing) ||
        !listing_limit(call, &listing->limit)) {
        return false;
    }
    /* None of them holds a newline, so the parts cannot run into each other. */
    (void)snprintf(listing->scope, sizeof(listing->scope), "artifacts\n%s\n%s\n%s\n%s", call->context.tenant,
                   listing->job, listing->session, listing->name); /* all bounded: it fits */
    return listing_cursor(call, listing->scope, &listing->after);
}

static void
listing_answer(struct call *call, const struct listing *listing, const struct db_result *result)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(ARTIFACT_REPLY_MAX);
    _cleanup_(artifact_deinitp) struct artifact artifact = { 0 };
    struct cursor last;
    struct sbx_jsonw w;
    int r = 0;

    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_array(&w, "artifacts");
    for (unsigned i = 0; i < result->n_rows && i < listing->limit && r == 0; i++) {
        artifact_deinit(&artifact);
        r = artifact_load(&artifact, call->context.tenant, result, i);
        if (r == 0) {
            artifact_write(&w, NULL, &artifact);
        }
    }
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    last = (struct cursor){ .created_ms = artifact.created_ms, .id = artifact.id };
    listing_end(call, &w, listing->scope, result->n_rows > listing->limit ? &last : NULL);
}

static void
list_on_read(struct call *call, int rc, const struct db_result *result)
{
    struct listing listing = { 0 };

    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
        return;
    }
    /* The query is still the request's: reading it again is cheaper than keeping it. */
    if (listing_read(call, &listing)) {
        listing_answer(call, &listing, result);
    }
}

void
handle_artifacts_list(struct call *call)
{
    struct listing listing = { 0 };

    if (!listing_read(call, &listing)) {
        return;
    }
    const struct db_value values[] = {
        DB_VTEXT(call->context.tenant), listing_filter(listing.job),       listing_filter(listing.session),
        listing_filter(listing.name),   DB_VINT(listing.after.created_ms), DB_VTEXT(listing.after.id.text),
        DB_VINT(listing.limit + 1),
    };
    call_read(call, DB_ARTIFACT_SEARCH, values, SBX_COUNT(values), list_on_read);
}
