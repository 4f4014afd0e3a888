/*
 * What was used, by tenant, app, agent and day (UTC). Each number is written once into the event that tells of it, under
 * "accounted", and added to the day's row in the same transaction: so the sums of the rows and of the events are equal,
 * always. docs/api.md, "Usage", says what counts when.
 */
#pragma once

#include "executor/store/db.h"
#include "lib/sbx_jsonw.h"

#define USAGE_DAY_MS 86400000u
#define USAGE_DAY_TEXT 11      /* "2026-11-21" */
#define USAGE_MAX_DAY 2932896u /* of the year 9999 */

/* In the order of the table's columns. */
struct usage {
    uint64_t jobs, steps, sessions, processes;
    uint64_t cpu_ms, wall_ms;
    uint64_t
        memory_mib_ms; /* the peak in whole MiB times the wall clock: bytes times ms would not fit into what JSON counts */
    uint64_t stdout_bytes, stderr_bytes;
    uint64_t artifact_in_bytes;     /* sent up by clients */
    uint64_t artifact_out_bytes;    /* taken out of sandboxes */
    uint64_t uploads, upload_bytes; /* files and archives into sessions, and artifacts */
};

#define USAGE_N (sizeof(struct usage) / sizeof(uint64_t))

/* Borrows; NULL is "". */
struct usage_owner {
    const char *tenant, *app, *agent;
};

uint64_t usage_memory(uint64_t peak_bytes, uint64_t wall_ms);
uint64_t usage_day(uint64_t unix_ms);
void usage_day_text(char out[USAGE_DAY_TEXT], uint64_t day);
/* "2026-11-21"; false when it is no day. */
_must_check_ bool usage_day_parse(const char *text, uint64_t *ret);
/* Into an event that is being written, and into tx. */
void usage_account(struct db_tx *tx, struct sbx_jsonw *event, const struct usage_owner *owner,
                   const struct usage *usage);
/* All numbers as members. */
void usage_write(struct sbx_jsonw *w, const struct usage *usage);
/* From USAGE_N columns. */
void usage_load(struct usage *ret, const struct db_value *columns);
