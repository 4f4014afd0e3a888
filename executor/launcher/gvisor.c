#include "executor/launcher/gvisor.h"

#include <string.h>

#define PROBE_MS 10000

static const enum settings_platform candidates[] = { SETTINGS_PLATFORM_SYSTRAP, SETTINGS_PLATFORM_PTRACE };

/* 0, GVISOR_E_UNFIT or -errno. A sandbox like any other, of nobody. */
_must_check_ static int
platform_try(struct sandbox_host *host, int (*turn)(void *arg), void *arg)
{
    struct launch_create request = { .isolation = SBX_ISOLATION_GVISOR };
    uint64_t end = sandbox_now_ms() + PROBE_MS;
    const char *stage;
    bool has_run = false;
    int r;

    memcpy(request.template_name, host->settings.templates[0].name, sizeof(request.template_name));
    r = sandbox_create(NULL, 0, &request, &stage);
    if (r < 0) {
        journal(JOURNAL_ERROR, "gvisor.probe", JOURNAL_STR("stage", stage), JOURNAL_INT("error", -r));
    }
    while (!sandboxes_idle()) {
        has_run = has_run || sandboxes_in(SANDBOX_WARM) > 0;
        if (has_run || sandbox_now_ms() > end) {
            sandboxes_kill_all();
        }
        r = turn(arg);
        if (r < 0) {
            return r;
        }
    }
    return has_run ? 0 : GVISOR_E_UNFIT;
}

_must_check_ int
gvisor_choose(struct sandbox_host *host, int (*turn)(void *arg), void *arg)
{
    enum settings_platform wanted = host->settings.runsc_platform;
    int r = GVISOR_E_UNFIT;

    host->has_gvisor = true;
    for (size_t i = 0; i < SBX_COUNT(candidates) && r == GVISOR_E_UNFIT; i++) {
        enum settings_platform platform = wanted == SETTINGS_PLATFORM_AUTO ? candidates[i] : wanted;

        runsc_set_platform(&host->runsc, platform);
        r = platform_try(host, turn, arg);
        if (r == 0) {
            journal(JOURNAL_INFO, "gvisor.chosen", JOURNAL_STR("runsc", host->runsc.version),
                    JOURNAL_STR("platform", settings_platform_name(platform)));
        }
        if (wanted != SETTINGS_PLATFORM_AUTO) {
            break;
        }
    }
    host->has_gvisor = r == 0;
    return r;
}

void
gvisor_tell(struct sandbox_host *host, const char *why_not)
{
    struct launch_walls *walls = &host->walls;
    const char *equals = strchr(host->runsc.platform, '=');

    memset(walls->gvisor_version, 0, sizeof(walls->gvisor_version));
    memset(walls->gvisor_platform, 0, sizeof(walls->gvisor_platform));
    memset(walls->gvisor_why, 0, sizeof(walls->gvisor_why));
    (void)snprintf(walls->gvisor_version, sizeof(walls->gvisor_version), "%s",
                   host->runsc.version); /* all fit */
    if (host->has_gvisor) {
        walls->tiers |= 1u << SBX_ISOLATION_GVISOR;
        (void)snprintf(walls->gvisor_platform, sizeof(walls->gvisor_platform), "%s", equals + 1);
    } else {
        (void)snprintf(walls->gvisor_why, sizeof(walls->gvisor_why), "%s", why_not);
    }
}
