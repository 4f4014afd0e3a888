#include "sbx_isolation.h"

#include <string.h>

static const char *const names[SBX_N_ISOLATIONS] = {
    [SBX_ISOLATION_NONE] = "",
    [SBX_ISOLATION_PROCESS] = "process",
    [SBX_ISOLATION_GVISOR] = "gvisor",
};

const char *
sbx_isolation_name(enum sbx_isolation isolation)
{
    return names[isolation];
}

enum sbx_isolation
sbx_isolation_parse(const char *name)
{
    for (int i = SBX_ISOLATION_PROCESS; i < SBX_N_ISOLATIONS; i++) {
        if (strcmp(names[i], name) == 0) {
            return (enum sbx_isolation)i;
        }
    }
    return SBX_ISOLATION_NONE;
}

enum sbx_isolation
sbx_isolation_stronger(enum sbx_isolation a, enum sbx_isolation b)
{
    return a > b ? a : b;
}
