/* Names of environment variables that a tenant may set: one rule for the API and for the agent behind it. */
#pragma once

#include "sbx_base.h"

#pragma GCC visibility push(hidden)

#define SBX_ENV_NAME_MAX 128

/* [A-Za-z_][A-Za-z0-9_]{0,127} */
bool sbx_env_name_valid(const char *name);
/* Names that change what the loader, an interpreter or the agent is, before the program's first line. */
bool sbx_env_name_reserved(const char *name);

#pragma GCC visibility pop
