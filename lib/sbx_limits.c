#include "sbx_limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sbx_digits.h"

#define KI 1024ull
#define MI (1024ull * KI)
#define GI (1024ull * MI)
#define MS_PER_S 1000ull
#define MS_PER_M (60 * MS_PER_S)
#define MS_PER_H (60 * MS_PER_M)
#define MILLI 1000ull
/* Longest text of a quantity that is not nonsense; bounds the arithmetic too. */
#define NUMBER_DIGITS 15

enum form { FORM_QUANTITY, FORM_DURATION, FORM_CPU, FORM_COUNT };

struct unit {
    const char *suffix;
    uint64_t factor;
};

static const struct {
    const char *key;
    const char *verdict;
    enum form form;
    uint64_t floor, ceiling;
} limit_table[SBX_N_LIMITS] = {
    [SBX_LIMIT_CPU_RATE] = { "cpu", "cpu", FORM_CPU, 10, 64 * MILLI },
    [SBX_LIMIT_CPU] = { "cpu_time", "cpu", FORM_DURATION, 10, 24 * MS_PER_H },
    [SBX_LIMIT_MEMORY] = { "memory", "memory", FORM_QUANTITY, 8 * MI, 64 * GI },
    [SBX_LIMIT_DISK] = { "disk", "disk", FORM_QUANTITY, 64 * KI, 64 * GI },
    [SBX_LIMIT_PROCESSES] = { "processes", "processes", FORM_COUNT, 1, 4096 },
    [SBX_LIMIT_TIME] = { "time", "time", FORM_DURATION, 10, 24 * MS_PER_H },
    [SBX_LIMIT_OUTPUT] = { "output", "output", FORM_QUANTITY, 1, GI },
};

/* Every name a request may use. `scale` 0: the canonical forms; else an integer of that many base units. */
static const struct alias {
    const char *name;
    enum sbx_limit limit;
    uint64_t scale;
} alias_table[] = {
    { "cpu", SBX_LIMIT_CPU_RATE, 0 },
    { "cpu_time", SBX_LIMIT_CPU, 0 },
    { "cpu_time_ms", SBX_LIMIT_CPU, 1 },
    { "cpu_time_seconds", SBX_LIMIT_CPU, MS_PER_S },
    { "memory", SBX_LIMIT_MEMORY, 0 },
    { "memory_bytes", SBX_LIMIT_MEMORY, 1 },
    { "memory_mb", SBX_LIMIT_MEMORY, MI },
    { "disk", SBX_LIMIT_DISK, 0 },
    { "disk_bytes", SBX_LIMIT_DISK, 1 },
    { "disk_mb", SBX_LIMIT_DISK, MI },
    { "processes", SBX_LIMIT_PROCESSES, 0 },
    { "time", SBX_LIMIT_TIME, 0 },
    { "time_ms", SBX_LIMIT_TIME, 1 },
    { "time_seconds", SBX_LIMIT_TIME, MS_PER_S },
    { "timeout", SBX_LIMIT_TIME, 0 },
    { "timeout_ms", SBX_LIMIT_TIME, 1 },
    { "timeout_seconds", SBX_LIMIT_TIME, MS_PER_S },
    { "output", SBX_LIMIT_OUTPUT, 0 },
    { "output_bytes", SBX_LIMIT_OUTPUT, 1 },
};

static const char *const form_hint[] = {
    [FORM_QUANTITY] = "must be a number of bytes such as 1048576 or \"512Mi\"",
    [FORM_DURATION] = "must be a number of seconds or a duration such as \"30s\" or \"500ms\"",
    [FORM_CPU] = "must be a number of cores or a rate such as \"500m\"",
    [FORM_COUNT] = "must be an integer",
};

const char *
sbx_limit_key(enum sbx_limit limit)
{
    return limit_table[limit].key;
}

const char *
sbx_limit_verdict(enum sbx_limit limit)
{
    return limit_table[limit].verdict;
}

uint64_t
sbx_limit_floor(enum sbx_limit limit)
{
    return limit_table[limit].floor;
}

uint64_t
sbx_limit_ceiling(enum sbx_limit limit)
{
    return limit_table[limit].ceiling;
}

/* Reads digits[.digits{1,3}] as thousandths; returns its length, 0 when there is none. */
static size_t
read_thousandths(const char *text, size_t len, uint64_t *ret)
{
    uint64_t value = 0;
    size_t i = 0, start, n_fraction = 0;

    while (i < len && i <= NUMBER_DIGITS && text[i] >= '0' && text[i] <= '9') {
        value = value * 10 + (uint64_t)(text[i++] - '0');
    }
    if (i == 0 || i > NUMBER_DIGITS) {
        return 0;
    }

    if (i < len && text[i] == '.') {
        start = ++i;
        while (i < len && i - start < 3 && text[i] >= '0' && text[i] <= '9') {
            value = value * 10 + (uint64_t)(text[i++] - '0');
        }
        n_fraction = i - start;
        if (n_fraction == 0) {
            return 0;
        }
    }

    for (; n_fraction < 3; n_fraction++) {
        value *= 10;
    }
    *ret = value;
    return i;
}

/* Number and unit to whole base units; what does not come out whole is refused, not rounded. */
static bool
parse_with_unit(const char *text, size_t len, const struct unit *units, uint64_t *ret)
{
    uint64_t thousandths, product;
    size_t n = read_thousandths(text, len, &thousandths);

    if (n == 0) {
        return false;
    }
    for (; units->suffix != NULL; units++) {
        if (strlen(units->suffix) == len - n && memcmp(units->suffix, text + n, len - n) == 0) {
            if (__builtin_mul_overflow(thousandths, units->factor, &product) || product % MILLI != 0) {
                return false;
            }
            *ret = product / MILLI;
            return true;
        }
    }
    return false;
}

bool
sbx_quantity_parse(const char *text, size_t len, uint64_t *ret_bytes)
{
    static const struct unit units[] = {
        { "", 1 },
        { "k", 1000 },
        { "M", 1000ull * 1000 },
        { "G", 1000ull * 1000 * 1000 },
        { "Ki", KI },
        { "Mi", MI },
        { "Gi", GI },
        { "Ti", 1024 * GI },
        { NULL, 0 },
    };

    return parse_with_unit(text, len, units, ret_bytes);
}

bool
sbx_duration_parse(const char *text, size_t len, uint64_t *ret_ms)
{
    static const struct unit units[] = {
        { "ms", 1 }, { "s", MS_PER_S }, { "m", MS_PER_M }, { "h", MS_PER_H }, { NULL, 0 },
    };

    return parse_with_unit(text, len, units, ret_ms);
}

bool
sbx_cpu_parse(const char *text, size_t len, uint64_t *ret_millicores)
{
    static const struct unit units[] = { { "m", 1 }, { "", MILLI }, { NULL, 0 } };

    return parse_with_unit(text, len, units, ret_millicores);
}

static bool
parse_form(enum form form, const char *text, size_t len, uint64_t *ret)
{
    switch (form) {
    case FORM_QUANTITY:
        return sbx_quantity_parse(text, len, ret);
    case FORM_DURATION:
        return sbx_duration_parse(text, len, ret);
    case FORM_CPU:
        return sbx_cpu_parse(text, len, ret);
    case FORM_COUNT:
        return false;
    }
    return false;
}

/* A JSON number: bytes and counts are integers, seconds and cores may have three decimals. */
static bool
read_number(enum form form, const json_t *value, uint64_t *ret)
{
    const double most = 1e15;
    json_int_t integer;
    double real;

    if (json_is_integer(value)) {
        integer = json_integer_value(value);
        if (integer < 0 || integer > (json_int_t)most) {
            return false;
        }
        *ret = (uint64_t)integer * (form == FORM_DURATION || form == FORM_CPU ? MILLI : 1u);
        return true;
    }
    if (!json_is_real(value) || (form != FORM_DURATION && form != FORM_CPU)) {
        return false;
    }

    real = json_real_value(value);
    if (!(real >= 0 && real <= most / MILLI)) {
        return false;
    }
    /* Rounded down, but for what binary fractions lose of 0.1 and the like. */
    *ret = (uint64_t)(real * MILLI + 1e-6);
    return true;
}

static bool
read_value(enum form form, const json_t *value, uint64_t *ret)
{
    if (json_is_string(value)) {
        return parse_form(form, json_string_value(value), json_string_length(value), ret);
    }
    return read_number(form, value, ret);
}

/* What is rounded down counts as it was written: 64.0001 cores are more than 64. Only thousandths are reals. */
static bool
real_is_within(const json_t *value, uint64_t floor, uint64_t ceiling)
{
    double real = json_real_value(value);

    return !json_is_real(value) || (real >= (double)floor / MILLI && real <= (double)ceiling / MILLI);
}

/* The largest unit that keeps the number whole. */
static void
format_with_unit(char *out, size_t size, uint64_t value, const struct unit *units)
{
    while (units->factor > 1 && (value == 0 || value % units->factor != 0)) {
        units++;
    }
    /* Callers give room for 20 digits, a unit and quotes. */
    if (units->suffix[0] == '\0') {
        (void)snprintf(out, size, "%" PRIu64, value / units->factor);
    } else {
        (void)snprintf(out, size, "\"%" PRIu64 "%s\"", value / units->factor, units->suffix);
    }
}

static void
format_value(char *out, size_t size, enum form form, uint64_t value)
{
    static const struct unit quantities[] = { { "Gi", GI }, { "Mi", MI }, { "Ki", KI }, { "", 1 } };
    static const struct unit durations[] = { { "s", MS_PER_S }, { "ms", 1 } };
    static const struct unit rates[] = { { "m", 1 } };
    static const struct unit counts[] = { { "", 1 } };

    switch (form) {
    case FORM_QUANTITY:
        format_with_unit(out, size, value, quantities);
        return;
    case FORM_DURATION:
        format_with_unit(out, size, value, durations);
        return;
    case FORM_CPU:
        format_with_unit(out, size, value, rates);
        return;
    case FORM_COUNT:
        format_with_unit(out, size, value, counts);
        return;
    }
}

void
sbx_limit_text(char *out, size_t size, enum sbx_limit limit, uint64_t value)
{
    format_value(out, size, limit_table[limit].form, value);
}

static bool
check_bounds(enum sbx_limit limit, uint64_t value, const char *field, struct sbx_field_error *err)
{
    char low[32], high[32];

    if (value >= limit_table[limit].floor && value <= limit_table[limit].ceiling) {
        return true;
    }
    sbx_limit_text(low, sizeof(low), limit, limit_table[limit].floor);
    sbx_limit_text(high, sizeof(high), limit, limit_table[limit].ceiling);
    sbx_field_error_set(err, field, "must be between %s and %s", low, high);
    return false;
}

bool
sbx_limit_from_json(enum sbx_limit limit, const json_t *value, const char *field, uint64_t *ret,
                    struct sbx_field_error *err)
{
    uint64_t n;

    if (!read_value(limit_table[limit].form, value, &n)) {
        sbx_field_error_set(err, field, "%s", form_hint[limit_table[limit].form]);
        return false;
    }
    if (!real_is_within(value, limit_table[limit].floor, limit_table[limit].ceiling)) {
        n = 0; /* less than every floor */
    }
    if (!check_bounds(limit, n, field, err)) {
        return false;
    }
    *ret = n;
    return true;
}

static const struct alias *
find_alias(const char *name)
{
    size_t i;

    for (i = 0; i < SBX_COUNT(alias_table); i++) {
        if (strcmp(alias_table[i].name, name) == 0) {
            return &alias_table[i];
        }
    }
    return NULL;
}

static bool
read_alias(const struct alias *alias, const json_t *value, const char *field, uint64_t *ret,
           struct sbx_field_error *err)
{
    uint64_t n;

    if (alias->scale == 0) {
        return sbx_limit_from_json(alias->limit, value, field, ret, err);
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        __builtin_mul_overflow((uint64_t)json_integer_value(value), alias->scale, &n)) {
        sbx_field_error_set(err, field, "must be an integer");
        return false;
    }
    if (!check_bounds(alias->limit, n, field, err)) {
        return false;
    }
    *ret = n;
    return true;
}

/* A message that was set is of this member. False. Most members are fine, so no pointer is made before one is not. */
static bool
at_member(struct sbx_field_error *err, const char *path, const char *key)
{
    sbx_json_pointer(err->field, sizeof(err->field), path, key, 0);
    return false;
}

bool
sbx_limits_from_json(struct sbx_limits *ret, const json_t *object, const char *path,
                     struct sbx_field_error *err)
{
    struct sbx_limits limits = { { 0 } };
    const struct alias *alias;
    const json_t *value;
    const char *key;
    void *iter;

    if (!json_is_object(object)) {
        sbx_field_error_set(err, path, "must be an object");
        return false;
    }
    /* The iterator only reads; jansson has no form of it for a const object. */
    for (iter = json_object_iter((json_t *)(uintptr_t)object); iter != NULL;
         iter = json_object_iter_next((json_t *)(uintptr_t)object, iter)) {
        value = json_object_iter_value(iter);
        key = json_object_iter_key(iter);
        alias = find_alias(key);
        if (alias == NULL) {
            sbx_field_error_set(err, "", "is not a known limit");
            return at_member(err, path, key);
        }
        if (json_is_null(value)) {
            continue;
        }
        if (limits.value[alias->limit] != 0) {
            sbx_field_error_set(err, "", "names the limit %s twice", limit_table[alias->limit].key);
            return at_member(err, path, key);
        }
        if (!read_alias(alias, value, "", &limits.value[alias->limit], err)) {
            return at_member(err, path, key);
        }
    }

    *ret = limits;
    return true;
}

bool
sbx_json_get_duration(const json_t *object, const char *path, const char *key, uint64_t max_ms,
                      uint64_t *ret_ms, struct sbx_field_error *err)
{
    const json_t *value = json_object_get(object, key);
    char most[32];
    uint64_t ms;

    if (value == NULL || json_is_null(value)) {
        return true;
    }

    if (!read_value(FORM_DURATION, value, &ms)) {
        sbx_field_error_set(err, "", "%s", form_hint[FORM_DURATION]);
        return at_member(err, path, key);
    }
    if (ms > max_ms || !real_is_within(value, 0, max_ms)) {
        format_value(most, sizeof(most), FORM_DURATION, max_ms);
        sbx_field_error_set(err, "", "must not be more than %s", most);
        return at_member(err, path, key);
    }
    *ret_ms = ms;
    return true;
}

/* What sbx_limit_text makes of a rate, without quotes and without printf: each job's context has one. Written before `end`. */
static const char *
millicores_text(char *end, uint64_t value)
{
    *--end = 'm';
    return sbx_digits_before(end, value);
}

void
sbx_limits_write(struct sbx_jsonw *w, const char *key, const struct sbx_limits *limits)
{
    static const char *const names[SBX_N_LIMITS] = {
        [SBX_LIMIT_CPU_RATE] = "cpu",        [SBX_LIMIT_CPU] = "cpu_time_ms",
        [SBX_LIMIT_MEMORY] = "memory_bytes", [SBX_LIMIT_DISK] = "disk_bytes",
        [SBX_LIMIT_PROCESSES] = "processes", [SBX_LIMIT_TIME] = "time_ms",
        [SBX_LIMIT_OUTPUT] = "output_bytes",
    };
    char text[24];
    const char *cores;
    unsigned i;

    sbx_jsonw_object(w, key);
    for (i = 0; i < SBX_N_LIMITS; i++) {
        if (limits->value[i] == 0) {
            continue;
        }
        if (i == SBX_LIMIT_CPU_RATE) {
            cores = millicores_text(text + sizeof(text), limits->value[i]);
            sbx_jsonw_plain(w, names[i], cores, (size_t)(text + sizeof(text) - cores));
        } else {
            sbx_jsonw_plain_uint(w, names[i], limits->value[i]);
        }
    }
    sbx_jsonw_object_end(w);
}
