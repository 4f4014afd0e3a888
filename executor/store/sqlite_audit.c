/* Rows and lines are two forms of one event; this file turns one into the other. */
#include "sqlite_audit.h"

#include <inttypes.h>
#include <string.h>

#include "db.h"
#include "explain.h"
#include "lib/sbx_jsonw.h"

#define CATCH_UP_ROWS 256
#define KEEP_MAX_MS (100ull * 366 * 24 * 3600 * 1000) /* a sum with the present time stays a time */
#define CATCH_UP_BYTES (64u << 20)

static const char *
value_text(const struct db_value *value)
{
    return value->type == DB_TEXT ? value->data : NULL;
}

/* A tenant whose own policy could let its events go at once would have no record. */
static uint64_t
keep_time(const struct sqlite_audit_state *state, int64_t said)
{
    uint64_t keep = (uint64_t)said;

    if (said <= 0) {
        return state->keep_ms;
    }
    keep = keep < state->keep_min_ms ? state->keep_min_ms : keep;
    return keep < KEEP_MAX_MS ? keep : KEEP_MAX_MS;
}

int
sqlite_audit_insert(struct sqlite_conn *conn, struct sqlite_audit_state *state, const struct db_value *values,
                    struct sbx_buf *lines)
{
    const uint64_t clock = sbx_now_unix_ms();
    const uint64_t now = clock > state->ts_ms ? clock : state->ts_ms;
    const uint64_t keep = keep_time(state, values[6].integer);
    struct audit_chain next = { .seq = state->chain.seq + 1 };
    struct audit_event event = {
        .form = AUDIT_FORM_DIGEST,
        .seq = next.seq,
        .tenant = value_text(&values[0]),
        .kind = value_text(&values[1]),
        .object = value_text(&values[2]),
        .request_id = value_text(&values[3]),
        .decision = value_text(&values[4]),
        .body = value_text(&values[5]),
        .body_len = values[5].len,
        .prev = state->chain.hash,
    };
    int r;

    sbx_rfc3339(event.ts, now);
    if (keep > 0) {
        sbx_rfc3339(event.keep_until, now + keep);
    }
    r = audit_event_digest(&event);
    r = r ? r : audit_event_seal(&event, lines, next.hash);
    if (r) {
        return r;
    }

    const struct db_value row[] = {
        DB_VINT(next.seq),
        DB_VINT(now),
        values[0],
        values[1],
        values[2],
        values[3],
        values[4],
        keep > 0 ? DB_VINT(now + keep) : DB_VNULL(),
        DB_VTEXT(event.body_sha256),
        values[5],
        DB_VTEXT(state->chain.hash),
        DB_VTEXT(next.hash),
    };
    r = sqlite_conn_run(conn, DB_AUDIT_INSERT, row, SBX_COUNT(row), NULL, NULL);
    if (r) {
        return r > 0 ? -EUCLEAN : r; /* the number is taken: someone else wrote to the index */
    }
    state->chain = next;
    state->ts_ms = now;
    return 0;
}

static void
line_describe(struct audit_line *ret, const struct audit_event *event)
{
    const size_t len = event->tenant == NULL ? 0 : strnlen(event->tenant, AUDIT_NAME_MAX);

    if (len > 0) {
        memcpy(ret->tenant, event->tenant, len);
    }
    ret->tenant[len] = '\0';
    memcpy(ret->prev, event->prev, SBX_SHA256_HEX);
    memcpy(ret->ts, event->ts, sizeof(ret->ts));
    memcpy(ret->keep_until, event->keep_until, sizeof(ret->keep_until));
}

int
sqlite_audit_line(const struct db_result *rows, unsigned row, struct sbx_buf *out, struct audit_line *ret)
{
    const struct db_value *value = db_at(rows, row, 0);
    const char *prev = value_text(&value[DB_AUDIT_PREV]), *hash = value_text(&value[DB_AUDIT_HASH]);
    const char *digest = value_text(&value[DB_AUDIT_BODY_SHA256]);
    struct audit_event event = {
        .form = digest != NULL ? AUDIT_FORM_DIGEST : AUDIT_FORM_WHOLE,
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
        strlen(hash) != SBX_SHA256_HEX - 1 || (digest != NULL && strlen(digest) != SBX_SHA256_HEX - 1)) {
        return -EUCLEAN;
    }
    *ret = (struct audit_line){ .seq = event.seq, .form = event.form, .erased = event.body == NULL };
    sbx_rfc3339(event.ts, (uint64_t)value[DB_AUDIT_TS_MS].integer);
    if (value[DB_AUDIT_KEEP_UNTIL_MS].type == DB_INT) {
        sbx_rfc3339(event.keep_until, (uint64_t)value[DB_AUDIT_KEEP_UNTIL_MS].integer);
    }
    if (digest != NULL) {
        r = event.body == NULL ? 0 : audit_event_digest(&event);
        if (r) {
            return r;
        }
        if (event.body != NULL && strcmp(event.body_sha256, digest) != 0) {
            return -EUCLEAN;
        }
        memcpy(event.body_sha256, digest, SBX_SHA256_HEX);
    }
    r = audit_event_seal(&event, out, ret->hash);
    if (r) {
        return r;
    }
    line_describe(ret, &event);
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

/* Text of at most size - 1 bytes, "" for NULL. */
static bool
value_copy(char *out, size_t size, const struct db_value *value)
{
    const char *text = value_text(value);
    const size_t len = text == NULL ? 0 : strlen(text);

    if (len >= size) {
        return false;
    }
    memcpy(out, len > 0 ? text : "", len + 1);
    return true;
}

int
sqlite_audit_log_read(struct sqlite_conn *conn, struct sqlite_audit_log *ret)
{
    _cleanup_(db_rows_deinit) struct db_rows rows = DB_ROWS_INIT;
    struct db_result result = { 0 };
    int r;

    r = sqlite_conn_run(conn, DB_AUDIT_LOG_GET, NULL, 0, &rows, NULL);
    if (r) {
        return r > 0 ? -EIO : r;
    }
    db_rows_seal(&rows, &result);
    if (result.n_rows != 1 || !value_copy(ret->executor, sizeof(ret->executor), db_at(&result, 0, 1)) ||
        !value_copy(ret->key, sizeof(ret->key), db_at(&result, 0, 3))) {
        return -EUCLEAN;
    }
    ret->logged = (uint64_t)db_at(&result, 0, 0)->integer;
    ret->signed_n = (uint64_t)db_at(&result, 0, 2)->integer;
    return 0;
}

/* *ret becomes the index's head. */
static int
index_read(struct sqlite_conn *conn, struct sqlite_audit_state *ret)
{
    _cleanup_(db_rows_deinit) struct db_rows rows = DB_ROWS_INIT;
    struct db_result result = { 0 };
    const char *hash;
    int r;

    audit_chain_init(&ret->chain);
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
        ret->chain.seq = (uint64_t)db_at(&result, 0, 0)->integer;
        memcpy(ret->chain.hash, hash, SBX_SHA256_HEX);
        ret->ts_ms = (uint64_t)db_at(&result, 0, 2)->integer;
    }
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

static int
index_has_signed(struct sqlite_conn *conn, const struct audit_head *sealed)
{
    struct audit_chain head = { 0 };

    if (sealed == NULL || sealed->n == 0) {
        return 0;
    }
    head.seq = sealed->seq;
    memcpy(head.hash, sealed->hash, sizeof(head.hash));
    return index_has_head(conn, &head);
}

int
sqlite_audit_resume(struct sqlite_conn *conn, struct audit_log *log, struct sqlite_audit_state *ret,
                    char *error, size_t error_size)
{
    const struct audit_chain *head = audit_log_head(log);
    const struct audit_head *sealed = audit_log_signed(log);
    const char *what = "the index cannot be read";
    struct sqlite_audit_log known = { 0 };
    int r;

    r = index_read(conn, ret);
    r = r ? r : sqlite_audit_log_read(conn, &known);
    if (r == 0 && sealed != NULL && sealed->n < known.signed_n) {
        explain(error, error_size,
                "the audit log has %" PRIu64 " signed heads and had %" PRIu64
                ": lines of heads.jsonl were cut; restore the file, then run the audit verify command",
                sealed->n, known.signed_n);
        return -EUCLEAN;
    }
    if (r == 0 && head->seq < known.logged) {
        explain(error, error_size,
                "the audit log ends at event %" PRIu64 " and had event %" PRIu64
                ": lines were cut; restore the segment files, then run the audit verify command",
                head->seq, known.logged);
        return -EUCLEAN;
    }
    if (r == 0 && sealed != NULL && sealed->seq > head->seq) {
        explain(
            error, error_size,
            "the audit log ends at event %" PRIu64 " and event %" PRIu64
            " of it was signed: lines were cut; restore the segment files, then run the audit verify command",
            head->seq, sealed->seq);
        return -EUCLEAN;
    }
    if (r == 0 && head->seq > ret->chain.seq) {
        explain(error, error_size,
                "the audit log has event %" PRIu64 " and its index ends at %" PRIu64
                ": the database is older than the log; restore the newer one",
                head->seq, ret->chain.seq);
        return -EUCLEAN;
    }
    if (r == 0) {
        what = "the last line of the log is not the one in the index";
        r = index_has_head(conn, head);
    }
    if (r == 0) {
        what = "the head that was signed last is not the one in the index";
        r = index_has_signed(conn, sealed);
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

/* Appends "previous" when the old key is the one that signed until now. */
static int
key_write_previous(struct sbx_jsonw *w, const struct sbx_sign_key *key, const struct sbx_sign_key *old_key,
                   const struct sqlite_audit_log *known)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf message = SBX_BUF_INIT(512);
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(512);
    uint8_t sig[SBX_SIGN_LEN];
    int r;

    sbx_b64url_encode(&text, sbx_sign_bytes(old_key), SBX_SIGN_RAW);
    if (text.failed || strcmp(text.data, known->key) != 0) {
        return text.failed ? -ENOMEM : 0;
    }
    r = audit_key_message(&message, known->executor, sbx_sign_bytes(key));
    r = r ? r : sbx_sign(old_key, message.data, message.len, sig);
    if (r) {
        return r;
    }
    sbx_buf_reset(&text);
    sbx_b64url_encode(&text, sig, sizeof(sig));
    sbx_jsonw_object(w, "previous");
    sbx_jsonw_str(w, "key_id", sbx_sign_id(old_key));
    sbx_jsonw_str(w, "sig", text.data);
    sbx_jsonw_object_end(w);
    return text.failed ? -ENOMEM : 0;
}

/* Keys sorted, as the chain wants a body. */
static int
key_body(struct sbx_buf *out, const struct sbx_sign_key *key, const struct sbx_sign_key *old_key,
         const struct sqlite_audit_log *known, const char *raw)
{
    struct sbx_jsonw w;
    int r = 0;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "executor", known->executor);
    sbx_jsonw_str(&w, "key_id", key == NULL ? NULL : sbx_sign_id(key));
    if (key != NULL && old_key != NULL) {
        r = key_write_previous(&w, key, old_key, known);
    }
    sbx_jsonw_str(&w, "public_key", raw);
    sbx_jsonw_object_end(&w);
    return r ? r : out->failed ? -ENOMEM : 0;
}

static int
key_store(struct sqlite_conn *conn, struct sqlite_audit_state *state, const struct sbx_buf *body,
          const char *raw, struct sbx_buf *lines)
{
    const struct db_value event[] = {
        DB_VTEXT("-"), DB_VTEXT(AUDIT_KEY_KIND), DB_VNULL(),
        DB_VNULL(),    DB_VTEXT("allow"),        { .type = DB_TEXT, .data = body->data, .len = body->len },
        DB_VINT(0),
    };
    const struct db_value key[] = { DB_VTEXT(raw) };
    int r;

    r = sqlite_conn_control(conn, SQLITE_CONN_BEGIN);
    r = r ? r : sqlite_audit_insert(conn, state, event, lines);
    r = r ? r : sqlite_conn_run(conn, DB_AUDIT_KEY_SET, key, SBX_COUNT(key), NULL, NULL);
    r = r ? r : sqlite_conn_control(conn, SQLITE_CONN_COMMIT);
    if (r) {
        sqlite_conn_rollback(conn);
    }
    return r > 0 ? -EIO : r;
}

int
sqlite_audit_key(struct sqlite_conn *conn, struct audit_log *log, struct sqlite_audit_state *state,
                 const struct sbx_sign_key *key, const struct sbx_sign_key *old_key)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf raw = SBX_BUF_INIT(AUDIT_KEY_RAW_TEXT);
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(1024);
    _cleanup_(sbx_buf_deinit) struct sbx_buf lines = SBX_BUF_INIT(AUDIT_LINE_BUF);
    struct sqlite_audit_log known = { 0 };
    uint64_t keep_ms = state->keep_ms;
    int r;

    r = sqlite_audit_log_read(conn, &known);
    if (r) {
        return r;
    }
    if (key != NULL) {
        sbx_b64url_encode(&raw, sbx_sign_bytes(key), SBX_SIGN_RAW);
    }
    if (raw.failed || strcmp(key == NULL ? "" : raw.data, known.key) == 0) {
        return raw.failed ? -ENOMEM : 0;
    }
    r = key_body(&body, key, old_key, &known, key == NULL ? NULL : raw.data);
    if (r) {
        return r;
    }
    state->keep_ms = 0; /* who trusts the old key needs this for as long as there is a log */
    r = key_store(conn, state, &body, key == NULL ? NULL : raw.data, &lines);
    state->keep_ms = keep_ms;
    if (r) {
        return r;
    }
    r = audit_log_append(log, lines.data, lines.len, &state->chain);
    return r ? r : audit_log_sync(log);
}
