/* The shared quota table: exact keys, all or nothing, every count given back once. */
#include "ngx_sandbox_module/ngx_sandbox_quota.h"
#include "tap.h"

#define SIZE (256u * 1024)

static struct ngx_sandbox_quota *table;
static void *memory;

static struct ngx_sandbox_charge
charge(const char *key, uint32_t burst, uint32_t concurrency)
{
    struct ngx_sandbox_charge c = { .concurrency = concurrency };

    c.key_len = (uint8_t)strlen(key);
    memcpy(c.key, key, c.key_len);
    if (burst > 0) {
        c.rate.per_second_milli = 1000;
        c.rate.burst = burst;
    }
    return c;
}

static void
fresh(void)
{
    unsigned i;

    free(memory);
    memory = aligned_alloc(64, SIZE);
    if (memory == NULL) {
        BAIL_OUT("no memory");
    }
    memset(memory, 0xa5, SIZE);
    table = ngx_sandbox_quota_init(memory, SIZE, 42);
    if (table == NULL) {
        BAIL_OUT("no table");
    }
    for (i = 0; i < 3; i++) {
        ngx_sandbox_quota_join(table, i, (int32_t)(100 + i), 0);
    }
}

static int
admit(struct ngx_sandbox_charge one, unsigned slot, uint64_t now, struct ngx_sandbox_lease *lease)
{
    struct ngx_sandbox_verdict verdict;

    return ngx_sandbox_quota_admit(table, &one, 1, slot, now, lease, &verdict);
}

static uint32_t
leases(void)
{
    uint32_t n_entries, n_leases;

    ngx_sandbox_quota_usage(table, &n_entries, &n_leases);
    return n_leases;
}

static void
test_init(void)
{
    char small[4096];

    ok(ngx_sandbox_quota_init(small, sizeof(small), 1) == NULL, "too little memory is refused");
    ok(ngx_sandbox_quota_init(small, 0, 1) == NULL, "and none");
    fresh();
    ok(ngx_sandbox_quota_enter(table), "a new table is whole");
    ngx_sandbox_quota_leave(table);
    is_uint(leases(), 0, "and empty");
}

static void
test_rate(void)
{
    struct ngx_sandbox_charge both[2] = { charge("t:a", 3, 0), charge("g:a/x", 1, 0) };
    struct ngx_sandbox_verdict verdict;
    struct ngx_sandbox_lease lease;
    unsigned i, n = 0;

    fresh();
    for (i = 0; i < 10; i++) {
        n += admit(charge("t:a", 3, 0), 0, 0, &lease) == 0;
    }
    is_uint(n, 3, "exactly the burst is admitted");
    is_uint(lease.serial, 0, "no cap, no lease");
    is_int(admit(charge("t:ab", 1, 0), 0, 0, &lease), 0, "a longer key is another");
    is_int(admit(charge("t:", 1, 0), 0, 0, &lease), 0, "a shorter one too");
    is_int(admit(charge("t:a", 3, 0), 0, 999, &lease), NGX_SANDBOX_QUOTA_E_RATE,
           "not before a second has passed");
    is_int(admit(charge("t:a", 3, 0), 0, 1000, &lease), 0, "then one more");

    fresh();
    is_int(ngx_sandbox_quota_admit(table, both, 2, 0, 0, &lease, &verdict), 0, "two buckets admit");
    is_uint(verdict.charge, 1, "the tighter one speaks");
    is_uint(verdict.remaining, 0, "and has none left");
    is_int(ngx_sandbox_quota_admit(table, both, 2, 0, 0, &lease, &verdict), NGX_SANDBOX_QUOTA_E_RATE,
           "one is empty");
    is_uint(verdict.charge, 1, "it is named");
    is_uint(verdict.wait_ms, 1000, "with its wait");
    is_int(ngx_sandbox_quota_admit(table, both, 1, 0, 0, &lease, &verdict), 0, "the other lost nothing");
    is_uint(verdict.remaining, 1, "by the refusal");
}

static void
test_slowest(void)
{
    struct ngx_sandbox_charge two[2] = { charge("t:a", 1, 0), charge("g:a", 1, 0) };
    struct ngx_sandbox_verdict verdict;
    struct ngx_sandbox_lease lease;

    fresh();
    two[1].rate.per_second_milli = 100;
    is_int(ngx_sandbox_quota_admit(table, two, 2, 0, 0, &lease, &verdict), 0, "both full");
    is_int(ngx_sandbox_quota_admit(table, two, 2, 0, 0, &lease, &verdict), NGX_SANDBOX_QUOTA_E_RATE,
           "both empty");
    is_uint(verdict.wait_ms, 10000, "the wait is the longer one");
    is_int(ngx_sandbox_quota_admit(table, two, 2, 0, 9999, &lease, &verdict), NGX_SANDBOX_QUOTA_E_RATE,
           "it is true: not before");
    is_int(ngx_sandbox_quota_admit(table, two, 2, 0, 10000, &lease, &verdict), 0, "it is true: then");
}

static void
test_concurrency(void)
{
    struct ngx_sandbox_lease held[3], other, copy;
    unsigned i;

    fresh();
    for (i = 0; i < 3; i++) {
        is_int(admit(charge("t:a", 0, 3), i % 2, 0, &held[i]), 0, "request %u of 3", i + 1);
    }
    is_int(admit(charge("t:a", 0, 3), 0, 0, &other), NGX_SANDBOX_QUOTA_E_CONCURRENCY,
           "the cap holds across slots");
    is_uint(other.serial, 0, "a refusal holds nothing");
    is_int(admit(charge("t:b", 0, 3), 0, 0, &other), 0, "another key has a cap of its own");
    ngx_sandbox_quota_release(table, &other);

    copy = held[1];
    ngx_sandbox_quota_release(table, &held[1]);
    is_uint(leases(), 2, "one given back");
    ngx_sandbox_quota_release(table, &held[1]);
    ngx_sandbox_quota_release(table, &copy);
    is_uint(leases(), 2, "once only, also through a copy");
    is_int(admit(charge("t:a", 0, 3), 2, 0, &other), 0, "its place is free");
    ngx_sandbox_quota_release(table, &copy);
    is_int(admit(charge("t:a", 0, 3), 2, 0, &held[1]), NGX_SANDBOX_QUOTA_E_CONCURRENCY,
           "an old handle frees nobody");
    ngx_sandbox_quota_release(table, &held[0]);
    ngx_sandbox_quota_release(table, &held[2]);
    ngx_sandbox_quota_release(table, &other);
    is_uint(leases(), 0, "and all come back to zero");

    copy.index = UINT32_MAX;
    copy.serial = 1;
    ngx_sandbox_quota_release(table, &copy);
    is_uint(leases(), 0, "a handle out of range is harmless");
}

static bool
all_live(int32_t pid)
{
    return pid != 0;
}

static bool
dead_101(int32_t pid)
{
    return pid != 101;
}

static void
test_death(void)
{
    struct ngx_sandbox_lease held[4];

    fresh();
    is_int(admit(charge("t:a", 0, 4), 0, 0, &held[0]), 0, "one of worker 100");
    is_int(admit(charge("t:a", 0, 4), 1, 0, &held[1]), 0, "two of worker 101");
    is_int(admit(charge("t:a", 0, 4), 1, 0, &held[2]), 0, "the second");
    is_uint(ngx_sandbox_quota_reap(table, all_live, 1000), 0, "nobody is dead");
    is_uint(ngx_sandbox_quota_reap(table, dead_101, 1000), 2, "101 is: two come back");
    is_uint(ngx_sandbox_quota_reap(table, dead_101, 1000), 0, "once");
    is_uint(leases(), 1, "the living keep theirs");
    ngx_sandbox_quota_release(table, &held[1]);
    is_uint(leases(), 1, "a dead worker's handle is void");

    is_uint(ngx_sandbox_quota_join(table, 0, 777, 1000), 1,
            "a successor in the slot frees what was left there");
    is_uint(leases(), 0, "all back");

    is_int(admit(charge("t:a", 0, 4), 0, 1000, &held[0]), 0, "one of 777");
    is_int(admit(charge("t:a", 0, 4), 2, 1000, &held[1]), 0, "one of 102");
    ngx_sandbox_quota_beat(table, 0, 777, 1000 + NGX_SANDBOX_QUOTA_STALE_MS);
    is_uint(ngx_sandbox_quota_reap(table, all_live, 1 + NGX_SANDBOX_QUOTA_STALE_MS), 1,
            "a number that lives on in another process goes stale");
    is_uint(leases(), 1, "and the one that says it lives does not");
}

static void
test_killed_inside(void)
{
    struct ngx_sandbox_lease held, other;

    fresh();
    is_int(admit(charge("t:a", 1, 1), 0, 0, &held), 0, "a request runs");
    ok(ngx_sandbox_quota_enter(table), "somebody enters");
    ok(!ngx_sandbox_quota_enter(table), "and dies inside: the next one is told");
    ngx_sandbox_quota_leave(table);
    ok(ngx_sandbox_quota_enter(table), "once");
    ngx_sandbox_quota_leave(table);
    is_uint(leases(), 0, "the table is empty");
    is_int(admit(charge("t:a", 1, 1), 0, 0, &other), 0, "and works");
    ngx_sandbox_quota_release(table, &held);
    is_uint(leases(), 1, "a handle from before is void");
}

static void
test_full(void)
{
    struct ngx_sandbox_charge four[NGX_SANDBOX_QUOTA_CHARGES];
    struct ngx_sandbox_verdict verdict;
    struct ngx_sandbox_lease lease, hold;
    char key[32];
    unsigned i, k, refused = 0;
    uint32_t n_entries, n_leases;
    int r;

    fresh();
    is_int(admit(charge("t:held", 2, 1), 0, 0, &hold), 0, "a request is running");
    is_int(admit(charge("t:mine", 1, 0), 0, 0, &lease), 0, "a bucket is emptied");
    for (i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "g:flood/%u", i);
        refused += admit(charge(key, 1, 0), 0, 0, &lease) != 0;
        if (i % 64 == 0) {
            refused += admit(charge("t:mine", 1, 0), 0, 0, &lease) != NGX_SANDBOX_QUOTA_E_RATE;
        }
    }
    is_uint(refused, 0, "20000 keys pass through, and what is used in between is not forgotten");
    ngx_sandbox_quota_usage(table, &n_entries, &n_leases);
    ok(n_entries > 64 && n_entries < 20000, "%u entries were enough", n_entries);
    is_int(admit(charge("t:held", 2, 1), 0, 0, &lease), NGX_SANDBOX_QUOTA_E_CONCURRENCY,
           "what runs is never evicted");
    is_int(admit(charge("g:flood/0", 1, 0), 0, 0, &lease), 0, "the oldest idle one was");

    fresh();
    for (i = 0; i < 20000; i++) {
        for (k = 0; k < NGX_SANDBOX_QUOTA_CHARGES; k++) {
            snprintf(key, sizeof(key), "%u:%u", k, i);
            four[k] = charge(key, 0, 1);
        }
        r = ngx_sandbox_quota_admit(table, four, NGX_SANDBOX_QUOTA_CHARGES, 0, 0, &lease, &verdict);
        if (r) {
            break;
        }
    }
    is_int(r, NGX_SANDBOX_QUOTA_E_FULL, "full of running requests: refused, after %u", i);
    ok(i >= 16, "which takes some");
    is_uint(ngx_sandbox_quota_join(table, 0, 100, 0), i, "all of them come back");
    is_int(ngx_sandbox_quota_admit(table, four, NGX_SANDBOX_QUOTA_CHARGES, 0, 0, &lease, &verdict), 0,
           "and it works again");
}

/* Random work against a plain model: counts agree at every step, and end at zero. */
static void
test_model(void)
{
    enum { N_KEYS = 7, N_HELD = 40 };
    struct {
        struct ngx_sandbox_lease lease;
        int key;
        unsigned slot;
    } held[N_HELD];
    uint32_t count[N_KEYS] = { 0 }, total = 0, seed = 12345;
    unsigned step, at, key, slot, wrong = 0;
    char name[16];
    int r;

    fresh();
    for (at = 0; at < N_HELD; at++) {
        held[at].key = -1;
    }
    for (step = 0; step < 200000; step++) {
        seed = seed * 1664525u + 1013904223u;
        at = (seed >> 8) % N_HELD;
        slot = (seed >> 16) % 3;
        if (seed >> 24 == 0) {
            wrong += ngx_sandbox_quota_join(table, slot, (int32_t)(100 + slot), step) > total;
            for (at = 0; at < N_HELD; at++) {
                if (held[at].key >= 0 && held[at].slot == slot) {
                    count[held[at].key]--;
                    total--;
                    held[at].key = -1;
                }
            }
        } else if (held[at].key >= 0) {
            ngx_sandbox_quota_release(table, &held[at].lease);
            count[held[at].key]--;
            total--;
            held[at].key = -1;
        } else {
            key = (seed >> 20) % N_KEYS;
            snprintf(name, sizeof(name), "t:%u", key);
            r = admit(charge(name, 0, 4), slot, step, &held[at].lease);
            wrong += (r == 0) != (count[key] < 4);
            if (r == 0) {
                held[at].key = (int)key;
                held[at].slot = slot;
                count[key]++;
                total++;
            }
        }
        wrong += leases() != total;
    }
    is_uint(wrong, 0, "200000 steps agree with the model (seed 12345)");
    for (slot = 0; slot < 3; slot++) {
        ngx_sandbox_quota_join(table, slot, 0, 0);
    }
    is_uint(leases(), 0, "and end at zero");
}

int
main(void)
{
    test_init();
    test_rate();
    test_slowest();
    test_concurrency();
    test_death();
    test_killed_inside();
    test_full();
    test_model();
    free(memory);
    return done_testing();
}
