/* Budgets: live and recorded use by scope, what turns at midnight, and days as text. */
#include "executor/core/budget.h"

#include <string.h>

#include "executor/core/usage.h"
#include "executor/store/stmts.h"
#include "t/unit/tap.h"

static uint64_t unix_ms;

static uint64_t
clock_ms(void)
{
    return unix_ms;
}

/* The store: two pages of rows, then an error when it is asked to. */

static struct {
    unsigned rows, asked;
    int rc;
} store;
static int load_rc;
static unsigned n_loaded;

void
db_read(struct db *db _unused_, enum db_stmt stmt, const struct db_value *values, unsigned n, db_done_fn done,
        void *arg)
{
    static struct db_value row[500 * 4];
    struct db_result result = { .n_columns = 4, .values = row };

    ok(stmt == DB_USAGE_OF_DAY && n == 5 && values[0].integer == (int64_t)usage_day(unix_ms),
       "asked for today");
    store.asked++;
    for (; result.n_rows < 500 && result.n_rows < store.rows; result.n_rows++) {
        struct db_value *at = &row[result.n_rows * 4];

        at[0] = DB_VTEXT("acme");
        at[1] = DB_VTEXT(result.n_rows % 2 == 0 ? "web" : "");
        at[2] = DB_VTEXT("coder");
        at[3] = DB_VINT(2);
    }
    store.rows -= result.n_rows;
    done(arg, store.rc, &result);
}

static void
on_loaded(void *arg _unused_, int rc)
{
    n_loaded++;
    load_rc = rc;
}

static struct budgets *
make(void)
{
    struct budgets *budgets = NULL;

    unix_ms = 20000 * (uint64_t)USAGE_DAY_MS + 1000;
    ok(budgets_new(&budgets, clock_ms) == 0, "budgets");
    return budgets;
}

static const struct budget_name web = { .tenant = "acme", .app = "web", .agent = "coder" };
static const struct budget_name cli = { .tenant = "acme", .app = "cli", .agent = "coder" };
static const struct budget_name plain = { .tenant = "acme", .app = "", .agent = NULL };
static const struct budget_name other = { .tenant = "other", .app = "web", .agent = "coder" };

static void
is_spent(struct budgets *budgets, const struct budget_name *name, uint64_t tenant, uint64_t app,
         uint64_t agent)
{
    is_uint(budgets_spent(budgets, name, SBX_SCOPE_TENANT), tenant, "of the tenant");
    is_uint(budgets_spent(budgets, name, SBX_SCOPE_APP), app, "of the app");
    is_uint(budgets_spent(budgets, name, SBX_SCOPE_AGENT), agent, "of the agent");
}

static void
test_use(void)
{
    struct budget_use a = { 0 }, b = { 0 }, c = { 0 };
    struct budgets *budgets = make();

    is_spent(budgets, &web, 0, 0, 0);
    ok(budget_use_begin(&a, budgets, &web) == 0 && budget_use_begin(&b, budgets, &cli) == 0 &&
           budget_use_begin(&c, budgets, &plain) == 0,
       "three begin");
    budget_use_live(&a, 100);
    budget_use_live(&b, 50);
    budget_use_live(&c, 7);
    is_spent(budgets, &web, 157, 100, 150);
    is_spent(budgets, &plain, 157, 7, 7);
    budget_use_live(&a, 120);
    budget_use_live(&b, 40);
    is_spent(budgets, &cli, 167, 40, 160);
    budget_use_record(&a, 90);
    is_spent(budgets, &web, 167, 120, 160);
    is_uint(a.live_ms, 30, "the rest of it is live");
    budget_use_record(&a, 50);
    is_spent(budgets, &web, 187, 140, 180);
    budget_use_end(&a);
    budget_use_end(&b);
    is_spent(budgets, &web, 147, 140, 140);
    budget_use_end(&b);
    budget_use_record(&b, 1000);
    is_spent(budgets, &cli, 147, 0, 140);
    is_spent(budgets, &other, 0, 0, 0);
    budget_use_end(&c);
    budgets_free(budgets);
}

static void
test_exhausted(void)
{
    static const struct {
        uint64_t limit[SBX_N_SCOPES];
        int scope; /* -1: none */
    } cases[] = { { { 0, 0, 0 }, -1 },    { { 101, 101, 101 }, -1 }, { { 100, 0, 0 }, 0 },
                  { { 0, 100, 0 }, 1 },   { { 0, 0, 100 }, 2 },      { { 100, 100, 100 }, 0 },
                  { { 101, 100, 1 }, 1 }, { { 1, 0, 0 }, 0 },        { { 0, UINT64_MAX, 99 }, 2 } };
    struct budget_use use = { 0 };
    struct budgets *budgets = make();
    struct budget_excess excess;

    ok(budget_use_begin(&use, budgets, &web) == 0, "one begins");
    budget_use_live(&use, 60);
    budget_use_record(&use, 40);
    budget_use_live(&use, 60);
    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        bool is = budgets_exhausted(budgets, &web, cases[i].limit, &excess);

        ok(is == (cases[i].scope >= 0), "case %zu", i);
        if (is) {
            is_int((long)excess.scope, cases[i].scope, "the widest is told");
            is_uint(excess.spent_ms, 100, "with what was used");
            is_uint(excess.limit_ms, cases[i].limit[excess.scope], "and the limit");
        }
    }
    ok(!budgets_exhausted(budgets, &other, cases[2].limit, &excess), "not of another tenant");
    budget_use_end(&use);
    budgets_free(budgets);
}

static void
test_midnight(void)
{
    struct budget_use use = { 0 };
    struct budgets *budgets = make();

    ok(budget_use_begin(&use, budgets, &web) == 0, "one begins");
    budget_use_live(&use, 70);
    budget_use_record(&use, 50);
    is_spent(budgets, &web, 70, 70, 70);
    is_uint(budgets_reset_s(budgets), 86399, "to midnight");
    unix_ms += USAGE_DAY_MS - 1001;
    is_uint(budgets_reset_s(budgets), 1, "the last millisecond");
    is_spent(budgets, &web, 70, 70, 70);
    unix_ms++;
    is_uint(budgets_reset_s(budgets), 86400, "a whole day");
    is_spent(budgets, &web, 20, 20, 20);
    budget_use_record(&use, 20);
    budget_use_end(&use);
    is_spent(budgets, &web, 20, 20, 20);
    unix_ms += 3 * (uint64_t)USAGE_DAY_MS;
    is_spent(budgets, &web, 0, 0, 0);
    budgets_free(budgets);
}

static void
test_load(void)
{
    struct budgets *budgets = make();

    store.rows = 700;
    ok(budgets_load(budgets, NULL, on_loaded, NULL) == 0 && n_loaded == 1 && load_rc == 0, "loaded");
    is_uint(store.asked, 2, "in two pages");
    is_spent(budgets, &web, 1400, 700, 1400);
    budgets_free(budgets);

    budgets = make();
    store.rows = 3;
    store.rc = -EIO;
    ok(budgets_load(budgets, NULL, on_loaded, NULL) == 0 && load_rc == -EIO,
       "a store that fails is no empty store");
    store.rc = 1;
    ok(budgets_load(budgets, NULL, on_loaded, NULL) == 0 && load_rc == -EIO, "whatever its code");
    budgets_free(budgets);
}

static void
test_days(void)
{
    static const char *const bad[] = {
        "",           "2026-11-2",  "2026-11-211", "2026-02-30", "2026-13-01",
        "2026-00-10", "1969-12-31", "2026/11/21",  "2026-1-021", " 2026-1-21",
        "+026-11-21", "-026-11-21", "2026-11-+1",  "abcd-ef-gh", "2100-02-29"
    };
    static const char *const fine[] = { "1970-01-01", "2026-11-21", "2024-02-29", "2000-02-29",
                                        "9999-12-31" };
    char text[USAGE_DAY_TEXT];
    uint64_t day = 0;

    for (size_t i = 0; i < SBX_COUNT(bad); i++) {
        ok(!usage_day_parse(bad[i], &day), "no day: %s", bad[i]);
    }
    for (size_t i = 0; i < SBX_COUNT(fine); i++) {
        ok(usage_day_parse(fine[i], &day), "a day: %s", fine[i]);
        usage_day_text(text, day);
        is_str(text, fine[i], "and back");
    }
    is_uint(day, USAGE_MAX_DAY, "the last there is");
    is_uint(usage_memory(1, 10), 10, "a byte is a MiB");
    is_uint(usage_memory(1 << 20, 10), 10, "so is a MiB");
    is_uint(usage_memory((1 << 20) + 1, 10), 20, "a byte more is two");
    is_uint(usage_memory(0, 10), 0, "nothing is nothing");
    is_uint(usage_memory(UINT64_C(64) << 30, 86400000), UINT64_C(65536) * 86400000,
            "a day of the most there is");
}

int
main(void)
{
    test_use();
    test_exhausted();
    test_midnight();
    test_load();
    test_days();
    return done_testing();
}
