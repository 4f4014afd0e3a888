/*
 * Token bucket arithmetic: integers only, a monotonic clock in milliseconds, no
 * memory of its own, so that a bucket may live in shared memory and be tested
 * without nginx.
 *
 * The level counts millionths of a token. sbx_rate's unit, tokens per 1000 s, is
 * then exactly "units per millisecond": refilling never rounds, however often it
 * is done.
 */
#pragma once

#include "lib/sbx_policy.h"

#pragma GCC visibility push(hidden)

#define NGX_SANDBOX_BUCKET_TOKEN 1000000u

/* A stamp this far ahead of the clock is a broken stamp, not another worker's fresher clock. */
#define NGX_SANDBOX_BUCKET_SKEW_MS 60000u

struct ngx_sandbox_bucket {
    uint64_t level;
    uint64_t stamp_ms;
};

void ngx_sandbox_bucket_init(struct ngx_sandbox_bucket *bucket, const struct sbx_rate *rate, uint64_t now_ms);
/* Brings the level up to date; a smaller burst than last time cuts it. */
void ngx_sandbox_bucket_refill(struct ngx_sandbox_bucket *bucket, const struct sbx_rate *rate,
                               uint64_t now_ms);
bool ngx_sandbox_bucket_has(const struct ngx_sandbox_bucket *bucket);
/* Takes one token; only after _has said yes. */
void ngx_sandbox_bucket_take(struct ngx_sandbox_bucket *bucket);
/* Whole tokens in the bucket. */
uint64_t ngx_sandbox_bucket_remaining(const struct ngx_sandbox_bucket *bucket);
/* Milliseconds until one more whole token is there; 0 when full, UINT64_MAX when the rate is zero. */
uint64_t ngx_sandbox_bucket_wait(const struct ngx_sandbox_bucket *bucket, const struct sbx_rate *rate);
/* Milliseconds an empty bucket takes to fill: the window that RateLimit-Policy names. */
uint64_t ngx_sandbox_bucket_window(const struct sbx_rate *rate);

#pragma GCC visibility pop
