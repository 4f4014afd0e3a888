/*
 * The launcher's configuration: a file of `key = value` lines, read once at start.
 * Unknown keys, bad values and a file that others may write are refused.
 */
#pragma once

#include <stdio.h>
#include <sys/types.h>

#include "executor/launcher/journal.h"
#include "executor/launcher/wire.h"

#define SETTINGS_PATH_LEN 1024
#define SETTINGS_SOCKET_LEN 104
#define SETTINGS_INSTANCE_LEN 33
#define SETTINGS_MAX_TEMPLATES 8
#define SETTINGS_MAX_SANDBOXES 4096
#define SETTINGS_ERROR_LEN 256
#define SETTINGS_SPARE_NETWORKS_MAX 64
/* A slot's host ids, from the first: the payload's, the agent's (0 inside), the sentry's (65534 inside), a spare. */
#define SETTINGS_UIDS_A_SLOT 4u
#define SETTINGS_MODULES_LEN 1024

enum {
    SETTINGS_E_INVALID = 1, /* the error text says where */
};

enum settings_platform {
    SETTINGS_PLATFORM_AUTO,
    SETTINGS_PLATFORM_SYSTRAP,
    SETTINGS_PLATFORM_PTRACE,
    SETTINGS_PLATFORM_KVM,
    SETTINGS_N_PLATFORMS
};

enum settings_cgroup { SETTINGS_CGROUP_AUTO, SETTINGS_CGROUP_V1, SETTINGS_CGROUP_V2 };

struct settings_template {
    char name[LAUNCH_TEMPLATE_LEN];
    char root[SETTINGS_PATH_LEN];      /* its usr/ becomes the sandbox's */
    bool inet;                         /* IP sockets, which still reach nothing but lo */
    bool workspace_exec;               /* programs run from the writable directories */
    char zygote[SETTINGS_MODULES_LEN]; /* what its Python zygote imports, commas between; "": there is none */
};

struct settings {
    char socket[SETTINGS_SOCKET_LEN];
    char agent[SETTINGS_PATH_LEN];
    char opt_dir[SETTINGS_PATH_LEN]; /* drivers/ and runtimes.json: seen as /opt/sandbox */
    char state_dir[SETTINGS_PATH_LEN];
    char instance[SETTINGS_INSTANCE_LEN];
    char cgroup_parent[SETTINGS_PATH_LEN]; /* "": beneath the launcher's own group */
    uint64_t executor_uid;                 /* the one that may connect */
    uint64_t executor_gid;
    uint64_t uid_base;
    uint64_t max_sandboxes;
    enum settings_cgroup cgroup;
    bool favordynmods;
    char runsc[SETTINGS_PATH_LEN]; /* "auto", "no" or a path */
    enum settings_platform runsc_platform;
    bool own_inodes;
    uint64_t spare_networks; /* that are kept ready; 0: each sandbox makes its own */
    bool zygote;
    uint64_t zygote_forks;      /* after as many it is made anew */
    uint64_t zygote_seconds;    /* and after as long */
    uint64_t zygote_growth_mib; /* and when it has so much more than when it was ready */
    enum journal_level log_level;
    struct settings_template templates[SETTINGS_MAX_TEMPLATES];
    unsigned n_templates;
#ifdef SANDBOX_MUTANT
    char walls_off[SETTINGS_PATH_LEN]; /* as the agent is told */
#endif
};

/* `error` has SETTINGS_ERROR_LEN bytes. */
_must_check_ int settings_load(struct settings *ret, const char *path, char *error);
/* What holds without a file, for --check-host: paths that must be set are empty. */
void settings_default(struct settings *ret);
/* A host id beyond those of the slots, for what is the launcher's and is to have no right on the host. */
static inline uid_t
settings_helper_uid(const struct settings *settings)
{
    return (uid_t)(settings->uid_base + SETTINGS_UIDS_A_SLOT * settings->max_sandboxes);
}
/* Of zygotes, and owner of the user namespace through which they reach sandboxes. */
static inline uid_t
settings_zygote_uid(const struct settings *settings)
{
    return settings_helper_uid(settings) + 1;
}
/* "auto", "systrap" ... */
const char *settings_platform_name(enum settings_platform platform);
void settings_print_keys(FILE *out);
