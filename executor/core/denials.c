#include "executor/core/denials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/audit.h"
#include "executor/core/spool_file.h"
#include "executor/log.h"
#include "executor/store/stmts.h"

#define DENIALS_NAME "denials"
#define DENIALS_IDLE_MS 100 /* what a read of nothing costs is nothing beside a denial that is late */
#define DENIALS_RETRY_MS 1000
#define DENIALS_BUFFER 65536 /* from the page cache: short enough to read on the loop */
#define DENIALS_BATCH 64
#define DENIALS_FILES (DENIALS_OLD + 1)

struct denials_row {
    struct spool_id id;
    uint64_t position;
};

struct denials {
    struct denials_spec spec;
    char *path;
    char *rotated; /* "<path>.N" */
    struct timer *timer;
    bool known; /* the stored positions were read */
    bool busy;
    /* As stored, and not yet claimed by a file: what is left when the path was reached is of files that are gone. */
    struct denials_row rows[2 * DENIALS_FILES];
    unsigned n_rows;
    /* By age, without a gap between: all before the last one were the file at the path once. */
    struct spool_file files[DENIALS_FILES];
    unsigned n_files;
    /* Rotated ones that could not be opened since the path was reached last; zero is nobody's. */
    struct spool_id refused[DENIALS_OLD];
    unsigned n_refused;
    struct spool_file *taken; /* of the transaction under way */
    struct spool_file next;   /* what it becomes once that is durable */
    unsigned batch;
    char buffer[DENIALS_BUFFER];
};

struct denials *
denials_free(struct denials *denials)
{
    if (denials == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < denials->n_files; i++) {
        spool_file_close(&denials->files[i]);
    }
    timer_free(denials->timer);
    free(denials->path);
    free(denials->rotated);
    free(denials);
    return NULL;
}

static const char *
denials_rotated(struct denials *denials, unsigned n)
{
    denials->rotated[strlen(denials->rotated) - 1] = (char)('0' + n);
    return denials->rotated;
}

static bool
denials_is_remembered(const struct denials *denials, const struct spool_look *look)
{
    for (unsigned i = 0; i < denials->n_rows; i++) {
        if (spool_id_equal(&denials->rows[i].id, &look->id) && denials->rows[i].position <= look->size) {
            return true;
        }
    }
    return false;
}

static bool
denials_is_refused(const struct denials *denials, const struct spool_id *id)
{
    for (unsigned i = 0; i < SBX_COUNT(denials->refused); i++) {
        if (spool_id_equal(&denials->refused[i], id)) {
            return true;
        }
    }
    return false;
}

/* Its index, or n_files. */
static unsigned
denials_held(const struct denials *denials, const struct spool_id *id)
{
    unsigned i = 0;

    while (i < denials->n_files && !spool_id_equal(&denials->files[i].id, id)) {
        i++;
    }
    return i;
}

/* A row goes with the inode, whoever has that now; its position only with the file that it is of. False: it is new. */
static bool
denials_claim(struct denials *denials, const struct spool_look *look, uint64_t *position)
{
    for (unsigned i = 0; i < denials->n_rows; i++) {
        const struct denials_row row = denials->rows[i];

        if (row.id.device == look->id.device && row.id.inode == look->id.inode) {
            denials->rows[i] = denials->rows[--denials->n_rows];
            if (!spool_id_equal(&row.id, &look->id) || row.position > look->size) {
                return false;
            }
            *position = row.position;
            return true;
        }
    }
    return false;
}

/*
 * A rotated file that is not remembered is new to us when it was born then or later; UINT64_MAX: none is. At the start
 * that is after all that we had, unless we had the file at the path: then what lies beside it is not ours, or a copy.
 */
static uint64_t
denials_horizon(const struct denials *denials, const struct spool_id *path)
{
    uint64_t born = 0;

    if (denials->n_files > 0) {
        return denials->files[denials->n_files - 1].id.born;
    }
    for (unsigned i = 0; i < denials->n_rows; i++) {
        const struct spool_id *id = &denials->rows[i].id;

        if (spool_id_equal(id, path)) {
            return UINT64_MAX;
        }
        born = id->born > born ? id->born : born;
    }
    return born == 0 ? UINT64_MAX : born;
}

/*
 * The rotation that comes after the file we are in, by name: 0 is the path itself. The first time it is the oldest that
 * is remembered. From the newest name to the oldest: what a rotation moves meanwhile is seen twice then, never missed.
 * A remembered one counts whatever the clock said when it was born.
 */
static unsigned
denials_successor(struct denials *denials, struct spool_look *seen)
{
    const struct spool_file *last = denials->n_files == 0 ? NULL : &denials->files[denials->n_files - 1];
    const struct spool_look path = *seen;
    uint64_t born = denials_horizon(denials, &path.id);
    unsigned found = 0;

    for (unsigned n = 1; n <= DENIALS_OLD; n++) {
        struct spool_look look;
        bool remembered;

        if (spool_look_at(&look, denials_rotated(denials, n)) != 0 || !look.regular) {
            continue;
        }
        if (last != NULL && spool_id_equal(&last->id, &look.id)) {
            return found;
        }
        if (denials_held(denials, &look.id) < denials->n_files || denials_is_refused(denials, &look.id)) {
            continue;
        }
        remembered = denials_is_remembered(denials, &look);
        if (remembered || look.id.born >= born) {
            *seen = look;
            found = n;
        }
        if (remembered && last == NULL) {
            born = UINT64_MAX; /* an older name is that of a file we had, or never shall */
        }
    }
    if (last != NULL && last->id.born == 0) {
        *seen = path; /* renamed to what we cannot know, and so is which of these we had */
        return 0;
    }
    return found;
}

/* A file that came back to its old name is held by now: it becomes the last one, and goes on from where it was. */
static bool
denials_renew(struct denials *denials, const struct spool_id *id)
{
    const unsigned i = denials_held(denials, id);
    struct spool_file file;

    if (i == denials->n_files) {
        return false;
    }
    file = denials->files[i];
    memmove(&denials->files[i], &denials->files[i + 1],
            (denials->n_files - i - 1) * sizeof(denials->files[0]));
    denials->files[denials->n_files - 1] = file;
    return true;
}

/* Of each transaction: what it changes here is for the caller, what comes next is looked at again. */
static bool
denials_is_stored(struct denials *denials, int rc)
{
    denials->busy = false;
    if (rc) {
        log_error("denials.store_failed", LOG_INT("code", rc));
    }
    timer_start(denials->timer, rc ? DENIALS_RETRY_MS : 0);
    return rc == 0;
}

static void
denials_on_stored(void *arg, int rc, const struct db_result *result _unused_)
{
    struct denials *denials = arg;

    if (denials_is_stored(denials, rc)) {
        *denials->taken = denials->next;
        spool_file_punch(denials->taken);
    }
}

static int
denials_add_line(struct denials *denials, struct db_tx *tx, const char *line, size_t len)
{
    struct denial denial = { 0 };
    int r;

    r = denials->spec.parse(&denial, line, len < DENIALS_LINE_MAX ? len : DENIALS_LINE_MAX);
    if (r) {
        return r;
    }
    audit_denied(tx, &(struct audit_denial){
                         .tenant = denial.tenant,
                         .request_id = denial.request_id[0] == '\0' ? NULL : denial.request_id,
                         .body = denial.body,
                         .body_len = denial.body_len,
                         .keep_ms = denial.keep_ms,
                     });
    free(denial.body);
    denials->batch++;
    return 0;
}

/* Adds the whole lines of the buffer; returns the bytes they take, or -errno. */
static ssize_t
denials_add_lines(struct denials *denials, struct db_tx *tx, size_t len)
{
    size_t used = 0;

    denials->batch = 0;
    while (denials->batch < DENIALS_BATCH) {
        char *line = denials->buffer + used;
        char *end = memchr(line, '\n', len - used);
        size_t n;
        int r;

        if (end == NULL) {
            break;
        }
        n = (size_t)(end - line);
        if (n > 0 && !denials->next.skipping) {
            r = denials_add_line(denials, tx, line, n);
            if (r) {
                return r;
            }
        }
        denials->next.skipping = false;
        used += n + 1;
    }
    return (ssize_t)used;
}

/* A line longer than the buffer: its beginning stands for it, the rest is passed over. */
static ssize_t
denials_add_long(struct denials *denials, struct db_tx *tx, size_t len)
{
    int r = denials->next.skipping ? 0 : denials_add_line(denials, tx, denials->buffer, len);

    denials->next.skipping = true;
    return r ? r : (ssize_t)len;
}

static void
denials_store(struct denials *denials, struct db_tx *tx, db_done_fn done)
{
    const struct db_value values[] = {
        DB_VTEXT(DENIALS_NAME),         DB_VINT(denials->next.id.device), DB_VINT(denials->next.id.inode),
        DB_VINT(denials->next.id.born), DB_VINT(denials->next.position),
    };

    db_tx_add(tx, DB_SPOOL_SET, values, SBX_COUNT(values));
    denials->busy = true;
    db_tx_submit(tx, done, denials);
}

static void
denials_on_opened(void *arg, int rc, const struct db_result *result _unused_)
{
    struct denials *denials = arg;

    if (denials_is_stored(denials, rc)) {
        denials->n_files++;
    } else {
        spool_file_close(&denials->files[denials->n_files]);
    }
}

/*
 * A new file is remembered before a line of it is taken: a restart must know it by its rotated name, too. 1 when that
 * is under way, 0 when the file is held, or -errno.
 */
static int
denials_open(struct denials *denials, const char *path, const struct spool_look *look)
{
    struct spool_file *file = &denials->files[denials->n_files];
    struct db_tx *tx;
    int r;

    r = spool_file_open(file, path, look);
    if (r) {
        return r;
    }
    if (denials_claim(denials, look, &file->position)) {
        denials->n_files++;
        return 0;
    }
    r = db_tx_new(&tx, denials->spec.db);
    if (r) {
        spool_file_close(file);
        return r;
    }
    denials->next = *file;
    denials_store(denials, tx, denials_on_opened);
    return 1;
}

/* What was read of a file: 1 when a transaction is under way, 0 when there is no whole line, or -errno. */
static int
denials_take(struct denials *denials, struct spool_file *file, size_t len)
{
    struct db_tx *tx;
    ssize_t used;
    int r;

    if (len < sizeof(denials->buffer) && memchr(denials->buffer, '\n', len) == NULL) {
        return 0;
    }
    r = db_tx_new(&tx, denials->spec.db);
    if (r) {
        return r;
    }
    denials->taken = file;
    denials->next = *file;
    used = denials_add_lines(denials, tx, len);
    if (used == 0) {
        used = denials_add_long(denials, tx, len);
    }
    if (used < 0) {
        db_tx_free(tx);
        return (int)used;
    }
    denials->next.position += (size_t)used;
    denials_store(denials, tx, denials_on_stored);
    return 1;
}

static void
denials_forget(struct db_tx *tx, const struct spool_id *id)
{
    const struct db_value values[] = { DB_VTEXT(DENIALS_NAME), DB_VINT(id->device), DB_VINT(id->inode) };

    db_tx_add(tx, DB_SPOOL_FORGET, values, SBX_COUNT(values));
}

static void
denials_on_rows_forgotten(void *arg, int rc, const struct db_result *result _unused_)
{
    struct denials *denials = arg;

    if (denials_is_stored(denials, rc)) {
        denials->n_rows = 0;
    }
}

/* Of files that are gone: the next one that gets such an inode begins at its beginning. */
static int
denials_forget_rows(struct denials *denials)
{
    struct db_tx *tx;
    int r;

    r = db_tx_new(&tx, denials->spec.db);
    if (r) {
        return r;
    }
    for (unsigned i = 0; i < denials->n_rows; i++) {
        denials_forget(tx, &denials->rows[i].id);
    }
    denials->busy = true;
    db_tx_submit(tx, denials_on_rows_forgotten, denials);
    return 1;
}

static void
denials_on_left(void *arg, int rc, const struct db_result *result _unused_)
{
    struct denials *denials = arg;

    if (!denials_is_stored(denials, rc)) {
        return;
    }
    spool_file_close(&denials->files[0]);
    denials->n_files--;
    memmove(&denials->files[0], &denials->files[1], denials->n_files * sizeof(denials->files[0]));
}

/* The oldest has waited for late lines long enough. Nobody ends the one it may end in: a full disk cut it. */
static int
denials_leave_oldest(struct denials *denials)
{
    struct spool_file *file = &denials->files[0];
    struct db_tx *tx;
    ssize_t n;
    int r;

    n = spool_file_read(file, denials->buffer, sizeof(denials->buffer));
    if (n > 0 && memchr(denials->buffer, '\n', (size_t)n) != NULL) {
        timer_start(denials->timer, 0); /* written this moment: it is taken first */
        return 1;
    }
    r = db_tx_new(&tx, denials->spec.db);
    if (r) {
        return r;
    }
    if (n > 0 && !file->skipping) {
        r = denials_add_line(denials, tx, denials->buffer, (size_t)n);
        if (r) {
            db_tx_free(tx);
            return r;
        }
    }
    denials_forget(tx, &file->id);
    denials->busy = true;
    db_tx_submit(tx, denials_on_left, denials);
    return 1;
}

/* The path is what we are in. Of what was passed over the row is kept. */
static int
denials_arrive(struct denials *denials)
{
    for (unsigned i = denials->n_rows; i-- > 0;) {
        if (denials_is_refused(denials, &denials->rows[i].id)) {
            denials->rows[i] = denials->rows[--denials->n_rows];
        }
    }
    memset(denials->refused, 0, sizeof(denials->refused));
    return denials->n_rows == 0 ? 0 : denials_forget_rows(denials);
}

static void
denials_on_passed_over(void *arg, int rc, const struct db_result *result _unused_)
{
    (void)denials_is_stored(arg, rc);
}

/*
 * One file that may not be read must not keep the newer ones from it. What we are short of would keep them all. It is
 * remembered: that it may be read is seen at the next start. As denials_follow.
 */
static int
denials_pass_over(struct denials *denials, const char *path, const struct spool_look *look, int r)
{
    struct db_tx *tx;

    if (r == -EMFILE || r == -ENFILE || r == -ENOMEM) {
        return r;
    }
    log_error("denials.passed_over", LOG_STR("path", path), LOG_STR("error", strerror(-r)));
    denials->refused[denials->n_refused++ % SBX_COUNT(denials->refused)] = look->id;
    if (denials_is_remembered(denials, look)) {
        timer_start(denials->timer, 0);
        return 1;
    }
    r = db_tx_new(&tx, denials->spec.db);
    if (r) {
        return r;
    }
    denials->next = (struct spool_file){ .id = look->id };
    denials_store(denials, tx, denials_on_passed_over);
    return 1;
}

/* All that is held was read to its end: on to the file that comes next. 1: more to do at once, or under way; 0; -errno. */
static int
denials_follow(struct denials *denials)
{
    struct spool_look look;
    const char *path;
    unsigned n;
    int r;

    r = spool_look_at(&look, denials->path);
    if (r) {
        return r == -ENOENT ? 0 : r;
    }
    if (denials->n_files > 0 && spool_id_equal(&denials->files[denials->n_files - 1].id, &look.id)) {
        return denials_arrive(denials);
    }
    n = denials_successor(denials, &look);
    path = n == 0 ? denials->path : denials_rotated(denials, n);
    if (!denials_renew(denials, &look.id)) {
        if (denials->n_files == DENIALS_FILES) {
            return denials_leave_oldest(denials);
        }
        r = denials_open(denials, path, &look);
        if (r == -ENOENT || r == -ESTALE) {
            return 0; /* moved between the look and this: the next look sees where to */
        }
        if (r < 0 && n > 0) {
            return denials_pass_over(denials, path, &look, r);
        }
        if (r) {
            return r;
        }
    }
    timer_start(denials->timer, 0);
    return 1;
}

/* The oldest file first. As denials_follow. */
static int
denials_read(struct denials *denials)
{
    int failed = 0, r;

    for (unsigned i = 0; i < denials->n_files; i++) {
        ssize_t n = spool_file_read(&denials->files[i], denials->buffer, sizeof(denials->buffer));

        if (n > 0) {
            r = denials_take(denials, &denials->files[i], (size_t)n);
            if (r) {
                return r;
            }
        } else if (n < 0) {
            failed = (int)n; /* of the disk: it must not keep the others from being read */
        }
    }
    r = denials_follow(denials);
    return r == 0 ? failed : r;
}

static void denials_read_rows(struct denials *denials);

static void
denials_on_tick(void *arg)
{
    struct denials *denials = arg;
    int r;

    if (denials->busy) {
        return;
    }
    if (!denials->known) {
        denials_read_rows(denials);
        return;
    }
    r = denials_read(denials);
    if (r < 0) {
        log_error("denials.failed", LOG_STR("error", strerror(-r)));
    }
    if (r <= 0) {
        timer_start(denials->timer, r < 0 ? DENIALS_RETRY_MS : DENIALS_IDLE_MS);
    }
}

/* Without the positions a line could be taken twice: nothing is read before they are known. */
static void
denials_on_rows(void *arg, int rc, const struct db_result *result)
{
    struct denials *denials = arg;

    denials->busy = false;
    if (rc) {
        log_error("denials.position_failed", LOG_INT("code", rc));
        timer_start(denials->timer, DENIALS_RETRY_MS);
        return;
    }
    for (unsigned i = 0; i < result->n_rows && denials->n_rows < SBX_COUNT(denials->rows); i++) {
        const struct db_value *row = db_at(result, i, 0);

        denials->rows[denials->n_rows++] = (struct denials_row){
            .id.device = (uint64_t)row[0].integer,
            .id.inode = (uint64_t)row[1].integer,
            .id.born = (uint64_t)row[2].integer,
            .position = (uint64_t)row[3].integer,
        };
    }
    denials->known = true;
    timer_start(denials->timer, 0);
}

static void
denials_read_rows(struct denials *denials)
{
    const struct db_value values[] = { DB_VTEXT(DENIALS_NAME) };

    denials->busy = true;
    db_read(denials->spec.db, DB_SPOOL_FILES, values, SBX_COUNT(values), denials_on_rows, denials);
}

static inline void
denials_freep(struct denials **denials)
{
    denials_free(*denials);
}

int
denials_new(struct denials **ret, const struct denials_spec *spec)
{
    _cleanup_(denials_freep) struct denials *denials = NULL;
    size_t len = strlen(spec->path);
    int r;

    denials = calloc(1, sizeof(*denials));
    if (denials == NULL) {
        return -ENOMEM;
    }
    denials->spec = *spec;
    denials->path = strdup(spec->path);
    denials->rotated = malloc(len + 3);
    if (denials->path == NULL || denials->rotated == NULL) {
        return -ENOMEM;
    }
    (void)snprintf(denials->rotated, len + 3, "%s.1", spec->path); /* fits */
    r = timer_new(&denials->timer, spec->timers, denials_on_tick, denials);
    if (r) {
        return r;
    }
    denials_read_rows(denials);
    *ret = steal(&denials);
    return 0;
}
