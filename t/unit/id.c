/* Ids and clocks: form, order, uniqueness, and what is no id. */
#include "lib/sbx_id.h"

#include "lib/sbx_time.h"
#include "t/unit/tap.h"

#define N_IDS 10000

static int
compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct sbx_id));
}

static void
test_many(void)
{
    static struct sbx_id ids[N_IDS];
    unsigned i, invalid = 0, unordered = 0, twins = 0;

    for (i = 0; i < N_IDS; i++) {
        invalid += sbx_id_new(&ids[i], "job") != 0 || !sbx_id_valid(ids[i].text, strlen(ids[i].text), "job");
        unordered += i > 0 && strcmp(ids[i].text, ids[i - 1].text) <= 0;
    }
    qsort(ids, N_IDS, sizeof(ids[0]), compare_ids);
    for (i = 1; i < N_IDS; i++) {
        twins += strcmp(ids[i].text, ids[i - 1].text) == 0;
    }
    is_uint(invalid, 0, "%d ids are valid", N_IDS);
    is_uint(unordered, 0, "they sort by birth, within a millisecond too");
    is_uint(twins, 0, "no two are the same");
}

static void
test_time_part(void)
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    uint64_t before = sbx_now_unix_ms(), after, value = 0;
    struct sbx_id id;
    unsigned i;

    is_int(sbx_id_new(&id, "ses"), 0, "a session's id");
    after = sbx_now_unix_ms();
    /* Ten digits hold 2 zero bits and the 48 of the time. */
    for (i = 4; i < 14; i++) {
        value = value * 32 + (uint64_t)(strchr(digits, id.text[i]) - digits);
    }
    ok(value >= before && value <= after, "its first ten digits are the time");
}

/* All of the random bits are in the sixteen digits behind the time's. */
static void
test_random_part(void)
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    uint8_t random[SBX_ID_RANDOM], bits[SBX_ID_RANDOM * 8], seen;
    unsigned i, k, wrong = 0;
    struct sbx_id id;

    for (i = 0; i < SBX_ID_RANDOM * 8; i++) {
        memset(random, 0, sizeof(random));
        random[i / 8] = (uint8_t)(0x80u >> (i % 8));
        wrong += sbx_id_from(&id, "job", random) != 0;
        memset(bits, 0, sizeof(bits));
        for (k = 0; k < sizeof(bits); k++) {
            seen = (uint8_t)(strchr(digits, id.text[14 + k / 5]) - digits);
            bits[k] = seen >> (4 - k % 5) & 1;
            wrong += bits[k] != (k == i);
        }
    }
    is_uint(wrong, 0, "each random bit has its place");
}

static void
test_refused(void)
{
    static const char good[] = "job_01arz3ndektsv4rrffq69g5fav";
    static const struct {
        const char *text, *why;
    } bad[] = {
        { "", "nothing" },
        { "job_", "no digits" },
        { "job_01arz3ndektsv4rrffq69g5fa", "a digit too few" },
        { "job_01arz3ndektsv4rrffq69g5favv", "a digit too many" },
        { "ses_01arz3ndektsv4rrffq69g5fav", "another prefix" },
        { "job-01arz3ndektsv4rrffq69g5fav", "another separator" },
        { "job_01ARZ3NDEKTSV4RRFFQ69G5FAV", "capitals" },
        { "job_01arz3ndektsv4rrffq69g5fai", "the letter i" },
        { "job_01arz3ndektsv4rrffq69g5fal", "the letter l" },
        { "job_01arz3ndektsv4rrffq69g5fao", "the letter o" },
        { "job_01arz3ndektsv4rrffq69g5fau", "the letter u" },
        { "job_81arz3ndektsv4rrffq69g5fav", "a 129th bit" },
        { "job_z1arz3ndektsv4rrffq69g5fav", "more bits" },
        { "job_01arz3ndektsv4rrffq69g5fa/", "a slash" },
        { "job_01arz3ndektsv4rrffq69g5fa\n", "a newline" },
    };
    struct sbx_id id;
    size_t i;

    ok(sbx_id_valid(good, strlen(good), "job"), "a good id");
    for (i = 0; i < SBX_COUNT(bad); i++) {
        ok(!sbx_id_valid(bad[i].text, strlen(bad[i].text), "job"), "refused: %s", bad[i].why);
    }
    ok(!sbx_id_valid("job_01arz3ndektsv4rrffq69g5fa\0", 30, "job"), "refused: NUL");
    ok(!sbx_id_valid(good, strlen(good), "jobs"), "refused: a prefix of four letters");
    is_int(sbx_id_new(&id, "jobs"), -EINVAL, "and no id is made with one");
}

static void
test_rfc3339(void)
{
    char text[SBX_RFC3339_LEN];

    sbx_rfc3339(text, 0);
    is_str(text, "1970-01-01T00:00:00.000Z", "the epoch");
    sbx_rfc3339(text, 1767323045678u);
    is_str(text, "2026-01-02T03:04:05.678Z", "a moment");
    sbx_rfc3339(text, 951782399999u);
    is_str(text, "2000-02-28T23:59:59.999Z", "the day before a leap day");
    sbx_rfc3339(text, 951782400000u);
    is_str(text, "2000-02-29T00:00:00.000Z", "the leap day");
    sbx_rfc3339(text, UINT64_MAX);
    is_str(text, "9999-12-31T23:59:59.999Z", "past the last year: the last moment");
}

static void
test_clocks(void)
{
    uint64_t ms = sbx_now_mono_ms(), ns = sbx_now_mono_ns();

    ok(ns / 1000000 >= ms, "one monotonic clock in two units");
    ok(sbx_now_mono_ns() >= ns, "it does not go back");
    ok(sbx_now_unix_ms() > 1700000000000u, "the wall clock is not at the epoch");
}

int
main(void)
{
    test_many();
    test_time_part();
    test_random_part();
    test_refused();
    test_rfc3339();
    test_clocks();
    return done_testing();
}
