/*
 * GET /v1/usage: what the tenant used, by day, app and agent, and what is left of the budgets that the context names.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/budget_reply.h"
#include "executor/api/handlers.h"
#include "executor/api/listing.h"
#include "executor/api/reply_parts.h"
#include "executor/core/usage.h"
#include "lib/sbx_time.h"

#define USAGE_MAX_DAYS 400
#define USAGE_DEFAULT_DAYS 30
#define USAGE_REPLY_MAX (1u << 20)
#define USAGE_COLUMNS (3 + USAGE_N) /* of DB_USAGE_SUM: day app agent, then the numbers */

enum group { GROUP_TENANT, GROUP_APP, GROUP_AGENT, GROUP_DAY, N_GROUPS };
static const char *const group_names[N_GROUPS] = { "tenant", "app", "agent", "day" };

/* Where the page before ended. */
struct usage_place {
    uint64_t day;
    char app[SBX_NAME_MAX + 1], agent[SBX_NAME_MAX + 1];
};

struct usage_query {
    uint64_t from, to; /* days, both within */
    bool by[N_GROUPS];
    char app[SBX_NAME_MAX + 1], agent[SBX_NAME_MAX + 1]; /* "": any */
    unsigned limit;
    bool is_later_page;
    struct usage_place after;
};

static bool
query_day(struct call *call, const char *name, uint64_t *day)
{
    char text[USAGE_DAY_TEXT];

    switch (call_param(call, name, text, sizeof(text))) {
    case CALL_PARAM_ABSENT:
        return true;
    case CALL_PARAM_FINE:
        if (usage_day_parse(text, day)) {
            return true;
        }
        break;
    case CALL_PARAM_BAD:
        break;
    }
    return listing_bad(call, name, "must be a day, as 2026-11-21");
}

static bool
query_days(struct call *call, struct usage_query *query)
{
    query->to = usage_day(sbx_now_unix_ms());
    if (!query_day(call, "to", &query->to)) {
        return false;
    }
    query->from = query->to >= USAGE_DEFAULT_DAYS ? query->to - (USAGE_DEFAULT_DAYS - 1) : 0;
    if (!query_day(call, "from", &query->from)) {
        return false;
    }
    if (query->from > query->to) {
        return listing_bad(call, "from", "must not be after to");
    }
    return query->to - query->from < USAGE_MAX_DAYS
               ? true
               : listing_bad(call, "from", "must be at most 400 days before to");
}

static bool
groups_parse(const char *text, bool by[N_GROUPS])
{
    while (true) {
        size_t len = strcspn(text, ","), i = 0;

        while (i < N_GROUPS && (strlen(group_names[i]) != len || strncmp(group_names[i], text, len) != 0)) {
            i++;
        }
        if (i == N_GROUPS || by[i]) {
            return false;
        }
        by[i] = true;
        if (text[len] == '\0') {
            return true;
        }
        text += len + 1;
    }
}

/* A comma may come as %2C: a query is decoded by call_param. */
static bool
query_groups(struct call *call, struct usage_query *query)
{
    char text[64];

    switch (call_param(call, "group_by", text, sizeof(text))) {
    case CALL_PARAM_ABSENT:
        return true;
    case CALL_PARAM_FINE:
        if (groups_parse(text, query->by)) {
            return true;
        }
        break;
    case CALL_PARAM_BAD:
        break;
    }
    return listing_bad(call, "group_by", "must be some of tenant, app, agent and day, each once");
}

static bool
name_or_none(const char *text, size_t len)
{
    return len == 0 || sbx_name_valid(text, len);
}

/* "<day>/<app>/<agent>": it names a place in what the tenant may read anyway. */
static bool
place_parse(struct usage_place *ret, const char *text)
{
    const char *app = strchr(text, '/');
    const char *agent = app == NULL ? NULL : strchr(++app, '/');
    char *end = NULL;

    if (agent == NULL || strspn(text, "0123456789") != (size_t)(app - 1 - text) || app - text > 8 ||
        !name_or_none(app, (size_t)(agent - app)) || !name_or_none(agent + 1, strlen(agent + 1))) {
        return false;
    }
    ret->day = strtoul(text, &end, 10);
    memcpy(ret->app, app, (size_t)(agent - app));
    memcpy(ret->agent, agent + 1, strlen(agent + 1));
    return end == app - 1 && ret->day <= USAGE_MAX_DAY;
}

static bool
query_cursor(struct call *call, struct usage_query *query)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf place = SBX_BUF_INIT(256);
    char text[256];

    switch (call_param(call, "cursor", text, sizeof(text))) {
    case CALL_PARAM_ABSENT:
        return true;
    case CALL_PARAM_FINE:
        query->is_later_page = true;
        if (sbx_b64url_decode(&place, text, strlen(text)) && !place.failed && place.len > 0 &&
            memchr(place.data, '\0', place.len) == NULL && place_parse(&query->after, place.data)) {
            return true;
        }
        break;
    case CALL_PARAM_BAD:
        break;
    }
    return listing_bad(call, "cursor", "is not a cursor of this listing");
}

static bool
query_read(struct call *call, struct usage_query *query)
{
    *query = (struct usage_query){ .limit = 0 };
    return query_days(call, query) && query_groups(call, query) &&
           listing_text(call, "app", query->app, sizeof(query->app)) &&
           listing_text(call, "agent", query->agent, sizeof(query->agent)) &&
           listing_limit(call, &query->limit) && query_cursor(call, query);
}

static void
write_group(struct sbx_jsonw *w, const struct call *call, const struct usage_query *query,
            const struct db_value *row)
{
    char day[USAGE_DAY_TEXT];
    struct usage usage;

    usage_load(&usage, row + 3);
    usage_day_text(day, (uint64_t)row[0].integer);
    sbx_jsonw_object(w, NULL);
    if (query->by[GROUP_TENANT]) {
        sbx_jsonw_str(w, "tenant", call->context.tenant);
    }
    if (query->by[GROUP_APP]) {
        reply_text(w, "app", row[1].data);
    }
    if (query->by[GROUP_AGENT]) {
        reply_text(w, "agent", row[2].data);
    }
    if (query->by[GROUP_DAY]) {
        sbx_jsonw_str(w, "day", day);
    }
    usage_write(w, &usage);
    sbx_jsonw_object_end(w);
}

static void
write_next(struct sbx_jsonw *w, const struct db_value *last)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf place = SBX_BUF_INIT(256), text = SBX_BUF_INIT(512);

    if (last == NULL) {
        sbx_jsonw_null(w, "next_cursor");
        return;
    }
    sbx_buf_printf(&place, "%llu/%s/%s", (unsigned long long)last[0].integer, (const char *)last[1].data,
                   (const char *)last[2].data);
    sbx_b64url_encode(&text, place.failed ? "" : place.data, place.len);
    sbx_jsonw_strn(w, "next_cursor", text.failed ? "" : text.data, text.len);
}

static void
write_head(struct sbx_jsonw *w, const struct usage_query *query)
{
    char day[USAGE_DAY_TEXT];

    usage_day_text(day, query->from);
    sbx_jsonw_str(w, "from", day);
    usage_day_text(day, query->to);
    sbx_jsonw_str(w, "to", day);
    sbx_jsonw_array(w, "group_by");
    for (unsigned i = 0; i < N_GROUPS; i++) {
        if (query->by[i]) {
            sbx_jsonw_str(w, NULL, group_names[i]);
        }
    }
    sbx_jsonw_array_end(w);
}

static bool
has_groups(const struct usage_query *query)
{
    return query->by[GROUP_TENANT] || query->by[GROUP_APP] || query->by[GROUP_AGENT] || query->by[GROUP_DAY];
}

static void
usage_reply(struct call *call, const struct usage_query *query, const struct db_result *result)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(USAGE_REPLY_MAX);
    unsigned n = has_groups(query) ? result->n_rows - 1 : 0;
    bool more = n > query->limit;
    struct usage totals;
    struct sbx_jsonw w;

    n = more ? query->limit : n;
    usage_load(&totals, db_at(result, 0, 3));
    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    write_head(&w, query);
    sbx_jsonw_object(&w, "totals");
    usage_write(&w, &totals);
    sbx_jsonw_object_end(&w);
    budget_reply_write(&w, call);
    sbx_jsonw_array(&w, "groups");
    for (unsigned i = 1; i <= n; i++) {
        write_group(&w, call, query, db_at(result, i, 0));
    }
    sbx_jsonw_array_end(&w);
    write_next(&w, more ? db_at(result, n, 0) : NULL);
    sbx_jsonw_object_end(&w);
    call_reply_json(call, 200, NULL, 0, &body);
}

static void
usage_on_read(struct call *call, int rc, const struct db_result *result)
{
    struct usage_query query;

    if (rc == 0 && (result->n_rows == 0 || result->n_columns != USAGE_COLUMNS)) {
        rc = -EINVAL;
    }
    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
    } else if (query_read(call, &query)) { /* again: cheaper than keeping it */
        usage_reply(call, &query, result);
    }
}

static struct db_value
filter(const char *text)
{
    return DB_VTEXT(*text == '\0' ? NULL : text);
}

void
handle_usage(struct call *call)
{
    struct usage_query query;

    if (!query_read(call, &query)) {
        return;
    }
    const struct db_value values[] = {
        DB_VTEXT(call->context.tenant),
        DB_VINT(query.from),
        DB_VINT(query.to),
        filter(query.app),
        filter(query.agent),
        DB_VINT(query.by[GROUP_APP]),
        DB_VINT(query.by[GROUP_AGENT]),
        DB_VINT(query.by[GROUP_DAY]),
        query.is_later_page ? DB_VINT(query.after.day) : DB_VINT(-1),
        DB_VTEXT(query.after.app),
        DB_VTEXT(query.after.agent),
        DB_VINT(query.limit + 1),
    };
    call_read(call, DB_USAGE_SUM, values, SBX_COUNT(values), usage_on_read);
}
