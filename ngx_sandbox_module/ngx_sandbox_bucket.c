/* Owns the arithmetic of token buckets; see ngx_sandbox_bucket.h for the unit. */

#include <assert.h>

#include "ngx_sandbox_bucket.h"

/* At most 2^32 tokens of 10^6 units: far from 2^64. A burst of 0 would never admit anything. */
static uint64_t
bucket_capacity(const struct sbx_rate *rate)
{
    uint64_t burst = rate->burst == 0 ? 1 : rate->burst;

    return burst * NGX_SANDBOX_BUCKET_TOKEN;
}

void
ngx_sandbox_bucket_init(struct ngx_sandbox_bucket *bucket, const struct sbx_rate *rate, uint64_t now_ms)
{
    bucket->level = bucket_capacity(rate);
    bucket->stamp_ms = now_ms;
}

void
ngx_sandbox_bucket_refill(struct ngx_sandbox_bucket *bucket, const struct sbx_rate *rate, uint64_t now_ms)
{
    uint64_t capacity = bucket_capacity(rate);
    uint64_t elapsed, missing;

    if (bucket->level > capacity) {
        bucket->level = capacity;
    }

    if (now_ms <= bucket->stamp_ms) {
        /*
         * Workers cache the clock, so one may lag another: moving the stamp back
         * would pay the same time twice.
         */
        if (bucket->stamp_ms - now_ms > NGX_SANDBOX_BUCKET_SKEW_MS) {
            bucket->stamp_ms = now_ms;
        }
        return;
    }

    elapsed = now_ms - bucket->stamp_ms;
    bucket->stamp_ms = now_ms;

    if (rate->per_second_milli == 0) {
        return;
    }

    /* Compared by division: elapsed * rate may not fit. */
    missing = capacity - bucket->level;
    if (elapsed > missing / rate->per_second_milli) {
        bucket->level = capacity;
    } else {
        bucket->level += elapsed * rate->per_second_milli;
    }
}

bool
ngx_sandbox_bucket_has(const struct ngx_sandbox_bucket *bucket)
{
    return bucket->level >= NGX_SANDBOX_BUCKET_TOKEN;
}

void
ngx_sandbox_bucket_take(struct ngx_sandbox_bucket *bucket)
{
    assert(bucket->level >= NGX_SANDBOX_BUCKET_TOKEN);
    bucket->level -= NGX_SANDBOX_BUCKET_TOKEN;
}

uint64_t
ngx_sandbox_bucket_remaining(const struct ngx_sandbox_bucket *bucket)
{
    return bucket->level / NGX_SANDBOX_BUCKET_TOKEN;
}

uint64_t
ngx_sandbox_bucket_wait(const struct ngx_sandbox_bucket *bucket, const struct sbx_rate *rate)
{
    uint64_t missing = NGX_SANDBOX_BUCKET_TOKEN - bucket->level % NGX_SANDBOX_BUCKET_TOKEN;

    if (bucket->level >= bucket_capacity(rate)) {
        return 0;
    }
    if (rate->per_second_milli == 0) {
        return UINT64_MAX;
    }
    return (missing + rate->per_second_milli - 1) / rate->per_second_milli;
}

uint64_t
ngx_sandbox_bucket_window(const struct sbx_rate *rate)
{
    if (rate->per_second_milli == 0) {
        return UINT64_MAX;
    }
    return (bucket_capacity(rate) + rate->per_second_milli - 1) / rate->per_second_milli;
}
