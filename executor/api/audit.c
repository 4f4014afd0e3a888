/*
 * GET /v1/audit: the tenant's own events, a page or all of them.
 *
 *   query_read -> query_from -> query_to -> query_window -> query_page -> query_window ... -> the end
 *
 * A read looks at a window of the tenant's events at a time, so that a filter that few of them meet keeps no other
 * reader waiting; who asks for an object's or a request's has an index and needs none. A page that took long ends early
 * and says where to go on. An export is no faster than its client, who is cut off when it takes nothing for a while.
 */
#include "executor/api/audit_query.h"

#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/handlers.h"
#include "executor/api/listing.h"
#include "executor/core/audit.h"
#include "lib/sbx_time.h"

#define QUERY_WINDOW 4000
#define QUERY_ROWS 64 /* of one read of an export; a body has up to 256 KiB */
#define QUERY_TIME_MS 2000
#define QUERY_AHEAD (256u << 10)
#define QUERY_REPLY_MAX (64u << 20)
#define QUERY_TEXT_MAX 256

enum filter { KIND, PREFIX, REQUEST, OBJECT, APP, AGENT, SUBJECT, DECISION, RULE, POLICY, N_FILTERS };

struct audit_query {
    struct call *call;
    char filter[N_FILTERS][QUERY_TEXT_MAX];
    bool up, export, full, more, started, reading;
    uint64_t above, below; /* what is left lies between */
    uint64_t window;       /* the last event of the window; 0: all that is left */
    bool windowed;
    uint64_t from_ms, to_ms; /* 0, INT64_MAX: not said */
    uint64_t left;           /* events yet to be given out */
    uint64_t last, n;
    uint64_t end_ms; /* monotonic */
    struct sbx_buf out;
};

struct audit_query *
audit_query_free(struct audit_query *query)
{
    if (query != NULL) {
        sbx_buf_deinit(&query->out);
        free(query);
    }
    return NULL;
}

static bool
query_filters(struct audit_query *query)
{
    static const char *const names[N_FILTERS] = {
        [KIND] = "kind",         [REQUEST] = "request_id", [OBJECT] = "object",
        [APP] = "app",           [AGENT] = "agent",        [SUBJECT] = "subject",
        [DECISION] = "decision", [RULE] = "rule",          [POLICY] = "policy",
    };
    size_t len;

    for (unsigned i = 0; i < N_FILTERS; i++) {
        if (names[i] == NULL) {
            continue;
        }
        switch (call_param(query->call, names[i], query->filter[i], QUERY_TEXT_MAX)) {
        case CALL_PARAM_ABSENT:
            query->filter[i][0] = '\0';
            break;
        case CALL_PARAM_FINE:
            if (query->filter[i][0] != '\0') {
                break;
            }
            return listing_bad(query->call, names[i], "must not be empty");
        case CALL_PARAM_BAD:
            return listing_bad(query->call, names[i], "is not a text of at most 255 bytes");
        }
    }
    len = strlen(query->filter[KIND]);
    if (len > 0 && query->filter[KIND][len - 1] == '.') {
        memcpy(query->filter[PREFIX], query->filter[KIND], len + 1);
        query->filter[KIND][0] = '\0';
    }
    return true;
}

static bool
query_time(struct call *call, const char *name, uint64_t *ret)
{
    char text[64];

    switch (call_param(call, name, text, sizeof(text))) {
    case CALL_PARAM_ABSENT:
        return true;
    case CALL_PARAM_FINE:
        if (sbx_rfc3339_parse(text, strlen(text), ret)) {
            return true;
        }
        break;
    case CALL_PARAM_BAD:
        break;
    }
    return listing_bad(call, name, "must be a time as RFC 3339 writes it");
}

static bool
number_parse(const char *text, uint64_t *ret)
{
    if (*text == '\0' || strlen(text) > 18 || strspn(text, "0123456789") != strlen(text)) {
        return false;
    }
    *ret = strtoull(text, NULL, 10);
    return true;
}

/* The number of the event that came last: who exports goes on from the last line that arrived. */
static bool
query_cursor(struct audit_query *query)
{
    char text[24];
    uint64_t seq;

    switch (call_param(query->call, "cursor", text, sizeof(text))) {
    case CALL_PARAM_ABSENT:
        return true;
    case CALL_PARAM_FINE:
        if (number_parse(text, &seq)) {
            *(query->up ? &query->above : &query->below) = seq;
            return true;
        }
        break;
    case CALL_PARAM_BAD:
        break;
    }
    return listing_bad(query->call, "cursor", "is not a cursor of this listing");
}

static bool
query_order(struct audit_query *query)
{
    char text[8];

    switch (call_param(query->call, "order", text, sizeof(text))) {
    case CALL_PARAM_ABSENT:
        query->up = query->export;
        return true;
    case CALL_PARAM_FINE:
        query->up = strcmp(text, "asc") == 0;
        if (query->up || strcmp(text, "desc") == 0) {
            return true;
        }
        break;
    case CALL_PARAM_BAD:
        break;
    }
    return listing_bad(query->call, "order", "must be asc or desc");
}

static bool
query_limit(struct audit_query *query)
{
    char text[8];
    unsigned limit;

    if (query->export && call_param(query->call, "limit", text, sizeof(text)) == CALL_PARAM_ABSENT) {
        query->left = UINT64_MAX;
        return true;
    }
    if (!listing_limit(query->call, &limit)) {
        return false;
    }
    query->left = limit;
    return true;
}

static bool
wants_export(const struct call *call)
{
    const char *accept = sbx_http_request_header(call->request, "Accept");

    return accept != NULL && strstr(accept, "application/x-ndjson") != NULL;
}

/* False: answered. */
static bool
query_read(struct audit_query *query)
{
    query->export = wants_export(query->call);
    query->above = 0;
    query->below = INT64_MAX;
    query->to_ms = INT64_MAX;
    query->end_ms = sbx_now_mono_ms() + QUERY_TIME_MS;
    query->out = (struct sbx_buf)SBX_BUF_INIT(QUERY_REPLY_MAX);
    return query_filters(query) && query_order(query) && query_limit(query) &&
           query_time(query->call, "from", &query->from_ms) && query_time(query->call, "to", &query->to_ms) &&
           query_cursor(query);
}

static struct db_value
query_value(const struct audit_query *query, enum filter filter)
{
    return query->filter[filter][0] == '\0' ? DB_VNULL() : DB_VTEXT(query->filter[filter]);
}

static void query_window(struct call *call);
static void query_go_on(struct call *call);

/* After the head of a reply there is no other: the connection says it. */
static void
query_fail(struct call *call, int rc)
{
    if (call->audit->started) {
        call_break_stream(call);
    } else {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
    }
}

static void
page_finish(struct call *call)
{
    struct audit_query *query = call->audit;
    struct sbx_buf body = query->out;

    query->out = (struct sbx_buf)SBX_BUF_INIT(QUERY_REPLY_MAX);
    if (body.len == 0) {
        sbx_buf_puts(&body, "{\"events\":[");
    }
    sbx_buf_puts(&body, "],\"next_cursor\":");
    if (query->more) {
        sbx_buf_printf(&body, "\"%llu\"}", (unsigned long long)query->last);
    } else {
        sbx_buf_puts(&body, "null}");
    }
    call_reply_json(call, 200, NULL, 0, &body);
    sbx_buf_deinit(&body);
}

static void
query_finish(struct call *call)
{
    if (call->audit->export) {
        call_end_stream(call);
    } else {
        page_finish(call);
    }
}

static void
query_take(struct audit_query *query, const struct db_result *result, unsigned row)
{
    if (query->export) {
        audit_row_write(&query->out, result, row);
        sbx_buf_putc(&query->out, '\n');
    } else {
        sbx_buf_puts(&query->out, query->n == 0 ? "{\"events\":[" : ",");
        audit_row_write(&query->out, result, row);
    }
    query->last = (uint64_t)db_at(result, row, DB_AUDIT_SEQ)->integer;
    query->n++;
    query->left -= query->left != UINT64_MAX;
}

/* How many rows the read was for. */
static unsigned
query_rows(const struct audit_query *query)
{
    return query->export && query->left > QUERY_ROWS ? QUERY_ROWS : (unsigned)query->left + 1;
}

static void
query_on_page(struct call *call, int rc, const struct db_result *result)
{
    struct audit_query *query = call->audit;
    const unsigned asked = query_rows(query);

    query->reading = false;
    if (rc) {
        query_fail(call, rc);
        return;
    }
    for (unsigned i = 0; i < result->n_rows && query->left > 0; i++) {
        query_take(query, result, i);
    }
    if (result->n_rows < asked && query->windowed && query->window != 0) {
        query->last = query->window; /* nothing more up to there */
    }
    *(query->up ? &query->above : &query->below) =
        query->n > 0 || query->windowed ? query->last : query->below;
    query->full = query->left == 0 || (result->n_rows < asked && (!query->windowed || query->window == 0));
    query->more = result->n_rows == asked || (query->windowed && query->window != 0);
    if (query->out.failed) {
        query_fail(call, -ENOMEM);
    } else {
        query_go_on(call);
    }
}

static void
query_page(struct call *call)
{
    struct audit_query *query = call->audit;
    const bool object = query->filter[OBJECT][0] != '\0', request = query->filter[REQUEST][0] != '\0';
    const int source = object ? DB_AUDIT_OBJECT_UP : request ? DB_AUDIT_REQUEST_UP : DB_AUDIT_PAGE_UP;
    const uint64_t above = !query->up && query->window != 0 ? query->window - 1 : query->above;
    const uint64_t below = query->up && query->window != 0 ? query->window + 1 : query->below;
    const struct db_value values[] = {
        DB_VTEXT(call->context.tenant),
        DB_VINT(above),
        DB_VINT(below),
        query_value(query, KIND),
        query_value(query, PREFIX),
        query_value(query, REQUEST),
        query_value(query, OBJECT),
        query_value(query, APP),
        query_value(query, AGENT),
        query_value(query, SUBJECT),
        query_value(query, DECISION),
        query_value(query, RULE),
        query_value(query, POLICY),
        DB_VINT(query_rows(query)),
    };

    call_read(call, (enum db_stmt)(source + (query->up ? 0 : 1)), values, SBX_COUNT(values), query_on_page);
}

static void
query_on_window(struct call *call, int rc, const struct db_result *result)
{
    struct audit_query *query = call->audit;

    if (rc) {
        query->reading = false;
        query_fail(call, rc);
        return;
    }
    query->window = result->n_rows == 1 ? (uint64_t)db_at(result, 0, 0)->integer : 0;
    query_page(call);
}

static void
query_window(struct call *call)
{
    struct audit_query *query = call->audit;
    const struct db_value values[] = {
        DB_VTEXT(call->context.tenant),
        DB_VINT(query->above),
        DB_VINT(query->below),
        DB_VINT(QUERY_WINDOW),
    };

    query->reading = true;
    query->windowed = query->filter[OBJECT][0] == '\0' && query->filter[REQUEST][0] == '\0';
    if (!query->windowed) {
        query_page(call);
        return;
    }
    call_read(call, query->up ? DB_AUDIT_WINDOW_UP : DB_AUDIT_WINDOW_DOWN, values, SBX_COUNT(values),
              query_on_window);
}

/* What was read goes out; then the next, when the client has taken most of it. */
static void
query_go_on(struct call *call)
{
    struct audit_query *query = call->audit;

    if (query->export && query->out.len > 0) {
        sbx_http_reply_write(call->request, query->out.data, query->out.len);
        sbx_buf_reset(&query->out);
    }
    if (query->full || (!query->export && sbx_now_mono_ms() >= query->end_ms)) {
        query_finish(call);
    } else if (!query->reading && (!query->export || sbx_http_reply_pending(call->request) <= QUERY_AHEAD)) {
        query_window(call);
    }
}

static void
query_on_drain(struct sbx_http_request *request)
{
    struct call *call = sbx_http_request_user(request);

    if (!call->audit->reading) {
        query_go_on(call);
    }
}

static void
export_on_noted(struct call *call, int rc, const struct db_result *result _unused_)
{
    if (rc) {
        query_fail(call, rc);
        return;
    }
    call->audit->started = true;
    call_start_stream(call, 200, "application/x-ndjson", NULL, 0, CALL_STREAM_CHUNKED);
    if (strcmp(sbx_http_request_method(call->request), "HEAD") == 0) {
        call_end_stream(call);
        return;
    }
    sbx_http_reply_on_drain(call->request, query_on_drain);
    query_window(call);
}

static void
query_begin(struct call *call)
{
    struct db_tx *tx;

    if (!call->audit->export) {
        query_window(call);
        return;
    }
    if (db_tx_new(&tx, engine_db(call->api->spec.engine)) != 0) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    audit_exported(tx, &call->context);
    call_submit(call, tx, export_on_noted);
}

static void
query_on_to(struct call *call, int rc, const struct db_result *result)
{
    struct audit_query *query = call->audit;
    uint64_t seq;

    if (rc) {
        query_fail(call, rc);
        return;
    }
    seq = result->n_rows == 1 ? (uint64_t)db_at(result, 0, 0)->integer : INT64_MAX;
    query->below = seq < query->below ? seq : query->below;
    query_begin(call);
}

static void
query_to(struct call *call)
{
    const struct db_value values[] = { DB_VTEXT(call->context.tenant), DB_VINT(call->audit->to_ms) };

    if (call->audit->to_ms == INT64_MAX) {
        query_begin(call);
        return;
    }
    call_read(call, DB_AUDIT_SINCE, values, SBX_COUNT(values), query_on_to);
}

static void
query_on_from(struct call *call, int rc, const struct db_result *result)
{
    struct audit_query *query = call->audit;
    uint64_t seq;

    if (rc) {
        query_fail(call, rc);
        return;
    }
    seq = result->n_rows == 1 ? (uint64_t)db_at(result, 0, 0)->integer - 1 : INT64_MAX;
    query->above = seq > query->above ? seq : query->above;
    query_to(call);
}

void
handle_audit_list(struct call *call)
{
    struct audit_query *query = calloc(1, sizeof(*query));

    if (query == NULL) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    query->call = call;
    call->audit = query;
    if (!query_read(query)) {
        return;
    }
    if (query->from_ms == 0) {
        query_to(call);
        return;
    }
    const struct db_value values[] = { DB_VTEXT(call->context.tenant), DB_VINT(query->from_ms) };

    call_read(call, DB_AUDIT_SINCE, values, SBX_COUNT(values), query_on_from);
}

static void
get_on_read(struct call *call, int rc, const struct db_result *result)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(1u << 20);

    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
    } else if (result->n_rows == 0) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
    } else {
        audit_row_write(&body, result, 0);
        call_reply_json(call, 200, NULL, 0, &body);
    }
}

/* Another tenant's event is as much there as one that never was. */
void
handle_audit_get(struct call *call)
{
    uint64_t seq;

    if (!number_parse(call->sub, &seq)) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    const struct db_value values[] = { DB_VTEXT(call->context.tenant), DB_VINT(seq) };

    call_read(call, DB_AUDIT_GET, values, SBX_COUNT(values), get_on_read);
}

static void
head_on_read(struct call *call, int rc, const struct db_result *result)
{
    const struct db_value *head = rc == 0 && result->n_rows == 1 ? db_at(result, 0, 0) : NULL;
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(4096);

    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
    } else if (head == NULL || head->type != DB_TEXT) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, "no head of the audit log was signed yet");
    } else {
        sbx_buf_append(&body, head->data, head->len);
        call_reply_json(call, 200, NULL, 0, &body);
    }
}

/* It tells of no tenant: a number and a hash. */
void
handle_audit_head(struct call *call)
{
    call_read(call, DB_AUDIT_SIGNED, NULL, 0, head_on_read);
}
