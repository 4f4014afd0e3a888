/*
 * Resource limits of one job, and their text forms.
 *
 * Names on the wire (request "limits", policy "limits"):
 *   memory, disk, output   quantity: bytes as integer, or "512Mi" "1Gi" "64Ki" "10M" "1k"
 *   cpu                    rate: cores as number, or "500m"
 *   cpu_time, time         duration: seconds as number, or "30s" "500ms" "2m" "1h"
 *   processes              integer
 * The same with the unit in the name, integers: memory_bytes disk_bytes output_bytes
 * memory_mb disk_mb, cpu_time_ms cpu_time_seconds, time_ms time_seconds; and `timeout`,
 * `timeout_ms`, `timeout_seconds` for time. Naming one limit twice is an error.
 */
#pragma once

#include "sbx_json.h"
#include "sbx_jsonw.h"

#pragma GCC visibility push(hidden)

enum sbx_limit {
    SBX_LIMIT_CPU_RATE,  /* millicores; enforced by slowing down, never a verdict */
    SBX_LIMIT_CPU,       /* ms of CPU time   "cpu_time"; verdict name "cpu" */
    SBX_LIMIT_MEMORY,    /* bytes, swap included, workspace included */
    SBX_LIMIT_DISK,      /* bytes in /workspace, /tmp and /dev/shm together */
    SBX_LIMIT_PROCESSES, /* processes and threads */
    SBX_LIMIT_TIME,      /* ms of wall clock */
    SBX_LIMIT_OUTPUT,    /* bytes of stdout and stderr together */
    SBX_N_LIMITS
};

struct sbx_limits {
    uint64_t value[SBX_N_LIMITS]; /* 0 = not set */
};

/* Canonical wire key: "cpu", "cpu_time", "memory", "disk", "processes", "time", "output". */
const char *sbx_limit_key(enum sbx_limit limit);
/* Name in a verdict: "cpu", "memory", "disk", "processes", "time", "output". */
const char *sbx_limit_verdict(enum sbx_limit limit);
/* The hard bounds of the product: no policy may set less or more. */
uint64_t sbx_limit_floor(enum sbx_limit limit);
uint64_t sbx_limit_ceiling(enum sbx_limit limit);

_must_check_ bool sbx_quantity_parse(const char *text, size_t len, uint64_t *ret_bytes);
_must_check_ bool sbx_duration_parse(const char *text, size_t len, uint64_t *ret_ms);
_must_check_ bool sbx_cpu_parse(const char *text, size_t len, uint64_t *ret_millicores);

/* Reads one value of a limit (its canonical key's forms), bounds included. `field` is its pointer. */
_must_check_ bool sbx_limit_from_json(enum sbx_limit limit, const json_t *value, const char *field,
                                      uint64_t *ret, struct sbx_field_error *err);
/* JSON text of a value with its unit ("512Mi", "1500ms", "500m", quotes included) or a bare integer. */
void sbx_limit_text(char *out, size_t size, enum sbx_limit limit, uint64_t value);

/* Reads a "limits" object; false with *err on unknown name, wrong type, below floor or above ceiling. */
_must_check_ bool sbx_limits_from_json(struct sbx_limits *ret, const json_t *object, const char *path,
                                       struct sbx_field_error *err);
/* A duration member that may be number of seconds or text; for "wait" and the like. Absent leaves *ret_ms. */
_must_check_ bool sbx_json_get_duration(const json_t *object, const char *path, const char *key,
                                        uint64_t max_ms, uint64_t *ret_ms, struct sbx_field_error *err);
/* Writes {"cpu":..,"cpu_time_ms":..,"memory_bytes":..,...} with base units; the form the context carries. */
void sbx_limits_write(struct sbx_jsonw *w, const char *key, const struct sbx_limits *limits);

#pragma GCC visibility pop
