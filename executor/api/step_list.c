/*
 * GET of a session's steps, newest first. Rows are corrected by the live ones; a listing by a status that only those
 * have is made of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/handlers.h"
#include "executor/api/listing.h"
#include "executor/api/session_answer.h"
#include "executor/api/session_call.h"
#include "executor/api/session_work.h"
#include "executor/api/steps.h"
#include "executor/core/session_store.h"

#define STEP_LIST_MAX (64u << 20)

struct steps_listing {
    char status[24]; /* each "" when not asked for */
    char context[SBX_NAME_MAX + 1];
    char scope[LISTING_SCOPE_MAX];
    struct cursor after; /* created_ms is the number */
    unsigned limit;
};

static bool
is_status(const char *word)
{
    enum step_state state;

    return step_state_parse(word, &state);
}

static bool
steps_listing_read(struct call *call, struct steps_listing *listing)
{
    if (!listing_word(call, "status", is_status, "is not a status", listing->status,
                      sizeof(listing->status)) ||
        !listing_text(call, "context", listing->context, sizeof(listing->context)) ||
        !listing_limit(call, &listing->limit)) {
        return false;
    }
    (void)snprintf(listing->scope, sizeof(listing->scope), "steps\n%s\n%s\n%s\n%s", call->context.tenant,
                   call->id, listing->status, listing->context); /* all bounded: it fits */
    return listing_cursor(call, listing->scope, &listing->after);
}

static void
steps_answer(struct call *call, const struct steps_listing *listing, const struct step_record **all,
             unsigned n)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(STEP_LIST_MAX);
    unsigned count = n < listing->limit ? n : listing->limit;
    struct cursor last = { 0 };
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_array(&w, "steps");
    for (unsigned i = 0; i < count; i++) {
        struct step_record brief = *all[i]; /* shallow: nothing of it is released */

        brief.brief = true;
        step_answer_write(&w, NULL, &brief);
    }
    if (count > 0 && n > count) {
        last = (struct cursor){ .created_ms = all[count - 1]->number, .id = all[count - 1]->id };
    }
    listing_end(call, &w, listing->scope, n > count ? &last : NULL);
}

/* The newest is the last of them. */
static void
list_live(struct call *call, const struct steps_listing *listing, const struct session *session)
{
    const struct step_record *all[SESSION_MAX_WAITING + 2];
    unsigned n = 0;

    for (struct list *it = session->steps.prev; it != &session->steps && n < SBX_COUNT(all); it = it->prev) {
        struct step *step = step_of(it);
        const struct step_record *record = step_record(step);

        if (step_accepted(step) && listing_matches(listing->status, step_state_status(record->state)) &&
            listing_matches(listing->context, record->context) &&
            record->number < listing->after.created_ms) {
            all[n++] = record;
        }
    }
    steps_answer(call, listing, all, n);
}

static int
steps_load(struct call *call, const struct db_result *result, struct step_record *records,
           const struct step_record **all, unsigned *n)
{
    const struct session *session = session_call_live(call);
    int r = 0;

    for (; *n < result->n_rows && r == 0; (*n)++) {
        struct step_record *record = &records[*n];
        struct step *live;

        r = step_store_load(record, result, *n);
        live = r == 0 && session != NULL && !step_state_final(record->state)
                   ? step_find(session, record->id.text)
                   : NULL;
        all[*n] = live == NULL ? record : step_record(live);
    }
    return r;
}

static void
steps_on_read(struct call *call, int rc, const struct db_result *result)
{
    struct steps_listing listing = { 0 };
    const struct step_record **all;
    struct step_record *records;
    unsigned n = 0;
    int r;

    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
        return;
    }
    if (!steps_listing_read(call, &listing)) {
        return;
    }
    records = calloc(result->n_rows + 1, sizeof(*records));
    all = calloc(result->n_rows + 1, sizeof(const struct step_record *));
    r = records == NULL || all == NULL ? -ENOMEM : steps_load(call, result, records, all, &n);
    if (r) {
        call_problem_internal(call, r);
    } else {
        steps_answer(call, &listing, all, n);
    }
    for (unsigned i = 0; i < n; i++) {
        step_record_deinit(&records[i]);
    }
    free(records);
    free(all);
}

static void
steps_read(struct call *call, const struct steps_listing *listing)
{
    const struct db_value values[] = {
        DB_VTEXT(call->context.tenant),     DB_VTEXT(call->id),
        listing_filter(listing->status),    listing_filter(listing->context),
        DB_VINT(listing->after.created_ms), DB_VINT(listing->limit + 1),
    };

    call_read(call, DB_STEP_LIST, values, SBX_COUNT(values), steps_on_read);
}

/* Of a session that is not live: there is one, or none. */
static void
session_loaded(struct call *call)
{
    struct steps_listing listing = { 0 };

    if (steps_listing_read(call, &listing)) {
        steps_read(call, &listing);
    }
}

void
handle_step_list(struct call *call)
{
    const struct session *session = session_call_live(call);
    struct steps_listing listing = { 0 };
    bool only_live;

    if (!steps_listing_read(call, &listing)) {
        return;
    }
    only_live = strcmp(listing.status, "queued") == 0 || strcmp(listing.status, "running") == 0;
    if (session == NULL) {
        session_load(call, session_loaded);
    } else if (only_live) {
        list_live(call, &listing, session);
    } else {
        steps_read(call, &listing);
    }
}
