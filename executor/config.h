/*
 * The executor's configuration: one table of keys (config.c), read from a file of
 * `section.key = value` lines, each overridden by SANDBOX_<SECTION>_<KEY>, where a
 * second dot is written `__`; the
 * names DATABASE_DRIVER, DATABASE_URL, AUTHZ_BYPASS and ENV are honoured besides.
 */
#pragma once

#include <stdio.h>

#include "lib/sbx_base.h"
#include "lib/sbx_isolation.h"
#include "executor/log.h"

#define CONFIG_MAX_TEMPLATES 16
#define CONFIG_MAX_POOLS (2 * CONFIG_MAX_TEMPLATES)
#define CONFIG_TEMPLATE_LEN 32
#define CONFIG_LANGUAGE_LEN 33
#define CONFIG_MAX_LINES 15 /* of one template */
#define CONFIG_ERROR_LEN 256

enum {
    CONFIG_E_INVALID = 1, /* the error text says file, line and key */
};

/* How many sandboxes are kept ready: always min, and up to max when there is demand. */
struct config_size {
    unsigned min, max;
};

/* Of a language; pool.<template>.<language>, or pool.<template>.<tier>.<language> */
struct config_line {
    char language[CONFIG_LANGUAGE_LEN]; /* as it was written: a name or an alias */
    enum sbx_isolation isolation;       /* NONE: the template's own */
    struct config_size size;
};

struct config_template {
    char name[CONFIG_TEMPLATE_LEN];
    enum sbx_isolation isolation; /* NONE: not said */
    /* pool.<name>.<tier>; of NONE pool.<name>, which is the template's own tier */
    bool said[SBX_N_ISOLATIONS];
    struct config_size size[SBX_N_ISOLATIONS];
    struct config_line lines[CONFIG_MAX_LINES];
    unsigned n_lines;
};

/* One template in one tier. */
struct config_pool {
    const char *name; /* in the same struct config's templates */
    enum sbx_isolation isolation;
    bool own; /* the template's own tier */
    struct config_size size;
    const struct config_line *lines[CONFIG_MAX_LINES]; /* there, too */
    unsigned n_lines;
};

struct config {
    char *listen_socket;
    uint64_t listen_mode;
    char *listen_group;
    uint64_t listen_max_connections;
    char *context_key_file;
    char *launcher_socket;
    uint64_t launcher_create_timeout_ms;
    uint64_t launcher_create_timeout_gvisor_ms;
    char *runtimes_file;
    char *database_driver;
    char *database_url;
    char *audit_dir;
    char *audit_key_file;
    char *audit_old_key_file;
    uint64_t audit_segment_lines;
    uint64_t audit_sign_ms;
    char *artifacts_dir;
    char *artifacts_key_file;
    char *artifacts_old_key_file;
    uint64_t artifacts_max_number;
    uint64_t retention_artifacts_ms;
    uint64_t limits_max_running;
    uint64_t limits_max_queued;
    uint64_t limits_max_queued_per_tenant;
    uint64_t limits_max_queued_bytes;
    uint64_t limits_queue_timeout_ms;
    uint64_t output_keep;
    uint64_t sessions_max;
    uint64_t pools_memory, pools_max;
    char *policy_dir;
    uint64_t usage_interval_ms;
    uint64_t sessions_orphans_ms;
    uint64_t streams_keep, streams_memory, streams_linger_ms, streams_linger_bytes;
    uint64_t streams_max, streams_max_per_tenant, streams_keepalive_ms;
    uint64_t retention_records_ms;
    uint64_t policy_tombstones_ms;
    uint64_t retention_audit_ms, retention_audit_min_ms;
    uint64_t drain_timeout_ms;
    char *denials_file;
    uint64_t idempotency_ttl_ms;
    char *log_level_name;
    char *log_file;
    char *authz_bypass_text;
    char *environment;
    char *accept_missing_text;

    /* Derived from the above by config_load. */
    enum log_level log_level;
    bool authz_bypass;
    struct config_template templates[CONFIG_MAX_TEMPLATES];
    unsigned n_templates;
    bool production;
    uint64_t accept_missing; /* set of walls */
};

void config_deinit(struct config *config);
static inline void
config_deinitp(struct config *config)
{
    config_deinit(config);
}

/* Defaults, then the file (NULL: none), then the environment; then checks. `error` has CONFIG_ERROR_LEN bytes. */
_must_check_ int config_load(struct config *ret, const char *path, char *const *environment, char *error);
/* What the templates say together: a pool for each tier of each. Borrows from config. Returns their number. */
unsigned config_pools(const struct config *config, struct config_pool pools[CONFIG_MAX_POOLS]);
/* The table for --help: name, default, meaning. */
void config_print_keys(FILE *out);
