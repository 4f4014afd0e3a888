/*
 *   daemon_run: daemon_open -> reconcile -> daemon_listen -> (loop)
 *   SIGTERM:    daemon_stop: no new jobs, those accepted end; the rest of the interface is served meanwhile
 *               -> daemon_on_quiet: no listening -> daemon_on_api_quiet -> api closed
 *               -> pools drained -> loop stops -> daemon_close
 */
#include "executor/daemon.h"

#include <assert.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "executor/api/api.h"
#include "executor/api/job_reply.h"
#include "executor/core/artifacts.h"
#include "executor/core/denials.h"
#include "executor/core/engine.h"
#include "executor/core/janitor.h"
#include "executor/core/orphans.h"
#include "executor/core/reconcile.h"
#include "executor/core/sessions.h"
#include "executor/core/sweep.h"
#include "executor/denial_line.h"
#include "executor/runtime/registry.h"
#include "executor/runtime/runtime.h"
#include "executor/secret_file.h"
#include "executor/store/blob.h"
#include "executor/store/db.h"
#include "executor/walls.h"

#define DAEMON_AGENT_TIMEOUT_MS 10000
#define DAEMON_QUIET_MS 2000 /* for connections that do not end by themselves, after all jobs did */
#define DAEMON_CLOSE_MS 3000 /* for warm sandboxes to go, and then for the loop to be empty */

struct daemon {
    const struct config *config;
    uv_loop_t loop;
    bool loop_open;
    struct secret key;
    struct registry *languages;
    struct timers *timers;
    struct db *db;
    struct blob_store *blobs;
    struct keyring *keyring;
    struct artifacts *artifacts;
    struct runtime *runtimes[SBX_N_ISOLATIONS]; /* NULL: no template has that tier */
    struct config_pool shapes[CONFIG_MAX_POOLS];
    unsigned n_shapes;
    struct runner_pool pools[CONFIG_MAX_POOLS];
    unsigned n_pools, n_pools_draining;
    struct engine *engine;
    struct sessions *sessions;
    struct orphans *orphans;
    struct api *api;
    struct janitor *janitor;
    struct sweep *sweep;
    struct denials *denials;
    struct timer *patience;
    struct walls walls;
    uv_signal_t signals[3];
    unsigned n_signals;
    unsigned n_unquiet; /* of jobs and sessions, those that have not ended */
    unsigned lost;      /* jobs, sessions and steps of an earlier process */
    unsigned n_untried; /* runtimes that have not yet looked for their launcher */
    bool reconciled, stopping, api_quiet, work_quiet, closing;
    int status;
};

static void daemon_stop(struct daemon *daemon);
static void daemon_on_launcher_tried(void *arg);

static int
daemon_fail(const char *event, const char *what, int rc)
{
    log_error(event, LOG_STR("object", what), LOG_STR("error", strerror(rc < 0 ? -rc : EINVAL)));
    return rc < 0 ? rc : -EINVAL;
}

static int
daemon_read_secret(struct secret *key, const char *path, const char *event)
{
    int r;

    r = secret_file_read(key, path);
    if (r) {
        return daemon_fail(event, path, r);
    }
    if (key->len < SBX_CONTEXT_KEY_MIN) {
        log_error(event, LOG_STR("object", path), LOG_STR("error", "the key has fewer than 32 bytes"));
        return -EINVAL;
    }
    return 0;
}

static int
daemon_read_key(struct secret *key, const struct config *config)
{
    return daemon_read_secret(key, config->context_key_file, "start.context_key");
}

/* `old` is empty when there is none. One file for both keys would open with the one what the other signs. */
static int
daemon_read_artifact_keys(struct secret *key, struct secret *old, const struct config *config)
{
    struct secret context;
    int r;

    memset(old, 0, sizeof(*old));
    r = daemon_read_secret(key, config->artifacts_key_file, "start.artifact_key");
    if (r == 0 && *config->artifacts_old_key_file != '\0') {
        r = daemon_read_secret(old, config->artifacts_old_key_file, "start.artifact_key");
    }
    if (r == 0) {
        r = daemon_read_key(&context, config);
    }
    if (r == 0 && context.len == key->len && sbx_equal_const_time(context.data, key->data, key->len)) {
        log_error("start.artifact_key", LOG_STR("object", config->artifacts_key_file),
                  LOG_STR("error", "the key is the gateway's, too"));
        r = -EINVAL;
    }
    if (r == 0) {
        secret_wipe(&context);
    }
    return r;
}

static int
daemon_read_languages(struct registry **ret, const struct config *config)
{
    char why[REGISTRY_WHY_LEN];
    int r;

    r = registry_load(ret, config->runtimes_file, why);
    if (r > 0) {
        log_error("start.runtimes", LOG_STR("error", why));
        return -EINVAL;
    }
    return r < 0 ? daemon_fail("start.runtimes", config->runtimes_file, r) : 0;
}

static int
daemon_find_group(const struct config *config, int64_t *ret)
{
    const struct group *group;

    *ret = -1;
    if (*config->listen_group == '\0') {
        return 0;
    }
    group = getgrnam(config->listen_group);
    if (group == NULL) {
        log_error("start.group", LOG_STR("object", config->listen_group),
                  LOG_STR("error", "there is no such group"));
        return -EINVAL;
    }
    *ret = group->gr_gid;
    return 0;
}

bool
daemon_check(const struct config *config)
{
    struct registry *languages = NULL;
    struct secret key, old;
    int64_t group;
    bool fine;

    fine = daemon_read_artifact_keys(&key, &old, config) == 0;
    secret_wipe(&old);
    secret_wipe(&key);
    fine = daemon_read_key(&key, config) == 0 && fine;
    fine = daemon_read_languages(&languages, config) == 0 && fine;
    fine = daemon_find_group(config, &group) == 0 && fine;
    secret_wipe(&key);
    registry_free(languages);
    return fine;
}

static void
daemon_on_runtime_log(void *arg _unused_, const char *event, const char *detail)
{
    bool good = strcmp(event, "launcher.up") == 0;

    log_at(good ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, event, LOG_STR("detail", *detail == '\0' ? NULL : detail));
}

static int
daemon_open_store(struct daemon *daemon)
{
    const struct config *config = daemon->config;
    const struct db_spec db = {
        .driver = config->database_driver,
        .url = config->database_url,
        .audit_dir = config->audit_dir,
        .loop = &daemon->loop,
    };
    const struct blob_spec blobs = { .driver = "file", .root = config->artifacts_dir, .loop = &daemon->loop };
    char error[512] = "";
    int r;

    r = db_open(&daemon->db, &db, error, sizeof(error));
    if (r) {
        log_error("start.database", LOG_STR("error", error));
        return r < 0 ? r : -EINVAL;
    }
    r = blob_store_open(&daemon->blobs, &blobs, error, sizeof(error));
    if (r) {
        log_error("start.artifacts", LOG_STR("error", error));
        return r < 0 ? r : -EINVAL;
    }
    return 0;
}

static int
daemon_open_artifacts(struct daemon *daemon)
{
    const struct config *config = daemon->config;
    struct secret key, old;
    struct artifacts_spec spec = {
        .timers = daemon->timers,
        .db = daemon->db,
        .blobs = daemon->blobs,
        .retention_ms = config->retention_artifacts_ms,
        .max_number = config->artifacts_max_number,
    };
    int r;

    r = daemon_read_artifact_keys(&key, &old, config);
    if (r == 0) {
        const struct keyring_spec keyring = {
            .db = daemon->db,
            .master = key.data,
            .master_len = key.len,
            .old = old.len > 0 ? old.data : NULL,
            .old_len = old.len,
        };

        r = keyring_new(&daemon->keyring, &keyring);
    }
    secret_wipe(&key);
    secret_wipe(&old);
    if (r == 0) {
        spec.keyring = daemon->keyring;
        r = artifacts_new(&daemon->artifacts, &spec);
    }
    return r ? daemon_fail("start.artifacts", config->artifacts_key_file, r) : 0;
}

static int
daemon_open_pools(struct daemon *daemon)
{
    const struct config *config = daemon->config;
    unsigned creating = (unsigned)config->limits_max_running / 2;
    int r;

    for (unsigned i = 0; i < daemon->n_shapes; i++) {
        const struct config_pool *shape = &daemon->shapes[i];
        const struct pool_spec spec = {
            .runtime = daemon->runtimes[shape->isolation],
            .timers = daemon->timers,
            .template_name = shape->name,
            .size = shape->size,
            .max_creating = creating < 2    ? 2
                            : creating > 16 ? 16
                                            : creating,
        };

        r = pool_new(&daemon->pools[i].pool, &spec);
        if (r) {
            return daemon_fail("start.pool", spec.template_name, r);
        }
        daemon->pools[i].template_name = shape->name;
        daemon->pools[i].isolation = shape->isolation;
        daemon->pools[i].own = shape->own;
        daemon->n_pools++;
    }
    return 0;
}

/* Either says whether the launcher is there. */
static struct runtime *
daemon_runtime(const struct daemon *daemon)
{
    struct runtime *process = daemon->runtimes[SBX_ISOLATION_PROCESS];

    return process != NULL ? process : daemon->runtimes[SBX_ISOLATION_GVISOR];
}

static int
daemon_open_engine(struct daemon *daemon)
{
    const struct config *config = daemon->config;
    const struct engine_spec spec = {
        .timers = daemon->timers,
        .runtime = daemon_runtime(daemon),
        .db = daemon->db,
        .blobs = daemon->blobs,
        .artifacts = daemon->artifacts,
        .pools = daemon->pools,
        .n_pools = daemon->n_pools,
        .queue = {
            .max_running = (unsigned)config->limits_max_running,
            .max_waiting = (unsigned)config->limits_max_queued,
            .max_waiting_per_tenant = (unsigned)config->limits_max_queued_per_tenant,
            .max_bytes = config->limits_max_queued_bytes,
        },
        .queue_timeout_ms = config->limits_queue_timeout_ms,
        .output_keep = (size_t)config->output_keep,
        .feed_keep = (size_t)config->streams_keep,
        .feeds_max = (size_t)config->streams_memory,
        .shelf_bytes = (size_t)config->streams_linger_bytes,
        .shelf_ms = config->streams_linger_ms,
        .describe = job_reply_describe,
        .key_ttl_ms = config->idempotency_ttl_ms,
        .keep_ms = config->retention_records_ms,
    };
    int r;

    r = engine_new(&daemon->engine, &spec);
    return r ? daemon_fail("start.engine", "engine", r) : 0;
}

static int
daemon_share(void *arg, const char *tenant, uint64_t *ret)
{
    const struct daemon *daemon = arg;

    return engine_share(daemon->engine, tenant, ret);
}

static int
daemon_open_sessions(struct daemon *daemon)
{
    const struct config *config = daemon->config;
    const struct sessions_spec spec = {
        .timers = daemon->timers,
        .db = daemon->db,
        .pools = daemon->pools,
        .n_pools = daemon->n_pools,
        .max = (unsigned)config->sessions_max,
        .output_keep = (size_t)config->output_keep,
        .feed_keep = (size_t)config->streams_keep,
        .feeds = engine_feeds(daemon->engine),
        .shelf = engine_shelf(daemon->engine),
        .key_ttl_ms = config->idempotency_ttl_ms,
        .keep_ms = config->retention_records_ms,
        .share = daemon_share,
        .share_arg = daemon,
    };
    int r;

    r = sessions_new(&daemon->sessions, &spec);
    if (r == 0) {
        r = orphans_new(&daemon->orphans, daemon->sessions, config->sessions_orphans_ms);
    }
    return r ? daemon_fail("start.sessions", "sessions", r) : 0;
}

static int
daemon_open_api(struct daemon *daemon)
{
    const struct config *config = daemon->config;
    const struct api_spec spec = {
        .loop = &daemon->loop,
        .engine = daemon->engine,
        .sessions = daemon->sessions,
        .runtime = daemon_runtime(daemon),
        .artifacts = daemon->artifacts,
        .languages = daemon->languages,
        .pools = daemon->pools,
        .n_pools = daemon->n_pools,
        .context_key = daemon->key.data,
        .context_key_len = daemon->key.len,
        .accept_bypass = config->authz_bypass,
        .max_connections = (unsigned)config->listen_max_connections,
        .max_streams = (unsigned)config->streams_max,
        .max_streams_per_tenant = (unsigned)config->streams_max_per_tenant,
        .stream_keepalive_ms = config->streams_keepalive_ms,
        .max_body_bytes = config->limits_max_queued_bytes,
    };
    int r;

    r = api_new(&daemon->api, &spec);
    return r ? daemon_fail("start.api", "api", r) : 0;
}

static int
daemon_open_chores(struct daemon *daemon)
{
    const struct config *config = daemon->config;
    const struct denials_spec denials = {
        .timers = daemon->timers,
        .db = daemon->db,
        .path = config->denials_file,
        .parse = denial_line_parse,
    };
    const struct janitor_spec janitor = {
        .timers = daemon->timers,
        .db = daemon->db,
        .key_ttl_ms = config->idempotency_ttl_ms,
        .keep_ms = config->retention_records_ms,
    };
    int r;

    r = janitor_new(&daemon->janitor, &janitor);
    if (r == 0) {
        r = sweep_new(&daemon->sweep, daemon->timers, daemon->db, daemon->blobs);
    }
    if (r == 0 && *config->denials_file != '\0') {
        r = denials_new(&daemon->denials, &denials);
    }
    return r ? daemon_fail("start.chores", "timers", r) : 0;
}

/* A launcher found unfit at the start ends the start. One that comes later makes executord not ready: what was
 * accepted before is looked after. */
static bool
daemon_judge_walls(void *arg, uint64_t missing, bool first)
{
    struct daemon *daemon = arg;
    bool fit = walls_judge(&daemon->walls, missing, first);

    if (!fit && first) {
        daemon->status = 1;
        daemon_stop(daemon);
    }
    return fit;
}

static int
daemon_open_tier(struct daemon *daemon, enum sbx_isolation tier)
{
    const struct config *config = daemon->config;
    struct process_spec spec = {
        .loop = &daemon->loop,
        .launch_socket = config->launcher_socket,
        .create_timeout_ms = config->launcher_create_timeout_ms,
        .agent_timeout_ms = DAEMON_AGENT_TIMEOUT_MS,
        .log = daemon_on_runtime_log,
        .judge = daemon_judge_walls,
        .tried = daemon_on_launcher_tried,
        .judge_arg = daemon,
    };

    switch (tier) {
    case SBX_ISOLATION_PROCESS:
        return runtime_process_new(&daemon->runtimes[tier], &spec);
    case SBX_ISOLATION_GVISOR:
        spec.create_timeout_ms = config->launcher_create_timeout_gvisor_ms;
        return runtime_gvisor_new(&daemon->runtimes[tier], &spec);
    case SBX_ISOLATION_NONE:
    case SBX_N_ISOLATIONS:
        break;
    }
    return -EINVAL;
}

static int
daemon_open_runtimes(struct daemon *daemon)
{
    int r = 0;

    daemon->walls = (struct walls){ .config = daemon->config, .db = daemon->db };
    daemon->n_shapes = config_pools(daemon->config, daemon->shapes);
    for (unsigned i = 0; i < daemon->n_shapes && r == 0; i++) {
        enum sbx_isolation tier = daemon->shapes[i].isolation;

        if (daemon->runtimes[tier] == NULL) {
            r = daemon_open_tier(daemon, tier);
            daemon->n_untried++;
        }
    }
    return r ? daemon_fail("start.runtime", daemon->config->launcher_socket, r) : 0;
}

static void
daemon_on_signal(uv_signal_t *handle, int number)
{
    struct daemon *daemon = handle->data;

    if (number == SIGHUP) {
        log_reopen();
        log_info("log.reopened", LOG_INT("pid", getpid()));
        return;
    }
    log_info("stop.signal", LOG_INT("signal", number));
    if (daemon->stopping) {
        engine_hurry(daemon->engine);
        sessions_hurry(daemon->sessions);
    } else {
        daemon_stop(daemon);
    }
}

static int
daemon_open_signals(struct daemon *daemon)
{
    static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
    int r;

    for (unsigned i = 0; i < SBX_COUNT(numbers); i++) {
        r = uv_signal_init(&daemon->loop, &daemon->signals[i]);
        if (r == 0) {
            daemon->n_signals++;
            daemon->signals[i].data = daemon;
            r = uv_signal_start(&daemon->signals[i], daemon_on_signal, numbers[i]);
        }
        if (r) {
            return daemon_fail("start.signals", "signals", r);
        }
    }
    return 0;
}

static void
daemon_on_patience(void *arg)
{
    struct daemon *daemon = arg;

    log_warn("stop.impatient", LOG_INT("connections_quiet", daemon->api_quiet),
             LOG_INT("closing", daemon->closing));
    if (daemon->closing) {
        uv_stop(&daemon->loop);
        return;
    }
    daemon->api_quiet = true;
    daemon_stop(daemon);
}

static int
daemon_open(struct daemon *daemon)
{
    static int (*const steps[])(struct daemon * daemon) = {
        daemon_open_store, daemon_open_artifacts, daemon_open_runtimes,
        daemon_open_pools, daemon_open_engine,    daemon_open_sessions,
        daemon_open_api,   daemon_open_chores,    daemon_open_signals,
    };
    int r;

    r = daemon_read_key(&daemon->key, daemon->config);
    if (r == 0) {
        r = daemon_read_languages(&daemon->languages, daemon->config);
    }
    if (r == 0) {
        r = uv_loop_init(&daemon->loop);
        daemon->loop_open = r == 0;
    }
    if (r == 0) {
        r = timers_new(&daemon->timers, &daemon->loop);
    }
    if (r == 0) {
        r = timer_new(&daemon->patience, daemon->timers, daemon_on_patience, daemon);
    }
    for (size_t i = 0; i < SBX_COUNT(steps) && r == 0; i++) {
        r = steps[i](daemon);
    }
    return r;
}

static int
daemon_listen(struct daemon *daemon)
{
    const struct config *config = daemon->config;
    int64_t group;
    int r;

    r = daemon_find_group(config, &group);
    if (r) {
        return r;
    }
    r = api_listen(daemon->api, config->listen_socket, (unsigned)config->listen_mode, group);
    return r ? daemon_fail("start.listen", config->listen_socket, r) : 0;
}

/* Nobody is served before it is known what an earlier process left, and whether a launcher that is there is fit. */
static void
daemon_listen_when_ready(struct daemon *daemon)
{
    if (!daemon->reconciled || daemon->n_untried > 0 || daemon->stopping) {
        return;
    }
    if (daemon_listen(daemon) != 0) {
        daemon->status = 1;
        daemon_stop(daemon);
        return;
    }
    log_info("start.ready", LOG_STR("socket", daemon->config->listen_socket), LOG_INT("lost", daemon->lost),
             LOG_INT("max_running", daemon->config->limits_max_running), LOG_INT("pid", getpid()));
}

static void
daemon_on_launcher_tried(void *arg)
{
    struct daemon *daemon = arg;

    daemon->n_untried--;
    daemon_listen_when_ready(daemon);
}

static void daemon_on_reconciled(void *arg, int rc, unsigned lost);

/* Whose keys cannot be had, nobody's job may end. */
static void
daemon_on_keys(void *arg, int rc, unsigned rewrapped)
{
    struct daemon *daemon = arg;

    if (rc == 0 && rewrapped > 0) {
        log_info("keys.rewrapped", LOG_INT("tenants", rewrapped));
    }
    if (rc == 0) {
        rc = reconcile_start(daemon->db, daemon_on_reconciled, daemon);
    }
    if (rc != 0) {
        (void)daemon_fail("start.artifact_key", daemon->config->artifacts_key_file,
                          rc); /* rc is what counts */
        daemon->status = 1;
        daemon_stop(daemon);
    }
}

static void
daemon_on_reconciled(void *arg, int rc, unsigned lost)
{
    struct daemon *daemon = arg;

    if (rc != 0) {
        (void)daemon_fail("start.reconcile", "database", rc); /* says it; rc is what counts */
        daemon->status = 1;
        daemon_stop(daemon);
        return;
    }
    daemon->reconciled = true;
    daemon->lost = lost;
    daemon_listen_when_ready(daemon);
}

static void
daemon_on_pool_drained(void *arg)
{
    struct daemon *daemon = arg;

    if (--daemon->n_pools_draining == 0) {
        uv_stop(&daemon->loop);
    }
}

static void
daemon_on_api_closed(void *arg)
{
    struct daemon *daemon = arg;

    daemon->api = NULL;
    daemon->n_pools_draining = daemon->n_pools;
    for (unsigned i = 0; i < daemon->n_pools; i++) {
        pool_drain(daemon->pools[i].pool, daemon_on_pool_drained, daemon);
    }
}

/* Jobs, sessions and connections are over: take the rest down. */
static void
daemon_close_when_quiet(struct daemon *daemon)
{
    if (daemon->closing || !daemon->work_quiet) {
        return;
    }
    if (!daemon->api_quiet) {
        timer_start(daemon->patience, DAEMON_QUIET_MS);
        return;
    }
    daemon->closing = true;
    timer_start(daemon->patience, DAEMON_CLOSE_MS);
    api_close(daemon->api, daemon_on_api_closed, daemon);
}

static void
daemon_on_api_quiet(void *arg)
{
    struct daemon *daemon = arg;

    daemon->api_quiet = true;
    daemon_close_when_quiet(daemon);
}

static void
daemon_on_quiet(void *arg)
{
    struct daemon *daemon = arg;

    if (--daemon->n_unquiet > 0) {
        return;
    }
    daemon->work_quiet = true;
    api_drain(daemon->api, daemon_on_api_quiet, daemon);
    daemon_close_when_quiet(daemon);
}

/* Keeps listening: a gateway that finds no socket answers 502 to who waits for a result or cancels a job. */
static void
daemon_stop(struct daemon *daemon)
{
    if (!daemon->stopping) {
        daemon->stopping = true;
        daemon->n_unquiet = 2;
        engine_drain(daemon->engine, daemon->config->drain_timeout_ms, daemon_on_quiet, daemon);
        sessions_drain(daemon->sessions, daemon->config->drain_timeout_ms, daemon_on_quiet, daemon);
    }
    daemon_close_when_quiet(daemon);
}

static void
daemon_close_signals(struct daemon *daemon)
{
    for (unsigned i = 0; i < daemon->n_signals; i++) {
        uv_close((uv_handle_t *)&daemon->signals[i], NULL);
    }
}

/* Callbacks that the database owes are made by db_close, so whoever they reach is freed after it. */
static void
daemon_close(struct daemon *daemon)
{
    daemon->db = db_close(daemon->db);
    daemon->denials = denials_free(daemon->denials);
    daemon->janitor = janitor_free(daemon->janitor);
    daemon->sweep = sweep_free(daemon->sweep);
    daemon->orphans = orphans_free(daemon->orphans);
    daemon->sessions = sessions_free(daemon->sessions);
    daemon->engine = engine_free(daemon->engine);
    daemon->artifacts = artifacts_free(daemon->artifacts);
    for (unsigned i = 0; i < daemon->n_pools; i++) {
        daemon->pools[i].pool = pool_free(daemon->pools[i].pool);
    }
    for (unsigned i = 0; i < SBX_N_ISOLATIONS; i++) {
        struct runtime *runtime = daemon->runtimes[i];

        daemon->runtimes[i] = runtime != NULL ? runtime->ops->free(runtime) : NULL;
    }
    daemon->keyring = keyring_free(daemon->keyring);
    daemon->blobs = blob_store_close(daemon->blobs);
    daemon_close_signals(daemon);
    daemon->patience = timer_free(daemon->patience);
    if (daemon->loop_open) {
        (void)uv_run(&daemon->loop,
                     UV_RUN_DEFAULT); /* handles that are closing; it ends when there are none */
        if (uv_loop_close(&daemon->loop) != 0) {
            log_error("stop.handles_left", LOG_INT("pid", getpid()));
            daemon->status = 1;
        }
    }
    timers_free(daemon->timers);
    registry_free(daemon->languages);
    secret_wipe(&daemon->key);
}

static void
daemon_on_api_closed_early(void *arg)
{
    struct daemon *daemon = arg;

    daemon->api = NULL;
}

static void
daemon_settle_process(void)
{
    struct rlimit files;

    (void)signal(SIGPIPE, SIG_IGN); /* a write to a peer that left is an error like others */
    (void)umask(077);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* old kernels lack it, and then nothing is lost */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* fewer connections then */
    }
    if (geteuid() == 0) {
        log_warn("start.root", LOG_STR("message", "executord needs no privilege and should not run as root"));
    }
}

int
daemon_run(const struct config *config)
{
    struct daemon *daemon;
    int status;

    daemon = calloc(1, sizeof(*daemon));
    if (daemon == NULL) {
        return 1;
    }
    daemon->config = config;
    daemon_settle_process();
    if (daemon_open(daemon) == 0) {
        keyring_load(daemon->keyring, daemon_on_keys, daemon);
        (void)uv_run(&daemon->loop, UV_RUN_DEFAULT); /* ends by uv_stop */
    } else {
        daemon->status = 1;
        if (daemon->api != NULL) {
            api_close(daemon->api, daemon_on_api_closed_early, daemon);
        }
    }
    if ((daemon->engine != NULL && engine_live(daemon->engine) > 0) ||
        (daemon->sessions != NULL && sessions_live(daemon->sessions) > 0)) {
        /* What the store would not take: the next start calls it lost. Its memory has users yet. */
        log_error("stop.unclean", LOG_INT("jobs", engine_live(daemon->engine)),
                  LOG_INT("sessions", daemon->sessions == NULL ? 0 : sessions_live(daemon->sessions)));
        (void)db_close(daemon->db); /* always NULL */
        _exit(1);
    }
    daemon_close(daemon);
    status = daemon->status;
    log_info("stop.done", LOG_INT("status", status));
    free(daemon);
    return status;
}
