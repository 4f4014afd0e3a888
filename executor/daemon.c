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
#include "executor/core/changes.h"
#include "executor/core/budget.h"
#include "executor/core/denials.h"
#include "executor/core/enforce.h"
#include "executor/core/engine.h"
#include "executor/core/governance.h"
#include "executor/core/janitor.h"
#include "executor/core/orphans.h"
#include "executor/core/policies.h"
#include "executor/core/reconcile.h"
#include "executor/core/sessions.h"
#include "executor/core/sweep.h"
#include "executor/denial_line.h"
#include "executor/policy_text.h"
#include "executor/pools.h"
#include "executor/runtime/runtime.h"
#include "executor/secret_file.h"
#include "executor/store/blob.h"
#include "executor/store/db.h"
#include "executor/walls.h"
#include "lib/sbx_sign.h"
#include "lib/sbx_time.h"

#define DAEMON_AGENT_TIMEOUT_MS 10000
#define DAEMON_QUIET_MS 2000 /* for connections that do not end by themselves, after all jobs did */
#define DAEMON_CLOSE_MS 3000 /* for warm sandboxes to go, and then for the loop to be empty */

struct daemon {
    const struct config *config;
    uv_loop_t loop;
    bool loop_open;
    struct secret key;
    struct sbx_sign_key *audit_key; /* NULL: heads of the audit log are not signed */
    struct registry *languages;
    struct timers *timers;
    struct db *db;
    struct blob_store *blobs;
    struct keyring *keyring;
    struct artifacts *artifacts;
    struct budgets *budgets;
    struct runtime *runtimes[SBX_N_ISOLATIONS]; /* NULL: no template has that tier */
    struct pools pools;
    unsigned n_pools_draining;
    struct engine *engine;
    struct sessions *sessions;
    struct orphans *orphans;
    struct changes *changes;
    struct policies *policies;
    struct governance *governance;
    struct enforce *enforce;
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

/* *ret NULL for an empty path. */
static int
daemon_read_audit_key(struct sbx_sign_key **ret, const char *path)
{
    struct secret pem;
    int r;

    *ret = NULL;
    if (*path == '\0') {
        return 0;
    }
    r = secret_file_read(&pem, path);
    if (r == 0) {
        r = sbx_sign_private(ret, pem.data, pem.len);
    }
    secret_wipe(&pem);
    return r ? daemon_fail("start.audit_key", path, r) : 0;
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
    _cleanup_(sbx_sign_freep) struct sbx_sign_key *audit = NULL, *audit_old = NULL;
    struct registry *languages = NULL;
    struct secret key, old;
    int64_t group;
    bool fine;

    fine = daemon_read_artifact_keys(&key, &old, config) == 0;
    secret_wipe(&old);
    secret_wipe(&key);
    fine = daemon_read_key(&key, config) == 0 && fine;
    fine = daemon_read_languages(&languages, config) == 0 && pools_check(config, languages) && fine;
    fine = daemon_find_group(config, &group) == 0 && fine;
    fine = daemon_read_audit_key(&audit, config->audit_key_file) == 0 && fine;
    fine = daemon_read_audit_key(&audit_old, config->audit_old_key_file) == 0 && fine;
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
    _cleanup_(sbx_sign_freep) struct sbx_sign_key *old_key = NULL;
    struct db_spec db = {
        .driver = config->database_driver,
        .url = config->database_url,
        .audit_dir = config->audit_dir,
        .audit_segment_lines = config->audit_segment_lines,
        .audit_sign_ms = config->audit_sign_ms,
        .audit_keep_ms = config->retention_audit_ms,
        .audit_keep_min_ms = config->retention_audit_min_ms,
        .loop = &daemon->loop,
    };
    const struct blob_spec blobs = { .driver = "file", .root = config->artifacts_dir, .loop = &daemon->loop };
    char error[512] = "";
    int r;

    r = daemon_read_audit_key(&daemon->audit_key, config->audit_key_file);
    r = r ? r : daemon_read_audit_key(&old_key, config->audit_old_key_file);
    if (r) {
        return r;
    }
    if (daemon->audit_key == NULL) {
        log_at(
            config->production ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "audit.unsigned",
            LOG_STR("message", "audit.key_file is not set: nobody can tell a rewritten audit log from ours"));
    }
    db.audit_key = daemon->audit_key;
    db.audit_old_key = old_key;
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

/* Of tenants; before there is an engine nothing does. */
static bool
daemon_runs(void *arg)
{
    const struct daemon *daemon = arg;

    return daemon->engine != NULL && engine_running(daemon->engine) > 0;
}

static int
daemon_open_pools(struct daemon *daemon)
{
    const struct pools_spec spec = {
        .config = daemon->config,
        .languages = daemon->languages,
        .runtimes = daemon->runtimes,
        .timers = daemon->timers,
        .busy = daemon_runs,
        .busy_arg = daemon,
    };

    return pools_open(&daemon->pools, &spec);
}

/* Either says whether the launcher is there. */
static struct runtime *
daemon_runtime(const struct daemon *daemon)
{
    struct runtime *process = daemon->runtimes[SBX_ISOLATION_PROCESS];

    return process != NULL ? process : daemon->runtimes[SBX_ISOLATION_GVISOR];
}

static int
daemon_open_budgets(struct daemon *daemon)
{
    int r = budgets_new(&daemon->budgets, sbx_now_unix_ms);

    return r ? daemon_fail("start.budgets", "budgets", r) : 0;
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
        .budgets = daemon->budgets,
        .pools = daemon->pools.pools,
        .n_pools = daemon->pools.n_pools,
        .queue = {
            .max_running = (unsigned)config->limits_max_running,
            .max_waiting = (unsigned)config->limits_max_queued,
            .max_waiting_per_tenant = (unsigned)config->limits_max_queued_per_tenant,
            .max_bytes = config->limits_max_queued_bytes,
        },
        .max_taking = pools_max_taking(config),
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
        .pools = daemon->pools.pools,
        .n_pools = daemon->pools.n_pools,
        .max = (unsigned)config->sessions_max,
        .output_keep = (size_t)config->output_keep,
        .feed_keep = (size_t)config->streams_keep,
        .feeds = engine_feeds(daemon->engine),
        .shelf = engine_shelf(daemon->engine),
        .key_ttl_ms = config->idempotency_ttl_ms,
        .keep_ms = config->retention_records_ms,
        .budgets = daemon->budgets,
        .record_ms = config->usage_interval_ms,
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

static void
daemon_on_policy(void *arg, const struct policy_change *change)
{
    const struct policy_record *record = change->record;
    struct daemon *daemon = arg;

    if (change->deleted || record->n_targets == 0) {
        governance_remove(daemon->governance, record->tenant, record->id.text);
    } else {
        policy_text_put(daemon->governance, record);
    }
    enforce_again(daemon->enforce);
}

static void
daemon_visit_policy(void *arg, const struct policy_record *record)
{
    const struct daemon *daemon = arg;

    policy_text_put(daemon->governance, record);
}

static int
daemon_open_policies(struct daemon *daemon)
{
    const struct changes_spec changes = {
        .timers = daemon->timers,
        .db = daemon->db,
        .keep_ms = daemon->config->policy_tombstones_ms,
    };
    int r;

    r = changes_new(&daemon->changes, &changes);
    if (r == 0) {
        r = policies_new(&daemon->policies, daemon->changes);
    }
    if (r == 0) {
        r = policy_text_governance(&daemon->governance, daemon->config->policy_dir);
    }
    if (r == 0) {
        const struct enforce_spec enforce = {
            .timers = daemon->timers,
            .engine = daemon->engine,
            .sessions = daemon->sessions,
            .governance = daemon->governance,
        };

        r = enforce_new(&daemon->enforce, &enforce);
    }
    if (r == 0) {
        policies_watch(daemon->policies, daemon_on_policy, daemon);
    }
    return r ? daemon_fail("start.policies", "policies", r) : 0;
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
        .changes = daemon->changes,
        .policies = daemon->policies,
        .governance = daemon->governance,
        .budgets = daemon->budgets,
        .languages = daemon->languages,
        .pools = daemon->pools.pools,
        .n_pools = daemon->pools.n_pools,
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
    pools_shape(&daemon->pools, daemon->config);
    for (unsigned i = 0; i < daemon->pools.n_shapes && r == 0; i++) {
        enum sbx_isolation tier = daemon->pools.shapes[i].isolation;

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
        daemon_open_store,   daemon_open_artifacts, daemon_open_runtimes, daemon_open_pools,
        daemon_open_budgets, daemon_open_engine,    daemon_open_sessions, daemon_open_policies,
        daemon_open_api,     daemon_open_chores,    daemon_open_signals,
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

/* So are the policies that hold. */
static void
daemon_on_policies(void *arg, int rc)
{
    struct daemon *daemon = arg;

    if (rc != 0) {
        (void)daemon_fail("start.policies", "database", rc); /* says it; rc is what counts */
        daemon->status = 1;
        daemon_stop(daemon);
        return;
    }
    daemon->reconciled = true;
    daemon_listen_when_ready(daemon);
}

/* What was used today is known before more is admitted. */
static void
daemon_on_budgets(void *arg, int rc)
{
    struct daemon *daemon = arg;

    if (rc != 0) {
        (void)daemon_fail("start.budgets", "database", rc); /* says it; rc is what counts */
        daemon->status = 1;
        daemon_stop(daemon);
        return;
    }
    rc = policies_each(daemon->policies, daemon_visit_policy, daemon_on_policies, daemon);
    if (rc != 0) {
        daemon_on_policies(daemon, rc);
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
    daemon->lost = lost;
    rc = budgets_load(daemon->budgets, daemon->db, daemon_on_budgets, daemon);
    if (rc != 0) {
        daemon_on_budgets(daemon, rc);
    }
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
    daemon->n_pools_draining = daemon->pools.n_pools;
    for (unsigned i = 0; i < daemon->pools.n_pools; i++) {
        pool_drain(daemon->pools.pools[i].pool, daemon_on_pool_drained, daemon);
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
    changes_drain(daemon->changes);
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
    daemon->budgets = budgets_free(daemon->budgets);
    daemon->artifacts = artifacts_free(daemon->artifacts);
    daemon->policies = policies_free(daemon->policies);
    daemon->enforce = enforce_free(daemon->enforce);
    daemon->governance = governance_free(daemon->governance);
    daemon->changes = changes_free(daemon->changes);
    pools_close(&daemon->pools);
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
    daemon->audit_key = sbx_sign_free(daemon->audit_key);
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
