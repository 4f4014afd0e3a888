#include "sbx_wall.h"

#include <string.h>

static const struct {
    const char *name, *stops, *remedy;
} walls[SBX_N_WALLS] = {
    [SBX_WALL_PID_NAMESPACE] = { "pid_namespace", "seeing and signalling processes of the host and of others",
                                 "a kernel with CONFIG_PID_NS; root that may make namespaces" },
    [SBX_WALL_NETWORK_NAMESPACE] = { "network_namespace", "any network but the sandbox's own loopback",
                                     "a kernel with CONFIG_NET_NS; user.max_net_namespaces above 0" },
    [SBX_WALL_IPC_NAMESPACE] = { "ipc_namespace", "shared memory, semaphores and queues of others",
                                 "a kernel with CONFIG_IPC_NS and CONFIG_POSIX_MQUEUE" },
    [SBX_WALL_UTS_NAMESPACE] = { "uts_namespace", "reading and setting the host's name",
                                 "a kernel with CONFIG_UTS_NS" },
    [SBX_WALL_CGROUP_NAMESPACE] = { "cgroup_namespace", "seeing where in the host's groups it runs",
                                    "a kernel with CONFIG_CGROUPS (4.6)" },
    [SBX_WALL_TIME_NAMESPACE] = { "time_namespace", "telling the host by its uptime",
                                  "Linux 5.6 with CONFIG_TIME_NS" },
    [SBX_WALL_NESTED_NAMESPACES] = { "nested_namespaces",
                                     "making namespaces inside, where most kernel bugs begin",
                                     "Linux 4.9; a /proc that nothing covers" },
    [SBX_WALL_OWN_ROOT] = { "own_root", "reaching files of the host but its usr/",
                            "Linux 5.12 (fsopen, move_mount); no filter that refuses pivot_root" },
    [SBX_WALL_READ_ONLY_ROOT] = { "read_only_root", "changing what the next sandbox runs",
                                  "Linux 5.12 (fsopen, move_mount, mount_setattr); no filter that refuses "
                                  "them" },
    [SBX_WALL_OWN_INODES] = { "own_inodes", "locks and watches as a channel between sandboxes",
                              "a kernel with overlayfs that takes /usr as its lower layer" },
    [SBX_WALL_DEVICES] = { "devices", "reaching hardware; five harmless nodes are shown",
                           "/dev with null, zero, full, random and urandom" },
    [SBX_WALL_PROC_READ_ONLY] = { "proc_read_only", "changing the kernel's settings",
                                  "a /proc that nothing covers; Linux 5.12" },
    [SBX_WALL_PROC_MASKS] = { "proc_masks", "reading kernel addresses, keys and other tenants' load",
                              "a /proc that nothing covers; Linux 5.12" },
    [SBX_WALL_HIDEPID] = { "hidepid", "looking at the agent's and others' processes",
                           "Linux 5.8, for hidepid=invisible of one mount" },
    [SBX_WALL_OWN_IDS] = { "own_ids", "signals, limits and files of another sandbox by a host id in common",
                           "run as root of the host; free ids from uid_base on" },
    [SBX_WALL_UID] = { "uid", "acting as the agent, as another sandbox or as a user of the host",
                       "run as root of the host; free ids from uid_base on" },
    [SBX_WALL_CAPABILITIES] = { "capabilities", "every privileged call, in the sandbox's own namespaces too",
                                "nothing to be set: the kernel refused capset or prctl" },
    [SBX_WALL_NO_NEW_PRIVS] = { "no_new_privs", "gaining privilege by exec",
                                "nothing to be set: the kernel refused prctl" },
    [SBX_WALL_SECCOMP] = { "seccomp", "system calls that are not on the list",
                           "a kernel with CONFIG_SECCOMP_FILTER (4.14)" },
    [SBX_WALL_SECCOMP_ARCH] = { "seccomp_arch", "going around the list by another ABI",
                                "a kernel with CONFIG_SECCOMP_FILTER (4.14)" },
    [SBX_WALL_SECCOMP_CALLS] = { "seccomp_calls", "mounts, bpf, keyrings, ptrace, io_uring and the like",
                                 "libseccomp 2.5.4 and a kernel with CONFIG_SECCOMP_FILTER (4.14)" },
    [SBX_WALL_SECCOMP_CLONE] = { "seccomp_clone", "entering and making namespaces",
                                 "libseccomp 2.5.4 and a kernel with CONFIG_SECCOMP_FILTER (4.14)" },
    [SBX_WALL_SECCOMP_SOCKETS] = { "seccomp_sockets", "kernel code behind families of sockets",
                                   "libseccomp 2.5.4 and a kernel with CONFIG_SECCOMP_FILTER (4.14)" },
    [SBX_WALL_SECCOMP_IOCTL] = { "seccomp_ioctl", "requests to devices and terminals",
                                 "libseccomp 2.5.4 and a kernel with CONFIG_SECCOMP_FILTER (4.14)" },
    [SBX_WALL_SECCOMP_ARGUMENTS] = { "seccomp_arguments",
                                     "rare modes of common calls: prctl, futex, personality",
                                     "libseccomp 2.5.4 and a kernel with CONFIG_SECCOMP_FILTER (4.14)" },
    [SBX_WALL_LANDLOCK] = { "landlock", "a second line behind mounts: files, signals, abstract sockets",
                            "lsm=landlock,... on the kernel's command line; Linux 6.12 for all of it" },
    [SBX_WALL_DESCRIPTORS] = { "descriptors", "using files that somebody left open",
                               "Linux 5.11 (close_range); no filter that refuses it" },
    [SBX_WALL_SEALED_AGENT] = { "sealed_agent", "overwriting the agent for the next sandbox",
                                "vm.memfd_noexec=0 or 1; no filter that refuses memfd_create" },
    [SBX_WALL_NOT_DUMPABLE] = { "not_dumpable", "reading the agent's memory",
                                "nothing to be set: the kernel refused prctl" },
    [SBX_WALL_ENVIRONMENT] = { "environment", "steering a program before its first line",
                               "nothing: it is the agent's own" },
    [SBX_WALL_WORKSPACE] = { "workspace", "leading the agent astray by links and odd files",
                             "Linux 5.6 (openat2); no filter that refuses it" },
    [SBX_WALL_RESULT] = { "result", "more than one strict JSON document in a result",
                          "nothing: it is the agent's own" },
    [SBX_WALL_SWEEP] = { "sweep", "processes that outlive their step", "a kernel with CONFIG_PID_NS" },
    [SBX_WALL_RLIMITS] = { "rlimits", "exhausting descriptors, locked memory, queues; core files",
                           "hard limits of the service no lower than the sandbox's (LimitNOFILE=65536)" },
    [SBX_WALL_MEMORY] = { "memory", "taking the host's memory",
                          "the memory controller: delegated (Delegate=yes), or mounted as v1" },
    [SBX_WALL_PIDS] = { "pids", "a fork bomb",
                        "the pids controller: delegated (Delegate=yes), or mounted as v1" },
    [SBX_WALL_CPU] = { "cpu", "taking the processors from others",
                       "the cpu and cpuacct controllers: delegated (Delegate=yes), or mounted as v1" },
    [SBX_WALL_TIME] = { "time", "running for ever",
                        "Linux 5.3 (pidfd_open, pidfd_send_signal); no filter that refuses them" },
    [SBX_WALL_DISK] = { "disk", "filling memory with files", "a tmpfs that takes size=" },
    [SBX_WALL_INODES] = { "inodes", "filling memory with empty files", "a tmpfs that takes nr_inodes=" },
};

#ifdef SANDBOX_MUTANT
uint64_t sbx_walls_off;

_must_check_ bool
sbx_walls_off_add(const char *list)
{
    uint64_t set;

    if (!sbx_walls_parse(&set, list)) {
        return false;
    }
    sbx_walls_off |= set;
    return true;
}
#endif

const char *
sbx_wall_name(enum sbx_wall wall)
{
    return walls[wall].name;
}

enum sbx_wall
sbx_wall_parse(const char *name)
{
    unsigned i = 0;

    while (i < SBX_N_WALLS && strcmp(walls[i].name, name) != 0) {
        i++;
    }
    return (enum sbx_wall)i;
}

const char *
sbx_wall_stops(enum sbx_wall wall)
{
    return walls[wall].stops;
}

const char *
sbx_wall_remedy(enum sbx_wall wall)
{
    return walls[wall].remedy;
}

const char *
sbx_wall_state_name(uint32_t state)
{
    static const char *const states[SBX_N_WALL_STATES] = {
        [SBX_WALL_UNTRIED] = "untried",
        [SBX_WALL_ENFORCED] = "enforced",
        [SBX_WALL_WEAKER] = "weaker",
        [SBX_WALL_MISSING] = "missing",
    };

    return states[state < SBX_N_WALL_STATES ? state : SBX_WALL_UNTRIED];
}

const char *
sbx_walls_text(uint64_t set, char *text, size_t size)
{
    size_t len = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < SBX_N_WALLS; i++) {
        const char *name = walls[i].name;
        size_t wanted = strlen(name) + (len > 0 ? 2 : 0);

        if ((set & SBX_WALL_BIT(i)) == 0 || wanted >= size - len) {
            continue;
        }
        memcpy(text + len, ", ", len > 0 ? 2 : 0);
        memcpy(text + len + (len > 0 ? 2 : 0), name, strlen(name) + 1);
        len += wanted;
    }
    return text;
}

_must_check_ bool
sbx_walls_parse(uint64_t *ret, const char *text)
{
    uint64_t set = 0;

    text += strspn(text, " \t");
    while (*text != '\0') {
        size_t len = strcspn(text, ", \t");
        char name[32];

        if (len == 0 || len >= sizeof(name)) {
            return false;
        }
        memcpy(name, text, len);
        name[len] = '\0';
        if (sbx_wall_parse(name) == SBX_N_WALLS) {
            return false;
        }
        set |= SBX_WALL_BIT(sbx_wall_parse(name));
        text += len;
        text += strspn(text, " \t");
        if (*text == ',') {
            text++;
            text += strspn(text, " \t");
            if (*text == '\0') {
                return false; /* a comma at the end: something was forgotten */
            }
        } else if (*text != '\0') {
            return false;
        }
    }
    *ret = set;
    return true;
}
