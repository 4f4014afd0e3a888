#include "executor/launcher/limits.h"

#include "executor/launcher/mounts.h"
#include "lib/sbx_wall.h"

#define MEMORY_MIN (1ull << 20)
#define BYTES_MAX (1ull << 46)
#define MS_MAX (1000ull * 86400 * 366)
#define CPU_MILLIS_MIN 10 /* a quota of 1 ms, the kernel's least */
#define CPU_MILLIS_MAX 1024000
#define PROCESSES_MAX 4000000
#define AT_LIMIT (1ull << 20) /* so near to it */

/* Until ADOPT. The agent is one of them, as it is one of a tenant's plus one: what has the fallback of 128 is near. */
#define PIDS_UNTIL_ADOPTED (64 + 1)
#define DISK_UNTIL_ADOPTED (16ull << 20)
#define DISK_UNTIL_ADOPTED_MAX (128ull << 20)

/*
 * What gVisor itself takes of the group: gofer, sentry and runsc, each a Go program. The tenant's processes are
 * counted by the sentry (session-agent/census.h); the host's limit stands behind it, for a sentry that is no longer
 * ours, and must be out of the way of all that is allowed. With ptrace an address space has a task for each thread of
 * the sentry that ever ran it: the product of both, measured 357 for 12 processes, 1998 for 64. See docs/launcher.md.
 */
#define GVISOR_MEMORY (96ull << 20)
#define GVISOR_TASKS 256
#define GVISOR_THREADS 24
#define GVISOR_THREADS_MAX 40

_must_check_ bool
limits_valid(const struct launch_limits *limits)
{
    return limits->memory_bytes >= MEMORY_MIN && limits->memory_bytes <= BYTES_MAX &&
           limits->disk_bytes > 0 && limits->disk_bytes <= BYTES_MAX && limits->cpu_ms > 0 &&
           limits->cpu_ms <= MS_MAX && limits->wall_ms > 0 && limits->wall_ms <= MS_MAX &&
           limits->cpu_millis >= CPU_MILLIS_MIN && limits->cpu_millis <= CPU_MILLIS_MAX &&
           limits->processes > 0 && limits->processes <= PROCESSES_MAX;
}

/* A Go program has up to a thread for each processor, and three of them are at work. The kernel takes no limit above
 * its most pids. */
static uint32_t
gvisor_tasks(uint64_t processes, unsigned n_cpus)
{
    uint64_t threads = processes < GVISOR_THREADS_MAX ? processes : GVISOR_THREADS_MAX;
    uint64_t tasks = GVISOR_TASKS + 4ull * n_cpus + processes * (threads + GVISOR_THREADS + n_cpus);

    return tasks < PROCESSES_MAX ? (uint32_t)tasks : PROCESSES_MAX;
}

struct cgroup_limits
limits_until_adopted(enum sbx_isolation isolation, unsigned n_cpus)
{
    struct cgroup_limits limits = {
        .memory_bytes = 512ull << 20,
        .pids = PIDS_UNTIL_ADOPTED,
        .cpu_millis = 1000,
        .is_rough = isolation == SBX_ISOLATION_PROCESS,
    };

    if (isolation == SBX_ISOLATION_GVISOR) {
        limits.pids = gvisor_tasks(0, n_cpus);
    }
    return limits;
}

/* What was asked for last: the next one is to have the same, often. */
static uint64_t last_disk_bytes;

uint64_t
limits_disk_until_adopted(void)
{
    bool is_near = last_disk_bytes >= DISK_UNTIL_ADOPTED && last_disk_bytes <= DISK_UNTIL_ADOPTED_MAX;

    return is_near ? last_disk_bytes : DISK_UNTIL_ADOPTED;
}

_must_check_ static int
disk_limit(struct sandbox *sb)
{
    uint64_t bytes = sb->limits.disk_bytes;
    int r = bytes == sb->disk_bytes ? 0 : mounts_disk_resize(sb->disk_fd, bytes);

    if (r == 0) {
        sb->disk_bytes = last_disk_bytes = bytes;
    }
    return r;
}

/* `processes` and `memory_bytes` are the tenant's; the group holds more than him. */
static struct cgroup_limits
group_limits(const struct sandbox *sb, const struct sandbox_host *host)
{
    struct cgroup_limits group = {
        .memory_bytes = sb->limits.memory_bytes,
        .pids = sb->limits.processes + 1, /* the agent */
        .cpu_millis = sb->limits.cpu_millis,
    };

    if (sb->isolation == SBX_ISOLATION_GVISOR) {
        group.memory_bytes += GVISOR_MEMORY;
        group.pids = gvisor_tasks(sb->limits.processes, host->n_cpus);
    }
    return group;
}

_must_check_ int
limits_apply(struct sandbox *sb, const struct sandbox_host *host, const char **ret_stage)
{
    const struct cgroup_limits group = group_limits(sb, host);
    int r = cgroup_limit(&sb->cgroup, &host->tree, &group, ret_stage);

    if (r < 0) {
        return r;
    }
    *ret_stage = "disk";
    r = disk_limit(sb);
    if (r < 0) {
        return r;
    }
    *ret_stage = "cgroup counters";
    r = host->tree.ops->watch(&sb->cgroup);
    if (r == 0) {
        r = host->tree.ops->read(&sb->cgroup, &sb->before);
    }
    sb->active_us = sb->before.cpu_us;
    sb->active_ms = sandbox_now_ms();
    return r;
}

/* Of what the group held at most, the tenant's part: what was kept for gVisor is not his. */
static uint64_t
peak_of_tenant(const struct sandbox *sb)
{
    uint64_t kept = sb->isolation == SBX_ISOLATION_GVISOR ? GVISOR_MEMORY : 0;
    uint64_t peak = sb->report.peak_memory_bytes;

    return peak > kept ? peak - kept : 0;
}

/* What the kernel would not call out of memory for as long as it finds a page of the program to throw away. */
static bool
is_thrashing(struct sandbox *sb, const struct sandbox_host *host)
{
    return sb->report.peak_memory_bytes + AT_LIMIT >= group_limits(sb, host).memory_bytes &&
           thrash_check(&sb->thrash, &sb->cgroup, host->tree.ops, sandbox_now_ms());
}

struct finding {
    enum sbx_wall wall;
    bool is_over;
    enum launch_limit limit;
    bool counts_files;
    uint64_t allowed;
    uint64_t observed;
};

static void
verdict_set(struct launch_report *report, const struct finding *found)
{
    report->verdict = found->limit;
    report->verdict_files = found->counts_files;
    report->verdict_limit = found->allowed;
    report->verdict_observed = found->observed;
}

static void
activity_note(struct sandbox *sb, uint64_t cpu_us)
{
    if (cpu_us - sb->active_us >= LIMITS_QUIET_US) {
        sb->active_us = cpu_us;
        sb->active_ms = sandbox_now_ms();
    }
}

_must_check_ bool
limits_due(struct sandbox *sb, const struct sandbox_host *host)
{
    uint64_t now = sandbox_now_ms(), cpu_us;

    if (now - sb->adopted_ms >= sb->limits.wall_ms) {
        return true;
    }
    if (now - sb->adopted_ms < LIMITS_NEW_MS) {
        return false; /* ADOPT has read them, and whoever is to start in it waits for this processor */
    }
    if (now - sb->active_ms < LIMITS_QUIET_MS) {
        return true;
    }
    if (now < sb->probe_ms) {
        return false;
    }
    sb->probe_ms =
        now + (now - sb->active_ms < 10ull * LIMITS_QUIET_MS ? LIMITS_PROBE_MS : LIMITS_PROBE_LATER_MS);
    return host->tree.ops->cpu(&sb->cgroup, &cpu_us) < 0 || cpu_us - sb->active_us >= LIMITS_QUIET_US;
}

/* What is over before its first millisecond has cost something all the same. */
static uint64_t
some_ms(uint64_t ms)
{
    return ms > 0 ? ms : 1;
}

/* Counters that cannot be read count as they did before: a limit is then found one tick later, or by death. */
static void
usage_read(struct sandbox *sb, const struct sandbox_host *host, struct mounts_usage *ret_disk)
{
    struct launch_report *report = &sb->report;
    struct cgroup_usage usage = { 0 };

    if (host->tree.ops->read(&sb->cgroup, &usage) == 0) {
        activity_note(sb, usage.cpu_us);
        report->cpu_ms = some_ms((usage.cpu_us - sb->before.cpu_us) / 1000);
        report->cpu_throttled_ms = (usage.throttled_us - sb->before.throttled_us) / 1000;
        report->peak_memory_bytes = usage.peak_bytes;
        report->oom_kills = (uint32_t)(usage.oom_kills - sb->before.oom_kills);
        /* The counter also tells of kills when a group above, or the host, has no memory left. */
        report->host_oom = report->oom_kills > 0 && usage.limit_hits == sb->before.limit_hits;
        report->fork_refusals = (uint32_t)(usage.fork_refusals - sb->before.fork_refusals);
    }
    if (mounts_disk_used(sb->disk_fd, ret_disk) == 0) {
        report->disk_bytes = ret_disk->bytes;
    }
}

void
limits_check(struct sandbox *sb, const struct sandbox_host *host, bool is_alive)
{
    const struct launch_limits *limits = &sb->limits;
    struct launch_report *report = &sb->report;
    struct mounts_usage disk = { .max_files = UINT64_MAX };

    usage_read(sb, host, &disk);
    report->wall_ms = some_ms(sandbox_now_ms() - sb->adopted_ms);
    if (report->verdict != LAUNCH_LIMIT_NONE) {
        return;
    }

    const struct finding findings[] = {
        { SBX_WALL_MEMORY, (report->oom_kills > 0 && report->host_oom == 0) || is_thrashing(sb, host),
          LAUNCH_LIMIT_MEMORY, false, limits->memory_bytes,
          peak_of_tenant(sb) > limits->memory_bytes ? peak_of_tenant(sb) : limits->memory_bytes },
        { SBX_WALL_PIDS, report->fork_refusals > 0, LAUNCH_LIMIT_PROCESSES, false, limits->processes,
          (uint64_t)limits->processes + 1 },
        { SBX_WALL_DISK, report->disk_bytes > limits->disk_bytes, LAUNCH_LIMIT_DISK, false,
          limits->disk_bytes, report->disk_bytes },
        { SBX_WALL_INODES, disk.files >= disk.max_files, LAUNCH_LIMIT_DISK, true, disk.max_files,
          disk.files },
        { SBX_WALL_CPU, report->cpu_ms >= limits->cpu_ms, LAUNCH_LIMIT_CPU, false, limits->cpu_ms,
          report->cpu_ms },
        { SBX_WALL_TIME, is_alive && report->wall_ms >= limits->wall_ms, LAUNCH_LIMIT_TIME, false,
          limits->wall_ms, report->wall_ms },
    };

    for (size_t i = 0; i < SBX_COUNT(findings); i++) {
        if (findings[i].is_over && !sbx_wall_is_off(findings[i].wall)) {
            verdict_set(report, &findings[i]);
            return;
        }
    }
}
