/* The warm pool over a runtime and timers of the test's own: time passes only when a test says so. */
#include "executor/core/pool.h"

#include <assert.h>
#include <limits.h>

#include "lib/sbx_list.h"
#include "t/unit/tap.h"

struct timers {
    struct list armed;
    uint64_t now;
};

struct timer {
    struct list link;
    struct timers *timers;
    void (*fire)(void *arg);
    void *arg;
    uint64_t at;
};

static unsigned n_timers;

int
timers_new(struct timers **ret, void *uv_loop _unused_)
{
    *ret = calloc(1, sizeof(**ret));
    list_init(&(*ret)->armed);
    return 0;
}

struct timers *
timers_free(struct timers *timers)
{
    free(timers);
    return NULL;
}

int
timer_new(struct timer **ret, struct timers *timers, void (*fire)(void *arg), void *arg)
{
    *ret = calloc(1, sizeof(**ret));
    list_init(&(*ret)->link);
    (*ret)->timers = timers;
    (*ret)->fire = fire;
    (*ret)->arg = arg;
    n_timers++;
    return 0;
}

void
timer_start(struct timer *timer, uint64_t ms)
{
    list_remove(&timer->link);
    timer->at = timer->timers->now + ms;
    list_append(&timer->timers->armed, &timer->link);
}

void
timer_stop(struct timer *timer)
{
    list_remove(&timer->link);
}

struct timer *
timer_free(struct timer *timer)
{
    if (timer != NULL) {
        list_remove(&timer->link);
        free(timer);
        n_timers--;
    }
    return NULL;
}

uint64_t
timers_now_ms(const struct timers *timers)
{
    return timers->now;
}

static struct timer *
timers_due(struct timers *timers)
{
    struct list *it, *after;

    list_each (it, after, &timers->armed) {
        struct timer *timer = list_entry(it, struct timer, link);

        if (timer->at <= timers->now) {
            return timer;
        }
    }
    return NULL;
}

/* Lets `ms` pass and fires what became due, until nothing is. */
static void
pass_time(struct timers *timers, uint64_t ms)
{
    struct timer *timer;

    timers->now += ms;
    while ((timer = timers_due(timers)) != NULL) {
        list_remove(&timer->link);
        timer->fire(timer->arg);
    }
}

/* A runtime whose calls the test answers. */

enum { MAX_CALLS = 4096 };

struct fake_sandbox {
    struct sandbox base;
    char language[RUNTIME_MAX_LANGUAGE + 1]; /* that it was asked to be prepared for */
    void (*dead)(void *arg);
    void *dead_arg;
    bool destroyed;
};

struct fake_call {
    char language[RUNTIME_MAX_LANGUAGE + 1];
    runtime_created_fn created;
    runtime_done_fn destroyed;
    void *arg;
};

static struct {
    struct runtime base;
    struct fake_call creates[MAX_CALLS], destroys[MAX_CALLS];
    unsigned n_creates, n_created; /* asked, answered */
    unsigned n_destroys, n_destroyed;
    unsigned n_hastened;
    const void *hastened; /* the last */
    unsigned alive;
    int create_error; /* returned by create itself */
    bool unprepared;  /* no interpreter starts */
    bool forks;       /* there is one that is forked, which is there at once */
    char template_name[32];
} fake;

static int
fake_create(struct runtime *runtime, const char *template_name, const char *language,
            enum runtime_prepare prepare, runtime_created_fn done, void *arg)
{
    assert(runtime == &fake.base);
    if (fake.create_error != 0) {
        return fake.create_error;
    }
    (void)snprintf(fake.template_name, sizeof(fake.template_name), "%s", template_name);
    assert(fake.n_creates < MAX_CALLS);
    fake.creates[fake.n_creates] = (struct fake_call){ .created = done, .arg = arg };
    (void)snprintf(fake.creates[fake.n_creates++].language, sizeof(fake.creates[0].language), "%s",
                   language == NULL || (prepare == RUNTIME_PREPARE_FORKED && !fake.forks) ? "" : language);
    return 0;
}

static void
fake_hasten(struct runtime *runtime, const void *arg)
{
    bool is_out = false;

    assert(runtime == &fake.base);
    for (unsigned i = fake.n_created; i < fake.n_creates; i++) {
        is_out = is_out || fake.creates[i].arg == arg;
    }
    assert(is_out);
    fake.n_hastened++;
    fake.hastened = arg;
}

static void
fake_destroy(struct sandbox *sandbox, runtime_done_fn done, void *arg)
{
    struct fake_sandbox *mine = (struct fake_sandbox *)(void *)sandbox;

    assert(!mine->destroyed);
    mine->destroyed = true;
    fake.alive--;
    free(mine);
    if (done != NULL) {
        fake.destroys[fake.n_destroys++] = (struct fake_call){ .destroyed = done, .arg = arg };
    }
}

static void
fake_on_dead(struct sandbox *sandbox, void (*dead)(void *arg), void *arg)
{
    struct fake_sandbox *mine = (struct fake_sandbox *)(void *)sandbox;

    mine->dead = dead;
    mine->dead_arg = arg;
}

static const struct runtime_ops fake_ops = {
    .name = "fake",
    .create = fake_create,
    .hasten = fake_hasten,
    .destroy = fake_destroy,
    .on_dead = fake_on_dead,
};

static struct fake_sandbox *last_sandbox;

/* Answers the oldest creation. */
static void
answer_create(int rc)
{
    struct fake_call *call = &fake.creates[fake.n_created++];
    struct fake_sandbox *sandbox = NULL;

    assert(fake.n_created <= fake.n_creates);
    if (rc == 0) {
        sandbox = calloc(1, sizeof(*sandbox));
        sandbox->base.ops = &fake_ops;
        sandbox->base.is_prepared = call->language[0] != '\0' && !fake.unprepared;
        sandbox->base.is_forked = sandbox->base.is_prepared && fake.forks;
        memcpy(sandbox->language, call->language, sizeof(call->language));
        fake.alive++;
        last_sandbox = sandbox;
    }
    call->created(call->arg, rc, sandbox == NULL ? NULL : &sandbox->base);
}

static void
answer_creates(int rc)
{
    while (fake.n_created < fake.n_creates) {
        answer_create(rc);
    }
}

static void
answer_destroys(void)
{
    while (fake.n_destroyed < fake.n_destroys) {
        struct fake_call *call = &fake.destroys[fake.n_destroyed++];

        call->destroyed(call->arg, 0);
    }
}

static unsigned
creating(void)
{
    return fake.n_creates - fake.n_created;
}

struct taker {
    struct pool_take *take;
    unsigned calls;
    int rc;
    struct sandbox *sandbox;
    struct pool *free_pool; /* freed from inside the callback */
    struct pool *again;     /* taken from once more from inside the callback */
    struct taker *cancel;   /* cancelled from inside the callback */
};

static const struct pool_wish python = { .language = "python" };

static void
taker_done(void *arg, int rc, struct sandbox *sandbox)
{
    struct taker *taker = arg;
    struct pool *again = steal(&taker->again);

    taker->calls++;
    taker->rc = rc;
    taker->sandbox = sandbox;
    taker->take = NULL;
    if (again != NULL && pool_take(again, &python, &taker->take, taker_done, taker) != 0) {
        abort();
    }
    if (taker->cancel != NULL) {
        pool_take_cancel(taker->cancel->take);
    }
    taker->free_pool = pool_free(taker->free_pool);
}

static void
take_beside(struct pool *pool, const struct pool_wish *wish, struct taker *taker)
{
    *taker = (struct taker){ .free_pool = taker->free_pool, .again = taker->again, .cancel = taker->cancel };
    if (pool_take(pool, wish, &taker->take, taker_done, taker) != 0) {
        abort();
    }
}

static void
take_for(struct pool *pool, const char *language, struct taker *taker)
{
    take_beside(pool, &(struct pool_wish){ .language = language }, taker);
}

static void
take(struct pool *pool, struct taker *taker)
{
    if (pool_take(pool, &python, &taker->take, taker_done, taker) != 0) {
        abort();
    }
}

static void
give_back(struct taker *taker)
{
    if (taker->sandbox != NULL) {
        struct sandbox *sandbox = steal(&taker->sandbox);

        sandbox->ops->destroy(sandbox, NULL, NULL);
    }
}

static struct timers *timers;
static struct pool_share *share;
static bool is_busy;

static bool
busy(void *arg _unused_)
{
    return is_busy;
}

static void
open_share(uint64_t max_memory, unsigned max_number, unsigned max_refills)
{
    const struct pool_share_spec spec = {
        .timers = timers,
        .max_memory = max_memory,
        .max_number = max_number,
        .max_refills = max_refills,
        .busy = busy,
    };

    assert(share == NULL);
    memset(&fake, 0, sizeof(fake));
    fake.base.ops = &fake_ops;
    is_busy = false;
    assert(pool_share_new(&share, &spec) == 0);
}

/* Timers that are left without it. */
static unsigned
close_share(void)
{
    share = pool_share_free(share);
    return n_timers;
}

/* Of the pools that are made from then on. */
static unsigned quiet_ms;

static struct pool *
make_lines(const struct pool_line_spec *lines, unsigned n_lines, unsigned max_creating)
{
    struct pool_spec spec = {
        .runtime = &fake.base,
        .timers = timers,
        .share = share,
        .template_name = "default",
        .lines = lines,
        .n_lines = n_lines,
        .max_creating = max_creating,
        .quiet_ms = quiet_ms,
    };
    struct pool *pool;

    assert(pool_new(&pool, &spec) == 0);
    return pool;
}

/* One line, of plain ones, of a fixed size. */
static struct pool *
make_pool(unsigned size, unsigned max_creating)
{
    const struct pool_line_spec line = { .language = "", .min = size, .max = size, .memory = 1 };

    open_share(1024, 1024, 1024);
    return make_lines(&line, 1, max_creating);
}

/* After each test: nothing alive, nothing armed, nobody left. */
static void
end_pool(struct pool *pool)
{
    pool_free(pool);
    answer_creates(0);
    answer_destroys();
    is_uint(fake.alive, 0, "no sandbox is left");
    is_uint(close_share(), 0, "no timer is left");
    ok(list_empty(&timers->armed), "nothing is armed");
}

static struct pool_stats
stats(const struct pool *pool)
{
    struct pool_stats ret;

    pool_stats(pool, &ret);
    return ret;
}

/* Answers creations and lets what follows from them follow, until nothing is being made. */
static void
make_all(void)
{
    pass_time(timers, POOL_SHARE_QUIET_MS);
    while (creating() > 0) {
        answer_creates(0);
        pass_time(timers, POOL_SHARE_QUIET_MS);
    }
    answer_destroys();
}

static void
test_spec(void)
{
    static const char long_name[] = "a-language-whose-name-is-too-long";
    struct pool_line_spec lines[] = { { .language = "", .max = 1 }, { .language = "python" } };
    struct pool_spec spec = { .timers = timers, .template_name = "default", .lines = lines, .n_lines = 2 };
    struct pool *pool = NULL;

    open_share(1024, 1024, 1024);
    spec.runtime = &fake.base;
    spec.share = share;

    is_int(pool_new(&pool, &spec), -EINVAL, "a pool that may never create is refused");
    spec.max_creating = 1;
    spec.template_name = NULL;
    is_int(pool_new(&pool, &spec), -EINVAL, "a pool of no template is refused");
    spec.template_name = "default";
    spec.n_lines = 0;
    is_int(pool_new(&pool, &spec), -EINVAL, "nor one without a line");
    spec.n_lines = POOL_MAX_LINES + 1;
    is_int(pool_new(&pool, &spec), -EINVAL, "nor one with too many");
    spec.n_lines = 2;
    lines[0].language = "python";
    is_int(pool_new(&pool, &spec), -EINVAL, "nor one whose first line is a language's");
    lines[0].language = "";
    lines[1].min = 2;
    lines[1].max = 1;
    is_int(pool_new(&pool, &spec), -EINVAL, "nor one whose min is more than its max");
    lines[1].max = POOL_SHARE_MAX + 1;
    is_int(pool_new(&pool, &spec), -EINVAL, "nor a size over the ceiling");
    lines[1] = (struct pool_line_spec){ .language = long_name };
    is_int(pool_new(&pool, &spec), -EINVAL, "nor a language that the launcher could not be told");
    lines[1].language = "python";
    spec.share = NULL;
    is_int(pool_new(&pool, &spec), -EINVAL, "nor one that shares with nobody");
    is_uint(close_share(), 0, "and keeps nothing");
    ok(pool_free(NULL) == NULL, "free accepts NULL");
}

static void
test_fill(void)
{
    struct pool *pool = make_pool(3, 2);

    is_uint(fake.n_creates, 0, "nothing is created from inside pool_new");
    pass_time(timers, 0);
    is_uint(creating(), 2, "max_creating at once");
    is_str(fake.template_name, "default", "of the template");
    answer_create(0);
    is_uint(creating(), 1, "a refill begins on the loop's next turn");
    pass_time(timers, 0);
    is_uint(creating(), 2, "the next follows");
    make_all();
    is_uint(fake.n_creates, 3, "not more than size");
    is_uint(stats(pool).warm, 3, "all are warm");
    is_uint(stats(pool).created, 3, "and counted");
    end_pool(pool);
}

static void
test_warm_take(void)
{
    struct pool *pool = make_pool(2, 2);
    struct taker a = { 0 }, b = { 0 }, c = { 0 };

    pass_time(timers, 0);
    answer_creates(0);
    take(pool, &a);
    is_uint(a.calls, 0, "not from inside pool_take");
    take(pool, &b);
    pass_time(timers, 0);
    ok(a.calls == 1 && b.calls == 1 && a.rc == 0 && b.rc == 0, "both have a sandbox");
    ok(a.sandbox != b.sandbox, "each is handed out once");
    is_uint(creating(), 1, "of none there is one made at once, the other has time");
    pass_time(timers, POOL_SHARE_QUIET_MS - 1);
    is_uint(creating(), 1, "as long as takes may follow");
    pass_time(timers, 1);
    is_uint(creating(), 2, "then it begins, too");
    take(pool, &c);
    pass_time(timers, 0);
    is_uint(c.calls, 0, "a third waits");
    is_uint(creating(), 2, "within max_creating");
    answer_create(0);
    is_uint(c.calls, 1, "it gets the next new one");
    pass_time(timers, POOL_SHARE_QUIET_MS);
    is_uint(creating(), 2, "and the refill is made up for");
    make_all();
    is_uint(stats(pool).warm, 2, "full again");
    is_uint(stats(pool).taken_warm, 2, "two were warm");
    is_uint(stats(pool).taken_cold, 1, "one was not");
    give_back(&a);
    give_back(&b);
    give_back(&c);
    end_pool(pool);
}

/* Whoever comes while nothing is ready waits for what was begun for nobody. */
static void
test_hasten(void)
{
    struct pool *pool = make_pool(1, 2);
    struct taker a = { 0 }, b = { 0 }, c = { 0 };

    fake.n_hastened = 0;
    pass_time(timers, 0);
    is_uint(creating(), 1, "one is made for nobody");
    is_uint(fake.n_hastened, 0, "which has time");
    take(pool, &a);
    is_uint(fake.n_hastened, 0, "nothing is said from inside pool_take");
    pass_time(timers, 0);
    is_uint(creating(), 1, "who comes waits for that one");
    ok(fake.n_hastened == 1 && fake.hastened == fake.creates[0].arg, "and it has no time any more");
    take(pool, &b);
    pass_time(timers, 0);
    is_uint(creating(), 2, "for the next another is made");
    is_uint(fake.n_hastened, 1, "which needs no haste: it was begun for somebody; and once is enough");
    answer_create(0);
    is_uint(a.calls, 1, "the first is served");
    pass_time(timers, 0);
    is_uint(fake.n_hastened, 1, "no more is said");
    answer_create(0);
    is_uint(b.calls, 1, "the second too");
    make_all();
    is_uint(fake.n_hastened, 1, "a refill that nobody waits for is left alone");
    take(pool, &c);
    pass_time(timers, 0);
    is_uint(c.calls, 1, "who finds one ready");
    is_uint(fake.n_hastened, 1, "hastens nothing");
    make_all();
    give_back(&a);
    give_back(&b);
    give_back(&c);
    end_pool(pool);

    pool = make_pool(1, 2);
    a = (struct taker){ 0 };
    fake.n_hastened = 0;
    take(pool, &a);
    pool_take_cancel(a.take);
    pass_time(timers, 0);
    is_uint(creating(), 1, "who cancels leaves a refill");
    is_uint(fake.n_hastened, 0, "for nobody");
    end_pool(pool);
}

static void
test_size_0(void)
{
    struct pool *pool = make_pool(0, 4);
    struct taker a = { 0 };

    pass_time(timers, 0);
    is_uint(fake.n_creates, 0, "size 0 keeps none");
    take(pool, &a);
    pass_time(timers, 0);
    is_uint(creating(), 1, "a take creates one");
    answer_creates(0);
    ok(a.calls == 1 && a.sandbox != NULL, "and gets it");
    is_uint(fake.n_creates, 1, "nothing is refilled");
    give_back(&a);
    end_pool(pool);
}

static void
test_cancel(void)
{
    struct pool *pool = make_pool(0, 4);
    struct taker a = { 0 }, b = { 0 };

    take(pool, &a);
    take(pool, &b);
    pass_time(timers, 0);
    is_uint(creating(), 2, "two are created for two");
    pool_take_cancel(a.take);
    is_uint(stats(pool).waiting, 1, "one waits on");
    answer_creates(0);
    is_uint(a.calls, 0, "who cancelled is not called");
    ok(b.calls == 1 && b.rc == 0, "the other is served");
    is_uint(fake.alive, 1, "the surplus is destroyed");
    give_back(&b);
    end_pool(pool);

    pool = make_pool(0, 4);
    a = (struct taker){ 0 };
    b = (struct taker){ .cancel = &a };
    take(pool, &b);
    take(pool, &a);
    pass_time(timers, 0);
    answer_creates(0);
    ok(b.calls == 1 && a.calls == 0, "a callback may cancel another take");
    give_back(&b);
    end_pool(pool);
}

static void
test_backoff(void)
{
    struct pool *pool = make_pool(2, 2);
    static const unsigned steps[] = { 50, 100, 200, 400, 800, 1600, 2000, 2000 };

    pass_time(timers, 0);
    for (unsigned i = 0; i < SBX_COUNT(steps); i++) {
        unsigned before = fake.n_creates;

        answer_creates(RUNTIME_E_UNAVAILABLE);
        pass_time(timers, steps[i] - 1);
        is_uint(fake.n_creates, before, "pause %u: nothing before %u ms", i, steps[i]);
        pass_time(timers, 1);
        is_uint(creating(), 2, "then again");
    }
    is_uint(stats(pool).failed, 2 * SBX_COUNT(steps), "failures are counted");
    answer_creates(0);
    is_uint(stats(pool).warm, 2, "it recovers");
    end_pool(pool);
}

static void
test_failing(void)
{
    struct pool *pool = make_pool(1, 1);
    struct taker a = { 0 };

    pass_time(timers, 0);
    for (unsigned i = 0; i < 3; i++) {
        ok(!stats(pool).failing, "%u failures are no state", i);
        answer_create(RUNTIME_E_UNAVAILABLE);
        pass_time(timers, 2000);
    }
    ok(stats(pool).failing, "three in a row are");
    is_uint(creating(), 1, "a size above 0 is its own probe");
    answer_create(0);
    ok(!stats(pool).failing, "one that works ends it");
    last_sandbox->dead(last_sandbox->dead_arg);
    pass_time(timers, 2000);
    answer_create(RUNTIME_E_AGENT);
    pass_time(timers, 2000);
    answer_create(RUNTIME_E_AGENT);
    ok(!stats(pool).failing, "a death is no failed creation, and the count began anew");
    end_pool(pool);

    pool = make_pool(0, 2);
    for (unsigned i = 0; i < 3; i++) {
        take(pool, &a);
        pass_time(timers, 2000);
        is_uint(creating(), 1, "take %u: one creation", i);
        answer_create(RUNTIME_E_UNAVAILABLE);
    }
    ok(stats(pool).failing, "failures of takes count with size 0");
    is_uint(creating(), 0, "no probe at once");
    pass_time(timers, 2000);
    is_uint(creating(), 1, "but after the pause, though nobody takes");
    answer_create(RUNTIME_E_UNAVAILABLE);
    pass_time(timers, 399);
    is_uint(creating(), 0, "and not again before a longer one");
    pass_time(timers, 1);
    is_uint(creating(), 1, "then");
    answer_create(0);
    ok(!stats(pool).failing, "until one works");
    answer_destroys();
    is_uint(fake.alive, 0, "which is not kept");
    pass_time(timers, 10000);
    is_uint(creating(), 0, "nothing is probed any more");

    fake.create_error = -ENOMEM;
    for (unsigned i = 0; i < 3; i++) {
        take(pool, &a);
        pass_time(timers, 2000);
    }
    ok(stats(pool).failing, "creations that cannot start count too");
    pool_drain(pool, NULL, NULL);
    fake.create_error = 0;
    pass_time(timers, 10000);
    is_uint(creating(), 0, "who drains does not probe");
    end_pool(pool);
}

/* Nobody waits for what cannot come; what can is noticed without anybody asking. */
static void
test_unsupported(void)
{
    struct pool *pool = make_pool(0, 2);
    struct taker a = { 0 }, b = { 0 }, c = { 0 };

    take(pool, &a);
    take(pool, &b);
    take(pool, &c);
    pass_time(timers, 0);
    answer_create(RUNTIME_E_UNSUPPORTED);
    ok(a.calls == 1 && a.rc == RUNTIME_E_UNSUPPORTED && b.calls == 1 && b.rc == RUNTIME_E_UNSUPPORTED &&
           c.calls == 1 && c.rc == RUNTIME_E_UNSUPPORTED,
       "all who wait are told at the first word of it");
    ok(stats(pool).unsupported && stats(pool).failing, "and it shows");
    answer_create(RUNTIME_E_UNSUPPORTED);
    a = (struct taker){ 0 };
    take(pool, &a);
    ok(a.calls == 0, "the next one is not told from inside its call");
    pass_time(timers, 0);
    ok(a.calls == 1 && a.rc == RUNTIME_E_UNSUPPORTED, "but at once");
    is_uint(creating(), 0, "without another try");
    pass_time(timers, 2000);
    is_uint(creating(), 1, "that comes after the pause");
    answer_create(RUNTIME_E_UNAVAILABLE);
    ok(stats(pool).unsupported, "a failure of another kind says nothing new");
    pass_time(timers, 2000);
    answer_create(0);
    ok(!stats(pool).unsupported && !stats(pool).failing, "until one works");
    answer_destroys();
    b = (struct taker){ 0 };
    take(pool, &b);
    pass_time(timers, 0);
    answer_creates(0);
    ok(b.calls == 1 && b.rc == 0, "and who asks then gets one");
    give_back(&b);
    end_pool(pool);
}

static void
test_failed_take(void)
{
    struct pool *pool = make_pool(0, 2);
    struct taker a = { 0 }, b = { 0 }, c = { 0 };

    take(pool, &a);
    take(pool, &b);
    take(pool, &c);
    pass_time(timers, 0);
    is_uint(creating(), 2, "two of three at once");
    answer_create(RUNTIME_E_AGENT);
    ok(a.calls == 1 && a.rc == RUNTIME_E_UNAVAILABLE && a.sandbox == NULL, "the oldest is told");
    ok(b.calls == 0 && c.calls == 0, "the others wait");
    is_uint(creating(), 1, "no new try at once");
    answer_create(0);
    ok(b.calls == 1 && b.rc == 0, "what was under way serves the next");
    pass_time(timers, 50);
    is_uint(creating(), 1, "the last one's try comes after the pause");
    answer_create(0);
    ok(c.calls == 1 && c.rc == 0, "and serves it");
    give_back(&b);
    give_back(&c);

    fake.create_error = -ENOMEM;
    a = (struct taker){ 0 };
    take(pool, &a);
    pass_time(timers, 0);
    ok(a.calls == 1 && a.rc == RUNTIME_E_UNAVAILABLE, "a creation that cannot start is told too");
    fake.create_error = 0;
    end_pool(pool);
}

static void
test_retry_in_callback(void)
{
    struct pool *pool = make_pool(0, 1);
    struct taker a = { .again = pool };

    fake.create_error = -ENOMEM;
    take(pool, &a);
    pass_time(timers, 0);
    is_uint(a.calls, 1, "who tries again at once does not spin");
    fake.create_error = 0;
    pass_time(timers, 50);
    answer_creates(0);
    ok(a.calls == 2 && a.rc == 0, "and is served after the pause");
    give_back(&a);
    end_pool(pool);
}

static void
test_dead(void)
{
    struct pool *pool = make_pool(1, 1);
    struct taker a = { 0 };

    pass_time(timers, 0);
    answer_create(0);
    last_sandbox->dead(last_sandbox->dead_arg);
    is_uint(stats(pool).warm, 0, "a dead one is forgotten");
    is_uint(fake.alive, 0, "and destroyed");
    is_uint(creating(), 0, "not replaced at once: it may die again");
    take(pool, &a);
    pass_time(timers, 50);
    answer_create(0);
    ok(a.calls == 1 && a.rc == 0, "a take gets a living one");
    ok(last_sandbox->dead == NULL, "whose death is no longer the pool's business");
    give_back(&a);
    end_pool(pool);
}

static void
test_flush(void)
{
    struct pool *pool = make_pool(2, 2);

    pass_time(timers, 0);
    answer_creates(0);
    pool_flush(pool);
    is_uint(stats(pool).warm, 0, "nothing is warm after a flush");
    is_uint(fake.n_destroys, 2, "both are destroyed");
    pass_time(timers, 0);
    is_uint(creating(), 2, "and replaced");
    answer_destroys();
    answer_creates(0);
    is_uint(stats(pool).warm, 2, "by new ones");
    pool_flush(pool);
    pool_flush(pool);
    is_uint(fake.n_destroys, 4, "flushing nothing destroys nothing");
    end_pool(pool);
}

static unsigned n_drained;

static void
on_drained(void *arg _unused_)
{
    n_drained++;
}

static void
test_drain(void)
{
    struct pool *pool = make_pool(2, 1);
    struct taker a = { 0 }, b = { 0 };

    n_drained = 0;
    pass_time(timers, 0);
    answer_create(0);
    pass_time(timers, 0);
    is_uint(creating(), 1, "one warm, one on its way");
    pool_drain(pool, on_drained, NULL);
    pass_time(timers, 0);
    is_uint(n_drained, 0, "not drained before the warm one is gone");
    answer_destroys();
    is_uint(n_drained, 0, "nor before the last creation ended");
    answer_create(0);
    is_uint(n_drained, 0, "which is destroyed as well");
    answer_destroys();
    is_uint(n_drained, 1, "then it is");
    take(pool, &a);
    is_uint(a.calls, 0, "a take afterwards fails, but not from inside the call");
    pass_time(timers, 0);
    ok(a.calls == 1 && a.rc == RUNTIME_E_UNAVAILABLE, "it fails");
    pass_time(timers, 10000);
    is_uint(creating(), 0, "nothing is created any more");
    is_uint(n_drained, 1, "and drained is said once");
    end_pool(pool);

    n_drained = 0;
    pool = make_pool(0, 1);
    pass_time(timers, 0);
    take(pool, &a);
    take(pool, &b);
    pool_drain(pool, on_drained, NULL);
    is_uint(n_drained, 0, "an empty pool too says so from the loop");
    b.calls = 0;
    pass_time(timers, 0);
    ok(b.calls == 1 && b.rc == RUNTIME_E_UNAVAILABLE, "who waited is told");
    is_uint(n_drained, 1, "then it is drained");
    end_pool(pool);
}

static void
test_free(void)
{
    struct pool *pool = make_pool(2, 2);
    struct taker a = { 0 }, b = { 0 };

    take(pool, &a);
    pass_time(timers, 0);
    pool_free(pool);
    is_uint(a.calls, 0, "free cancels takes");
    answer_creates(0);
    is_uint(fake.alive, 0, "creations under way are destroyed when they end");
    is_uint(close_share(), 0, "no timer is left");

    pool = make_pool(0, 2);
    a = (struct taker){ .free_pool = pool };
    b = (struct taker){ 0 };
    take(pool, &a);
    take(pool, &b);
    pass_time(timers, 0);
    answer_create(0);
    ok(a.calls == 1 && b.calls == 0, "a callback may free the pool");
    answer_create(RUNTIME_E_UNAVAILABLE);
    give_back(&a);
    is_uint(fake.alive, 0, "nothing is left");
    is_uint(close_share(), 0, "no timer either");

    pool = make_pool(1, 1);
    pass_time(timers, 0);
    answer_create(0);
    pool_flush(pool);
    pool_free(pool);
    close_share();
    answer_destroys();
    pass("a destruction may end after the pool and what it shares");
}

static struct pool_line_stats
line_stats(const struct pool *pool, unsigned line)
{
    struct pool_line_stats ret;

    pool_line_stats(pool, line, &ret);
    return ret;
}

static const char *
language_of(const struct sandbox *sandbox)
{
    return sandbox == NULL ? "none" : ((const struct fake_sandbox *)(const void *)sandbox)->language;
}

static void
test_lines(void)
{
    static const struct pool_line_spec lines[] = {
        { .language = "", .min = 1, .max = 1, .memory = 1 },
        { .language = "python", .min = 2, .max = 2, .memory = 1 },
        { .language = "javascript", .min = 1, .max = 1, .memory = 1 },
    };
    struct taker a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
    struct pool *pool;

    open_share(1024, 1024, 1024);
    pool = make_lines(lines, 3, 8);
    make_all();
    is_uint(stats(pool).warm, 4, "each line is filled");
    is_uint(line_stats(pool, 1).prepared, 2, "with what it is prepared for");
    is_uint(line_stats(pool, 0).prepared, 0, "or with plain ones");
    take_for(pool, "javascript", &a);
    take_for(pool, "ruby", &b);
    pass_time(timers, 0);
    is_str(language_of(a.sandbox), "javascript", "a take gets one that is prepared for it");
    is_str(language_of(b.sandbox), "", "and a plain one when it has no line");
    is_uint(line_stats(pool, 2).hits, 1, "the one counts as a hit");
    is_uint(line_stats(pool, 0).hits, 1, "so does the other, on the line of all others");
    take_for(pool, "javascript", &c);
    take_for(pool, "javascript", &d);
    pass_time(timers, 0);
    is_str(language_of(c.sandbox), "python", "when neither is left, what another language does not need");
    is_str(language_of(d.sandbox), "python", "as long as there is some");
    is_uint(line_stats(pool, 1).stolen, 2, "which is counted");
    is_uint(line_stats(pool, 2).misses, 2, "as misses of who took them");
    give_back(&a);
    give_back(&b);
    give_back(&c);
    give_back(&d);
    make_all();
    is_uint(stats(pool).warm, 4, "all are made again");
    end_pool(pool);
}

/* What a language needed of late is not given to another one. */
static void
test_no_theft(void)
{
    static const struct pool_line_spec lines[] = {
        { .language = "", .max = 0, .memory = 1 },
        { .language = "python", .min = 2, .max = 2, .memory = 1 },
    };
    struct taker a = { 0 }, b = { 0 }, c = { 0 };
    struct pool *pool;

    open_share(1024, 1024, 1024);
    pool = make_lines(lines, 2, 8);
    make_all();
    take_for(pool, "python", &a);
    take_for(pool, "python", &b);
    make_all();
    give_back(&a);
    give_back(&b);
    take_for(pool, "ruby", &c);
    pass_time(timers, 0);
    is_uint(c.calls, 0, "who is of another language waits for one of its own");
    is_str(fake.creates[fake.n_creates - 1].language, "", "which is a plain one");
    answer_create(RUNTIME_E_UNAVAILABLE);
    pass_time(timers, 0);
    ok(c.calls == 1 && c.rc == 0, "when none can be made it gets what there is");
    is_str(language_of(c.sandbox), "python", "though it was another's");
    give_back(&c);
    end_pool(pool);
}

static void
test_demand(void)
{
    static const struct pool_line_spec lines[] = {
        { .language = "", .max = 0, .memory = 1 },
        { .language = "python", .min = 1, .max = 6, .memory = 1 },
    };
    struct taker takers[8] = { 0 };
    struct pool *pool;
    unsigned most = 0, seconds = 0;

    open_share(1024, 1024, 1024);
    pool = make_lines(lines, 2, 16);
    make_all();
    is_uint(stats(pool).warm, 1, "without demand there is min");
    ok(list_empty(&timers->armed), "and nothing ticks");
    for (unsigned i = 0; i < 4; i++) {
        take_for(pool, "python", &takers[i]);
    }
    make_all();
    is_uint(stats(pool).warm, 4, "after a burst of four there are four");
    for (unsigned i = 0; i < 4; i++) {
        give_back(&takers[i]);
        take_for(pool, "python", &takers[i]);
    }
    pass_time(timers, 0);
    is_uint(line_stats(pool, 1).hits, 5, "so the next burst finds them");
    make_all();
    for (unsigned i = 0; i < 8; i++) {
        give_back(&takers[i]);
        take_for(pool, "python", &takers[i]);
    }
    make_all();
    is_uint(stats(pool).warm, 6, "and never more than max");
    is_uint(line_stats(pool, 1).size, 6, "which is its size");
    while (stats(pool).warm > 1 && seconds < 600) {
        most = stats(pool).warm;
        pass_time(timers, 1000);
        make_all();
        if (stats(pool).warm > most) {
            break;
        }
        seconds++;
    }
    is_uint(stats(pool).warm, 1, "without takes it shrinks to min, never growing on the way");
    ok(seconds > 20 && seconds < 300, "after a while (%u s)", seconds);
    for (unsigned i = 0; i < 200; i++) {
        pass_time(timers, 1000);
        make_all();
    }
    ok(list_empty(&timers->armed), "and then nothing ticks any more");
    is_uint(fake.n_destroys, 5, "what was too many is destroyed, nothing else");
    for (unsigned i = 0; i < 8; i++) {
        give_back(&takers[i]);
    }
    end_pool(pool);
}

/* One after the other needs no more than one: it is made again in between. */
static void
test_slow_demand(void)
{
    static const struct pool_line_spec lines[] = {
        { .language = "", .max = 0, .memory = 1 },
        { .language = "python", .min = 0, .max = 16, .memory = 1 },
    };
    struct taker a = { 0 };
    struct pool *pool;

    open_share(1024, 1024, 1024);
    pool = make_lines(lines, 2, 16);
    make_all();
    is_uint(stats(pool).warm, 0, "nobody asked: nothing is kept");
    for (unsigned i = 0; i < 20; i++) {
        take_for(pool, "python", &a);
        make_all();
        give_back(&a);
    }
    is_uint(line_stats(pool, 1).size, 1, "twenty in turn want one");
    is_uint(line_stats(pool, 1).hits, 19, "all but the first found it");
    end_pool(pool);
}

/* Who got another's, or gave up, is owed nothing: else each would add to what is wanted for ever. */
static void
test_debts(void)
{
    static const struct pool_line_spec lines[] = {
        { .language = "", .min = 4, .max = 4, .memory = 1 },
        { .language = "python", .min = 1, .max = 64, .memory = 1 },
    };
    struct taker takers[3] = { 0 };
    struct pool *pool;

    open_share(1024, 1024, 1);
    pool = make_lines(lines, 2, 16);
    make_all();
    for (unsigned i = 0; i < 20; i++) {
        for (unsigned j = 0; j < 3; j++) {
            take_for(pool, "python", &takers[j]);
        }
        pool_take_cancel(takers[2].take);
        pass_time(timers, 0);
        for (unsigned j = 0; j < 2; j++) {
            give_back(&takers[j]);
        }
        for (unsigned j = 0; j < 2; j++) { /* never all that is missing */
            answer_create(0);
            pass_time(timers, 0);
        }
    }
    ok(line_stats(pool, 1).size <= 6, "twenty bursts of three want %u", line_stats(pool, 1).size);
    make_all();
    fake.create_error = -ENOMEM;
    pool_flush(pool);
    for (unsigned i = 0; i < 20; i++) {
        take_for(pool, "python", &takers[0]);
        pass_time(timers, 2000);
        ok(takers[0].calls == 1 && takers[0].rc != 0, "one that fails");
    }
    fake.create_error = 0;
    ok(line_stats(pool, 1).size <= 6, "twenty that failed want %u", line_stats(pool, 1).size);
    end_pool(pool);
}

static void
test_unprepared(void)
{
    static const struct pool_line_spec lines[] = {
        { .language = "", .max = 0, .memory = 1 },
        { .language = "python", .min = 2, .max = 2, .memory = 1 },
    };
    struct taker a = { 0 }, b = { 0 };
    struct pool *pool;

    open_share(1024, 1024, 1);
    fake.unprepared = true;
    pool = make_lines(lines, 2, 4);
    make_all();
    is_uint(stats(pool).warm, 2, "sandboxes whose interpreter does not start are kept");
    is_uint(line_stats(pool, 1).prepared, 0, "as plain ones");
    is_uint(line_stats(pool, 1).prepare_failed, 1, "one failed");
    is_str(fake.creates[1].language, "", "and the next was not asked for at once");
    ok(!stats(pool).failing, "the pool is not failing");
    take_for(pool, "python", &a);
    pass_time(timers, 0);
    ok(a.calls == 1 && a.rc == 0, "takes are served");
    is_uint(line_stats(pool, 1).misses, 1, "as misses");
    answer_creates(0);
    pass_time(timers, 1000);
    fake.unprepared = false;
    take_for(pool, "python", &b);
    make_all();
    is_uint(line_stats(pool, 1).prepared, 2, "after a while it is tried again, and works");
    is_uint(line_stats(pool, 1).prepare_failed, 1, "nothing failed meanwhile");
    give_back(&a);
    give_back(&b);
    end_pool(pool);
}

/* While there is work, what nobody waits for is made one at a time; for who waits there is no such limit. */
static void
test_busy(void)
{
    static const struct pool_line_spec lines[] = {
        { .language = "", .max = 0, .memory = 1 },
        { .language = "python", .min = 6, .max = 6, .memory = 1 },
    };
    struct taker takers[4] = { 0 };
    struct pool *pool, *other;

    open_share(1024, 1024, 3);
    pool = make_lines(lines, 2, 8);
    other = make_lines(lines, 2, 8);
    pass_time(timers, 0);
    is_uint(creating(), 3, "three refills at once, of all pools");
    is_busy = true;
    answer_create(0);
    pass_time(timers, 0);
    is_uint(creating(), 2, "while there is work none is added to those");
    answer_creates(0);
    pass_time(timers, 0);
    is_uint(creating(), 1, "but one is");
    for (unsigned i = 0; i < 4; i++) {
        take_for(pool, "ruby", &takers[i]);
    }
    pass_time(timers, 0);
    for (unsigned i = 0; i < 40 && stats(pool).waiting > 0; i++) {
        answer_create(0);
        pass_time(timers, 0);
    }
    is_uint(stats(pool).waiting, 0, "who waits is served meanwhile");
    pass_time(timers, POOL_SHARE_QUIET_MS);
    for (unsigned i = 0; i < 40 && creating() > 0; i++) {
        is_uint(creating(), 1, "one at a time");
        answer_create(0);
        pass_time(timers, 0);
    }
    ok(stats(pool).warm == 6 && stats(other).warm == 6, "and both are filled in the end");
    for (unsigned i = 0; i < 4; i++) {
        give_back(&takers[i]);
    }
    answer_destroys();
    pool_free(other);
    answer_destroys();
    end_pool(pool);
}

/* Refills go by turns: a pool that always lacks some does not keep the others from theirs. */
static void
test_turns(void)
{
    static const struct pool_line_spec lines[] = { { .language = "", .min = 4, .max = 4, .memory = 1 } };
    struct pool *a, *b;

    open_share(1024, 1024, 1);
    a = make_lines(lines, 1, 8);
    b = make_lines(lines, 1, 8);
    pass_time(timers, 0);
    for (unsigned i = 0; i < 4; i++) {
        answer_create(0);
        pass_time(timers, 0);
    }
    ok(stats(a).warm == 2 && stats(b).warm == 2, "four refills, two each");
    pool_free(a);
    make_all();
    is_uint(stats(b).warm, 4, "one that leaves, even while one is made for it, holds nobody up");
    end_pool(b);
}

static unsigned
size_of(const struct pool *pool, unsigned line)
{
    return line_stats(pool, line).size;
}

static void
test_caps(void)
{
    static const struct pool_line_spec small[] = {
        { .language = "", .min = 2, .max = 2, .memory = 1 },
        { .language = "python", .min = 0, .max = 100, .memory = 2 },
    };
    static const struct pool_line_spec large[] = {
        { .language = "", .min = 0, .max = 0, .memory = 17 },
        { .language = "python", .min = 0, .max = 100, .memory = 20 },
    };
    struct taker takers[60] = { 0 };
    struct pool *a, *b;

    open_share(102, 1024, 1024);
    a = make_lines(small, 2, 64);
    b = make_lines(large, 2, 64);
    for (unsigned i = 0; i < 60; i++) {
        take_for(i < 30 ? a : b, "python", &takers[i]);
    }
    make_all();
    is_uint(size_of(a, 0), 2, "what must be there comes first");
    ok(size_of(b, 1) == 2 && size_of(a, 1) == 30,
       "the rest is shared by memory: dear ones are fewer, and what cheap ones leave is theirs (%u, %u)",
       size_of(b, 1), size_of(a, 1));
    is_uint(stats(a).warm + stats(b).warm, 34, "and no more are there");
    for (unsigned i = 0; i < 60; i++) {
        give_back(&takers[i]);
    }
    pool_free(b);
    make_all();
    is_uint(size_of(a, 1), 30, "one that leaves takes its part along");
    end_pool(a);

    open_share(1024, 5, 1024);
    a = make_lines(small, 2, 64);
    b = make_lines(small, 2, 64);
    make_all();
    take_for(a, "python", &takers[0]);
    take_for(b, "python", &takers[1]);
    make_all();
    is_uint(stats(a).warm + stats(b).warm, 5, "the number of all is bound, too");
    give_back(&takers[0]);
    give_back(&takers[1]);
    pool_free(b);
    answer_destroys();
    end_pool(a);

    open_share(0, 0, 1);
    a = make_lines(small, 2, 64);
    make_all();
    is_uint(stats(a).warm, 0, "with room for none, none is kept");
    take_for(a, "python", &takers[0]);
    make_all();
    ok(takers[0].calls == 1 && takers[0].rc == 0, "and takes are served all the same");
    give_back(&takers[0]);
    end_pool(a);
}

/* For who waits no interpreter is started ahead, but one that is forked is taken, also by who has no line. */
static void
test_on_demand(void)
{
    static const struct pool_line_spec lines[] = {
        { .language = "", .max = 0, .memory = 1 },
        { .language = "python", .min = 1, .max = 1, .memory = 1 },
    };
    static const char long_name[] = "a-language-whose-name-is-too-long-for-the-launcher";
    struct taker takers[4] = { 0 };
    struct pool *pool;

    open_share(1024, 1024, 1);
    pool = make_lines(lines, 2, 8);
    make_all();
    take_for(pool, "python", &takers[0]);
    take_for(pool, "python", &takers[1]);
    pass_time(timers, 0);
    is_uint(takers[0].calls, 1, "one finds what is ready");
    is_str(fake.creates[1].language, "", "for the other a plain one is made");
    answer_create(0);
    ok(takers[1].calls == 1 && !takers[1].sandbox->is_prepared, "and it gets that");
    is_uint(line_stats(pool, 1).prepare_failed, 0, "nothing failed");
    make_all();
    fake.forks = true;
    take_for(pool, "python", &takers[2]);
    give_back(&takers[0]);
    take_for(pool, "python", &takers[0]);
    take_for(pool, "ruby", &takers[3]);
    pass_time(timers, 0);
    is_str(fake.creates[fake.n_creates - 2].language, "python", "where interpreters are forked one is");
    is_str(fake.creates[fake.n_creates - 1].language, "ruby",
           "of the language of who waits, whatever lines there are");
    answer_creates(0);
    ok(takers[0].calls == 1 && takers[0].sandbox->is_prepared && takers[3].calls == 1 &&
           takers[3].sandbox->is_prepared,
       "both get theirs");
    is_str(language_of(takers[3].sandbox), "ruby", "each its own");
    is_uint(line_stats(pool, 1).misses, 2, "though they had to wait");
    for (unsigned i = 0; i < 4; i++) {
        give_back(&takers[i]);
    }
    make_all();
    take_for(pool, "python", &takers[1]);
    take_for(pool, long_name, &takers[0]);
    pass_time(timers, 0);
    make_all();
    ok(takers[0].calls == 1 && takers[0].rc == 0, "who is of a language that the launcher could not be told");
    is_str(language_of(takers[0].sandbox), "", "gets a plain one");
    give_back(&takers[0]);
    give_back(&takers[1]);
    end_pool(pool);
}

/* A tenant's first goes before others' many, but not for ever. */
static void
test_turns_of_takes(void)
{
    static const struct pool_wish few = { .language = "python" };
    static const struct pool_wish some = { .language = "python", .others = 3 };
    static const struct pool_wish many = { .language = "python", .others = UINT_MAX };
    struct taker takers[6] = { 0 };
    struct pool *pool = make_pool(0, 1);
    unsigned after = 0;

    take_beside(pool, &many, &takers[0]);
    pass_time(timers, 1);
    take_beside(pool, &some, &takers[1]);
    pass_time(timers, 1);
    take_beside(pool, &few, &takers[2]);
    take_beside(pool, &few, &takers[3]);
    pass_time(timers, 1);
    is_uint(creating(), 1, "one is made for all of them");
    answer_create(0);
    ok(takers[2].calls == 1 && takers[0].calls + takers[1].calls + takers[3].calls == 0,
       "it goes to who has none, and came first of those");
    pass_time(timers, 0);
    answer_create(0);
    is_uint(takers[3].calls, 1, "the next to the next of those");
    pass_time(timers, 0);
    answer_create(0);
    ok(takers[1].calls == 1 && takers[0].calls == 0, "then to who has fewer");
    for (; after < 100 && takers[0].calls == 0; after++) {
        give_back(&takers[4]);
        take_beside(pool, &few, &takers[4]);
        pass_time(timers, 100);
        answer_create(0);
    }
    ok(after > 5 && after < 15, "who has many waits for %u others, a second at the most", after);
    pool_take_cancel(takers[4].take);
    for (unsigned i = 0; i < SBX_COUNT(takers); i++) {
        give_back(&takers[i]);
    }
    end_pool(pool);
}

/* The only one that there is, and dear: not made again beside the work that has just got it, but soon. */
static void
test_grace(void)
{
    const struct pool_line_spec line = { .language = "", .min = 1, .max = 1, .memory = 1 };
    struct taker takers[3] = { 0 };
    struct pool *pool;

    open_share(1024, 1024, 4);
    quiet_ms = 100;
    pool = make_lines(&line, 1, 8);
    quiet_ms = 0;
    pass_time(timers, 0);
    pass_time(timers, 80);
    answer_create(0);
    take(pool, &takers[0]);
    pass_time(timers, 9);
    is_uint(creating(), 0, "an eighth of what it takes is left to who has it");
    pass_time(timers, 1);
    is_uint(creating(), 1, "and no more, though that is less than is left to others");
    pass_time(timers, 4000);
    answer_create(0);
    take(pool, &takers[1]);
    pass_time(timers, 24);
    is_uint(creating(), 0, "of what takes long");
    take(pool, &takers[2]);
    pass_time(timers, 0);
    is_uint(creating(), 1, "but who waits for one does so for no grace");
    answer_create(0);
    is_uint(takers[2].calls, 1, "and gets it");
    pass_time(timers, 1);
    is_uint(creating(), 1, "at most so long, whoever took one meanwhile");
    for (unsigned i = 0; i < 3; i++) {
        give_back(&takers[i]);
    }
    make_all();
    end_pool(pool);
}

static const struct pool_line_spec beside_plain[] = {
    { .language = "", .min = 2, .max = 2, .memory = 1 },
    { .language = "python", .min = 1, .max = 1, .memory = 1 },
};

/* Where interpreters are forked one of its own is soon made, and a plain one is left to others. */
static void
test_insists(void)
{
    struct taker takers[5] = { 0 };
    struct pool *pool;

    open_share(1024, 1024, 1);
    fake.forks = true;
    pool = make_lines(beside_plain, 2, 2);
    make_all();
    for (unsigned i = 0; i < 4; i++) {
        take_for(pool, "python", &takers[i]);
    }
    pass_time(timers, 0);
    ok(takers[0].calls == 1 && takers[1].calls == 0,
       "one finds its own, the next waits though plain ones are ready");
    is_uint(creating(), 2, "as many are made for who waits as may be");
    is_str(fake.creates[fake.n_creates - 1].language, "python", "of its own language");
    take_for(pool, "ruby", &takers[4]);
    pass_time(timers, 0);
    is_uint(takers[4].calls, 1, "another language, which has none of its own, gets a plain one");
    answer_create(0);
    ok(takers[1].calls == 1 && takers[1].sandbox->is_forked, "who waits longest gets the first");
    ok(takers[2].calls == 0 && takers[3].calls == 0, "and it alone");
    for (unsigned i = 0; i < 4 && creating() > 0; i++) {
        answer_create(0);
    }
    ok(takers[2].calls == 1 && takers[3].calls == 1, "the others get theirs");
    is_uint(line_stats(pool, 0).warm, 1, "and no plain one went to any of them");
    for (unsigned i = 0; i < 5; i++) {
        give_back(&takers[i]);
    }
    end_pool(pool);
}

/* Where one is dear to make, who has just begun is left alone for longer; only by his own pool. */
static void
test_quiet(void)
{
    const struct pool_line_spec line = { .language = "", .min = 4, .max = 4, .memory = 1 };
    struct taker takers[5] = { 0 };
    struct pool *dear, *cheap;

    open_share(1024, 1024, 4);
    quiet_ms = 100;
    dear = make_lines(&line, 1, 8);
    quiet_ms = 0;
    cheap = make_lines(&line, 1, 8);
    make_all();
    take(dear, &takers[0]);
    pass_time(timers, 60);
    is_uint(creating(), 0, "no refill beside what was just begun");
    take(cheap, &takers[1]);
    pass_time(timers, POOL_SHARE_QUIET_MS);
    is_uint(creating(), 1, "another pool's begins");
    answer_create(0);
    pass_time(timers, 100 - 60 - POOL_SHARE_QUIET_MS - 1);
    is_uint(creating(), 0, "and this one has still time");
    pass_time(timers, 1);
    is_uint(creating(), 1, "until it was quiet for so long");
    answer_create(0);
    take(dear, &takers[2]);
    pass_time(timers, 0);
    take(dear, &takers[3]);
    take(dear, &takers[4]);
    pass_time(timers, 0);
    is_uint(creating(), 1, "but for what less than half is there of");
    for (unsigned i = 0; i < 5; i++) {
        give_back(&takers[i]);
    }
    make_all();
    pool_free(cheap);
    end_pool(dear);
}

/* What is being made for nobody serves who comes meanwhile; a plain one does not. */
static void
test_insists_on_refill(void)
{
    struct taker takers[2] = { 0 };
    struct pool *pool;

    open_share(1024, 1024, 1);
    fake.forks = true;
    pool = make_lines(beside_plain, 2, 8);
    make_all();
    take_for(pool, "python", &takers[0]);
    pass_time(timers, POOL_SHARE_QUIET_MS);
    is_uint(creating(), 1, "a refill is under way");
    take_for(pool, "python", &takers[1]);
    pass_time(timers, 0);
    is_uint(creating(), 1, "who comes then waits for it");
    answer_create(0);
    is_uint(takers[1].calls, 1, "and gets it");
    give_back(&takers[0]);
    give_back(&takers[1]);
    make_all();
    take_for(pool, "ruby", &takers[0]);
    pass_time(timers, POOL_SHARE_QUIET_MS);
    is_str(fake.creates[fake.n_creates - 1].language, "", "of plain ones there is a refill");
    take_for(pool, "python", &takers[1]);
    pass_time(timers, 0);
    give_back(&takers[1]);
    take_for(pool, "python", &takers[1]);
    pass_time(timers, 0);
    is_uint(creating(), 2, "beside which one is made for who cannot use that");
    answer_create(0);
    is_uint(takers[1].calls, 0, "the plain one is none for it");
    answer_create(0);
    ok(takers[1].calls == 1 && takers[1].sandbox->is_forked, "its own is");
    give_back(&takers[0]);
    give_back(&takers[1]);
    end_pool(pool);
}

/* Who insists is not left waiting for what cannot be had. */
static void
test_insists_in_vain(void)
{
    struct taker takers[3] = { 0 };
    struct pool *pool;

    open_share(1024, 1024, 1);
    fake.forks = true;
    pool = make_lines(beside_plain, 2, 8);
    make_all();
    take_for(pool, "python", &takers[0]);
    take_for(pool, "python", &takers[1]);
    pass_time(timers, 0);
    answer_create(RUNTIME_E_UNAVAILABLE);
    pass_time(timers, 0);
    ok(takers[1].calls == 1 && takers[1].rc == 0 && !takers[1].sandbox->is_prepared,
       "when its own cannot be made it gets a plain one");
    give_back(&takers[0]);
    give_back(&takers[1]);
    pass_time(timers, 10000);
    make_all();
    is_uint(stats(pool).warm, 3, "all are there again");

    fake.create_error = -ENOMEM;
    take_for(pool, "python", &takers[0]);
    take_for(pool, "python", &takers[1]);
    pass_time(timers, 0);
    ok(takers[1].calls == 1 && takers[1].rc == 0, "and when it cannot even be asked for");
    fake.create_error = 0;
    give_back(&takers[0]);
    give_back(&takers[1]);
    pass_time(timers, 10000);
    make_all();

    fake.forks = false;
    take_for(pool, "python", &takers[0]);
    take_for(pool, "python", &takers[1]);
    pass_time(timers, 0);
    is_uint(takers[1].calls, 0, "where none is forked any more one waits in vain");
    answer_create(0);
    ok(takers[1].calls == 1 && !takers[1].sandbox->is_prepared, "once");
    take_for(pool, "python", &takers[2]);
    pass_time(timers, 0);
    is_uint(takers[2].calls, 1, "the next takes a plain one");
    for (unsigned i = 0; i < 3; i++) {
        give_back(&takers[i]);
    }
    end_pool(pool);
}

/* Where one is soon made the last that is ready is for those who have few. */
static void
test_leaves_the_last(void)
{
    static const struct pool_wish many = { .language = "python", .others = 4 };
    static const struct pool_wish few = { .language = "python", .others = 3 };
    struct taker takers[4] = { 0 };
    struct pool *pool;

    open_share(1024, 1024, 1);
    fake.forks = true;
    pool = make_lines(beside_plain, 2, 2);
    make_all();
    for (unsigned i = 0; i < 3; i++) {
        take_beside(pool, &many, &takers[i]);
    }
    pass_time(timers, 0);
    is_uint(takers[0].calls + takers[1].calls + takers[2].calls, 0, "who has many leaves the last one");
    is_uint(creating(), 2, "one is made for it");
    answer_create(0);
    is_uint(takers[0].calls, 1, "which it gets");
    take_beside(pool, &few, &takers[3]);
    pass_time(timers, 0);
    is_uint(takers[3].calls, 1, "who has few finds the last");
    answer_create(0);
    ok(takers[1].calls + takers[2].calls == 0 && line_stats(pool, 1).warm == 1,
       "then the next one is left again");
    give_back(&takers[3]);
    take_beside(pool, &few, &takers[3]);
    pass_time(timers, 0);
    is_uint(takers[3].calls, 1, "and found");
    pass_time(timers, 400);
    for (unsigned i = 0; i < 2; i++) {
        answer_create(0);
    }
    ok(takers[1].calls + takers[2].calls == 2, "but who has waited its time leaves nothing");
    for (unsigned i = 0; i < 4; i++) {
        give_back(&takers[i]);
    }
    make_all();

    take_beside(pool, &many, &takers[0]);
    pass_time(timers, 0);
    is_uint(takers[0].calls, 0, "one that waits");
    answer_create(RUNTIME_E_UNAVAILABLE);
    pass_time(timers, 0);
    ok(takers[0].calls == 1 && takers[0].sandbox->is_prepared, "gets the last when none can be made");
    give_back(&takers[0]);
    end_pool(pool);

    open_share(1024, 1024, 1);
    pool = make_lines(beside_plain, 2, 2);
    make_all();
    take_beside(pool, &many, &takers[0]);
    pass_time(timers, 0);
    is_uint(takers[0].calls, 1, "where none is forked there is nothing to leave");
    give_back(&takers[0]);
    end_pool(pool);
}

/* Whatever happens, no sandbox is handed out twice, none is lost, and the pool fills up again. */
static void
test_random(unsigned seed)
{
    static const char *const languages[] = { "python", "javascript", "ruby" };
    static const struct pool_line_spec lines[] = {
        { .language = "", .min = 1, .max = 1, .memory = 1 },
        { .language = "python", .min = 1, .max = 3, .memory = 1 },
        { .language = "javascript", .min = 1, .max = 3, .memory = 4 },
    };
    struct taker takers[8] = { 0 };
    unsigned handed = 0, over = 0;
    struct pool *pool;

    open_share(12, 1024, 2);
    pool = make_lines(lines, 3, 2);
    srand(seed);
    for (unsigned i = 0; i < 2000; i++) {
        struct taker *taker = &takers[(unsigned)rand() % SBX_COUNT(takers)];

        switch (rand() % 8) {
        case 0:
        case 1:
            if (taker->take == NULL && taker->sandbox == NULL) {
                take_beside(
                    pool,
                    &(struct pool_wish){ .language = languages[rand() % 3], .others = (unsigned)rand() % 8 },
                    taker);
            }
            break;
        case 2:
            handed += taker->sandbox != NULL;
            give_back(taker);
            break;
        case 3:
            if (taker->take != NULL) {
                pool_take_cancel(taker->take);
                taker->take = NULL;
            }
            break;
        case 4:
        case 5:
            if (creating() > 0) {
                answer_create(rand() % 4 == 0 ? RUNTIME_E_UNAVAILABLE : 0);
            }
            break;
        case 6:
            answer_destroys();
            break;
        default:
            if (rand() % 50 == 0) {
                pool_flush(pool);
            }
            fake.unprepared = rand() % 8 == 0;
            fake.forks = rand() % 2 == 0;
            is_busy = rand() % 2 == 0;
            pass_time(timers, (unsigned)rand() % 100);
            break;
        }
        over += creating() > 2 || stats(pool).warm > 7 + 2; /* two may be on their way to who left */
    }
    is_uint(over, 0, "seed %u: never too many", seed);
    ok(handed > 50, "%u were handed out", handed);
    for (unsigned i = 0; i < SBX_COUNT(takers); i++) {
        if (takers[i].take != NULL) {
            pool_take_cancel(takers[i].take);
        }
        give_back(&takers[i]);
    }
    for (unsigned i = 0; i < 400; i++) {
        pass_time(timers, 2000);
        answer_creates(0);
        answer_destroys();
    }
    is_uint(stats(pool).warm, 3, "in the end each line has its min");
    is_uint(fake.alive, 3, "and nothing else lives");
    is_uint(stats(pool).created, stats(pool).taken_warm + stats(pool).taken_cold + fake.n_destroyed + 3,
            "each that was made went somewhere");
    end_pool(pool);
}

int
main(void)
{
    if (timers_new(&timers, NULL) != 0) {
        return 1;
    }
    test_spec();
    test_fill();
    test_warm_take();
    test_quiet();
    test_grace();
    test_hasten();
    test_size_0();
    test_cancel();
    test_backoff();
    test_failing();
    test_unsupported();
    test_failed_take();
    test_retry_in_callback();
    test_dead();
    test_flush();
    test_drain();
    test_free();
    test_lines();
    test_no_theft();
    test_demand();
    test_slow_demand();
    test_debts();
    test_unprepared();
    test_busy();
    test_turns();
    test_caps();
    test_on_demand();
    test_turns_of_takes();
    test_insists();
    test_insists_on_refill();
    test_insists_in_vain();
    test_leaves_the_last();
    for (unsigned seed = 1; seed <= 3; seed++) {
        test_random(seed);
    }
    timers = timers_free(timers);
    return done_testing();
}
