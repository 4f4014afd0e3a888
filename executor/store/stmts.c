/* The texts behind stmts.h. Values travel as parameters only; nothing is ever pasted into SQL. */
#include "stmts.h"

#define AUDIT_COLUMNS "seq, ts_ms, tenant, kind, object, request_id, decision, body, prev, hash"

#define ARTIFACT_COLUMNS                                                                                     \
    "a.id, a.job_id, a.session_id, a.name, a.path, a.size, a.sha256, a.mime, a.sealed, a.created_ms,"        \
    " a.expires_ms, a.metadata, "
#define SESSION_COLUMNS                                                                                      \
    "id, tenant, app, agent, subject, request_id, language, template, isolation, status, reason,"            \
    " created_ms, started_ms, ended_ms, expires_ms, ttl_ms, idle_timeout_ms, max_lifetime_ms,"               \
    " step_timeout_ms, n_steps, message, limits, metadata, violation, usage"
#define STEP_COLUMNS                                                                                         \
    "id, session_id, tenant, number, context, language, status, subject, request_id, code_sha256,"           \
    " created_ms, started_ms, finished_ms, exit_code, signal, interpreter, restarted, stdout_bytes,"         \
    " stderr_bytes, truncated, message, usage, violation"

/* clang-format off */
static const struct db_stmt_info stmts[DB_N_STMTS] = {
    [DB_JOB_INSERT] = {
        "job_insert",
        "insert into jobs (id, tenant, app, agent, subject, request_id, traceparent, language, template,"
        " isolation, code_sha256, spec, metadata, created_ms, idem_key, keep_ms, status)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 'queued')",
        16, DB_ACCESS_WRITE,
    },
    [DB_JOB_STARTED] = {
        "job_started",
        "update jobs set status = 'running', started_ms = $2 where id = $1 and status = 'queued'",
        2, DB_ACCESS_WRITE,
    },
    [DB_JOB_FINISH] = {
        "job_finish",
        "update jobs set status = $2, finished_ms = $3, started_ms = coalesce(started_ms, $4), exit_code = $5,"
        " signal = $6, stdout = $7, stderr = $8, stdout_bytes = $9, stderr_bytes = $10, truncated = $11,"
        " result = $12, violation = $13, usage = $14, message = $15"
        " where id = $1 and status in ('queued', 'running')",
        15, DB_ACCESS_WRITE,
    },
    [DB_JOB_SET_SKIPPED] = { "job_set_skipped", "update jobs set skipped = $2 where id = $1", 2, DB_ACCESS_WRITE },
    [DB_JOB_LOST] = {
        "job_lost",
        "update jobs set status = 'lost', finished_ms = $2, message = $3"
        " where id = $1 and status in ('queued', 'running')",
        3, DB_ACCESS_WRITE,
    },
    [DB_JOB_GET] = {
        "job_get",
        "select id, tenant, app, agent, subject, request_id, traceparent, language, template, status, code_sha256,"
        " spec, metadata, created_ms, started_ms, finished_ms, exit_code, signal, stdout, stderr, stdout_bytes,"
        " stderr_bytes, truncated, result, violation, usage, message, idem_key, skipped, isolation"
        " from jobs where tenant = $1 and id = $2",
        2, DB_ACCESS_READ,
    },
    [DB_JOB_STATUS] = {
        "job_status",
        "select status, created_ms, started_ms, finished_ms from jobs where tenant = $1 and id = $2",
        2, DB_ACCESS_READ,
    },
    [DB_JOB_LIST] = {
        "job_list",
        "select id, app, agent, subject, language, template, status, metadata, created_ms, started_ms, finished_ms,"
        " exit_code, signal, stdout_bytes, stderr_bytes, truncated, violation, usage, isolation"
        " from jobs where tenant = $1"
        " and (cast($2 as text) is null or status = $2)"
        " and (cast($3 as text) is null or language = $3)"
        " and (cast($4 as text) is null or agent = $4)"
        " and (cast($5 as text) is null or app = $5)"
        " and (cast($6 as text) is null or isolation = $6)"
        " and (created_ms, id) < ($7, $8)"
        " order by created_ms desc, id desc limit $9",
        9, DB_ACCESS_READ,
    },
    [DB_JOBS_UNFINISHED] = {
        "jobs_unfinished",
        "select id, tenant, app, agent, subject, request_id, isolation, language, status, created_ms, started_ms"
        " from jobs where status in ('queued', 'running') and id > $1 order by id limit $2",
        2, DB_ACCESS_READ,
    },
    [DB_JOB_COUNTS] = {
        "job_counts",
        "select status, count(*) from jobs group by status",
        0, DB_ACCESS_READ,
    },
    [DB_ARTIFACT_INSERT] = {
        "artifact_insert",
        "insert into artifacts (id, tenant, job_id, session_id, name, path, size, sha256, mime, created_ms,"
        " expires_ms, metadata, sealed) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1)",
        12, DB_ACCESS_WRITE,
    },
    [DB_ARTIFACT_LIST] = {
        "artifact_list",
        "select " ARTIFACT_COLUMNS "null from artifacts a where a.job_id = $1 and a.tenant = $2 order by a.path",
        2, DB_ACCESS_READ,
    },
    [DB_ARTIFACT_GET] = {
        "artifact_get",
        "select " ARTIFACT_COLUMNS "k.wrapped from artifacts a left join artifact_keys k on k.artifact_id = a.id"
        " where a.job_id = $1 and a.tenant = $2 and a.path = $3",
        3, DB_ACCESS_READ,
    },
    [DB_ARTIFACT_FIND] = {
        "artifact_find",
        "select " ARTIFACT_COLUMNS "k.wrapped from artifacts a left join artifact_keys k on k.artifact_id = a.id"
        " where a.tenant = $1 and a.id = $2",
        2, DB_ACCESS_READ,
    },
    [DB_ARTIFACT_SEARCH] = {
        "artifact_search",
        "select " ARTIFACT_COLUMNS "null from artifacts a where a.tenant = $1"
        " and (cast($2 as text) is null or a.job_id = $2)"
        " and (cast($3 as text) is null or a.session_id = $3)"
        " and (cast($4 as text) is null or substr(a.name, 1, length($4)) = $4)"
        " and (a.created_ms, a.id) < ($5, $6)"
        " order by a.created_ms desc, a.id desc limit $7",
        7, DB_ACCESS_READ,
    },
    [DB_ARTIFACT_OWNER] = {
        "artifact_owner",
        "select tenant, job_id from artifacts where id = $1",
        1, DB_ACCESS_READ,
    },
    [DB_ARTIFACT_USAGE] = {
        "artifact_usage",
        "select count(*), coalesce(sum(size), 0) from artifacts where tenant = $1",
        1, DB_ACCESS_READ,
    },
    [DB_ARTIFACT_UPDATE] = {
        "artifact_update",
        "update artifacts set metadata = $3, expires_ms = $4 where tenant = $1 and id = $2",
        4, DB_ACCESS_WRITE,
    },
    [DB_ARTIFACT_DELETE] = {
        "artifact_delete",
        "delete from artifacts where tenant = $1 and id = $2",
        2, DB_ACCESS_WRITE,
    },
    [DB_ARTIFACTS_EXPIRED] = {
        "artifacts_expired",
        "select " ARTIFACT_COLUMNS "null, a.tenant from artifacts a where a.expires_ms < $1 order by a.expires_ms limit $2",
        2, DB_ACCESS_READ,
    },
    [DB_ARTIFACT_KEY_INSERT] = {
        "artifact_key_insert",
        "insert into artifact_keys (artifact_id, wrapped) values ($1, $2)",
        2, DB_ACCESS_WRITE,
    },
    [DB_ARTIFACT_KEY_DELETE] = {
        "artifact_key_delete",
        "delete from artifact_keys where artifact_id = $2"
        " and exists (select 1 from artifacts where tenant = $1 and id = $2)",
        2, DB_ACCESS_WRITE,
    },
    [DB_TENANT_KEY_INSERT] = {
        "tenant_key_insert",
        "insert into tenant_keys (tenant, master, wrapped, created_ms) values ($1, $2, $3, $4)"
        " on conflict (tenant) do nothing",
        4, DB_ACCESS_WRITE,
    },
    [DB_TENANT_KEYS] = {
        "tenant_keys",
        "select tenant, master, wrapped from tenant_keys where tenant > $1 order by tenant limit $2",
        2, DB_ACCESS_READ,
    },
    [DB_TENANT_KEY_REWRAP] = {
        "tenant_key_rewrap",
        "update tenant_keys set master = $3, wrapped = $4 where tenant = $1 and master = $2",
        4, DB_ACCESS_WRITE,
    },
    [DB_SESSION_INSERT] = {
        "session_insert",
        "insert into sessions (id, tenant, app, agent, subject, request_id, language, template, isolation, created_ms,"
        " expires_ms, ttl_ms, idle_timeout_ms, max_lifetime_ms, step_timeout_ms, limits, metadata, status)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 'starting')",
        17, DB_ACCESS_WRITE,
    },
    [DB_SESSION_EXTEND] = {
        "session_extend",
        "update sessions set ttl_ms = $2, idle_timeout_ms = $3, expires_ms = $4, metadata = $5"
        " where id = $1 and status <> 'ended'",
        5, DB_ACCESS_WRITE,
    },
    [DB_SESSION_END] = {
        "session_end",
        "update sessions set status = 'ended', reason = $2, ended_ms = $3, started_ms = coalesce(started_ms, $4),"
        " n_steps = $5, message = $6, violation = $7, usage = $8 where id = $1 and status <> 'ended'",
        8, DB_ACCESS_WRITE,
    },
    [DB_SESSION_LOST] = {
        "session_lost",
        "update sessions set status = 'ended', reason = 'lost', ended_ms = $2, message = $3,"
        " n_steps = (select count(*) from steps where session_id = $1) where id = $1 and status <> 'ended'",
        3, DB_ACCESS_WRITE,
    },
    [DB_SESSION_GET] = {
        "session_get",
        "select " SESSION_COLUMNS " from sessions where tenant = $1 and id = $2",
        2, DB_ACCESS_READ,
    },
    [DB_SESSION_LIST] = {
        "session_list",
        "select " SESSION_COLUMNS " from sessions where tenant = $1"
        " and (cast($2 as text) is null or status = $2)"
        " and (cast($3 as text) is null or language = $3)"
        " and (cast($4 as text) is null or template = $4)"
        " and (cast($5 as text) is null or agent = $5)"
        " and (cast($6 as text) is null or app = $6)"
        " and (cast($7 as text) is null or replace(metadata, '{' || $7, '') <> metadata"
        " or replace(metadata, ',' || $7, '') <> metadata)"
        " and (created_ms, id) < ($8, $9)"
        " order by created_ms desc, id desc limit $10",
        10, DB_ACCESS_READ,
    },
    [DB_SESSIONS_UNFINISHED] = {
        "sessions_unfinished",
        "select id, tenant, app, agent, subject, request_id, isolation from sessions"
        " where status <> 'ended' and id > $1 order by id limit $2",
        2, DB_ACCESS_READ,
    },
    [DB_STEP_INSERT] = {
        "step_insert",
        "insert into steps (id, session_id, tenant, number, context, language, subject, request_id, code_sha256,"
        " created_ms, status) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'queued')",
        10, DB_ACCESS_WRITE,
    },
    [DB_STEP_FINISH] = {
        "step_finish",
        "update steps set status = $2, started_ms = $3, finished_ms = $4, exit_code = $5, signal = $6, interpreter = $7,"
        " restarted = $8, stdout = $9, stderr = $10, stdout_bytes = $11, stderr_bytes = $12, truncated = $13,"
        " results = $14, error = $15, violation = $16, usage = $17, message = $18"
        " where id = $1 and status in ('queued', 'running')",
        18, DB_ACCESS_WRITE,
    },
    [DB_STEP_LOST] = {
        "step_lost",
        "update steps set status = 'lost', finished_ms = $2, message = $3"
        " where id = $1 and status in ('queued', 'running')",
        3, DB_ACCESS_WRITE,
    },
    [DB_STEP_GET] = {
        "step_get",
        "select " STEP_COLUMNS ", error, results, stdout, stderr from steps"
        " where tenant = $1 and session_id = $2 and id = $3",
        3, DB_ACCESS_READ,
    },
    [DB_STEP_LIST] = {
        "step_list",
        "select " STEP_COLUMNS " from steps where tenant = $1 and session_id = $2"
        " and (cast($3 as text) is null or status = $3)"
        " and (cast($4 as text) is null or context = $4)"
        " and number < $5 order by number desc limit $6",
        6, DB_ACCESS_READ,
    },
    [DB_STEPS_UNFINISHED] = {
        "steps_unfinished",
        "select s.id, s.tenant, e.app, e.agent, s.subject, s.request_id, e.isolation, s.session_id"
        " from steps s join sessions e on e.id = s.session_id"
        " where s.status in ('queued', 'running') and s.id > $1 order by s.id limit $2",
        2, DB_ACCESS_READ,
    },
    [DB_IDEM_INSERT] = {
        "idem_insert",
        "insert into idempotency (tenant, subject, route, key, body_sha256, job_id, created_ms)"
        " values ($1, $2, $3, $4, $5, $6, $7)",
        7, DB_ACCESS_WRITE,
    },
    [DB_IDEM_GET] = {
        "idem_get",
        "select body_sha256, job_id, created_ms from idempotency"
        " where tenant = $1 and subject = $2 and route = $3 and key = $4",
        4, DB_ACCESS_READ,
    },
    [DB_IDEM_PURGE] = {
        "idem_purge",
        "delete from idempotency where created_ms < $1",
        1, DB_ACCESS_WRITE,
    },
    [DB_JOBS_PURGE] = {
        "jobs_purge",
        "delete from jobs where id in (select id from jobs where finished_ms is not null"
        " and finished_ms + keep_ms < $1 order by finished_ms + keep_ms limit $2)",
        2, DB_ACCESS_WRITE,
    },
    [DB_SESSION_KEEP] = { "session_keep", "update sessions set keep_ms = $2 where id = $1", 2, DB_ACCESS_WRITE },
    [DB_STEPS_PURGE] = {
        "steps_purge",
        "delete from steps where id in (select s.id from sessions e join steps s on s.session_id = e.id"
        " where e.ended_ms is not null and e.ended_ms + e.keep_ms < $1 limit $2)",
        2, DB_ACCESS_WRITE,
    },
    [DB_SESSIONS_PURGE] = {
        "sessions_purge",
        "delete from sessions where id in (select e.id from sessions e where e.ended_ms is not null"
        " and e.ended_ms + e.keep_ms < $1 and not exists (select 1 from steps s where s.session_id = e.id) limit $2)",
        2, DB_ACCESS_WRITE,
    },
    [DB_AUDIT_LIST] = {
        "audit_list",
        "select " AUDIT_COLUMNS " from audit where tenant = $1"
        " and (cast($2 as text) is null or kind = $2)"
        " and ts_ms >= $3 and ts_ms < $4 and seq < $5 order by seq desc limit $6",
        6, DB_ACCESS_READ,
    },
    [DB_AUDIT_HEAD] = {
        "audit_head",
        "select seq, hash from audit order by seq desc limit 1",
        0, DB_ACCESS_READ,
    },
    [DB_SPOOL_GET] = {
        "spool_get",
        "select device, inode, position from spools where name = $1",
        1, DB_ACCESS_READ,
    },
    [DB_SPOOL_SET] = {
        "spool_set",
        "insert into spools (name, device, inode, position) values ($1, $2, $3, $4)"
        " on conflict (name) do update set device = excluded.device, inode = excluded.inode,"
        " position = excluded.position",
        4, DB_ACCESS_WRITE,
    },
    [DB_PING] = { "ping", "select 1", 0, DB_ACCESS_READ },
    [DB_AUDIT_INSERT] = {
        "audit_insert",
        "insert into audit (" AUDIT_COLUMNS ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        10, DB_ACCESS_INTERNAL,
    },
    [DB_AUDIT_AFTER] = {
        "audit_after",
        "select " AUDIT_COLUMNS " from audit where seq > $1 order by seq limit $2",
        2, DB_ACCESS_INTERNAL,
    },
    [DB_AUDIT_LOG_GET] = {
        "audit_log_get",
        "select logged_seq from audit_log where id = 1",
        0, DB_ACCESS_INTERNAL,
    },
    [DB_AUDIT_LOG_SET] = {
        "audit_log_set",
        "update audit_log set logged_seq = $1 where id = 1",
        1, DB_ACCESS_INTERNAL,
    },
    [DB_MIGRATION_LIST] = {
        "migration_list",
        "select number, name, sha256 from schema_migrations order by number",
        0, DB_ACCESS_INTERNAL,
    },
    [DB_MIGRATION_INSERT] = {
        "migration_insert",
        "insert into schema_migrations (number, name, sha256, applied_ms) values ($1, $2, $3, $4)",
        4, DB_ACCESS_INTERNAL,
    },
};
/* clang-format on */

const struct db_stmt_info *
db_stmt_info(enum db_stmt stmt)
{
    return (unsigned)stmt < DB_N_STMTS ? &stmts[stmt] : NULL;
}
