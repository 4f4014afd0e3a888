/*
 * What check-host says about a host: the walls as they were tried, the tiers, and settings of the kernel that
 * are better one way. Gathered and rendered here, printed by sandbox-launch and executord.
 */
#pragma once

#include "sbx_buf.h"
#include "sbx_isolation.h"
#include "sbx_wall.h"

#pragma GCC visibility push(hidden)

#define SBX_HOST_MAX_ADVICE 48
#define SBX_HOST_VALUE_LEN 160
#define SBX_TIER_TEXT_LEN 64

/* One setting of the host, or fact about a daemon. Never required. */
struct sbx_host_advice {
    const char *name;
    bool fine;
    char value[SBX_HOST_VALUE_LEN];
    char remedy[SBX_HOST_VALUE_LEN]; /* "" when fine */
};

struct sbx_host_tier {
    bool offered;
    char version[SBX_TIER_TEXT_LEN];
    char platform[SBX_TIER_TEXT_LEN];
    char why[SBX_TIER_TEXT_LEN]; /* not offered: why not */
};

struct sbx_host_report {
    const char *asked;   /* "sandbox-launch at /run/..." or how else it was found out */
    const char *unasked; /* NULL, or why nobody could be asked: then walls and tiers are not known */
    uint64_t required;   /* set of walls */
    const char *cgroup;  /* "v1", "v2" or "" */
    struct sbx_wall_found walls[SBX_N_WALLS];
    struct sbx_host_tier tiers[SBX_N_ISOLATIONS];
    struct sbx_host_advice advice[SBX_HOST_MAX_ADVICE];
    unsigned n_advice;
};

/* Required walls that are not enforced at all. */
uint64_t sbx_host_missing(const struct sbx_host_report *report);
/* Looks at the settings beneath `root` ("" for the host's own) and appends what it sees. */
void sbx_host_advise(struct sbx_host_report *report, const char *root);
/* Appends one; more than fit are dropped. `remedy` NULL or "": fine. */
void sbx_host_add(struct sbx_host_report *report, const char *name, const char *value, const char *remedy);
void sbx_host_table(struct sbx_buf *out, const struct sbx_host_report *report);
void sbx_host_json(struct sbx_buf *out, const struct sbx_host_report *report);

#pragma GCC visibility pop
