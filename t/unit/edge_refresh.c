/* When a set of keys is asked for again. */
#include "ngx_sandbox_module/ngx_sandbox_refresh.h"
#include "t/unit/tap.h"

static void
test_after(void)
{
    static const struct {
        const char *cache_control;
        uint64_t refresh_ms, ms;
    } cases[] = {
        { NULL, 300000, 300000 },
        { "", 300000, 300000 },
        { "max-age=120", 300000, 120000 },
        { "MAX-AGE=120", 300000, 120000 },
        { "public, max-age=120, must-revalidate", 300000, 120000 },
        { "public,max-age=120", 300000, 120000 },
        { "  max-age=120\t", 300000, 120000 },
        { "max-age=3600", 300000, 300000 },
        { "max-age=999999999", 300000, 300000 },
        { "max-age=0", 300000, 60000 },
        { "max-age=59", 300000, 60000 },
        { "no-store", 300000, 60000 },
        { "no-cache", 300000, 60000 },
        { "max-age=120", 1000, 1000 },
        { "max-age=0", 1000, 1000 },
        { "max-age=", 300000, 300000 },
        { "max-age=-1", 300000, 300000 },
        { "max-age=1x", 300000, 300000 },
        { "max-age=\"120\"", 300000, 300000 },
        { "max-age=9999999999999999999999999", 300000, 300000 },
        { "max-age = 120", 300000, 300000 },
        { "s-maxage=61", 300000, 300000 },
        { "xmax-age=61", 300000, 300000 },
        { "max-age=200,max-age=100", 300000, 100000 },
        { ",,,", 300000, 300000 },
        { "no-stores", 300000, 300000 },
    };

    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        is_int((long long)ngx_sandbox_refresh_after(cases[i].cache_control, cases[i].refresh_ms),
               (long long)cases[i].ms, "%s of %u s",
               cases[i].cache_control == NULL ? "nothing" : cases[i].cache_control,
               (unsigned)(cases[i].refresh_ms / 1000));
    }
}

static void
test_backoff(void)
{
    uint64_t most = NGX_SANDBOX_BACKOFF_FIRST_MS;

    for (unsigned failures = 1; failures < 70; failures++) {
        bool fits = true;

        for (uint32_t chance = 0; chance < 1u << 20; chance += 997) {
            uint64_t ms = ngx_sandbox_backoff(failures, chance);

            fits = fits && ms >= most / 2 && ms <= most;
        }
        if (!fits || failures < 12) {
            ok(fits, "failure %u: between half of %llu ms and all", failures, (unsigned long long)most);
        }
        most = most * 2 < NGX_SANDBOX_BACKOFF_MAX_MS ? most * 2 : NGX_SANDBOX_BACKOFF_MAX_MS;
    }
    is_int((long long)ngx_sandbox_backoff(1, 0), 500, "the first, at the soonest");
    is_int((long long)ngx_sandbox_backoff(~0u, 150000), 300000, "the last, at the latest");
}

int
main(void)
{
    test_after();
    test_backoff();
    return done_testing();
}
