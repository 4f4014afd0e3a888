/*
 * Sessions with time, store and runtime in the test's hand, and a real conversation with an agent that is the test.
 */
#pragma once

#include "executor/core/sessions.h"

#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "executor/core/feed_shelf.h"
#include "executor/core/step.h"
#include "executor/store/stmts.h"
#include "t/unit/tap.h"

#define END_REST                                                                                             \
    "\"interpreter\":\"alive\",\"restarted\":false,\"wall_ms\":1,\"cpu_ms\":1,\"peak_memory_bytes\":1,"      \
    "\"displays_dropped\":0}"
#define END_GOOD "{\"ok\":true,\"status\":\"succeeded\"," END_REST

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
static uint64_t now_ms = 1000;
static uv_loop_t loop;

uint64_t
timers_now_ms(const struct timers *timers)
{
    (void)timers;
    return now_ms;
}

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

int
timer_new(struct timer **ret, struct timers *timers, void (*fire)(void *arg), void *arg)
{
    struct timer *timer = calloc(1, sizeof(*timer));

    (void)timers;
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

/* Store: a transaction ends on the next turn, or waits for the test. */

struct db_tx {
    char audit[64]; /* the kinds of its events, in order */
    db_done_fn done;
    void *arg;
};

static struct db_tx *submitted[64];
static unsigned n_submitted;
static bool db_holds;
static int db_rc;
static char last_audit[64];

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
    (void)tx;
    (void)stmt;
    (void)values;
    (void)n;
}

void
db_tx_audit(struct db_tx *tx, const struct db_audit *event)
{
    const size_t len = strlen(tx->audit);

    (void)snprintf(tx->audit + len, sizeof(tx->audit) - len, "%s%s", len == 0 ? "" : " ", event->kind);
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

/* When is the store's business; that it ends is the test's. */
void
db_tx_submit_soon(struct db_tx *tx, db_done_fn done, void *arg)
{
    db_tx_submit(tx, done, arg);
}

void
db_read(struct db *db, enum db_stmt stmt, const struct db_value *values, unsigned n, db_done_fn done,
        void *arg)
{
    (void)db;
    (void)stmt;
    (void)values;
    (void)n;
    (void)done;
    (void)arg;
}

void
db_stats(const struct db *db, struct db_stats *ret)
{
    (void)db;
    *ret = (struct db_stats){ .healthy = true };
}

static bool
store_ends(int rc)
{
    const struct db_result result = { 0 };
    struct db_tx *tx;

    if (n_submitted == 0) {
        return false;
    }
    tx = submitted[0];
    memmove(submitted, submitted + 1, --n_submitted * sizeof(struct db_tx *));
    (void)snprintf(last_audit, sizeof(last_audit), "%s", tx->audit);
    tx->done(tx->arg, rc, &result);
    free(tx);
    return true;
}

/* Runtime: one sandbox at a time, whose agent is the test. */

static struct {
    struct sandbox sandbox;
    struct sbx_mux *ours, *theirs;
    runtime_created_fn created;
    unsigned others; /* of the last take */
    void *created_arg;
    runtime_done_fn adopted, destroyed;
    void *adopt_arg, *destroy_arg;
    runtime_attached_fn attached;
    runtime_stat_fn on_lost;
    void *arg;
    bool lost;
    unsigned n_destroyed;
    /* What the kernel is asked. */
    runtime_stat_fn stat, pause;
    void *stat_arg;
    bool stat_holds;
    unsigned n_stats;
} fake;

/* What the agent does with a step. */
static void (*agent_step)(struct sbx_channel *channel);
static const char *agent_context = "{\"ok\":true}";
static struct sbx_channel *agent_channel; /* of the step under way */
static bool agent_interrupted;

static void
agent_on_note(void *arg, const char *json, size_t len)
{
    (void)arg;
    agent_interrupted =
        len == strlen("{\"interrupt\":true}") && memcmp(json, "{\"interrupt\":true}", len) == 0;
}

static void
agent_on_end(void *arg, int rc, const char *json, size_t len)
{
    (void)arg;
    (void)rc;
    (void)json;
    (void)len;
    if (agent_channel != NULL) {
        sbx_channel_end(agent_channel, "{\"ok\":true}", 11);
        agent_channel = NULL;
    }
}

static void
agent_on_shut(void *arg)
{
    (void)arg;
    if (agent_step != NULL) {
        agent_step(agent_channel);
    }
}

static void
agent_on_open(void *arg, struct sbx_channel *channel, const char *json, size_t len)
{
    static const struct sbx_channel_events events = {
        .on_note = agent_on_note,
        .on_shut = agent_on_shut,
        .on_end = agent_on_end,
    };
    char text[64];

    (void)arg;
    (void)snprintf(text, sizeof(text), "%.*s", (int)len, json);
    if (strstr(text, "\"op\":\"step\"") != NULL) {
        agent_channel = channel;
        sbx_channel_accept(channel, &events, NULL);
    } else {
        sbx_channel_end(channel, agent_context, strlen(agent_context));
    }
}

static void
agent_leaves(void *arg, const char *why)
{
    (void)arg;
    (void)why;
}

static void
ours_lost(void *arg, const char *why)
{
    (void)arg;
    (void)why;
    fake.lost = true;
}

static int
fake_adopt(struct sandbox *sandbox, const struct sbx_limits *limits, uint64_t share, runtime_done_fn done,
           void *arg)
{
    (void)sandbox;
    (void)limits;
    (void)share;
    fake.adopted = done;
    fake.adopt_arg = arg;
    return 0;
}

static int
fake_attach(struct sandbox *sandbox, runtime_stat_fn on_lost, runtime_attached_fn done, void *arg)
{
    struct sbx_mux_spec ours = {
        .loop = &loop, .max_channels = 64, .max_open = 1u << 20, .on_lost = ours_lost
    };
    struct sbx_mux_spec theirs = {
        .loop = &loop,
        .max_channels = 64,
        .max_open = 1u << 20,
        .on_open = agent_on_open,
        .on_lost = agent_leaves,
    };
    int fds[2];

    (void)sandbox;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) {
        abort();
    }
    ours.fd = fds[0];
    theirs.fd = fds[1];
    if (sbx_mux_new(&fake.ours, &ours) != 0 || sbx_mux_new(&fake.theirs, &theirs) != 0) {
        abort();
    }
    fake.attached = done;
    fake.on_lost = on_lost;
    fake.arg = arg;
    fake.lost = false;
    return 0;
}

static void
fake_destroy(struct sandbox *sandbox, runtime_done_fn done, void *arg)
{
    (void)sandbox;
    fake.ours = sbx_mux_close(fake.ours);
    fake.lost = false;
    fake.adopted = NULL; /* what is under way is cancelled */
    fake.attached = NULL;
    fake.stat = fake.pause = NULL;
    fake.destroyed = done;
    fake.destroy_arg = arg;
}

static int
fake_stat(struct sandbox *sandbox, runtime_stat_fn done, void *arg)
{
    (void)sandbox;
    if (fake.stat != NULL || fake.pause != NULL) {
        abort(); /* one at a time */
    }
    fake.stat = done;
    fake.stat_arg = arg;
    fake.n_stats++;
    return 0;
}

static int
fake_pause(struct sandbox *sandbox, bool is_paused, runtime_stat_fn done, void *arg)
{
    (void)sandbox;
    (void)is_paused;
    if (fake.stat != NULL || fake.pause != NULL) {
        abort();
    }
    fake.pause = done;
    fake.stat_arg = arg;
    return 0;
}

static struct runtime_report kernel_says = {
    .cpu_ms = 11, .wall_ms = 1, .peak_memory_bytes = 22, .disk_bytes = 33, .cpu_throttled_ms = 44
};

static const struct runtime_ops fake_ops = {
    .name = "process",
    .adopt = fake_adopt,
    .attach = fake_attach,
    .stat = fake_stat,
    .pause = fake_pause,
    .destroy = fake_destroy,
};

struct pool_take {
    int unused;
};

static struct pool_take the_take;

int
pool_take(struct pool *pool, const struct pool_wish *wish, struct pool_take **ret_take,
          runtime_created_fn done, void *arg)
{
    (void)pool;
    fake.others = wish->others;
    fake.created = done;
    fake.created_arg = arg;
    *ret_take = &the_take;
    return 0;
}

void
pool_take_cancel(struct pool_take *take)
{
    (void)take;
    fake.created = NULL;
}

void
pool_stats(const struct pool *pool, struct pool_stats *ret)
{
    (void)pool;
    *ret = (struct pool_stats){ 0 };
}

static bool
runtime_answers(void)
{
    if (fake.created != NULL) {
        fake.sandbox.ops = &fake_ops;
        steal (&fake.created)(fake.created_arg, 0, &fake.sandbox);
    } else if (fake.adopted != NULL) {
        steal (&fake.adopted)(fake.adopt_arg, 0);
    } else if (fake.attached != NULL) {
        steal (&fake.attached)(fake.arg, 0, fake.ours);
    } else if (fake.stat != NULL && !fake.stat_holds) {
        steal (&fake.stat)(fake.stat_arg, 0, &kernel_says);
    } else if (fake.pause != NULL) {
        steal (&fake.pause)(fake.stat_arg, 0, &kernel_says);
    } else if (fake.destroyed != NULL) {
        fake.n_destroyed++;
        steal (&fake.destroyed)(fake.destroy_arg, 0);
    } else if (fake.lost) {
        fake.lost = false;
        fake.on_lost(fake.arg, RUNTIME_E_AGENT, NULL);
    } else {
        return false;
    }
    return true;
}

/* Everything that is due, until nothing is. */
static void
turn(void)
{
    for (unsigned quiet = 0; quiet < 20; quiet++) {
        bool any = fire_one();

        any = runtime_answers() || any;
        any = (!db_holds && store_ends(db_rc)) || any;
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        quiet = any ? 0 : quiet;
    }
}

static void
advance(uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 100) {
        now_ms += 100;
        turn();
    }
}

/* The sessions under test. */

static struct sessions *sessions;
static struct feed_shelf *shelf;
static struct feed_budget *feeds;
static struct sbx_context context = { .tenant = "t", .subject = "s", .request_id = "req" };

static int
same_share(void *arg, const char *tenant, uint64_t *ret)
{
    (void)arg;
    (void)tenant;
    *ret = 1;
    return 0;
}

static void
begin(void)
{
    static const struct runner_pool pools[] = { { "default", SBX_ISOLATION_PROCESS, true, NULL } };
    static struct runner_pool offered[1];
    const struct feed_shelf_spec shelf_spec = { .max_bytes = 1u << 20, .linger_ms = 1000 };
    struct sessions_spec spec = {
        .pools = offered,
        .n_pools = 1,
        .max = 2,
        .output_keep = 4096,
        .feed_keep = 1u << 16,
        .share = same_share,
    };

    offered[0] = pools[0];
    offered[0].pool = (struct pool *)(void *)&the_take; /* never looked into */
    if (feed_shelf_new(&shelf, &shelf_spec) != 0 || feed_budget_new(&feeds, 1u << 20) != 0) {
        abort();
    }
    spec.shelf = shelf;
    spec.feeds = feeds;
    if (sessions_new(&sessions, &spec) != 0) {
        abort();
    }
    agent_step = NULL;
    agent_context = "{\"ok\":true}";
    db_holds = false;
    db_rc = 0;
    agent_interrupted = false;
    fake.stat_holds = false;
    fake.n_stats = 0;
    kernel_says.has_verdict = false;
}

static void
finish(void)
{
    turn();
    is_uint(sessions_live(sessions), 0, "nothing is left");
    fake.theirs = sbx_mux_close(fake.theirs);
    agent_channel = NULL;
    sessions = sessions_free(sessions);
    feed_shelf_free(shelf);
    feeds = feed_budget_unref(feeds);
    turn();
}

static int
create(struct session **ret)
{
    struct sbx_limits limits = { .value = { [SBX_LIMIT_OUTPUT] = 1000 } };
    struct job_spec *spec = calloc(1, sizeof(*spec));
    struct session_ask ask = {
        .context = &context,
        .limits = &limits,
        .isolation = SBX_ISOLATION_PROCESS,
        .ttl_ms = 60000,
        .idle_timeout_ms = 30000,
        .max_lifetime_ms = 90000,
        .step_timeout_ms = 1000,
        .max_sessions = 2,
        .request_sha256 = "",
    };
    int r;

    spec->language = "python";
    spec->template_name = "default";
    ask.spec = spec;
    r = sessions_create(ret, sessions, &ask);
    if (r) {
        job_spec_free(spec);
    }
    return r;
}

static struct session *
running(void)
{
    struct session *session = NULL;

    if (create(&session) != 0) {
        abort();
    }
    turn();
    is_int((int)session->record.state, SESSION_RUNNING, "a session runs");
    return session;
}

/* What the waiter of a step was told, and how the step was then. */
static struct {
    bool told;
    enum waiter_result result;
    enum step_state state;
    struct step *step;
    char violation[256], message[JOB_MESSAGE_LEN];
    uint64_t displays;
} seen;

static void
on_step(void *arg, enum waiter_result result)
{
    const struct step_record *record = step_record(seen.step);

    (void)arg;
    seen.told = true;
    seen.result = result;
    seen.state = record->state;
    (void)snprintf(seen.violation, sizeof(seen.violation), "%s",
                   record->violation_json == NULL ? "" : record->violation_json);
    (void)snprintf(seen.message, sizeof(seen.message), "%s", record->message);
    for (const char *at = record->results_json; at != NULL && (at = strstr(at, "\"kind\"")) != NULL; at++) {
        seen.displays++;
    }
}

static void
submit(struct session *session)
{
    struct job_spec *spec = calloc(1, sizeof(*spec));
    const struct step_ask ask = {
        .spec = spec, .timeout_ms = 1000, .context = &context, .request_sha256 = ""
    };
    struct waiter *waiter;

    memset(&seen, 0, sizeof(seen));
    spec->code = "1";
    spec->code_len = 1;
    if (step_submit(&seen.step, session, &ask) != 0 ||
        step_wait(&waiter, seen.step, 600000, on_step, NULL) != 0) {
        abort();
    }
}

static void
say_end(struct sbx_channel *channel, const char *json)
{
    agent_channel = NULL;
    sbx_channel_end(channel, json, strlen(json));
}

static void
agent_good(struct sbx_channel *channel)
{
    say_end(channel, END_GOOD);
}
