/* Durations in fixed buckets, as Prometheus counts them. */
#pragma once

#include "lib/sbx_base.h"

#define HISTOGRAM_BUCKETS 13

struct histogram {
    uint64_t bucket[HISTOGRAM_BUCKETS + 1]; /* not cumulative; the last is +Inf */
    uint64_t count, sum_ms;
};

static const unsigned histogram_bounds_ms[HISTOGRAM_BUCKETS] = { 5,    10,   25,   50,    100,   250,  500,
                                                                 1000, 2500, 5000, 10000, 30000, 60000 };

static inline void
histogram_add(struct histogram *histogram, uint64_t ms)
{
    unsigned i = 0;

    while (i < HISTOGRAM_BUCKETS && ms > histogram_bounds_ms[i]) {
        i++;
    }
    histogram->bucket[i]++;
    histogram->count++;
    histogram->sum_ms += ms;
}

static inline void
histogram_add_all(struct histogram *histogram, const struct histogram *more)
{
    for (unsigned i = 0; i <= HISTOGRAM_BUCKETS; i++) {
        histogram->bucket[i] += more->bucket[i];
    }
    histogram->count += more->count;
    histogram->sum_ms += more->sum_ms;
}
