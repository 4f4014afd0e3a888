/* Token bucket arithmetic: exact, saturating, indifferent to clocks that lag or jump. */
#include "ngx_sandbox_module/ngx_sandbox_bucket.h"
#include "tap.h"

#define TOKEN NGX_SANDBOX_BUCKET_TOKEN

static unsigned
drain(struct ngx_sandbox_bucket *bucket)
{
    unsigned n = 0;

    while (ngx_sandbox_bucket_has(bucket)) {
        ngx_sandbox_bucket_take(bucket);
        n++;
    }
    return n;
}

static void
test_burst(void)
{
    struct sbx_rate rate = { .per_second_milli = 100000, .burst = 5 };
    struct ngx_sandbox_bucket bucket;

    ngx_sandbox_bucket_init(&bucket, &rate, 1000);
    is_uint(ngx_sandbox_bucket_remaining(&bucket), 5, "a new bucket is full");
    is_uint(ngx_sandbox_bucket_wait(&bucket, &rate), 0, "a full bucket waits for nothing");
    is_uint(drain(&bucket), 5, "exactly the burst is there");
    ok(!ngx_sandbox_bucket_has(&bucket), "then none");
    is_uint(ngx_sandbox_bucket_wait(&bucket, &rate), 10, "100/s: the next is 10 ms away");

    ngx_sandbox_bucket_refill(&bucket, &rate, 1009);
    ok(!ngx_sandbox_bucket_has(&bucket), "9 ms are not enough");
    is_uint(ngx_sandbox_bucket_wait(&bucket, &rate), 1, "one more ms");
    ngx_sandbox_bucket_refill(&bucket, &rate, 1010);
    ok(ngx_sandbox_bucket_has(&bucket), "10 ms are");
    is_uint(drain(&bucket), 1, "for one token");

    ngx_sandbox_bucket_refill(&bucket, &rate, 1000000);
    is_uint(ngx_sandbox_bucket_remaining(&bucket), 5, "a long pause fills it and no more");

    rate.burst = 0;
    ngx_sandbox_bucket_init(&bucket, &rate, 0);
    is_uint(drain(&bucket), 1, "a burst of 0 counts as 1");
}

/* However the time is cut, the same number of tokens comes out: no rounding is lost or won. */
static void
test_exact(void)
{
    static const uint32_t rates[] = { 1, 3, 16, 333, 999, 1000, 1001, 16666, 99999, 1000000 };
    uint64_t step, at, taken, expected;
    unsigned i;

    for (i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        for (step = 1; step <= 1009; step += 112) {
            struct sbx_rate rate = { .per_second_milli = rates[i], .burst = 4000 };
            struct ngx_sandbox_bucket bucket;

            ngx_sandbox_bucket_init(&bucket, &rate, 0);
            taken = 0;
            for (at = 0; at <= 1009 * 100; at += step) {
                ngx_sandbox_bucket_refill(&bucket, &rate, at);
                taken += drain(&bucket);
            }
            expected = 4000 + (at - step) * rates[i] / TOKEN;
            if (taken != expected) {
                is_uint(taken, expected, "rate %u in steps of %ju ms", rates[i], (uintmax_t)step);
                return;
            }
        }
    }
    pass("burst + rate * time comes out whole at every rate and step");
}

static void
test_overflow(void)
{
    struct sbx_rate most = { .per_second_milli = UINT32_MAX, .burst = UINT32_MAX };
    struct sbx_rate least = { .per_second_milli = 1, .burst = UINT32_MAX };
    struct sbx_rate none = { .per_second_milli = 0, .burst = 1 };
    struct ngx_sandbox_bucket bucket;

    ngx_sandbox_bucket_init(&bucket, &most, 0);
    is_uint(ngx_sandbox_bucket_remaining(&bucket), UINT32_MAX, "the largest bucket");
    ngx_sandbox_bucket_refill(&bucket, &most, UINT64_MAX);
    is_uint(ngx_sandbox_bucket_remaining(&bucket), UINT32_MAX, "refilled after all of time");

    bucket.level = 0;
    bucket.stamp_ms = 0;
    ngx_sandbox_bucket_refill(&bucket, &most, UINT64_MAX);
    is_uint(ngx_sandbox_bucket_remaining(&bucket), UINT32_MAX,
            "from empty, at the largest rate: full, not wrapped");
    bucket.level = 0;
    bucket.stamp_ms = 0;
    ngx_sandbox_bucket_refill(&bucket, &least, UINT64_MAX / 2);
    is_uint(ngx_sandbox_bucket_remaining(&bucket), UINT32_MAX,
            "from empty, at the smallest rate: full, not wrapped");
    is_uint(ngx_sandbox_bucket_window(&least), (uint64_t)UINT32_MAX * TOKEN, "the longest window");

    ngx_sandbox_bucket_init(&bucket, &none, 0);
    is_uint(drain(&bucket), 1, "no rate: the burst");
    ngx_sandbox_bucket_refill(&bucket, &none, UINT64_MAX);
    ok(!ngx_sandbox_bucket_has(&bucket), "no rate: never again");
    is_uint(ngx_sandbox_bucket_wait(&bucket, &none), UINT64_MAX, "no rate: an endless wait");
    is_uint(ngx_sandbox_bucket_window(&none), UINT64_MAX, "no rate: an endless window");
}

static void
test_clock(void)
{
    struct sbx_rate rate = { .per_second_milli = 1000000, .burst = 10 };
    struct ngx_sandbox_bucket bucket;

    ngx_sandbox_bucket_init(&bucket, &rate, 500000);
    drain(&bucket);
    ngx_sandbox_bucket_refill(&bucket, &rate, 499990);
    is_uint(drain(&bucket), 0, "a lagging clock pays nothing");
    ngx_sandbox_bucket_refill(&bucket, &rate, 500000);
    is_uint(drain(&bucket), 0, "and its way back is not paid either");
    ngx_sandbox_bucket_refill(&bucket, &rate, 500003);
    is_uint(drain(&bucket), 3, "only new time is");

    ngx_sandbox_bucket_refill(&bucket, &rate, 100);
    is_uint(drain(&bucket), 0, "a clock that fell back pays nothing");
    ngx_sandbox_bucket_refill(&bucket, &rate, 102);
    is_uint(drain(&bucket), 2, "but the bucket is not frozen until it has caught up");
    ngx_sandbox_bucket_refill(&bucket, &rate, UINT64_MAX);
    is_uint(drain(&bucket), 10, "a clock that leapt ahead fills once");
    ngx_sandbox_bucket_refill(&bucket, &rate, 102);
    is_uint(drain(&bucket), 0, "and pays nothing on its return");
}

static void
test_change(void)
{
    struct sbx_rate wide = { .per_second_milli = 1000, .burst = 100 };
    struct sbx_rate narrow = { .per_second_milli = 1000, .burst = 3 };
    struct ngx_sandbox_bucket bucket;

    ngx_sandbox_bucket_init(&bucket, &wide, 0);
    ngx_sandbox_bucket_refill(&bucket, &narrow, 0);
    is_uint(ngx_sandbox_bucket_remaining(&bucket), 3, "a smaller burst holds at once");
    ngx_sandbox_bucket_refill(&bucket, &wide, 0);
    is_uint(ngx_sandbox_bucket_remaining(&bucket), 3, "a larger one is earned");
    ngx_sandbox_bucket_refill(&bucket, &wide, 2000);
    is_uint(ngx_sandbox_bucket_remaining(&bucket), 5, "at the rate");
    is_uint(ngx_sandbox_bucket_window(&narrow), 3000, "the window is the time to fill");
}

int
main(void)
{
    test_burst();
    test_exact();
    test_overflow();
    test_clock();
    test_change();
    return done_testing();
}
