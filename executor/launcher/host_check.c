/*
 *   launcher -- fork --> stage (its own mount namespace, a /proc that nothing covers)
 *                          `-- fork or clone3 --> one child a wall: tries, answers, ends
 * The stage hands the table back over a pipe, so nothing that a trial does to its process stays.
 */
#include "executor/launcher/host_check.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "executor/launcher/agent_file.h"
#include "executor/launcher/creds.h"
#include "executor/launcher/host_trial.h"
#include "executor/launcher/journal.h"
#include "executor/launcher/limits.h"
#include "executor/launcher/ns.h"
#include "executor/launcher/template.h"
#include "executor/launcher/wire_report.h"

#define TRIAL_MS 5000
#define STAGE_MS 30000
#define STAGE_SLOT 0 /* of the groups: no sandbox is there yet */
#define TRIAL_BYTES (1u << 20)
#define EXIT_ASKED_IN_VAIN 3
#define REPORT_MAX 65536

struct stage {
    const struct settings *settings;
    const struct cgroup_tree *tree;
    const char *no_tree;
    int proc_fd;
    int agent_fd;
    struct filter filter;
    char ns_before[64];
};

static void found_set(struct sbx_wall_found *found, enum sbx_wall_state state, const char *fmt, ...)
    _printf_(3, 4);

static void
found_set(struct sbx_wall_found *found, enum sbx_wall_state state, const char *fmt, ...)
{
    va_list args;

    memset(found, 0, sizeof(*found));
    found->state = state;
    va_start(args, fmt);
    (void)vsnprintf(found->why, sizeof(found->why), fmt, args); /* a cut reason is a reason */
    va_end(args);
}

/* -errno and what was being done. */
static void
found_failed(struct sbx_wall_found *found, const char *what, int r)
{
    found_set(found, SBX_WALL_MISSING, "%s: %s", what, strerror(-r));
}

static void
ns_link(const char *ns, char *ret, size_t size)
{
    char path[48];
    ssize_t n;

    (void)snprintf(path, sizeof(path), "/proc/self/ns/%s", ns); /* names of ours */
    n = readlink(path, ret, size - 1);
    ret[n < 0 ? 0 : n] = '\0'; /* a kernel without the kind has no link */
}

/* In the child: the attempt, and for namespaces that it is another than the launcher's. */
static void
child_try(const struct host_attempt *attempt, const struct stage *stage, struct sbx_wall_found *ret)
{
    struct host_trial trial = { .settings = stage->settings,
                                .ns_before = stage->ns_before,
                                .why = "start",
                                .agent_fd = stage->agent_fd,
                                .filter = &stage->filter };
    char ns_now[64];
    int r = attempt->as == HOST_AS_SANDBOX ? creds_become_root_inside() : 0;

    if (r < 0) {
        found_failed(ret, "root inside", r);
        return;
    }
    r = attempt->attempt(&trial);
    if (r < 0) {
        found_failed(ret, trial.why, r);
        return;
    }
    if (attempt->ns != NULL) {
        ns_link(attempt->ns, ns_now, sizeof(ns_now));
        if (ns_now[0] == '\0' || strcmp(ns_now, stage->ns_before) == 0) {
            found_set(ret, SBX_WALL_MISSING, "it is the host's");
            return;
        }
    }
    found_set(ret, r == HOST_TRIAL_E_WEAKER ? SBX_WALL_WEAKER : SBX_WALL_ENFORCED, "%s",
              r == HOST_TRIAL_E_WEAKER ? trial.why : "");
}

_Noreturn static void
child_run(const struct host_attempt *attempt, const struct stage *stage, int fd)
{
    struct sbx_wall_found found = { 0 };
    char go;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* the deadline of the stage ends it as well */
    if (read(fd, &go, 1) != 1) {
        _exit(1);
    }
    child_try(attempt, stage, &found);
    _exit(send(fd, &found, sizeof(found), MSG_NOSIGNAL) == (ssize_t)sizeof(found) ? 0 : 1);
}

_must_check_ static pid_t
child_make(const struct host_attempt *attempt)
{
    struct clone_args args = { .flags = attempt->namespaces |
                                        (attempt->as != HOST_AS_LAUNCHER ? CLONE_NEWUSER : 0),
                               .exit_signal = SIGCHLD };
    long pid = args.flags == 0 ? fork() : syscall(SYS_clone3, &args, sizeof(args));

    return pid < 0 ? -errno : (pid_t)pid;
}

/* Waits for what the child says; a child that says nothing has shown that the wall does not stand. */
static void
child_hear(pid_t pid, int fd, struct sbx_wall_found *ret)
{
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    struct sbx_wall_found found;
    int status = 0;
    bool heard = poll(&ready, 1, TRIAL_MS) == 1 &&
                 recv(fd, &found, sizeof(found), MSG_DONTWAIT) == (ssize_t)sizeof(found) &&
                 found.state < SBX_N_WALL_STATES;

    (void)kill(pid, SIGKILL);       /* ours and not waited for yet: the number is nobody else's */
    (void)waitpid(pid, &status, 0); /* as above */
    if (heard) {
        found.why[sizeof(found.why) - 1] = '\0';
        *ret = found;
    } else if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
        found_set(ret, SBX_WALL_MISSING, "the trial was ended by signal %d", WTERMSIG(status));
    } else {
        found_set(ret, SBX_WALL_MISSING, "the trial did not answer");
    }
}

static void
wall_try(struct stage *stage, const struct host_attempt *attempt, struct sbx_wall_found *ret)
{
    int fds[2], r = 0;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
        found_failed(ret, "socketpair", -errno);
        return;
    }
    stage->ns_before[0] = '\0';
    if (attempt->ns != NULL) {
        ns_link(attempt->ns, stage->ns_before, sizeof(stage->ns_before));
    }
    pid = child_make(attempt);
    if (pid == 0) {
        close(fds[0]);
        child_run(attempt, stage, fds[1]);
    }
    close(fds[1]);
    if (pid < 0) {
        found_failed(ret, "clone3", pid);
    } else if (attempt->as == HOST_AS_SANDBOX) {
        r = ns_map_ids(stage->proc_fd, pid, (uid_t)stage->settings->uid_base, false);
    }
    if (pid > 0) {
        if (r == 0) {
            (void)send(fds[0], "", 1, MSG_NOSIGNAL); /* a child that is gone is heard of below */
        } else {
            shutdown(fds[0], SHUT_WR);
        }
        child_hear(pid, fds[0], ret);
    }
    if (r < 0) {
        found_failed(ret, "id maps", r);
    }
    close(fds[0]);
}

/* In the group, unless it cannot be entered: memory is touched, time used, and one fork too many is tried. */
_Noreturn static void
member_run(int fd)
{
    char go;
    pid_t pid;

    if (read(fd, &go, 1) != 1) {
        _exit(1);
    }
    if (mmap(NULL, TRIAL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0) ==
        MAP_FAILED) {
        _exit(1);
    }
    pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    go = pid < 0 && errno == EAGAIN ? 'r' : 'f'; /* refused, or forked */
    (void)send(fd, &go, 1, MSG_NOSIGNAL);        /* nobody hears: nobody counts it */
    _exit(read(fd, &go, 1) == 0 ? 0 : 1);        /* stays until it was looked at */
}

static bool
group_has(const struct cgroup *group, const char *file)
{
    for (size_t i = 0; i < CGROUP_MAX_DIRS; i++) {
        if (group->dir[i] >= 0 && faccessat(group->dir[i], file, F_OK, 0) == 0) {
            return true;
        }
    }
    return false;
}

static bool
swap_is_on(void)
{
    char text[512];
    int fd = open("/proc/swaps", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0) {
        close(fd);
    }
    if (n < 0) {
        return true; /* not known: the worse */
    }
    text[n] = '\0';
    return strchr(text, '\n') != NULL && strchr(text, '\n')[1] != '\0'; /* below the heading */
}

/* What the counters of a group with one member say. */
static void
group_judge(struct cgroup *group, const struct cgroup_ops *ops, char fork_answer,
            struct sbx_wall_found *walls)
{
    struct cgroup_usage usage = { 0 };
    int r = ops->watch(group);

    if (r == 0) {
        r = ops->read(group, &usage);
    }
    if (r < 0) {
        found_failed(&walls[SBX_WALL_MEMORY], "counters", r);
        walls[SBX_WALL_PIDS] = walls[SBX_WALL_CPU] = walls[SBX_WALL_MEMORY];
        return;
    }
    found_set(&walls[SBX_WALL_CPU], usage.cpu_us > 0 ? SBX_WALL_ENFORCED : SBX_WALL_MISSING, "%s",
              usage.cpu_us > 0 ? "" : "the time of a member is not counted");
    found_set(&walls[SBX_WALL_PIDS],
              fork_answer == 'r' && usage.fork_refusals > 0 ? SBX_WALL_ENFORCED : SBX_WALL_MISSING, "%s",
              fork_answer != 'r'        ? "a process too many was made"
              : usage.fork_refusals > 0 ? ""
                                        : "refusals are not counted");
    if (usage.peak_bytes < TRIAL_BYTES / 2) {
        found_set(&walls[SBX_WALL_MEMORY], SBX_WALL_MISSING, "the memory of a member is not counted");
    } else if (!group_has(group, "memory.memsw.limit_in_bytes") && !group_has(group, "memory.swap.max") &&
               swap_is_on()) {
        found_set(&walls[SBX_WALL_MEMORY], SBX_WALL_WEAKER,
                  "swap is on, and not counted: the limit is of memory alone");
    } else {
        found_set(&walls[SBX_WALL_MEMORY], SBX_WALL_ENFORCED, "%s", "");
    }
}

/* A member with limits of 16 MiB, itself alone, and half a core. */
_must_check_ static int
group_enter(struct stage *stage, struct cgroup *group, pid_t *ret_pid, int *fds, const char **ret_what)
{
    static const struct cgroup_limits limits = { .memory_bytes = 16u << 20, .pids = 1, .cpu_millis = 500 };
    int clone_fd = cgroup_clone_fd(group, stage->tree);
    struct clone_args args = { .flags = clone_fd >= 0 ? CLONE_INTO_CGROUP : 0,
                               .exit_signal = SIGCHLD,
                               .cgroup = clone_fd >= 0 ? (unsigned)clone_fd : 0u };
    long pid;
    int r;

    *ret_what = "a process in a new group";
    pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid < 0) {
        return -errno;
    }
    if (pid == 0) {
        close(fds[0]);
        member_run(fds[1]);
    }
    *ret_pid = (pid_t)pid;
    r = stage->tree->ops->attach(group, *ret_pid);
    return r < 0 ? r : stage->tree->ops->limit(group, &limits, ret_what);
}

static void
member_end(pid_t pid)
{
    if (pid > 0) {
        (void)kill(pid, SIGKILL);    /* ours, not waited for yet */
        (void)waitpid(pid, NULL, 0); /* as above */
    }
}

static void
group_try(struct stage *stage, struct cgroup *group, struct sbx_wall_found *walls)
{
    struct pollfd ready = { .events = POLLIN };
    const char *what = "socketpair";
    pid_t pid = -1;
    char answer = 0;
    int fds[2], r;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
        r = -errno;
    } else {
        r = group_enter(stage, group, &pid, fds, &what);
        close(fds[1]);
        ready.fd = fds[0];
        if (r == 0 && (send(fds[0], "", 1, MSG_NOSIGNAL) != 1 || poll(&ready, 1, TRIAL_MS) != 1 ||
                       recv(fds[0], &answer, 1, MSG_DONTWAIT) != 1)) {
            what = "a member of a group does not answer";
            r = -EIO;
        }
    }
    if (r == 0) {
        group_judge(group, stage->tree->ops, answer, walls);
    } else {
        found_failed(&walls[SBX_WALL_MEMORY], what, r);
        walls[SBX_WALL_PIDS] = walls[SBX_WALL_CPU] = walls[SBX_WALL_MEMORY];
    }
    member_end(pid);
    if (pid > 0 || r == 0) {
        close(fds[0]);
    }
}

static void
groups_try(struct stage *stage, struct sbx_wall_found *walls)
{
    static const struct timespec pause = { .tv_nsec = 2000000 };
    const struct cgroup_limits limits = limits_until_adopted(SBX_ISOLATION_PROCESS, 1);
    struct cgroup group = CGROUP_NULL;
    int r;

    if (stage->tree == NULL || stage->tree->ops == NULL) {
        found_set(&walls[SBX_WALL_MEMORY], SBX_WALL_MISSING, "%s", stage->no_tree);
        walls[SBX_WALL_PIDS] = walls[SBX_WALL_CPU] = walls[SBX_WALL_MEMORY];
        return;
    }
    r = cgroup_create(&group, stage->tree, STAGE_SLOT, &limits);
    if (r < 0) {
        found_failed(&walls[SBX_WALL_MEMORY], "a group with limits", r);
        walls[SBX_WALL_PIDS] = walls[SBX_WALL_CPU] = walls[SBX_WALL_MEMORY];
        return;
    }
    group_try(stage, &group, walls);
    for (int i = 0; i < 500 && cgroup_remove(&group, stage->tree, STAGE_SLOT) == CGROUP_E_BUSY; i++) {
        (void)nanosleep(&pause, NULL); /* the member is dead; the kernel has yet to notice */
    }
}

/*
 * A mount namespace whose /proc nothing covers: only then may a user namespace have one of its own. Where that
 * cannot be had the trials that need it fail, and say so.
 */
static void
stage_set(struct stage *stage)
{
    static const char *const options[] = { NULL };
    int fd = -1;

    if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        template_fs_new(&fd, "proc", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC) ==
            0) {
        (void)move_mount(fd, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH); /* as said above */
        close(fd);
    }
    stage->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

_Noreturn static void
stage_run(struct stage *stage, int fd)
{
    struct sbx_wall_found walls[SBX_N_WALLS] = { 0 };
    int r;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* a launcher that dies leaves nothing */
    (void)signal(SIGCHLD, SIG_DFL);                  /* valid arguments */
    r = agent_file_load(&stage->agent_fd, "/proc/self/exe", 0);
    stage->agent_fd = r < 0 ? r : stage->agent_fd;
    if (filter_build(&stage->filter, FILTER_PAYLOAD, false) != 0) {
        stage->filter.fd = -1; /* the trials of it say so */
    }
    stage_set(stage);
    for (unsigned i = 0; i < SBX_N_WALLS; i++) {
        if (host_attempts[i].attempt != NULL) {
            wall_try(stage, &host_attempts[i], &walls[i]);
        }
    }
    groups_try(stage, walls);
    _exit(write(fd, walls, sizeof(walls)) == (ssize_t)sizeof(walls) ? 0 : 1);
}

/* Takes the table from the stage; whatever is not there in time was not shown to hold. */
static void
stage_hear(pid_t pid, int fd, struct sbx_wall_found *walls)
{
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    const size_t size = sizeof(*walls) * SBX_N_WALLS;
    bool heard = pid > 0 && poll(&ready, 1, STAGE_MS) == 1 && read(fd, walls, size) == (ssize_t)size;

    if (pid > 0) {
        (void)kill(pid, SIGKILL);    /* ours, not waited for yet */
        (void)waitpid(pid, NULL, 0); /* as above */
    }
    for (unsigned i = 0; i < SBX_N_WALLS; i++) {
        if (!heard || walls[i].state == SBX_WALL_UNTRIED) {
            found_set(&walls[i], SBX_WALL_MISSING, "it could not be tried");
        }
        if (sbx_wall_is_off((enum sbx_wall)i)) {
            found_set(&walls[i], SBX_WALL_MISSING, "left out of this build for a test");
        }
    }
}

void
host_check(struct launch_walls *ret, const struct settings *settings, const struct cgroup_tree *tree,
           const char *no_tree)
{
    struct stage stage = {
        .settings = settings, .tree = tree, .no_tree = no_tree, .agent_fd = -EBADF, .filter = FILTER_NULL
    };
    int fds[2];
    pid_t pid;

    memset(ret, 0, sizeof(*ret));
    ret->n_walls = SBX_N_WALLS;
    ret->tiers = 1u << SBX_ISOLATION_PROCESS;
    (void)snprintf(ret->gvisor_why, sizeof(ret->gvisor_why),
                   "a running launcher tries it, this did not"); /* fits */
    if (tree != NULL && tree->ops != NULL) {
        (void)snprintf(ret->cgroup, sizeof(ret->cgroup), "%s", tree->ops->name); /* "v1" or "v2" */
    }
    if (pipe2(fds, O_CLOEXEC) < 0) {
        stage_hear(-1, -1, ret->wall);
        return;
    }
    pid = fork();
    if (pid == 0) {
        close(fds[0]);
        stage_run(&stage, fds[1]);
    }
    close(fds[1]);
    stage_hear(pid, fds[0], ret->wall);
    close(fds[0]);
}

void
host_check_log(const struct launch_walls *walls)
{
    for (unsigned i = 0; i < SBX_N_WALLS; i++) {
        const struct sbx_wall_found *found = &walls->wall[i];

        if (found->state != SBX_WALL_ENFORCED) {
            journal(JOURNAL_WARN, found->state == SBX_WALL_WEAKER ? "wall.weaker" : "wall.missing",
                    JOURNAL_STR("wall", sbx_wall_name((enum sbx_wall)i)), JOURNAL_STR("reason", found->why));
        }
    }
}

int
host_check_main(const struct settings *settings, bool json)
{
    static struct sbx_host_report report = { .asked = "sandbox-launch itself",
                                             .required = SBX_WALLS_REQUIRED };
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(REPORT_MAX);
    static struct settings own;
    static struct cgroup_tree tree;
    static struct launch_walls walls;
    char error[SETTINGS_ERROR_LEN] = "";

    if (geteuid() != 0) {
        (void)fprintf(stderr, "sandbox-launch: --check-host needs root: walls are tried, not guessed\n");
        return EXIT_ASKED_IN_VAIN;
    }
    own = *settings;
    /* A group of its own: those of a launcher that is running are not touched. */
    (void)snprintf(own.instance, sizeof(own.instance), "check-%d", (int)getpid()); /* ten digits */
    journal_set_level(JOURNAL_ERROR);
    if (cgroup_tree_probe(&tree, &own, error) != 0) {
        tree.ops = NULL;
    }
    host_check(&walls, &own, &tree, error);
    if (tree.ops != NULL) {
        cgroup_tree_close(&tree);
    }
    launch_walls_report(&report, &walls);
    sbx_host_advise(&report, "");
    (json ? sbx_host_json : sbx_host_table)(&text, &report);
    if (text.failed || fwrite(text.data, 1, text.len, stdout) != text.len || fflush(stdout) != 0) {
        return EXIT_ASKED_IN_VAIN;
    }
    return sbx_host_missing(&report) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
