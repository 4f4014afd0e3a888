#include "sbx_wall.h"

#include <string.h>

static const char *const names[SBX_N_WALLS] = {
    [SBX_WALL_PID_NAMESPACE] = "pid_namespace",
    [SBX_WALL_NETWORK_NAMESPACE] = "network_namespace",
    [SBX_WALL_IPC_NAMESPACE] = "ipc_namespace",
    [SBX_WALL_UTS_NAMESPACE] = "uts_namespace",
    [SBX_WALL_CGROUP_NAMESPACE] = "cgroup_namespace",
    [SBX_WALL_TIME_NAMESPACE] = "time_namespace",
    [SBX_WALL_NESTED_NAMESPACES] = "nested_namespaces",
    [SBX_WALL_OWN_ROOT] = "own_root",
    [SBX_WALL_READ_ONLY_ROOT] = "read_only_root",
    [SBX_WALL_OWN_INODES] = "own_inodes",
    [SBX_WALL_DEVICES] = "devices",
    [SBX_WALL_PROC_READ_ONLY] = "proc_read_only",
    [SBX_WALL_PROC_MASKS] = "proc_masks",
    [SBX_WALL_HIDEPID] = "hidepid",
    [SBX_WALL_OWN_IDS] = "own_ids",
    [SBX_WALL_UID] = "uid",
    [SBX_WALL_CAPABILITIES] = "capabilities",
    [SBX_WALL_NO_NEW_PRIVS] = "no_new_privs",
    [SBX_WALL_SECCOMP] = "seccomp",
    [SBX_WALL_SECCOMP_ARCH] = "seccomp_arch",
    [SBX_WALL_SECCOMP_CALLS] = "seccomp_calls",
    [SBX_WALL_SECCOMP_CLONE] = "seccomp_clone",
    [SBX_WALL_SECCOMP_SOCKETS] = "seccomp_sockets",
    [SBX_WALL_SECCOMP_IOCTL] = "seccomp_ioctl",
    [SBX_WALL_SECCOMP_ARGUMENTS] = "seccomp_arguments",
    [SBX_WALL_LANDLOCK] = "landlock",
    [SBX_WALL_DESCRIPTORS] = "descriptors",
    [SBX_WALL_SEALED_AGENT] = "sealed_agent",
    [SBX_WALL_NOT_DUMPABLE] = "not_dumpable",
    [SBX_WALL_ENVIRONMENT] = "environment",
    [SBX_WALL_WORKSPACE] = "workspace",
    [SBX_WALL_RESULT] = "result",
    [SBX_WALL_SWEEP] = "sweep",
    [SBX_WALL_RLIMITS] = "rlimits",
    [SBX_WALL_MEMORY] = "memory",
    [SBX_WALL_PIDS] = "pids",
    [SBX_WALL_CPU] = "cpu",
    [SBX_WALL_TIME] = "time",
    [SBX_WALL_DISK] = "disk",
    [SBX_WALL_INODES] = "inodes",
};

#ifdef SANDBOX_MUTANT
uint64_t sbx_walls_off;

_must_check_ bool
sbx_walls_off_add(const char *list)
{
    char name[32];
    size_t len;

    for (list += strspn(list, ", "); *list != '\0'; list += strspn(list, ", ")) {
        enum sbx_wall wall;

        len = strcspn(list, ", ");
        if (len >= sizeof(name)) {
            return false;
        }
        memcpy(name, list, len);
        name[len] = '\0';
        wall = sbx_wall_parse(name);
        if (wall == SBX_N_WALLS) {
            return false;
        }
        sbx_walls_off |= 1ull << wall;
        list += len;
    }
    return true;
}
#endif

const char *
sbx_wall_name(enum sbx_wall wall)
{
    return names[wall];
}

enum sbx_wall
sbx_wall_parse(const char *name)
{
    unsigned i = 0;

    while (i < SBX_N_WALLS && strcmp(names[i], name) != 0) {
        i++;
    }
    return (enum sbx_wall)i;
}
