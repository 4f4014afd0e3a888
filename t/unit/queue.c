/* Admission: bounds, turns, caps, estimates. */
#include "executor/core/queue_inside.h"

#include <stdio.h>
#include <string.h>

#include "t/unit/tap.h"

struct thing {
    struct queue_item item;
    const char *name;
};

static struct queue *
make(unsigned running, unsigned waiting, unsigned per_tenant, uint64_t bytes)
{
    const struct queue_spec spec = {
        .max_running = running,
        .max_waiting = waiting,
        .max_waiting_per_tenant = per_tenant,
        .max_bytes = bytes,
    };
    struct queue *queue = NULL;

    ok(queue_new(&queue, &spec) == 0, "a queue");
    return queue;
}

static const char *
next_name(struct queue *queue)
{
    struct queue_item *item = queue_next(queue);

    return item == NULL ? "none" : list_entry(item, struct thing, item)->name;
}

static void
leave_all(struct queue *queue, struct thing *things, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        queue_leave(queue, &things[i].item, 0);
    }
    ok(queue_free(queue) == NULL, "nothing is left");
}

static void
put_many(struct queue *queue, struct thing *things, unsigned n, const char *tenant)
{
    for (unsigned i = 0; i < n; i++) {
        if (queue_put(queue, &things[i].item, tenant, "", 0) != 0) {
            fail("put");
        }
    }
}

static const char *unfit; /* of things by their name's first letter */

static bool
is_fit(void *arg, struct queue_item *item)
{
    ok(arg == &unfit, "its own argument");
    return strchr(unfit, list_entry(item, struct thing, item)->name[0]) == NULL;
}

/* What may not run now keeps its place and holds up nobody, whoever's it is. */
static void
test_fits(void)
{
    struct thing things[] = { { .name = "a1" }, { .name = "b1" }, { .name = "a2" },
                              { .name = "b2" }, { .name = "a3" }, { .name = "c1" } };
    static const char *const agents[] = { "x", "x", "x", "y", "y", "x" };
    const struct queue_spec spec = { .max_running = 10,
                                     .max_waiting = 10,
                                     .max_waiting_per_tenant = 10,
                                     .max_bytes = 1000,
                                     .fits = is_fit,
                                     .arg = &unfit };
    struct queue *queue = NULL;
    struct queue_stats stats;

    ok(queue_new(&queue, &spec) == 0, "a queue");
    for (unsigned i = 0; i < SBX_COUNT(things); i++) {
        ok(queue_put(queue, &things[i].item, i == 5 ? "u" : "t", agents[i], 0) == 0, "put");
    }
    unfit = "abc";
    is_str(next_name(queue), "none", "nothing may run");
    unfit = "ac";
    is_str(next_name(queue), "b1", "behind one that may not, of the same agent");
    is_str(next_name(queue), "b2", "of another agent");
    is_str(next_name(queue), "none", "no other may");
    unfit = "ab";
    is_str(next_name(queue), "c1", "of another tenant");
    queue_stats(queue, &stats);
    is_uint(stats.waiting, 3, "the others wait");
    ok(queue_put_back(queue, &things[1].item, "x") == 0, "one goes back");
    unfit = "";
    is_str(next_name(queue), "b1", "and is first again");
    is_str(next_name(queue), "a3", "the other agent's turn");
    is_str(next_name(queue), "a1", "then in the order they came");
    is_str(next_name(queue), "a2", "to the last");
    is_str(next_name(queue), "none", "which it was");
    leave_all(queue, things, SBX_COUNT(things));
}

static void
test_order_within_agent(void)
{
    struct thing things[] = { { .name = "1" }, { .name = "2" }, { .name = "3" } };
    struct queue *queue = make(1, 10, 10, 1000);

    for (unsigned i = 0; i < 3; i++) {
        ok(queue_put(queue, &things[i].item, "t", "a", 0) == 0, "put");
    }
    is_str(next_name(queue), "1", "the first first");
    is_str(next_name(queue), "none", "one slot, one job");
    queue_leave(queue, &things[0].item, 10);
    is_str(next_name(queue), "2", "then the second");
    ok(queue_put_back(queue, &things[1].item, "a") == 0, "it goes back");
    is_str(next_name(queue), "2", "and keeps its turn");
    queue_leave(queue, &things[1].item, 10);
    is_str(next_name(queue), "3", "then the third");
    leave_all(queue, things, 3);
}

static void
test_turns(void)
{
    struct thing things[] = {
        { .name = "A1" }, { .name = "A2" }, { .name = "A3" },
        { .name = "B1" }, { .name = "B2" }, { .name = "C1" },
    };
    static const char *const want[] = { "A1", "B1", "C1", "A2", "B2", "A3" };
    struct queue *queue = make(100, 10, 10, 1000);

    for (unsigned i = 0; i < 6; i++) {
        char tenant[2] = { things[i].name[0], '\0' };

        ok(queue_put(queue, &things[i].item, tenant, "", 0) == 0, "put");
    }
    for (unsigned i = 0; i < 6; i++) {
        is_str(next_name(queue), want[i], "tenants take turns");
    }
    leave_all(queue, things, 6);
}

static void
test_agents_take_turns(void)
{
    struct thing things[] = { { .name = "x1" }, { .name = "x2" }, { .name = "x3" }, { .name = "y1" } };
    static const char *const want[] = { "x1", "y1", "x2", "x3" };
    struct queue *queue = make(100, 10, 10, 1000);

    for (unsigned i = 0; i < 4; i++) {
        char agent[2] = { things[i].name[0], '\0' };

        ok(queue_put(queue, &things[i].item, "t", agent, 0) == 0, "put");
    }
    for (unsigned i = 0; i < 4; i++) {
        is_str(next_name(queue), want[i], "agents of a tenant take turns");
    }
    leave_all(queue, things, 4);
}

static void
test_flood_does_not_starve(void)
{
    static struct thing flood[200], one = { .name = "one" };
    struct queue *queue = make(1, 1000, 1000, 1000000);
    unsigned turns = 0;

    for (unsigned i = 0; i < 200; i++) {
        flood[i].name = "flood";
        if (queue_put(queue, &flood[i].item, "big", "a", 0) != 0) {
            fail("put");
        }
    }
    is_str(next_name(queue), "flood", "the flood came first");
    ok(queue_put(queue, &one.item, "small", "a", 0) == 0, "then one of another tenant");
    queue_leave(queue, &flood[0].item, 1);
    while (strcmp(next_name(queue), "one") != 0 && ++turns < 200) {
        queue_leave(queue, &flood[turns].item, 1);
    }
    ok(turns <= 1, "it waits for one turn at most (%u)", turns);
    queue_leave(queue, &one.item, 0);
    leave_all(queue, flood, 200);
}

/* Who runs little comes before those who run much, whoever waited longer. */
static void
test_least_first(void)
{
    static struct thing many[4][8], one[2] = { { .name = "one" }, { .name = "two" } };
    struct queue *queue = make(100, 1000, 1000, 100000);
    unsigned turns = 0;

    memset(many, 0, sizeof(many));
    for (unsigned i = 0; i < 4; i++) {
        char tenant[2] = { (char)('a' + i), '\0' };

        for (unsigned j = 0; j < 8; j++) {
            many[i][j].name = "many";
        }
        put_many(queue, many[i], 8, tenant);
    }
    for (unsigned i = 0; i < 10; i++) {
        (void)next_name(queue);
    }
    is_uint(queue_running_beside(&many[0][0].item), 2, "beside one of the first two others run");
    is_uint(queue_running_beside(&many[0][7].item), 3, "and three beside one that waits");
    put_many(queue, one, 2, "late");
    is_uint(queue_running_beside(&one[0].item), 0, "none of who came late");
    is_uint(queue_running_beside(&(struct queue_item){ 0 }), 0, "nor of who is in no queue");
    is_uint(queue_position(queue, &one[0].item), 1, "whose first is to be the next");
    is_str(next_name(queue), "one", "and is");
    while (strcmp(next_name(queue), "two") != 0 && ++turns < 40) {
    }
    ok(turns <= 1, "its second waits for one by the ring at most (%u)", turns);
    is_uint(queue_running_beside(&one[1].item), 1, "both run");
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < 8; j++) {
            queue_leave(queue, &many[i][j].item, 0);
        }
    }
    leave_all(queue, one, 2);
}

/* Nor does who runs much wait for ever behind those who always run less. */
static void
test_ring_beside_least(void)
{
    static struct thing much[8], little[2][40];
    struct queue *queue = make(20, 1000, 1000, 100000);
    unsigned turns = 0;

    memset(much, 0, sizeof(much));
    memset(little, 0, sizeof(little));
    put_many(queue, much, 8, "much");
    for (unsigned i = 0; i < 6; i++) {
        ok(queue_next(queue) == &much[i].item, "one that stays");
    }
    put_many(queue, little[0], 40, "b");
    put_many(queue, little[1], 40, "c");
    for (; turns < 40; turns++) {
        struct queue_item *item = queue_next(queue);

        if (item == &much[6].item) {
            break;
        }
        queue_leave(queue, item, 1); /* is over at once */
    }
    ok(turns > 0 && turns < 12, "after %u turns of others comes its own", turns);
    for (unsigned i = 0; i < 40; i++) {
        queue_leave(queue, &little[0][i].item, 0);
        queue_leave(queue, &little[1][i].item, 0);
    }
    leave_all(queue, much, 8);
}

static void
test_bounds(void)
{
    struct thing things[6] = { 0 };
    struct queue *queue = make(1, 3, 2, 1000);

    ok(queue_put(queue, &things[0].item, "a", "", 0) == 0, "one that may run at once");
    ok(queue_next(queue) == &things[0].item, "runs");
    ok(queue_put(queue, &things[1].item, "a", "", 0) == 0, "one waits");
    ok(queue_put(queue, &things[2].item, "a", "", 0) == 0, "two wait");
    is_int(queue_put(queue, &things[3].item, "a", "", 0), QUEUE_E_TENANT_FULL, "a tenant's third does not");
    ok(things[3].item.tenant == NULL, "and is in no queue");
    ok(queue_put(queue, &things[4].item, "b", "", 0) == 0, "another tenant's does");
    is_int(queue_put(queue, &things[5].item, "c", "", 0), QUEUE_E_FULL, "then all places are taken");
    queue_leave(queue, &things[1].item, 0);
    ok(queue_put(queue, &things[5].item, "c", "", 0) == 0, "who leaves makes room");
    leave_all(queue, things, 6);
}

static void
test_no_waiting_room(void)
{
    struct thing things[3] = { 0 };
    struct queue *queue = make(2, 0, 0, 1000);

    ok(queue_put(queue, &things[0].item, "a", "", 0) == 0, "a free slot is room");
    ok(queue_put(queue, &things[1].item, "a", "", 0) == 0, "so is the second");
    is_int(queue_put(queue, &things[2].item, "b", "", 0), QUEUE_E_FULL, "there is no third");
    ok(queue_next(queue) != NULL && queue_next(queue) != NULL, "both run");
    is_int(queue_put(queue, &things[2].item, "a", "", 0), QUEUE_E_TENANT_FULL, "nor later");
    leave_all(queue, things, 3);
}

static void
test_bytes(void)
{
    struct thing things[3] = { { .item.weight = 900 }, { .item.weight = 200 }, { .item.weight = 5000 } };
    struct queue *queue = make(1, 10, 10, 1000);
    struct queue_stats stats;

    ok(queue_put(queue, &things[0].item, "a", "", 0) == 0, "900 of 1000 bytes");
    is_int(queue_put(queue, &things[1].item, "b", "", 0), QUEUE_E_FULL, "200 more are too many");
    ok(queue_next(queue) != NULL, "it runs");
    is_int(queue_put(queue, &things[1].item, "b", "", 0), QUEUE_E_FULL, "a running one holds its bytes");
    queue_leave(queue, &things[0].item, 0);
    ok(queue_put(queue, &things[2].item, "b", "", 0) == 0, "one larger than everything runs alone");
    queue_stats(queue, &stats);
    is_int((long)stats.bytes, 5000, "bytes are counted");
    leave_all(queue, things, 3);
}

static void
test_cap(void)
{
    struct thing things[] = { { .name = "a1" }, { .name = "a2" }, { .name = "a3" }, { .name = "b1" } };
    struct queue *queue = make(4, 10, 2, 1000);

    ok(queue_put(queue, &things[0].item, "a", "", 1) == 0, "put");
    ok(queue_put(queue, &things[1].item, "a", "", 1) == 0, "put");
    ok(queue_put(queue, &things[2].item, "a", "", 1) == 0, "the slot it may use is room besides");
    ok(queue_put(queue, &things[3].item, "b", "", 0) == 0, "put");
    is_str(next_name(queue), "a1", "one of the capped tenant");
    is_str(next_name(queue), "b1", "the other tenant passes it");
    is_str(next_name(queue), "none", "slots are free and the cap holds");
    queue_leave(queue, &things[0].item, 5);
    is_str(next_name(queue), "a2", "the next when one ends");
    leave_all(queue, things, 4);
}

static unsigned
run_all(struct queue *queue)
{
    unsigned n = 0;

    while (queue_next(queue) != NULL) {
        n++;
    }
    return n;
}

/* Without any cap the slots of a tenant alone, and that the next ones find some. */
static void
test_greed(void)
{
    static const struct {
        unsigned slots, first, second, third;
    } cases[] = { { 1, 1, 0, 0 }, { 2, 2, 0, 0 }, { 3, 3, 0, 0 },   { 4, 3, 1, 0 },
                  { 5, 4, 1, 0 }, { 8, 6, 2, 0 }, { 16, 12, 3, 1 }, { 64, 48, 12, 3 } };
    static struct thing things[3][100];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct queue *queue = make(cases[i].slots, 1000, 1000, 100000);

        memset(things, 0, sizeof(things));
        put_many(queue, things[0], 100, "a");
        is_int((long)run_all(queue), cases[i].first, "of %u slots one tenant", cases[i].slots);
        put_many(queue, things[1], 100, "b");
        is_int((long)run_all(queue), cases[i].second, "a second one");
        put_many(queue, things[2], 100, "c");
        is_int((long)run_all(queue), cases[i].third, "a third one");
        leave_all(queue, things[0], 300);
    }
}

static void
test_greed_gives_way(void)
{
    static struct thing greedy[10], other[10];
    struct queue *queue = make(4, 100, 100, 100000);

    put_many(queue, greedy, 10, "a");
    is_int((long)run_all(queue), 3, "three of four");
    put_many(queue, other, 10, "b");
    is_int((long)run_all(queue), 1, "the fourth is another's");
    queue_leave(queue, &greedy[0].item, 0);
    queue_leave(queue, &greedy[1].item, 0);
    is_int((long)run_all(queue), 2, "what a greedy one leaves");
    ok(other[1].item.agent == NULL && other[2].item.agent != NULL, "is shared: two each");
    for (unsigned i = 0; i < 10; i++) {
        queue_leave(queue, &other[i].item, 0);
    }
    leave_all(queue, greedy, 10);
}

static void
test_bytes_of_one(void)
{
    struct thing things[6] = { { .item.weight = 500 }, { .item.weight = 240 }, { .item.weight = 11 },
                               { .item.weight = 240 }, { .item.weight = 10 },  { .item.weight = 800 } };
    struct queue *queue = make(1, 10, 10, 1000);

    ok(queue_put(queue, &things[0].item, "a", "", 0) == 0, "500 of 1000 bytes");
    ok(queue_put(queue, &things[1].item, "a", "", 0) == 0, "740");
    is_int(queue_put(queue, &things[2].item, "a", "", 0), QUEUE_E_TENANT_FULL, "not more than 750 for one");
    ok(queue_put(queue, &things[3].item, "b", "", 0) == 0, "another has the rest");
    ok(queue_put(queue, &things[4].item, "a", "", 0) == 0, "exactly 750");
    queue_leave(queue, &things[0].item, 0);
    queue_leave(queue, &things[1].item, 0);
    queue_leave(queue, &things[3].item, 0);
    queue_leave(queue, &things[4].item, 0);
    ok(queue_put(queue, &things[5].item, "a", "", 0) == 0, "what left is not counted; a large one alone");
    leave_all(queue, things, 6);
}

static uint64_t age, most; /* of whatever runs */

static void
look(void *arg _unused_, struct queue_item *item _unused_, uint64_t *age_ms, uint64_t *most_ms)
{
    *age_ms = age;
    *most_ms = most;
}

static struct queue *
make_seen(unsigned running, unsigned waiting, unsigned per_tenant)
{
    const struct queue_spec spec = { .max_running = running,
                                     .max_waiting = waiting,
                                     .max_waiting_per_tenant = per_tenant,
                                     .max_bytes = 1000,
                                     .look = look };
    struct queue *queue = NULL;

    age = most = 0;
    ok(queue_new(&queue, &spec) == 0, "a queue");
    return queue;
}

/* One of `ms` has run. */
static void
teach(struct queue *queue, uint64_t ms)
{
    struct thing thing = { 0 };

    ok(queue_put(queue, &thing.item, "before", "", 0) == 0 && queue_next(queue) == &thing.item, "one runs");
    queue_leave(queue, &thing.item, ms);
}

static void
test_retry_after(void)
{
    struct thing things[8] = { 0 };
    struct queue *queue = make_seen(1, 4, 2);

    is_uint(queue_retry_after_s(queue, "t", 1, 0), 1, "at least a second");
    put_many(queue, things, 3, "t");
    ok(queue_next(queue) == &things[0].item, "one runs, two wait");
    is_int(queue_put(queue, &things[3].item, "t", "", 0), QUEUE_E_TENANT_FULL, "no third");
    is_uint(queue_retry_after_s(queue, "t", 1, 0), 5, "nothing is known: a guess");
    most = 2000;
    is_uint(queue_retry_after_s(queue, "t", 1, 0), 2, "never more than it may take");
    most = 0;
    age = 20000;
    is_uint(queue_retry_after_s(queue, "t", 1, 0), 11, "who takes long takes half as long again");
    age = 0;
    queue_leave(queue, &things[0].item, 2000);
    is_uint(queue_retry_after_s(queue, "t", 1, 0), 1, "there is room again");
    ok(queue_next(queue) == &things[1].item, "the next");
    put_many(queue, &things[3], 1, "t");
    is_uint(queue_retry_after_s(queue, "t", 1, 0), 6, "2000 ms, and four times the deviation");
    for (unsigned i = 0; i < 40; i++) {
        estimate_add(&queue_tenant_find(queue, "t")->runs, 2000);
    }
    is_uint(queue_retry_after_s(queue, "t", 1, 0), 2, "what is always the same is known well");
    age = 1500;
    is_uint(queue_retry_after_s(queue, "t", 1, 0), 1, "and is nearly over");
    queue_leave(queue, &things[1].item, 86400000);
    ok(queue_next(queue) == &things[2].item, "the next");
    put_many(queue, &things[4], 1, "t");
    age = 0;
    is_uint(queue_retry_after_s(queue, "t", 1, 0), 3600, "never more than an hour");
    leave_all(queue, things, 8);
}

/* Room that others take has to be given back by them. */
static void
test_retry_after_of_others(void)
{
    struct thing things[8] = { 0 };
    struct queue *queue = make_seen(1, 2, 2);

    teach(queue, 1000);
    for (unsigned i = 0; i < 40; i++) {
        estimate_add(&queue->runs, 1000);
    }
    put_many(queue, things, 1, "a");
    ok(queue_next(queue) == &things[0].item, "a's runs");
    put_many(queue, &things[1], 1, "a");
    put_many(queue, &things[2], 1, "b");
    is_int(queue_put(queue, &things[3].item, "c", "", 0), QUEUE_E_FULL, "no room for anybody");
    is_uint(queue_retry_after_s(queue, "c", 1, 0), 1, "until the first ends");
    things[3].item.weight = 999;
    is_uint(queue_retry_after_s(queue, "c", 999, 0), 1, "large, but so small are the others");
    leave_all(queue, things, 8);

    memset(things, 0, sizeof(things));
    queue = make_seen(1, 10, 10);
    for (unsigned i = 0; i < 40; i++) {
        estimate_add(&queue->runs, 1000);
    }
    things[0].item.weight = things[1].item.weight = things[2].item.weight = 300;
    put_many(queue, things, 1, "a");
    put_many(queue, &things[1], 1, "b");
    put_many(queue, &things[2], 1, "c");
    ok(queue_next(queue) == &things[0].item, "a's runs");
    is_int(queue_put(queue, &(struct queue_item){ .weight = 500 }, "d", "", 0), QUEUE_E_FULL,
           "bytes are taken");
    is_uint(queue_retry_after_s(queue, "d", 500, 0), 2, "two of them have to go");
    is_uint(queue_retry_after_s(queue, "d", 900, 0), 3, "all of them have to go");
    leave_all(queue, things, 8);
}

static void
is_order(struct queue *queue, struct thing **waiting, unsigned n)
{
    unsigned said[16];

    for (unsigned i = 0; i < n; i++) {
        said[i] = queue_position(queue, &waiting[i]->item);
    }
    for (unsigned place = 1; place <= n; place++) {
        struct queue_item *item = queue_next(queue);

        for (unsigned i = 0; i < n; i++) {
            if (item == &waiting[i]->item) {
                is_uint(said[i], place, "%s had been told its place", waiting[i]->name);
                is_uint(queue_position(queue, item), 0, "it does not wait any more");
            }
        }
        if (item == NULL) {
            fail("the next one");
            return;
        }
        queue_leave(queue, item, 1);
    }
    is_str(next_name(queue), "none", "that was the last");
}

/* What was said is what comes, if nothing else does. */
static void
test_position(void)
{
    struct thing things[] = { { .name = "run" }, { .name = "ax1" }, { .name = "ax2" }, { .name = "ay1" },
                              { .name = "ax3" }, { .name = "b1" },  { .name = "b2" },  { .name = "c1" },
                              { .name = "ay2" }, { .name = "b3" } };
    struct thing *waiting[9];
    struct queue *queue = make(1, 100, 100, 1000);

    is_uint(queue_position(queue, &things[0].item), 0, "who is in no queue has no place");
    ok(queue_put(queue, &things[0].item, "a", "x", 0) == 0 && queue_next(queue) == &things[0].item,
       "one runs");
    for (unsigned i = 1; i < SBX_COUNT(things); i++) {
        char tenant[2] = { things[i].name[0], '\0' }, agent[2] = { things[i].name[1], '\0' };

        ok(queue_put(queue, &things[i].item, tenant, agent, 0) == 0, "put");
        waiting[i - 1] = &things[i];
    }
    is_uint(queue_position(queue, &things[1].item), 1, "the first");
    queue_leave(queue, &things[0].item, 1);
    is_order(queue, waiting, 9);
    leave_all(queue, things, SBX_COUNT(things));
}

/* As many as there are slots start, and nobody leaves: those who run less come first, in what is said as well. */
static void
test_position_of_those_who_run_less(void)
{
    struct thing things[] = { { .name = "a1" }, { .name = "a2" }, { .name = "a3" }, { .name = "a4" },
                              { .name = "b1" }, { .name = "b2" }, { .name = "c1" }, { .name = "a5" } };
    struct queue *queue = make(40, 100, 100, 1000);
    unsigned said[8], wrong = 0;

    for (unsigned i = 0; i < 2; i++) {
        ok(queue_put(queue, &things[i].item, "a", "", 0) == 0 && queue_next(queue) == &things[i].item,
           "one runs");
    }
    for (unsigned i = 2; i < SBX_COUNT(things); i++) {
        char tenant[2] = { things[i].name[0], '\0' };

        ok(queue_put(queue, &things[i].item, tenant, "", 0) == 0, "put");
    }
    for (unsigned i = 2; i < SBX_COUNT(things); i++) {
        said[i] = queue_position(queue, &things[i].item);
    }
    is_uint(said[7], 6, "the last of who runs most is the last");
    for (unsigned place = 1; place <= 6; place++) {
        struct queue_item *item = queue_next(queue);

        for (unsigned i = 2; i < SBX_COUNT(things); i++) {
            wrong += item == &things[i].item && said[i] != place;
        }
    }
    is_uint(wrong, 0, "all start where they had been told");
    leave_all(queue, things, SBX_COUNT(things));
}

static void
test_position_after_put_back(void)
{
    struct thing things[] = { { .name = "a1" }, { .name = "a2" }, { .name = "b1" } };
    struct thing *waiting[] = { &things[0], &things[1], &things[2] };
    struct queue *queue = make(1, 100, 100, 1000);

    for (unsigned i = 0; i < 3; i++) {
        char tenant[2] = { things[i].name[0], '\0' };

        ok(queue_put(queue, &things[i].item, tenant, "", 0) == 0, "put");
    }
    ok(queue_next(queue) == &things[0].item && queue_put_back(queue, &things[0].item, "") == 0,
       "one goes back");
    is_order(queue, waiting, 3);
    leave_all(queue, things, 3);
}

/* Who is at its cap is passed over, in what is said as well. */
static void
test_position_with_cap(void)
{
    static struct thing capped[4], other[6];
    struct queue *queue = make(4, 100, 100, 1000);

    memset(capped, 0, sizeof(capped));
    for (unsigned i = 0; i < 4; i++) {
        ok(queue_put(queue, &capped[i].item, "capped", "", 1) == 0, "put");
    }
    put_many(queue, other, 6, "other");
    is_int((long)run_all(queue), 4, "one and three");
    is_uint(queue_position(queue, &capped[1].item), 1, "of those that began at once the first ends first");
    is_uint(queue_position(queue, &other[3].item), 2, "then one of the others");
    ok(queue_position(queue, &capped[3].item) > queue_position(queue, &other[5].item),
       "its last is the last");
    is_uint(queue_position(queue, &capped[3].item), 6, "of six");
    for (unsigned i = 0; i < 6; i++) {
        queue_leave(queue, &other[i].item, 0);
    }
    leave_all(queue, capped, 4);
}

/* However much waits, an answer takes a bounded time. */
static void
test_position_of_many(void)
{
    static struct thing things[3000];
    struct queue *queue = make(1, 100000, 100000, 1000000);

    for (unsigned i = 0; i < 3000; i++) {
        char tenant[8];

        (void)snprintf(tenant, sizeof(tenant), "t%u", i % 1000);
        if (queue_put(queue, &things[i].item, tenant, "", 1) != 0) {
            fail("put");
        }
    }
    is_uint(queue_position(queue, &things[0].item), 1, "the first");
    is_uint(queue_position(queue, &things[999].item), 1000, "the last of the first round");
    is_uint(queue_position(queue, &things[2999].item), 3000, "the last");
    leave_all(queue, things, 3000);
}

static void
test_leave_twice(void)
{
    struct thing things[2] = { 0 };
    struct queue *queue = make(1, 10, 10, 1000);
    struct queue_stats stats;

    queue_leave(queue, &things[0].item, 0);
    pass("who is in no queue may leave");
    ok(queue_put(queue, &things[0].item, "t", "", 0) == 0, "put");
    queue_leave(queue, &things[0].item, 0);
    queue_leave(queue, &things[0].item, 0);
    queue_stats(queue, &stats);
    ok(stats.waiting == 0 && stats.running == 0 && stats.tenants == 0 && stats.bytes == 0,
       "twice counts once");
    leave_all(queue, things, 2);
}

int
main(void)
{
    test_fits();
    test_order_within_agent();
    test_turns();
    test_agents_take_turns();
    test_flood_does_not_starve();
    test_least_first();
    test_ring_beside_least();
    test_bounds();
    test_no_waiting_room();
    test_bytes();
    test_cap();
    test_greed();
    test_greed_gives_way();
    test_bytes_of_one();
    test_retry_after();
    test_retry_after_of_others();
    test_position();
    test_position_of_those_who_run_less();
    test_position_after_put_back();
    test_position_with_cap();
    test_position_of_many();
    test_leave_twice();
    return done_testing();
}
