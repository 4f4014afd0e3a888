/* Which lines of a spool that is rotated are taken, in which order, and that none is taken twice. */
#include "executor/core/denials.h"
#include "executor/core/spool_file.h"
#include "executor/log.h"
#include "executor/store/stmts.h"
#include "t/unit/store_fixture.h"

#include <sys/fsuid.h>
#include <sys/resource.h>

static struct fixture f;
static struct denials *denials;
static char path[256], taken[4096];

/* The only timer: fires when the test says so, after whatever time. */
struct timers {
    int unused;
};

static struct timer {
    void (*fire)(void *arg);
    void *arg;
    uint64_t ms;
    bool armed;
} timer;

int
timer_new(struct timer **ret, struct timers *timers _unused_, void (*fire)(void *arg), void *arg)
{
    timer = (struct timer){ .fire = fire, .arg = arg };
    *ret = &timer;
    return 0;
}

void
timer_start(struct timer *t, uint64_t ms)
{
    t->armed = true;
    t->ms = ms;
}

struct timer *
timer_free(struct timer *t)
{
    if (t != NULL) {
        t->armed = false;
    }
    return NULL;
}

static int
on_line(struct denial *ret, const char *line, size_t len)
{
    size_t used = strlen(taken);

    snprintf(taken + used, sizeof(taken) - used, "%s%.*s", used == 0 ? "" : " ", len > 20 ? 20 : (int)len,
             line);
    snprintf(ret->tenant, sizeof(ret->tenant), "-");
    ret->body = strdup("{}");
    ret->body_len = 2;
    return ret->body == NULL ? -ENOMEM : 0;
}

/* Until there is nothing to do but to look again later. */
static void
work(void)
{
    fixture_settle(&f);
    for (unsigned i = 0; i < 200; i++) {
        bool later = timer.armed && timer.ms > 0 && i > 0;

        if (later || !timer.armed) {
            return;
        }
        timer.armed = false;
        timer.fire(timer.arg);
        fixture_settle(&f);
    }
    BAIL_OUT("it does not come to rest");
}

static void
begin(void)
{
    static struct timers timers;
    const struct denials_spec spec = { .timers = &timers, .db = f.db, .path = path, .parse = on_line };

    if (denials_new(&denials, &spec) != 0) {
        BAIL_OUT("denials_new");
    }
}

static void
end(void)
{
    fixture_close(&f);
    denials = denials_free(denials);
}

static void
again(void)
{
    fixture_must_open(&f);
    begin();
}

static void
start(void)
{
    fixture_init(&f);
    snprintf(path, sizeof(path), "%s/log", f.dir);
    taken[0] = '\0';
    again();
    work();
}

static void
stop(void)
{
    end();
    fixture_deinit(&f);
}

static const char *
name(unsigned n)
{
    static char names[4][300];
    char *ret = names[n % 4];

    snprintf(ret, sizeof(names[0]), n == 0 ? "%s" : "%s.%u", path, n);
    return ret;
}

static void
add(int fd, const char *text)
{
    if (write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
        BAIL_OUT("write");
    }
}

/* As a worker has it open; it stays with the file whatever that is called. */
static int
worker(void)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) {
        BAIL_OUT("%s", path);
    }
    return fd;
}

static void
append(const char *text)
{
    int fd = worker();

    add(fd, text);
    close(fd);
}

static void
rotate(void)
{
    for (unsigned n = 8; n > 0; n--) {
        (void)rename(name(n - 1), name(n)); /* there may be none */
    }
}

static unsigned
rows(void)
{
    const struct db_value values[] = { DB_VTEXT("denials") };
    struct outcome got;

    is_int(read_run(&f, DB_SPOOL_FILES, values, SBX_COUNT(values), &got), 0, "rows");
    return got.n_rows;
}

static void
test_late_worker(void)
{
    int old;

    start();
    old = worker();
    add(old, "a\n");
    work();
    rotate();
    append("b\n");
    work();
    is_str(taken, "a b", "the new file is taken");
    add(old, "late\n");
    append("c\n");
    work();
    is_str(taken, "a b late c", "what a worker writes to the old file later is taken, before what is new");
    end();
    add(old, "away\n");
    append("d\n");
    again();
    work();
    is_str(taken, "a b late c away d", "after a restart too, and nothing twice");
    unlink(name(1));
    add(old, "gone\n");
    work();
    is_str(taken, "a b late c away d gone", "though its name is gone");
    end();
    again();
    work();
    is_str(taken, "a b late c away d gone", "nothing twice");
    is_uint(rows(), 1, "of a file that is gone nothing is stored");
    close(old);
    stop();
}

static void
test_nothing_taken(void)
{
    int old;

    start();
    old = worker();
    work();
    is_uint(rows(), 1, "a file is remembered before it has a line");
    rotate();
    append("b\n");
    work();
    end();
    add(old, "late\n");
    again();
    work();
    is_str(taken, "b late", "what comes while nobody is there is taken");
    rotate();
    append("c\n");
    end();
    again();
    work();
    is_str(taken, "b late c", "nothing twice");
    close(old);
    stop();
}

static void
test_two_rotations(void)
{
    start();
    append("a\n");
    work();
    append("b\n");
    rotate();
    append("c\n");
    rotate();
    append("d\n");
    work();
    is_str(taken, "a b c d", "two rotations between two looks");
    end();
    append("e\n");
    rotate();
    rotate(); /* nobody wrote in between, not even nginx */
    append("f\n");
    rotate();
    append("g\n");
    again();
    work();
    is_str(taken, "a b c d e f g", "and while nobody was there");
    end();
    again();
    work();
    is_str(taken, "a b c d e f g", "nothing twice");
    stop();
}

static void
test_no_line_before_path(void)
{
    start();
    append("a\n");
    work();
    append("b\n");
    end();
    rotate();
    again();
    work();
    is_str(taken, "a", "a rotation that is half done is waited for");
    append("c\n");
    work();
    is_str(taken, "a b c", "then the old file comes first");
    rotate();
    append("d\n");
    work();
    is_str(taken, "a b c d", "and so on");
    stop();
}

static void
test_too_many(void)
{
    int first, second;

    start();
    first = worker();
    add(first, "a\nhalf");
    work();
    rotate();
    second = worker();
    for (unsigned i = 1; i < DENIALS_OLD; i++) {
        append("b\n");
        rotate();
    }
    append("c\n");
    work();
    is_str(taken, "a b b b c", "as many old files as are read on");
    is_uint(rows(), DENIALS_OLD + 1, "a row for each");
    add(first, " of it");
    rotate();
    append("d\n");
    work();
    is_str(taken, "a b b b c half of it d", "the oldest leaves, and what was cut at its end is on record");
    is_uint(rows(), DENIALS_OLD + 1, "with its row");
    add(first, "\nlost\n");
    add(second, "late\n");
    work();
    is_str(taken, "a b b b c half of it d late", "it is read no more, the next one is");
    end();
    again();
    work();
    is_str(taken, "a b b b c half of it d late", "nor after a restart");
    close(first);
    close(second);
    stop();
}

static void
test_half_lines(void)
{
    int old;

    start();
    old = worker();
    add(old, "a\nha");
    work();
    rotate();
    append("b\n");
    work();
    is_str(taken, "a b", "half a line at the end of the old file stops nobody");
    end();
    again();
    work();
    add(old, "lf\n");
    work();
    is_str(taken, "a b half", "its rest makes it one");
    close(old);
    stop();
}

static void
test_cut(void)
{
    int fd;

    start();
    fd = worker();
    add(fd, "a\nb\n");
    work();
    if (ftruncate(fd, 0) != 0) {
        BAIL_OUT("ftruncate");
    }
    work();
    add(fd, "c\n");
    work();
    is_str(taken, "a b c", "a file that is cut in its place is read from its beginning");
    rotate();
    append("d\n");
    work();
    if (ftruncate(fd, 0) != 0) {
        BAIL_OUT("ftruncate");
    }
    work();
    add(fd, "e\n");
    work();
    is_str(taken, "a b c d e", "the old one too");
    close(fd);
    stop();
}

/* Births are told by the clock's tick: until it was another one. False where they are not told at all. */
static bool
born_apart(void)
{
    struct spool_look first = { 0 }, look;

    do {
        int fd = open(name(7), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0 || spool_look_at(&look, name(7)) != 0) {
            BAIL_OUT("%s", name(7));
        }
        close(fd);
        unlink(name(7));
        if (first.id.born == 0) {
            first = look;
        }
    } while (look.id.born != 0 && look.id.born == first.id.born);
    return look.id.born != 0;
}

/* False, and nothing is started, where what hangs on births cannot be tried. */
static bool
start_with_births(void)
{
    start();
    if (!born_apart()) {
        diag("this file system does not say when a file was born");
        stop();
        return false;
    }
    return true;
}

static void
test_names(void)
{
    if (!start_with_births()) {
        return;
    }
    append("old\n");
    born_apart();
    (void)rename(path, name(1));
    append("a\n");
    work();
    is_str(taken, "a", "a file from before the first start is nobody's");
    (void)rename(path, name(2));
    append("b\n");
    work();
    is_str(taken, "a b", "nor when names go the other way");
    (void)rename(name(2), path);
    work();
    append("c\n");
    work();
    is_str(taken, "a b c", "a file that gets its name back goes on from where it was");
    (void)rename(path, name(9));
    append("d\n");
    work();
    is_str(taken, "a b c d", "a name that cannot be known");
    stop();
}

static void
test_not_a_file(void)
{
    start();
    append("a\n");
    work();
    rotate();
    mkdir(path, 0700);
    work();
    is_uint(timer.ms, 1000, "a directory is looked at again later");
    rmdir(path);
    if (symlink(name(1), path) != 0 || mkfifo(name(2), 0600) != 0) {
        BAIL_OUT("link");
    }
    work();
    is_uint(timer.ms, 1000, "a link too");
    is_str(taken, "a", "and not followed");
    unlink(path);
    append("b\n");
    work();
    is_str(taken, "a b", "then a file");
    end();
    again();
    work();
    is_str(taken, "a b", "nothing twice, whatever lies beside it");
    stop();
}

/* An inode is given again; the row of the one before says a place that is inside the new file. */
static void
test_inode_again(void)
{
    struct spool_look look;
    struct db_tx *tx;

    start();
    append("a\n");
    work();
    append("b\n");
    if (spool_look_at(&look, path) != 0) {
        BAIL_OUT("look");
    }
    end();
    fixture_must_open(&f);
    if (look.id.born == 0) {
        diag("this file system does not say when a file was born");
    } else {
        const struct db_value values[] = { DB_VTEXT("denials"), DB_VINT(look.id.device),
                                           DB_VINT(look.id.inode), DB_VINT(look.id.born - 1), DB_VINT(2) };

        tx = tx_new(&f);
        db_tx_add(tx, DB_SPOOL_SET, values, SBX_COUNT(values));
        tx_run(&f, tx, NULL);
        begin();
        work();
        is_str(taken, "a a b", "the inode alone does not make it the same file");
        is_uint(rows(), 1, "its row is the new one's");
        end();
        fixture_must_open(&f);
    }
    begin();
    taken[0] = '\0';
    append("c\n");
    work();
    is_str(taken, "c", "and nothing twice");
    stop();
}

static void
test_many_rotations(void)
{
    static const char *const lines[] = { "b\n", "c\n", "d\n", "e\n", "f\n", "g\n" };

    if (!start_with_births()) {
        return;
    }
    append("a\n");
    work();
    for (unsigned i = 0; i <= DENIALS_OLD; i++) {
        rotate();
        append(lines[i]);
    }
    work();
    is_str(taken, "a b c d e f", "where the file we were in has no name that is looked for");
    end();
    for (unsigned i = 0; i <= DENIALS_OLD + 1; i++) {
        rotate();
        append(lines[i]);
    }
    again();
    work();
    is_str(taken, "a b c d e f c d e f g", "after a start too; what is older than the names has gone");
    end();
    again();
    work();
    is_str(taken, "a b c d e f c d e f g", "nothing twice");
    stop();
}

/* Files with a rotated name that are none of ours, or that we had by another name. */
static void
test_strangers(void)
{
    int fd;

    if (!start_with_births()) {
        return;
    }
    append("old\n");
    born_apart();
    (void)rename(path, name(2));
    append("a\nb\n");
    work();
    end();
    (void)rename(path, name(9));
    append("c\nd\n");
    again();
    work();
    is_str(taken, "a b c d", "a file from before the first start, when no name is remembered");
    end();
    born_apart();
    (void)rename(path, name(3));
    append("c\nd\n");
    (void)rename(path, name(1)); /* and cut in its place: a copy is younger */
    (void)rename(name(3), path);
    fd = worker();
    if (ftruncate(fd, 0) != 0) {
        BAIL_OUT("ftruncate");
    }
    add(fd, "e\n");
    close(fd);
    again();
    work();
    is_str(taken, "a b c d e", "a copy of what was taken, when the path is remembered");
    end();
    born_apart();
    (void)rename(path, name(3));
    append("new\n");
    (void)rename(path, name(4));
    append("f\n");
    unlink(name(1));
    again();
    work();
    is_str(taken, "a b c d e f", "a younger file with an older name than one that is remembered");
    stop();
}

/* The clock went back between two files: the one that came later is the elder. */
static void
test_clock(void)
{
    int first, second;

    start();
    append("");
    (void)rename(path, name(6));
    second = open(name(6), O_WRONLY | O_APPEND | O_CLOEXEC);
    born_apart();
    first = worker();
    add(first, "a\n");
    work();
    (void)rename(path, name(1));
    (void)rename(name(6), path);
    add(second, "b\n");
    work();
    is_str(taken, "a b", "the path is the path");
    end();
    rotate();
    append("c\n");
    add(first, "late\n");
    add(second, "later\n");
    again();
    work();
    is_str(taken, "a b late later c", "a file that is remembered is not left out");
    close(first);
    close(second);
    stop();
}

static unsigned
said(const char *event)
{
    char line[2048];
    unsigned n = 0;
    FILE *in = fopen(name(7), "re");

    while (in != NULL && fgets(line, sizeof(line), in) != NULL) {
        n += strstr(line, event) != NULL;
    }
    if (in != NULL) {
        fclose(in);
    }
    return n;
}

/* As somebody who may not open each file; of this thread alone, the database's are who they were. */
static void
work_as_nobody(void)
{
    (void)setfsuid(65534);
    work();
    (void)setfsuid(geteuid());
}

static void
append_for_all(const char *text, mode_t mode)
{
    append(text);
    if (chmod(path, mode) != 0) {
        BAIL_OUT("chmod");
    }
}

static void
test_refused(void)
{
    if (!start_with_births()) {
        return;
    }
    if (chmod(f.dir, 0755) != 0 || log_open(name(7), LOG_LEVEL_INFO) != 0) {
        BAIL_OUT("%s", f.dir);
    }
    append_for_all("a\n", 0644);
    work();
    end();
    append_for_all("late\n", 0);
    (void)rename(path, name(3));
    append_for_all("b\n", 0);
    (void)rename(path, name(2));
    append_for_all("c\n", 0644);
    (void)rename(path, name(1));
    append_for_all("d\n", 0644);
    again();
    work_as_nobody();
    is_str(taken, "a c d", "what may not be opened keeps nobody from the newer ones");
    is_uint(said("denials.passed_over"), 2, "each is told of");
    append("e\n");
    work_as_nobody();
    work_as_nobody();
    is_str(taken, "a c d e", "nor from those to come");
    is_uint(said("denials.passed_over"), 2, "once");
    is_uint(said("denials.failed"), 0, "and it is no failure of the reader");
    is_uint(rows(), 4, "that they are ours is kept");
    end();
    chmod(name(2), 0644);
    again();
    work_as_nobody();
    is_str(taken, "a c d e b", "a start reads the one that may be opened by then");
    is_uint(said("denials.passed_over"), 3, "and tells of the other");
    end();
    chmod(name(3), 0644);
    again();
    work_as_nobody();
    is_str(taken, "a c d e b late", "and the other goes on from where it was");
    (void)rename(path, name(1));
    append_for_all("f\n", 0);
    work_as_nobody();
    is_str(taken, "a c d e b late", "the path is waited for");
    is_uint(timer.ms, 1000, "a while");
    is_uint(said("denials.passed_over"), 3, "and never passed over");
    chmod(path, 0644);
    work_as_nobody();
    is_str(taken, "a c d e b late f", "until it may be opened");
    stop();
}

static void
test_no_descriptor(void)
{
    struct rlimit limit, none;

    start();
    append("a\n");
    work();
    rotate();
    append("b\n");
    rotate();
    append("c\n");
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        BAIL_OUT("getrlimit");
    }
    none = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
    (void)setrlimit(RLIMIT_NOFILE, &none);
    timer.fire(timer.arg);
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    is_uint(timer.ms, 1000, "what we are short of is waited for");
    work();
    is_str(taken, "a b c", "and no file is passed over for it");
    stop();
}

int
main(void)
{
    test_late_worker();
    test_nothing_taken();
    test_two_rotations();
    test_no_line_before_path();
    test_too_many();
    test_half_lines();
    test_cut();
    test_names();
    test_not_a_file();
    test_inode_again();
    test_many_rotations();
    test_strangers();
    test_clock();
    test_no_descriptor();
    test_refused(); /* the last: the log stays the file that it opens */
    return done_testing();
}
