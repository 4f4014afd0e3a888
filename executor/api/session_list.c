/*
 * GET /v1/sessions. What has ended is the database's; what lives is corrected by the live ones, and a listing by a
 * status that only they have is made of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/handlers.h"
#include "executor/api/listing.h"
#include "executor/api/session_answer.h"
#include "executor/api/session_call.h"
#include "executor/api/session_work.h"
#include "executor/core/session_store.h"
#include "lib/sbx_policy.h"

#define METADATA_FILTER_MAX 4096

struct sessions_listing {
    char status[24]; /* each "" when not asked for */
    char language[JOB_LANGUAGE_LEN];
    char template_name[JOB_TEMPLATE_LEN];
    char agent[SBX_NAME_MAX + 1];
    char app[SBX_NAME_MAX + 1];
    char metadata[METADATA_FILTER_MAX]; /* "key":"value" as it is stored */
    char scope[LISTING_SCOPE_MAX + METADATA_FILTER_MAX];
    struct cursor after;
    unsigned limit;
};

static bool
is_status(const char *word)
{
    enum session_state state;

    return session_state_parse(word, &state);
}

/* The name of the parameter that begins with "metadata."; false: there is none. */
static bool
metadata_param(const struct call *call, char *out, size_t size)
{
    static const char prefix[] = "metadata.";
    const char *p = sbx_http_request_query(call->request);

    while (*p != '\0') {
        size_t len = strcspn(p, "=&");

        if (strncmp(p, prefix, sizeof(prefix) - 1) == 0) {
            len = len < size ? len : size - 1;
            memcpy(out, p, len);
            out[len] = '\0';
            return true;
        }
        p += strcspn(p, "&");
        p += *p == '&' ? 1 : 0;
    }
    return false;
}

/* One member, as text that stands in the stored object if and only if that has the member. */
static bool
listing_metadata(struct call *call, struct sessions_listing *listing)
{
    char param[32 + SBX_NAME_MAX], value[JOB_MAX_METADATA_VALUE + 1];
    struct sbx_buf text = SBX_BUF_INIT(METADATA_FILTER_MAX - 1);
    bool fine;

    if (!metadata_param(call, param, sizeof(param))) {
        return true;
    }
    if (!sbx_name_valid(param + strlen("metadata."), strlen(param + strlen("metadata."))) ||
        call_param(call, param, value, sizeof(value)) != CALL_PARAM_FINE ||
        !session_metadata_member(&text, param + strlen("metadata."), value)) {
        sbx_buf_deinit(&text);
        return listing_bad(call, "metadata", "must be metadata.<name>=<value>");
    }
    fine = !text.failed;
    if (fine) {
        memcpy(listing->metadata, text.data, text.len + 1);
    }
    sbx_buf_deinit(&text);
    return fine || listing_bad(call, "metadata", "is too long");
}

static bool
sessions_listing_read(struct call *call, struct sessions_listing *listing)
{
    char language[JOB_LANGUAGE_LEN];

    if (!listing_word(call, "status", is_status, "is not a status", listing->status,
                      sizeof(listing->status)) ||
        !listing_text(call, "language", language, sizeof(language)) ||
        !listing_text(call, "template", listing->template_name, sizeof(listing->template_name)) ||
        !listing_text(call, "agent", listing->agent, sizeof(listing->agent)) ||
        !listing_text(call, "app", listing->app, sizeof(listing->app)) || !listing_metadata(call, listing) ||
        !listing_limit(call, &listing->limit)) {
        return false;
    }
    (void)snprintf(listing->language, sizeof(listing->language), "%s",
                   sbx_language_canonical(language)); /* fits */
    /* Names and JSON text hold no newline, so the parts cannot run into each other. */
    (void)snprintf(listing->scope, sizeof(listing->scope), "sessions\n%s\n%s\n%s\n%s\n%s\n%s\n%s",
                   call->context.tenant, listing->status, listing->language, listing->template_name,
                   listing->agent, listing->app, listing->metadata); /* all bounded: it fits */
    return listing_cursor(call, listing->scope, &listing->after);
}

/* A session as it is to be shown: a row, or a live one. */
struct shown {
    const struct session_record *record;
    const struct session *live;
};

static void
sessions_answer(struct call *call, const struct sessions_listing *listing, const struct shown *all,
                unsigned n)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(2ul * SESSION_REPLY_MAX);
    unsigned count = n < listing->limit ? n : listing->limit;
    struct cursor last = { 0 };
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_array(&w, "sessions");
    for (unsigned i = 0; i < count; i++) {
        session_answer_write(&w, NULL, all[i].record, all[i].live);
    }
    if (n > count) {
        last = (struct cursor){ .created_ms = all[count - 1].record->created_ms,
                                .id = all[count - 1].record->id };
    }
    listing_end(call, &w, listing->scope, n > count ? &last : NULL);
}

struct live_list {
    const struct call *call;
    const struct sessions_listing *listing;
    struct shown *all;
    unsigned n, max;
};

/* As the statement does it. */
static bool
has_metadata(const struct session_record *record, const char *member)
{
    const char *at = record->metadata_json;

    if (*member == '\0') {
        return true;
    }
    while (at != NULL && (at = strstr(at, member)) != NULL) {
        if (at > record->metadata_json && (at[-1] == '{' || at[-1] == ',')) {
            return true;
        }
        at++;
    }
    return false;
}

static void
live_visit(void *arg, struct session *session)
{
    struct live_list *list = arg;
    const struct sessions_listing *listing = list->listing;
    const struct session_record *record = &session->record;

    if (list->n < list->max && session->accepted && strcmp(record->tenant, list->call->context.tenant) == 0 &&
        listing_matches(listing->status, session_state_name(record->state)) &&
        listing_matches(listing->language, record->language) &&
        listing_matches(listing->template_name, record->template_name) &&
        listing_matches(listing->agent, record->agent) && listing_matches(listing->app, record->app) &&
        has_metadata(record, listing->metadata) &&
        listing_is_after(&listing->after, record->created_ms, &record->id)) {
        list->all[list->n++] = (struct shown){ record, session };
    }
}

static int
newest_first(const void *a, const void *b)
{
    const struct session_record *x = ((const struct shown *)a)->record,
                                *y = ((const struct shown *)b)->record;

    return listing_order(x->created_ms, &x->id, y->created_ms, &y->id);
}

static void
list_live(struct call *call, const struct sessions_listing *listing)
{
    struct sessions *sessions = call_sessions(call);
    struct live_list list = { .call = call, .listing = listing, .max = sessions_live(sessions) };

    list.all = calloc(list.max + 1, sizeof(*list.all));
    if (list.all == NULL) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    sessions_each(sessions, live_visit, &list);
    qsort(list.all, list.n, sizeof(*list.all), newest_first);
    sessions_answer(call, listing, list.all, list.n);
    free(list.all);
}

static int
sessions_load(struct call *call, const struct db_result *result, struct session_record *records,
              struct shown *all, unsigned *n)
{
    int r = 0;

    for (; *n < result->n_rows && r == 0; (*n)++) {
        struct session_record *record = &records[*n];
        const struct session *live;

        r = session_store_load(record, result, *n);
        live = r == 0 && record->state != SESSION_ENDED
                   ? sessions_find(call_sessions(call), call->context.tenant, record->id.text)
                   : NULL;
        all[*n] = (struct shown){ live == NULL ? record : &live->record, live };
    }
    return r;
}

static void
sessions_on_read(struct call *call, int rc, const struct db_result *result)
{
    struct sessions_listing listing = { 0 };
    struct session_record *records;
    struct shown *all;
    unsigned n = 0;
    int r;

    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
        return;
    }
    /* The query is still the request's: reading it again is cheaper than keeping it. */
    if (!sessions_listing_read(call, &listing)) {
        return;
    }
    records = calloc(result->n_rows + 1, sizeof(*records));
    all = calloc(result->n_rows + 1, sizeof(*all));
    r = records == NULL || all == NULL ? -ENOMEM : sessions_load(call, result, records, all, &n);
    if (r) {
        call_problem_internal(call, r);
    } else {
        sessions_answer(call, &listing, all, n);
    }
    for (unsigned i = 0; i < n; i++) {
        session_record_deinit(&records[i]);
    }
    free(records);
    free(all);
}

void
handle_session_list(struct call *call)
{
    struct sessions_listing listing = { 0 };

    if (!sessions_listing_read(call, &listing)) {
        return;
    }
    if (listing.status[0] != '\0' && strcmp(listing.status, "ended") != 0) {
        list_live(call, &listing);
        return;
    }
    const struct db_value values[] = {
        DB_VTEXT(call->context.tenant),   listing_filter(listing.status),
        listing_filter(listing.language), listing_filter(listing.template_name),
        listing_filter(listing.agent),    listing_filter(listing.app),
        listing_filter(listing.metadata), DB_VINT(listing.after.created_ms),
        DB_VTEXT(listing.after.id.text),  DB_VINT(listing.limit + 1),
    };
    call_read(call, DB_SESSION_LIST, values, SBX_COUNT(values), sessions_on_read);
}
