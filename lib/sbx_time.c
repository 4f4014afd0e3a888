#include "sbx_time.h"

#include <string.h>
#include <time.h>

#include "sbx_digits.h"

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

/* Over the zeros before `end`; gmtime_r promises that they are enough. */
static void
put_digits(char *end, unsigned value)
{
    (void)sbx_digits_before(end, value);
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
    memcpy(out, "0000-00-00T00:00:00.000Z", SBX_RFC3339_LEN);
    put_digits(out + 4, (unsigned)tm.tm_year + 1900u);
    put_digits(out + 7, (unsigned)tm.tm_mon + 1u);
    put_digits(out + 10, (unsigned)tm.tm_mday);
    put_digits(out + 13, (unsigned)tm.tm_hour);
    put_digits(out + 16, (unsigned)tm.tm_min);
    put_digits(out + 19, (unsigned)tm.tm_sec);
    put_digits(out + 23, (unsigned)(unix_ms % MS_PER_S));
}

/* As many digits as `n`; -1 when one of them is none. */
static int64_t
digits(const char *text, unsigned n)
{
    int64_t value = 0;

    for (unsigned i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

/* Days since 1970-01-01 of the Gregorian calendar; the year begins in March, so that a leap day is its last. */
static int64_t
days_of(int64_t year, int64_t month, int64_t day)
{
    const int64_t y = month <= 2 ? year - 1 : year;
    const int64_t era = y / 400, of_era = y % 400;
    const int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool
date_valid(int64_t year, int64_t month, int64_t day)
{
    static const int8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return year >= 1970 && month >= 1 && month <= 12 && day >= 1 &&
           day <= days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* ".678": milliseconds, cut. Returns the length, 0 when there is none, and -1 when there is a dot alone. */
static int64_t
fraction(const char *text, size_t len, int64_t *ret_ms)
{
    size_t n = 1;

    *ret_ms = 0;
    if (len == 0 || *text != '.') {
        return 0;
    }
    for (; n < len && text[n] >= '0' && text[n] <= '9'; n++) {
        *ret_ms += n == 1   ? (text[n] - '0') * 100
                   : n == 2 ? (text[n] - '0') * 10
                   : n == 3 ? text[n] - '0'
                            : 0;
    }
    return n == 1 ? -1 : (int64_t)n;
}

/* Minutes to take away; false when it is no offset. */
static bool
offset(const char *text, size_t len, int64_t *ret)
{
    int64_t hours, minutes;

    *ret = 0;
    if (len == 1) {
        return *text == 'Z' || *text == 'z';
    }
    if (len != 6 || (*text != '+' && *text != '-') || text[3] != ':') {
        return false;
    }
    hours = digits(text + 1, 2);
    minutes = digits(text + 4, 2);
    *ret = (*text == '-' ? -1 : 1) * (hours * 60 + minutes);
    return hours >= 0 && hours <= 23 && minutes >= 0 && minutes <= 59;
}

bool
sbx_rfc3339_parse(const char *text, size_t len, uint64_t *ret_unix_ms)
{
    int64_t part[6], ms, away, taken, seconds;

    if (len < 20 || text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != 't') ||
        text[13] != ':' || text[16] != ':') {
        return false;
    }
    part[0] = digits(text, 4);
    for (unsigned i = 1; i < SBX_COUNT(part); i++) {
        part[i] = digits(text + 2 + (size_t)3 * i, 2);
    }
    if (!date_valid(part[0], part[1], part[2]) || part[3] < 0 || part[3] > 23 || part[4] < 0 ||
        part[4] > 59 || part[5] < 0 || part[5] > 59) {
        return false;
    }
    taken = fraction(text + 19, len - 19, &ms);
    if (taken < 0 || !offset(text + 19 + taken, len - 19 - (size_t)taken, &away)) {
        return false;
    }
    seconds = days_of(part[0], part[1], part[2]) * 86400 + part[3] * 3600 + (part[4] - away) * 60 + part[5];
    if (seconds < 0) {
        return false;
    }
    *ret_unix_ms = (uint64_t)seconds * MS_PER_S + (uint64_t)ms;
    return true;
}
