#include "executor/launcher/zygote.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "executor/launcher/ns.h"
#include "executor/launcher/passing.h"
#include "executor/launcher/server.h"
#include "executor/launcher/spawner.h"
#include "executor/launcher/zygote_birth.h"
#include "lib/sbx_zygote.h"

#define LANGUAGE "python"
#define START_MS 20000
#define FORK_MS 5000 /* for the oldest that is asked for */
#define OOM_SCORE 500
#define MEMORY_BYTES (512ull << 20)
#define MEMORY_EVERY 64 /* forks */
#define PROCESSES 32
#define TRIES 5 /* that never were ready */
#define RETRY_MS 200
#define RETRY_MOST_MS 60000
#define REMOVE_RETRY_MS 10

_Static_assert(CGROUP_MAX_DIRS <= SBX_ZYGOTE_MAX_GROUPS, "a group's directories fit in a request");

enum zygote_state { ZYGOTE_NONE, ZYGOTE_STARTING, ZYGOTE_READY, ZYGOTE_ENDING };

struct zygote {
    enum zygote_state state;
    bool is_wanted;
    bool was_ready; /* this one, or one before */
    uint64_t generation;
    pid_t pid;
    int pidfd;
    int fd;
    struct cgroup cgroup;
    uint64_t since_ms; /* of STARTING, READY or ENDING */
    uint64_t asked_ms; /* when the oldest fork that is not answered was asked for */
    uint64_t n_asked, n_answered;
    uint64_t base_bytes;
    uint64_t look_at; /* its memory, after as many answers */
    uint64_t next_ms; /* NONE: not before */
    unsigned n_failed;
};

static struct sandbox_host *host;
static struct zygote zygotes[SETTINGS_MAX_TEMPLATES];
static bool is_serving;

static unsigned
index_of(const struct zygote *zygote)
{
    return (unsigned)(zygote - zygotes);
}

static const char *
template_of(const struct zygote *zygote)
{
    return host->settings.templates[index_of(zygote)].name;
}

/* In the table of control groups: behind the sandboxes. */
static unsigned
slot_of(const struct zygote *zygote)
{
    return (unsigned)host->settings.max_sandboxes + index_of(zygote);
}

/* NULL: nothing. What of the forked slot rests on a wall that is not there. */
static const char *
obstacle(const struct settings *settings)
{
    uint32_t landlock = host->walls.wall[SBX_WALL_LANDLOCK].state;

    for (unsigned i = 0; i < SBX_N_WALLS; i++) {
        if ((SBX_WALLS_OF_ZYGOTES & SBX_WALL_BIT(i)) != 0 && sbx_wall_is_off(i)) {
            return sbx_wall_name(i);
        }
    }
    /* /proc/self/exe of a slot is the zygote's file, which no mount of the sandbox's hides. */
    if (landlock != SBX_WALL_ENFORCED && landlock != SBX_WALL_WEAKER) {
        return sbx_wall_name(SBX_WALL_LANDLOCK);
    }
    return settings->own_inodes ? NULL : sbx_wall_name(SBX_WALL_OWN_INODES);
}

void
zygotes_init(struct sandbox_host *shared)
{
    const char *missing;

    host = shared;
    for (unsigned i = 0; i < SETTINGS_MAX_TEMPLATES; i++) {
        zygotes[i] = (struct zygote){ .pidfd = -1, .fd = -1, .cgroup = CGROUP_NULL };
    }
    missing = obstacle(&host->settings);
    if (!host->settings.zygote || missing != NULL) {
        journal(missing != NULL ? JOURNAL_WARN : JOURNAL_INFO, "zygote.absent",
                JOURNAL_STR("missing", missing != NULL ? missing : "zygote = no"));
        return;
    }
    if (spawner_user_ns() < 0) {
        journal(JOURNAL_WARN, "zygote.absent", JOURNAL_STR("missing", "spawner"));
        return;
    }
    for (unsigned i = 0; i < host->settings.n_templates; i++) {
        zygotes[i].is_wanted = host->settings.templates[i].zygote[0] != '\0';
    }
}

void
zygotes_begin(void)
{
    is_serving = true;
    zygotes_tick();
}

static void
fd_unwatch(int *fd)
{
    if (*fd >= 0) {
        server_unwatch(host->epoll_fd, *fd);
        sandbox_fd_close(fd);
    }
}

/* What nobody has waited for goes the way of what died by itself. */
static void
zygote_end(struct zygote *zygote, const char *why)
{
    if (zygote->state != ZYGOTE_STARTING && zygote->state != ZYGOTE_READY) {
        return;
    }
    journal(JOURNAL_INFO, "zygote.ending", JOURNAL_STR("template", template_of(zygote)),
            JOURNAL_STR("reason", why), JOURNAL_INT("forks", zygote->n_answered));
    zygote->state = ZYGOTE_ENDING;
    zygote->since_ms = sandbox_now_ms();
    if (zygote->pidfd >= 0 && pidfd_send_signal(zygote->pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH) {
        journal(JOURNAL_ERROR, "zygote.kill", JOURNAL_INT("error", errno));
    }
}

_must_check_ static int
filter_open(const struct sandbox_host *of, const struct filter *filter)
{
    char path[32];

    (void)snprintf(path, sizeof(path), "self/fd/%d", filter->fd); /* fits */
    return openat(of->proc_fd, path, O_RDONLY | O_CLOEXEC);
}

/* The child waits for its byte until all that is done to it from outside is done. */
_must_check_ static int
zygote_release(struct zygote *zygote)
{
    uint64_t id = zygote->generation * SETTINGS_MAX_TEMPLATES + index_of(zygote);
    int r = server_watch(host->epoll_fd, zygote->pidfd, SERVER_ZYGOTE, id);

    if (r == 0) {
        r = server_watch(host->epoll_fd, zygote->fd, SERVER_ZYGOTE, id);
    }
    if (r == 0) {
        r = host->tree.ops->attach(&zygote->cgroup, zygote->pid);
    }
    if (r == 0) {
        r = ns_set_oom_score(host->proc_fd, zygote->pid, OOM_SCORE);
    }
    if (r < 0) {
        return r;
    }
    return send(zygote->fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : -errno;
}

_must_check_ static int
zygote_make(struct zygote *zygote, struct zygote_spec *spec, const char **stage)
{
    const struct cgroup_limits limits = { .memory_bytes = MEMORY_BYTES,
                                          .pids = PROCESSES,
                                          .cpu_millis = 1000 * host->n_cpus };
    int fds[2], r;

    *stage = "cgroup";
    r = cgroup_create(&zygote->cgroup, &host->tree, slot_of(zygote), &limits);
    if (r == 0) {
        r = host->tree.ops->watch(&zygote->cgroup);
    }
    if (r < 0) {
        return r;
    }
    *stage = "own inodes";
    r = overlay_new(&spec->overlay, &host->settings, spec->template);
    if (r < 0) {
        return r;
    }
    *stage = "descriptors";
    spec->filter_fd = filter_open(host, &host->payload_filter[spec->template->inet]);
    if (spec->filter_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
        return -errno;
    }
    zygote->fd = spec->parent_fd = fds[0];
    spec->socket_fd = fds[1];
    spec->cgroup_fd = cgroup_clone_fd(&zygote->cgroup, &host->tree);
    *stage = "clone";
    r = zygote_spawn(&zygote->pid, &zygote->pidfd, spec);
    if (r == 0) {
        *stage = "release";
        r = zygote_release(zygote);
    }
    return r;
}

static void
zygote_start(struct zygote *zygote)
{
    const struct settings_template *template = &host->settings.templates[index_of(zygote)];
    struct zygote_spec spec = {
        .template = template,
        .language = LANGUAGE,
        .overlay = OVERLAY_NULL,
        .agent_fd = host->agent_fd,
        .launcher_pidfd = host->launcher_pidfd,
        .parent_fd = -1,
        .socket_fd = -1,
        .filter_fd = -1,
        .filter = &host->zygote_filter[template->inet],
        .uid = settings_zygote_uid(&host->settings),
#ifdef SANDBOX_MUTANT
        .walls_off = host->settings.walls_off,
#endif
    };
    const char *stage;
    int r;

    zygote->generation++;
    zygote->n_asked = zygote->n_answered = 0;
    zygote->state = ZYGOTE_STARTING;
    zygote->since_ms = sandbox_now_ms();
    r = zygote_make(zygote, &spec, &stage);
    sandbox_fd_close(&spec.socket_fd);
    sandbox_fd_close(&spec.filter_fd);
    overlay_deinit(&spec.overlay);
    if (r < 0) {
        journal(JOURNAL_WARN, "zygote.failed", JOURNAL_STR("template", template->name),
                JOURNAL_STR("stage", stage), JOURNAL_INT("error", -r));
        zygote->n_failed++;
        zygote_end(zygote, "it was not made");
    }
}

/* Dead: its group goes, and the next one is made, after a while if this one never was of use. */
static void
zygote_clear(struct zygote *zygote)
{
    uint64_t wait_ms = RETRY_MS;
    siginfo_t info = { 0 };
    int r;

    if (zygote->pidfd >= 0) {
        if (waitid(P_PIDFD, (id_t)zygote->pidfd, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0) {
            return;
        }
        journal(JOURNAL_INFO, "zygote.ended", JOURNAL_STR("template", template_of(zygote)),
                JOURNAL_INT("code", info.si_code == CLD_EXITED ? info.si_status : 0),
                JOURNAL_INT("signal", info.si_code == CLD_EXITED ? 0 : info.si_status));
        fd_unwatch(&zygote->pidfd);
    }
    fd_unwatch(&zygote->fd);
    r = cgroup_remove(&zygote->cgroup, &host->tree, slot_of(zygote));
    if (r == CGROUP_E_BUSY) {
        cgroup_kill(&zygote->cgroup, &host->tree, slot_of(zygote)); /* whom it was forking */
        return;
    }
    if (r < 0) {
        cgroup_deinit(&zygote->cgroup); /* somebody removed the tree */
    }
    for (unsigned i = 0; i < zygote->n_failed && wait_ms < RETRY_MOST_MS; i++) {
        wait_ms *= 2;
    }
    zygote->state = ZYGOTE_NONE;
    zygote->next_ms = sandbox_now_ms() + (zygote->n_failed > 0 ? wait_ms : 0);
    if (!zygote->was_ready && zygote->n_failed >= TRIES) {
        zygote->is_wanted = false;
        journal(JOURNAL_WARN, "zygote.absent", JOURNAL_STR("template", template_of(zygote)),
                JOURNAL_STR("missing", "it never was ready"));
    }
}

static uint64_t
memory_peak(struct zygote *zygote)
{
    struct cgroup_usage usage = { 0 };

    return host->tree.ops->read(&zygote->cgroup, &usage) < 0 ? 0 : usage.peak_bytes;
}

static void
on_ready(struct zygote *zygote)
{
    if (zygote->state != ZYGOTE_STARTING) {
        return;
    }
    zygote->base_bytes = memory_peak(zygote);
    zygote->look_at = MEMORY_EVERY;
    journal(JOURNAL_INFO, "zygote.ready", JOURNAL_STR("template", template_of(zygote)),
            JOURNAL_INT("pid", zygote->pid), JOURNAL_INT("ms", sandbox_now_ms() - zygote->since_ms),
            JOURNAL_INT("bytes", zygote->base_bytes));
    zygote->state = ZYGOTE_READY;
    zygote->was_ready = true;
    zygote->n_failed = 0;
    zygote->since_ms = sandbox_now_ms();
}

static void
on_answer(struct zygote *zygote, const struct sbx_zygote_reply *reply)
{
    static const char *const stages[SBX_ZYGOTE_N_STAGES] = { "done",        "cgroup attach",  "namespaces",
                                                             "fork",        "time namespace", "session",
                                                             "descriptors", "confine" };

    if (reply->stage != SBX_ZYGOTE_DONE && reply->stage < SBX_ZYGOTE_N_STAGES) {
        journal(JOURNAL_WARN, "zygote.fork", JOURNAL_INT("sandbox", reply->id),
                JOURNAL_STR("stage", stages[reply->stage]), JOURNAL_INT("error", reply->error & 0xffff),
                JOURNAL_INT("detail", reply->error >> 16));
    }
    /* From TIME on it is the slot that speaks; the zygote has answered already. */
    if (reply->stage < SBX_ZYGOTE_TIME && zygote->n_answered < zygote->n_asked) {
        zygote->n_answered++;
        zygote->asked_ms = sandbox_now_ms();
        sandbox_on_forked(reply->id);
    }
}

static void
replies_read(struct zygote *zygote)
{
    union {
        struct sbx_zygote_reply reply;
        char text[SBX_ZYGOTE_TEXT_MAX + 1];
    } in;
    ssize_t n;

    while (zygote->fd >= 0 && (n = recv(zygote->fd, &in, sizeof(in) - 1, MSG_DONTWAIT)) > 0) {
        if (n != (ssize_t)sizeof(in.reply)) {
            in.text[n] = '\0';
            journal(JOURNAL_WARN, "zygote.said", JOURNAL_STR("template", template_of(zygote)),
                    JOURNAL_STR("text", in.text));
        } else if (in.reply.id == 0) {
            on_ready(zygote);
        } else {
            on_answer(zygote, &in.reply);
        }
    }
}

void
zygote_on_event(uint64_t id)
{
    struct zygote *zygote = &zygotes[id % SETTINGS_MAX_TEMPLATES];
    siginfo_t info = { 0 };

    if (zygote->state == ZYGOTE_NONE || zygote->generation != id / SETTINGS_MAX_TEMPLATES) {
        return;
    }
    replies_read(zygote);
    /* Left as it is, for whoever clears up. */
    if (waitid(P_PIDFD, (id_t)zygote->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
        zygote->n_failed += zygote->state == ZYGOTE_STARTING;
        zygote_end(zygote, "it died");
        zygote_clear(zygote);
    }
}

static bool
has_grown(struct zygote *zygote)
{
    uint64_t most = host->settings.zygote_growth_mib << 20;

    if (most == 0 || zygote->n_answered < zygote->look_at) {
        return false;
    }
    zygote->look_at = zygote->n_answered + MEMORY_EVERY;
    return memory_peak(zygote) > zygote->base_bytes + most;
}

/* NULL: none. */
static const char *
end_reason(struct zygote *zygote, uint64_t now)
{
    const struct settings *settings = &host->settings;
    uint64_t age = now - zygote->since_ms;

    if (zygote->state == ZYGOTE_STARTING) {
        return age > START_MS ? "it is not ready" : NULL;
    }
    if (zygote->n_asked > zygote->n_answered) {
        return now - zygote->asked_ms > FORK_MS ? "it does not answer" : NULL;
    }
    if (zygote->n_answered >= settings->zygote_forks && settings->zygote_forks > 0) {
        return "it has forked enough";
    }
    if (age > settings->zygote_seconds * 1000 && settings->zygote_seconds > 0) {
        return "it is old";
    }
    return has_grown(zygote) ? "it has grown" : NULL;
}

void
zygotes_tick(void)
{
    uint64_t now = sandbox_now_ms();

    for (unsigned i = 0; i < host->settings.n_templates; i++) {
        struct zygote *zygote = &zygotes[i];
        const char *reason;

        switch (zygote->state) {
        case ZYGOTE_NONE:
            if (is_serving && zygote->is_wanted && now >= zygote->next_ms) {
                zygote_start(zygote);
            }
            break;
        case ZYGOTE_STARTING:
        case ZYGOTE_READY:
            reason = end_reason(zygote, now);
            if (reason != NULL) {
                zygote->n_failed += zygote->state == ZYGOTE_STARTING;
                zygote_end(zygote, reason);
            }
            break;
        case ZYGOTE_ENDING:
            zygote_clear(zygote);
            break;
        }
    }
}

static int
zygote_timeout(const struct zygote *zygote, uint64_t now)
{
    switch (zygote->state) {
    case ZYGOTE_NONE:
        return !is_serving || !zygote->is_wanted ? -1
               : zygote->next_ms > now           ? (int)(zygote->next_ms - now)
                                                 : 0;
    case ZYGOTE_STARTING:
        return START_MS;
    case ZYGOTE_READY:
        /* What is due by its age can wait until something happens, or this long. */
        return zygote->n_asked > zygote->n_answered ? FORK_MS : RETRY_MOST_MS;
    case ZYGOTE_ENDING:
        return REMOVE_RETRY_MS;
    }
    return -1;
}

int
zygotes_timeout(void)
{
    uint64_t now = sandbox_now_ms();
    int least = -1;

    for (unsigned i = 0; i < host->settings.n_templates; i++) {
        int timeout = zygote_timeout(&zygotes[i], now);

        least = timeout >= 0 && (least < 0 || timeout < least) ? timeout : least;
    }
    return least;
}

void
zygotes_stop(void)
{
    is_serving = false;
    for (unsigned i = 0; i < host->settings.n_templates; i++) {
        zygote_end(&zygotes[i], "stopping");
    }
}

bool
zygotes_idle(void)
{
    bool is_idle = true;

    for (unsigned i = 0; i < host->settings.n_templates; i++) {
        is_idle = is_idle && zygotes[i].state == ZYGOTE_NONE;
    }
    return is_idle;
}

bool
zygote_serves(unsigned *ret, const struct sandbox_host *of, const struct settings_template *template,
              const char *language)
{
    unsigned i = (unsigned)(template - of->settings.templates);

    if (strcmp(language, LANGUAGE) != 0 || zygotes[i].state != ZYGOTE_READY || spawner_user_ns() < 0) {
        return false;
    }
    *ret = i;
    return true;
}

/* Appends the descriptor of pid 1's time, if it has one of its own; *n counts. */
_must_check_ static int
time_open(const struct sandbox *sb, struct sbx_zygote_request *request, int *fds, unsigned *n)
{
    char path[32];

    request->has_time = host->walls.wall[SBX_WALL_TIME_NAMESPACE].state == SBX_WALL_ENFORCED &&
                        !sbx_wall_is_off(SBX_WALL_TIME_NAMESPACE);
    if (!request->has_time) {
        return 0;
    }
    (void)snprintf(path, sizeof(path), "%d/ns/time", (int)sb->pid); /* fits any pid */
    fds[*n] = openat(host->proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (fds[*n] < 0) {
        return -errno;
    }
    ++*n;
    return 0;
}

/* Appends what the groups keep open. */
_must_check_ static int
groups_add(struct sandbox *sb, struct sbx_zygote_request *request, int *fds, unsigned *n)
{
    for (unsigned i = 0; i < host->tree.ops->n_dirs; i++) {
        int fd = sb->cgroup.dir[i] < 0 ? -1 : cgroup_procs(&sb->cgroup, i);

        if (fd >= 0) {
            fds[(*n)++] = fd;
            request->n_groups++;
        } else if (sb->cgroup.dir[i] >= 0) {
            return fd;
        }
    }
    return 0;
}

bool
zygote_fork(struct sandbox *sb)
{
    struct zygote *zygote = &zygotes[sb->zygote];
    struct sbx_zygote_request request = { .id = sb->id, .kinds = ns_kinds() };
    int fds[SBX_ZYGOTE_MAX_FDS] = { sb->slot_fd, spawner_user_ns(), sb->pidfd };
    const unsigned time = 3;
    unsigned n = time;
    int r = -ESRCH;

    if (sb->slot_fd < 0) {
        return false;
    }
    if (zygote->state == ZYGOTE_READY && spawner_user_ns() >= 0) {
        r = time_open(sb, &request, fds, &n);
        r = r < 0 ? r : groups_add(sb, &request, fds, &n);
        r = r < 0 ? r : passing_send(zygote->fd, &request, sizeof(request), fds, n);
    }
    if (request.has_time && n > time) {
        close(fds[time]);
    }
    sandbox_fd_close(&sb->slot_fd);
    if (r < 0) {
        journal(JOURNAL_WARN, "zygote.fork", JOURNAL_INT("sandbox", sb->id), JOURNAL_STR("stage", "request"),
                JOURNAL_INT("error", -r));
        return false;
    }
    zygote->asked_ms = zygote->n_asked == zygote->n_answered ? sandbox_now_ms() : zygote->asked_ms;
    zygote->n_asked++;
    return true;
}
