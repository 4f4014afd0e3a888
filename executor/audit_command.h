/* executord audit verify, audit keygen and audit export: the audit log on the command line. */
#pragma once

#include "lib/sbx_base.h"

#define AUDIT_COMMAND_KEYS 8

enum { EXIT_FINE = 0, EXIT_BROKEN = 1, EXIT_USAGE = 2 };

struct audit_command {
    const char *dir, *database; /* the latter NULL: the log alone */
    const char *public_keys[AUDIT_COMMAND_KEYS];
    unsigned n_public_keys;
};

/* Each says on standard output and error how it went and returns the exit status. */
int audit_command_verify(const struct audit_command *command);
int audit_command_keygen(const char *path);
