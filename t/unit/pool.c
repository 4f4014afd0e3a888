/* The warm pool over a runtime and timers of the test's own: time passes only when a test says so. */
#include "executor/core/pool.h"

#include <assert.h>

#include "executor/core/list.h"
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
    void (*dead)(void *arg);
    void *dead_arg;
    bool destroyed;
};

struct fake_call {
    runtime_created_fn created;
    runtime_done_fn destroyed;
    void *arg;
};

static struct {
    struct runtime base;
    struct fake_call creates[MAX_CALLS], destroys[MAX_CALLS];
    unsigned n_creates, n_created; /* asked, answered */
    unsigned n_destroys, n_destroyed;
    unsigned alive;
    int create_error; /* returned by create itself */
    char template_name[32];
} fake;

static int
fake_create(struct runtime *runtime, const char *template_name, runtime_created_fn done, void *arg)
{
    assert(runtime == &fake.base);
    if (fake.create_error != 0) {
        return fake.create_error;
    }
    (void)snprintf(fake.template_name, sizeof(fake.template_name), "%s", template_name);
    assert(fake.n_creates < MAX_CALLS);
    fake.creates[fake.n_creates++] = (struct fake_call){ .created = done, .arg = arg };
    return 0;
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

static void
taker_done(void *arg, int rc, struct sandbox *sandbox)
{
    struct taker *taker = arg;
    struct pool *again = steal(&taker->again);

    taker->calls++;
    taker->rc = rc;
    taker->sandbox = sandbox;
    taker->take = NULL;
    if (again != NULL && pool_take(again, &taker->take, taker_done, taker) != 0) {
        abort();
    }
    if (taker->cancel != NULL) {
        pool_take_cancel(taker->cancel->take);
    }
    taker->free_pool = pool_free(taker->free_pool);
}

static void
take(struct pool *pool, struct taker *taker)
{
    if (pool_take(pool, &taker->take, taker_done, taker) != 0) {
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

static struct pool *
make_pool(unsigned size, unsigned max_creating)
{
    struct pool_spec spec = {
        .runtime = &fake.base,
        .timers = timers,
        .template_name = "default",
        .size = size,
        .max_creating = max_creating,
    };
    struct pool *pool;

    memset(&fake, 0, sizeof(fake));
    fake.base.ops = &fake_ops;
    assert(pool_new(&pool, &spec) == 0);
    return pool;
}

/* After each test: nothing alive, nothing armed, nobody left. */
static void
end_pool(struct pool *pool)
{
    pool_free(pool);
    answer_creates(0);
    answer_destroys();
    is_uint(fake.alive, 0, "no sandbox is left");
    is_uint(n_timers, 0, "no timer is left");
    ok(list_empty(&timers->armed), "nothing is armed");
}

static struct pool_stats
stats(const struct pool *pool)
{
    struct pool_stats ret;

    pool_stats(pool, &ret);
    return ret;
}

static void
test_spec(void)
{
    struct pool_spec spec = {
        .runtime = &fake.base, .timers = timers, .template_name = "default", .size = 1
    };
    struct pool *pool = NULL;

    is_int(pool_new(&pool, &spec), -EINVAL, "a pool that may never create is refused");
    spec.max_creating = 1;
    spec.template_name = NULL;
    is_int(pool_new(&pool, &spec), -EINVAL, "a pool of no template is refused");
    is_uint(n_timers, 0, "and keeps nothing");
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
    is_uint(creating(), 2, "the next follows");
    answer_creates(0);
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
    is_uint(creating(), 2, "refills are under way");
    take(pool, &c);
    pass_time(timers, 0);
    is_uint(c.calls, 0, "a third waits");
    is_uint(creating(), 2, "within max_creating");
    answer_create(0);
    is_uint(c.calls, 1, "it gets the next new one");
    is_uint(creating(), 2, "and the refill is made up for");
    answer_creates(0);
    is_uint(stats(pool).warm, 2, "full again");
    is_uint(stats(pool).taken_warm, 2, "two were warm");
    is_uint(stats(pool).taken_cold, 1, "one was not");
    give_back(&a);
    give_back(&b);
    give_back(&c);
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
    is_uint(n_timers, 0, "no timer is left");

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
    is_uint(n_timers, 0, "no timer either");

    pool = make_pool(1, 1);
    pass_time(timers, 0);
    answer_create(0);
    pool_flush(pool);
    pool_free(pool);
    answer_destroys();
    pass("a destruction may end after the pool");
}

/* Whatever happens, no sandbox is handed out twice, none is lost, and the pool fills up again. */
static void
test_random(unsigned seed)
{
    struct pool *pool = make_pool(3, 2);
    struct taker takers[8] = { 0 };
    unsigned handed = 0, over = 0;

    srand(seed);
    for (unsigned i = 0; i < 2000; i++) {
        struct taker *taker = &takers[(unsigned)rand() % SBX_COUNT(takers)];

        switch (rand() % 8) {
        case 0:
        case 1:
            if (taker->take == NULL && taker->sandbox == NULL) {
                take(pool, taker);
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
            pass_time(timers, (unsigned)rand() % 100);
            break;
        }
        over += creating() > 2 || stats(pool).warm > 3;
    }
    is_uint(over, 0, "seed %u: never too many", seed);
    ok(handed > 50, "%u were handed out", handed);
    for (unsigned i = 0; i < SBX_COUNT(takers); i++) {
        if (takers[i].take != NULL) {
            pool_take_cancel(takers[i].take);
        }
        give_back(&takers[i]);
    }
    for (unsigned i = 0; i < 20; i++) {
        pass_time(timers, 2000);
        answer_creates(0);
    }
    is_uint(stats(pool).warm, 3, "it fills up in the end");
    is_uint(fake.alive, 3, "and nothing else lives");
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
    for (unsigned seed = 1; seed <= 3; seed++) {
        test_random(seed);
    }
    timers = timers_free(timers);
    return done_testing();
}
