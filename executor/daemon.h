/* executord as a whole: everything made in order, the loop, signals, an orderly end. */
#pragma once

#include "executor/config.h"

/* Runs until told to stop; returns the exit status. */
int daemon_run(const struct config *config);
/* Reads the files that the configuration names, as daemon_run would; says on standard error what is wrong. */
_must_check_ bool daemon_check(const struct config *config);
