#include "session-agent/confine.h"

#include <linux/capability.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/sbx_wall.h"
#include "session-agent/landlock.h"

#define MAX_FILES 4096

/* Of another process, or 0: ourselves. */
static bool
limit_set_of(pid_t pid, int resource, rlim_t value)
{
    struct rlimit limit = { .rlim_cur = value, .rlim_max = value };
    struct rlimit now;

    if (prlimit(pid, (__rlimit_resource_t)resource, NULL, &now) < 0) {
        return false;
    }
    /* Set by whoever started us: gVisor lets nobody within change some of them. */
    if (now.rlim_max <= value && now.rlim_cur <= value) {
        return true;
    }
    /* Raising is not ours to do, and a lower limit is as good. */
    if (now.rlim_max < value) {
        limit = (struct rlimit){ .rlim_cur = now.rlim_max, .rlim_max = now.rlim_max };
    }
    return prlimit(pid, (__rlimit_resource_t)resource, &limit, NULL) == 0;
}

static bool
limit_set(int resource, rlim_t value)
{
    return limit_set_of(0, resource, value);
}

static bool
limits_set(const struct confine_spec *spec)
{
    if (sbx_wall_is_off(SBX_WALL_RLIMITS)) {
        return true;
    }
    /* CORE 0 would still start a core_pattern pipe handler; 1 does not. */
    if (!limit_set(RLIMIT_CORE, 1) || !limit_set(RLIMIT_NOFILE, MAX_FILES) ||
        !limit_set(RLIMIT_MEMLOCK, 8 << 20) || !limit_set(RLIMIT_MSGQUEUE, 0) ||
        !limit_set(RLIMIT_SIGPENDING, 256) || !limit_set(RLIMIT_NICE, 0) || !limit_set(RLIMIT_RTPRIO, 0) ||
        !limit_set(RLIMIT_STACK, 8 << 20)) {
        return false;
    }
    /* Counted per user: without one of its own the agent's other processes would be in it. */
    return !spec->identity.change || spec->processes == 0 || limit_set(RLIMIT_NPROC, (rlim_t)spec->processes);
}

/* As the payload: the workspace may be closed to the agent. */
static bool
directory_enter(const struct confine_spec *spec)
{
    struct statvfs fs;

    if (chdir(spec->cwd) < 0) {
        return false;
    }
    if (spec->is_slot) {
        return true;
    }
    if (statvfs(".", &fs) < 0) {
        return false;
    }
    /* No file can be larger than its file system, sparse ones included. */
    return sbx_wall_is_off(SBX_WALL_RLIMITS) || sbx_wall_is_off(SBX_WALL_DISK) ||
           limit_set(RLIMIT_FSIZE, (rlim_t)fs.f_blocks * fs.f_frsize);
}

static bool
bounding_set_empty(const struct confine_spec *spec)
{
    unsigned long cap;

    if (!spec->identity.change || sbx_wall_is_off(SBX_WALL_CAPABILITIES)) {
        return true; /* not ours to shrink; no_new_privs keeps execve from giving any */
    }
    for (cap = 0; cap < 64; cap++) {
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
            return errno == EINVAL && cap > 0; /* past the last one the kernel has */
        }
    }
    return true;
}

static bool
groups_drop(const struct confine_spec *spec)
{
    if (!spec->identity.change || syscall(SYS_setgroups, 0, NULL) == 0) {
        return true;
    }
    /* A user namespace may deny setgroups for good; then there must be nothing to give up. */
    return syscall(SYS_getgroups, 0, NULL) == 0;
}

static bool
identity_take(const struct confine_spec *spec)
{
    gid_t gid = spec->identity.gid;
    uid_t uid = spec->identity.uid;

    if (!spec->identity.change || sbx_wall_is_off(SBX_WALL_UID)) {
        return true;
    }
    if (sbx_wall_is_off(SBX_WALL_CAPABILITIES) && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) {
        return false;
    }
    return syscall(SYS_setresgid, gid, gid, gid) == 0 && syscall(SYS_setresuid, uid, uid, uid) == 0 &&
           getuid() == uid && geteuid() == uid && getegid() == gid;
}

#ifdef SANDBOX_MUTANT
/* The agent's own, through execve. */
static bool
capabilities_keep(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct caps[2] = { { 0 }, { 0 } };
    unsigned long cap;

    if (syscall(SYS_capget, &header, caps) < 0) {
        return false;
    }
    /* A zygote has all of the namespace's. */
    caps[0].permitted &= 1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_KILL | 1u << CAP_SETPCAP;
    caps[1] = (struct __user_cap_data_struct){ 0 };
    caps[0].effective = caps[0].inheritable = caps[0].permitted;
    if (syscall(SYS_capset, &header, caps) < 0) {
        return false;
    }
    for (cap = 0; cap < 32; cap++) {
        /* EINVAL: gVisor has no such set; there only root of the sandbox keeps what it has through execve. */
        if ((caps[0].permitted >> cap & 1) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0 &&
            errno != EINVAL) {
            return false;
        }
    }
    return true;
}
#endif

static bool
capabilities_drop(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[2] = { { 0 }, { 0 } };

#ifdef SANDBOX_MUTANT
    if (sbx_wall_is_off(SBX_WALL_CAPABILITIES)) {
        return capabilities_keep();
    }
#endif
    /* EINVAL: a kernel that has no such set, as gVisor. */
    return (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0 || errno == EINVAL) &&
           syscall(SYS_capset, &header, none) == 0;
}

/* A change of identity clears the signal, and the parent may be gone already. */
static bool
death_signal_set(pid_t parent)
{
    return parent == 0 || (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == parent);
}

/* Standalone there is no telling what the code needs. */
static bool
landlock_enter(const struct confine_spec *spec)
{
    int r;

    if (spec->filter == NULL || sbx_wall_is_off(SBX_WALL_LANDLOCK) ||
        sbx_wall_is_off(SBX_WALL_NO_NEW_PRIVS)) {
        return true;
    }
    r = landlock_confine(spec->terminal);
    errno = -r;
    return r == 0;
}

static bool
filter_load(const struct confine_spec *spec)
{
    /* Without no_new_privs the kernel does not let us. */
    if (sbx_wall_is_off(SBX_WALL_SECCOMP) || sbx_wall_is_off(SBX_WALL_NO_NEW_PRIVS)) {
        return true;
    }
    return spec->filter == NULL || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, spec->filter) == 0;
}

/* The order is the list's: each needs what a later one takes away. */
enum confine_stage
confine(const struct confine_spec *spec)
{
    if (!limits_set(spec)) {
        return CONFINE_LIMITS;
    }
    if (!bounding_set_empty(spec)) {
        return CONFINE_BOUNDING_SET;
    }
    if (!groups_drop(spec)) {
        return CONFINE_GROUPS;
    }
    if (!identity_take(spec)) {
        return CONFINE_IDENTITY;
    }
    if (!capabilities_drop()) {
        return CONFINE_CAPABILITIES;
    }
    if (!sbx_wall_is_off(SBX_WALL_NO_NEW_PRIVS) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return CONFINE_NO_NEW_PRIVS;
    }
    if (!directory_enter(spec)) {
        return CONFINE_DIRECTORY;
    }
    if (!death_signal_set(spec->parent)) {
        return CONFINE_DEATH_SIGNAL;
    }
    if (!landlock_enter(spec)) {
        return CONFINE_LANDLOCK;
    }
    return filter_load(spec) ? CONFINE_DONE : CONFINE_SECCOMP;
}

static bool
slot_limits_set(pid_t pid, const struct confine_spec *spec, const struct statvfs *fs)
{
    bool has_user = spec->identity.change && spec->processes > 0;

    return (!has_user || limit_set_of(pid, RLIMIT_NPROC, (rlim_t)spec->processes)) &&
           (sbx_wall_is_off(SBX_WALL_DISK) ||
            limit_set_of(pid, RLIMIT_FSIZE, (rlim_t)fs->f_blocks * fs->f_frsize));
}

/* The kernel asks for the target's ids as our real ones, unless we had a capability that we need for nothing else. */
bool
confine_slot(pid_t pid, const struct confine_spec *spec)
{
    uid_t uid = getuid();
    gid_t gid = getgid();
    struct statvfs fs;
    bool is_set;

    if (sbx_wall_is_off(SBX_WALL_RLIMITS)) {
        return true;
    }
    /* Of what a path leads through only the directories above must be open to us, and they are the agent's. */
    is_set = statvfs(spec->cwd, &fs) == 0;
    if (!spec->identity.change || sbx_wall_is_off(SBX_WALL_UID)) {
        return is_set && slot_limits_set(pid, spec, &fs);
    }
    is_set = is_set && syscall(SYS_setresgid, spec->identity.gid, -1, -1) == 0 &&
             syscall(SYS_setresuid, spec->identity.uid, -1, -1) == 0 && slot_limits_set(pid, spec, &fs);
    /* Always allowed: they are the saved ones. */
    return syscall(SYS_setresuid, uid, -1, -1) == 0 && syscall(SYS_setresgid, gid, -1, -1) == 0 && is_set;
}

const char *
confine_stage_name(enum confine_stage stage)
{
    static const char *const names[CONFINE_N_STAGES] = {
        [CONFINE_LIMITS] = "resource limits",
        [CONFINE_BOUNDING_SET] = "capability bounding set",
        [CONFINE_GROUPS] = "groups",
        [CONFINE_IDENTITY] = "identity",
        [CONFINE_CAPABILITIES] = "capabilities",
        [CONFINE_NO_NEW_PRIVS] = "no_new_privs",
        [CONFINE_DIRECTORY] = "directory",
        [CONFINE_DEATH_SIGNAL] = "death signal",
        [CONFINE_LANDLOCK] = "landlock",
        [CONFINE_SECCOMP] = "seccomp",
        [CONFINE_DONE] = "interpreter",
    };

    return names[stage];
}
