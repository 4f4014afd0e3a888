/*
 * What a job's records cost the store, in one run: "apart" has its acceptance committed, then its start and its end, as jobs
 * do that run for long; "together" all of it in one transaction, as those that end soon. Of each a closed loop of CLIENTS.
 * Prints medians of the rounds: the time from what the client waits for to its callback, and what the process used a job.
 *
 *   store DIRECTORY JOBS CLIENTS ROUNDS
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <uv.h>

#include "executor/store/db.h"
#include "executor/store/stmts.h"
#include "lib/sbx_id.h"
#include "lib/sbx_time.h"

#define MAX_JOBS 100000
#define MAX_CLIENTS 1000
#define MAX_ROUNDS 64

#define DIGEST "9b0d4a8fcf0c7fbbd5ca2ccd2a8e6a1a0d1d0a9e36ea3ef0b5d7e5d1c5ea6b0e"
#define WHO                                                                                                  \
    "\"agent\":\"coder\",\"app\":\"web\",\"code_sha256\":"                                                   \
    "\"9b0d4a8fcf0c7fbbd5ca2ccd2a8e6a1a0d1d0a9e36ea3ef0b5d7e5d1c5ea6b0e\",\"isolation\":\"process\","        \
    "\"policy\":{\"id\":\"default\",\"revision\":0,\"version\":1},\"subject\":\"tester\""
static const char accepted[] =
    "{" WHO ",\"args\":0,\"code_bytes\":8,\"env\":0,\"language\":\"python\",\"limits\":{\"cpu_time\":30000,"
    "\"disk\":268435456,\"file_size\":67108864,\"memory\":268435456,\"open_files\":256,\"output\":1048576,"
    "\"pids\":64,\"time\":30000},\"request_sha256\":"
    "\"0b0d4a8fcf0c7fbbd5ca2ccd2a8e6a1a0d1d0a9e36ea3ef0b5d7e5d1c5ea6b0e\",\"template\":\"default\"}";
static const char started[] = "{" WHO ",\"language\":\"python\",\"network\":{\"attempts\":null,\"egress\":"
                              "\"none\"},\"template\":\"default\",\"waited_ms\":0}";
static const char ended[] =
    "{" WHO
    ",\"accounted\":{\"cpu_ms\":1,\"day\":\"2026-01-01\",\"jobs\":1,\"stdout_bytes\":2,\"wall_ms\":1},"
    "\"exit_code\":0,\"network\":{\"attempts\":null,\"egress\":\"none\"},\"status\":\"succeeded\",\"stderr\":"
    "{\"bytes\":0,\"sha256\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"},"
    "\"stdout\":"
    "{\"bytes\":2,\"sha256\":\"4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865\"},\"usage\":"
    "{\"cpu_ms\":1,\"cpu_throttled_ms\":0,\"peak_memory_bytes\":9437184,\"wall_ms\":1}}";

#define BEGIN_VALUES(client)                                                                                 \
    DB_VTEXT((client)->id.text), DB_VTEXT("demo"), DB_VTEXT("web"), DB_VTEXT("coder"), DB_VTEXT("tester"),   \
        DB_VTEXT((client)->id.text), DB_VNULL(), DB_VTEXT("python"), DB_VTEXT("default"),                    \
        DB_VTEXT("process"), DB_VTEXT(DIGEST), DB_VTEXT("{}"), DB_VNULL(), DB_VINT(sbx_now_unix_ms()),       \
        DB_VNULL(), DB_VINT(604800000)
#define END_VALUES()                                                                                         \
    DB_VTEXT("succeeded"), DB_VINT(sbx_now_unix_ms()), DB_VINT(sbx_now_unix_ms()), DB_VINT(0), DB_VNULL(),   \
        DB_VBLOB("1\n", 2), DB_VBLOB("", 0), DB_VINT(2), DB_VINT(0), DB_VINT(0), DB_VNULL(), DB_VNULL(),     \
        DB_VTEXT("{}"), DB_VNULL()

enum what { APART, TOGETHER, N_WHAT };

struct client {
    struct sbx_id id;
    uint64_t since_ns;
};

static uv_loop_t loop;
static struct db *db;
static enum what what;
static unsigned to_begin, n_samples;
static uint64_t sample[MAX_JOBS];
static double p50[N_WHAT][MAX_ROUNDS], p99[N_WHAT][MAX_ROUNDS], cpu[N_WHAT][MAX_ROUNDS],
    rate[N_WHAT][MAX_ROUNDS];

static void client_begin(struct client *client);

static void
die(const char *text, int code)
{
    (void)fprintf(stderr, "%s: %s\n", text, strerror(code)); /* nowhere else to say it */
    exit(EXIT_FAILURE);
}

static uint64_t
clock_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static struct db_tx *
tx_begin(void)
{
    struct db_tx *tx;

    if (db_tx_new(&tx, db) != 0) {
        die("db_tx_new", ENOMEM);
    }
    return tx;
}

static void
add_event(struct db_tx *tx, const struct client *client, const char *kind, const char *body)
{
    db_tx_audit(tx, &(struct db_audit){ .tenant = "demo",
                                        .kind = kind,
                                        .object = client->id.text,
                                        .request_id = client->id.text,
                                        .decision = "allow",
                                        .body = body,
                                        .body_len = strlen(body) });
}

static void
add_accept(struct db_tx *tx, const struct client *client)
{
    const struct db_value values[] = { BEGIN_VALUES(client) };

    db_tx_add(tx, DB_JOB_INSERT, values, SBX_COUNT(values));
    add_event(tx, client, "job.accepted", accepted);
}

static void
add_used(struct db_tx *tx)
{
    struct db_value used[17] = { DB_VTEXT("demo"), DB_VINT(20000), DB_VTEXT("web"), DB_VTEXT("coder") };

    for (size_t i = 4; i < SBX_COUNT(used); i++) {
        used[i] = DB_VINT(1);
    }
    db_tx_add(tx, DB_USAGE_ADD, used, SBX_COUNT(used));
}

static void
add_end(struct db_tx *tx, const struct client *client)
{
    const struct db_value values[] = { DB_VTEXT(client->id.text), END_VALUES() };

    db_tx_add(tx, DB_JOB_FINISH, values, SBX_COUNT(values));
    add_used(tx);
    add_event(tx, client, "job.finished", ended);
}

static void
add_all(struct db_tx *tx, const struct client *client)
{
    const struct db_value values[] = { BEGIN_VALUES(client), END_VALUES(), DB_VNULL() };

    add_event(tx, client, "job.accepted", accepted);
    add_event(tx, client, "job.started", started);
    db_tx_add(tx, DB_JOB_RECORD, values, SBX_COUNT(values));
    add_used(tx);
    add_event(tx, client, "job.finished", ended);
}

static void
on_ended(void *arg, int rc, const struct db_result *result _unused_)
{
    struct client *client = arg;

    if (rc != 0) {
        die("a job's end", rc < 0 ? -rc : EIO);
    }
    sample[n_samples++] = clock_ns(CLOCK_MONOTONIC) - client->since_ns;
    client_begin(client);
}

static void
on_accepted(void *arg, int rc, const struct db_result *result _unused_)
{
    struct client *client = arg;
    struct db_tx *tx = tx_begin();

    if (rc != 0) {
        die("a job's acceptance", rc < 0 ? -rc : EIO);
    }
    add_event(tx, client, "job.started", started);
    db_tx_submit_later(tx, NULL, NULL);
    tx = tx_begin();
    add_end(tx, client);
    client->since_ns = clock_ns(CLOCK_MONOTONIC);
    db_tx_submit(tx, on_ended, client);
}

static void
client_begin(struct client *client)
{
    struct db_tx *tx;

    if (to_begin == 0) {
        return;
    }
    to_begin--;
    if (sbx_id_new(&client->id, "job") != 0) {
        die("sbx_id_new", EIO);
    }
    tx = tx_begin();
    if (what == APART) {
        add_accept(tx, client);
        db_tx_submit(tx, on_accepted, client);
        return;
    }
    add_all(tx, client);
    client->since_ns = clock_ns(CLOCK_MONOTONIC);
    db_tx_submit(tx, on_ended, client);
}

static int
by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static int
by_time(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void
measure(enum what now, unsigned round, unsigned n_jobs, unsigned n_clients)
{
    static struct client clients[MAX_CLIENTS];
    const uint64_t from = clock_ns(CLOCK_MONOTONIC), used = clock_ns(CLOCK_PROCESS_CPUTIME_ID);

    what = now;
    to_begin = n_jobs;
    n_samples = 0;
    for (unsigned i = 0; i < n_clients; i++) {
        client_begin(&clients[i]);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    qsort(sample, n_samples, sizeof(sample[0]), by_time);
    p50[now][round] = (double)sample[n_samples / 2] / 1000;
    p99[now][round] = (double)sample[(n_samples - 1) * 99 / 100] / 1000;
    cpu[now][round] = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - used) / 1000 / n_jobs;
    rate[now][round] = n_jobs * 1e9 / (double)(clock_ns(CLOCK_MONOTONIC) - from);
}

static double
median(double *values, unsigned n)
{
    qsort(values, n, sizeof(values[0]), by_value);
    return values[n / 2];
}

int
main(int argc, char **argv)
{
    static const char *const names[] = { "apart", "together" };
    char url[512], audit[512], error[512];
    unsigned n_jobs, n_clients, rounds;

    if (argc != 5 || (n_jobs = (unsigned)strtoul(argv[2], NULL, 10)) == 0 || n_jobs > MAX_JOBS ||
        (n_clients = (unsigned)strtoul(argv[3], NULL, 10)) == 0 || n_clients > MAX_CLIENTS ||
        (rounds = (unsigned)strtoul(argv[4], NULL, 10)) == 0 || rounds > MAX_ROUNDS) {
        (void)fprintf(stderr, "usage: store DIRECTORY JOBS CLIENTS ROUNDS\n"); /* nowhere else to say it */
        return EXIT_FAILURE;
    }
    (void)snprintf(url, sizeof(url), "%s/state.db", argv[1]); /* a cut one does not open */
    (void)snprintf(audit, sizeof(audit), "%s/audit", argv[1]);
    const struct db_spec spec = { .driver = "sqlite", .url = url, .audit_dir = audit, .loop = &loop };

    if (uv_loop_init(&loop) != 0 || db_open(&db, &spec, error, sizeof(error)) != 0) {
        die(error, EIO);
    }
    for (unsigned round = 0; round < rounds; round++) {
        measure(APART, round, n_jobs, n_clients);
        measure(TOGETHER, round, n_jobs, n_clients);
    }
    for (unsigned i = 0; i < N_WHAT; i++) {
        printf("%-9s p50 %.0f us, p99 %.0f us, %.0f us of CPU a job, %.0f jobs/s\n", names[i],
               median(p50[i], rounds), median(p99[i], rounds), median(cpu[i], rounds),
               median(rate[i], rounds));
    }
    db_close(db);
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
