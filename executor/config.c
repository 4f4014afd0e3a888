#include "executor/config.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/sbx_limits.h"
#include "lib/sbx_wall.h"

#define CONFIG_LINE_MAX 4096
#define CONFIG_FILE_LINES_MAX 10000
#define HOUR_MS UINT64_C(3600000)
#define CONFIG_MAX_POOL_SIZE 1024

enum config_type { CONFIG_TEXT, CONFIG_NUMBER, CONFIG_MODE, CONFIG_BYTES, CONFIG_DURATION };

struct config_key {
    const char *name;
    enum config_type type;
    size_t offset;
    const char *fallback; /* NULL: must be set */
    uint64_t min, max;
    const char *alias; /* environment name besides SANDBOX_* */
    const char *meaning;
};

#define AT(member) offsetof(struct config, member)
static const struct config_key config_keys[] = {
    { "listen.socket", CONFIG_TEXT, AT(listen_socket), "/run/sandbox/executord.sock", 0, 0, NULL,
      "unix socket of the HTTP interface" },
    { "listen.mode", CONFIG_MODE, AT(listen_mode), "0660", 0, 0777, NULL, "its mode, octal" },
    { "listen.group", CONFIG_TEXT, AT(listen_group), "", 0, 0, NULL, "its group; empty: the process's" },
    { "listen.max_connections", CONFIG_NUMBER, AT(listen_max_connections), "1024", 1, 65536, NULL,
      "connections at once" },
    { "context.key_file", CONFIG_TEXT, AT(context_key_file), NULL, 0, 0, NULL,
      "file with the key shared with the gateway, at least 32 bytes" },
    { "launcher.socket", CONFIG_TEXT, AT(launcher_socket), "/run/sandbox/launch.sock", 0, 0, NULL,
      "unix socket of sandbox-launch" },
    { "launcher.create_timeout", CONFIG_DURATION, AT(launcher_create_timeout_ms), "10s", 100, HOUR_MS, NULL,
      "time for a sandbox to be made, until its agent answers" },
    { "launcher.create_timeout_gvisor", CONFIG_DURATION, AT(launcher_create_timeout_gvisor_ms), "30s", 100,
      HOUR_MS, NULL, "the same in the gvisor tier" },
    { "runtimes.file", CONFIG_TEXT, AT(runtimes_file), "/opt/sandbox/runtimes.json", 0, 0, NULL,
      "registry of languages" },
    { "database.driver", CONFIG_TEXT, AT(database_driver), "sqlite", 0, 0, "DATABASE_DRIVER", "sqlite" },
    { "database.url", CONFIG_TEXT, AT(database_url), "/var/lib/sandbox/state.db", 0, 0, "DATABASE_URL",
      "path of the database" },
    { "audit.dir", CONFIG_TEXT, AT(audit_dir), "/var/lib/sandbox/audit", 0, 0, NULL,
      "directory of the audit log's segments" },
    { "audit.key_file", CONFIG_TEXT, AT(audit_key_file), "", 0, 0, NULL,
      "Ed25519 private key, PEM, that signs the log's heads; empty: they are not signed" },
    { "audit.old_key_file", CONFIG_TEXT, AT(audit_old_key_file), "", 0, 0, NULL,
      "the one before: it vouches for the new one at the start; empty: none" },
    { "audit.segment_lines", CONFIG_NUMBER, AT(audit_segment_lines), "100000", 1, 1000000, NULL,
      "a segment that has this many lines is followed by the next one" },
    { "audit.sign_every", CONFIG_DURATION, AT(audit_sign_ms), "60s", 100, HOUR_MS, NULL,
      "time between two signed heads while events come" },
    { "artifacts.dir", CONFIG_TEXT, AT(artifacts_dir), "/var/lib/sandbox/artifacts", 0, 0, NULL,
      "directory of the artifact store" },
    { "artifacts.key_file", CONFIG_TEXT, AT(artifacts_key_file), NULL, 0, 0, NULL,
      "file with the master key of artifacts, at least 32 bytes" },
    { "artifacts.old_key_file", CONFIG_TEXT, AT(artifacts_old_key_file), "", 0, 0, NULL,
      "the one before: what it wraps is wrapped anew at the start; empty: none" },
    { "artifacts.max_number", CONFIG_NUMBER, AT(artifacts_max_number), "100000", 0, UINT64_C(1) << 32, NULL,
      "artifacts of one tenant; 0: any number" },
    { "retention.artifacts", CONFIG_DURATION, AT(retention_artifacts_ms), "720h", 0, 87600 * HOUR_MS, NULL,
      "how long artifacts are kept when the policy does not say; 0: for ever" },
    { "limits.max_running", CONFIG_NUMBER, AT(limits_max_running), "0", 0, 4096, NULL,
      "jobs running at once; 0: twice the cores, at least 4" },
    { "limits.max_queued", CONFIG_NUMBER, AT(limits_max_queued), "1000", 0, 100000, NULL,
      "jobs waiting at once" },
    { "limits.max_queued_per_tenant", CONFIG_NUMBER, AT(limits_max_queued_per_tenant), "200", 0, 100000, NULL,
      "of one tenant" },
    { "limits.max_queued_bytes", CONFIG_BYTES, AT(limits_max_queued_bytes), "256Mi", 1 << 20,
      UINT64_C(1) << 40, NULL,
      "memory for the bodies of waiting and running jobs, and as much for requests not yet answered" },
    { "limits.queue_timeout", CONFIG_DURATION, AT(limits_queue_timeout_ms), "30s", 100, HOUR_MS, NULL,
      "a job that waited longer ends as timed_out" },
    { "sessions.max", CONFIG_NUMBER, AT(sessions_max), "64", 1, 10000, NULL,
      "sessions that live at once; one more is answered 503 queue_full" },
    { "pools.memory", CONFIG_BYTES, AT(pools_memory), "0", 0, UINT64_C(1) << 44, NULL,
      "memory for sandboxes that are kept ready, all pools together; 0: an eighth of the host's" },
    { "pools.max", CONFIG_NUMBER, AT(pools_max), "256", 0, 4096, NULL, "their number" },
    { "policy.dir", CONFIG_TEXT, AT(policy_dir), "", 0, 0, NULL,
      "the operator's policy documents, as the gateways have them; empty: the gateways alone hold requests "
      "to them" },
    { "usage.interval", CONFIG_DURATION, AT(usage_interval_ms), "15s", 100, HOUR_MS, NULL,
      "how often what a session used goes into usage while it lives" },
    { "sessions.orphans", CONFIG_DURATION, AT(sessions_orphans_ms), "60s", 100, HOUR_MS, NULL,
      "how often records of sessions that nobody has are looked for" },
    { "output.keep", CONFIG_BYTES, AT(output_keep), "1Mi", 4096, 4 << 20, NULL,
      "bytes kept of each output stream, half head, half tail" },
    { "streams.keep", CONFIG_BYTES, AT(streams_keep), "10Mi", 256 << 10, 64 << 20, NULL,
      "newest output and events of a run kept for those who stream it" },
    { "streams.memory", CONFIG_BYTES, AT(streams_memory), "256Mi", 1 << 20, UINT64_C(1) << 40, NULL,
      "for all of that together" },
    { "streams.max", CONFIG_NUMBER, AT(streams_max), "512", 1, 65536, NULL, "streams open at once" },
    { "streams.max_per_tenant", CONFIG_NUMBER, AT(streams_max_per_tenant), "128", 1, 65536, NULL,
      "of one tenant" },
    { "streams.keepalive", CONFIG_DURATION, AT(streams_keepalive_ms), "15s", 100, 60000, NULL,
      "a stream with nothing to say sends a comment this often" },
    { "streams.linger", CONFIG_DURATION, AT(streams_linger_ms), "60s", 100, HOUR_MS, NULL,
      "how long what was streamed is kept whole after its end" },
    { "streams.linger_bytes", CONFIG_BYTES, AT(streams_linger_bytes), "64Mi", 0, UINT64_C(1) << 36, NULL,
      "memory for all of that" },
    { "policy.tombstones", CONFIG_DURATION, AT(policy_tombstones_ms), "24h", 1000, 87600 * HOUR_MS, NULL,
      "how long gateways are told of deleted policies and revocations" },
    { "retention.records", CONFIG_DURATION, AT(retention_records_ms), "168h", 1000, 87600 * HOUR_MS, NULL,
      "how long jobs, sessions and steps are kept after their end, where the tenant's policy does not say" },
    { "retention.audit", CONFIG_DURATION, AT(retention_audit_ms), "0s", 0, 87600 * HOUR_MS, NULL,
      "how long bodies of audit events are kept when the policy does not say; 0: for ever" },
    { "retention.audit_min", CONFIG_DURATION, AT(retention_audit_min_ms), "720h", 0, 87600 * HOUR_MS, NULL,
      "how long they are kept at least, whatever a tenant's policy says" },
    { "drain.timeout", CONFIG_DURATION, AT(drain_timeout_ms), "25s", 0, HOUR_MS, NULL,
      "time for jobs to end after SIGTERM" },
    { "denials.file", CONFIG_TEXT, AT(denials_file), "", 0, 0, NULL,
      "the gateway's denial log, taken into the audit chain; empty: none" },
    { "idempotency.ttl", CONFIG_DURATION, AT(idempotency_ttl_ms), "24h", 60000, 720 * HOUR_MS, NULL,
      "how long an Idempotency-Key is remembered" },
    { "log.level", CONFIG_TEXT, AT(log_level_name), "info", 0, 0, NULL, "debug, info, warn or error" },
    { "log.file", CONFIG_TEXT, AT(log_file), "", 0, 0, NULL, "empty: standard error; reopened on SIGHUP" },
    { "authz.bypass", CONFIG_TEXT, AT(authz_bypass_text), "off", 0, 0, "AUTHZ_BYPASS",
      "on: accept contexts of a gateway that bypasses authorization; refused outside dev environments" },
    { "environment.name", CONFIG_TEXT, AT(environment), "production", 0, 0, "ENV",
      "production, or dev and the like" },
    { "walls.accept_missing", CONFIG_TEXT, AT(accept_missing_text), "", 0, 0, NULL,
      "required walls, comma separated, without which production runs all the same" },
};
#undef AT

void
config_deinit(struct config *config)
{
    for (size_t i = 0; i < SBX_COUNT(config_keys); i++) {
        if (config_keys[i].type == CONFIG_TEXT) {
            char **slot = (char **)(void *)((char *)config + config_keys[i].offset);
            free(*slot);
            *slot = NULL;
        }
    }
}

static int config_fail(char *error, const char *fmt, ...) _printf_(2, 3);

static int
config_fail(char *error, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(error, CONFIG_ERROR_LEN, fmt, args); /* a cut message is a message */
    va_end(args);
    return CONFIG_E_INVALID;
}

static bool
config_number_parse(const char *text, int base, uint64_t *ret)
{
    char *end = NULL;

    if (!isdigit((unsigned char)*text)) {
        return false;
    }
    errno = 0;
    *ret = strtoull(text, &end, base);
    return errno == 0 && *end == '\0';
}

static bool
config_value_parse(enum config_type type, const char *text, uint64_t *ret)
{
    switch (type) {
    case CONFIG_NUMBER:
        return config_number_parse(text, 10, ret);
    case CONFIG_MODE:
        return config_number_parse(text, 8, ret);
    case CONFIG_BYTES:
        return sbx_quantity_parse(text, strlen(text), ret);
    case CONFIG_DURATION:
        return sbx_duration_parse(text, strlen(text), ret);
    case CONFIG_TEXT:
        break;
    }
    return false;
}

static int
config_set_key(struct config *config, const struct config_key *key, const char *value, const char *where,
               char *error)
{
    void *slot = (char *)config + key->offset;
    uint64_t number;
    char *copy;

    if (key->type == CONFIG_TEXT) {
        copy = strdup(value);
        if (copy == NULL) {
            return -ENOMEM;
        }
        free(*(char **)slot);
        *(char **)slot = copy;
        return 0;
    }

    if (!config_value_parse(key->type, value, &number)) {
        return config_fail(error, "%s: %s: not a value of this key", where, key->name);
    }
    if (number < key->min || number > key->max) {
        return config_fail(error, "%s: %s: must be between %llu and %llu", where, key->name,
                           (unsigned long long)key->min, (unsigned long long)key->max);
    }
    *(uint64_t *)slot = number;
    return 0;
}

static bool
config_template_valid(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len >= CONFIG_TEMPLATE_LEN) {
        return false;
    }
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == len;
}

/* Of a key "<section>.<template>...": *ret_rest is what follows. NULL when there is no such one; the error is set. */
static struct config_template *
config_find_template(struct config *config, const char *key, const char **ret_rest, const char *where,
                     char *error)
{
    const char *name = strchr(key, '.') + 1;
    size_t len = strcspn(name, ".");
    struct config_template *template;
    char copy[CONFIG_TEMPLATE_LEN] = "";

    if (len < sizeof(copy)) {
        memcpy(copy, name, len);
        copy[len] = '\0';
    }
    if (!config_template_valid(copy)) {
        (void)config_fail(error, "%s: %.64s: not a template's name", where, key); /* the caller returns it */
        return NULL;
    }
    *ret_rest = name + len;
    for (unsigned i = 0; i < config->n_templates; i++) {
        if (strcmp(config->templates[i].name, copy) == 0) {
            return &config->templates[i];
        }
    }
    if (config->n_templates == CONFIG_MAX_TEMPLATES) {
        /* As above. */
        (void)config_fail(error, "%s: %.64s: more than %d templates", where, key, CONFIG_MAX_TEMPLATES);
        return NULL;
    }
    template = &config->templates[config->n_templates++];
    memcpy(template->name, copy, sizeof(copy));
    return template;
}

/* "N", or "N..M" */
static bool
config_size_parse(const char *text, struct config_size *ret)
{
    const char *dots = strstr(text, "..");
    char first[16] = "";
    size_t len = dots == NULL ? strlen(text) : (size_t)(dots - text);
    uint64_t min, max;

    if (len >= sizeof(first)) {
        return false;
    }
    (void)snprintf(first, sizeof(first), "%.*s", (int)len, text); /* as was looked at */
    if (!config_number_parse(first, 10, &min)) {
        return false;
    }
    max = min;
    if ((dots != NULL && !config_number_parse(dots + 2, 10, &max)) || min > max ||
        max > CONFIG_MAX_POOL_SIZE) {
        return false;
    }
    *ret = (struct config_size){ .min = (unsigned)min, .max = (unsigned)max };
    return true;
}

/* NULL: there are too many, or it can be no language's name. */
static struct config_size *
config_line_size(struct config_template *template, enum sbx_isolation tier, const char *language)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.+-";
    size_t len = strlen(language);
    struct config_line *line;

    if (len == 0 || len >= CONFIG_LANGUAGE_LEN || strspn(language, allowed) != len) {
        return NULL;
    }
    for (unsigned i = 0; i < template->n_lines; i++) {
        line = &template->lines[i];
        if (line->isolation == tier && strcmp(line->language, language) == 0) {
            return &line->size;
        }
    }
    if (template->n_lines == CONFIG_MAX_LINES) {
        return NULL;
    }
    line = &template->lines[template->n_lines++];
    line->isolation = tier;
    memcpy(line->language, language, len + 1);
    return &line->size;
}

/* The tier that `*text` begins with, which is then past it, or NONE. */
static enum sbx_isolation
config_take_tier(const char **text)
{
    size_t len = strcspn(*text, ".");
    enum sbx_isolation tier;
    char word[16] = "";

    if (len >= sizeof(word)) {
        return SBX_ISOLATION_NONE;
    }
    memcpy(word, *text, len);
    tier = sbx_isolation_parse(word);
    if (tier != SBX_ISOLATION_NONE) {
        *text += len;
    }
    return tier;
}

/* "pool.<template>", and after it ".<tier>", ".<language>", or both */
static int
config_set_pool(struct config *config, const char *key, const char *value, const char *where, char *error)
{
    enum sbx_isolation tier = SBX_ISOLATION_NONE;
    struct config_template *template;
    struct config_size size, *slot;
    const char *rest = NULL;

    template = config_find_template(config, key, &rest, where, error);
    if (template == NULL) {
        return CONFIG_E_INVALID;
    }
    if (!config_size_parse(value, &size)) {
        return config_fail(error, "%s: %.64s: must be N or N..M, between 0 and %d", where, key,
                           CONFIG_MAX_POOL_SIZE);
    }
    if (*rest == '.') {
        rest++;
        tier = config_take_tier(&rest);
        if (tier != SBX_ISOLATION_NONE && *rest == '.') {
            rest++;
        } else if (tier != SBX_ISOLATION_NONE && *rest == '\0') {
            rest = NULL;
        }
    } else {
        rest = NULL;
    }
    slot = rest == NULL ? &template->size[tier] : config_line_size(template, tier, rest);
    if (slot == NULL) {
        return config_fail(
            error, "%s: %.64s: must be a tier (process or gvisor), a language, or both, and %d at most",
            where, key, CONFIG_MAX_LINES);
    }
    if (rest == NULL) {
        template->said[tier] = true;
    }
    *slot = size;
    return 0;
}

/* "template.<name>.isolation" */
static int
config_set_template(struct config *config, const char *key, const char *value, const char *where, char *error)
{
    struct config_template *template;
    const char *rest = NULL;

    template = config_find_template(config, key, &rest, where, error);
    if (template == NULL) {
        return CONFIG_E_INVALID;
    }
    if (strcmp(rest, ".isolation") != 0) {
        return config_fail(error, "%s: %.64s: there is no such key", where, key);
    }
    template->isolation = sbx_isolation_parse(value);
    if (template->isolation == SBX_ISOLATION_NONE) {
        return config_fail(error, "%s: %.64s: must be process or gvisor", where, key);
    }
    return 0;
}

static bool
line_is_of(const struct config_line *line, enum sbx_isolation tier, enum sbx_isolation own)
{
    return line->isolation == tier || (line->isolation == SBX_ISOLATION_NONE && tier == own);
}

/* False: the template is not offered in this tier. */
static bool
config_pool_fill(struct config_pool *pool, const struct config_template *template, enum sbx_isolation tier)
{
    enum sbx_isolation own = sbx_isolation_stronger(template->isolation, SBX_ISOLATION_PROCESS);

    *pool = (struct config_pool){
        .name = template->name,
        .isolation = tier,
        .own = tier == own,
        .size = template->said[tier] ? template->size[tier]
                : tier == own        ? template->size[SBX_ISOLATION_NONE]
                                     : (struct config_size){ 0 },
    };
    for (unsigned i = 0; i < template->n_lines; i++) {
        if (line_is_of(&template->lines[i], tier, own)) {
            pool->lines[pool->n_lines++] = &template->lines[i];
        }
    }
    return tier == own || template->said[tier] || pool->n_lines > 0;
}

unsigned
config_pools(const struct config *config, struct config_pool pools[CONFIG_MAX_POOLS])
{
    unsigned n = 0;

    for (unsigned i = 0; i < config->n_templates; i++) {
        for (unsigned tier = SBX_ISOLATION_PROCESS; tier < SBX_N_ISOLATIONS; tier++) {
            n += config_pool_fill(&pools[n], &config->templates[i], (enum sbx_isolation)tier);
        }
    }
    return n;
}

static int
config_set(struct config *config, const char *name, const char *value, const char *where, char *error)
{
    if (strncmp(name, "pool.", 5) == 0) {
        return config_set_pool(config, name, value, where, error);
    }
    if (strncmp(name, "template.", 9) == 0) {
        return config_set_template(config, name, value, where, error);
    }
    for (size_t i = 0; i < SBX_COUNT(config_keys); i++) {
        if (strcmp(config_keys[i].name, name) == 0) {
            return config_set_key(config, &config_keys[i], value, where, error);
        }
    }
    return config_fail(error, "%s: %.64s: there is no such key", where, name);
}

static char *
config_trim(char *text)
{
    char *end;

    text += strspn(text, " \t");
    end = text + strlen(text);
    while (end > text && strchr(" \t\r\n", end[-1]) != NULL) {
        *--end = '\0';
    }
    return text;
}

static int
config_read_line(struct config *config, char *line, const char *where, char *error)
{
    char *text = config_trim(line);
    char *equals;

    if (*text == '\0' || *text == '#') {
        return 0;
    }
    equals = strchr(text, '=');
    if (equals == NULL) {
        return config_fail(error, "%s: expected `section.key = value`", where);
    }
    *equals = '\0';
    return config_set(config, config_trim(text), config_trim(equals + 1), where, error);
}

static void
config_fclosep(FILE **file)
{
    if (*file != NULL) {
        (void)fclose(*file); /* read only: nothing to lose */
    }
}

static int
config_read_file(struct config *config, const char *path, char *error)
{
    _cleanup_(config_fclosep) FILE *file = NULL;
    char line[CONFIG_LINE_MAX];
    char where[CONFIG_ERROR_LEN / 2];
    int r;

    file = fopen(path, "re");
    if (file == NULL) {
        return config_fail(error, "%s: %s", path, strerror(errno));
    }
    for (unsigned n = 1; fgets(line, sizeof(line), file) != NULL; n++) {
        (void)snprintf(where, sizeof(where), "%s:%u", path, n); /* a long path may be cut */
        if ((strchr(line, '\n') == NULL && !feof(file)) || n > CONFIG_FILE_LINES_MAX) {
            return config_fail(error, "%s: too long", where);
        }
        r = config_read_line(config, line, where, error);
        if (r) {
            return r;
        }
    }
    if (ferror(file)) {
        return config_fail(error, "%s: cannot be read", path);
    }
    return 0;
}

/*
 * SANDBOX_LIMITS_MAX_RUNNING -> limits.max_running: the first '_' ends the section. SANDBOX_POOL_DEFAULT__GVISOR ->
 * pool.default.gvisor: later "__" are dots as well.
 */
static bool
config_name_of_env(const char *name, size_t len, char out[64])
{
    bool dot = false;
    size_t n = 0;

    if (len == 0 || len >= 64) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        char c = (char)tolower((unsigned char)name[i]);

        if (c == '_' && (!dot || (i + 1 < len && name[i + 1] == '_'))) {
            i += dot;
            dot = true;
            c = '.';
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return dot;
}

/* A name beneath a section of ours that is no key is a typing error; other SANDBOX_* names are other programs'. */
static bool
config_section_known(const char *name)
{
    size_t len = (size_t)(strchr(name, '.') - name) + 1;

    for (size_t i = 0; i < SBX_COUNT(config_keys); i++) {
        if (strncmp(config_keys[i].name, name, len) == 0) {
            return true;
        }
    }
    return strncmp(name, "pool.", len) == 0 || strncmp(name, "template.", len) == 0;
}

static int
config_read_env_entry(struct config *config, const char *entry, char *error)
{
    const char *equals = strchr(entry, '=');
    char where[CONFIG_ERROR_LEN / 2];
    char name[64];
    size_t len;

    if (equals == NULL) {
        return 0;
    }
    len = (size_t)(equals - entry);
    (void)snprintf(where, sizeof(where), "environment %.*s", (int)(len < 64 ? len : 64),
                   entry); /* cut is fine */
    if (strncmp(entry, "SANDBOX_", 8) == 0 && config_name_of_env(entry + 8, len - 8, name) &&
        config_section_known(name)) {
        return config_set(config, name, equals + 1, where, error);
    }
    for (size_t i = 0; i < SBX_COUNT(config_keys); i++) {
        const char *alias = config_keys[i].alias;

        if (alias != NULL && strlen(alias) == len && strncmp(entry, alias, len) == 0) {
            return config_set_key(config, &config_keys[i], equals + 1, where, error);
        }
    }
    return 0;
}

static bool
config_is_one_of(const char *text, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (strcmp(text, *names) == 0) {
            return true;
        }
    }
    return false;
}

static int
config_check_bypass(struct config *config, char *error)
{
    static const char *const on[] = { "on", "true", "1", "yes", NULL };
    static const char *const off[] = { "off", "false", "0", "no", "", NULL };

    if (config_is_one_of(config->authz_bypass_text, on)) {
        config->authz_bypass = true;
    } else if (!config_is_one_of(config->authz_bypass_text, off)) {
        return config_fail(error, "authz.bypass (AUTHZ_BYPASS): must be on or off");
    }
    if (config->authz_bypass && config->production) {
        return config_fail(error,
                           "authz.bypass (AUTHZ_BYPASS): refused unless environment.name (ENV) is dev, "
                           "development, local or test");
    }
    return 0;
}

/* A name that needs no accepting would be a mistake that nobody notices. */
static int
config_check_walls(struct config *config, char *error)
{
    if (!sbx_walls_parse(&config->accept_missing, config->accept_missing_text)) {
        return config_fail(error, "walls.accept_missing: must be names of walls, separated by commas");
    }
    if ((config->accept_missing & ~SBX_WALLS_REQUIRED) != 0) {
        return config_fail(error, "walls.accept_missing: time_namespace and landlock are not required");
    }
    return 0;
}

static int
config_check(struct config *config, char *error)
{
    /* What the gateway and the agent call no production, too. */
    static const char *const relaxed[] = { "dev", "development", "local", "test", NULL };
    int r;

    for (size_t i = 0; i < SBX_COUNT(config_keys); i++) {
        const struct config_key *key = &config_keys[i];

        if (key->fallback == NULL && *(char **)(void *)((char *)config + key->offset) == NULL) {
            return config_fail(error, "%s: must be set", key->name);
        }
    }
    if (!log_level_parse(config->log_level_name, &config->log_level)) {
        return config_fail(error, "log.level: must be debug, info, warn or error");
    }
    config->production = !config_is_one_of(config->environment, relaxed);
    r = config_check_bypass(config, error);
    if (r) {
        return r;
    }
    r = config_check_walls(config, error);
    if (r) {
        return r;
    }
    if (config->limits_max_running == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);

        /* So many that one tenant alone, which the queue gives three quarters, runs two a core. */
        config->limits_max_running = cores > 2 ? (8 * (uint64_t)cores - 1) / 3 : 5;
    }
    return config->n_templates > 0 ? 0 : config_set_pool(config, "pool.default", "0", "default", error);
}

int
config_load(struct config *ret, const char *path, char *const *environment, char *error)
{
    _cleanup_(config_deinitp) struct config config = { 0 };
    int r;

    for (size_t i = 0; i < SBX_COUNT(config_keys); i++) {
        if (config_keys[i].fallback == NULL) {
            continue;
        }
        r = config_set_key(&config, &config_keys[i], config_keys[i].fallback, "default", error);
        if (r) {
            return r;
        }
    }
    if (path != NULL) {
        r = config_read_file(&config, path, error);
        if (r) {
            return r;
        }
    }
    for (; environment != NULL && *environment != NULL; environment++) {
        r = config_read_env_entry(&config, *environment, error);
        if (r) {
            return r;
        }
    }
    r = config_check(&config, error);
    if (r) {
        return r;
    }
    *ret = config;
    memset(&config, 0, sizeof(config));
    return 0;
}

void
config_print_keys(FILE *out)
{
    for (size_t i = 0; i < SBX_COUNT(config_keys); i++) {
        const struct config_key *key = &config_keys[i];
        const char *fallback = key->fallback == NULL ? "none, must be set" : key->fallback;

        /* stdout gone: nobody to tell */
        (void)fprintf(out, "  %-30s %s (default: %s)\n", key->name, key->meaning,
                      *fallback == '\0' ? "empty" : fallback);
    }
    /* As above. */
    (void)fprintf(out, "  %-30s %s\n", "pool.<template>",
                  "sandboxes kept ready of a template (default: pool.default = 0)");
    (void)fprintf(out, "  %-30s %s\n", "pool.<template>.<tier>", "the same in one tier, process or gvisor");
    (void)fprintf(out, "  %-30s %s\n", "pool.<template>[.<tier>].<language>",
                  "the same with an interpreter waiting in each; N..M: N, and up to M by demand");
    (void)fprintf(out, "  %-30s %s\n", "template.<name>.isolation",
                  "tier of jobs that ask for none (default: process)");
}
