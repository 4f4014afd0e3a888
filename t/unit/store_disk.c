/*
 * Disks that fill up: the database's and the log's. Nothing is promised that is not kept, and room heals it.
 */
#include <sys/mount.h>

#include "t/unit/store_fixture.h"

static struct fixture f;

static bool
mount_small(const char *dir, const char *size)
{
    char options[64];

    snprintf(options, sizeof(options), "size=%s,mode=0700", size);
    return (mkdir(dir, 0700) == 0 || errno == EEXIST) &&
           mount("sbx-test", dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) == 0;
}

/* Fills the file system up; the file is the handle to make room again. */
static void
fill(const char *dir, char *path, size_t path_size)
{
    static const char zeros[4096];
    int fd;

    snprintf(path, path_size, "%s/ballast", dir);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (fd >= 0 && write(fd, zeros, sizeof(zeros)) > 0) {
    }
    close(fd);
}

static int
accept_job(const char *id, size_t out_len)
{
    static char out[200000];
    struct db_tx *tx = tx_new(&f);

    memset(out, 'o', sizeof(out));
    tx_add_job(tx, "disk", id, 1);
    tx_add_finish(tx, id, "succeeded", out, out_len);
    tx_add_audit(tx, "disk", "job.accepted", id, "{}");
    return tx_run(&f, tx, NULL);
}

static bool
wait_healthy(bool healthy)
{
    const uint64_t deadline = sbx_now_mono_ms() + 30000;
    struct db_stats stats;

    do {
        db_stats(f.db, &stats);
        usleep(10000);
    } while (stats.healthy != healthy && sbx_now_mono_ms() < deadline);
    return stats.healthy == healthy;
}

static void
test_database_full(void)
{
    struct outcome got;
    struct db_stats stats;
    char ballast[256], id[32];
    int r = 0;
    unsigned n = 0;

    fill(f.dir, ballast, sizeof(ballast));
    while (r == 0 && n < 100) {
        snprintf(id, sizeof(id), "job_full_%u", n++);
        r = accept_job(id, 150000);
    }
    is_int(r, -ENOSPC, "a full disk fails the transaction");
    db_stats(f.db, &stats);
    ok(!stats.healthy, "the store is not healthy");
    is_int(stats.last_error, -ENOSPC, "and says why");
    ok(accept_job("job_full_again", 150000) < 0, "the next one fails too");
    is_int(job_read(&f, "disk", "job_before", &got), 0, "reads go on");
    is_uint(got.n_rows, 1, "with what there was");
    job_read(&f, "disk", id, &got);
    is_uint(got.n_rows, 0, "nothing is there of what failed");

    unlink(ballast);
    ok(wait_healthy(true), "with room it heals by itself, without a request");
    is_int(accept_job("job_after", 150000), 0, "and accepts again");
}

static void
test_log_full(const char *log_dir)
{
    struct outcome got;
    struct audit_report report;
    char ballast[256];

    fill(log_dir, ballast, sizeof(ballast));
    for (unsigned i = 0; i < 60; i++) {
        char id[32];

        snprintf(id, sizeof(id), "job_log_%u", i);
        if (accept_job(id, 10) != 0) {
            fail("what the database committed is committed");
        }
    }
    ok(wait_healthy(false), "a log that cannot be written is an illness: new work is to be refused");
    job_read(&f, "disk", "job_log_59", &got);
    is_uint(got.n_rows, 1, "what was committed is there");
    unlink(ballast);
    ok(wait_healthy(true), "with room it heals by itself");
    is_int(audit_verify(f.audit, f.url, &report), 0, "and the log has every line: %s", report.detail);
}

int
main(void)
{
    struct audit_report report;
    char log_dir[192];

    if (geteuid() != 0) {
        return skip_all("mounting needs root");
    }
    fixture_init(&f);
    snprintf(log_dir, sizeof(log_dir), "%.120s-log", f.dir);
    if (!mount_small(f.dir, "4m") || !mount_small(log_dir, "64k")) {
        BAIL_OUT("cannot mount: %s", strerror(errno));
    }
    snprintf(f.audit, sizeof(f.audit), "%.140s/audit", log_dir);
    fixture_must_open(&f);
    is_int(accept_job("job_before", 10), 0, "a job while there is room");
    test_database_full();
    test_log_full(log_dir);
    fixture_close(&f);
    is_int(audit_verify(f.audit, f.url, &report), 0, "the log verifies at the end: %s", report.detail);
    fixture_must_open(&f);
    pass("and it opens again");
    fixture_close(&f);

    ok(umount(log_dir) == 0 && umount(f.dir) == 0, "unmounted");
    rmdir(log_dir);
    fixture_deinit(&f);
    return done_testing();
}
