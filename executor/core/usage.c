#include "executor/core/usage.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "executor/core/rows.h"
#include "executor/store/stmts.h"
#include "lib/sbx_time.h"

#define USAGE_MIB (UINT64_C(1) << 20)

/* The columns' names, and their order. */
static const struct {
    const char *name;
    size_t offset;
} fields[USAGE_N] = {
    { "jobs", offsetof(struct usage, jobs) },
    { "steps", offsetof(struct usage, steps) },
    { "sessions", offsetof(struct usage, sessions) },
    { "processes", offsetof(struct usage, processes) },
    { "cpu_ms", offsetof(struct usage, cpu_ms) },
    { "wall_ms", offsetof(struct usage, wall_ms) },
    { "memory_mib_ms", offsetof(struct usage, memory_mib_ms) },
    { "stdout_bytes", offsetof(struct usage, stdout_bytes) },
    { "stderr_bytes", offsetof(struct usage, stderr_bytes) },
    { "artifact_in_bytes", offsetof(struct usage, artifact_in_bytes) },
    { "artifact_out_bytes", offsetof(struct usage, artifact_out_bytes) },
    { "uploads", offsetof(struct usage, uploads) },
    { "upload_bytes", offsetof(struct usage, upload_bytes) },
};

static uint64_t
field(const struct usage *usage, size_t i)
{
    return *(const uint64_t *)(const void *)((const char *)usage + fields[i].offset);
}

uint64_t
usage_memory(uint64_t peak_bytes, uint64_t wall_ms)
{
    return (peak_bytes / USAGE_MIB + (peak_bytes % USAGE_MIB > 0)) * wall_ms;
}

uint64_t
usage_day(uint64_t unix_ms)
{
    return unix_ms / USAGE_DAY_MS;
}

void
usage_day_text(char out[USAGE_DAY_TEXT], uint64_t day)
{
    char text[SBX_RFC3339_LEN];

    sbx_rfc3339(text, (day <= USAGE_MAX_DAY ? day : USAGE_MAX_DAY) * USAGE_DAY_MS);
    memcpy(out, text, USAGE_DAY_TEXT - 1);
    out[USAGE_DAY_TEXT - 1] = '\0';
}

bool
usage_day_parse(const char *text, uint64_t *ret)
{
    struct tm tm = { 0 };
    char again[USAGE_DAY_TEXT];
    const char *end;
    time_t at;

    if (strlen(text) != USAGE_DAY_TEXT - 1) {
        return false;
    }
    end = strptime(text, "%Y-%m-%d", &tm);
    if (end == NULL || *end != '\0') {
        return false;
    }
    at = timegm(&tm);
    if (at < 0 || (uint64_t)at / (USAGE_DAY_MS / 1000) > USAGE_MAX_DAY) {
        return false;
    }
    *ret = (uint64_t)at / (USAGE_DAY_MS / 1000);
    usage_day_text(again, *ret); /* there is no 31st of February */
    return strcmp(again, text) == 0;
}

static struct db_value
name_value(const char *name)
{
    return DB_VTEXT(name == NULL ? "" : name);
}

static void
add_row(struct db_tx *tx, const struct usage_owner *owner, const struct usage *usage, uint64_t day)
{
    struct db_value values[4 + USAGE_N] = {
        DB_VTEXT(owner->tenant),
        DB_VINT(day),
        name_value(owner->app),
        name_value(owner->agent),
    };

    for (size_t i = 0; i < USAGE_N; i++) {
        values[4 + i] = DB_VINT(field(usage, i));
    }
    db_tx_add(tx, DB_USAGE_ADD, values, SBX_COUNT(values));
}

void
usage_account(struct db_tx *tx, struct sbx_jsonw *event, const struct usage_owner *owner,
              const struct usage *usage)
{
    uint64_t day = usage_day(sbx_now_unix_ms());
    char text[USAGE_DAY_TEXT];

    usage_day_text(text, day);
    sbx_jsonw_object(event, "accounted");
    sbx_jsonw_str(event, "day", text);
    for (size_t i = 0; i < USAGE_N; i++) {
        if (field(usage, i) != 0) {
            sbx_jsonw_uint(event, fields[i].name, field(usage, i));
        }
    }
    sbx_jsonw_object_end(event);
    add_row(tx, owner, usage, day);
}

void
usage_write(struct sbx_jsonw *w, const struct usage *usage)
{
    for (size_t i = 0; i < USAGE_N; i++) {
        sbx_jsonw_uint(w, fields[i].name, field(usage, i));
    }
}

void
usage_load(struct usage *ret, const struct db_value *columns)
{
    for (size_t i = 0; i < USAGE_N; i++) {
        uint64_t *slot = (uint64_t *)(void *)((char *)ret + fields[i].offset);

        *slot = row_take_number(&columns[i]);
    }
}
