/*
 * A thousand edits of a real audit directory, signed heads included: a byte changed, a file cut, two ranges swapped,
 * bytes inserted, at random places. The verifier names the file and the line of every one.
 */
#include "executor/store/audit_segments.h"
#include "t/unit/store_fixture.h"

#define N_EVENTS 61
#define N_EDITS 1000
#define N_FILES_MAX 32
#define SEED UINT64_C(0x6e67785f73616e64)

struct file {
    char name[64], path[320];
    char *data;
    size_t len;
};

static struct fixture f;
static struct file files[N_FILES_MAX];
static unsigned n_files;
static struct sbx_sign_key *key;

static uint64_t
random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static size_t
random_below(uint64_t *state, size_t limit)
{
    return (size_t)(random_next(state) % limit);
}

static void
write_history(void)
{
    char body[64], object[32];

    fixture_must_open(&f);
    for (unsigned i = 0; i < N_EVENTS; i++) {
        struct db_tx *tx = tx_new(&f);

        snprintf(object, sizeof(object), "job_%03u", i);
        snprintf(body, sizeof(body), "{\"n\":%u,\"text\":\"\\u00e9\\u2028 %u\"}", i, i * 7919);
        tx_add_audit(tx, i % 3 ? "t1" : "t2", i % 2 ? "job.accepted" : "job.finished", object, body);
        if (tx_run(&f, tx, NULL) != 0) {
            BAIL_OUT("an event was not written");
        }
        if (i % 17 == 16) {
            fixture_close(&f);
            fixture_must_open(&f);
        }
    }
    fixture_close(&f);
}

static void
file_take(const char *name)
{
    struct file *file = &files[n_files++];
    struct stat st;
    int fd;

    snprintf(file->name, sizeof(file->name), "%s", name);
    snprintf(file->path, sizeof(file->path), "%s/%s", f.audit, name);
    fd = open(file->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || (file->data = malloc((size_t)st.st_size)) == NULL ||
        read(fd, file->data, (size_t)st.st_size) != st.st_size) {
        BAIL_OUT("cannot read %s", file->path);
    }
    file->len = (size_t)st.st_size;
    close(fd);
}

static void
files_take(void)
{
    struct audit_segments segments = { 0 };
    char name[AUDIT_SEGMENT_NAME];
    int dir_fd = open(f.audit, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir_fd < 0 || audit_segments_scan(&segments, dir_fd) != 0 || segments.n >= N_FILES_MAX) {
        BAIL_OUT("no segments");
    }
    for (size_t i = 0; i < segments.n; i++) {
        audit_segment_name(name, segments.first[i]);
        file_take(name);
    }
    file_take(AUDIT_HEADS_NAME);
    audit_segments_deinit(&segments);
    close(dir_fd);
}

static void
file_put(const struct file *file, const void *data, size_t len)
{
    int fd = open(file->path, O_WRONLY | O_TRUNC | O_CLOEXEC);

    if (fd < 0 || write(fd, data, len) != (ssize_t)len) {
        BAIL_OUT("cannot write %s", file->path);
    }
    close(fd);
}

static void
edit_byte(struct sbx_buf *out, const struct file *file, uint64_t *state)
{
    sbx_buf_append(out, file->data, file->len);
    out->data[random_below(state, file->len)] = (char)random_next(state);
}

/* Between lines as often as inside one. */
static size_t
random_place(const struct file *file, uint64_t *state)
{
    const size_t place = random_below(state, file->len);
    const char *line = random_next(state) % 2 ? memchr(file->data + place, '\n', file->len - place) : NULL;

    return line == NULL ? place : (size_t)(line + 1 - file->data);
}

static void
edit_cut(struct sbx_buf *out, const struct file *file, uint64_t *state)
{
    sbx_buf_append(out, file->data, random_place(file, state));
}

static void
edit_swap(struct sbx_buf *out, const struct file *file, uint64_t *state)
{
    size_t at[4];

    for (unsigned i = 0; i < 4; i++) {
        at[i] = random_place(file, state);
        for (unsigned k = i; k > 0 && at[k] < at[k - 1]; k--) {
            size_t other = at[k];

            at[k] = at[k - 1];
            at[k - 1] = other;
        }
    }
    sbx_buf_append(out, file->data, at[0]);
    sbx_buf_append(out, file->data + at[2], at[3] - at[2]);
    sbx_buf_append(out, file->data + at[1], at[2] - at[1]);
    sbx_buf_append(out, file->data + at[0], at[1] - at[0]);
    sbx_buf_append(out, file->data + at[3], file->len - at[3]);
}

/* Bytes of any kind, or some of the file once more. */
static void
edit_insert(struct sbx_buf *out, const struct file *file, uint64_t *state)
{
    const size_t place = random_place(file, state);
    const size_t from = random_place(file, state);
    size_t len = 1 + random_below(state, 900);

    sbx_buf_append(out, file->data, place);
    if (random_next(state) % 2) {
        sbx_buf_append(out, file->data + from, len < file->len - from ? len : file->len - from);
    } else {
        for (len = 1 + len % 40; len > 0; len--) {
            sbx_buf_putc(out, (char)random_next(state));
        }
    }
    sbx_buf_append(out, file->data + place, file->len - place);
}

/* The line in which the first byte differs. */
static uint64_t
first_line(const struct file *file, const struct sbx_buf *edited)
{
    uint64_t line = 1;

    for (size_t i = 0; i < file->len && i < edited->len && file->data[i] == edited->data[i]; i++) {
        line += file->data[i] == '\n';
    }
    return line;
}

struct edit {
    const char *name;
    void (*make)(struct sbx_buf *out, const struct file *file, uint64_t *state);
};

static const struct edit edits[] = {
    { "a byte changed", edit_byte },
    { "cut", edit_cut },
    { "two ranges swapped", edit_swap },
    { "bytes inserted", edit_insert },
};

struct tally {
    unsigned n[SBX_COUNT(edits)], named[SBX_COUNT(edits)], of_heads;
    unsigned alone, tails; /* found without the index; heads cut between lines, which need it */
};

static bool
named(const struct audit_verify_spec *spec, const struct file *file, uint64_t line)
{
    struct audit_report report;
    const int r = audit_verify_with(spec, &report);

    if (r == AUDIT_E_BROKEN && report.fault != AUDIT_FAULT_NONE && strcmp(report.file, file->name) == 0 &&
        report.line == line && report.detail[0] != '\0') {
        return true;
    }
    diag("%s line %" PRIu64 ": got %d %s %s line %" PRIu64 ": %s", file->name, line, r,
         audit_fault_name(report.fault), report.file, report.line, report.detail);
    return false;
}

static bool
is_tail_of_heads(const struct file *file, const struct sbx_buf *edited)
{
    return strcmp(file->name, AUDIT_HEADS_NAME) == 0 && edited->len < file->len &&
           memcmp(edited->data, file->data, edited->len) == 0 &&
           (edited->len == 0 || edited->data[edited->len - 1] == '\n');
}

static void
edit_one(unsigned kind, uint64_t *state, struct tally *tally)
{
    struct sbx_sign_key *const keys[] = { key };
    struct audit_verify_spec spec = { .dir = f.audit, .database = f.url, .keys = keys, .n_keys = 1 };
    struct sbx_buf edited = SBX_BUF_INIT(1 << 20);
    const struct file *file;
    struct audit_report report;

    do {
        file = &files[random_below(state, n_files)];
        sbx_buf_reset(&edited);
        edits[kind].make(&edited, file, state);
    } while (edited.len == file->len && memcmp(edited.data, file->data, file->len) == 0);

    if (edited.data == NULL) {
        sbx_buf_append(&edited, "", 0);
    }
    file_put(file, edited.len > 0 ? edited.data : "", edited.len);
    tally->n[kind]++;
    tally->named[kind] += named(&spec, file, first_line(file, &edited));
    tally->of_heads += strcmp(file->name, AUDIT_HEADS_NAME) == 0;
    spec.database = NULL;
    if (audit_verify_with(&spec, &report) == AUDIT_E_BROKEN) {
        tally->alone++;
    } else if (is_tail_of_heads(file, &edited)) {
        tally->tails++;
    } else {
        diag("not found without the index: %s %s", edits[kind].name, file->name);
    }
    file_put(file, file->data, file->len);
    sbx_buf_deinit(&edited);
}

int
main(void)
{
    struct sbx_sign_key *const *keys = &key;
    struct sbx_buf pem = SBX_BUF_INIT(SBX_SIGN_PEM_MAX);
    struct tally tally = { 0 };
    struct audit_report report;
    uint64_t state = SEED;
    unsigned total = 0;

    fixture_init(&f);
    if (sbx_sign_generate(&key, &pem) != 0) {
        BAIL_OUT("no key");
    }
    f.key = key;
    f.segment_lines = 8;
    write_history();
    files_take();

    const struct audit_verify_spec spec = { .dir = f.audit, .database = f.url, .keys = keys, .n_keys = 1 };
    is_int(audit_verify_with(&spec, &report), 0, "unedited it passes: %s", report.detail);
    is_uint(report.lines, N_EVENTS + 1, "all events, and the one of the key");
    ok(report.segments >= 7 && report.believed, "%" PRIu64 " segments, %" PRIu64 " heads", report.segments,
       report.heads);

    for (unsigned i = 0; i < N_EDITS; i++) {
        edit_one(i % SBX_COUNT(edits), &state, &tally);
    }
    for (unsigned i = 0; i < SBX_COUNT(edits); i++) {
        is_uint(tally.named[i], tally.n[i], "%u edits, %s: each named with its file and line", tally.n[i],
                edits[i].name);
        total += tally.named[i];
    }
    is_uint(total, N_EDITS, "all of them");
    is_uint(tally.alone + tally.tails, N_EDITS, "without the index %u, all but heads cut at the end (%u)",
            tally.alone, tally.tails);
    ok(tally.of_heads > 0, "%u were of the heads", tally.of_heads);
    is_int(audit_verify_with(&spec, &report), 0, "put back it passes: %s", report.detail);

    for (unsigned i = 0; i < n_files; i++) {
        free(files[i].data);
    }
    f.key = NULL;
    key = sbx_sign_free(key);
    sbx_buf_deinit(&pem);
    fixture_deinit(&f);
    return done_testing();
}
