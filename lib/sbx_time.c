#include "sbx_time.h"

#include <stdio.h>
#include <time.h>

#define MS_PER_S 1000u
#define NS_PER_MS 1000000u
#define NS_PER_S 1000000000u
/* 9999-12-31T23:59:59.999Z: RFC 3339 has four digits for the year. */
#define LAST_UNIX_MS 253402300799999u

static uint64_t
clock_ns(clockid_t id)
{
    struct timespec ts;

    /* Cannot fail for these two clocks; zero keeps a failure visible and defined. */
    if (clock_gettime(id, &ts) != 0) {
        return 0;
    }
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t
sbx_now_unix_ms(void)
{
    return clock_ns(CLOCK_REALTIME) / NS_PER_MS;
}

uint64_t
sbx_now_mono_ms(void)
{
    return clock_ns(CLOCK_MONOTONIC) / NS_PER_MS;
}

uint64_t
sbx_now_mono_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

void
sbx_rfc3339(char out[SBX_RFC3339_LEN], uint64_t unix_ms)
{
    struct tm tm;
    time_t seconds;

    if (unix_ms > LAST_UNIX_MS) {
        unix_ms = LAST_UNIX_MS;
    }
    seconds = (time_t)(unix_ms / MS_PER_S);
    if (gmtime_r(&seconds, &tm) == NULL) {
        out[0] = '\0';
        return;
    }
    /* The remainders tell the compiler what gmtime_r promises. */
    (void)snprintf(out, SBX_RFC3339_LEN, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
                   ((unsigned)tm.tm_year + 1900u) % 10000u, ((unsigned)tm.tm_mon + 1u) % 100u,
                   (unsigned)tm.tm_mday % 100u, (unsigned)tm.tm_hour % 100u, (unsigned)tm.tm_min % 100u,
                   (unsigned)tm.tm_sec % 100u, (unsigned)(unix_ms % MS_PER_S));
}
