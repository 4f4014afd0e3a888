/*
 * How long something takes, learnt from those before: a moving mean and the mean deviation from it, as TCP keeps them of
 * its round trips (Jacobson, 1988). Zeroed: nothing is known.
 */
#pragma once

#include "lib/sbx_base.h"

struct estimate {
    uint64_t mean_ms, deviation_ms;
};

static inline void
estimate_add(struct estimate *estimate, uint64_t ms)
{
    uint64_t off = ms > estimate->mean_ms ? ms - estimate->mean_ms : estimate->mean_ms - ms;

    if (estimate->mean_ms == 0) {
        *estimate = (struct estimate){ .mean_ms = ms, .deviation_ms = ms / 2 };
        return;
    }
    estimate->deviation_ms = (3 * estimate->deviation_ms + off) / 4;
    estimate->mean_ms = (7 * estimate->mean_ms + ms) / 8;
}

/* What is left of one that has taken age_ms and takes most_ms at the most (0: any). What took longer than it should goes on for half as long again. */
static inline uint64_t
estimate_left_ms(const struct estimate *estimate, uint64_t guess_ms, uint64_t age_ms, uint64_t most_ms)
{
    uint64_t mean = estimate->mean_ms > 0 ? estimate->mean_ms : guess_ms;
    uint64_t left = age_ms < mean ? mean - age_ms : age_ms / 2 + 1;

    if (most_ms > 0 && left > most_ms - (age_ms < most_ms ? age_ms : most_ms)) {
        left = most_ms - (age_ms < most_ms ? age_ms : most_ms);
    }
    return left;
}
