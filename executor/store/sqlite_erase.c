#include "sqlite_erase.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit_segments.h"
#include "executor/log.h"
#include "lib/sbx_jsonw.h"

#define ERASE_ROWS 1000 /* bodies of one erasure */
#define ERASE_TEMP "erasing.tmp"
#define ERASE_WRITE (1u << 20)

struct batch {
    char tenant[AUDIT_NAME_MAX + 1];
    uint64_t from, to, n, now;
};

/* The segment that has this event: [*first, *next); *first is 0 when none has. */
static int
segment_of(const struct audit_log *log, uint64_t seq, uint64_t *first, uint64_t *next)
{
    struct audit_segments segments = { 0 };
    int r;

    *first = 0;
    *next = audit_log_open_first(log);
    r = audit_segments_scan(&segments, audit_log_dir(log));
    for (size_t i = 0; i < segments.n && r == 0; i++) {
        if (segments.first[i] <= seq) {
            *first = segments.first[i];
        } else if (segments.first[i] < *next) {
            *next = segments.first[i];
        }
    }
    audit_segments_deinit(&segments);
    return r;
}

/* ret->n is 0 when nothing is due. */
static int
batch_find(struct sqlite_conn *conn, const struct audit_log *log, struct batch *ret)
{
    const struct db_value due[] = { DB_VINT(ret->now), DB_VINT(audit_log_open_first(log) & INT64_MAX) };
    _cleanup_(db_rows_deinit) struct db_rows rows = DB_ROWS_INIT;
    struct db_result result = { 0 };
    uint64_t first, next;
    int r;

    r = sqlite_conn_run(conn, DB_AUDIT_DUE, due, SBX_COUNT(due), &rows, NULL);
    if (r) {
        return r > 0 ? -EIO : r;
    }
    db_rows_seal(&rows, &result);
    if (result.n_rows == 0 || db_at(&result, 0, 0)->len > AUDIT_NAME_MAX) {
        return 0;
    }
    memcpy(ret->tenant, db_at(&result, 0, 0)->data, db_at(&result, 0, 0)->len + 1);
    ret->from = (uint64_t)db_at(&result, 0, 1)->integer;
    r = segment_of(log, ret->from, &first, &next);
    if (r) {
        return r;
    }

    const struct db_value range[] = { DB_VTEXT(ret->tenant), DB_VINT(ret->from), DB_VINT(next),
                                      DB_VINT(ret->now), DB_VINT(ERASE_ROWS) };
    r = sqlite_conn_run(conn, DB_AUDIT_DUE_RANGE, range, SBX_COUNT(range), &rows, NULL);
    if (r) {
        return r > 0 ? -EIO : r;
    }
    db_rows_seal(&rows, &result);
    ret->n = result.n_rows;
    ret->to = result.n_rows > 0 ? (uint64_t)db_at(&result, result.n_rows - 1, 0)->integer : 0;
    return 0;
}

/* Keys sorted, as the chain wants a body. */
static int
batch_body(const struct batch *batch, struct sbx_buf *out)
{
    char until[SBX_RFC3339_LEN];
    struct sbx_jsonw w;

    sbx_rfc3339(until, batch->now);
    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_uint(&w, "events", batch->n);
    sbx_jsonw_uint(&w, "from", batch->from);
    sbx_jsonw_str(&w, "rule", "retention.audit");
    sbx_jsonw_uint(&w, "to", batch->to);
    sbx_jsonw_str(&w, "until", until);
    sbx_jsonw_object_end(&w);
    return out->failed ? -ENOMEM : 0;
}

static int
batch_store(struct sqlite_conn *conn, struct sqlite_audit_state *state, const struct batch *batch)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(1024);
    _cleanup_(sbx_buf_deinit) struct sbx_buf lines = SBX_BUF_INIT(AUDIT_LINE_BUF);
    const struct sqlite_audit_state before = *state;
    int r;

    r = batch_body(batch, &body);
    if (r) {
        return r;
    }
    const struct db_value event[] = {
        DB_VTEXT(batch->tenant),
        DB_VTEXT(AUDIT_ERASED_KIND),
        DB_VNULL(),
        DB_VNULL(),
        DB_VTEXT("allow"),
        { .type = DB_TEXT, .data = body.data, .len = body.len },
        DB_VINT(0),
    };
    const struct db_value erase[] = { DB_VTEXT(batch->tenant), DB_VINT(batch->from), DB_VINT(batch->to),
                                      DB_VINT(batch->now) };
    const struct db_value add[] = { DB_VINT(state->chain.seq + 1), DB_VINT(batch->from), DB_VINT(batch->to) };

    r = sqlite_conn_control(conn, SQLITE_CONN_BEGIN);
    state->keep_ms = 0; /* without this event the log would be broken: it stays */
    r = r ? r : sqlite_audit_insert(conn, state, event, &lines);
    r = r ? r : sqlite_conn_run(conn, DB_AUDIT_ERASE, erase, SBX_COUNT(erase), NULL, NULL);
    r = r ? r : sqlite_conn_run(conn, DB_AUDIT_ERASURE_ADD, add, SBX_COUNT(add), NULL, NULL);
    r = r ? r : sqlite_conn_control(conn, SQLITE_CONN_COMMIT);
    state->keep_ms = before.keep_ms;
    if (r) {
        sqlite_conn_rollback(conn);
        *state = before;
    }
    return r > 0 ? -EIO : r;
}

/*
 * Appends the line without its body when the index has erased it; as it is otherwise. Nothing is taken from the index
 * but that: a line that somebody changed stays changed, for the verifier to find.
 */
static int
line_copy(struct sqlite_conn *conn, const char *line, size_t len, struct sbx_buf *out)
{
    static const char mark[] = "\",\"hash\":\"";
    struct audit_line parsed;
    const char *place;
    int r;

    r = audit_line_parse(&parsed, line, len);
    if (r) {
        return r > 0 ? -EUCLEAN : r;
    }
    if (parsed.form == AUDIT_FORM_DIGEST && !parsed.erased) {
        const struct db_value values[] = { DB_VINT(parsed.seq - 1), DB_VINT(1) };
        _cleanup_(db_rows_deinit) struct db_rows rows = DB_ROWS_INIT;
        struct db_result result = { 0 };

        r = sqlite_conn_run(conn, DB_AUDIT_AFTER, values, SBX_COUNT(values), &rows, NULL);
        if (r) {
            return r > 0 ? -EIO : r;
        }
        db_rows_seal(&rows, &result);
        if (result.n_rows == 1 && db_at(&result, 0, DB_AUDIT_BODY)->type == DB_NULL) {
            /* Quotes in texts are escaped: the first of these is the member. */
            place = memmem(line, len, mark, sizeof(mark) - 1);
            sbx_buf_append(out, line, (size_t)(place - line) + sizeof(mark) - 1 + SBX_SHA256_HEX - 1);
            sbx_buf_puts(out, "\",\"body\":null}\n");
            return 0;
        }
    }
    sbx_buf_append(out, line, len);
    sbx_buf_putc(out, '\n');
    return 0;
}

static int
out_flush(int fd, struct sbx_buf *out)
{
    size_t done = 0;

    while (done < out->len && !out->failed) {
        ssize_t n = write(fd, out->data + done, out->len - done);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        done += (size_t)n;
    }
    if (out->failed) {
        return -ENOMEM;
    }
    sbx_buf_reset(out);
    return 0;
}

/* Lines from..to of the segment that begins with `first`; the others are copied unread. */
static int
segment_copy(struct sqlite_conn *conn, struct audit_reader *reader, int fd, uint64_t first, uint64_t from,
             uint64_t to)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(ERASE_WRITE + 2ul * AUDIT_LINE_MAX);
    const char *line;
    size_t len;
    int r;

    while ((r = audit_reader_next(reader, &line, &len)) == AUDIT_READ_LINE) {
        const uint64_t seq = first + reader->line - 1;

        if (seq >= from && seq <= to) {
            r = line_copy(conn, line, len, &out);
        } else {
            sbx_buf_append(&out, line, len);
            sbx_buf_putc(&out, '\n');
            r = 0;
        }
        if (r == 0 && out.len >= ERASE_WRITE) {
            r = out_flush(fd, &out);
        }
        if (r) {
            return r;
        }
    }
    r = r > 0 ? -EUCLEAN : r;
    return r ? r : out_flush(fd, &out);
}

static int
segment_rewrite(struct sqlite_conn *conn, const struct audit_log *log, uint64_t first, uint64_t from,
                uint64_t to)
{
    const int dir_fd = audit_log_dir(log);
    char name[AUDIT_SEGMENT_NAME];
    struct audit_reader reader;
    int in, fd, r;

    in = first == 0 ? -EUCLEAN : audit_segment_open(dir_fd, first);
    if (in < 0) {
        return in;
    }
    r = audit_reader_init(&reader, in);
    if (r) {
        return r;
    }
    fd = openat(dir_fd, ERASE_TEMP, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    r = fd < 0 ? -errno : segment_copy(conn, &reader, fd, first, from, to);
    r = r ? r : fsync(fd) < 0 ? -errno : 0;
    audit_reader_deinit(&reader);
    if (fd >= 0) {
        close(fd);
    }
    audit_segment_name(name, first);
    r = r ? r : renameat(dir_fd, ERASE_TEMP, dir_fd, name) < 0 ? -errno : 0;
    r = r ? r : fsync(dir_fd) < 0 ? -errno : 0;
    if (r) {
        (void)unlinkat(dir_fd, ERASE_TEMP, 0); /* it may not be there */
    }
    return r;
}

/* Its place among the failures; failures->n when it is none of them. */
static unsigned
failure_find(const struct erase_failures *failures, uint64_t first)
{
    unsigned i = 0;

    while (i < failures->n && failures->first[i] != first) {
        i++;
    }
    return i;
}

static void
failure_add(struct erase_failures *failures, uint64_t first, int rc)
{
    const unsigned i = failure_find(failures, first);
    char name[AUDIT_SEGMENT_NAME];

    if (i == ERASE_FAILED_MAX) {
        return; /* enough was said */
    }
    failures->for_good[i] = rc == -EUCLEAN;
    if (i == failures->n) {
        failures->first[failures->n++] = first;
        failures->count++;
        audit_segment_name(name, first);
        log_error("audit.erase_failed", LOG_STR("segment", name), LOG_STR("error", strerror(-rc)));
    }
}

static int
erase_file(struct sqlite_conn *conn, const struct audit_log *log, const struct db_value *erasure,
           struct erase_failures *failures)
{
    const uint64_t from = (uint64_t)erasure[1].integer, to = (uint64_t)erasure[2].integer;
    const struct db_value done[] = { erasure[0] };
    uint64_t first, next;
    unsigned known;
    int r;

    r = segment_of(log, from, &first, &next);
    if (r) {
        return r;
    }
    known = failure_find(failures, first);
    if (known < failures->n && failures->for_good[known]) {
        return 0;
    }
    r = segment_rewrite(conn, log, first, from, to);
    if (r) {
        failure_add(failures, first, r);
        return 0;
    }
    r = sqlite_conn_run(conn, DB_AUDIT_ERASURE_DONE, done, SBX_COUNT(done), NULL, NULL);
    return r > 0 ? -EIO : r;
}

/* What was committed and is yet to be done in the files. */
static int
erase_files(struct sqlite_conn *conn, const struct audit_log *log, struct erase_failures *failures)
{
    struct db_value after[] = { DB_VINT(0) };
    struct db_result result = { 0 };
    int r = 0;

    do {
        _cleanup_(db_rows_deinit) struct db_rows rows = DB_ROWS_INIT;

        r = sqlite_conn_run(conn, DB_AUDIT_ERASURES, after, SBX_COUNT(after), &rows, NULL);
        if (r) {
            return r > 0 ? -EIO : r;
        }
        db_rows_seal(&rows, &result);
        for (unsigned i = 0; i < result.n_rows && r == 0; i++) {
            after[0] = *db_at(&result, i, 0);
            r = erase_file(conn, log, db_at(&result, i, 0), failures);
        }
    } while (r == 0 && result.n_rows > 0);
    return r;
}

int
sqlite_erase(struct sqlite_conn *conn, struct audit_log *log, struct sqlite_audit_state *state,
             struct erase_failures *failures)
{
    struct batch batch = { .now = sbx_now_unix_ms() };
    int r;

    r = erase_files(conn, log, failures);
    r = r ? r : batch_find(conn, log, &batch);
    if (r || batch.n == 0) {
        return r;
    }
    r = batch_store(conn, state, &batch);
    r = r ? r : sqlite_audit_catch_up(conn, log); /* the event is in the log before a body is missed there */
    r = r ? r : audit_log_sync(log);
    r = r ? r : erase_files(conn, log, failures);
    return r ? r : 1;
}
