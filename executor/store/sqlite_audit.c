/* Rows and lines are two forms of one event; this file turns one into the other. */
#include "sqlite_audit.h"

#include <inttypes.h>
#include <string.h>

#include "db.h"
#include "explain.h"

#define CATCH_UP_ROWS 256
#define CATCH_UP_BYTES (64u << 20)

static const char *
value_text(const struct db_value *value)
{
    return value->type == DB_TEXT ? value->data : NULL;
}

int
sqlite_audit_insert(struct sqlite_conn *conn, struct audit_chain *chain, const struct db_value *values,
                    struct sbx_buf *lines)
{
    const uint64_t now = sbx_now_unix_ms();
    struct audit_chain next = { .seq = chain->seq + 1 };
    struct audit_event event = {
        .seq = next.seq,
        .tenant = value_text(&values[0]),
        .kind = value_text(&values[1]),
        .object = value_text(&values[2]),
        .request_id = value_text(&values[3]),
        .decision = value_text(&values[4]),
        .body = value_text(&values[5]),
        .body_len = values[5].len,
        .prev = chain->hash,
    };
    int r;

    sbx_rfc3339(event.ts, now);
    r = audit_event_seal(&event, lines, next.hash);
    if (r) {
        return r;
    }

    const struct db_value row[] = {
        DB_VINT(next.seq),   DB_VINT(now), values[0],
        values[1],           values[2],    values[3],
        values[4],           values[5],    DB_VTEXT(chain->hash),
        DB_VTEXT(next.hash),
    };
    r = sqlite_conn_run(conn, DB_AUDIT_INSERT, row, SBX_COUNT(row), NULL, NULL);
    if (r) {
        return r > 0 ? -EUCLEAN : r; /* the number is taken: someone else wrote to the index */
    }
    *chain = next;
    return 0;
}

int
sqlite_audit_line(const struct db_result *rows, unsigned row, struct sbx_buf *out, struct audit_line *ret)
{
    const struct db_value *value = db_at(rows, row, 0);
    const char *prev = value_text(&value[DB_AUDIT_PREV]), *hash = value_text(&value[DB_AUDIT_HASH]);
    struct audit_event event = {
        .seq = (uint64_t)value[DB_AUDIT_SEQ].integer,
        .tenant = value_text(&value[DB_AUDIT_TENANT]),
        .kind = value_text(&value[DB_AUDIT_KIND]),
        .object = value_text(&value[DB_AUDIT_OBJECT]),
        .request_id = value_text(&value[DB_AUDIT_REQUEST_ID]),
        .decision = value_text(&value[DB_AUDIT_DECISION]),
        .body = value_text(&value[DB_AUDIT_BODY]),
        .body_len = value[DB_AUDIT_BODY].len,
        .prev = prev,
    };
    int r;

    if (prev == NULL || hash == NULL || strlen(prev) != SBX_SHA256_HEX - 1 ||
        strlen(hash) != SBX_SHA256_HEX - 1) {
        return -EUCLEAN;
    }
    sbx_rfc3339(event.ts, (uint64_t)value[DB_AUDIT_TS_MS].integer);
    r = audit_event_seal(&event, out, ret->hash);
    if (r) {
        return r;
    }
    ret->seq = event.seq;
    memcpy(ret->prev, prev, SBX_SHA256_HEX);
    return strcmp(ret->hash, hash) == 0 ? 0 : -EUCLEAN;
}

/* Up to CATCH_UP_ROWS rows beyond the log's head as lines; *head moves along. */
static int
catch_up_lines(struct sqlite_conn *conn, struct sbx_buf *lines, struct audit_chain *head)
{
    const struct db_value values[] = { DB_VINT(head->seq), DB_VINT(CATCH_UP_ROWS) };
    _cleanup_(db_rows_deinit) struct db_rows rows = DB_ROWS_INIT;
    struct db_result result = { 0 };
    struct audit_line line;
    int r;

    r = sqlite_conn_run(conn, DB_AUDIT_AFTER, values, SBX_COUNT(values), &rows, NULL);
    if (r) {
        return r > 0 ? -EIO : r;
    }
    db_rows_seal(&rows, &result);
    for (unsigned i = 0; i < result.n_rows; i++) {
        r = sqlite_audit_line(&result, i, lines, &line);
        if (r) {
            return r;
        }
        if (line.seq != head->seq + 1 || strcmp(line.prev, head->hash) != 0) {
            return -EUCLEAN;
        }
        head->seq = line.seq;
        memcpy(head->hash, line.hash, sizeof(line.hash));
    }
    return 0;
}

int
sqlite_audit_catch_up(struct sqlite_conn *conn, struct audit_log *log)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf lines = SBX_BUF_INIT(CATCH_UP_BYTES);
    struct audit_chain head = *audit_log_head(log);
    int r;

    for (;;) {
        sbx_buf_reset(&lines);
        r = catch_up_lines(conn, &lines, &head);
        if (r) {
            return r;
        }
        if (lines.len == 0) {
            return 0;
        }
        r = audit_log_append(log, lines.data, lines.len, &head);
        if (r) {
            return r;
        }
    }
}

/* *ret is the index's head, *logged the last line that the log was known to have. */
static int
index_read(struct sqlite_conn *conn, struct audit_chain *ret, uint64_t *logged)
{
    _cleanup_(db_rows_deinit) struct db_rows rows = DB_ROWS_INIT;
    struct db_result result = { 0 };
    const char *hash;
    int r;

    audit_chain_init(ret);
    r = sqlite_conn_run(conn, DB_AUDIT_HEAD, NULL, 0, &rows, NULL);
    if (r) {
        return r > 0 ? -EIO : r;
    }
    db_rows_seal(&rows, &result);
    if (result.n_rows == 1) {
        hash = value_text(db_at(&result, 0, 1));
        if (hash == NULL || strlen(hash) != SBX_SHA256_HEX - 1) {
            return -EUCLEAN;
        }
        ret->seq = (uint64_t)db_at(&result, 0, 0)->integer;
        memcpy(ret->hash, hash, SBX_SHA256_HEX);
    }

    r = sqlite_conn_run(conn, DB_AUDIT_LOG_GET, NULL, 0, &rows, NULL);
    if (r) {
        return r > 0 ? -EIO : r;
    }
    db_rows_seal(&rows, &result);
    if (result.n_rows != 1) {
        return -EUCLEAN;
    }
    *logged = (uint64_t)db_at(&result, 0, 0)->integer;
    return 0;
}

/* Whether the index has the log's last line, and the same one. */
static int
index_has_head(struct sqlite_conn *conn, const struct audit_chain *head)
{
    const struct db_value values[] = { DB_VINT(head->seq - 1), DB_VINT(1) };
    _cleanup_(db_rows_deinit) struct db_rows rows = DB_ROWS_INIT;
    _cleanup_(sbx_buf_deinit) struct sbx_buf line = SBX_BUF_INIT(AUDIT_LINE_BUF);
    struct db_result result = { 0 };
    struct audit_line parsed;
    int r;

    if (head->seq == 0) {
        return 0;
    }
    r = sqlite_conn_run(conn, DB_AUDIT_AFTER, values, SBX_COUNT(values), &rows, NULL);
    if (r) {
        return r > 0 ? -EIO : r;
    }
    db_rows_seal(&rows, &result);
    if (result.n_rows != 1) {
        return -EUCLEAN;
    }
    r = sqlite_audit_line(&result, 0, &line, &parsed);
    if (r) {
        return r;
    }
    return parsed.seq == head->seq && strcmp(parsed.hash, head->hash) == 0 ? 0 : -EUCLEAN;
}

int
sqlite_audit_resume(struct sqlite_conn *conn, struct audit_log *log, struct audit_chain *ret, char *error,
                    size_t error_size)
{
    const struct audit_chain *head = audit_log_head(log);
    const char *what = "the index cannot be read";
    uint64_t logged = 0;
    int r;

    r = index_read(conn, ret, &logged);
    if (r == 0 && head->seq < logged) {
        explain(error, error_size,
                "the audit log ends at event %" PRIu64 " and had event %" PRIu64
                ": lines were cut; restore the segment files, then run the audit verify command",
                head->seq, logged);
        return -EUCLEAN;
    }
    if (r == 0 && head->seq > ret->seq) {
        explain(error, error_size,
                "the audit log has event %" PRIu64 " and its index ends at %" PRIu64
                ": the database is older than the log; restore the newer one",
                head->seq, ret->seq);
        return -EUCLEAN;
    }
    if (r == 0) {
        what = "the last line of the log is not the one in the index";
        r = index_has_head(conn, head);
    }
    if (r == 0) {
        what = "the log could not be brought up to the index";
        r = sqlite_audit_catch_up(conn, log);
    }
    if (r == 0) {
        r = audit_log_sync(log);
    }
    if (r) {
        explain(error, error_size, "audit: %s: %s", what,
                r == -EUCLEAN ? "the chain does not fit; run the audit verify command" : strerror(-r));
    }
    return r;
}
