/* Times as text: what is read is what was meant, and everything else is refused. */
#include "lib/sbx_time.h"

#include "t/unit/tap.h"

static const struct {
    const char *text;
    uint64_t ms;
} good[] = {
    { "1970-01-01T00:00:00Z", 0 },
    { "1970-01-01T00:00:00.001Z", 1 },
    { "1970-01-01T01:00:00+01:00", 0 },
    { "2026-01-02T03:04:05Z", UINT64_C(1767323045000) },
    { "2026-01-02t03:04:05z", UINT64_C(1767323045000) },
    { "2026-01-02T03:04:05.6Z", UINT64_C(1767323045600) },
    { "2026-01-02T03:04:05.678901234567Z", UINT64_C(1767323045678) },
    { "2026-01-02T05:04:05+02:00", UINT64_C(1767323045000) },
    { "2026-01-01T23:34:05-03:30", UINT64_C(1767323045000) },
    { "2000-02-29T00:00:00Z", UINT64_C(951782400000) },
    { "2024-02-29T23:59:59.999Z", UINT64_C(1709251199999) },
    { "2100-03-01T00:00:00Z", UINT64_C(4107542400000) },
    { "9999-12-31T23:59:59.999Z", UINT64_C(253402300799999) },
};

static const char *const bad[] = {
    "",
    "Z",
    "2026",
    "2026-01-02",
    "2026-01-02T03:04",
    "2026-01-02T03:04Z",
    "2026-01-02T03:04:05",
    "2026-01-02 03:04:05Z",
    "2026-01-02T03:04:05.Z",
    "2026-01-02T03:04:05,5Z",
    "2026-01-02T03:04:05.5",
    "2026-01-02T03:04:05+02",
    "2026-01-02T03:04:05+0200",
    "2026-01-02T03:04:05+02:0",
    "2026-01-02T03:04:05+02:000",
    "2026-01-02T03:04:05+24:00",
    "2026-01-02T03:04:05+02:60",
    "2026-01-02T03:04:05*02:00",
    "2026-01-02T03:04:05+-2:00",
    "2026-01-02T03:04:05ZZ",
    "2026-01-02T03:04:05Z ",
    " 2026-01-02T03:04:05Z",
    "2026-00-02T03:04:05Z",
    "2026-13-02T03:04:05Z",
    "2026-01-00T03:04:05Z",
    "2026-01-32T03:04:05Z",
    "2026-04-31T03:04:05Z",
    "2026-02-29T03:04:05Z",
    "2100-02-29T03:04:05Z",
    "2024-02-30T03:04:05Z",
    "2026-01-02T24:00:00Z",
    "2026-01-02T03:60:05Z",
    "2026-01-02T03:04:60Z",
    "2026-1-2T3:4:5Z     ",
    "-026-01-02T03:04:05Z",
    "+026-01-02T03:04:05Z",
    "0000-01-02T03:04:05Z",
    "1969-12-31T23:59:59Z",
    "1970-01-01T00:00:00+00:01",
    "20260-01-02T03:04:05Z",
    "2026/01/02T03:04:05Z",
    "2026-01-02T03-04-05Z",
    "20a6-01-02T03:04:05Z",
};

static void
test_round(void)
{
    uint64_t state = 88172645463325252u, ms, back;
    unsigned wrong = 0;
    char text[SBX_RFC3339_LEN];

    for (unsigned i = 0; i < 100000; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ms = state % UINT64_C(253402300800000);
        sbx_rfc3339(text, ms);
        wrong += !sbx_rfc3339_parse(text, strlen(text), &back) || back != ms;
    }
    is_uint(wrong, 0, "what was written of 100000 times is read as what it was");
}

int
main(void)
{
    uint64_t ms;

    for (size_t i = 0; i < SBX_COUNT(good); i++) {
        ms = 7;
        ok(sbx_rfc3339_parse(good[i].text, strlen(good[i].text), &ms), "%s", good[i].text);
        is_uint(ms, good[i].ms, "is that time");
    }
    for (size_t i = 0; i < SBX_COUNT(bad); i++) {
        ok(!sbx_rfc3339_parse(bad[i], strlen(bad[i]), &ms), "none: %s", bad[i]);
    }
    ok(!sbx_rfc3339_parse("2026-01-02T03:04:05Z", 19, &ms), "its length counts");
    ok(!sbx_rfc3339_parse("2026-01-02T03:04:05\0Z", 21, &ms), "and a NUL is in none");
    test_round();
    return done_testing();
}
