/* Signed heads: what they prove without the index, who is believed, and logs of the older form. */
#include <sqlite3.h>

#include "executor/store/audit_log.h"
#include "executor/store/audit_segments.h"
#include "executor/store/migrations.h"
#include "t/unit/store_fixture.h"

#define N_OLD_MIGRATIONS 9 /* before the chain's second form */

static struct fixture f;
static struct sbx_sign_key *first, *second, *stranger;

static void
key_make(struct sbx_sign_key **ret)
{
    struct sbx_buf pem = SBX_BUF_INIT(SBX_SIGN_PEM_MAX);

    if (sbx_sign_generate(ret, &pem) != 0) {
        BAIL_OUT("no key");
    }
    sbx_buf_deinit(&pem);
}

static void
write_events(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct db_tx *tx = tx_new(&f);

        tx_add_audit(tx, "t1", "job.accepted", "job_1", "{\"a\":1}");
        if (tx_run(&f, tx, NULL) != 0) {
            BAIL_OUT("an event was not written");
        }
    }
}

static void
verify_is(struct sbx_sign_key *key, bool index, enum audit_fault fault, const char *file, const char *what)
{
    struct sbx_sign_key *const keys[] = { key };
    const struct audit_verify_spec spec = {
        .dir = f.audit, .database = index ? f.url : NULL, .keys = keys, .n_keys = key != NULL
    };
    struct audit_report report;
    const int r = audit_verify_with(&spec, &report);
    const bool fine = fault == AUDIT_FAULT_NONE
                          ? r == 0 && report.believed == (key != NULL)
                          : r == AUDIT_E_BROKEN && report.fault == fault && strcmp(report.file, file) == 0;

    if (!ok(fine, "%s%s%s", what, key != NULL ? ", by a key" : "", index ? ", by the index" : "")) {
        diag("got %d %s %s line %" PRIu64 " event %" PRIu64 ": %s", r, audit_fault_name(report.fault),
             report.file, report.line, report.seq, report.detail);
    }
}

static const char *
path_of(const char *name)
{
    static char path[320];

    snprintf(path, sizeof(path), "%s/%s", f.audit, name);
    return path;
}

static void
file_write(const char *name, const void *data, size_t len)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, data, len) != (ssize_t)len) {
        BAIL_OUT("cannot write %s", name);
    }
    close(fd);
}

static char *
file_read(const char *name, size_t *ret_len)
{
    static char data[1 << 20];
    int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, data, sizeof(data));

    if (n < 0) {
        BAIL_OUT("cannot read %s", name);
    }
    close(fd);
    *ret_len = (size_t)n;
    return data;
}

/* n lines of a history of one's own, each with its right hash. */
static void
forge(unsigned n, enum audit_form form, struct sbx_buf *out, struct audit_chain *chain)
{
    struct audit_event event = { .form = form,
                                 .ts = "2026-01-01T00:00:00.000Z",
                                 .tenant = "t1",
                                 .kind = "k",
                                 .body = "{}",
                                 .body_len = 2 };

    for (unsigned i = 0; i < n; i++) {
        char hash[SBX_SHA256_HEX];

        event.seq = chain->seq + 1;
        event.prev = chain->hash;
        if (audit_event_digest(&event) != 0 || audit_event_seal(&event, out, hash) != 0) {
            BAIL_OUT("seal");
        }
        chain->seq++;
        memcpy(chain->hash, hash, sizeof(hash));
    }
}

#define SEGMENT "audit-00000000000000000001.jsonl"

static void
test_without_index(void)
{
    struct sbx_buf forged = SBX_BUF_INIT(1 << 20);
    struct audit_chain chain;
    size_t len, cut;
    char *data, *copy;

    f.key = first;
    fixture_must_open(&f);
    write_events(9);
    fixture_close(&f);
    verify_is(first, true, AUDIT_FAULT_NONE, "", "a log that was signed holds");
    verify_is(first, false, AUDIT_FAULT_NONE, "", "a log that was signed holds");
    verify_is(NULL, true, AUDIT_FAULT_NONE, "", "a log that was signed holds");
    verify_is(stranger, false, AUDIT_FAULT_TRUNCATED, "heads.jsonl", "nobody signed by another key");

    data = file_read(SEGMENT, &len);
    copy = memcpy(malloc(len), data, len);
    audit_chain_init(&chain);
    forge(10, AUDIT_FORM_DIGEST, &forged, &chain);
    file_write(SEGMENT, forged.data, forged.len);
    verify_is(first, false, AUDIT_FAULT_CHANGED, SEGMENT,
              "a history rewritten to its end with new hashes is found");
    verify_is(NULL, false, AUDIT_FAULT_CHANGED, "heads.jsonl",
              "it does not fit the heads, whoever changed which");

    for (cut = len - 1; copy[cut - 1] != '\n'; cut--) {
    }
    file_write(SEGMENT, copy, cut);
    verify_is(first, false, AUDIT_FAULT_TRUNCATED, SEGMENT, "a tail cut between lines is found");
    ok(fixture_open(&f) == -EUCLEAN, "and refused at the start: %s", f.error);
    file_write(SEGMENT, copy, len);

    data = file_read(AUDIT_HEADS_NAME, &len);
    unlink(path_of(AUDIT_HEADS_NAME));
    verify_is(first, false, AUDIT_FAULT_TRUNCATED, "heads.jsonl", "all heads removed");
    verify_is(NULL, true, AUDIT_FAULT_TRUNCATED, "heads.jsonl", "all heads removed");
    ok(fixture_open(&f) == -EUCLEAN, "and refused at the start: %s", f.error);
    file_write(AUDIT_HEADS_NAME, data, len - 20);
    verify_is(first, true, AUDIT_FAULT_TRUNCATED, "heads.jsonl", "a torn head");
    file_write(AUDIT_HEADS_NAME, data, len);
    verify_is(first, true, AUDIT_FAULT_NONE, "", "put back it holds");
    free(copy);
    sbx_buf_deinit(&forged);
}

static void
test_key_change(void)
{
    f.key = second;
    f.old_key = first;
    fixture_must_open(&f);
    write_events(3);
    fixture_close(&f);
    verify_is(first, false, AUDIT_FAULT_NONE, "", "the old key vouches for the new one");
    verify_is(second, false, AUDIT_FAULT_NONE, "", "the new one stands for all before it");

    f.key = NULL;
    f.old_key = NULL;
    fixture_must_open(&f);
    write_events(2);
    fixture_close(&f);
    verify_is(first, true, AUDIT_FAULT_NONE, "", "signing stopped is on record");

    f.key = stranger;
    fixture_must_open(&f);
    write_events(3);
    fixture_close(&f);
    verify_is(first, false, AUDIT_FAULT_CHANGED, "heads.jsonl", "a key that nothing vouches for");
    verify_is(stranger, true, AUDIT_FAULT_NONE, "", "whoever believes that one is content");
}

static void
test_time(void)
{
    struct outcome got;

    f.sign_ms = 100;
    fixture_must_open(&f);
    write_events(1);
    for (unsigned i = 0; i < 6000; i++) {
        const struct audit_verify_spec spec = { .dir = f.audit };
        struct audit_report report;

        if (audit_verify_with(&spec, &report) == 0 && report.heads > 0 && i > 0) {
            size_t len;
            const char *data = file_read(AUDIT_HEADS_NAME, &len);
            char want[64];

            snprintf(want, sizeof(want), "\"seq\":%" PRIu64 ",", report.head.seq);
            if (memmem(data, len, want, strlen(want)) != NULL) {
                break;
            }
        }
        usleep(5000);
    }
    read_run(&f, DB_AUDIT_SIGNED, NULL, 0, &got);
    ok(got.n_rows == 1 && strncmp(got.text[0], "{\"n\":", 5) == 0,
       "a head is signed while it runs, and is in the index");
    fixture_close(&f);
    f.sign_ms = 0;
}

static void
must(sqlite3 *db, const char *sql)
{
    char *message = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
        BAIL_OUT("%s", message);
    }
}

/* A database and a log as they were before: three events of the first form. */
static void
old_store(void)
{
    struct sbx_buf lines = SBX_BUF_INIT(1 << 20);
    struct audit_chain chain;
    char sql[2048], hex[SBX_SHA256_HEX], prev[SBX_SHA256_HEX];
    uint8_t digest[SBX_SHA256_LEN];
    sqlite3 *db;

    fixture_remove(f.audit);
    unlink(f.url);
    mkdir(f.audit, 0700);
    if (sqlite3_open(f.url, &db) != SQLITE_OK) {
        BAIL_OUT("sqlite");
    }
    must(db, "create table schema_migrations (number integer not null primary key, name text not null,"
             " sha256 text not null, applied_ms integer not null) strict");
    for (unsigned i = 0; i < N_OLD_MIGRATIONS; i++) {
        must(db, migrations[i].sql);
        if (sbx_sha256(migrations[i].sql, strlen(migrations[i].sql), digest) != 0) {
            BAIL_OUT("sha256");
        }
        sbx_hex(hex, digest, sizeof(digest));
        snprintf(sql, sizeof(sql), "insert into schema_migrations values (%u, '%s', '%s', 1)",
                 migrations[i].number, migrations[i].name, hex);
        must(db, sql);
    }
    audit_chain_init(&chain);
    for (unsigned i = 0; i < 3; i++) {
        memcpy(prev, chain.hash, sizeof(prev));
        forge(1, AUDIT_FORM_WHOLE, &lines, &chain);
        snprintf(sql, sizeof(sql),
                 "insert into audit (seq, ts_ms, tenant, kind, body, prev, hash) values (%" PRIu64
                 ", 1767225600000, 't1', 'k', '{}', '%s', '%s')",
                 chain.seq, prev, chain.hash);
        must(db, sql);
    }
    must(db, "update audit_log set logged_seq = 3");
    sqlite3_close(db);
    file_write(SEGMENT, lines.data, lines.len);
    sbx_buf_deinit(&lines);
}

static void
test_older_form(void)
{
    struct sbx_buf lines = SBX_BUF_INIT(1 << 20);
    struct audit_chain chain;
    struct sbx_sign_key *const keys[] = { first };
    const struct audit_verify_spec spec = { .dir = f.audit, .database = f.url, .keys = keys, .n_keys = 1 };
    struct audit_report report;

    old_store();
    f.key = first;
    fixture_must_open(&f);
    write_events(2);
    fixture_close(&f);
    is_int(audit_verify_with(&spec, &report), 0, "a log of the first form goes on in the second: %s",
           report.detail);
    is_uint(report.head.seq, 6, "with all events");

    fixture_remove(f.audit);
    mkdir(f.audit, 0700);
    audit_chain_init(&chain);
    forge(2, AUDIT_FORM_WHOLE, &lines, &chain);
    forge(2, AUDIT_FORM_DIGEST, &lines, &chain);
    file_write(SEGMENT, lines.data, lines.len);
    verify_is(NULL, false, AUDIT_FAULT_NONE, "", "the first form, then the second");
    forge(1, AUDIT_FORM_WHOLE, &lines, &chain);
    file_write(SEGMENT, lines.data, lines.len);
    verify_is(NULL, false, AUDIT_FAULT_CHANGED, SEGMENT, "the first form does not come back");
    sbx_buf_deinit(&lines);
}

static void
test_heads(void)
{
    struct audit_head head = {
        .n = 1, .seq = 7, .ts = "2026-01-01T00:00:00.000Z", .executor = "exe_1", .key_id = "x"
    };
    struct sbx_buf line = SBX_BUF_INIT(AUDIT_HEAD_LINE_MAX);
    struct audit_head back;

    memset(head.hash, 'a', SBX_SHA256_HEX - 1);
    is_int(audit_head_sign(&head, first), 0, "a head is signed");
    ok(audit_head_verify(&head, first), "by this key");
    ok(!audit_head_verify(&head, second), "and no other");
    audit_head_write(&head, &line);
    is_int(audit_head_parse(&back, line.data, line.len - 1), 0, "its line reads back");
    ok(audit_head_verify(&back, first), "with its signature");
    back.seq++;
    ok(!audit_head_verify(&back, first), "which is of this event only");
    is_int(audit_head_parse(&back, line.data, line.len - 2), AUDIT_E_FORM, "a cut line is none");
    is_int(audit_head_parse(&back, "{}", 2), AUDIT_E_FORM, "nor is an empty object");
    sbx_buf_deinit(&line);
}

int
main(void)
{
    fixture_init(&f);
    key_make(&first);
    key_make(&second);
    key_make(&stranger);
    test_heads();
    test_without_index();
    test_key_change();
    test_time();
    test_older_form();
    f.key = NULL;
    first = sbx_sign_free(first);
    second = sbx_sign_free(second);
    stranger = sbx_sign_free(stranger);
    fixture_deinit(&f);
    return done_testing();
}
