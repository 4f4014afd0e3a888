/*
 *   free --> starting --> warm --> running --> settled --> ended --> free
 *                \          \          \                     ^
 *                 +----------+----------+---------------------+
 *
 * settled: the run is over, its files are being fetched; nothing is measured.
 * ended: pid 1 is dead, and with it its pid namespace. What is left then is the
 * control group, which the kernel may call busy for a moment longer.
 */
#include "executor/launcher/sandbox.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "executor/launcher/birth.h"
#include "executor/launcher/conn.h"
#include "executor/launcher/limits.h"
#include "executor/launcher/ns.h"
#include "executor/launcher/server.h"
#include "executor/launcher/zygote.h"
#include "lib/sbx_wall.h"

#define START_MS 10000
#define START_GVISOR_MS 30000
#define REMOVE_RETRY_MS 2
#define UNREPORTED_MS 200

#define B(s) (1u << SANDBOX_##s)
static const struct {
    const char *name;
    unsigned next;
} states[SANDBOX_N_STATES] = {
    [SANDBOX_FREE] = { "free", B(STARTING) },
    [SANDBOX_STARTING] = { "starting", B(WARM) | B(ENDED) },
    [SANDBOX_WARM] = { "warm", B(RUNNING) | B(ENDED) },
    [SANDBOX_RUNNING] = { "running", B(SETTLED) | B(ENDED) },
    [SANDBOX_SETTLED] = { "settled", B(ENDED) },
    [SANDBOX_ENDED] = { "ended", B(FREE) },
};
#undef B

static struct sandbox_host *host;
static struct sandbox *table;
static unsigned n_slots;
/* By state. Free slots are taken in turn, so that an id rests as long as possible. */
static struct list lists[SANDBOX_N_STATES];
static uint64_t n_made;
static unsigned n_in_state[SANDBOX_N_STATES];
static uint64_t last_check_ms;
static bool is_greedy; /* only hogs run, and all together weigh little */

uint64_t
sandbox_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static struct sandbox *
sandbox_of(struct list *link)
{
    return list_entry(link, struct sandbox, link);
}

static void
sandbox_set_state(struct sandbox *sb, enum sandbox_state state)
{
    assert(states[sb->state].next & (1u << state));
    n_in_state[sb->state]--;
    n_in_state[state]++;
    sb->state = state;
    list_remove(&sb->link);
    list_append(&lists[state], &sb->link);
    journal(JOURNAL_DEBUG, "sandbox.state", JOURNAL_INT("sandbox", sb->id),
            JOURNAL_STR("state", states[state].name));
}

/* A child that has not reached exec holds copies, so closing alone would leave the descriptor watched. */
static void
fd_unwatch(int *fd)
{
    if (*fd >= 0) {
        server_unwatch(host->epoll_fd, *fd);
        sandbox_fd_close(fd);
    }
}

/* The first may be watched, see sandbox_on_ready(). */
static void
client_fds_close(struct sandbox *sb)
{
    fd_unwatch(&sb->client_fds[0]);
    for (size_t i = 1; i < LAUNCH_N_FDS; i++) {
        sandbox_fd_close(&sb->client_fds[i]);
    }
}

static void
sandbox_reset(struct sandbox *sb)
{
    struct list link = sb->link;
    unsigned slot = sb->slot;

    *sb = (struct sandbox){ .link = link,
                            .slot = slot,
                            .pidfd = -1,
                            .sync_fd = -1,
                            .disk_fd = -1,
                            .slot_fd = -1,
                            .cgroup = CGROUP_NULL,
                            .network = NETWORK_NULL };
    for (size_t i = 0; i < LAUNCH_N_FDS; i++) {
        sb->client_fds[i] = -1;
    }
}

_must_check_ int
sandboxes_init(struct sandbox_host *shared)
{
    n_slots = (unsigned)shared->settings.max_sandboxes;
    table = calloc(n_slots, sizeof(*table));
    if (table == NULL) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < SANDBOX_N_STATES; i++) {
        list_init(&lists[i]);
    }
    for (unsigned i = 0; i < n_slots; i++) {
        table[i].slot = i;
        sandbox_reset(&table[i]);
        list_append(&lists[SANDBOX_FREE], &table[i].link);
    }
    n_in_state[SANDBOX_FREE] = n_slots;
    host = shared;
    return 0;
}

unsigned
sandboxes_in(enum sandbox_state state)
{
    return n_in_state[state];
}

bool
sandboxes_idle(void)
{
    return n_in_state[SANDBOX_FREE] == n_slots;
}

static struct sandbox *
slot_take(void)
{
    return list_empty(&lists[SANDBOX_FREE]) ? NULL : sandbox_of(lists[SANDBOX_FREE].next);
}

static struct sandbox *
by_id(uint64_t id)
{
    struct sandbox *sb = &table[id % n_slots];

    return sb->state != SANDBOX_FREE && sb->id == id ? sb : NULL;
}

struct sandbox *
sandbox_find(const struct conn *owner, uint64_t id)
{
    struct sandbox *sb = by_id(id);

    return sb != NULL && sb->owner == owner ? sb : NULL;
}

static const struct settings_template *
template_find(const char *name)
{
    for (unsigned i = 0; i < host->settings.n_templates; i++) {
        if (strcmp(host->settings.templates[i].name, name) == 0) {
            return &host->settings.templates[i];
        }
    }
    return NULL;
}

/* Gives back all that is open; the group must be gone or never have been. */
static void
sandbox_release(struct sandbox *sb)
{
    fd_unwatch(&sb->pidfd);
    fd_unwatch(&sb->sync_fd);
    sandbox_fd_close(&sb->disk_fd);
    sandbox_fd_close(&sb->slot_fd);
    client_fds_close(sb);
    cgroup_deinit(&sb->cgroup);
    network_give(&sb->network);
}

_must_check_ int
sandbox_create(struct conn *owner, uint64_t seq, const struct launch_create *request, const char **ret_stage)
{
    const struct settings_template *template = template_find(request->template_name);
    struct sandbox *sb;
    int r;

    *ret_stage = "gvisor";
    if (request->isolation == SBX_ISOLATION_GVISOR && !host->has_gvisor) {
        return -EOPNOTSUPP; /* never a weaker one instead */
    }
    *ret_stage = "template";
    if (template == NULL) {
        return -ENOENT;
    }
    *ret_stage = "slots";
    sb = slot_take();
    if (sb == NULL) {
        return -EAGAIN;
    }
    sandbox_reset(sb);
    sb->id = ++n_made * n_slots + sb->slot;
    sandbox_set_state(sb, SANDBOX_STARTING);
    sb->owner = owner;
    sb->create_seq = seq;
    sb->isolation = (enum sbx_isolation)request->isolation;
    sb->is_spare = request->is_spare != 0;
    sb->started_ms = sandbox_now_ms();
    sb->has_group = true;
    r = birth_start(sb, host, template, request->prepare, ret_stage);
    if (r < 0) {
        host->is_treeless = host->is_treeless || !cgroup_tree_present(&host->tree);
        /* The caller answers; the loop clears up, also when there is a process already. */
        sb->owner = NULL;
        if (sb->pidfd >= 0) {
            sandbox_kill(sb);
        } else {
            sandbox_set_state(sb, SANDBOX_ENDED);
        }
    }
    return r;
}

void
sandbox_kill(struct sandbox *sb)
{
    if (sb->killed || sb->state == SANDBOX_ENDED) {
        return;
    }
    sb->killed = true;
    sb->killed_ms = sandbox_now_ms();
    /* Pid 1 takes its namespace along; the kernel reports it dead when the last of them is reaped. */
    if (pidfd_send_signal(sb->pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH) {
        journal(JOURNAL_ERROR, "sandbox.kill", JOURNAL_INT("sandbox", sb->id), JOURNAL_INT("error", errno));
    }
    if (sb->cgroup.dir[0] >= 0 && host->tree.ops->kill(sb->cgroup.dir[0]) < 0) {
        /* v1 has no such call, and needs none: see above */
    }
    /* What is frozen does not die before it thaws: the signal is there first. */
    if (sb->frozen && sandbox_freeze(sb, false) < 0) {
        journal(JOURNAL_ERROR, "sandbox.thaw", JOURNAL_INT("sandbox", sb->id));
    }
}

_must_check_ int
sandbox_freeze(struct sandbox *sb, bool is_frozen)
{
    int r;

    if (sb->state == SANDBOX_ENDED || (sb->killed && is_frozen)) {
        return 0; /* nothing of it moves any more */
    }
    r = cgroup_freeze(&sb->cgroup, &host->tree, sb->slot, is_frozen);
    /* Half frozen is worse than not. */
    if (r < 0 && is_frozen && cgroup_freeze(&sb->cgroup, &host->tree, sb->slot, false) < 0) {
        sandbox_kill(sb);
    }
    sb->frozen = r == 0 && is_frozen;
    return r;
}

static void
sandbox_free(struct sandbox *sb)
{
    sandbox_release(sb);
    sandbox_set_state(sb, SANDBOX_FREE);
}

/* Of one that came up and met none of its limits, so that all there is to its group is what counts up and what is set. */
static bool
is_group_sound(struct sandbox *sb)
{
    return sb->was_warm && sb->report.verdict == LAUNCH_LIMIT_NONE && sb->report.oom_kills == 0 &&
           !sbx_wall_is_off(SBX_WALL_PID_NAMESPACE) &&
           share_restore(&sb->share, host->tree.ops, &sb->cgroup) == 0;
}

/* ENDED: the group goes, then whoever waits is told, then the slot is free. */
static void
sandbox_clear(struct sandbox *sb)
{
    int r;

    /* What is in it is charged to the group. */
    sandbox_fd_close(&sb->disk_fd);
    r = spare_end(&sb->spare, host->tree.ops);
    r = r == 0 && is_group_sound(sb) ? cgroup_retire(&sb->cgroup, &host->tree, sb->slot) : CGROUP_E_UNFIT;
    if (r == CGROUP_E_UNFIT) {
        r = cgroup_remove(&sb->cgroup, &host->tree, sb->slot);
    }
    if (r == CGROUP_E_BUSY) {
        if (sbx_wall_is_off(SBX_WALL_PID_NAMESPACE)) {
            cgroup_kill(&sb->cgroup, &host->tree, sb->slot); /* nothing died with the first process */
        }
        return;
    }
    if (r < 0) {
        journal(JOURNAL_ERROR, "sandbox.cgroup", JOURNAL_INT("sandbox", sb->id), JOURNAL_INT("error", -r));
        return;
    }
    sb->has_group = false;
    if (sb->owner == NULL) {
        sandbox_free(sb);
    } else if (sb->destroy_seq != 0) {
        conn_report(sb->owner, LAUNCH_DESTROYED, sb->destroy_seq, sb->id, &sb->report);
        sandbox_free(sb);
    }
}

/* Failed before it was handed out: the client learns the stage, the loop clears up. */
static void
sandbox_fail(struct sandbox *sb, const char *stage, int error)
{
    journal(JOURNAL_ERROR, "sandbox.failed", JOURNAL_INT("sandbox", sb->id), JOURNAL_STR("stage", stage),
            JOURNAL_INT("error", error));
    if (sb->owner != NULL) {
        conn_error(sb->owner, sb->create_seq, 0, error, stage);
        sb->owner = NULL;
    }
    sandbox_kill(sb);
}

/*
 * Not before it is up, nor before its slot is forked: one that has no turn while it makes its mounts holds locks that the
 * next birth wants, and a zygote waits for its child in there. From then on nobody waits for what runs in its group.
 */
static void
sandbox_lighten(struct sandbox *sb)
{
    if (sb->is_spare && sb->state == SANDBOX_WARM && !sb->killed && sb->isolation == SBX_ISOLATION_PROCESS &&
        spare_begin(&sb->spare, host->tree.ops, &sb->cgroup, sandbox_now_ms())) {
        journal(JOURNAL_DEBUG, "spare.begun", JOURNAL_INT("sandbox", sb->id));
    }
}

void
sandbox_on_forked(uint64_t id)
{
    struct sandbox *sb = by_id(id);

    if (sb != NULL) {
        sandbox_lighten(sb);
    }
}

void
sandbox_hasten(struct sandbox *sb)
{
    int r = spare_end(&sb->spare, host->tree.ops);

    sb->is_spare = false;
    if (r < 0) {
        journal(JOURNAL_WARN, "sandbox.hasten", JOURNAL_INT("sandbox", sb->id), JOURNAL_INT("error", -r));
    }
}

/* It is up: whoever asked for it gets its descriptors. */
static void
sandbox_warm(struct sandbox *sb)
{
    struct launch_created created = {
        .head = { .seq = sb->create_seq, .sandbox = sb->id },
        .host_uid = sandbox_payload_uid(sb, host),
    };

    sandbox_set_state(sb, SANDBOX_WARM);
    sb->was_warm = true;
    created.is_forked = zygote_fork(sb);
    if (sb->owner != NULL) {
        conn_created(sb->owner, &created, sb->client_fds);
    }
    client_fds_close(sb);
    if (!created.is_forked) {
        sandbox_lighten(sb);
    }
    journal(JOURNAL_INFO, "sandbox.created", JOURNAL_INT("sandbox", sb->id),
            JOURNAL_INT("uid", sandbox_payload_uid(sb, host)), JOURNAL_INT("pid", sb->pid),
            JOURNAL_INT("ms", sandbox_now_ms() - sb->started_ms));
}

void
sandbox_on_sync(uint64_t id)
{
    struct sandbox *sb = by_id(id);
    struct ns_failure failure;
    ssize_t n;

    if (sb == NULL || sb->sync_fd < 0) {
        return;
    }
    n = recv(sb->sync_fd, &failure, sizeof(failure), MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
        return;
    }
    fd_unwatch(&sb->sync_fd);
    if (sb->state != SANDBOX_STARTING || sb->killed) {
        return;
    }
    if (n == (ssize_t)sizeof(failure)) {
        failure.stage[sizeof(failure.stage) - 1] = '\0';
        sandbox_fail(sb, failure.stage, failure.error);
        return;
    }
    if (n != 0) {
        sandbox_fail(sb, "start", EIO);
        return;
    }
    if (sb->isolation == SBX_ISOLATION_GVISOR) {
        /* runsc took over; the agent within it says when it is there. */
        if (server_watch(host->epoll_fd, sb->client_fds[0], SERVER_READY, sb->id) < 0) {
            sandbox_fail(sb, "epoll", EIO);
        }
        return;
    }
    sandbox_warm(sb);
}

/* What runsc had to say is the only word on why it failed; it goes to the log alone. */
static void
runsc_explain(const struct sandbox *sb)
{
    char text[512];
    ssize_t n = -1;

    if (sb->client_fds[3] >= 0 && fcntl(sb->client_fds[3], F_SETFL, O_NONBLOCK) == 0) {
        n = read(sb->client_fds[3], text, sizeof(text) - 1);
    }
    if (n > 0) {
        text[n] = '\0';
        journal(JOURNAL_ERROR, "runsc.said", JOURNAL_INT("sandbox", sb->id), JOURNAL_STR("text", text));
    }
}

void
sandbox_on_ready(uint64_t id)
{
    struct sandbox *sb = by_id(id);
    char byte;
    ssize_t n;

    if (sb == NULL || sb->state != SANDBOX_STARTING || sb->killed || sb->client_fds[0] < 0) {
        return;
    }
    n = recv(sb->client_fds[0], &byte, 1, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
        return;
    }
    server_unwatch(host->epoll_fd, sb->client_fds[0]);
    if (n == 1) {
        sandbox_warm(sb);
    } else {
        runsc_explain(sb);
        sandbox_fail(sb, "gvisor", ECHILD);
    }
}

static void
exit_note(struct launch_report *report, const siginfo_t *info)
{
    report->running = 0;
    if (info->si_code == CLD_EXITED) {
        report->exit_code = info->si_status;
    } else {
        report->exit_signal = info->si_status;
    }
}

void
sandbox_on_death(uint64_t id)
{
    struct sandbox *sb = by_id(id);
    siginfo_t info = { 0 };

    if (sb == NULL || sb->state == SANDBOX_ENDED) {
        return;
    }
    if (waitid(P_PIDFD, (id_t)sb->pidfd, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0) {
        return;
    }
    if (sb->state == SANDBOX_RUNNING) {
        limits_check(sb, host, false);
        share_used(&sb->share, sb->report.cpu_ms);
    } else if (sb->state == SANDBOX_STARTING && !sb->killed) {
        /* Death and its reason come together; the reason is read first. */
        sandbox_on_sync(id);
        sandbox_on_ready(id);
        if (sb->state == SANDBOX_STARTING && !sb->killed) {
            sandbox_fail(sb, "start", ECHILD);
        }
    }
    exit_note(&sb->report, &info);
    fd_unwatch(&sb->pidfd);
    fd_unwatch(&sb->sync_fd);
    share_leave(&sb->share, host->tree.ops);
    sandbox_set_state(sb, SANDBOX_ENDED);
    journal(JOURNAL_INFO, "sandbox.ended", JOURNAL_INT("sandbox", sb->id),
            JOURNAL_INT("verdict", sb->report.verdict), JOURNAL_INT("signal", sb->report.exit_signal),
            JOURNAL_INT("code", sb->report.exit_code), JOURNAL_INT("cpu_ms", sb->report.cpu_ms),
            JOURNAL_INT("wall_ms", sb->report.wall_ms),
            JOURNAL_INT("peak_bytes", sb->report.peak_memory_bytes));
    if (sb->owner != NULL && sb->destroy_seq == 0) {
        conn_report(sb->owner, LAUNCH_ENDED, 0, sb->id, &sb->report);
    }
    sandbox_clear(sb);
}

_must_check_ int
sandbox_adopt(struct sandbox *sb, const struct launch_limits *limits, uint64_t share, const char **ret_stage)
{
    int r;

    assert(sb->state == SANDBOX_WARM);
    *ret_stage = "limits";
    if (!limits_valid(limits)) {
        return -EINVAL;
    }
    sb->limits = *limits;
    r = limits_apply(sb, host, ret_stage);
    if (r == 0) {
        *ret_stage = "cgroup weight";
        r = spare_end(&sb->spare, host->tree.ops);
    }
    if (r == 0) {
        *ret_stage = "cgroup share";
        r = share_join(&sb->share, host->tree.ops, &sb->cgroup, share);
    }
    if (r < 0) {
        /* Half limited is not limited. */
        sandbox_kill(sb);
        return r;
    }
    sb->adopted_ms = sandbox_now_ms();
    sb->report.running = 1;
    sandbox_set_state(sb, SANDBOX_RUNNING);
    return 0;
}

void
sandbox_stat(struct sandbox *sb)
{
    sb->report.running = sb->state != SANDBOX_ENDED;
    if (sb->state != SANDBOX_RUNNING) {
        return;
    }
    limits_check(sb, host, true);
    share_used(&sb->share, sb->report.cpu_ms);
    if (sb->report.verdict != LAUNCH_LIMIT_NONE) {
        sandbox_kill(sb);
    }
}

void
sandbox_settle(struct sandbox *sb)
{
    sandbox_stat(sb);
    if (sb->state == SANDBOX_RUNNING && !sb->killed) {
        sandbox_set_state(sb, SANDBOX_SETTLED);
    }
}

void
sandbox_destroy(struct sandbox *sb, uint64_t seq)
{
    sb->destroy_seq = seq;
    if (sb->state == SANDBOX_RUNNING) {
        limits_check(sb, host, !sb->killed);
    }
    sandbox_kill(sb);
    if (sb->state == SANDBOX_ENDED) {
        sandbox_clear(sb);
    }
}

void
sandboxes_orphan(const struct conn *owner)
{
    for (unsigned i = 0; i < n_slots; i++) {
        struct sandbox *sb = &table[i];

        if (sb->state != SANDBOX_FREE && sb->owner == owner) {
            sb->owner = NULL;
            sandbox_kill(sb);
            if (sb->state == SANDBOX_ENDED) {
                sandbox_clear(sb);
            }
        }
    }
}

void
sandboxes_kill_all(void)
{
    for (unsigned i = 0; i < n_slots; i++) {
        struct sandbox *sb = &table[i];

        if (sb->state != SANDBOX_FREE) {
            sb->owner = NULL;
            sandbox_kill(sb);
            if (sb->state == SANDBOX_ENDED) {
                sandbox_clear(sb);
            }
        }
    }
}

static uint64_t
start_ms(const struct sandbox *sb)
{
    return sb->isolation == SBX_ISOLATION_GVISOR ? START_GVISOR_MS : START_MS;
}

static bool
is_waiting_for_group(const struct sandbox *sb)
{
    return sb->state == SANDBOX_ENDED && (sb->owner == NULL || sb->destroy_seq != 0 || sb->has_group);
}

/* Sandboxes go behind the host's own processes when none but those run that have more than their part of it. */
static void
hogs_note(void)
{
    bool is_only_hogs = shares_hog() && list_empty(&lists[SANDBOX_STARTING]);
    struct list *running = &lists[SANDBOX_RUNNING];
    int r;

    for (struct list *it = running->next; is_only_hogs && it != running; it = it->next) {
        is_only_hogs = share_is_hog(&sandbox_of(it)->share);
    }
    if (is_only_hogs == is_greedy) {
        return;
    }
    is_greedy = is_only_hogs;
    r = host->tree.ops->weigh_all(&host->tree, is_greedy);
    if (r < 0) {
        journal(JOURNAL_WARN, "sandboxes.weight", JOURNAL_INT("error", -r));
    }
}

/* One whose watching failed tells nobody that it is dead. */
static void
unreported_look(uint64_t now)
{
    static const enum sandbox_state alive[] = { SANDBOX_STARTING, SANDBOX_WARM, SANDBOX_RUNNING,
                                                SANDBOX_SETTLED };
    struct list *it, *after;

    for (size_t i = 0; i < SBX_COUNT(alive); i++) {
        list_each (it, after, &lists[alive[i]]) {
            const struct sandbox *sb = sandbox_of(it);

            if (sb->killed && now - sb->killed_ms > UNREPORTED_MS) {
                sandbox_on_death(sb->id);
            }
        }
    }
}

static void
checks_do(uint64_t now)
{
    struct list *it, *after;

    shares_tick(host->tree.ops, now - last_check_ms, host->n_cpus);
    last_check_ms = now;
    list_each (it, after, &lists[SANDBOX_STARTING]) {
        struct sandbox *sb = sandbox_of(it);

        if (!sb->killed && now - sb->started_ms > start_ms(sb)) {
            sandbox_fail(sb, "start", ETIMEDOUT);
        }
    }
    list_each (it, after, &lists[SANDBOX_RUNNING]) {
        struct sandbox *sb = sandbox_of(it);

        if (limits_due(sb, host)) {
            sandbox_stat(sb);
        }
    }
    unreported_look(now);
}

void
sandboxes_tick(void)
{
    uint64_t now = sandbox_now_ms();
    struct list *it, *after;

    list_each (it, after, &lists[SANDBOX_ENDED]) {
        if (is_waiting_for_group(sandbox_of(it))) {
            sandbox_clear(sandbox_of(it));
        }
    }
    if (now - last_check_ms >= LIMITS_TICK_MS) {
        checks_do(now);
    }
    spares_tick(host->tree.ops, now);
    hogs_note();
}

int
sandboxes_timeout(void)
{
    struct list *it, *after;
    int light;

    list_each (it, after, &lists[SANDBOX_ENDED]) {
        if (is_waiting_for_group(sandbox_of(it))) {
            return REMOVE_RETRY_MS;
        }
    }
    light = spares_timeout(sandbox_now_ms());
    if (n_in_state[SANDBOX_RUNNING] > 0) {
        return light >= 0 && light < LIMITS_TICK_MS ? light : LIMITS_TICK_MS;
    }
    if (light >= 0) {
        return light;
    }
    return n_in_state[SANDBOX_STARTING] > 0 ? START_MS : -1;
}
