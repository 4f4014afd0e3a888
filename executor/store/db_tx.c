/* Building transactions: everything a driver could stumble over is refused here, on the loop's thread. */
#include "db_tx.h"

#include <stdlib.h>
#include <string.h>

#include "lib/sbx_json.h"
#include "lib/sbx_utf8.h"

struct db_value
db_text(const char *text)
{
    if (text == NULL) {
        return DB_VNULL();
    }
    return (struct db_value){ .type = DB_TEXT, .data = text, .len = strlen(text) };
}

void
db_queue_push(struct db_queue *queue, struct db_tx *tx)
{
    tx->next = NULL;
    if (queue->last != NULL) {
        queue->last->next = tx;
    } else {
        queue->first = tx;
    }
    queue->last = tx;
    queue->n++;
    queue->bytes += tx->bytes;
}

struct db_tx *
db_queue_pop(struct db_queue *queue)
{
    struct db_tx *tx = queue->first;

    if (tx == NULL) {
        return NULL;
    }

    queue->first = tx->next;
    if (queue->first == NULL) {
        queue->last = NULL;
    }
    queue->n--;
    queue->bytes -= tx->bytes;
    tx->next = NULL;
    return tx;
}

void
db_queue_move(struct db_queue *to, struct db_queue *from)
{
    if (from->first == NULL) {
        return;
    }

    if (to->last != NULL) {
        to->last->next = from->first;
    } else {
        to->first = from->first;
    }
    to->last = from->last;
    to->n += from->n;
    to->bytes += from->bytes;
    *from = (struct db_queue){ 0 };
}

int
db_tx_new(struct db_tx **ret, struct db *db)
{
    struct db_tx *tx = calloc(1, sizeof(*tx));

    if (tx == NULL) {
        return -ENOMEM;
    }
    tx->db = db;
    tx->rows = (struct db_rows)DB_ROWS_INIT;
    *ret = tx;
    return 0;
}

struct db_tx *
db_tx_free(struct db_tx *tx)
{
    if (tx == NULL) {
        return NULL;
    }

    while (tx->first != NULL) {
        struct db_op *op = tx->first;

        tx->first = op->next;
        free(op);
    }
    db_rows_deinit(&tx->rows);
    free(tx);
    return NULL;
}

/* Drivers disagree on invalid UTF-8 and on NUL in text, and a quoting bug lives in each disagreement. */
static bool
value_valid(const struct db_value *value)
{
    switch (value->type) {
    case DB_NULL:
    case DB_INT:
        return true;
    case DB_BLOB:
        return value->data != NULL || value->len == 0;
    case DB_TEXT:
        return value->data != NULL && memchr(value->data, '\0', value->len) == NULL &&
               sbx_utf8_valid(value->data, value->len);
    }
    return false;
}

/* Bytes that the values need beside themselves; -EINVAL, -E2BIG. */
static int
values_measure(const struct db_value *values, unsigned n, size_t *ret)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < n; i++) {
        if (values[i].type != DB_TEXT && values[i].type != DB_BLOB) {
            if (!value_valid(&values[i])) {
                return -EINVAL;
            }
            continue;
        }
        if (values[i].len >= DB_TX_MAX_BYTES - bytes) {
            return -E2BIG;
        }
        if (!value_valid(&values[i])) {
            return -EINVAL;
        }
        bytes += values[i].len + 1;
    }

    *ret = bytes;
    return 0;
}

static struct db_op *
op_new(enum db_stmt stmt, const struct db_value *values, unsigned n, size_t bytes)
{
    const size_t size = sizeof(struct db_op) + n * sizeof(*values);
    struct db_op *op = malloc(size + bytes);
    char *place;

    if (op == NULL) {
        return NULL;
    }

    op->next = NULL;
    op->stmt = stmt;
    op->expect = 0;
    op->n = n;
    place = (char *)op + size;
    for (unsigned i = 0; i < n; i++) {
        op->values[i] = values[i];
        if (values[i].type != DB_TEXT && values[i].type != DB_BLOB) {
            continue;
        }
        if (values[i].len > 0) {
            memcpy(place, values[i].data, values[i].len);
        }
        place[values[i].len] = '\0';
        op->values[i].data = place;
        place += values[i].len + 1;
    }
    return op;
}

void
db_tx_push(struct db_tx *tx, enum db_stmt stmt, const struct db_value *values, unsigned n)
{
    struct db_op *op;
    size_t bytes = 0;

    if (tx->rc) {
        return;
    }

    tx->rc = values_measure(values, n, &bytes);
    if (tx->rc) {
        return;
    }
    if (tx->n_ops >= DB_TX_MAX_OPS || bytes > DB_TX_MAX_BYTES - tx->bytes) {
        tx->rc = -E2BIG;
        return;
    }
    op = op_new(stmt, values, n, bytes);
    if (op == NULL) {
        tx->rc = -ENOMEM;
        return;
    }

    if (tx->last != NULL) {
        tx->last->next = op;
    } else {
        tx->first = op;
    }
    tx->last = op;
    tx->n_ops++;
    tx->bytes += bytes;
}

void
db_tx_add(struct db_tx *tx, enum db_stmt stmt, const struct db_value *values, unsigned n)
{
    const struct db_stmt_info *info = db_stmt_info(stmt);

    if (info == NULL || info->access == DB_ACCESS_INTERNAL || info->n_params != n) {
        tx->rc = tx->rc ? tx->rc : -EINVAL;
        return;
    }
    db_tx_push(tx, stmt, values, n);
}

void
db_tx_expect(struct db_tx *tx, int code)
{
    if (tx->rc == 0 && (tx->last == NULL || code < DB_E_OWN)) {
        tx->rc = -EINVAL;
    }
    if (tx->rc == 0) {
        tx->last->expect = code;
    }
}

/*
 * The chain hashes bytes, so a body has one form: sorted keys, no white space. It is parsed inside an array
 * that costs as much depth and as many values as the line around it will, so that no line is made that nobody
 * can read.
 */
static int
audit_body_canonical(struct sbx_buf *out, const char *body, size_t len)
{
    static const char around[] = "[0,0,0,0,0,0,0,0,0,0,0,";
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(DB_AUDIT_MAX_BODY + sizeof(around) + 1);
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    struct sbx_field_error err;
    int r;

    if (body == NULL || len > DB_AUDIT_MAX_BODY) {
        return body == NULL ? -EINVAL : -E2BIG;
    }
    sbx_buf_puts(&text, around);
    sbx_buf_append(&text, body, len);
    sbx_buf_putc(&text, ']');
    if (text.failed) {
        return -ENOMEM;
    }

    r = sbx_json_parse(&json, text.data, text.len, &err);
    if (r) {
        return r < 0 ? r : -EINVAL;
    }
    if (!json_is_array(json) || json_array_size(json) != 12 || !json_is_object(json_array_get(json, 11))) {
        return -EINVAL;
    }
    sbx_json_dump(out, json_array_get(json, 11), true);
    return out->failed ? -E2BIG : 0;
}

static bool
audit_text_valid(const char *text)
{
    return text == NULL || strlen(text) <= DB_AUDIT_MAX_TEXT;
}

void
db_tx_audit(struct db_tx *tx, const struct db_audit *event)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(DB_AUDIT_MAX_BODY);
    const char *const texts[] = { event->tenant, event->kind, event->object, event->request_id,
                                  event->decision };
    struct db_value values[SBX_COUNT(texts) + 2];

    if (tx->rc) {
        return;
    }
    if (event->tenant == NULL || event->kind == NULL) {
        tx->rc = -EINVAL;
        return;
    }
    for (size_t i = 0; i < SBX_COUNT(texts); i++) {
        if (!audit_text_valid(texts[i])) {
            tx->rc = -E2BIG;
            return;
        }
        values[i] = db_text(texts[i]);
    }

    if (event->canonical) {
        tx->rc = event->body_len > DB_AUDIT_MAX_BODY ? -E2BIG : 0;
        values[SBX_COUNT(texts)] =
            (struct db_value){ .type = DB_TEXT, .data = event->body, .len = event->body_len };
    } else {
        tx->rc = audit_body_canonical(&body, event->body, event->body_len);
        values[SBX_COUNT(texts)] = (struct db_value){ .type = DB_TEXT, .data = body.data, .len = body.len };
    }
    if (tx->rc) {
        return;
    }
    values[SBX_COUNT(texts) + 1] = DB_VINT(event->keep_ms > INT64_MAX / 2 ? 0 : event->keep_ms);
    db_tx_push(tx, DB_AUDIT_INSERT, values, SBX_COUNT(values));
}
