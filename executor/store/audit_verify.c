/*
 * One walk over all segments, in step with the index's rows. With an index each line must be, byte for byte,
 * what the row makes; only a line that is not is parsed, to say what is wrong with it. Without, each line is
 * parsed.
 */
#include "audit_verify.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit_segments.h"
#include "explain.h"
#include "audit_erasures.h"
#include "audit_witness.h"
#include "sqlite_audit.h"

#define INDEX_ROWS 512
#define SETTLE_MS 2000
#define SETTLE_STEP_NS 20000000

struct walk {
    int dir_fd;
    struct sqlite_conn *index; /* NULL: none */
    struct db_rows rows;
    struct db_result result;
    unsigned row; /* the next of result */
    struct sbx_buf line;
    struct audit_reader reader;
    uint64_t last_first, last_lines; /* of the segment walked last: its first event's number, its lines */
    enum audit_form form;            /* of the line before */
    struct audit_erasures erasures;
    struct witness witness;
    struct audit_report *report;
};

const char *
audit_fault_name(enum audit_fault fault)
{
    switch (fault) {
    case AUDIT_FAULT_NONE:
        return "none";
    case AUDIT_FAULT_CHANGED:
        return "changed";
    case AUDIT_FAULT_MISSING:
        return "missing";
    case AUDIT_FAULT_REORDERED:
        return "reordered";
    case AUDIT_FAULT_INSERTED:
        return "inserted";
    case AUDIT_FAULT_TRUNCATED:
        return "truncated";
    case AUDIT_FAULT_ERASED:
        return "erased";
    }
    return "none";
}

static int walk_fault(struct walk *walk, enum audit_fault fault, uint64_t seq, const char *fmt, ...)
    _printf_(4, 5);

static int
walk_fault(struct walk *walk, enum audit_fault fault, uint64_t seq, const char *fmt, ...)
{
    va_list args;

    walk->report->fault = fault;
    walk->report->seq = seq;
    walk->report->line = walk->reader.fd >= 0 ? walk->reader.line : 0;
    va_start(args, fmt);
    (void)vsnprintf(walk->report->detail, sizeof(walk->report->detail), fmt, args); /* cut when too long */
    va_end(args);
    return AUDIT_E_BROKEN;
}

static int
walk_errno(struct walk *walk, int r, const char *what)
{
    explain(walk->report->detail, sizeof(walk->report->detail), "cannot read %s: %s", what, strerror(-r));
    return r;
}

static uint64_t
walk_next_seq(const struct walk *walk)
{
    return walk->report->head.seq + 1;
}

/* Whether a line of this number comes later in the open file; the file is not needed any more after that. */
static bool
walk_comes_later(struct walk *walk, uint64_t seq)
{
    const uint64_t line_before = walk->reader.line;
    char prefix[40];
    const char *line;
    size_t len;
    bool found = false;

    (void)snprintf(prefix, sizeof(prefix), "{\"seq\":%" PRIu64 ",", seq); /* fits */
    while (!found && audit_reader_next(&walk->reader, &line, &len) == AUDIT_READ_LINE) {
        found = len > strlen(prefix) && memcmp(line, prefix, strlen(prefix)) == 0;
    }
    walk->reader.line = line_before;
    return found;
}

/* A line that is sound in itself stands where another should. */
static int
walk_misplaced(struct walk *walk, const struct audit_line *line)
{
    const uint64_t expected = walk_next_seq(walk);

    if (line->seq < expected) {
        return walk_fault(walk, AUDIT_FAULT_INSERTED, line->seq,
                          "event %" PRIu64 " stands where event %" PRIu64 " belongs: there was one before",
                          line->seq, expected);
    }
    if (walk_comes_later(walk, expected)) {
        return walk_fault(walk, AUDIT_FAULT_REORDERED, expected,
                          "event %" PRIu64 " stands where event %" PRIu64 " belongs, which comes later",
                          line->seq, expected);
    }
    return walk_fault(walk, AUDIT_FAULT_MISSING, expected, "events %" PRIu64 " to %" PRIu64 " are missing",
                      expected, line->seq - 1);
}

/* 0 and the line's place in the chain, or the fault. */
static int
walk_parse(struct walk *walk, const char *text, size_t len, struct audit_line *ret)
{
    const uint64_t expected = walk_next_seq(walk);
    int r;

    r = audit_line_parse(ret, text, len);
    if (r == 0 && ret->form < walk->form) {
        r = AUDIT_E_FORM; /* its body would be out of reach of an erasure, and its form is out of use */
    }
    if (r < 0) {
        return walk_errno(walk, r, "a line");
    }
    if (r == AUDIT_E_FORM) {
        return walk_fault(walk, AUDIT_FAULT_CHANGED, expected, "the line is not one that the log writes");
    }
    if (r == AUDIT_E_HASH) {
        return walk_fault(walk, AUDIT_FAULT_CHANGED, expected, "the hash is not that of the line");
    }
    if (ret->seq != expected) {
        return walk_misplaced(walk, ret);
    }
    if (strcmp(ret->prev, walk->report->head.hash) != 0) {
        return walk_fault(walk, AUDIT_FAULT_CHANGED, expected,
                          "the line does not continue the one before: one of them was changed or replaced");
    }
    return 0;
}

static int
walk_fault_index(struct walk *walk, enum audit_fault fault, uint64_t seq, const char *what)
{
    const int r = walk_fault(walk, fault, seq, "%s", what);

    explain(walk->report->file, sizeof(walk->report->file), "index");
    walk->report->line = 0;
    return r;
}

/* The index has more than the log: what is missing belongs at the end of the last segment, or in a first one. */
static int
walk_fault_tail(struct walk *walk, uint64_t index_head)
{
    const int r =
        walk_fault(walk, AUDIT_FAULT_TRUNCATED, walk_next_seq(walk),
                   "the log ends before this event and the index has events up to %" PRIu64, index_head);

    audit_segment_name(walk->report->file, walk->last_first);
    walk->report->line = walk->last_lines + 1;
    return r;
}

/* The row after the head; *ret is NULL when the index ends. */
static int
walk_index_row(struct walk *walk, const char **ret, size_t *ret_len, struct audit_line *line)
{
    const struct db_value values[] = { DB_VINT(walk->report->head.seq), DB_VINT(INDEX_ROWS) };
    int r;

    *ret = NULL;
    if (walk->row >= walk->result.n_rows) {
        db_rows_begin(&walk->rows, 0);
        r = sqlite_conn_run(walk->index, DB_AUDIT_AFTER, values, SBX_COUNT(values), &walk->rows, NULL);
        if (r) {
            return walk_errno(walk, r > 0 ? -EIO : r, "the index");
        }
        db_rows_seal(&walk->rows, &walk->result);
        walk->row = 0;
    }
    if (walk->row >= walk->result.n_rows) {
        return 0;
    }

    sbx_buf_reset(&walk->line);
    r = sqlite_audit_line(&walk->result, walk->row++, &walk->line, line);
    if (r == -EUCLEAN) {
        return walk_fault_index(walk, AUDIT_FAULT_CHANGED, walk_next_seq(walk),
                                "the hash of the index's row is not that of its columns");
    }
    if (r) {
        return walk_errno(walk, r, "a row of the index");
    }
    if (line->seq != walk_next_seq(walk)) {
        return walk_fault_index(walk, AUDIT_FAULT_MISSING, walk_next_seq(walk), "the index lacks a row");
    }
    *ret = walk->line.data;
    *ret_len = walk->line.len - 1;
    return 0;
}

/*
 * A line that is not the index's: find out which of the two is wrong. Neither is when the index has erased a body and
 * the segment is still to be rewritten: *ret_pending.
 */
static int
walk_differs(struct walk *walk, const char *text, size_t len, const struct audit_line *row, bool *ret_pending)
{
    struct audit_line line;
    int r;

    r = walk_parse(walk, text, len, &line);
    if (r) {
        return r;
    }
    *ret_pending = row->erased && !line.erased && strcmp(row->hash, line.hash) == 0;
    if (*ret_pending) {
        return 0;
    }
    if (line.erased && !row->erased && strcmp(row->hash, line.hash) == 0) {
        return walk_fault(walk, AUDIT_FAULT_ERASED, line.seq, "the body is gone and the index has it");
    }
    return walk_fault(walk, AUDIT_FAULT_CHANGED, line.seq,
                      "the line is sound in itself and not what the index has: one of the two was replaced");
}

/* The line that the index has, or the fault; *ret_pending as above. */
static int
walk_compare(struct walk *walk, const char *text, size_t len, struct audit_line *line, bool *ret_pending)
{
    const char *row = NULL;
    size_t row_len = 0;
    int r;

    r = walk_index_row(walk, &row, &row_len, line);
    if (r) {
        return r;
    }
    if (row == NULL) {
        r = walk_parse(walk, text, len, line);
        return r ? r
                 : walk_fault_index(walk, AUDIT_FAULT_TRUNCATED, line->seq, "the index ends before the log");
    }
    if (row_len == len && memcmp(row, text, len) == 0 && strcmp(line->prev, walk->report->head.hash) == 0 &&
        line->form >= walk->form) {
        return 0;
    }
    return walk_differs(walk, text, len, line, ret_pending);
}

/* As walk_compare, with another look at the row when the body went between the two looks. */
static int
walk_check(struct walk *walk, const char *text, size_t len, struct audit_line *line, bool *ret_pending)
{
    int r;

    if (walk->index == NULL) {
        return walk_parse(walk, text, len, line);
    }
    r = walk_compare(walk, text, len, line, ret_pending);
    if (r == AUDIT_E_BROKEN && walk->report->fault == AUDIT_FAULT_ERASED) {
        walk->row = walk->result.n_rows;
        walk->report->fault = AUDIT_FAULT_NONE;
        r = walk_compare(walk, text, len, line, ret_pending);
    }
    return r;
}

static int
walk_witness(struct walk *walk, int r, uint64_t seq, const struct witness_why *why)
{
    enum audit_fault fault = r == WITNESS_E_CUT ? AUDIT_FAULT_TRUNCATED
                             : why->missing     ? AUDIT_FAULT_MISSING
                             : why->moved       ? AUDIT_FAULT_REORDERED
                                                : AUDIT_FAULT_CHANGED;

    if (r < 0) {
        return walk_errno(walk, r, "the signed heads");
    }
    if (r == WITNESS_E_LINE) {
        return walk_fault(walk, AUDIT_FAULT_CHANGED, seq, "%s", why->sentence);
    }
    r = walk_fault(walk, fault, seq, "%s", why->sentence);
    explain(walk->report->file, sizeof(walk->report->file), "%s", AUDIT_HEADS_NAME);
    walk->report->line = walk->witness.reader.line + (why->absent && !walk->witness.pending ? 1 : 0);
    return r;
}

/* An event without its body: one that may go, by an erasure that is in the log. */
static int
walk_tombstone(struct walk *walk, const struct audit_line *line)
{
    bool covered;
    int r;

    r = audit_erasures_cover(&walk->erasures, walk->dir_fd, line, &covered);
    if (r) {
        return walk_errno(walk, r, "the erasures");
    }
    if (!covered) {
        return walk_fault(walk, AUDIT_FAULT_ERASED, line->seq, "the body is gone and no erasure covers it");
    }
    walk->report->tombstones++;
    return 0;
}

static int
walk_line(struct walk *walk, const char *text, size_t len)
{
    struct audit_report *report = walk->report;
    struct witness_why why = { 0 };
    struct audit_line line;
    bool pending = false;
    int r;

    r = walk_check(walk, text, len, &line, &pending);
    if (r == 0 && (line.erased || pending)) {
        r = walk_tombstone(walk, &line);
    }
    if (r) {
        return r;
    }
    r = witness_line(&walk->witness, &line, text, len, &why);
    if (r) {
        return walk_witness(walk, r, line.seq, &why);
    }
    report->pending += pending;
    report->head.seq = line.seq;
    memcpy(report->head.hash, line.hash, sizeof(line.hash));
    report->lines++;
    walk->form = line.form;
    return 0;
}

static int
walk_lines(struct walk *walk, bool last)
{
    const char *text;
    size_t len;
    int r;

    for (;;) {
        r = audit_reader_next(&walk->reader, &text, &len);
        if (r < 0) {
            return walk_errno(walk, r, "a segment");
        }
        if (r == 0) {
            return 0;
        }
        if (r == AUDIT_READ_TORN) {
            return walk_fault(walk, last ? AUDIT_FAULT_TRUNCATED : AUDIT_FAULT_CHANGED, walk_next_seq(walk),
                              "the file ends inside a line");
        }
        if (r == AUDIT_READ_LONG) {
            return walk_fault(walk, AUDIT_FAULT_CHANGED, walk_next_seq(walk),
                              "the line is longer than any of ours");
        }
        r = walk_line(walk, text, len);
        if (r) {
            return r;
        }
    }
}

/* Whether the segment continues the one before it, and that one was signed to its end. */
static int
walk_joint(struct walk *walk, uint64_t first)
{
    const uint64_t expected = walk_next_seq(walk);
    struct witness_why why = { 0 };
    int r;

    if (first > expected && walk->report->segments > 0) {
        audit_segment_name(walk->report->file, walk->last_first);
        r = walk_fault(walk, AUDIT_FAULT_MISSING, expected,
                       "events %" PRIu64 " to %" PRIu64 " are missing between this segment and the next",
                       expected, first - 1);
        walk->report->line = walk->last_lines + 1;
        return r;
    }
    if (first > expected) {
        return walk_fault(walk, AUDIT_FAULT_MISSING, expected,
                          "events %" PRIu64 " to %" PRIu64 " are missing before this segment", expected,
                          first - 1);
    }
    if (first < expected) {
        return walk_fault(walk, AUDIT_FAULT_INSERTED, first,
                          "the segment begins with an event that the one before has already");
    }
    r = walk->report->segments > 0 ? witness_segment_end(&walk->witness, expected - 1, &why) : 0;
    return r ? walk_witness(walk, r, expected - 1, &why) : 0;
}

static int
walk_segment(struct walk *walk, uint64_t first, bool last)
{
    int fd, r;

    audit_segment_name(walk->report->file, first);
    r = walk_joint(walk, first);
    if (r) {
        return r;
    }
    fd = audit_segment_open(walk->dir_fd, first);
    if (fd < 0) {
        return walk_errno(walk, fd, "a segment");
    }
    r = audit_reader_init(&walk->reader, fd);
    if (r) {
        return walk_errno(walk, r, "a segment");
    }
    r = walk_lines(walk, last);
    walk->last_first = first;
    walk->last_lines = walk->reader.line;
    audit_reader_deinit(&walk->reader);
    if (r == 0 && walk_next_seq(walk) == first && !last) {
        r = walk_fault(walk, AUDIT_FAULT_TRUNCATED, first, "the segment is empty");
        walk->report->line = 1;
        return r;
    }
    walk->report->segments += r == 0;
    return r;
}

static int
walk_segments(struct walk *walk)
{
    struct audit_segments segments = { 0 };
    int r;

    r = audit_segments_scan(&segments, walk->dir_fd);
    if (r) {
        return walk_errno(walk, r, "the directory");
    }
    for (size_t i = 0; i < segments.n && r == 0; i++) {
        r = walk_segment(walk, segments.first[i], i + 1 == segments.n);
    }
    if (r == 0) {
        walk->report->file[0] = '\0';
    }
    if (r == 0 && segments.strange) {
        explain(walk->report->file, sizeof(walk->report->file), "%s", segments.strange_name);
        r = walk_fault(walk, AUDIT_FAULT_INSERTED, walk_next_seq(walk),
                       "the file is no segment and is named like one");
    }
    audit_segments_deinit(&segments);
    return r;
}

/* What the index knows now: its head, and how many heads were signed. */
static int
index_known(struct walk *walk, uint64_t *ret_head, uint64_t *ret_signed)
{
    _cleanup_(db_rows_deinit) struct db_rows rows = DB_ROWS_INIT;
    struct sqlite_audit_log known = { 0 };
    struct db_result result = { 0 };
    int r;

    *ret_head = *ret_signed = 0;
    if (walk->index == NULL) {
        return 0;
    }
    r = sqlite_audit_log_read(walk->index, &known);
    r = r ? r : sqlite_conn_run(walk->index, DB_AUDIT_HEAD, NULL, 0, &rows, NULL);
    if (r) {
        return walk_errno(walk, r > 0 ? -EIO : r, "the index");
    }
    db_rows_seal(&rows, &result);
    *ret_head = result.n_rows == 1 ? (uint64_t)db_at(&result, 0, 0)->integer : 0;
    *ret_signed = known.signed_n;
    return 0;
}

/* After the last line: what should have come yet. */
static int
walk_end(struct walk *walk, uint64_t head, uint64_t n_signed)
{
    struct audit_report *report = walk->report;
    struct witness_why why = { 0 };
    int r;

    if (report->head.seq < head) {
        return walk_fault_tail(walk, head);
    }
    r = witness_end(&walk->witness, n_signed, &why);
    if (r == WITNESS_E_LINE) {
        r = walk_fault(walk, AUDIT_FAULT_TRUNCATED, walk_next_seq(walk), "%s", why.sentence);
        audit_segment_name(report->file, walk->last_first);
        report->line = walk->last_lines + 1;
        return r;
    }
    report->heads = walk->witness.n;
    report->believed = walk->witness.believing;
    return r ? walk_witness(walk, r, report->head.seq, &why) : 0;
}

static int
walk_once(struct walk *walk, const struct audit_verify_spec *spec)
{
    struct audit_report *report = walk->report;
    struct witness_why why = { 0 };
    uint64_t head, n_signed;
    int r;

    *report = (struct audit_report){ .has_index = spec->database != NULL };
    audit_chain_init(&report->head);
    walk->row = 0;
    walk->result = (struct db_result){ 0 };
    walk->last_first = 1;
    walk->last_lines = 0;
    walk->form = AUDIT_FORM_WHOLE;
    audit_erasures_deinit(&walk->erasures);
    witness_close(&walk->witness);

    /* Before the walk: whatever the index has by now, the log must have by its end. */
    r = index_known(walk, &head, &n_signed);
    if (r) {
        return r;
    }
    r = witness_open(&walk->witness, walk->dir_fd, spec->keys, spec->n_keys, &why);
    if (r) {
        return walk_witness(walk, r, 0, &why);
    }
    r = walk_segments(walk);
    return r ? r : walk_end(walk, head, n_signed);
}

static int
walk_run(struct walk *walk, const struct audit_verify_spec *spec)
{
    const struct timespec step = { .tv_nsec = SETTLE_STEP_NS };
    const uint64_t deadline = sbx_now_mono_ms() + SETTLE_MS;
    int r;

    for (;;) {
        r = walk_once(walk, spec);
        if (r != AUDIT_E_BROKEN || walk->report->fault != AUDIT_FAULT_TRUNCATED ||
            sbx_now_mono_ms() >= deadline || !audit_segments_live(walk->dir_fd)) {
            return r;
        }
        nanosleep(&step, NULL);
    }
}

int
audit_verify_with(const struct audit_verify_spec *spec, struct audit_report *ret)
{
    struct walk walk = {
        .dir_fd = -1,
        .rows = DB_ROWS_INIT,
        .line = SBX_BUF_INIT(AUDIT_LINE_BUF),
        .reader.fd = -1,
        .witness.reader.fd = -1,
        .report = ret,
    };
    int r = 0;

    *ret = (struct audit_report){ .has_index = spec->database != NULL };
    audit_chain_init(&ret->head);
    if (spec->database != NULL) {
        r = sqlite_conn_open(&walk.index, spec->database, SQLITE_CONN_VISITOR, ret->detail,
                             sizeof(ret->detail));
    }
    if (r == 0) {
        walk.dir_fd = open(spec->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = walk.dir_fd < 0 ? walk_errno(&walk, -errno, "the directory") : walk_run(&walk, spec);
    }

    if (walk.dir_fd >= 0) {
        close(walk.dir_fd);
    }
    walk.index = sqlite_conn_close(walk.index);
    db_rows_deinit(&walk.rows);
    sbx_buf_deinit(&walk.line);
    audit_erasures_deinit(&walk.erasures);
    witness_close(&walk.witness);
    return r;
}

int
audit_verify(const char *audit_dir, const char *database, struct audit_report *ret)
{
    const struct audit_verify_spec spec = { .dir = audit_dir, .database = database };

    return audit_verify_with(&spec, ret);
}
