/*
 * The gVisor binary: found at start, asked what it is and which of our flags it knows, and how it is called as
 * pid 1 of a sandbox. Whether it can run at all only a first sandbox shows (gvisor.h).
 */
#pragma once

#include "executor/launcher/settings.h"

#define RUNSC_MAX_ARGS 20
/* Where it is in its own root; so are the others that bundle.c and mounts_gvisor.c put there. */
#define RUNSC_PATH "/bin/runsc"
#define RUNSC_BUNDLE "/bundle"

enum {
    RUNSC_E_ABSENT = 1, /* not wanted, or not there and not named */
};

struct runsc {
    int fd; /* of the host's file until it is copied; -1: none */
    char version[48];
    char platform[32]; /* "--platform=..." */
    char *argv[RUNSC_MAX_ARGS + 1];
    unsigned n_args; /* of those before the platform */
};

#define RUNSC_NULL                                                                                           \
    {                                                                                                        \
        .fd = -1                                                                                             \
    }

/* `error` (SETTINGS_ERROR_LEN) says what is wrong with a binary that is there. */
_must_check_ int runsc_open(struct runsc *ret, const struct settings *settings, char *error);
void runsc_close(struct runsc *runsc);
/* Whether `text`, what `runsc flags` prints, has this one. */
bool runsc_knows(const char *text, const char *flag);
/* Fills argv with what the binary, whose list of flags is `known`, understands. Negative: not with what must be. */
_must_check_ int runsc_arguments(struct runsc *runsc, const char *known);
void runsc_set_platform(struct runsc *runsc, enum settings_platform platform);
