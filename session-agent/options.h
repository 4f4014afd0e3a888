/* What the command line and the environment say; everything is checked before anything starts. */
#pragma once

#include "session-agent/workspace.h"

/* Of the read-only root; the launcher puts it there (executor/launcher/bundle.h). */
#define OPTIONS_NESTED_FILTER "/opt/sandbox/agent/payload.bpf"

struct options {
    bool help;
    bool version;
    bool inside;
    bool nested; /* inside, started by runsc */
    bool auth_bypass;
    const char *address;
    const char *workspace_root;
    const char *opt_dir;
    const char *zygote;   /* the runtime whose zygote to be; NULL: an agent */
    const char *modules;  /* what that imports, commas between */
    const char *env_name; /* ENV */
    struct identity identity;
};

/* Fills *ret from argv and the environment, or says in `why` what is wrong. */
_must_check_ bool options_parse(struct options *ret, int argc, char **argv, char *why, size_t why_size);
extern const char options_help[];
