/*
 * kill -9 in the middle of commits, again and again on the same files: what was acknowledged is there, all or
 * nothing, the audit log follows from the index and verifies.
 */
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "lib/sbx_crypto.h"
#include "t/unit/store_fixture.h"

#define ROUNDS 40
#define IN_FLIGHT 64

static struct fixture f;

struct load {
    int ack_fd;
    unsigned round, next;
};

static void load_submit(struct load *load);

struct load_item {
    struct load *load;
    unsigned number;
};

/* Only what the callback promised is told to the parent. */
static void
load_on_done(void *arg, int rc, __attribute__((unused)) const struct db_result *result)
{
    struct load_item *item = arg;

    if (rc != 0 || write(item->load->ack_fd, &item->number, sizeof(item->number)) != sizeof(item->number)) {
        _exit(3);
    }
    load_submit(item->load);
    free(item);
}

static void
load_submit(struct load *load)
{
    struct load_item *item = malloc(sizeof(*item));
    struct db_tx *tx = tx_new(&f);
    char id[64];

    if (item == NULL) {
        _exit(4);
    }
    *item = (struct load_item){ .load = load, .number = load->next++ };
    snprintf(id, sizeof(id), "job_%03u_%06u", load->round, item->number);
    tx_add_job(tx, "crash", id, item->number);
    tx_add_audit(tx, "crash", "job.accepted", id, "{\"a\":1}");
    tx_add_finish(tx, id, "succeeded", "0123456789", 10);
    tx_add_audit(tx, "crash", "job.finished", id, "{\"b\":2}");
    db_tx_submit(tx, load_on_done, item);
}

static void
child_run(unsigned round, int ack_fd)
{
    struct load load = { .ack_fd = ack_fd, .round = round };

    fixture_loop_init(&f); /* the parent's is of no use after a fork */
    if (fixture_open(&f) != 0) {
        dprintf(STDERR_FILENO, "# child: %s\n", f.error);
        _exit(2);
    }
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        load_submit(&load);
    }
    uv_run(&f.loop, UV_RUN_DEFAULT);
    _exit(5);
}

/*
 * Verifies beside the child when `live` is given; waits until `us` after the first acknowledgement, kills,
 * reads the rest; returns how many there were.
 */
static unsigned
parent_watch(pid_t pid, int fd, unsigned us, struct audit_report *live, int *ret_status)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
    unsigned number, n = 0;

    if (poll(&poll_fd, 1, FIXTURE_DEADLINE_MS) != 1) {
        BAIL_OUT("the child does nothing");
    }
    if (live != NULL && audit_verify(f.audit, f.url, live) == 0) {
        live->fault = AUDIT_FAULT_NONE;
    }
    usleep(us);
    kill(pid, SIGKILL);
    while (read(fd, &number, sizeof(number)) == sizeof(number)) {
        n = number + 1 > n ? number + 1 : n;
    }
    waitpid(pid, ret_status, 0);
    return n;
}

/* The one number that a statement answers; 0 without rows. */
static unsigned
count_by(enum db_stmt stmt, unsigned column)
{
    struct outcome got;

    if (read_run(&f, stmt, NULL, 0, &got) != 0) {
        BAIL_OUT("a count failed: %d", got.rc);
    }
    return got.n_rows > 0 ? (unsigned)got.integer[column] : 0;
}

static unsigned
count_lost(unsigned round, unsigned n_acked)
{
    struct outcome got;
    unsigned n_lost = 0;
    char id[64];

    for (unsigned i = 0; i < n_acked; i++) {
        snprintf(id, sizeof(id), "job_%03u_%06u", round, i);
        const struct db_value values[] = { DB_VTEXT("crash"), DB_VTEXT(id) };

        read_run(&f, DB_JOB_STATUS, values, 2, &got);
        n_lost += got.n_rows != 1 || strcmp(got.text[0], "succeeded") != 0 ? 1 : 0;
    }
    return n_lost;
}

int
main(void)
{
    unsigned n_acked_total = 0, n_lost = 0, n_odd = 0, n_broken = 0, n_jobs, n_events;
    unsigned n_live_broken = 0;
    struct audit_report report, live = { 0 };
    uint16_t delay;
    int pipe_fd[2], status;

    fixture_init(&f);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned n;
        pid_t pid;

        if (pipe(pipe_fd) < 0 || sbx_random(&delay, sizeof(delay)) != 0) {
            BAIL_OUT("pipe");
        }
        pid = fork();
        if (pid == 0) {
            close(pipe_fd[0]);
            child_run(round, pipe_fd[1]);
        }
        close(pipe_fd[1]);
        n = parent_watch(pid, pipe_fd[0], delay % 60000u, round % 4 == 0 ? &live : NULL, &status);
        if (live.fault != AUDIT_FAULT_NONE) {
            n_live_broken++;
            diag("round %u: live %s line %" PRIu64 ": %s", round, live.file, live.line, live.detail);
        }
        close(pipe_fd[0]);
        if (!WIFSIGNALED(status)) {
            BAIL_OUT("the child ended by itself with %d", WEXITSTATUS(status));
        }
        n_acked_total += n;

        fixture_must_open(&f);
        n_lost += count_lost(round, n);
        n_jobs = count_by(DB_JOB_COUNTS, 1);
        n_events = count_by(DB_AUDIT_HEAD, 0);
        n_odd += n_events != 2 * n_jobs ? 1 : 0;
        n_broken += audit_verify(f.audit, f.url, &report) != 0 || report.head.seq != n_events ? 1 : 0;
        if (report.fault != AUDIT_FAULT_NONE) {
            diag("round %u: %s line %" PRIu64 ": %s", round, report.file, report.line, report.detail);
        }
        fixture_close(&f);
    }
    is_uint(n_lost, 0, "after %d kills none of %u acknowledged transactions is lost", ROUNDS, n_acked_total);
    is_uint(n_odd, 0, "a transaction is there with both of its events or not at all");
    is_uint(n_broken, 0, "the audit log verifies against the index after each restart");
    is_uint(n_live_broken, 0, "and while the writer is at work");
    ok(n_acked_total > ROUNDS, "the load was real");
    fixture_deinit(&f);
    return done_testing();
}
