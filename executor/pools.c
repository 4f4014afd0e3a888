#include "executor/pools.h"

#include <string.h>
#include <unistd.h>

#include "executor/log.h"

#define MIB (UINT64_C(1) << 20)
/* What one that waits takes, in its control group; docs/performance.md, "Density". */
#define POOLS_PLAIN (1 * MIB)
#define POOLS_GVISOR (17 * MIB)
#define POOLS_INTERPRETER (8 * MIB)
#define POOLS_NODE (20 * MIB)
#define POOLS_HOST_PART 8     /* of the host's memory for all, where nothing is said */
#define POOLS_CREATING_EACH 1 /* at once, of each core */
#define POOLS_MAX_CORES 16
#define POOLS_MAX_REFILLS 4
#define POOLS_GVISOR_QUIET_MS                                                                                \
    100 /* what a job is given before one is started beside it, which takes all cores */

void
pools_shape(struct pools *pools, const struct config *config)
{
    pools->n_shapes = config_pools(config, pools->shapes);
}

static bool
shape_check(const struct config_pool *shape, const struct registry *languages)
{
    for (unsigned i = 0; i < shape->n_lines; i++) {
        const char *name = registry_canonical(languages, shape->lines[i]->language);
        const char *error = name == NULL ? "runtimes.file has no such language" : NULL;

        for (unsigned j = 0; j < i && error == NULL; j++) {
            if (strcmp(name, registry_canonical(languages, shape->lines[j]->language)) == 0) {
                error = "the language is named twice";
            }
        }
        if (error != NULL) {
            log_error("start.pool", LOG_STR("template", shape->name),
                      LOG_STR("isolation", sbx_isolation_name(shape->isolation)),
                      LOG_STR("language", shape->lines[i]->language), LOG_STR("error", error));
            return false;
        }
    }
    return true;
}

bool
pools_check(const struct config *config, const struct registry *languages)
{
    struct config_pool shapes[CONFIG_MAX_POOLS];
    unsigned n = config_pools(config, shapes);
    bool is_fine = true;

    for (unsigned i = 0; i < n; i++) {
        is_fine = shape_check(&shapes[i], languages) && is_fine;
    }
    return is_fine;
}

static uint64_t
host_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);

    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 1024 * MIB;
}

static unsigned
host_cores(unsigned most)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    return cores < 1 ? 1 : (unsigned long)cores > most ? most : (unsigned)cores;
}

/* Making one is work for a processor: more at once are not sooner done, and hold up whoever comes next. */
static unsigned
pools_creating(const struct config *config)
{
    unsigned creating = POOLS_CREATING_EACH * host_cores(POOLS_MAX_CORES);
    uint64_t most = config->limits_max_running / 2;

    most = most < 2 ? 2 : most;
    return creating < most ? creating : (unsigned)most;
}

unsigned
pools_max_taking(const struct config *config)
{
    return 2 * pools_creating(config);
}

static uint64_t
line_memory(enum sbx_isolation tier, const char *language)
{
    uint64_t own = tier == SBX_ISOLATION_GVISOR ? POOLS_GVISOR : POOLS_PLAIN;

    if (*language == '\0') {
        return own;
    }
    return own + (strcmp(language, "javascript") == 0 ? POOLS_NODE : POOLS_INTERPRETER);
}

static int
pool_open(struct pools *pools, const struct config_pool *shape, const struct pools_spec *spec)
{
    struct pool_line_spec lines[1 + CONFIG_MAX_LINES];
    const struct pool_spec pool = {
        .runtime = spec->runtimes[shape->isolation],
        .timers = spec->timers,
        .share = pools->share,
        .template_name = shape->name,
        .lines = lines,
        .n_lines = 1 + shape->n_lines,
        .max_creating = pools_creating(spec->config),
        .quiet_ms = shape->isolation == SBX_ISOLATION_GVISOR ? POOLS_GVISOR_QUIET_MS : 0,
    };
    struct runner_pool *ret = &pools->pools[pools->n_pools];
    int r;

    lines[0] =
        (struct pool_line_spec){ "", shape->size.min, shape->size.max, line_memory(shape->isolation, "") };
    for (unsigned i = 0; i < shape->n_lines; i++) {
        const struct config_size *size = &shape->lines[i]->size;
        const char *language = registry_canonical(spec->languages, shape->lines[i]->language);

        lines[1 + i] = (struct pool_line_spec){ language, size->min, size->max,
                                                line_memory(shape->isolation, language) };
    }
    r = pool_new(&ret->pool, &pool);
    if (r) {
        log_error("start.pool", LOG_STR("template", shape->name), LOG_STR("error", strerror(-r)));
        return r;
    }
    ret->template_name = shape->name;
    ret->isolation = shape->isolation;
    ret->own = shape->own;
    pools->n_pools++;
    return 0;
}

int
pools_open(struct pools *pools, const struct pools_spec *spec)
{
    const struct config *config = spec->config;
    const struct pool_share_spec share = {
        .timers = spec->timers,
        .max_memory = config->pools_memory > 0 ? config->pools_memory : host_memory() / POOLS_HOST_PART,
        .max_number = (unsigned)config->pools_max,
        .max_refills = host_cores(POOLS_MAX_REFILLS),
        .busy = spec->busy,
        .busy_arg = spec->busy_arg,
    };
    int r;

    if (!pools_check(config, spec->languages)) {
        return -EINVAL;
    }
    r = pool_share_new(&pools->share, &share);
    for (unsigned i = 0; i < pools->n_shapes && r == 0; i++) {
        r = pool_open(pools, &pools->shapes[i], spec);
    }
    return r;
}

void
pools_close(struct pools *pools)
{
    for (unsigned i = 0; i < pools->n_pools; i++) {
        pools->pools[i].pool = pool_free(pools->pools[i].pool);
    }
    pools->n_pools = 0;
    pools->share = pool_share_free(pools->share);
}
