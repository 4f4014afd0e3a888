/*
 * sandbox-launch: root, one thread, no network. Makes sandboxes for one executor,
 * watches their limits, removes them. Killed at any instant, it takes all of them
 * along, and the next start removes the groups they were in.
 */
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executor/launcher/agent_file.h"
#include "executor/launcher/conn.h"
#include "executor/launcher/creds.h"
#include "executor/launcher/host_check.h"
#include "executor/launcher/gvisor.h"
#include "executor/launcher/mounts.h"
#include "executor/launcher/mounts_gvisor.h"
#include "executor/launcher/network.h"
#include "executor/launcher/ns.h"
#include "executor/launcher/sandbox.h"
#include "executor/launcher/server.h"
#include "executor/launcher/spawner.h"
#include "executor/launcher/zygote.h"
#include "lib/sbx_wall.h"

#define EXIT_USAGE 2
#define STOP_MS 10000
#define EVENTS_A_TURN 64
#define FILES_WANTED 131072
#define OWN_OOM_SCORE (-900)

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
/* LeakSanitizer looks at a process by ptrace, which this one's filter refuses; the unit tests look for leaks.
 */
int __lsan_is_turned_off(void);
int
__lsan_is_turned_off(void)
{
    return 1;
}
#endif
#endif

struct launcher {
    struct sandbox_host host;
    struct server server;
    struct filter guest_filter[2]; /* [inet]; gVisor's payloads' */
    struct filter own_filter;
    int state_dir;
    int signal_fd;
    uint64_t stop_at_ms; /* 0: serving */
};

static struct launcher launcher = {
    .host = { .epoll_fd = -1,
              .proc_fd = -1,
              .agent_fd = -1,
              .launcher_pidfd = -1,
              .payload_filter = { FILTER_NULL, FILTER_NULL },
              .agent_filter = { FILTER_NULL, FILTER_NULL },
              .zygote_filter = { FILTER_NULL, FILTER_NULL },
              .runsc_filter = FILTER_NULL,
              .runsc = RUNSC_NULL },
    .server = SERVER_NULL,
    .guest_filter = { FILTER_NULL, FILTER_NULL },
    .own_filter = FILTER_NULL,
    .state_dir = -1,
    .signal_fd = -1,
};

static void
usage(FILE *out)
{
    (void)fputs(
        "Usage: sandbox-launch --config FILE [--check-config]\n"
        "       sandbox-launch --check-host [--json] [--config FILE]\n"
        "Makes and removes sandboxes for executord; needs root.\n\n"
        "  --config FILE    read this configuration\n"
        "  --check-config   check it and exit\n"
        "  --check-host     try every wall of the sandbox on this host, print what holds, exit\n"
        "  --json           as JSON\n"
        "  --help           this text\n\n"
        "Exit status: 0 stopped by SIGTERM or SIGINT, 1 failed, 2 wrong usage or configuration.\n"
        "Of --check-host: 0 every required wall holds, 1 one does not, 3 it cannot be tried (no root).\n\n"
        "Keys of the configuration, `key = value` a line:\n",
        out);
    settings_print_keys(out);
}

/* Also in memory, where clearenv leaves it and children inherit it. */
static void
environment_erase(void)
{
    if (sbx_wall_is_off(SBX_WALL_ENVIRONMENT)) {
        return;
    }
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        explicit_bzero(*entry, strlen(*entry));
    }
    clearenv();
}

/*
 * What is ignored stays ignored through exec, of sandboxes too, and whoever started the launcher may have ignored
 * anything, libc's own signals too, which sigaction() refuses to touch.
 */
static void
signals_default(void)
{
    static const unsigned long defaults[4]; /* struct kernel_sigaction: SIG_DFL, no flags, no mask */

    for (int number = 1; number < NSIG; number++) {
        (void)syscall(SYS_rt_sigaction, number, defaults, NULL,
                      sizeof(unsigned long)); /* fails for KILL and STOP */
    }
}

/* Nothing inherited: descriptors, environment, groups, session keys, umask, ignored signals. */
_must_check_ static int
startup_clean(void)
{
    int fd;

    umask(077);
    signals_default();
    environment_erase();
    if (close_range(3, ~0u, 0) < 0 || chdir("/") < 0 || setgroups(0, NULL) < 0) {
        return -errno;
    }
    /* A kernel built without keys has none to inherit. */
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS) {
        return -errno;
    }
    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd < NS_FD_RESERVED - 1);
    return fd < 0 ? -errno : 0;
}

_must_check_ static int
startup_limits(void)
{
    const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0) {
        return -errno;
    }
    /* Two dozen a sandbox while it runs, most of them its group's. */
    if (files.rlim_cur < FILES_WANTED) {
        files.rlim_cur = files.rlim_max < FILES_WANTED ? files.rlim_max : FILES_WANTED;
    }
    /* Counted for all sandboxes together, each of which has limits of its own. Not every container's root may. */
    (void)setrlimit(RLIMIT_NPROC, &none);
    (void)setrlimit(RLIMIT_SIGPENDING, &none);
    return setrlimit(RLIMIT_NOFILE, &files) < 0 ? -errno : 0;
}

_must_check_ static int
lock_take(struct launcher *l)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd;

    l->state_dir = open(l->host.settings.state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l->state_dir < 0) {
        return -errno;
    }
    fd = openat(l->state_dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    /* Of the process, so no child keeps it; held until exit, and the descriptor with it. */
    if (fd < 0 || fcntl(fd, F_SETLK, &lock) < 0) {
        return -errno;
    }
    return 0;
}

_must_check_ static int
signals_open(struct launcher *l)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    l->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    sigaddset(&set, SIGPIPE); /* blocked, not ignored: an ignored signal would stay so in sandboxes */
    sigaddset(&set, SIGHUP);
    if (l->signal_fd < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0) {
        return -errno;
    }
    return 0;
}

_must_check_ static int
filters_build(struct launcher *l)
{
    const struct settings *settings = &l->host.settings;
    bool is_used[2] = { false, false };
    int r = 0;

    for (unsigned i = 0; i < settings->n_templates; i++) {
        is_used[settings->templates[i].inet] = true;
    }
    for (int inet = 0; inet < 2 && r == 0; inet++) {
        if (is_used[inet]) {
            r = filter_build(&l->host.payload_filter[inet], FILTER_PAYLOAD, inet);
            r = r != 0 ? r : filter_build(&l->host.agent_filter[inet], FILTER_AGENT, inet);
            r = r != 0 ? r : filter_build(&l->host.zygote_filter[inet], FILTER_ZYGOTE, inet);
        }
        if (is_used[inet] && r == 0 && l->host.has_runsc) {
            r = filter_build(&l->guest_filter[inet], FILTER_PAYLOAD_GVISOR, inet);
        }
    }
    if (r == 0 && l->host.has_runsc) {
        r = filter_build(&l->host.runsc_filter, FILTER_RUNSC, false);
    }
    r = r != 0 ? r
               : filter_build(&l->own_filter, l->host.has_runsc ? FILTER_LAUNCHER_GVISOR : FILTER_LAUNCHER,
                              is_used[1]);
    return r > 0 ? -ENOTSUP : r;
}

/* A binary that was found and not named may be unfit; one that was named must not. */
_must_check_ static int
runsc_find(struct launcher *l, char *error)
{
    bool is_named = l->host.settings.runsc[0] == '/';
    int r = runsc_open(&l->host.runsc, &l->host.settings, error);

    l->host.has_runsc = r == 0;
    if (r < 0 && !is_named) {
        journal(JOURNAL_WARN, "gvisor.absent", JOURNAL_STR("reason", error));
        error[0] = '\0';
        r = RUNSC_E_ABSENT;
    }
    return r == RUNSC_E_ABSENT ? 0 : r;
}

/* All that is looked up by name on the host. */
_must_check_ static int
prepare_outside(struct launcher *l, const char **ret_stage, char *error)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int r;

    l->host.n_cpus = cpus > 0 ? (unsigned)cpus : 1;
    *ret_stage = "state_dir";
    r = lock_take(l);
    if (r == 0) {
        *ret_stage = "agent";
        r = agent_file_load(&l->host.agent_fd, l->host.settings.agent,
                            settings_helper_uid(&l->host.settings));
    }
    if (r == 0) {
        *ret_stage = "runsc";
        r = runsc_find(l, error);
    }
    if (r == 0) {
        *ret_stage = "seccomp";
        r = filters_build(l);
    }
    if (r == 0) {
        *ret_stage = "cgroup";
        r = cgroup_tree_open(&l->host.tree, &l->host.settings, l->state_dir, error);
    }
    if (r == 0 && l->host.settings.favordynmods && l->host.tree.ops == &cgroup_v1_ops) {
        int favor = mounts_favor_dynmods();

        if (favor < 0) { /* only speed: kernels before 6.0 lack it */
            journal(JOURNAL_WARN, "cgroup.favordynmods", JOURNAL_INT("error", -favor));
        }
    }
    if (r == 0) {
        host_check(&l->host.walls, &l->host.settings, &l->host.tree, "");
        host_check_log(&l->host.walls);
        conns_set_walls(&l->host.walls);
        *ret_stage = "socket";
        r = server_open(&l->server, &l->host.settings);
    }
    return r;
}

/*
 * Sandboxes that are busy keep whoever waits for a processor waiting; the launcher, which ends them and makes
 * others, goes first. What it starts does not inherit that.
 */
static void
scheduling_claim(void)
{
    const struct sched_param first = { .sched_priority = 1 };

    /* Refused where a container or a v1 group has no real-time share: then it waits its turn. */
    if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &first) < 0) {
        journal(JOURNAL_WARN, "scheduling", JOURNAL_INT("error", errno));
    }
}

_must_check_ static int
prepare_inside(struct launcher *l, const char **ret_stage)
{
    const struct mounts_gvisor_files files = {
        .runsc_fd = l->host.runsc.fd,
        .agent_fd = l->host.agent_fd,
        .filter_fd = { l->guest_filter[0].fd, l->guest_filter[1].fd },
    };
    int r = mounts_prepare(&l->host.settings, l->host.has_runsc ? &files : NULL, ret_stage);

    if (r < 0) {
        return r;
    }
    runsc_close(&l->host.runsc); /* copied */
    *ret_stage = "descriptors";
    l->host.proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    l->host.launcher_pidfd = pidfd_open(getpid(), 0);
    l->host.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->host.proc_fd < 0 || l->host.launcher_pidfd < 0 || l->host.epoll_fd < 0) {
        return -errno;
    }
    r = ns_set_oom_score(l->host.proc_fd, getpid(), OWN_OOM_SCORE);
    if (r < 0) { /* not ours to give in some containers; then the host may kill the launcher first */
        journal(JOURNAL_WARN, "oom_score", JOURNAL_INT("error", -r));
    }
    scheduling_claim();
    r = signals_open(l);
    if (r == 0) {
        r = server_watch(l->host.epoll_fd, l->signal_fd, SERVER_SIGNAL, 0);
    }
    if (r == 0) {
        *ret_stage = "table";
        r = sandboxes_init(&l->host);
    }
    if (r == 0) {
        spawner_start(&l->host, &l->own_filter);
        zygotes_init(&l->host);
    }
    if (r == 0) {
        *ret_stage = "own privileges";
        r = creds_confine_launcher();
    }
    if (r == 0 && !sbx_wall_is_off(SBX_WALL_SECCOMP)) {
        r = filter_install(&l->own_filter);
    }
    if (r == 0 && !sbx_wall_is_off(SBX_WALL_NETWORK_NAMESPACE)) {
        const struct networks_spec spec = { .epoll_fd = l->host.epoll_fd,
                                            .proc_fd = l->host.proc_fd,
                                            .launcher_pidfd = l->host.launcher_pidfd,
                                            .spare = (unsigned)l->host.settings.spare_networks,
                                            .owner_ns = spawner_user_ns(),
                                            .uid = settings_helper_uid(&l->host.settings) };

        networks_start(&spec);
    }
    return r;
}

static void
stop_begin(struct launcher *l)
{
    struct signalfd_siginfo info;

    if (read(l->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info) || l->stop_at_ms != 0) {
        return;
    }
    journal(JOURNAL_INFO, "stopping", JOURNAL_INT("signal", info.ssi_signo));
    l->stop_at_ms = sandbox_now_ms() + STOP_MS;
    server_unwatch(l->host.epoll_fd, l->server.fd);
    server_deinit(&l->server);
    conns_close_all();
    sandboxes_kill_all();
    zygotes_stop();
}

static void
event_handle(struct launcher *l, uint64_t data)
{
    uint64_t id = data & ((1ull << SERVER_ID_BITS) - 1);

    switch ((enum server_source)(data >> SERVER_ID_BITS)) {
    case SERVER_LISTEN:
        if (l->stop_at_ms == 0) {
            conns_sweep(); /* who left before this one came is in nobody's way */
            server_accept(&l->server, l->host.epoll_fd, &l->host.settings);
        }
        break;
    case SERVER_SIGNAL:
        stop_begin(l);
        break;
    case SERVER_CONN:
        conn_on_readable(id);
        break;
    case SERVER_SYNC:
        sandbox_on_sync(id);
        break;
    case SERVER_READY:
        sandbox_on_ready(id);
        break;
    case SERVER_NETWORK:
        networks_on_made();
        break;
    case SERVER_SPAWNER:
        spawner_on_event();
        break;
    case SERVER_ZYGOTE:
        zygote_on_event(id);
        break;
    case SERVER_DEATH:
        sandbox_on_death(id);
        break;
    }
}

_must_check_ static int
loop_turn(void *arg)
{
    struct launcher *l = arg;
    struct epoll_event events[EVENTS_A_TURN];
    int n, timeout = sandboxes_timeout(), other = zygotes_timeout();

    timeout = timeout < 0 || (other >= 0 && other < timeout) ? other : timeout;
    if (l->stop_at_ms != 0) {
        if (sandbox_now_ms() > l->stop_at_ms) {
            return -ETIMEDOUT;
        }
        timeout = timeout < 0 || timeout > 100 ? 100 : timeout;
    }
    n = epoll_wait(l->host.epoll_fd, events, EVENTS_A_TURN, timeout);
    if (n < 0 && errno != EINTR) {
        return -errno;
    }
    for (int i = 0; i < n; i++) {
        event_handle(l, events[i].data.u64);
    }
    conns_sweep();
    sandboxes_tick();
    zygotes_tick();
    return l->host.is_treeless ? -ENOENT : 0;
}

/* Returns 0 when stopped cleanly. */
_must_check_ static int
loop_run(struct launcher *l)
{
    int r = 0;

    while (r == 0 && (l->stop_at_ms == 0 || !sandboxes_idle() || !zygotes_idle())) {
        r = loop_turn(l);
    }
    return r;
}

/* Last before anybody is served. Asked for in so many words, the tier must be there. */
_must_check_ static int
gvisor_prepare(struct launcher *l, const char **ret_stage, char *error)
{
    int r;

    gvisor_tell(&l->host,
                strcmp(l->host.settings.runsc, "no") == 0 ? "runsc = no" : "there is no runsc to be used");
    if (!l->host.has_runsc) {
        return 0;
    }
    *ret_stage = "gvisor";
    r = gvisor_choose(&l->host, loop_turn, l);
    gvisor_tell(&l->host, "runsc is there and does not run");
    if (r != GVISOR_E_UNFIT || l->stop_at_ms != 0) {
        return r == GVISOR_E_UNFIT ? 0 : r;
    }
    if (l->host.settings.runsc[0] == '/') {
        (void)snprintf(error, SETTINGS_ERROR_LEN, "%.128s does not run here", l->host.settings.runsc);
        return -ENOTSUP;
    }
    journal(JOURNAL_WARN, "gvisor.absent", JOURNAL_STR("reason", "it is there and does not run"),
            JOURNAL_STR("runsc", l->host.runsc.version));
    return 0;
}

_must_check_ static int
launcher_run(struct launcher *l)
{
    char error[SETTINGS_ERROR_LEN] = "";
    const char *stage = "start";
    int r = startup_limits();

    if (r == 0) {
        r = prepare_outside(l, &stage, error);
    }
    if (r == 0) {
        r = prepare_inside(l, &stage);
    }
    if (r == 0) {
        r = gvisor_prepare(l, &stage, error);
    }
    if (r == 0 && l->stop_at_ms == 0) {
        zygotes_begin();
        r = server_watch(l->host.epoll_fd, l->server.fd, SERVER_LISTEN, 0);
    }
    if (r < 0) {
        journal(JOURNAL_ERROR, "start.failed", JOURNAL_STR("stage", stage),
                JOURNAL_STR("reason", error[0] != '\0' ? error : strerror(-r)));
    } else {
        journal(JOURNAL_INFO, "started", JOURNAL_STR("cgroup", l->host.tree.ops->name),
                JOURNAL_INT("max_sandboxes", l->host.settings.max_sandboxes),
                JOURNAL_INT("templates", l->host.settings.n_templates));
        r = loop_run(l);
        journal(r < 0 ? JOURNAL_ERROR : JOURNAL_INFO, "stopped", JOURNAL_INT("error", -r));
    }
    networks_stop();
    spawner_stop();
    server_deinit(&l->server);
    if (l->host.tree.ops != NULL) {
        cgroup_tree_close(&l->host.tree);
    }
    return r;
}

struct options {
    const char *path;
    bool is_check, is_host_check, is_json, is_help;
};

/* False: not as usage() says. */
static bool
options_parse(struct options *ret, int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' }, { "check-config", no_argument, NULL, 'k' },
        { "check-host", no_argument, NULL, 'w' },   { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },         { 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            ret->path = optarg;
            break;
        case 'k':
            ret->is_check = true;
            break;
        case 'w':
            ret->is_host_check = true;
            break;
        case 'j':
            ret->is_json = true;
            break;
        case 'h':
            ret->is_help = true;
            return true;
        default:
            return false;
        }
    }
    return optind == argc && (ret->path != NULL || ret->is_host_check) &&
           !(ret->is_check && ret->is_host_check) && (!ret->is_json || ret->is_host_check);
}

int
main(int argc, char **argv)
{
    char error[SETTINGS_ERROR_LEN];
    struct options options = { 0 };

    if (!options_parse(&options, argc, argv)) {
        usage(stderr);
        return EXIT_USAGE;
    }
    if (options.is_help) {
        usage(stdout);
        return 0;
    }
    if (options.path == NULL) {
        settings_default(&launcher.host.settings);
    } else if (settings_load(&launcher.host.settings, options.path, error)) {
        (void)fprintf(stderr, "sandbox-launch: %s\n", error);
        return EXIT_USAGE;
    }
    if (options.is_check) {
        (void)puts("configuration ok");
        return 0;
    }
    if (options.is_host_check) {
        return host_check_main(&launcher.host.settings, options.is_json);
    }
    journal_set_level(launcher.host.settings.log_level);
    if (geteuid() != 0 || startup_clean() < 0) {
        (void)fprintf(stderr, "sandbox-launch: cannot start: root is needed, and close_range (Linux 5.11)\n");
        return EXIT_FAILURE;
    }
    return launcher_run(&launcher) < 0 ? EXIT_FAILURE : 0;
}
