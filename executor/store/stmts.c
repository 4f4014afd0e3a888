/* The texts behind stmts.h. Values travel as parameters only; nothing is ever pasted into SQL. */
#include "stmts.h"

#define AUDIT_COLUMNS                                                                                        \
    "seq, ts_ms, tenant, kind, object, request_id, decision, keep_until_ms, body_sha256, body, prev, hash"
#define AUDIT_PAGE(which, order)                                                                             \
    "select " AUDIT_COLUMNS " from audit where tenant = $1 and seq > $2 and seq < $3"                        \
    " and (cast($4 as text) is null or kind = $4)"                                                           \
    " and (cast($5 as text) is null or substr(kind, 1, length($5)) = $5)" which                              \
    " and (cast($8 as text) is null or json_extract(body, '$.app') = $8)"                                    \
    " and (cast($9 as text) is null or json_extract(body, '$.agent') = $9)"                                  \
    " and (cast($10 as text) is null or json_extract(body, '$.subject') = $10)"                              \
    " and (cast($11 as text) is null or decision = $11)"                                                     \
    " and (cast($12 as text) is null or json_extract(body, '$.rule') = $12)"                                 \
    " and (cast($13 as text) is null or json_extract(body, '$.policy.id') = $13)"                            \
    " order by seq " order " limit $14"
#define AUDIT_ANY                                                                                            \
    " and (cast($6 as text) is null or request_id = $6) and (cast($7 as text) is null or object = $7)"
#define AUDIT_OF_OBJECT " and (cast($6 as text) is null or request_id = $6) and object = $7"
#define AUDIT_OF_REQUEST " and request_id = $6 and (cast($7 as text) is null or object = $7)"

/* The time of the first event of the upper half; no event is later than any time. Times grow with the numbers. */
#define AUDIT_MIDDLE_TS                                                                                      \
    "coalesce((select ts_ms from audit where seq >= (low + high) / 2 order by seq limit 1), $2)"

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
#define POLICY_COLUMNS                                                                                       \
    "p.id, p.created_ms, v.version, v.updated_ms, v.updated_by, v.name, v.message, v.sha256, v.applies_to,"  \
    " v.description, "
#define REVOCATION_COLUMNS                                                                                   \
    "id, token_id, subject, issued_before_s, created_ms, expires_ms, created_by, reason"

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
    [DB_JOB_RECORD] = {
        "job_record",
        "insert into jobs (id, tenant, app, agent, subject, request_id, traceparent, language, template,"
        " isolation, code_sha256, spec, metadata, created_ms, idem_key, keep_ms, status, finished_ms, started_ms,"
        " exit_code, signal, stdout, stderr, stdout_bytes, stderr_bytes, truncated, result, violation, usage, message,"
        " skipped) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,"
        " $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31)",
        31, DB_ACCESS_WRITE,
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
    [DB_JOB_COMPLETE] = {
        "job_complete",
        "select id from (select id, created_ms from jobs where tenant = $1 order by created_ms desc, id desc limit $3) newest"
        " where substr(id, 1, length($2)) = $2 order by created_ms desc, id desc",
        3, DB_ACCESS_READ,
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
    [DB_AUDIT_PAGE_UP] = { "audit_page_up", AUDIT_PAGE(AUDIT_ANY, "asc"), 14, DB_ACCESS_READ },
    [DB_AUDIT_PAGE_DOWN] = { "audit_page_down", AUDIT_PAGE(AUDIT_ANY, "desc"), 14, DB_ACCESS_READ },
    [DB_AUDIT_OBJECT_UP] = { "audit_object_up", AUDIT_PAGE(AUDIT_OF_OBJECT, "asc"), 14, DB_ACCESS_READ },
    [DB_AUDIT_OBJECT_DOWN] = { "audit_object_down", AUDIT_PAGE(AUDIT_OF_OBJECT, "desc"), 14, DB_ACCESS_READ },
    [DB_AUDIT_REQUEST_UP] = { "audit_request_up", AUDIT_PAGE(AUDIT_OF_REQUEST, "asc"), 14, DB_ACCESS_READ },
    [DB_AUDIT_REQUEST_DOWN] = { "audit_request_down", AUDIT_PAGE(AUDIT_OF_REQUEST, "desc"), 14, DB_ACCESS_READ },
    [DB_AUDIT_WINDOW_UP] = {
        "audit_window_up",
        "select seq from audit where tenant = $1 and seq > $2 and seq < $3 order by seq asc limit 1 offset $4",
        4, DB_ACCESS_READ,
    },
    [DB_AUDIT_WINDOW_DOWN] = {
        "audit_window_down",
        "select seq from audit where tenant = $1 and seq > $2 and seq < $3 order by seq desc limit 1 offset $4",
        4, DB_ACCESS_READ,
    },
    [DB_AUDIT_SINCE] = {
        "audit_since",
        "with recursive halved (low, high) as (select 1, (select coalesce(max(seq), 0) + 1 from audit)"
        " union all select case when " AUDIT_MIDDLE_TS " < $2 then (low + high) / 2 + 1 else low end,"
        " case when " AUDIT_MIDDLE_TS " < $2 then high else (low + high) / 2 end from halved where low < high)"
        " select seq from audit where tenant = $1 and seq >= (select low from halved where low = high)"
        " order by seq limit 1",
        2, DB_ACCESS_READ,
    },
    [DB_AUDIT_GET] = {
        "audit_get",
        "select " AUDIT_COLUMNS " from audit where tenant = $1 and seq = $2",
        2, DB_ACCESS_READ,
    },
    [DB_AUDIT_HEAD] = {
        "audit_head",
        "select seq, hash, ts_ms from audit order by seq desc limit 1",
        0, DB_ACCESS_READ,
    },
    [DB_AUDIT_SIGNED] = { "audit_signed", "select signed_head from audit_log where id = 1", 0, DB_ACCESS_READ },
    [DB_SPOOL_FILES] = {
        "spool_files",
        "select device, inode, born, position from spool_files where name = $1",
        1, DB_ACCESS_READ,
    },
    [DB_SPOOL_SET] = {
        "spool_set",
        "insert into spool_files (name, device, inode, born, position) values ($1, $2, $3, $4, $5)"
        " on conflict (name, device, inode) do update set born = excluded.born, position = excluded.position",
        5, DB_ACCESS_WRITE,
    },
    [DB_SPOOL_FORGET] = {
        "spool_forget",
        "delete from spool_files where name = $1 and device = $2 and inode = $3",
        3, DB_ACCESS_WRITE,
    },
    [DB_POLICY_INSERT] = {
        "policy_insert",
        "insert into policies (id, tenant, name, version, created_ms)"
        " select cast($1 as text), cast($2 as text), cast($3 as text), 1, cast($4 as bigint)"
        " where (select count(*) from policies where tenant = $2) < $5",
        5, DB_ACCESS_WRITE,
    },
    [DB_POLICY_UPDATE] = {
        "policy_update",
        "update policies set version = $4, name = $5 where tenant = $1 and id = $2 and version = $3",
        5, DB_ACCESS_WRITE,
    },
    [DB_POLICY_DELETE] = {
        "policy_delete",
        "delete from policies where tenant = $1 and id = $2 and ($3 = 0 or version = $3)",
        3, DB_ACCESS_WRITE,
    },
    [DB_POLICY_VERSION_INSERT] = {
        "policy_version_insert",
        "insert into policy_versions (policy_id, version, bytes, updated_ms, updated_by, name, message, sha256,"
        " applies_to, description, document) select cast($1 as text), cast($2 as bigint), cast($3 as bigint),"
        " cast($4 as bigint), cast($5 as text), cast($6 as text), cast($7 as text), cast($8 as text),"
        " cast($9 as text), cast($10 as text), cast($11 as text) where cast($3 as bigint) + (select"
        " coalesce(sum(v.bytes), 0) from policies p join policy_versions v on v.policy_id = p.id and"
        " v.version = p.version where p.tenant = $12 and p.id <> $1) <= $13",
        13, DB_ACCESS_WRITE,
    },
    [DB_POLICY_VERSIONS_PRUNE] = {
        "policy_versions_prune",
        "delete from policy_versions where policy_id = $1 and version in (select version from (select version,"
        " row_number() over (order by version desc) as place, sum(bytes) over (order by version desc) as total"
        " from policy_versions where policy_id = $1) as kept where place > 1 and (place > $2 or total > $3))",
        3, DB_ACCESS_WRITE,
    },
    [DB_POLICY_VERSIONS_DELETE] = {
        "policy_versions_delete",
        "delete from policy_versions where policy_id = $1",
        1, DB_ACCESS_WRITE,
    },
    [DB_POLICY_TARGETS_DELETE] = {
        "policy_targets_delete",
        "delete from policy_targets where policy_id = $1",
        1, DB_ACCESS_WRITE,
    },
    [DB_POLICY_TARGET_INSERT] = {
        "policy_target_insert",
        "insert into policy_targets (tenant, kind, name, policy_id)"
        " select cast($1 as text), cast($2 as text), cast($3 as text), cast($4 as text)"
        " where (select count(*) from policy_targets where tenant = $1 and kind = $2 and name = $3) < $5",
        5, DB_ACCESS_WRITE,
    },
    [DB_POLICY_GET] = {
        "policy_get",
        "select " POLICY_COLUMNS "v.document from policies p"
        " join policy_versions v on v.policy_id = p.id and v.version = p.version where p.tenant = $1 and p.id = $2",
        2, DB_ACCESS_READ,
    },
    [DB_POLICY_VERSION_GET] = {
        "policy_version_get",
        "select " POLICY_COLUMNS "v.document from policies p join policy_versions v on v.policy_id = p.id"
        " where p.tenant = $1 and p.id = $2 and v.version = $3",
        3, DB_ACCESS_READ,
    },
    [DB_POLICY_VERSION_LIST] = {
        "policy_version_list",
        "select " POLICY_COLUMNS "null from policies p join policy_versions v on v.policy_id = p.id"
        " where p.tenant = $1 and p.id = $2 and v.version < $3 order by v.version desc limit $4",
        4, DB_ACCESS_READ,
    },
    [DB_POLICY_LIST] = {
        "policy_list",
        "select " POLICY_COLUMNS "null from policies p"
        " join policy_versions v on v.policy_id = p.id and v.version = p.version where p.tenant = $1"
        " and (cast($2 as text) is null or p.name = $2)"
        " and (cast($3 as text) is null or exists (select 1 from policy_targets t where t.tenant = $1"
        " and t.kind = $3 and t.name = $4 and t.policy_id = p.id))"
        " and (p.created_ms, p.id) < ($5, $6) order by p.created_ms desc, p.id desc limit $7",
        7, DB_ACCESS_READ,
    },
    [DB_POLICIES_IN_FORCE] = {
        "policies_in_force",
        "select " POLICY_COLUMNS "v.document, p.tenant from policies p"
        " join policy_versions v on v.policy_id = p.id and v.version = p.version"
        " where p.id > $1 and v.applies_to <> '' order by p.id limit $2",
        2, DB_ACCESS_READ,
    },
    [DB_REVOCATION_INSERT] = {
        "revocation_insert",
        "insert into revocations (id, tenant, token_id, subject, issued_before_s, created_ms, expires_ms, created_by,"
        " reason) select cast($1 as text), cast($2 as text), cast($3 as text), cast($4 as text), cast($5 as bigint),"
        " cast($6 as bigint), cast($7 as bigint), cast($8 as text), cast($9 as text)"
        " where (select count(*) from revocations where tenant = $2 and expires_ms > $6) < $10",
        10, DB_ACCESS_WRITE,
    },
    [DB_REVOCATION_DELETE] = {
        "revocation_delete",
        "delete from revocations where tenant = $1 and id = $2 and expires_ms > $3",
        3, DB_ACCESS_WRITE,
    },
    [DB_REVOCATION_GET] = {
        "revocation_get",
        "select " REVOCATION_COLUMNS " from revocations where tenant = $1 and id = $2 and expires_ms > $3",
        3, DB_ACCESS_READ,
    },
    [DB_REVOCATION_LIST] = {
        "revocation_list",
        "select " REVOCATION_COLUMNS " from revocations where tenant = $1 and expires_ms > $2"
        " and (created_ms, id) < ($3, $4) order by created_ms desc, id desc limit $5",
        5, DB_ACCESS_READ,
    },
    [DB_REVOCATIONS_PURGE_CHANGES] = {
        "revocations_purge_changes",
        "delete from policy_changes where object_id in"
        " (select id from revocations where expires_ms < $1 order by expires_ms, id limit $2)",
        2, DB_ACCESS_WRITE,
    },
    [DB_REVOCATIONS_PURGE] = {
        "revocations_purge",
        "delete from revocations where id in"
        " (select id from revocations where expires_ms < $1 order by expires_ms, id limit $2)",
        2, DB_ACCESS_WRITE,
    },
    [DB_CHANGE_NEXT] = {
        "change_next",
        "update policy_feed set revision = revision + 1 where id = 1 returning revision",
        0, DB_ACCESS_WRITE,
    },
    [DB_CHANGE_SET] = {
        "change_set",
        "insert into policy_changes (object_id, revision, kind, tenant, bytes, gone_ms)"
        " select cast($1 as text), f.revision, cast($2 as text), cast($3 as text), cast($4 as bigint),"
        " cast($5 as bigint) from policy_feed f where f.id = 1"
        " on conflict (object_id) do update set revision = excluded.revision, bytes = excluded.bytes,"
        " gone_ms = excluded.gone_ms",
        5, DB_ACCESS_WRITE,
    },
    [DB_CHANGES_AFTER] = {
        "changes_after",
        "select f.instance, f.revision, f.purged, (select max(revision) from policy_changes), c.revision, c.kind,"
        " c.tenant, c.object_id, c.gone_ms, v.version, v.applies_to, v.document, r.token_id, r.subject,"
        " r.issued_before_s, r.expires_ms from policy_feed f"
        " left join (select n.*, sum(n.bytes) over (order by n.revision) - n.bytes as ahead"
        " from (select object_id, revision, kind, tenant, bytes, gone_ms from policy_changes where revision > $1"
        " order by revision limit $2) as n) as c on c.ahead < $3"
        " left join policies p on p.id = c.object_id"
        " left join policy_versions v on v.policy_id = p.id and v.version = p.version"
        " left join revocations r on r.id = c.object_id"
        " where f.id = 1 order by c.revision",
        3, DB_ACCESS_READ,
    },
    [DB_CHANGES_FORGET] = {
        "changes_forget",
        "update policy_feed set purged = (select max(revision) from policy_changes where gone_ms < $1)"
        " where id = 1 and purged < (select max(revision) from policy_changes where gone_ms < $1)",
        1, DB_ACCESS_WRITE,
    },
    [DB_CHANGES_PURGE] = {
        "changes_purge",
        "delete from policy_changes where gone_ms < $1",
        1, DB_ACCESS_WRITE,
    },
    [DB_CHANGES_HEAD] = {
        "changes_head",
        "select revision, (select count(*) from policies) from policy_feed where id = 1",
        0, DB_ACCESS_READ,
    },
    [DB_USAGE_ADD] = {
        "usage_add",
        "insert into usage (tenant, day, app, agent, jobs, steps, sessions, processes, cpu_ms, wall_ms,"
        " memory_mib_ms, stdout_bytes, stderr_bytes, artifact_in_bytes, artifact_out_bytes, uploads, upload_bytes)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) on conflict (tenant,"
        " day, app, agent) do update set jobs = usage.jobs + excluded.jobs, steps = usage.steps + excluded.steps,"
        " sessions = usage.sessions + excluded.sessions, processes = usage.processes + excluded.processes, cpu_ms"
        " = usage.cpu_ms + excluded.cpu_ms, wall_ms = usage.wall_ms + excluded.wall_ms, memory_mib_ms ="
        " usage.memory_mib_ms + excluded.memory_mib_ms, stdout_bytes = usage.stdout_bytes + excluded.stdout_bytes,"
        " stderr_bytes = usage.stderr_bytes + excluded.stderr_bytes, artifact_in_bytes = usage.artifact_in_bytes +"
        " excluded.artifact_in_bytes, artifact_out_bytes = usage.artifact_out_bytes + excluded.artifact_out_bytes,"
        " uploads = usage.uploads + excluded.uploads, upload_bytes = usage.upload_bytes + excluded.upload_bytes",
        17, DB_ACCESS_WRITE,
    },
    [DB_USAGE_SUM] = {
        "usage_sum",
        "select -1 as d, '' as a, '' as g, coalesce(sum(jobs), 0) as jobs, coalesce(sum(steps), 0) as steps,"
        " coalesce(sum(sessions), 0) as sessions, coalesce(sum(processes), 0) as processes, coalesce(sum(cpu_ms),"
        " 0) as cpu_ms, coalesce(sum(wall_ms), 0) as wall_ms, coalesce(sum(memory_mib_ms), 0) as memory_mib_ms,"
        " coalesce(sum(stdout_bytes), 0) as stdout_bytes, coalesce(sum(stderr_bytes), 0) as stderr_bytes,"
        " coalesce(sum(artifact_in_bytes), 0) as artifact_in_bytes, coalesce(sum(artifact_out_bytes), 0) as"
        " artifact_out_bytes, coalesce(sum(uploads), 0) as uploads, coalesce(sum(upload_bytes), 0) as upload_bytes"
        " from usage where tenant = $1 and day >= $2 and day <= $3 and (cast($4 as text) is null or app = $4) and"
        " (cast($5 as text) is null or agent = $5) union all select * from (select * from (select case when $8 = 1"
        " then day else 0 end as d, case when $6 = 1 then app else '' end as a, case when $7 = 1 then agent else"
        " '' end as g, sum(jobs) as jobs, sum(steps) as steps, sum(sessions) as sessions, sum(processes) as"
        " processes, sum(cpu_ms) as cpu_ms, sum(wall_ms) as wall_ms, sum(memory_mib_ms) as memory_mib_ms,"
        " sum(stdout_bytes) as stdout_bytes, sum(stderr_bytes) as stderr_bytes, sum(artifact_in_bytes) as"
        " artifact_in_bytes, sum(artifact_out_bytes) as artifact_out_bytes, sum(uploads) as uploads,"
        " sum(upload_bytes) as upload_bytes from usage where tenant = $1 and day >= $2 and day <= $3 and (cast($4"
        " as text) is null or app = $4) and (cast($5 as text) is null or agent = $5) group by 1, 2, 3) as sums"
        " where (d, a, g) > ($9, $10, $11) order by d, a, g limit $12) as page order by d, a, g",
        12, DB_ACCESS_READ,
    },
    [DB_USAGE_OF_DAY] = {
        "usage_of_day",
        "select tenant, app, agent, cpu_ms from usage where day = $1 and (tenant, app, agent) > ($2, $3, $4)"
        " order by tenant, app, agent limit $5",
        5, DB_ACCESS_READ,
    },
    [DB_PING] = { "ping", "select 1", 0, DB_ACCESS_READ },
    [DB_AUDIT_INSERT] = {
        "audit_insert",
        "insert into audit (" AUDIT_COLUMNS ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        12, DB_ACCESS_INTERNAL,
    },
    [DB_AUDIT_AFTER] = {
        "audit_after",
        "select " AUDIT_COLUMNS " from audit where seq > $1 order by seq limit $2",
        2, DB_ACCESS_INTERNAL,
    },
    [DB_AUDIT_LOG_GET] = {
        "audit_log_get",
        "select logged_seq, executor, signed_n, signing_key from audit_log where id = 1",
        0, DB_ACCESS_INTERNAL,
    },
    [DB_AUDIT_LOG_SET] = {
        "audit_log_set",
        "update audit_log set logged_seq = $1, signed_n = $2, signed_head = coalesce($3, signed_head) where id = 1",
        3, DB_ACCESS_INTERNAL,
    },
    [DB_AUDIT_KEY_SET] = {
        "audit_key_set",
        "update audit_log set signing_key = $1 where id = 1",
        1, DB_ACCESS_INTERNAL,
    },
    [DB_AUDIT_DUE] = {
        "audit_due",
        "select tenant, seq from audit where keep_until_ms is not null and body is not null"
        " and keep_until_ms <= $1 and seq < $2 order by keep_until_ms, seq limit 1",
        2, DB_ACCESS_INTERNAL,
    },
    [DB_AUDIT_DUE_RANGE] = {
        "audit_due_range",
        "select seq from audit where tenant = $1 and seq >= $2 and seq < $3 and keep_until_ms <= $4"
        " and body is not null order by seq limit $5",
        5, DB_ACCESS_INTERNAL,
    },
    [DB_AUDIT_ERASE] = {
        "audit_erase",
        "update audit set body = null where tenant = $1 and seq >= $2 and seq <= $3 and keep_until_ms <= $4"
        " and body is not null",
        4, DB_ACCESS_INTERNAL,
    },
    [DB_AUDIT_ERASURE_ADD] = {
        "audit_erasure_add",
        "insert into audit_erasures (seq, from_seq, to_seq) values ($1, $2, $3)",
        3, DB_ACCESS_INTERNAL,
    },
    [DB_AUDIT_ERASURES] = {
        "audit_erasures",
        "select seq, from_seq, to_seq from audit_erasures where seq > $1 order by seq limit 64",
        1, DB_ACCESS_INTERNAL,
    },
    [DB_AUDIT_ERASURE_DONE] = {
        "audit_erasure_done",
        "delete from audit_erasures where seq = $1",
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
