/*
 * The engine's order of things, with time, store and runtime in the test's hand:
 * what is durable when somebody is told, and every state in which a job can be stopped.
 */
#include "executor/core/engine.h"

#include "executor/core/artifacts.h"
#include "executor/store/blob.h"
#include "executor/store/stmts.h"
#include "lib/sbx_list.h"
#include "t/unit/tap.h"

/* Time: a turn fires what is due, advance moves the clock. */

struct timers {
    int unused;
};

struct timer {
    struct list link;
    void (*fire)(void *arg);
    void *arg;
    uint64_t due;
    bool armed;
};

static struct list all_timers;
static uint64_t now_ms;

int
timers_new(struct timers **ret, void *uv_loop)
{
    (void)ret;
    (void)uv_loop;
    return -ENOSYS;
}

struct timers *
timers_free(struct timers *timers)
{
    (void)timers;
    return NULL;
}

uint64_t
timers_now_ms(const struct timers *timers)
{
    (void)timers;
    return now_ms;
}

int
timer_new(struct timer **ret, struct timers *timers, void (*fire)(void *arg), void *arg)
{
    struct timer *timer = calloc(1, sizeof(*timer));

    (void)timers;
    if (timer == NULL) {
        return -ENOMEM;
    }
    timer->fire = fire;
    timer->arg = arg;
    list_append(&all_timers, &timer->link);
    *ret = timer;
    return 0;
}

void
timer_start(struct timer *timer, uint64_t ms)
{
    timer->due = now_ms + ms;
    timer->armed = true;
}

void
timer_stop(struct timer *timer)
{
    timer->armed = false;
}

struct timer *
timer_free(struct timer *timer)
{
    if (timer != NULL) {
        list_remove(&timer->link);
        free(timer);
    }
    return NULL;
}

static bool
fire_one(void)
{
    for (struct list *it = all_timers.next; it != &all_timers; it = it->next) {
        struct timer *timer = list_entry(it, struct timer, link);

        if (timer->armed && timer->due <= now_ms) {
            timer->armed = false;
            timer->fire(timer->arg);
            return true;
        }
    }
    return false;
}

static void
turn(void)
{
    for (unsigned i = 0; i < 1000 && fire_one(); i++) {
    }
}

static void
advance(uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 10) {
        now_ms += 10;
        turn();
    }
}

/* Store: transactions wait until the test lets them end. */

struct db_tx {
    enum db_stmt first;
    char audit[32]; /* of its last event */
    char kinds[96]; /* of all of them */
    db_done_fn done;
    void *arg;
};

static struct db_tx *submitted[16];
static unsigned n_submitted;
static bool db_is_healthy;

struct db_value
db_text(const char *text)
{
    return text == NULL ? DB_VNULL()
                        : (struct db_value){ .type = DB_TEXT, .data = text, .len = strlen(text) };
}

int
db_tx_new(struct db_tx **ret, struct db *db)
{
    (void)db;
    *ret = calloc(1, sizeof(**ret));
    if (*ret == NULL) {
        return -ENOMEM;
    }
    (*ret)->first = DB_N_STMTS;
    return 0;
}

struct db_tx *
db_tx_free(struct db_tx *tx)
{
    free(tx);
    return NULL;
}

void
db_tx_add(struct db_tx *tx, enum db_stmt stmt, const struct db_value *values, unsigned n)
{
    (void)values;
    (void)n;
    if (tx->first == DB_N_STMTS) {
        tx->first = stmt;
    }
}

void
db_tx_audit(struct db_tx *tx, const struct db_audit *event)
{
    const size_t len = strlen(tx->kinds);

    (void)snprintf(tx->audit, sizeof(tx->audit), "%s", event->kind);
    (void)snprintf(tx->kinds + len, sizeof(tx->kinds) - len, "%s%s", len > 0 ? " " : "", event->kind);
}

/* Nobody waits for these: they are not part of what is in order. */
static unsigned n_later;

void
db_tx_submit_later(struct db_tx *tx, db_done_fn done, void *arg)
{
    (void)done;
    (void)arg;
    n_later++;
    db_tx_free(tx);
}

void
db_tx_submit(struct db_tx *tx, db_done_fn done, void *arg)
{
    tx->done = done;
    tx->arg = arg;
    submitted[n_submitted++] = tx;
}

/* The last one that was asked for. */
static struct {
    db_done_fn done;
    void *arg;
} reading;

void
db_read(struct db *db, enum db_stmt stmt, const struct db_value *values, unsigned n, db_done_fn done,
        void *arg)
{
    (void)db;
    (void)stmt;
    (void)values;
    (void)n;
    reading.done = done;
    reading.arg = arg;
}

/* Two numbers, both 0. */
static void
reads_end(void)
{
    const struct db_value values[] = { DB_VINT(0), DB_VINT(0) };
    const struct db_result result = { .n_rows = 1, .n_columns = 2, .values = values };

    reading.done(reading.arg, 0, &result);
}

void
db_stats(const struct db *db, struct db_stats *ret)
{
    (void)db;
    *ret = (struct db_stats){ .healthy = db_is_healthy };
}

/* The oldest transaction ends; returns its audit event's kind. */
static const char *
store_ends(int rc)
{
    static char kind[32];
    const struct db_result result = { 0 };
    struct db_tx *tx;

    if (n_submitted == 0) {
        return "none";
    }
    tx = submitted[0];
    memmove(submitted, submitted + 1, --n_submitted * sizeof(*submitted));
    memcpy(kind, tx->audit, sizeof(kind));
    tx->done(tx->arg, rc, &result);
    free(tx);
    return kind;
}

/* Runtime: every call waits until the test answers it. */

struct fake_sandbox {
    struct sandbox base;
    runtime_done_fn adopted, destroyed;
    const struct runtime_events *events;
    void *arg, *destroy_arg;
    void (*on_data)(void *arg, const char *data, size_t len);
    runtime_done_fn fetched;
    void *fetch_arg;
};

static struct {
    runtime_created_fn created;
    void *arg;
    bool away;
    struct fake_sandbox *sandbox; /* the one under way: tests run one job at a time */
    unsigned n_created, n_destroyed;
    bool destroys_at_once;
    uint64_t share; /* of the last adoption */
    struct runtime_outcome outcome;
    unsigned n_fetches;
} fake;

static int
fake_create(struct runtime *runtime, const char *template_name, const char *language _unused_,
            enum runtime_prepare prepare _unused_, runtime_created_fn done, void *arg)
{
    (void)runtime;
    (void)template_name;
    fake.created = done;
    fake.arg = arg;
    return 0;
}

static int
fake_adopt(struct sandbox *sandbox, const struct sbx_limits *limits, uint64_t share, runtime_done_fn done,
           void *arg)
{
    struct fake_sandbox *self = (struct fake_sandbox *)(void *)sandbox;

    (void)limits;
    fake.share = share;
    self->adopted = done;
    self->arg = arg;
    return 0;
}

static int
fake_run(struct sandbox *sandbox, const struct runtime_run *run, const struct runtime_events *events,
         void *arg)
{
    struct fake_sandbox *self = (struct fake_sandbox *)(void *)sandbox;

    (void)run;
    self->events = events;
    self->arg = arg;
    return 0;
}

static int
fake_fetch(struct sandbox *sandbox, const char *path, uint64_t max_bytes,
           void (*on_data)(void *arg, const char *data, size_t len), runtime_done_fn done, void *arg)
{
    struct fake_sandbox *self = (struct fake_sandbox *)(void *)sandbox;

    is_str(path, fake.outcome.artifacts[fake.n_fetches].path, "fetched in order");
    is_uint(max_bytes, fake.outcome.artifacts[fake.n_fetches].size, "no more than was announced");
    fake.n_fetches++;
    self->on_data = on_data;
    self->fetched = done;
    self->fetch_arg = arg;
    return 0;
}

/* Artifacts: the store takes what it gets when the test lets it. */

struct blob_put {
    uint64_t size;
    blob_put_fn done;
    void *arg;
};

static struct blob_put *storing;
static unsigned n_puts;

int
blob_put_new(struct blob_put **ret, struct blob_store *store, const char *tenant, const char *id,
             uint64_t max_bytes)
{
    (void)store;
    (void)tenant;
    (void)id;
    (void)max_bytes;
    *ret = calloc(1, sizeof(**ret));
    n_puts += *ret != NULL;
    return *ret == NULL ? -ENOMEM : 0;
}

int
blob_put_write(struct blob_put *put, const void *data, size_t len)
{
    (void)data;
    put->size += len;
    return 0;
}

void
blob_put_finish(struct blob_put *put, blob_put_fn done, void *arg)
{
    put->done = done;
    put->arg = arg;
    storing = put;
}

struct blob_put *
blob_put_abort(struct blob_put *put)
{
    n_puts -= put != NULL;
    free(put);
    return NULL;
}

static void
blob_ends(void)
{
    struct blob_put *put = steal(&storing);
    const struct blob_info info = { .size = put->size };

    put->done(put->arg, 0, &info);
    n_puts--;
    free(put);
    turn();
}

int
blob_delete(struct blob_store *store, const char *tenant, const char *id, blob_done_fn done, void *arg)
{
    (void)store;
    (void)tenant;
    (void)id;
    (void)done;
    (void)arg;
    return 0;
}

static void
fetch_ends(int rc, size_t len)
{
    static const char bytes[64];

    if (len > 0) {
        fake.sandbox->on_data(fake.sandbox->fetch_arg, bytes, len);
    }
    fake.sandbox->fetched(fake.sandbox->fetch_arg, rc);
    turn();
}

static void
destroy_ends(struct fake_sandbox *self)
{
    runtime_done_fn done = self->destroyed;
    void *arg = self->destroy_arg;

    if (fake.sandbox == self) {
        fake.sandbox = NULL;
    }
    fake.n_destroyed++;
    free(self);
    if (done != NULL) {
        done(arg, 0);
    }
}

static struct fake_sandbox *dying[8];
static unsigned n_dying;

static void
fake_destroy(struct sandbox *sandbox, runtime_done_fn done, void *arg)
{
    struct fake_sandbox *self = (struct fake_sandbox *)(void *)sandbox;

    self->destroyed = done;
    self->destroy_arg = arg;
    dying[n_dying++] = self;
}

static void
destroys_end(void)
{
    while (n_dying > 0) {
        destroy_ends(dying[--n_dying]);
        turn();
    }
}

static void
fake_on_dead(struct sandbox *sandbox, void (*dead)(void *arg), void *arg)
{
    (void)sandbox;
    (void)dead;
    (void)arg;
}

static bool
fake_available(const struct runtime *runtime)
{
    (void)runtime;
    return !fake.away;
}

static struct runtime *
fake_free(struct runtime *runtime)
{
    (void)runtime;
    return NULL;
}

static void
fake_walls(const struct runtime *runtime, struct runtime_walls *ret)
{
    (void)runtime;
    *ret = (struct runtime_walls){ 0 };
}

static const struct runtime_ops fake_ops = {
    .name = "fake",
    .create = fake_create,
    .adopt = fake_adopt,
    .run = fake_run,
    .fetch = fake_fetch,
    .destroy = fake_destroy,
    .on_dead = fake_on_dead,
    .available = fake_available,
    .free = fake_free,
    .walls = fake_walls,
};
static struct runtime fake_runtime = { &fake_ops };

static void
create_ends(int rc)
{
    runtime_created_fn done = fake.created;

    fake.created = NULL;
    if (rc == 0) {
        fake.sandbox = calloc(1, sizeof(*fake.sandbox));
        fake.sandbox->base.ops = &fake_ops;
        fake.n_created++;
    }
    done(fake.arg, rc, rc == 0 ? &fake.sandbox->base : NULL);
    turn();
}

static void
adopt_ends(int rc)
{
    fake.sandbox->adopted(fake.sandbox->arg, rc);
    turn();
}

static void
run_ends(int rc, int exit_code)
{
    fake.outcome = (struct runtime_outcome){ .exited = true, .exit_code = exit_code };
    fake.sandbox->events->on_done(fake.sandbox->arg, rc, &fake.outcome);
    turn();
}

/* One engine, one pool without warm sandboxes, at most one job running where nothing else is said. */

static const struct sizes {
    unsigned max_running, max_taking, max_creating;
    unsigned max_stored; /* artifacts of a tenant; 0: nobody counts them */
} usual = { .max_running = 1, .max_creating = 4 };

static struct {
    struct engine *engine;
    struct artifacts *artifacts;
    struct pool_share *share;
    struct pool *pool;
    struct runner_pool pools[1];
    struct timers timers;
    struct job *job;
    struct waiter *waiter;
    char told[64];
    char id[SBX_ID_LEN + 1];
    bool drained;
} bench;

static void
no_description(struct sbx_buf *out, const struct job_record *record _unused_)
{
    sbx_buf_puts(out, "{}");
}

static void
bench_open_of(const struct sizes *sizes)
{
    static const struct pool_line_spec line = { .language = "" };
    const struct pool_share_spec share = { .timers = &bench.timers, .max_refills = 4 };
    struct pool_spec pool = {
        .runtime = &fake_runtime,
        .timers = &bench.timers,
        .template_name = "default",
        .lines = &line,
        .n_lines = 1,
        .max_creating = sizes->max_creating,
    };
    const struct artifacts_spec artifacts = { .timers = &bench.timers, .max_number = sizes->max_stored };
    struct engine_spec spec = {
        .timers = &bench.timers,
        .runtime = &fake_runtime,
        .pools = bench.pools,
        .n_pools = 1,
        .queue = { .max_running = sizes->max_running,
                   .max_waiting = 4,
                   .max_waiting_per_tenant = 4,
                   .max_bytes = 1 << 20 },
        .max_taking = sizes->max_taking,
        .queue_timeout_ms = 5000,
        .output_keep = 4096,
        .feed_keep = 65536,
        .feeds_max = 1 << 20,
        .describe = no_description,
        .key_ttl_ms = 60000,
    };

    memset(&bench, 0, sizeof(bench));
    memset(&fake, 0, sizeof(fake));
    list_init(&all_timers);
    n_submitted = n_dying = 0;
    db_is_healthy = true;
    if (pool_share_new(&bench.share, &share) != 0) {
        abort();
    }
    pool.share = bench.share;
    if (pool_new(&bench.pool, &pool) != 0) {
        abort();
    }
    if (sizes->max_stored > 0 && artifacts_new(&bench.artifacts, &artifacts) != 0) {
        abort();
    }
    spec.artifacts = bench.artifacts;
    bench.pools[0] = (struct runner_pool){ "default", SBX_ISOLATION_PROCESS, true, bench.pool };
    if (engine_new(&bench.engine, &spec) != 0) {
        abort();
    }
    turn();
}

static void
bench_open(void)
{
    bench_open_of(&usual);
}

static void
bench_close(const char *what)
{
    advance(10); /* what was answered may have kept its sandbox for as long as the answer takes */
    destroys_end();
    turn();
    is_int(engine_live(bench.engine), 0, "%s: nothing lives on", what);
    is_int(fake.n_created, fake.n_destroyed, "%s: every sandbox is gone", what);
    is_int(n_submitted, 0, "%s: nothing waits for the store", what);
    engine_free(bench.engine);
    artifacts_free(bench.artifacts);
    pool_free(bench.pool);
    pool_share_free(bench.share);
    ok(list_empty(&all_timers), "%s: no timer is left", what);
}

static void
on_told(void *arg, enum waiter_result result)
{
    static const char *const names[] = { "over", "timeout", "store" };
    const struct job *job = arg;

    bench.waiter = NULL;
    (void)snprintf(bench.told, sizeof(bench.told), "%s %s", names[result],
                   job_state_status(job->record.state));
}

static void
wait_for_job(uint64_t ms)
{
    bench.told[0] = '\0';
    if (job_wait(&bench.waiter, bench.job, &bench.timers, ms, on_told, bench.job) != 0) {
        abort();
    }
}

/* What the next jobs are submitted with. */
static struct sbx_context context = {
    .request_id = "req", .tenant = "t", .agent = "a", .subject = "s", .policy_id = "p"
};
static enum sbx_isolation isolation = SBX_ISOLATION_PROCESS;
static int submitted_rc;
static bool submission_waits;

static struct job *
submit(void)
{
    static struct sbx_limits limits;
    struct job_spec *spec = calloc(1, sizeof(*spec));
    struct engine_submission submission = {
        .spec = spec,
        .context = &context,
        .limits = &limits,
        .isolation = isolation,
        .request_sha256 = "00",
        .waits = submission_waits,
    };
    struct job *job = NULL;

    for (unsigned i = 0; i < SBX_N_LIMITS; i++) {
        limits.value[i] = 1000;
    }
    spec->language = "bash";
    spec->template_name = "default";
    spec->code = "true";
    spec->code_len = 4;
    spec->weight = 10;
    submitted_rc = engine_submit(&job, bench.engine, &submission);
    if (submitted_rc != 0) {
        job_spec_free(spec);
        return NULL;
    }
    return job;
}

static void
begin_of(const struct sizes *sizes)
{
    bench_open_of(sizes);
    bench.job = submit();
    memcpy(bench.id, bench.job->record.id.text, sizeof(bench.id));
    wait_for_job(60000);
    turn();
}

static void
begin(void)
{
    begin_of(&usual);
}

static bool
found(void)
{
    return engine_find(bench.engine, "t", bench.id) != NULL;
}

static void
start_running(void)
{
    create_ends(0);
    adopt_ends(0);
}

static void
test_in_order(void)
{
    begin();
    is_str(store_ends(0), "job.accepted", "the accept record is on its way at once");
    start_running();
    is_str(job_state_status(bench.job->record.state), "running", "it runs");
    run_ends(0, 0);
    is_str(bench.told, "", "nobody is told before the result is durable");
    is_int(fake.n_destroyed + n_dying, 0, "the sandbox is there until the answer");
    is_str(store_ends(0), "job.finished", "the result is stored");
    is_str(bench.told, "over succeeded", "then who waits is told");
    is_int(n_dying, 0, "whose answer is not kept waiting by the sandbox's end");
    advance(10);
    is_int(n_dying, 1, "then the sandbox goes");
    ok(!found(), "the database knows it from now on");
    bench_close("in order");
}

/* What the oldest transaction holds. */
static const char *
next_kinds(void)
{
    return n_submitted == 0 ? "none" : submitted[0]->kinds;
}

static void
begin_waiting(void)
{
    n_later = 0;
    submission_waits = true;
    begin();
    submission_waits = false;
}

static void
test_held_to_the_end(void)
{
    begin_waiting();
    is_int(n_submitted, 0, "held: the accept record is not on its way");
    start_running();
    run_ends(0, 0);
    is_int(n_submitted, 1, "held: ended within the time, it is one transaction");
    is_int(submitted[0]->first, DB_JOB_RECORD, "held: with a row that has its end");
    is_str(next_kinds(), "job.accepted job.started job.finished", "held: and all three events, in order");
    is_str(bench.told, "", "held: nobody is told before it is durable");
    ok(found(), "held: who looks for it finds it");
    is_int(n_submitted, 1, "held: and makes no other");
    advance(100);
    is_int(n_submitted, 1, "held: nor does time");
    (void)store_ends(0); /* tested above */
    is_str(bench.told, "over succeeded", "held: then who waits is told");
    is_int(n_later, 0, "held: no start is told again");
    bench_close("held to the end");
}

static void
test_held_too_long(bool runs)
{
    begin_waiting();
    if (runs) {
        start_running();
    }
    advance(10);
    is_str(next_kinds(), runs ? "job.accepted job.started" : "job.accepted",
           "held too long: the accept record goes alone");
    is_int(n_submitted, 1, "held too long: once");
    if (!runs) {
        start_running();
    }
    run_ends(0, 0);
    is_int(n_submitted, 1, "held too long: the result waits for it");
    (void)store_ends(0); /* tested above */
    is_str(bench.told, "", "held too long: that is not the end");
    is_str(next_kinds(), "job.finished", "held too long: the result follows");
    (void)store_ends(0); /* so too */
    is_str(bench.told, "over succeeded", "held too long: told");
    is_int(n_later, runs ? 0 : 1, "held too long: its start was told once");
    bench_close("held too long");
}

static void
test_held_and_looked_for(void)
{
    begin_waiting();
    ok(engine_find(bench.engine, "other", bench.id) == NULL, "held: another tenant finds nothing");
    is_int(n_submitted, 0, "held: and changes nothing");
    ok(found(), "held: its own finds it");
    is_str(next_kinds(), "job.accepted", "held: whoever may ask for it ends the wait");
    engine_cancel(bench.engine, bench.job);
    turn();
    is_int(n_submitted, 1, "held: its end waits for the accept record");
    (void)store_ends(0); /* tested above */
    is_str(next_kinds(), "job.cancelled", "held: and follows it");
    (void)store_ends(0); /* so too */
    is_str(bench.told, "over cancelled", "held: told");
    create_ends(0);
    bench_close("held and looked for");
}

static void
test_held_and_stopped(void)
{
    begin_waiting();
    start_running();
    engine_cancel(bench.engine, bench.job);
    turn();
    destroys_end();
    is_str(next_kinds(), "job.accepted job.started job.cancelled", "held and stopped: one transaction");
    (void)store_ends(0); /* tested above */
    is_str(bench.told, "over cancelled", "held and stopped: told");
    bench_close("held and stopped");
}

static void
test_held_and_not_stored(void)
{
    begin_waiting();
    start_running();
    run_ends(0, 0);
    (void)store_ends(-ENOSPC); /* tested above */
    ok(strncmp(bench.told, "store", 5) == 0, "held, store fails: who waits is told");
    ok(!found(), "held, store fails: the job was never there");
    is_int(n_submitted, 0, "held, store fails: and is not tried again");
    bench_close("held and not stored");
}

static void
test_store_unwell_holds_nothing(void)
{
    bench_open();
    db_is_healthy = false;
    submission_waits = true;
    bench.job = submit();
    submission_waits = false;
    memcpy(bench.id, bench.job->record.id.text, sizeof(bench.id));
    wait_for_job(60000);
    turn();
    is_str(next_kinds(), "job.accepted", "store unwell: the accept record goes at once");
    is_int(fake.n_created, 0, "store unwell: and nothing runs before it is durable");
    (void)store_ends(-EIO); /* tested above */
    db_is_healthy = true;
    bench_close("store unwell");
}

static void
test_held_and_many_wait(void)
{
    struct job *first, *second;

    bench_open();
    submission_waits = true;
    first = submit();
    now_ms += 6;
    turn();
    second = submit();
    submission_waits = false;
    now_ms += 4;
    turn();
    is_int(n_submitted, 1, "of two the one that came first goes first");
    ok(submitted[0]->arg == first, "of two: it is the first");
    now_ms += 6;
    turn();
    ok(n_submitted == 2 && submitted[1]->arg == second, "of two: the second when its own time is up");
    (void)store_ends(-EIO); /* tested above */
    (void)store_ends(-EIO); /* so too */
    create_ends(0);
    bench_close("many wait");
}

static void
test_run_overlaps_accept(void)
{
    begin();
    start_running();
    run_ends(0, 0);
    is_int(n_submitted, 1, "the result waits for the accept record");
    is_str(store_ends(0), "job.accepted", "which becomes durable");
    is_str(bench.told, "", "that is not the end");
    is_str(store_ends(0), "job.finished", "then the result");
    is_str(bench.told, "over succeeded", "told");
    bench_close("overlap");
}

static void
test_accept_fails(unsigned stage, const char *name)
{
    begin();
    if (stage >= 1) {
        create_ends(0);
    }
    if (stage >= 2) {
        adopt_ends(0);
    }
    if (stage >= 3) {
        run_ends(0, 0);
    }
    is_str(store_ends(-EIO), "job.accepted", "accept fails %s", name);
    ok(strncmp(bench.told, "store", 5) == 0, "%s: who waits is told", name);
    ok(!found(), "%s: the job was never there", name);
    if (stage == 0) {
        create_ends(0); /* the pool had asked for it */
    }
    is_int(n_submitted, 0, "%s: no result is stored", name);
    bench_close(name);
}

static void
test_finish_fails(void)
{
    begin();
    (void)store_ends(0); /* tested above */
    start_running();
    run_ends(0, 3);
    is_str(store_ends(-EIO), "job.finished", "the result cannot be stored");
    is_str(bench.told, "store running", "who waits learns that, and no end");
    advance(10);
    is_int(n_dying, 1, "the sandbox goes all the same");
    ok(found(), "the job stays");
    wait_for_job(60000);
    advance(600);
    is_str(store_ends(-EIO), "job.finished", "it is tried again");
    is_str(bench.told, "store running", "and fails again");
    wait_for_job(60000);
    advance(600);
    is_str(store_ends(0), "job.finished", "until it works");
    is_str(bench.told, "over failed", "then the end is told");
    bench_close("finish fails");
}

static void
test_cancel(unsigned stage, const char *name)
{
    begin();
    (void)store_ends(0); /* tested above */
    if (stage >= 1) {
        create_ends(0);
    }
    if (stage >= 2) {
        adopt_ends(0);
    }
    engine_cancel(bench.engine, bench.job);
    engine_cancel(bench.engine, bench.job);
    turn();
    destroys_end();
    is_str(store_ends(0), "job.cancelled", "cancelled %s: on record", name);
    is_str(bench.told, "over cancelled", "cancelled %s: told", name);
    if (stage == 0) {
        create_ends(0);
    }
    bench_close(name);
}

static void
test_cancel_queued(void)
{
    struct job *first;

    bench_open();
    first = submit();
    turn();
    bench.job = submit();
    wait_for_job(60000);
    turn();
    (void)store_ends(0); /* the first's */
    (void)store_ends(0); /* the second's */
    is_str(job_state_status(bench.job->record.state), "queued", "the second waits");
    engine_cancel(bench.engine, bench.job);
    is_str(store_ends(0), "job.cancelled", "cancelled in the queue");
    is_str(bench.told, "over cancelled", "told");
    engine_cancel(bench.engine, first);
    turn();
    is_str(store_ends(0), "job.cancelled", "the first too");
    create_ends(0);
    bench_close("cancel queued");
}

/* Few wait for a sandbox at once, and as many again of tenants that run nothing: others' many do not keep them out. */
static void
test_taking(void)
{
    static const struct sizes sizes = { .max_running = 16, .max_taking = 1, .max_creating = 1 };
    static const char *const tenants[] = { "t", "t", "u", "v" };
    static const char *const states[] = { "running", "queued", "running", "queued" };
    struct job *jobs[SBX_COUNT(tenants)];
    struct pool_stats stats;

    bench_open_of(&sizes);
    for (unsigned i = 0; i < SBX_COUNT(tenants); i++) {
        (void)snprintf(context.tenant, sizeof(context.tenant), "%s", tenants[i]); /* fits */
        jobs[i] = submit();
        turn();
        (void)store_ends(0); /* tested above */
    }
    (void)snprintf(context.tenant, sizeof(context.tenant), "t"); /* fits */
    for (unsigned i = 0; i < SBX_COUNT(tenants); i++) {
        is_str(job_state_status(jobs[i]->record.state), states[i], "a job of %s, the %u.", tenants[i], i + 1);
    }
    pool_stats(bench.pool, &stats);
    is_uint(stats.waiting, 2, "two wait for a sandbox");
    for (unsigned i = SBX_COUNT(tenants); i-- > 0;) {
        engine_cancel(bench.engine, jobs[i]);
        turn();
        is_str(store_ends(0), "job.cancelled", "cancelled");
    }
    create_ends(0);
    bench_close("taking");
}

/* The places of those that run nothing are never free of them: each fourth start is another's all the same. */
static void
test_taking_by_ring(void)
{
    static const struct sizes sizes = { .max_running = 16, .max_taking = 1, .max_creating = 1 };
    static const char *const tenants[] = { "t", "u", "t", "v", "w" };
    struct job *jobs[SBX_COUNT(tenants)];

    bench_open_of(&sizes);
    for (unsigned i = 0; i < SBX_COUNT(tenants); i++) {
        (void)snprintf(context.tenant, sizeof(context.tenant), "%s", tenants[i]); /* fits */
        jobs[i] = submit();
        turn();
        (void)store_ends(0); /* tested above */
        if (i == 0) {
            create_ends(0); /* it runs for long */
        }
    }
    (void)snprintf(context.tenant, sizeof(context.tenant), "t"); /* fits */
    is_str(job_state_status(jobs[2]->record.state), "queued", "who runs something waits");
    is_str(job_state_status(jobs[3]->record.state), "running", "while who runs nothing begins");
    is_str(job_state_status(jobs[4]->record.state), "queued", "for all places are taken");
    create_ends(0);
    is_str(job_state_status(jobs[2]->record.state), "running",
           "a place is free, and the fourth start by the ring");
    is_str(job_state_status(jobs[4]->record.state), "queued", "though there are others that run nothing");
    for (unsigned i = SBX_COUNT(tenants); i-- > 0;) {
        engine_cancel(bench.engine, jobs[i]);
        turn();
        destroys_end();
        turn();
        is_str(store_ends(0), "job.cancelled", "cancelled");
    }
    create_ends(0);
    bench_close("taking by the ring");
}

static void
test_cancel_after_end(void)
{
    begin();
    (void)store_ends(0); /* tested above */
    start_running();
    run_ends(0, 0);
    engine_cancel(bench.engine, bench.job);
    turn();
    is_str(store_ends(0), "job.finished", "a cancel that comes late changes nothing");
    is_str(bench.told, "over succeeded", "it succeeded");
    bench_close("late cancel");
}

static void
test_destroy_is_slow(void)
{
    begin();
    (void)store_ends(0); /* tested above */
    start_running();
    engine_cancel(bench.engine, bench.job);
    turn();
    is_int(n_submitted, 0, "a cancel waits for the end of the tree");
    advance(1100);
    is_str(store_ends(0), "job.cancelled", "but not longer than a second");
    is_str(bench.told, "over cancelled", "told");
    is_int(engine_live(bench.engine), 1, "the sandbox is not forgotten");
    bench_close("slow destroy");
}

static void
test_no_sandbox(void)
{
    begin();
    (void)store_ends(0); /* tested above */
    create_ends(RUNTIME_E_UNAVAILABLE);
    is_str(job_state_status(bench.job->record.state), "queued", "no sandbox: back to the queue");
    advance(200);
    create_ends(0);
    adopt_ends(RUNTIME_E_UNAVAILABLE);
    is_str(job_state_status(bench.job->record.state), "queued", "no adoption: back as well");
    destroys_end();
    advance(200);
    create_ends(0);
    adopt_ends(0);
    run_ends(0, 0);
    is_str(store_ends(0), "job.finished", "the third sandbox runs it");
    is_str(bench.told, "over succeeded", "told");
    bench_close("no sandbox");
}

/* The launcher has no such tier: waiting for one would only lead to the queue's deadline. */
static void
test_unsupported(void)
{
    begin();
    is_str(store_ends(0), "job.accepted", "accepted while nobody knows better");
    create_ends(RUNTIME_E_UNSUPPORTED);
    is_str(store_ends(0), "job.lost", "it ends at once");
    is_str(bench.told, "over lost", "and who waits is told");
    ok(submit() == NULL && submitted_rc == ENGINE_E_ISOLATION, "the next one is not taken");
    ok(!engine_offers(bench.engine, "default", SBX_ISOLATION_PROCESS), "the tier is not offered");
    advance(100);
    create_ends(RUNTIME_E_UNSUPPORTED);
    ok(submit() == NULL && submitted_rc == ENGINE_E_ISOLATION, "nor while it stays so");
    advance(500);
    create_ends(0);
    ok(engine_offers(bench.engine, "default", SBX_ISOLATION_PROCESS),
       "it is tried again, and offered when it works");
    destroys_end();
    bench.job = submit();
    ok(bench.job != NULL, "jobs are taken again");
    wait_for_job(60000);
    turn();
    (void)store_ends(0); /* tested above */
    start_running();
    run_ends(0, 0);
    is_str(store_ends(0), "job.finished", "and run");
    bench_close("no such tier");
}

static void
test_tiers(void)
{
    bench_open();
    is_int(engine_template_tier(bench.engine, "default"), SBX_ISOLATION_PROCESS, "a template's own tier");
    is_int(engine_template_tier(bench.engine, "other"), SBX_ISOLATION_NONE, "an unknown template has none");
    ok(!engine_offers(bench.engine, "default", SBX_ISOLATION_GVISOR), "a tier without a pool is not offered");
    ok(!engine_offers(bench.engine, "default", SBX_ISOLATION_NONE), "nor is none at all");
    ok(!engine_offers(bench.engine, "other", SBX_ISOLATION_PROCESS), "nor an unknown template");
    isolation = SBX_ISOLATION_GVISOR;
    ok(submit() == NULL && submitted_rc == ENGINE_E_ISOLATION, "a job of that tier is refused");
    isolation = SBX_ISOLATION_NONE;
    ok(submit() == NULL && submitted_rc == ENGINE_E_ISOLATION, "one without a tier as well");
    isolation = SBX_ISOLATION_PROCESS;
    context.min_isolation = SBX_ISOLATION_GVISOR;
    ok(submit() == NULL && submitted_rc == ENGINE_E_ISOLATION, "and one below the context's minimum");
    is_int(n_submitted, 0, "nothing is recorded of them");
    context.min_isolation = SBX_ISOLATION_PROCESS;
    bench.job = submit();
    ok(bench.job != NULL && bench.job->record.isolation == SBX_ISOLATION_PROCESS,
       "at the minimum it is taken");
    context.min_isolation = SBX_ISOLATION_NONE;
    wait_for_job(60000);
    turn();
    (void)store_ends(0); /* tested above */
    start_running();
    run_ends(0, 0);
    (void)store_ends(0); /* so too */
    bench_close("tiers");
}

static uint64_t
share_of(const char *tenant)
{
    uint64_t share;

    (void)snprintf(context.tenant, sizeof(context.tenant), "%s", tenant); /* fits */
    bench.job = submit();
    wait_for_job(60000);
    turn();
    (void)store_ends(0); /* tested above */
    start_running();
    share = fake.share;
    run_ends(0, 0);
    (void)store_ends(0); /* so too */
    destroys_end();
    turn();
    (void)snprintf(context.tenant, sizeof(context.tenant), "t"); /* fits */
    return share;
}

static void
test_shares(void)
{
    uint64_t first, other;

    bench_open();
    first = share_of("t");
    other = share_of("u");
    ok(first != 0 && other != 0, "every job has a share of the processors");
    ok(first == share_of("t"), "a tenant's jobs have one");
    ok(first != other, "another tenant another");
    bench_close("shares");
    bench_open();
    ok(first != share_of("t"), "and another executor another: it tells nothing of the name");
    bench_close("shares again");
}

static void
test_expires(bool away)
{
    bench_open();
    fake.away = away;
    bench.job = submit();
    wait_for_job(60000);
    turn();
    (void)store_ends(0); /* tested above */
    advance(5100);
    is_str(store_ends(0), "job.finished", "who finds no sandbox in time ends");
    is_str(bench.told, "over timed_out", "timed out");
    if (fake.created != NULL) {
        create_ends(0);
    }
    bench_close("expires");
}

static void
test_launcher_gone(int rc, const char *message)
{
    begin();
    (void)store_ends(0); /* tested above */
    start_running();
    run_ends(rc, 0);
    is_str(bench.job->record.message, message, "the reason is kept");
    is_str(store_ends(0), "job.lost", "lost is on record");
    is_str(bench.told, "over lost", "told");
    bench_close("lost");
}

static void
test_unhealthy(void)
{
    bench_open();
    db_is_healthy = false;
    bench.job = submit();
    wait_for_job(60000);
    turn();
    ok(fake.created == NULL, "after a failure of the store nothing runs before it is accepted");
    is_str(store_ends(0), "job.accepted", "accepted");
    turn();
    ok(fake.created != NULL, "then it runs");
    start_running();
    run_ends(0, 0);
    is_str(store_ends(0), "job.finished", "stored");
    is_str(bench.told, "over succeeded", "told");
    bench_close("unhealthy");

    bench_open();
    db_is_healthy = false;
    bench.job = submit();
    wait_for_job(60000);
    turn();
    engine_cancel(bench.engine, bench.job);
    is_str(store_ends(0), "job.accepted", "a parked job can be cancelled");
    is_str(store_ends(0), "job.cancelled", "on record");
    is_str(bench.told, "over cancelled", "told");
    bench_close("unhealthy, cancelled");
}

static void
test_output(bool reported)
{
    static char much[2000];

    begin();
    (void)store_ends(0); /* tested above */
    start_running();
    ok(fake.sandbox->events->on_output(fake.sandbox->arg, 1, much, 600), "600 of 1000 bytes");
    ok(!fake.sandbox->events->on_output(fake.sandbox->arg, 2, much, 401), "both streams together");
    if (reported) {
        run_ends(RUNTIME_E_ENDED, 0);
    } else {
        advance(600);
        destroys_end();
    }
    is_str(job_state_status(bench.job->verdict.state), "limit_exceeded", "too much output");
    ok(bench.job->verdict.violated == SBX_LIMIT_OUTPUT && bench.job->verdict.observed == 1001, "by so much");
    is_str(store_ends(0), "job.finished", "on record");
    is_str(bench.told, "over limit_exceeded", "told");
    bench_close("output");
}

static void
test_overdue(void)
{
    begin();
    (void)store_ends(0); /* tested above */
    start_running();
    advance(20000);
    is_int(n_dying, 0, "the runtime's own deadlines come first");
    advance(1500);
    destroys_end();
    is_str(store_ends(0), "job.lost", "a run that never ends is ended");
    is_str(bench.told, "over lost", "told");
    bench_close("overdue");
}

static void
test_waiting(void)
{
    struct waiter *gone;

    begin();
    waiter_cancel(bench.waiter);
    wait_for_job(100);
    advance(200);
    is_str(bench.told, "", "a wait that is over waits for the accept record");
    is_str(store_ends(0), "job.accepted", "accepted");
    is_str(bench.told, "timeout running", "then it is told");
    wait_for_job(0);
    turn();
    is_str(bench.told, "timeout running", "no wait: at once");
    if (job_wait(&gone, bench.job, &bench.timers, 100, on_told, bench.job) != 0) {
        abort();
    }
    bench.told[0] = '\0';
    waiter_cancel(gone);
    advance(200);
    is_str(bench.told, "", "who left is not told");
    start_running();
    run_ends(0, 0);
    is_str(store_ends(0), "job.finished", "the job goes on without anybody");
    bench_close("waiting");
}

static void
on_drained(void *arg)
{
    (void)arg;
    bench.drained = true;
}

static void
test_drain(void)
{
    begin();
    (void)store_ends(0); /* tested above */
    start_running();
    engine_drain(bench.engine, 10000, on_drained, NULL);
    turn();
    ok(submit() == NULL && engine_draining(bench.engine), "no new job while it drains");
    ok(!bench.drained, "a running job may end");
    run_ends(0, 0);
    is_str(store_ends(0), "job.finished", "it does");
    turn();
    advance(10);
    ok(!bench.drained, "its sandbox must be gone");
    destroys_end();
    turn();
    ok(bench.drained, "then all is quiet");
    bench_close("drain");
}

static void
test_drain_ends_jobs(bool hurried)
{
    begin();
    (void)store_ends(0); /* tested above */
    start_running();
    engine_drain(bench.engine, hurried ? 60000 : 1000, on_drained, NULL);
    turn();
    if (hurried) {
        engine_hurry(bench.engine);
        turn();
    } else {
        advance(1100);
    }
    destroys_end();
    is_str(store_ends(0), "job.lost", "who does not end in time is lost");
    is_str(bench.told, "over lost", "told");
    turn();
    ok(bench.drained, "then all is quiet");
    bench_close(hurried ? "hurried" : "drained late");
}

static void
test_drain_empty(void)
{
    bench_open();
    engine_drain(bench.engine, 10000, on_drained, NULL);
    turn();
    ok(bench.drained, "nothing to wait for");
    bench_close("drain empty");
}

/* A run that announced two files of ten bytes. */
static void
run_announces_files(const struct sizes *sizes)
{
    static char names[2][2] = { "a", "b" };
    static struct runtime_artifact files[] = { { names[0], 10 }, { names[1], 10 } };

    begin_of(sizes);
    (void)store_ends(0); /* tested above */
    start_running();
    bench.job->max_artifacts = 4;
    bench.job->max_artifact_bytes = 1000;
    bench.job->max_stored_bytes = 20;
    fake.outcome = (struct runtime_outcome){ .exited = true, .artifacts = files, .n_artifacts = 2 };
    fake.sandbox->events->on_done(fake.sandbox->arg, 0, &fake.outcome);
    turn();
}

static void
run_ends_with_files(void)
{
    run_announces_files(&usual);
    is_uint(fake.n_fetches, 1, "the first file is fetched");
}

static void
files_end(const char *told, unsigned n_artifacts, const char *skipped, const char *what)
{
    const struct job_record *record = &bench.job->record;

    is_uint(record->n_artifacts, n_artifacts, "%s: artifacts", what);
    is_str(record->skipped_json, skipped, "%s: what is skipped", what);
    (void)store_ends(0); /* of which kind depends on the end */
    is_str(bench.told, told, "%s: told", what);
    is_uint(n_puts, 0, "%s: nothing is half stored", what);
    bench_close(what);
}

#define LATE(name) "{\"path\":\"" name "\",\"reason\":\"reading the files took too long\"}"
#define STOPPED(name) "{\"path\":\"" name "\",\"reason\":\"the job was stopped\"}"
#define UNREAD(name) "{\"path\":\"" name "\",\"reason\":\"could not be read\"}"

static void
test_files(void)
{
    run_ends_with_files();
    fetch_ends(0, 10);
    blob_ends();
    fetch_ends(0, 10);
    blob_ends();
    files_end("over succeeded", 2, NULL, "two files");

    run_ends_with_files();
    fetch_ends(0, 9);
    fetch_ends(0, 11);
    files_end("over succeeded", 0, "[" UNREAD("a") "," UNREAD("b") "]", "sizes that were not announced");

    run_ends_with_files();
    fetch_ends(RUNTIME_E_AGENT, 10);
    fetch_ends(RUNTIME_E_REFUSED, 0);
    files_end("over succeeded", 0, "[" UNREAD("a") "," UNREAD("b") "]", "neither can be read");
}

static void
on_room(void *arg, int rc)
{
    *(int *)arg = rc;
}

/* Of the two files that the tenant may store. */
static void
test_files_room(void)
{
    static const struct sizes sizes = { .max_running = 1, .max_creating = 4, .max_stored = 2 };
    const struct artifacts_claim_spec tenants = { .tenant = "t", .max_bytes = 20 };
    struct artifacts_claim *claim = NULL;
    int rc = -EIO;

    run_announces_files(&sizes);
    reads_end();
    turn();
    fetch_ends(RUNTIME_E_AGENT, 0);
    fetch_ends(RUNTIME_E_AGENT, 0);
    if (artifacts_claim_new(&claim, bench.artifacts, &tenants) != 0) {
        abort();
    }
    artifacts_claim_ask(claim, 20, 2, on_room, &rc);
    reads_end();
    is_int(rc, ARTIFACTS_E_NUMBER, "room that a job may need is not another's");
    (void)store_ends(0); /* tested above */
    is_int(n_dying, 0, "when who waits is told, and the sandbox is there yet");
    artifacts_claim_ask(claim, 20, 2, on_room, &rc);
    reads_end();
    is_int(rc, 0, "what the job did not store is");
    artifacts_claim_free(claim);
    bench_close("room");
}

static void
test_files_late(void)
{
    run_ends_with_files();
    advance(10100);
    is_int(n_submitted, 0, "an agent may take its time");
    advance(200);
    is_int(n_submitted, 1, "but not for ever");
    fetch_ends(0, 10); /* after the end, before the sandbox is destroyed */
    files_end("over succeeded", 0, "[" LATE("a") "," LATE("b") "]", "stalled");

    /* Each within the deadline of one message: together not. */
    run_ends_with_files();
    advance(9000);
    fetch_ends(0, 10);
    blob_ends();
    advance(1300);
    files_end("over succeeded", 1, "[" LATE("b") "]", "one stalled");

    run_ends_with_files();
    fetch_ends(0, 10);
    advance(11000);
    is_int(n_submitted, 0, "what is being stored is waited for");
    blob_ends();
    files_end("over succeeded", 1, "[" LATE("b") "]", "a slow store");
}

static void
test_files_stopped(void)
{
    run_ends_with_files();
    engine_cancel(bench.engine, bench.job);
    is_int(n_submitted, 0, "not from inside");
    turn();
    files_end("over cancelled", 0, "[" STOPPED("a") "," STOPPED("b") "]", "cancelled while fetching");

    run_ends_with_files();
    fetch_ends(0, 10);
    engine_cancel(bench.engine, bench.job);
    engine_cancel(bench.engine, bench.job);
    turn();
    is_int(n_submitted, 0, "what is being stored is waited for");
    blob_ends();
    files_end("over cancelled", 1, "[" STOPPED("b") "]", "cancelled while storing");

    run_ends_with_files();
    engine_drain(bench.engine, 1000, on_drained, NULL);
    turn();
    advance(1100);
    files_end("over lost", 0, "[" STOPPED("a") "," STOPPED("b") "]", "drained while fetching");
}

int
main(void)
{
    test_in_order();
    test_run_overlaps_accept();
    test_held_to_the_end();
    test_held_too_long(false);
    test_held_too_long(true);
    test_held_and_looked_for();
    test_held_and_stopped();
    test_held_and_not_stored();
    test_held_and_many_wait();
    test_store_unwell_holds_nothing();
    test_accept_fails(0, "while the sandbox is made");
    test_accept_fails(1, "while it is adopted");
    test_accept_fails(2, "while it runs");
    test_accept_fails(3, "after the run");
    test_finish_fails();
    test_cancel(0, "while the sandbox is made");
    test_cancel(1, "while it is adopted");
    test_cancel(2, "while it runs");
    test_cancel_queued();
    test_taking();
    test_taking_by_ring();
    test_cancel_after_end();
    test_destroy_is_slow();
    test_no_sandbox();
    test_unsupported();
    test_tiers();
    test_shares();
    test_expires(true);
    test_expires(false);
    test_launcher_gone(RUNTIME_E_UNAVAILABLE, "sandbox launcher restarted");
    test_launcher_gone(RUNTIME_E_AGENT, "the sandbox gave no valid answer");
    test_launcher_gone(RUNTIME_E_ENDED, "the sandbox ended before the program did");
    test_files();
    test_files_room();
    test_files_late();
    test_files_stopped();
    test_unhealthy();
    test_output(true);
    test_output(false);
    test_overdue();
    test_waiting();
    test_drain();
    test_drain_ends_jobs(false);
    test_drain_ends_jobs(true);
    test_drain_empty();
    return done_testing();
}
