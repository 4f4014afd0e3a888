/* The audit log: its files, its recovery, and every kind of tampering that the verifier must name. */
#include <dirent.h>
#include <sqlite3.h>

#include "executor/store/audit_log.h"
#include "executor/store/audit_segments.h"
#include "t/unit/store_fixture.h"

#define N_EVENTS 12
#define FIRST_SEGMENT "audit-00000000000000000001.jsonl"

static struct fixture f;

static void
write_events(unsigned n)
{
    struct db_tx *tx;
    char object[32];

    for (unsigned i = 0; i < n; i++) {
        tx = tx_new(&f);
        snprintf(object, sizeof(object), "job_%03u", i);
        tx_add_audit(tx, i % 2 ? "t1" : "t2", "job.accepted", object,
                     "{\"b\":[1,2.5,\"\\u00e9\\u2028\\n\"], \"a\":null}");
        if (tx_run(&f, tx, NULL) != 0) {
            BAIL_OUT("an event was not written");
        }
    }
}

static char *
file_read(const char *path, size_t *ret_len)
{
    struct stat st;
    char *data;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0 || (data = malloc((size_t)st.st_size + 1)) == NULL ||
        read(fd, data, (size_t)st.st_size) != st.st_size) {
        BAIL_OUT("cannot read %s", path);
    }
    close(fd);
    data[st.st_size] = '\0';
    *ret_len = (size_t)st.st_size;
    return data;
}

static void
file_write(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, data, len) != (ssize_t)len) {
        BAIL_OUT("cannot write %s", path);
    }
    close(fd);
}

static const char *
segment_path(const char *name)
{
    static char path[320];

    snprintf(path, sizeof(path), "%s/%s", f.audit, name);
    return path;
}

/* Runs SQL behind the store's back, as one with the file would. */
static void
index_sql(const char *sql)
{
    sqlite3 *db;
    char *message = NULL;

    if (sqlite3_open(f.url, &db) != SQLITE_OK || sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
        BAIL_OUT("%s: %s", sql, message != NULL ? message : "cannot open");
    }
    sqlite3_close(db);
}

/* The n-th line, from 1, without its newline. */
static char *
line_of(char *data, size_t n, size_t *ret_len)
{
    char *line = data;

    while (--n > 0) {
        line = strchr(line, '\n') + 1;
    }
    *ret_len = (size_t)(strchr(line, '\n') - line);
    return line;
}

static void
verify_is(bool with_index, enum audit_fault fault, uint64_t line, uint64_t seq, const char *what)
{
    struct audit_report report;
    const int r = audit_verify(f.audit, with_index ? f.url : NULL, &report);

    if (fault == AUDIT_FAULT_NONE) {
        is_int(r, 0, "%s: it verifies%s", what, with_index ? " with the index" : "");
        if (r) {
            diag("%s %s line %" PRIu64 ": %s", audit_fault_name(report.fault), report.file, report.line,
                 report.detail);
        }
        return;
    }
    if (!ok(r == AUDIT_E_BROKEN && report.fault == fault && report.line == line && report.seq == seq &&
                report.detail[0] != '\0',
            "%s: %s, line %" PRIu64 ", event %" PRIu64 "%s", what, audit_fault_name(fault), line, seq,
            with_index ? " with the index" : "")) {
        diag("got %d %s %s line %" PRIu64 " event %" PRIu64 ": %s", r, audit_fault_name(report.fault),
             report.file, report.line, report.seq, report.detail);
    }
}

static const char *
faulty_file(void)
{
    static struct audit_report report;

    if (audit_verify(f.audit, f.url, &report) != AUDIT_E_BROKEN) {
        return "none";
    }
    return report.file;
}

static void
verify_both(enum audit_fault fault, uint64_t line, uint64_t seq, const char *what)
{
    verify_is(false, fault, line, seq, what);
    verify_is(true, fault, line, seq, what);
}

static void
test_lines(void)
{
    struct audit_report report;
    char *data, *line;
    size_t len, line_len;
    struct stat st;

    write_events(N_EVENTS);
    data = file_read(segment_path(FIRST_SEGMENT), &len);
    line = line_of(data, 1, &line_len);
    ok(strncmp(line, "{\"seq\":1,\"ts\":\"2", 16) == 0, "the first line begins with its number and time");
    ok(strstr(line,
              "\"tenant\":\"t2\",\"kind\":\"job.accepted\",\"object\":\"job_000\",\"request_id\":\"req_1\","
              "\"decision\":\"allow\",\"keep_until\":null,\"body_sha256\":\"") != NULL,
       "members in their order");
    ok(strstr(line, "\"body\":{\"a\":null,\"b\":[1,2.5,") != NULL, "the body last, its keys sorted");
    ok(strstr(line,
              "\"prev\":\"0000000000000000000000000000000000000000000000000000000000000000\",\"hash\":\"") !=
           NULL,
       "the first line follows zeros");
    ok(stat(segment_path(FIRST_SEGMENT), &st) == 0 && (st.st_mode & 0777) == 0600,
       "the file is its owner's only");
    ok(stat(f.audit, &st) == 0 && (st.st_mode & 0777) == 0700, "so is the directory");
    ok(stat(f.url, &st) == 0 && (st.st_mode & 0777) == 0600, "so is the database");
    free(data);

    is_int(audit_verify(f.audit, f.url, &report), 0, "it verifies while it is open");
    is_uint(report.lines, N_EVENTS, "all lines");
    is_uint(report.segments, 1, "one segment");
    is_uint(report.head.seq, N_EVENTS, "up to the head");
    fixture_close(&f);
    verify_is(true, AUDIT_FAULT_NONE, 0, 0, "closed");
    verify_is(false, AUDIT_FAULT_NONE, 0, 0, "closed");
}

static void
test_reading(void)
{
    struct db_value values[14] = { DB_VTEXT("t1"), DB_VINT(0), DB_VINT(INT64_MAX) };
    struct db_value since[] = { DB_VTEXT("t1"), DB_VINT(0) };
    struct outcome got;

    for (unsigned i = 3; i < 13; i++) {
        values[i] = DB_VNULL();
    }
    values[13] = DB_VINT(100);
    fixture_must_open(&f);
    read_run(&f, DB_AUDIT_PAGE_DOWN, values, SBX_COUNT(values), &got);
    is_uint(got.n_rows, N_EVENTS / 2, "a tenant lists its own events");
    is_uint(got.n_columns, DB_AUDIT_N_COLUMNS, "with their columns");
    is_int(got.integer[DB_AUDIT_SEQ], N_EVENTS, "newest first");
    values[3] = DB_VTEXT("job.finished");
    read_run(&f, DB_AUDIT_PAGE_DOWN, values, SBX_COUNT(values), &got);
    is_uint(got.n_rows, 0, "by kind");
    values[3] = DB_VNULL();
    values[2] = DB_VINT(4);
    read_run(&f, DB_AUDIT_PAGE_DOWN, values, SBX_COUNT(values), &got);
    is_uint(got.n_rows, 1, "before an event");
    read_run(&f, DB_AUDIT_SINCE, since, SBX_COUNT(since), &got);
    is_uint(got.n_rows, 1, "since a time");
    since[1] = DB_VINT(INT64_MAX);
    read_run(&f, DB_AUDIT_SINCE, since, SBX_COUNT(since), &got);
    is_uint(got.n_rows, 0, "that has not come");
    is_int(read_run(&f, DB_AUDIT_HEAD, NULL, 0, &got), 0, "the head");
    is_int(got.integer[0], N_EVENTS, "is the last event");
    fixture_close(&f);
}

/* Changes one byte and puts it back. */
static void
test_byte_flips(void)
{
    static const char *const fields[] = {
        "{\"seq\":5",     "\"ts\":\"2",         "\"tenant\":\"t",   "\"kind\":\"j",
        "\"object\":\"j", "\"request_id\":\"r", "\"decision\":\"a", "\"body\":{\"a\":n",
        "\"b\":[1",       "\"prev\":\"",        "\"hash\":\"",
    };
    const char *path = segment_path(FIRST_SEGMENT);
    char *data, *line, *place;
    size_t len, line_len;
    char was;

    data = file_read(path, &len);
    line = line_of(data, 5, &line_len);
    for (size_t i = 0; i < SBX_COUNT(fields); i++) {
        const bool hex = i >= SBX_COUNT(fields) - 2;

        place = strstr(line, fields[i]) + strlen(fields[i]) - (hex ? 0 : 1);
        was = *place;
        *place = (char)(was == '0' ? '1' : was == '1' ? '2' : hex ? '0' : was ^ 1);
        file_write(path, data, len);
        verify_both(AUDIT_FAULT_CHANGED, 5, 5, fields[i]);
        *place = was;
    }
    for (size_t i = 0; i < line_len; i += 7) {
        was = line[i];
        line[i] = (char)(was ^ 0x20);
        file_write(path, data, len);
        struct audit_report report;
        const int r = audit_verify(f.audit, NULL, &report);

        if (r != AUDIT_E_BROKEN || report.line != 5) {
            fail("a flipped bit at byte %zu of a line is not found", i);
        }
        line[i] = was;
    }
    pass("a flipped bit anywhere in a line is found");
    file_write(path, data, len);
    verify_both(AUDIT_FAULT_NONE, 0, 0, "put back");
    free(data);
}

/* Composes a file out of lines of the original: numbers from 1, 0 ends. */
static void
compose(const char *data, const unsigned *lines)
{
    struct sbx_buf out = SBX_BUF_INIT(1 << 20);
    size_t len;

    for (; *lines != 0; lines++) {
        char *copy = strdup(data);
        const char *line = line_of(copy, *lines, &len);

        sbx_buf_append(&out, line, len);
        sbx_buf_putc(&out, '\n');
        free(copy);
    }
    file_write(segment_path(FIRST_SEGMENT), out.data, out.len);
    sbx_buf_deinit(&out);
}

static void
test_moved_lines(void)
{
    static const struct {
        unsigned lines[N_EVENTS + 3];
        enum audit_fault fault;
        uint64_t line, seq;
        const char *what;
    } cases[] = {
        { { 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 }, AUDIT_FAULT_MISSING, 1, 1, "first line removed" },
        { { 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12 }, AUDIT_FAULT_MISSING, 4, 4, "a line removed" },
        { { 1, 2, 6, 7, 8, 9, 10, 11, 12 }, AUDIT_FAULT_MISSING, 3, 3, "three lines removed" },
        { { 1, 2, 4, 3, 5, 6, 7, 8, 9, 10, 11, 12 }, AUDIT_FAULT_REORDERED, 3, 3, "two lines swapped" },
        { { 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 }, AUDIT_FAULT_REORDERED, 1, 1, "the last line first" },
        { { 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 }, AUDIT_FAULT_INSERTED, 3, 2, "a line doubled" },
        { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1 }, AUDIT_FAULT_INSERTED, 13, 1, "an old line appended" },
    };
    char *data;
    size_t len;

    data = file_read(segment_path(FIRST_SEGMENT), &len);
    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        compose(data, cases[i].lines);
        verify_both(cases[i].fault, cases[i].line, cases[i].seq, cases[i].what);
    }
    file_write(segment_path(FIRST_SEGMENT), data, len);
    free(data);
}

/* Lines that are made well, by one who knows how. */
static void
test_forged_lines(void)
{
    const char *path = segment_path(FIRST_SEGMENT);
    struct sbx_buf out = SBX_BUF_INIT(1 << 20);
    struct audit_event event = {
        .form = AUDIT_FORM_DIGEST,
        .seq = 5,
        .ts = "2026-01-01T00:00:00.000Z",
        .tenant = "t1",
        .kind = "job.accepted",
        .body = "{}",
        .body_len = 2,
    };
    struct audit_line before;
    char *data, *line;
    char hash[SBX_SHA256_HEX];
    size_t len, line_len;

    data = file_read(path, &len);
    line = line_of(data, 4, &line_len);
    is_int(audit_line_parse(&before, line, line_len), 0, "a line parses");
    event.prev = before.hash;
    is_int(audit_event_digest(&event), 0, "the body's digest");

    sbx_buf_append(&out, data, (size_t)(line + line_len + 1 - data));
    ok(audit_event_seal(&event, &out, hash) == 0, "a forged line with its right hash");
    line = line_of(data, 6, &line_len);
    sbx_buf_append(&out, line, len - (size_t)(line - data));
    file_write(path, out.data, out.len);
    verify_is(false, AUDIT_FAULT_CHANGED, 6, 6, "a replaced line breaks the next one");
    verify_is(true, AUDIT_FAULT_CHANGED, 5, 5, "a replaced line is itself found");

    sbx_buf_reset(&out);
    line = line_of(data, 5, &line_len);
    sbx_buf_append(&out, data, (size_t)(line - data));
    ok(audit_event_seal(&event, &out, hash) == 0, "the same inserted before the fifth");
    sbx_buf_append(&out, line, len - (size_t)(line - data));
    file_write(path, out.data, out.len);
    verify_is(false, AUDIT_FAULT_INSERTED, 6, 5, "an inserted line is followed by one of its own number");
    verify_is(true, AUDIT_FAULT_CHANGED, 5, 5, "an inserted line is not the index's");

    sbx_buf_reset(&out);
    sbx_buf_append(&out, data, len);
    line = line_of(data, N_EVENTS, &line_len);
    ok(audit_line_parse(&before, line, line_len) == 0, "the head");
    event.seq = N_EVENTS + 1;
    ok(audit_event_seal(&event, &out, hash) == 0, "a forged line at the end");
    file_write(path, out.data, out.len);
    verify_is(false, AUDIT_FAULT_NONE, 0, 0, "only the index can tell");
    verify_is(true, AUDIT_FAULT_TRUNCATED, 0, N_EVENTS + 1, "a line that the index does not have");

    file_write(path, data, len);
    sbx_buf_deinit(&out);
    free(data);
}

static void
test_other_bytes(void)
{
    const char *path = segment_path(FIRST_SEGMENT);
    static const char junk[] = "junk\n", binary[] = "\0\0\0\0\n";
    struct sbx_buf out = SBX_BUF_INIT(4 << 20);
    char *data;
    size_t len;

    data = file_read(path, &len);
    file_write(path, data, len - 9);
    verify_both(AUDIT_FAULT_TRUNCATED, N_EVENTS, N_EVENTS, "a tail cut inside a line");
    {
        char *copy = strdup(data);
        size_t line_len;
        const char *line = line_of(copy, N_EVENTS - 1, &line_len);

        file_write(path, data, (size_t)(line - copy));
        free(copy);
    }
    verify_is(false, AUDIT_FAULT_NONE, 0, 0, "a tail cut between lines is not seen without the index");
    verify_is(true, AUDIT_FAULT_TRUNCATED, N_EVENTS - 1, N_EVENTS - 1, "a tail cut between lines");
    is_str(faulty_file(), FIRST_SEGMENT, "and is named with the segment it belongs to");
    file_write(path, "", 0);
    verify_is(true, AUDIT_FAULT_TRUNCATED, 1, 1, "everything cut");

    sbx_buf_append(&out, data, len);
    sbx_buf_append(&out, junk, sizeof(junk) - 1);
    file_write(path, out.data, out.len);
    verify_both(AUDIT_FAULT_CHANGED, N_EVENTS + 1, N_EVENTS + 1, "junk at the end");
    sbx_buf_reset(&out);
    sbx_buf_append(&out, binary, sizeof(binary) - 1);
    sbx_buf_append(&out, data, len);
    file_write(path, out.data, out.len);
    verify_both(AUDIT_FAULT_CHANGED, 1, 1, "zeros at the beginning");
    sbx_buf_reset(&out);
    sbx_buf_append(&out, "\n", 1);
    sbx_buf_append(&out, data, len);
    file_write(path, out.data, out.len);
    verify_both(AUDIT_FAULT_CHANGED, 1, 1, "an empty line");
    sbx_buf_reset(&out);
    for (unsigned i = 0; i < 3 << 20; i++) {
        sbx_buf_putc(&out, 'x');
    }
    file_write(path, out.data, out.len);
    verify_both(AUDIT_FAULT_CHANGED, 1, 1, "a line without end");

    sbx_buf_reset(&out);
    sbx_buf_append(&out, "{ ", 2);
    sbx_buf_append(&out, data + 1, len - 1);
    file_write(path, out.data, out.len);
    verify_both(AUDIT_FAULT_CHANGED, 1, 1, "a space that means nothing");

    file_write(path, data, len);
    sbx_buf_deinit(&out);
    free(data);
}

static void
test_files(void)
{
    const char *path = segment_path(FIRST_SEGMENT);
    char other[320];
    struct audit_report report;
    char *data;
    size_t len;

    data = file_read(path, &len);
    unlink(path);
    verify_is(true, AUDIT_FAULT_TRUNCATED, 1, 1, "the only segment removed");
    is_str(faulty_file(), FIRST_SEGMENT, "and is named though it is not there");
    snprintf(other, sizeof(other), "%s/audit-00000000000000000003.jsonl", f.audit);
    file_write(other, data, len);
    verify_both(AUDIT_FAULT_MISSING, 0, 1, "a segment with a larger number");
    unlink(other);
    file_write(path, data, len);
    snprintf(other, sizeof(other), "%s/audit-old.jsonl", f.audit);
    file_write(other, data, len);
    verify_both(AUDIT_FAULT_INSERTED, 0, N_EVENTS + 1, "a file named like a segment");
    unlink(other);

    unlink(path);
    ok(symlink("/etc/passwd", path) == 0, "a segment that is a link");
    ok(audit_verify(f.audit, NULL, &report) < 0, "is not followed: %s", report.detail);
    unlink(path);
    ok(mkfifo(path, 0600) == 0, "a segment that is a FIFO");
    ok(audit_verify(f.audit, NULL, &report) < 0, "does not block: %s", report.detail);
    unlink(path);
    ok(audit_verify("/nonexistent", NULL, &report) == -ENOENT, "no directory: %s", report.detail);
    ok(audit_verify(f.audit, "/nonexistent/x.db", &report) < 0, "no index: %s", report.detail);
    file_write(path, data, len);
    free(data);
    verify_both(AUDIT_FAULT_NONE, 0, 0, "put back");
}

static void
test_index_tampering(void)
{
    index_sql("drop trigger audit_no_update; drop trigger audit_no_delete;");
    index_sql("update audit set decision = 'deny' where seq = 7");
    verify_is(true, AUDIT_FAULT_CHANGED, 0, 7, "a row changed");
    index_sql("update audit set decision = 'allow' where seq = 7");
    verify_is(true, AUDIT_FAULT_NONE, 0, 0, "put back");
    index_sql("update audit set ts_ms = ts_ms + 1 where seq = 7");
    verify_is(true, AUDIT_FAULT_CHANGED, 0, 7, "a row's time changed");
    index_sql("update audit set ts_ms = ts_ms - 1 where seq = 7");
    index_sql("create table keep as select * from audit; delete from audit where seq = 7");
    verify_is(true, AUDIT_FAULT_MISSING, 0, 7, "a row deleted");
    index_sql("insert into audit select * from keep where seq = 7; delete from audit where seq = 12");
    verify_is(true, AUDIT_FAULT_TRUNCATED, 0, 12, "the last row deleted");
    ok(fixture_open(&f) == -EUCLEAN, "a start refuses: %s", f.error);
    index_sql("insert into audit select * from keep where seq = 12; drop table keep");
    verify_is(true, AUDIT_FAULT_NONE, 0, 0, "put back");
    index_sql("create trigger audit_no_update before update on audit begin select raise(abort, 'x'); end;"
              "create trigger audit_no_delete before delete on audit begin select raise(abort, 'x'); end;");
}

static void
test_recovery(void)
{
    const char *path = segment_path(FIRST_SEGMENT);
    struct sbx_buf out = SBX_BUF_INIT(1 << 20);
    char *data;
    size_t len;

    data = file_read(path, &len);
    sbx_buf_append(&out, data, len);
    sbx_buf_puts(&out, "{\"seq\":13,\"ts\":\"2026-");
    file_write(path, out.data, out.len);
    verify_is(true, AUDIT_FAULT_TRUNCATED, 13, 13, "a torn line");
    fixture_must_open(&f);
    verify_is(true, AUDIT_FAULT_NONE, 0, 0, "a start cuts it");
    write_events(2);
    verify_is(true, AUDIT_FAULT_NONE, 0, 0, "and goes on");
    fixture_close(&f);
    free(data);

    /* The log is known to have all 14: what is missing was cut. */
    data = file_read(path, &len);
    file_write(path, data, len - 10);
    ok(fixture_open(&f) == -EUCLEAN, "a line that had been on disk is missed: %s", f.error);
    file_write(path, data, len);

    /* As after a crash between commit and log: the index is ahead of what it knows of the log. */
    index_sql("update audit_log set logged_seq = 10");
    {
        char *copy = strdup(data);
        size_t line_len;
        const char *line = line_of(copy, 12, &line_len);

        file_write(path, data, (size_t)(line - copy) + 20);
        free(copy);
    }
    fixture_must_open(&f);
    fixture_close(&f);
    verify_is(true, AUDIT_FAULT_NONE, 0, 0, "lines that never reached the disk come back from the index");
    free(data);
    data = file_read(path, &len);

    index_sql("update audit_log set logged_seq = 0");
    unlink(path);
    fixture_must_open(&f);
    fixture_close(&f);
    verify_is(true, AUDIT_FAULT_NONE, 0, 0, "even all of them");

    data[30] ^= 1;
    file_write(path, data, len);
    fixture_must_open(&f);
    fixture_close(&f);
    verify_both(AUDIT_FAULT_CHANGED, 1, 1, "a start looks at the tail, the verifier at all");
    data[30] ^= 1;
    data[len - 4] = data[len - 4] == '0' ? '1' : '0';
    file_write(path, data, len);
    ok(fixture_open(&f) == -EUCLEAN, "a changed tail: %s", f.error);
    data[len - 4] = data[len - 4] == '0' ? '1' : '0';
    free(data);
    index_sql("update audit_log set logged_seq = 0");
    unlink(path);
    fixture_must_open(&f);
    fixture_close(&f);
    sbx_buf_deinit(&out);
}

static void
test_lock(void)
{
    struct fixture second;

    fixture_must_open(&f);
    second = f;
    second.db = NULL;
    is_int(fixture_open(&second), -EBUSY, "a second executor is refused: %s", second.error);
    fixture_close(&f);
    fixture_must_open(&f);
    pass("the lock ends with its holder");
    fixture_close(&f);
}

static uint64_t log_clock = 1767225600000; /* 2026-01-01 */

static uint64_t
log_now(void)
{
    return log_clock;
}

/* Rotation, on the log alone: small limits, many segments. */
static void
test_rotation(void)
{
    const struct audit_log_limits limits = { .bytes = 100000, .lines = 3, .now_ms = log_now };
    struct sbx_buf out = SBX_BUF_INIT(1 << 20);
    struct audit_event event = {
        .form = AUDIT_FORM_DIGEST,
        .ts = "2026-01-01T00:00:00.000Z",
        .tenant = "t",
        .kind = "k",
        .body = "{}",
        .body_len = 2,
    };
    struct audit_chain head;
    struct audit_log *log = NULL;
    struct audit_report report;
    char hash[SBX_SHA256_HEX], dir[160], other[320], error[256] = "";

    snprintf(dir, sizeof(dir), "%.100s/rotate", f.dir);
    audit_chain_init(&head);
    if (audit_event_digest(&event) != 0) {
        BAIL_OUT("digest");
    }
    for (unsigned i = 1; i <= 20; i++) {
        if (log == NULL && audit_log_open(&log, dir, &limits, error, sizeof(error)) != 0) {
            BAIL_OUT("%s", error);
        }
        sbx_buf_reset(&out);
        event.seq = i;
        event.prev = head.hash;
        if (audit_event_seal(&event, &out, hash) != 0) {
            BAIL_OUT("seal");
        }
        head.seq = i;
        memcpy(head.hash, hash, sizeof(hash));
        if (audit_log_append(log, out.data, out.len, &head) != 0 || audit_log_sync(log) != 0) {
            BAIL_OUT("append");
        }
        if (i % 4 == 0) {
            log = audit_log_close(log);
        }
    }
    is_int(audit_verify(dir, NULL, &report), 0, "a rotated log verifies: %s", report.detail);
    is_uint(report.segments, 7, "in segments of three lines, across restarts");

    snprintf(other, sizeof(other), "%s/audit-00000000000000000007.jsonl", dir);
    unlink(other);
    is_int(audit_verify(dir, NULL, &report), AUDIT_E_BROKEN, "a segment in the middle removed");
    is_str(audit_fault_name(report.fault), "missing", "is named missing: %s", report.detail);
    is_str(report.file, "audit-00000000000000000004.jsonl", "at the segment before it");
    is_uint(report.line, 4, "behind its last line");
    is_uint(report.seq, 7, "from its first event");

    file_write(other, "", 0);
    is_int(audit_verify(dir, NULL, &report), AUDIT_E_BROKEN, "an emptied segment in the middle");
    is_str(audit_fault_name(report.fault), "truncated", "is named truncated");
    unlink(other);
    snprintf(other, sizeof(other), "%s/audit-00000000000000000021.jsonl", dir);
    file_write(other, "{\"seq\":21", 9);
    is_int(audit_log_open(&log, dir, &limits, error, sizeof(error)), 0, "a segment torn at its birth");
    is_uint(audit_log_head(log)->seq, 20, "is dropped, the one before continues");
    ok(lstat(other, &(struct stat){ 0 }) != 0, "and its file is gone");
    log_clock += 86400000;
    sbx_buf_reset(&out);
    event.seq = 21;
    event.prev = head.hash;
    memcpy(event.ts, "2026-01-02", 10);
    ok(audit_event_seal(&event, &out, hash) == 0, "an event of the next day");
    head.seq = 21;
    memcpy(head.hash, hash, sizeof(hash));
    ok(audit_log_append(log, out.data, out.len, &head) == 0, "is appended");
    ok(lstat(other, &(struct stat){ 0 }) == 0, "to a segment of its own, though the one before has room");
    log = audit_log_close(log);
    sbx_buf_deinit(&out);
}

int
main(void)
{
    fixture_init(&f);
    fixture_must_open(&f);
    test_lines();
    test_reading();
    test_byte_flips();
    test_moved_lines();
    test_forged_lines();
    test_other_bytes();
    test_files();
    test_index_tampering();
    test_recovery();
    test_lock();
    test_rotation();
    fixture_deinit(&f);
    return done_testing();
}
