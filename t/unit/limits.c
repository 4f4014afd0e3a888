/* Limits: text forms, names, bounds, and the form that the context carries. */
#include "lib/sbx_limits.h"

#include "t/unit/tap.h"

#define BAD UINT64_MAX

typedef bool (*parse_fn)(const char *text, size_t len, uint64_t *ret);

struct form_case {
    const char *text;
    uint64_t value; /* BAD: refused */
};

static struct sbx_field_error err;

static json_t *
parse(const char *text)
{
    json_t *json = NULL;

    if (sbx_json_parse(&json, text, strlen(text), &err) != 0) {
        BAIL_OUT("cannot parse %s: %s", text, err.message);
    }
    return json;
}

static void
check_forms(const char *name, parse_fn fn, const struct form_case *cases, size_t n)
{
    uint64_t value;
    size_t i;

    for (i = 0; i < n; i++) {
        value = 77;
        if (cases[i].value == BAD) {
            ok(!fn(cases[i].text, strlen(cases[i].text), &value) && value == 77, "%s refused: \"%s\"", name,
               cases[i].text);
        } else {
            ok(fn(cases[i].text, strlen(cases[i].text), &value), "%s: \"%s\"", name, cases[i].text);
            is_uint(value, cases[i].value, "its value");
        }
    }
}

static void
test_quantities(void)
{
    static const struct form_case cases[] = {
        { "0", 0 },
        { "1", 1 },
        { "512Mi", 512ull << 20 },
        { "1Gi", 1ull << 30 },
        { "64Ki", 65536 },
        { "2Ti", 2ull << 40 },
        { "10M", 10000000 },
        { "1k", 1000 },
        { "3G", 3000000000u },
        { "1.5Gi", 1610612736 },
        { "0.5Ki", 512 },
        { "007", 7 },
        { "", BAD },
        { "Mi", BAD },
        { "-1", BAD },
        { "+1", BAD },
        { " 1", BAD },
        { "1 ", BAD },
        { "1 Mi", BAD },
        { "1mi", BAD },
        { "1MI", BAD },
        { "1K", BAD },
        { "1MB", BAD },
        { "1MiB", BAD },
        { "1b", BAD },
        { "1.", BAD },
        { ".5", BAD },
        { "1.5", BAD },
        { "0.0001Ki", BAD },
        { "1.0001Gi", BAD },
        { "0.1Gi", BAD },
        { "1e3", BAD },
        { "0x10", BAD },
        { "1,5Gi", BAD },
        { "1.5.5Gi", BAD },
        { "1Gi1", BAD },
        { "1234567890123456", BAD },
        { "99999999999999999999999999", BAD },
        { "999999999999999Ti", BAD },
        { "18446744073709551616", BAD },
        { "16777216Ti", BAD },
        { "m", BAD },
        { "1m", BAD },
        { "\xc2\xb9", BAD },
    };
    uint64_t value = 0;

    check_forms("quantity", sbx_quantity_parse, cases, SBX_COUNT(cases));
    ok(!sbx_quantity_parse("1\0Mi", 4, &value), "quantity refused: NUL inside");
    ok(sbx_quantity_parse("512Mi!", 5, &value) && value == 512ull << 20, "no byte past the length is read");
}

static void
test_durations_and_rates(void)
{
    static const struct form_case durations[] = {
        { "30s", 30000 },   { "500ms", 500 }, { "2m", 120000 }, { "1h", 3600000 },
        { "0s", 0 },        { "1.5s", 1500 }, { "0.001s", 1 },  { "1.25h", 4500000 },
        { "30", BAD },      { "", BAD },      { "s", BAD },     { "1d", BAD },
        { "1S", BAD },      { "1.5ms", BAD }, { "-1s", BAD },   { "1h30m", BAD },
        { "1 s", BAD },     { "1us", BAD },   { "1sec", BAD },  { "999999999999999h", BAD },
        { "0.0005s", BAD },
    };
    static const struct form_case rates[] = {
        { "500m", 500 }, { "1", 1000 }, { "0.5", 500 }, { "2.125", 2125 },
        { "64", 64000 }, { "", BAD },   { "m", BAD },   { "0.5m", BAD },
        { "-1", BAD },   { "1c", BAD }, { "1M", BAD },  { "1.2345", BAD },
    };

    check_forms("duration", sbx_duration_parse, durations, SBX_COUNT(durations));
    check_forms("rate", sbx_cpu_parse, rates, SBX_COUNT(rates));
}

static void
test_every_name(void)
{
    static const struct {
        const char *json;
        enum sbx_limit limit;
        uint64_t value;
    } cases[] = {
        { "{\"cpu\":2}", SBX_LIMIT_CPU_RATE, 2000 },
        { "{\"cpu\":0.1}", SBX_LIMIT_CPU_RATE, 100 },
        { "{\"cpu\":0.29}", SBX_LIMIT_CPU_RATE, 290 },
        { "{\"cpu\":\"500m\"}", SBX_LIMIT_CPU_RATE, 500 },
        { "{\"cpu_time\":10}", SBX_LIMIT_CPU, 10000 },
        { "{\"cpu_time_ms\":10}", SBX_LIMIT_CPU, 10 },
        { "{\"cpu_time_seconds\":10}", SBX_LIMIT_CPU, 10000 },
        { "{\"memory\":8388608}", SBX_LIMIT_MEMORY, 8388608 },
        { "{\"memory\":\"64Gi\"}", SBX_LIMIT_MEMORY, 64ull << 30 },
        { "{\"memory_bytes\":8388609}", SBX_LIMIT_MEMORY, 8388609 },
        { "{\"memory_mb\":64}", SBX_LIMIT_MEMORY, 64 << 20 },
        { "{\"disk\":\"64Ki\"}", SBX_LIMIT_DISK, 65536 },
        { "{\"disk_bytes\":65536}", SBX_LIMIT_DISK, 65536 },
        { "{\"disk_mb\":1}", SBX_LIMIT_DISK, 1 << 20 },
        { "{\"processes\":4096}", SBX_LIMIT_PROCESSES, 4096 },
        { "{\"time\":1.5}", SBX_LIMIT_TIME, 1500 },
        { "{\"time\":\"24h\"}", SBX_LIMIT_TIME, 86400000 },
        { "{\"time_ms\":10}", SBX_LIMIT_TIME, 10 },
        { "{\"time_seconds\":1}", SBX_LIMIT_TIME, 1000 },
        { "{\"timeout\":\"2m\"}", SBX_LIMIT_TIME, 120000 },
        { "{\"timeout_ms\":1500}", SBX_LIMIT_TIME, 1500 },
        { "{\"timeout_seconds\":3}", SBX_LIMIT_TIME, 3000 },
        { "{\"output\":1}", SBX_LIMIT_OUTPUT, 1 },
        { "{\"output_bytes\":1073741824}", SBX_LIMIT_OUTPUT, 1 << 30 },
        { "{\"output\":2,\"time\":null}", SBX_LIMIT_OUTPUT, 2 },
    };
    struct sbx_limits limits;
    size_t i, k, others;

    for (i = 0; i < SBX_COUNT(cases); i++) {
        json_t *json = parse(cases[i].json);

        memset(&limits, 0xff, sizeof(limits));
        ok(sbx_limits_from_json(&limits, json, "/limits", &err), "%s", cases[i].json);
        is_uint(limits.value[cases[i].limit], cases[i].value, "its value");
        for (k = 0, others = 0; k < SBX_N_LIMITS; k++) {
            others += k != cases[i].limit && limits.value[k] != 0;
        }
        is_uint(others, 0, "and no other");
        json_decref(json);
    }
}

static void
test_refused(void)
{
    static const struct {
        const char *json, *field;
    } cases[] = {
        { "[]", "/limits" },
        { "\"1Gi\"", "/limits" },
        { "{\"cpu\":0}", "/limits/cpu" },
        { "{\"cpu\":\"9m\"}", "/limits/cpu" },
        { "{\"cpu\":0.0099}", "/limits/cpu" },
        { "{\"cpu\":64.1}", "/limits/cpu" },
        { "{\"cpu\":1e300}", "/limits/cpu" },
        { "{\"cpu\":-1}", "/limits/cpu" },
        { "{\"cpu\":true}", "/limits/cpu" },
        { "{\"cpu\":64.0001}", "/limits/cpu" },
        { "{\"cpu\":0.0099999999}", "/limits/cpu" },
        { "{\"time\":86400.0005}", "/limits/time" },
        { "{\"cpu\":[]}", "/limits/cpu" },
        { "{\"memory\":8388607}", "/limits/memory" },
        { "{\"memory\":\"65Gi\"}", "/limits/memory" },
        { "{\"memory\":9e9}", "/limits/memory" },
        { "{\"memory\":67108864.0}", "/limits/memory" },
        { "{\"memory\":-8388608}", "/limits/memory" },
        { "{\"memory\":9223372036854775807}", "/limits/memory" },
        { "{\"memory\":\"64 Mi\"}", "/limits/memory" },
        { "{\"memory\":{}}", "/limits/memory" },
        { "{\"memory_mb\":\"64\"}", "/limits/memory_mb" },
        { "{\"memory_mb\":1.5}", "/limits/memory_mb" },
        { "{\"memory_mb\":7}", "/limits/memory_mb" },
        { "{\"memory_mb\":-1}", "/limits/memory_mb" },
        { "{\"memory_mb\":9223372036854775807}", "/limits/memory_mb" },
        { "{\"memory_bytes\":\"64Mi\"}", "/limits/memory_bytes" },
        { "{\"disk\":65535}", "/limits/disk" },
        { "{\"processes\":0}", "/limits/processes" },
        { "{\"processes\":4097}", "/limits/processes" },
        { "{\"processes\":\"5\"}", "/limits/processes" },
        { "{\"processes\":2.0}", "/limits/processes" },
        { "{\"time\":0.009}", "/limits/time" },
        { "{\"time\":\"9ms\"}", "/limits/time" },
        { "{\"time\":86401}", "/limits/time" },
        { "{\"time\":\"forever\"}", "/limits/time" },
        { "{\"time\":false}", "/limits/time" },
        { "{\"timeout_seconds\":9223372036854775}", "/limits/timeout_seconds" },
        { "{\"output\":0}", "/limits/output" },
        { "{\"output\":1073741825}", "/limits/output" },
        { "{\"time\":1,\"timeout\":1}", "/limits/timeout" },
        { "{\"memory\":\"64Mi\",\"memory_mb\":64}", "/limits/memory_mb" },
        { "{\"Memory\":\"64Mi\"}", "/limits/Memory" },
        { "{\"\":1}", "/limits/" },
        { "{\"cpus\":1}", "/limits/cpus" },
        { "{\"nope\":null}", "/limits/nope" },
    };
    struct sbx_limits limits = { { 0 } };
    size_t i;

    for (i = 0; i < SBX_COUNT(cases); i++) {
        json_t *json = parse(cases[i].json);

        ok(!sbx_limits_from_json(&limits, json, "/limits", &err), "refused: %s", cases[i].json);
        is_str(err.field, cases[i].field, "names the field: %s", err.message);
        json_decref(json);
    }
    is_uint(limits.value[SBX_LIMIT_MEMORY], 0, "a refusal writes nothing");
}

static void
test_write(void)
{
    struct sbx_buf buf = SBX_BUF_INIT(1000);
    struct sbx_limits limits, again;
    struct sbx_jsonw w;
    json_t *json;
    unsigned i, end;

    for (end = 0; end < 2; end++) {
        for (i = 0; i < SBX_N_LIMITS; i++) {
            limits.value[i] =
                end == 0 ? sbx_limit_floor((enum sbx_limit)i) : sbx_limit_ceiling((enum sbx_limit)i);
        }
        sbx_buf_reset(&buf);
        sbx_jsonw_init(&w, &buf);
        sbx_limits_write(&w, NULL, &limits);
        json = parse(buf.data);
        ok(sbx_limits_from_json(&again, json, "", &err) && memcmp(&limits, &again, sizeof(limits)) == 0,
           "written and read: %s", buf.data);
        json_decref(json);
    }

    memset(&limits, 0, sizeof(limits));
    sbx_buf_reset(&buf);
    sbx_jsonw_init(&w, &buf);
    sbx_limits_write(&w, NULL, &limits);
    is_str(buf.data, "{}", "what is not set is not written");
    sbx_buf_deinit(&buf);
}

static void
test_text(void)
{
    static const struct {
        enum sbx_limit limit;
        uint64_t value;
        const char *text;
    } cases[] = {
        { SBX_LIMIT_MEMORY, 1ull << 30, "\"1Gi\"" },
        { SBX_LIMIT_MEMORY, 1536ull << 20, "\"1536Mi\"" },
        { SBX_LIMIT_MEMORY, (1ull << 30) + 1, "1073741825" },
        { SBX_LIMIT_DISK, 65536, "\"64Ki\"" },
        { SBX_LIMIT_OUTPUT, 0, "0" },
        { SBX_LIMIT_TIME, 30000, "\"30s\"" },
        { SBX_LIMIT_TIME, 1500, "\"1500ms\"" },
        { SBX_LIMIT_CPU_RATE, 500, "\"500m\"" },
        { SBX_LIMIT_PROCESSES, 7, "7" },
        { SBX_LIMIT_MEMORY, UINT64_MAX, "18446744073709551615" },
    };
    char text[32];
    size_t i;

    for (i = 0; i < SBX_COUNT(cases); i++) {
        sbx_limit_text(text, sizeof(text), cases[i].limit, cases[i].value);
        is_str(text, cases[i].text, "text of %s", sbx_limit_key(cases[i].limit));
    }
    is_str(sbx_limit_verdict(SBX_LIMIT_CPU), "cpu", "cpu time is the verdict cpu");
    is_str(sbx_limit_key(SBX_LIMIT_CPU), "cpu_time", "and the key cpu_time");
}

static void
test_duration_member(void)
{
    json_t *json = parse(
        "{\"n\":2,\"r\":0.25,\"t\":\"500ms\",\"z\":null,\"b\":true,\"neg\":-1,\"big\":61,\"over\":60.0005}");
    uint64_t ms = 7;

    ok(sbx_json_get_duration(json, "", "n", 60000, &ms, &err) && ms == 2000, "seconds");
    ok(sbx_json_get_duration(json, "", "r", 60000, &ms, &err) && ms == 250, "a fraction of them");
    ok(sbx_json_get_duration(json, "", "t", 500, &ms, &err) && ms == 500, "text, on the bound");
    ms = 7;
    ok(sbx_json_get_duration(json, "", "z", 1, &ms, &err) &&
           sbx_json_get_duration(json, "", "x", 1, &ms, &err),
       "null and absent are fine");
    is_uint(ms, 7, "and leave the value");
    ok(!sbx_json_get_duration(json, "", "b", 60000, &ms, &err), "refused: a boolean");
    ok(!sbx_json_get_duration(json, "", "neg", 60000, &ms, &err), "refused: before now");
    ok(!sbx_json_get_duration(json, "", "over", 60000, &ms, &err),
       "refused: past the bound by less than counts");
    ok(!sbx_json_get_duration(json, "", "big", 60000, &ms, &err), "refused: past the bound");
    is_str(err.message, "must not be more than \"60s\"", "with the bound");
    json_decref(json);
}

int
main(void)
{
    test_quantities();
    test_durations_and_rates();
    test_every_name();
    test_refused();
    test_write();
    test_text();
    test_duration_member();
    return done_testing();
}
