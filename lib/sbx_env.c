#include "sbx_env.h"

#include <string.h>

#include "lib/sbx_wall.h"

#define ENV_FIRST "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"

bool
sbx_env_name_valid(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= SBX_ENV_NAME_MAX && strspn(name, ENV_FIRST) > 0 &&
           strspn(name, ENV_FIRST "0123456789") == len;
}

bool
sbx_env_name_reserved(const char *name)
{
    static const char *const prefixes[] = { "LD_", "PYTHON", "SANDBOX_", "BASH_FUNC_" };
    static const char *const names[] = { "GLIBC_TUNABLES", "BASH_ENV",  "ENV",
                                         "NODE_OPTIONS",   "SHELLOPTS", "BASHOPTS" };
    size_t i;

    if (sbx_wall_is_off(SBX_WALL_ENVIRONMENT)) {
        return false;
    }
    for (i = 0; i < SBX_COUNT(prefixes); i++) {
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    for (i = 0; i < SBX_COUNT(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}
