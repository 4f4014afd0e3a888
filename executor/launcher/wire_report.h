/* The answer to LAUNCH_WALLS as what check-host reports, in sandbox-launch and in executord. */
#pragma once

#include <string.h>

#include "executor/launcher/wire.h"
#include "lib/sbx_host.h"

/* Its texts end in NUL. `ret->cgroup` is a text of `walls`, which must outlive the report. */
static inline void
launch_walls_report(struct sbx_host_report *ret, const struct launch_walls *walls)
{
    struct sbx_host_tier *gvisor = &ret->tiers[SBX_ISOLATION_GVISOR];

    _Static_assert(sizeof(gvisor->why) == sizeof(walls->gvisor_why), "a text is copied whole");
    ret->cgroup = walls->cgroup;
    memcpy(ret->walls, walls->wall, sizeof(ret->walls));
    for (unsigned i = 0; i < SBX_N_ISOLATIONS; i++) {
        ret->tiers[i].offered = (walls->tiers >> i) & 1u;
    }
    memcpy(gvisor->version, walls->gvisor_version, sizeof(gvisor->version));
    memcpy(gvisor->platform, walls->gvisor_platform, sizeof(gvisor->platform));
    memcpy(gvisor->why, walls->gvisor_why, sizeof(gvisor->why));
}
