/*
 * Which limit a sandbox has broken, for every set of counters that are over at once: the first in the order of
 * docs/verdicts.md, with the ceiling that was set and at least as much observed. The kernel's files are played.
 */
#include "executor/launcher/limits.h"

#include "executor/launcher/mounts.h"
#include "t/unit/tap.h"

static struct cgroup_usage usage;
static int usage_rc;
static struct mounts_usage disk;
static uint64_t now_ms;

uint64_t
sandbox_now_ms(void)
{
    return now_ms;
}

int
mounts_disk_used(int disk_fd, struct mounts_usage *ret)
{
    (void)disk_fd;
    *ret = disk;
    return 0;
}

static unsigned n_resizes;
static uint64_t resized;
static int resize_rc;

int
mounts_disk_resize(int disk_fd, uint64_t bytes)
{
    (void)disk_fd;
    resized = bytes;
    n_resizes++;
    return resize_rc;
}

static struct cgroup_limits bound;

int
cgroup_limit(struct cgroup *of, const struct cgroup_tree *tree, const struct cgroup_limits *set,
             const char **ret_stage)
{
    (void)of;
    (void)tree;
    *ret_stage = "played";
    bound = *set;
    return 0;
}

static int
played_watch(struct cgroup *of)
{
    (void)of;
    return 0;
}

static int
played_read(struct cgroup *group, struct cgroup_usage *ret)
{
    (void)group;
    *ret = usage;
    return usage_rc;
}

static unsigned n_looks;

static int
played_cpu(const struct cgroup *group, uint64_t *ret_us)
{
    (void)group;
    *ret_us = usage.cpu_us;
    n_looks++;
    return usage_rc;
}

static struct cgroup_reclaim reclaim;
static int reclaim_rc;
static unsigned n_reclaims;

static int
played_reclaim(const struct cgroup *group, struct cgroup_reclaim *ret)
{
    (void)group;
    *ret = reclaim;
    n_reclaims++;
    return reclaim_rc;
}

static const struct cgroup_ops played = {
    .name = "played", .watch = played_watch, .read = played_read, .cpu = played_cpu, .reclaim = played_reclaim
};
static struct sandbox_host host = { .tree = { .ops = &played } };

enum { OOM, FORKS, BYTES, FILES, CPU, WALL, N_FINDINGS };

static const struct launch_limits limits = {
    .memory_bytes = 64u << 20,
    .disk_bytes = 1u << 20,
    .cpu_ms = 500,
    .wall_ms = 1000,
    .cpu_millis = 1000,
    .processes = 8,
};

static const struct {
    enum launch_limit verdict;
    uint64_t limit;
    uint32_t files;
} wants[N_FINDINGS] = {
    [OOM] = { LAUNCH_LIMIT_MEMORY, 64u << 20, 0 }, [FORKS] = { LAUNCH_LIMIT_PROCESSES, 8, 0 },
    [BYTES] = { LAUNCH_LIMIT_DISK, 1u << 20, 0 },  [FILES] = { LAUNCH_LIMIT_DISK, 100, 1 },
    [CPU] = { LAUNCH_LIMIT_CPU, 500, 0 },          [WALL] = { LAUNCH_LIMIT_TIME, 1000, 0 },
};

static void
play(struct sandbox *sb, unsigned over)
{
    *sb = (struct sandbox){ .limits = limits, .adopted_ms = 5000 };
    sb->before = (struct cgroup_usage){ .cpu_us = 7000, .throttled_us = 1000 };
    usage = (struct cgroup_usage){ .cpu_us = 7000 + 499999, .throttled_us = 43000, .peak_bytes = 60u << 20 };
    disk = (struct mounts_usage){ .bytes = 1u << 20, .files = 99, .max_files = 100 };
    now_ms = 5999;
    usage_rc = 0;
    if ((over & 1u << OOM) != 0) {
        usage.oom_kills = 1;
        usage.limit_hits = 3;
    }
    usage.fork_refusals = (over & 1u << FORKS) != 0;
    disk.bytes += (over & 1u << BYTES) != 0;
    disk.files += (over & 1u << FILES) != 0;
    usage.cpu_us += (over & 1u << CPU) != 0;
    now_ms += (over & 1u << WALL) != 0;
}

static bool
verdict_is(const struct launch_report *report, unsigned over, bool is_alive)
{
    for (unsigned i = 0; i < N_FINDINGS; i++) {
        if ((over & 1u << i) != 0 && (i != WALL || is_alive)) {
            return report->verdict == wants[i].verdict && report->verdict_limit == wants[i].limit &&
                   report->verdict_files == wants[i].files &&
                   report->verdict_observed >= report->verdict_limit;
        }
    }
    return report->verdict == LAUNCH_LIMIT_NONE;
}

static void
test_sets(bool is_alive)
{
    struct sandbox sb;
    unsigned wrong = 0, moved = 0;

    for (unsigned over = 0; over < 1u << N_FINDINGS; over++) {
        struct launch_report first;

        play(&sb, over);
        limits_check(&sb, &host, is_alive);
        wrong += !verdict_is(&sb.report, over, is_alive);
        first = sb.report;
        /* All the rest comes later. */
        usage.oom_kills = usage.limit_hits = usage.fork_refusals = 9;
        now_ms += 10000;
        limits_check(&sb, &host, is_alive);
        moved += first.verdict != LAUNCH_LIMIT_NONE &&
                 (sb.report.verdict != first.verdict || sb.report.verdict_limit != first.verdict_limit ||
                  sb.report.verdict_observed != first.verdict_observed);
    }
    is_uint(wrong, 0, "%s: all 64 sets of counters", is_alive ? "alive" : "dead");
    is_uint(moved, 0, "the first verdict is final");
}

static void
test_numbers(void)
{
    struct sandbox sb;

    play(&sb, 0);
    limits_check(&sb, &host, true);
    is_uint(sb.report.cpu_ms, 499, "cpu counts from ADOPT on");
    is_uint(sb.report.cpu_throttled_ms, 42, "so does what it was held back");
    is_uint(sb.report.wall_ms, 999, "and the wall clock");
    is_uint(sb.report.disk_bytes, 1u << 20, "a full disk is no verdict");
    is_uint(sb.report.verdict, LAUNCH_LIMIT_NONE, "exactly as much as allowed is allowed");

    play(&sb, 0);
    usage.cpu_us = sb.before.cpu_us + 800;
    now_ms = sb.adopted_ms;
    limits_check(&sb, &host, true);
    is_uint(sb.report.cpu_ms, 1, "what takes less than a millisecond takes one");
    is_uint(sb.report.wall_ms, 1, "of the wall clock, too");
    usage.cpu_us = sb.before.cpu_us + 1999;
    limits_check(&sb, &host, true);
    is_uint(sb.report.cpu_ms, 1, "and the second is not begun for it");

    play(&sb, 1u << OOM);
    usage.limit_hits = 0;
    limits_check(&sb, &host, true);
    is_uint(sb.report.verdict, LAUNCH_LIMIT_NONE, "killed for the host's want of memory: not its limit");
    is_uint(sb.report.host_oom, 1, "which is told");
    usage.limit_hits = 1;
    usage.oom_kills = 2;
    limits_check(&sb, &host, true);
    is_uint(sb.report.verdict, LAUNCH_LIMIT_MEMORY, "until it meets its own");
    is_uint(sb.report.host_oom, 0, "then that is what is told");

    play(&sb, 1u << CPU);
    usage_rc = -EIO;
    limits_check(&sb, &host, true);
    is_uint(sb.report.verdict, LAUNCH_LIMIT_NONE, "counters that cannot be read prove nothing");
    now_ms = 6000;
    limits_check(&sb, &host, true);
    is_uint(sb.report.verdict, LAUNCH_LIMIT_TIME, "but the clock goes on");
}

/* gVisor's own part of the group is not the tenant's, neither as a limit nor as what was seen. */
static void
test_tiers(void)
{
    const char *stage;
    struct sandbox sb;

    play(&sb, 0);
    sb.isolation = SBX_ISOLATION_PROCESS;
    is_int(limits_apply(&sb, &host, &stage), 0, "applied");
    is_uint(bound.memory_bytes, 64u << 20, "process: memory as it is");
    is_uint(bound.pids, 9, "his processes and the agent");
    sb.isolation = SBX_ISOLATION_GVISOR;
    is_int(limits_apply(&sb, &host, &stage), 0, "applied");
    is_uint(bound.memory_bytes, 160u << 20, "gvisor: and what it takes itself");
    is_uint(bound.cpu_millis, 1000, "the rate is one for all");
    /* Seen with ptrace at most: 357 tasks for 12 processes, 1998 for 64. */
    static const struct {
        uint32_t processes, least;
    } seen[] = { { 1, 100 }, { 12, 357 }, { 32, 900 }, { 64, 1998 } };
    for (size_t i = 0; i < SBX_COUNT(seen); i++) {
        sb.limits.processes = seen[i].processes;
        is_int(limits_apply(&sb, &host, &stage), 0, "applied");
        ok(4 * bound.pids > 5 * seen[i].least, "gvisor: %u processes are not held up by %u tasks",
           seen[i].processes, bound.pids);
    }
    sb.limits.processes = 4000000;
    is_int(limits_apply(&sb, &host, &stage), 0, "applied");
    is_uint(bound.pids, 4000000u, "never more than the kernel takes");
    host.n_cpus = 8192;
    is_int(limits_apply(&sb, &host, &stage), 0, "applied");
    is_uint(bound.pids, 4000000u, "on however large a host");
    is_uint(limits_until_adopted(SBX_ISOLATION_PROCESS, 128).pids, 65, "process: few before ADOPT");
    ok(limits_until_adopted(SBX_ISOLATION_GVISOR, 128).pids > 3 * 128 + 100,
       "gvisor: room for three programs with a thread a processor");
    host.n_cpus = 0;

    play(&sb, 1u << OOM);
    sb.isolation = SBX_ISOLATION_GVISOR;
    usage.peak_bytes = 160u << 20;
    limits_check(&sb, &host, true);
    is_uint(sb.report.verdict_limit, 64u << 20, "memory: the tenant's limit");
    is_uint(sb.report.verdict_observed, 64u << 20, "and what he had");
    play(&sb, 1u << OOM);
    sb.isolation = SBX_ISOLATION_GVISOR;
    usage.peak_bytes = 170u << 20;
    limits_check(&sb, &host, true);
    is_uint(sb.report.verdict_observed, 74u << 20, "which may be more");
    play(&sb, 1u << OOM);
    sb.isolation = SBX_ISOLATION_GVISOR;
    usage.peak_bytes = 50u << 20;
    limits_check(&sb, &host, true);
    is_uint(sb.report.verdict_observed, 64u << 20, "and is never told as less than the limit");
}

/* `n` looks, each a sample apart, in which so much was read in again. */
static bool
thrashes(struct sandbox *sb, unsigned n, uint64_t refaults, uint64_t major_faults)
{
    for (unsigned i = 0; i < n; i++) {
        reclaim.refaults += refaults;
        reclaim.major_faults += major_faults;
        now_ms += THRASH_SAMPLE_MS;
        limits_check(sb, &host, true);
    }
    return sb->report.verdict == LAUNCH_LIMIT_MEMORY;
}

static void
test_thrash(void)
{
    struct launch_limits patient = limits;
    struct sandbox sb;

    patient.wall_ms = 1000000;
    play(&sb, 0);
    sb.limits = patient;
    n_reclaims = 0;
    ok(!thrashes(&sb, 20, 100000, 100), "below its limit nothing thrashes");
    is_uint(n_reclaims, 0, "and nobody looks");
    usage.peak_bytes = 64u << 20;
    reclaim = (struct cgroup_reclaim){ .cache_bytes = 4u << 20 };
    ok(!thrashes(&sb, 5, 20000, 10), "at its limit, in four samples");
    ok(!thrashes(&sb, 1, 0, 10), "not in the fifth");
    ok(!thrashes(&sb, 4, 20000, 10), "four again");
    ok(thrashes(&sb, 1, 20000, 10), "five in a row are a verdict");
    is_uint(sb.report.verdict_limit, 64u << 20, "with the limit");
    is_uint(sb.report.verdict_observed, 64u << 20, "and what it had");

    play(&sb, 0);
    sb.limits = patient;
    usage.peak_bytes = 64u << 20;
    ok(!thrashes(&sb, 20, 20000, 1), "a file that is read again and again is no program");
    ok(!thrashes(&sb, 20, 1000, 10), "a little is nothing");
    reclaim.cache_bytes = 60u << 20;
    ok(!thrashes(&sb, 20, 20000, 10), "nor is what still fits for the most part");
    reclaim.cache_bytes = 4u << 20;
    reclaim_rc = -EIO;
    ok(!thrashes(&sb, 20, 20000, 10), "counters that cannot be read prove nothing");
    reclaim_rc = 0;
    n_reclaims = 0;
    for (unsigned i = 0; i < 100; i++) {
        now_ms++;
        limits_check(&sb, &host, true);
    }
    ok(n_reclaims <= 1, "looks are samples apart");
    play(&sb, 0);
    sb.limits = patient;
    sb.isolation = SBX_ISOLATION_GVISOR;
    usage.peak_bytes = 64u << 20;
    ok(!thrashes(&sb, 20, 20000, 10), "gvisor: at the tenant's part there is room");
    usage.peak_bytes = 160u << 20;
    ok(thrashes(&sb, 20, 20000, 10), "gvisor: at the group's limit there is none");
}

/* What does nothing is looked at seldom, and never later than a limit can be broken. */
static void
test_due(void)
{
    struct sandbox sb = { .limits = limits };
    const char *stage;
    unsigned n_due = 0;

    usage = (struct cgroup_usage){ .cpu_us = 7000 };
    usage_rc = 0;
    now_ms = 5000;
    sb.limits.wall_ms = 100000;
    is_int(limits_apply(&sb, &host, &stage), 0, "adopted");
    sb.adopted_ms = now_ms;
    ok(!limits_due(&sb, &host), "one that ADOPT has just looked at is not");
    sb.limits.wall_ms = 1;
    ok(!limits_due(&sb, &host), "nor with the shortest of times");
    now_ms++;
    ok(limits_due(&sb, &host), "before that is over");
    sb.limits.wall_ms = 100000;
    ok(!limits_due(&sb, &host), "one that is new for another millisecond");
    now_ms++;
    ok(limits_due(&sb, &host), "after which it is");
    for (now_ms = 5000 + LIMITS_TICK_MS; now_ms < 5000 + LIMITS_QUIET_MS; now_ms += LIMITS_TICK_MS) {
        n_due += limits_due(&sb, &host);
    }
    is_uint(n_due, LIMITS_QUIET_MS / LIMITS_TICK_MS - 1, "one that is new is checked with every tick");
    n_looks = 0;
    for (n_due = 0; now_ms < 10000; now_ms += LIMITS_TICK_MS) {
        n_due += limits_due(&sb, &host);
    }
    is_uint(n_due, 0, "one that does nothing is not");
    ok(n_looks > 0 && n_looks <= 10 * LIMITS_QUIET_MS / LIMITS_PROBE_MS + 3000 / LIMITS_PROBE_LATER_MS,
       "its time is looked at now and then");
    usage.cpu_us += LIMITS_QUIET_US - 1;
    now_ms += LIMITS_PROBE_LATER_MS;
    ok(!limits_due(&sb, &host), "hardly anything is nothing");
    usage.cpu_us++;
    ok(!limits_due(&sb, &host), "between two looks nothing is seen");
    now_ms += LIMITS_PROBE_LATER_MS;
    ok(limits_due(&sb, &host), "together it is enough");
    limits_check(&sb, &host, true);
    now_ms += LIMITS_TICK_MS;
    ok(limits_due(&sb, &host), "one at work is checked with every tick again");
    now_ms += LIMITS_QUIET_MS;
    ok(!limits_due(&sb, &host), "until it rests");
    now_ms += LIMITS_PROBE_LATER_MS;
    usage_rc = -EIO;
    ok(limits_due(&sb, &host), "one whose time cannot be read is checked");
    usage_rc = 0;
    now_ms = sb.adopted_ms + sb.limits.wall_ms - 1;
    sb.probe_ms = now_ms + 50;
    ok(!limits_due(&sb, &host), "a moment before its wall clock has run out it is not");
    now_ms++;
    ok(limits_due(&sb, &host), "then it is, whenever it was looked at");
}

/* A disk is made as the last one that was adopted, within bounds, and is made another size only where that is wanted. */
static void
test_disk(void)
{
    static const struct {
        uint64_t made, wanted, next;
        unsigned n;
    } cases[] = {
        { 16u << 20, 64u << 20, 64u << 20, 1 },
        { 64u << 20, 64u << 20, 64u << 20, 0 },
        { 64u << 20, (64u << 20) - 1, (64u << 20) - 1, 1 },
        { 64u << 20, (64u << 20) + 1, (64u << 20) + 1, 1 },
        { 64u << 20, 128u << 20, 128u << 20, 1 },
        { 128u << 20, (128u << 20) + 1, 16u << 20, 1 },
        { 16u << 20, 1ull << 40, 16u << 20, 1 },
        { 16u << 20, 16u << 20, 16u << 20, 0 },
        { 16u << 20, (16u << 20) - 1, 16u << 20, 1 },
        { 16u << 20, 1, 16u << 20, 1 },
    };
    struct sandbox sb;
    const char *stage;

    is_uint(limits_disk_until_adopted(), 16u << 20, "disk: small at first");
    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        play(&sb, 0);
        sb.limits.disk_bytes = cases[i].wanted;
        sb.disk_bytes = cases[i].made;
        n_resizes = 0;
        resized = cases[i].wanted;
        is_int(limits_apply(&sb, &host, &stage), 0, "disk: applied");
        is_uint(n_resizes, cases[i].n, "disk: made another size if need be");
        ok(resized == cases[i].wanted && sb.disk_bytes == cases[i].wanted, "disk: the one that is wanted");
        ok(limits_disk_until_adopted() == cases[i].next, "disk: so is the next, within bounds");
    }
    play(&sb, 0);
    sb.disk_bytes = 16u << 20;
    sb.limits.disk_bytes = 32u << 20;
    resize_rc = -EINVAL;
    is_int(limits_apply(&sb, &host, &stage), -EINVAL,
           "disk: that could not be made another size is an error");
    is_str(stage, "disk", "disk: and its stage");
    ok(sb.disk_bytes == 16u << 20 && limits_disk_until_adopted() == 16u << 20,
       "disk: nobody is told another");
    resize_rc = 0;
}

int
main(void)
{
    test_disk();
    test_due();
    test_thrash();
    test_tiers();
    test_sets(true);
    test_sets(false);
    test_numbers();
    return done_testing();
}
