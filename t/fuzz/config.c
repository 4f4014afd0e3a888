/* Configuration files of the launcher and the executor, the registry of languages, lists of walls. By byte 0. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "executor/config.h"
#include "executor/launcher/settings.h"
#include "executor/runtime/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_text(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

static void
settings_check_all(const char *path)
{
    struct settings settings;
    char error[SETTINGS_ERROR_LEN] = "";

    if (settings_load(&settings, path, error) != 0) {
        assert(error[0] != '\0' && is_text(error, sizeof(error)));
        return;
    }
    assert(settings.n_templates >= 1 && settings.n_templates <= SETTINGS_MAX_TEMPLATES);
    assert(is_text(settings.agent, sizeof(settings.agent)) && settings.agent[0] != '\0');
    assert(is_text(settings.cgroup_parent, sizeof(settings.cgroup_parent)));
    assert(settings.max_sandboxes >= 1 && settings.max_sandboxes <= 4096);
    /* No slot's ids wrap around or reach root. */
    assert(settings.uid_base > 0 && settings.uid_base + 4 * settings.max_sandboxes < UINT32_MAX);
    for (unsigned i = 0; i < settings.n_templates; i++) {
        assert(is_text(settings.templates[i].name, sizeof(settings.templates[i].name)));
        assert(strchr(settings.templates[i].name, '/') == NULL && settings.templates[i].root[0] == '/');
    }
}

static void
config_check_all(const char *path)
{
    static char *const environment[] = { NULL };
    struct config_pool pools[CONFIG_MAX_POOLS];
    char error[CONFIG_ERROR_LEN] = "";
    struct config config = { 0 };

    if (config_load(&config, path, environment, error) != 0) {
        assert(is_text(error, sizeof(error)));
    } else {
        unsigned n = config_pools(&config, pools);

        assert(config.n_templates <= CONFIG_MAX_TEMPLATES && n <= CONFIG_MAX_POOLS);
        assert(config.listen_socket != NULL && config.limits_max_running > 0);
        for (unsigned i = 0; i < n; i++) {
            assert(pools[i].isolation != SBX_ISOLATION_NONE && pools[i].isolation < SBX_N_ISOLATIONS);
        }
    }
    config_deinit(&config);
}

static void
registry_check_all(const char *text, size_t len)
{
    struct registry *registry = NULL;
    char why[REGISTRY_WHY_LEN] = "";

    if (registry_parse(&registry, "fuzz", text, len, why) != 0) {
        assert(is_text(why, sizeof(why)));
        return;
    }
    for (unsigned i = 0; i < registry_count(registry); i++) {
        const char *name = registry_name(registry, i);

        assert(strcmp(registry_canonical(registry, name), name) == 0);
    }
    registry_free(registry);
}

static void
walls_check_all(const uint8_t *data, size_t size)
{
    char list[512], names[2048];
    uint64_t set, again;

    if (size >= sizeof(list)) {
        return;
    }
    memcpy(list, data, size);
    list[size] = '\0';
    if (sbx_walls_parse(&set, list)) {
        assert(sbx_walls_parse(&again, sbx_walls_text(set, names, sizeof(names))) && again == set);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32];
    int fd;

    if (size == 0) {
        return 0;
    }
    if (data[0] == 'r') {
        registry_check_all((const char *)data + 1, size - 1);
        return 0;
    }
    if (data[0] == 'w') {
        walls_check_all(data + 1, size - 1);
        return 0;
    }
    fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0600) < 0 || write(fd, data + 1, size - 1) != (ssize_t)(size - 1)) {
        abort();
    }
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    (data[0] == 's' ? settings_check_all : config_check_all)(path);
    close(fd);
    return 0;
}
