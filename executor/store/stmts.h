/*
 * Every SQL statement of the store, by name. The texts in stmts.c use $n parameters and
 * keep to what SQLite and Postgres both understand. Parameters and columns are listed here
 * in order; "?" marks what may be NULL. Booleans are integers 0 and 1, times Unix ms.
 */
#pragma once

#include "lib/sbx_base.h"

enum db_stmt {
    /*
     * id tenant app? agent? subject request_id traceparent? language template isolation code_sha256 spec
     * metadata? created_ms idem_key? keep_ms : a new row, status queued
     */
    DB_JOB_INSERT,
    /* id started_ms : queued -> running */
    DB_JOB_STARTED,
    /*
     * id status finished_ms started_ms? exit_code? signal? stdout? stderr? stdout_bytes stderr_bytes
     * truncated result? violation? usage? message? : changes 0 rows when the job is terminal already
     */
    DB_JOB_FINISH,
    /* What DB_JOB_INSERT has, then what DB_JOB_FINISH has behind the id, then skipped? : a row that begins with its end */
    DB_JOB_RECORD,
    /* id skipped : the files that were declared and not taken, a JSON array */
    DB_JOB_SET_SKIPPED,
    /* id finished_ms message? : as DB_JOB_FINISH with status lost */
    DB_JOB_LOST,
    /* tenant id -> enum db_job_column */
    DB_JOB_GET,
    /* tenant id -> status created_ms started_ms? finished_ms? */
    DB_JOB_STATUS,
    /*
     * tenant status? language? agent? app? isolation? cursor_created_ms cursor_id limit -> enum db_job_list_column,
     * newest first, beyond the cursor; the first page has cursor INT64_MAX and ""
     */
    DB_JOB_LIST,
    /* tenant prefix limit -> id, newest first: of the tenant's newest `limit` those whose id begins so */
    DB_JOB_COMPLETE,
    /*
     * after_id limit -> id tenant app? agent? subject request_id isolation language status created_ms
     * started_ms?, by id: every tenant's queued and running ones; begin with ""
     */
    DB_JOBS_UNFINISHED,
    /* -> status count; reads a whole index: for a status page, not for each scrape */
    DB_JOB_COUNTS,

    /*
     * id tenant job_id? session_id? name path? size sha256 mime created_ms expires_ms? metadata? : sealed;
     * conflict: (job_id, path)
     */
    DB_ARTIFACT_INSERT,
    /* job_id tenant -> enum db_artifact_column without the key, by path */
    DB_ARTIFACT_LIST,
    /* job_id tenant path -> enum db_artifact_column */
    DB_ARTIFACT_GET,
    /* tenant id -> enum db_artifact_column */
    DB_ARTIFACT_FIND,
    /*
     * tenant job_id? session_id? name_prefix? cursor_created_ms cursor_id limit -> enum db_artifact_column
     * without the key, newest first, as DB_JOB_LIST
     */
    DB_ARTIFACT_SEARCH,
    /* id -> tenant job_id? */
    DB_ARTIFACT_OWNER,
    /* tenant -> number of its artifacts, their bytes together */
    DB_ARTIFACT_USAGE,
    /* tenant id metadata? expires_ms? */
    DB_ARTIFACT_UPDATE,
    /* tenant id : the row; its key first */
    DB_ARTIFACT_DELETE,
    /* before_ms limit -> enum db_artifact_column without the key, then tenant; the first to expire first */
    DB_ARTIFACTS_EXPIRED,
    /* artifact_id wrapped */
    DB_ARTIFACT_KEY_INSERT,
    /* tenant artifact_id : once that is durable nothing in the database's files has the wrapped key any more */
    DB_ARTIFACT_KEY_DELETE,
    /* tenant master wrapped created_ms : unless the tenant has one */
    DB_TENANT_KEY_INSERT,
    /* after_tenant limit -> tenant master wrapped, by tenant; begin with "" */
    DB_TENANT_KEYS,
    /* tenant old_master master wrapped */
    DB_TENANT_KEY_REWRAP,

    /*
     * id tenant app? agent? subject request_id language template isolation created_ms expires_ms ttl_ms
     * idle_timeout_ms max_lifetime_ms step_timeout_ms limits metadata? : a new row, status starting
     */
    DB_SESSION_INSERT,
    /* id ttl_ms idle_timeout_ms expires_ms metadata? : of one that has not ended */
    DB_SESSION_EXTEND,
    /*
     * id reason ended_ms started_ms? n_steps message? violation? usage? : changes 0 rows when it has ended already
     */
    DB_SESSION_END,
    /* id ended_ms message? : as DB_SESSION_END with reason lost, and as many steps as are stored */
    DB_SESSION_LOST,
    /* tenant id -> enum db_session_column */
    DB_SESSION_GET,
    /*
     * tenant status? language? template? agent? app? metadata? cursor_created_ms cursor_id limit -> enum
     * db_session_column, newest first, beyond the cursor. metadata is one member as it is stored: "key":"value"
     */
    DB_SESSION_LIST,
    /* after_id limit -> id tenant app? agent? subject request_id isolation, by id: of every tenant; begin with "" */
    DB_SESSIONS_UNFINISHED,

    /*
     * id session_id tenant number context language subject request_id code_sha256 created_ms : a new row, status queued
     */
    DB_STEP_INSERT,
    /*
     * id status started_ms? finished_ms exit_code? signal? interpreter? restarted stdout? stderr? stdout_bytes
     * stderr_bytes truncated results? error? violation? usage? message? : changes 0 rows when it is terminal already
     */
    DB_STEP_FINISH,
    /* id finished_ms message? : as DB_STEP_FINISH with status lost */
    DB_STEP_LOST,
    /* tenant session_id id -> enum db_step_column */
    DB_STEP_GET,
    /* tenant session_id status? context? before_number limit -> the columns before DB_STEPS_N_COLUMNS, newest first */
    DB_STEP_LIST,
    /* as DB_SESSIONS_UNFINISHED, with session_id behind */
    DB_STEPS_UNFINISHED,

    /* tenant subject route key body_sha256 id created_ms; conflict: the first four; the id is of what was made */
    DB_IDEM_INSERT,
    /* tenant subject route key -> body_sha256 id created_ms */
    DB_IDEM_GET,
    /* before_ms */
    DB_IDEM_PURGE,

    /* now_ms limit : jobs whose record was kept long enough, and their keys */
    DB_JOBS_PURGE,
    /* id keep_ms : how long a session's record and those of its steps are kept after its end */
    DB_SESSION_KEEP,
    /* now_ms limit : steps of sessions whose record was kept long enough, and their keys */
    DB_STEPS_PURGE,
    /* now_ms limit : those sessions, once they have no steps any more */
    DB_SESSIONS_PURGE,

    /*
     * tenant above_seq below_seq kind? kind_prefix? request_id? object? app? agent? subject? decision? rule? policy?
     * limit -> enum db_audit_column; oldest or newest first, in that order of the three pairs: any, those of the object,
     * those of the request. What a filter in the body says is not said of an event whose body was erased.
     */
    DB_AUDIT_PAGE_UP,
    DB_AUDIT_PAGE_DOWN,
    DB_AUDIT_OBJECT_UP,
    DB_AUDIT_OBJECT_DOWN,
    DB_AUDIT_REQUEST_UP,
    DB_AUDIT_REQUEST_DOWN,
    /* tenant above_seq below_seq skip -> seq: that many of the tenant's events further on; no row: so many are not left */
    DB_AUDIT_WINDOW_UP,
    DB_AUDIT_WINDOW_DOWN,
    /* tenant ts_ms -> seq: its first event at that time or later */
    DB_AUDIT_SINCE,
    /* tenant seq -> enum db_audit_column */
    DB_AUDIT_GET,
    /* -> seq hash ts_ms; no row before the first event */
    DB_AUDIT_HEAD,
    /* -> the line of heads.jsonl that was signed last, or NULL */
    DB_AUDIT_SIGNED,

    /* name -> device inode born position */
    DB_SPOOL_FILES,
    /* name device inode born position : of a file that is taken in line by line */
    DB_SPOOL_SET,
    /* name device inode */
    DB_SPOOL_FORGET,

    /* id tenant name created_ms most : version 1; changes nothing when the tenant has `most` of them */
    DB_POLICY_INSERT,
    /* tenant id version next name : changes nothing when it is not at `version` */
    DB_POLICY_UPDATE,
    /* tenant id version : 0 means any */
    DB_POLICY_DELETE,
    /* policy_id version bytes updated_ms updated_by name message? sha256 applies_to description? document */
    DB_POLICY_VERSION_INSERT,
    /* policy_id number bytes : forgets the oldest beyond either, never the newest */
    DB_POLICY_VERSIONS_PRUNE,
    DB_POLICY_VERSIONS_DELETE, /* policy_id */
    DB_POLICY_TARGETS_DELETE,  /* policy_id */
    /* tenant kind name policy_id most : changes nothing when `most` apply to this already */
    DB_POLICY_TARGET_INSERT,
    /* tenant id -> enum db_policy_column */
    DB_POLICY_GET,
    /* tenant id version -> enum db_policy_column */
    DB_POLICY_VERSION_GET,
    /* tenant id before_version limit -> enum db_policy_column without the document, newest first */
    DB_POLICY_VERSION_LIST,
    /* tenant name? kind? target? cursor_created_ms cursor_id limit -> the same, newest first */
    DB_POLICY_LIST,
    /* after_id limit -> enum db_policy_column and the tenant, by id: those of all tenants that apply to something */
    DB_POLICIES_IN_FORCE,

    /* id tenant token_id? subject? issued_before_s created_ms expires_ms created_by reason? most : as DB_POLICY_INSERT */
    DB_REVOCATION_INSERT,
    DB_REVOCATION_DELETE, /* tenant id now_ms : of what is over there is nothing to delete */
    DB_REVOCATION_GET,    /* tenant id now_ms -> enum db_revocation_column */
    DB_REVOCATION_LIST,   /* tenant now_ms cursor_created_ms cursor_id limit -> the same, newest first */
    /* before_ms limit : first the change, then the row, of those whose time was over then */
    DB_REVOCATIONS_PURGE_CHANGES,
    DB_REVOCATIONS_PURGE,

    /* -> revision : of the change that this transaction is */
    DB_CHANGE_NEXT,
    /* object_id kind tenant bytes gone_ms? : with that revision */
    DB_CHANGE_SET,
    /*
     * after limit bytes -> enum db_change_column, by revision: as many as begin within so many bytes; one row without a
     * change when there is none
     */
    DB_CHANGES_AFTER,
    DB_CHANGES_FORGET, /* before_ms : remembers up to which revision DB_CHANGES_PURGE takes deletions away */
    DB_CHANGES_PURGE,  /* before_ms */
    DB_CHANGES_HEAD,   /* -> revision policies */
    /* tenant day app agent, then usage.h's numbers in their order : added to the row, or a new one */
    DB_USAGE_ADD,
    /*
     * tenant from_day to_day app? agent? by_app by_agent by_day after_day after_app after_agent limit -> day app agent, each
     * 0 or "" unless it is grouped by, then usage.h's numbers; in that order. The first row is all together, its day -1
     */
    DB_USAGE_SUM,
    /* day after_tenant after_app after_agent limit -> tenant app agent cpu_ms, in that order: of every tenant */
    DB_USAGE_OF_DAY,

    /* -> 1 */
    DB_PING,

    /* The rest is the store's own business. */
    DB_AUDIT_INSERT, /* seq ts_ms tenant kind object? request_id? decision? keep_until_ms? body_sha256 body prev hash */
    DB_AUDIT_AFTER,   /* seq limit -> enum db_audit_column, oldest first */
    DB_AUDIT_LOG_GET, /* -> logged_seq executor signed_n signing_key? */
    DB_AUDIT_LOG_SET, /* logged_seq signed_n signed_head? */
    DB_AUDIT_KEY_SET, /* signing_key? */
    /* now_ms below_seq -> tenant seq: of the body that is to go first; below: of closed segments only */
    DB_AUDIT_DUE,
    DB_AUDIT_DUE_RANGE,    /* tenant from_seq below_seq now_ms limit -> seq: of bodies to go, oldest first */
    DB_AUDIT_ERASE,        /* tenant from_seq to_seq now_ms : the bodies of those */
    DB_AUDIT_ERASURE_ADD,  /* seq from_seq to_seq */
    DB_AUDIT_ERASURES,     /* -> seq from_seq to_seq, oldest first */
    DB_AUDIT_ERASURE_DONE, /* seq */
    DB_MIGRATION_LIST,     /* -> number name sha256 */
    DB_MIGRATION_INSERT,   /* number name sha256 applied_ms */
    DB_N_STMTS
};

/* Columns of DB_JOB_GET. */
enum db_job_column {
    DB_JOB_ID,
    DB_JOB_TENANT,
    DB_JOB_APP,
    DB_JOB_AGENT,
    DB_JOB_SUBJECT,
    DB_JOB_REQUEST_ID,
    DB_JOB_TRACEPARENT,
    DB_JOB_LANGUAGE,
    DB_JOB_TEMPLATE,
    DB_JOB_STATE,
    DB_JOB_CODE_SHA256,
    DB_JOB_SPEC,
    DB_JOB_METADATA,
    DB_JOB_CREATED_MS,
    DB_JOB_STARTED_MS,
    DB_JOB_FINISHED_MS,
    DB_JOB_EXIT_CODE,
    DB_JOB_SIGNAL,
    DB_JOB_STDOUT,
    DB_JOB_STDERR,
    DB_JOB_STDOUT_BYTES,
    DB_JOB_STDERR_BYTES,
    DB_JOB_TRUNCATED,
    DB_JOB_RESULT,
    DB_JOB_VIOLATION,
    DB_JOB_USAGE,
    DB_JOB_MESSAGE,
    DB_JOB_IDEM_KEY,
    DB_JOB_SKIPPED,
    DB_JOB_ISOLATION,
    DB_JOB_N_COLUMNS
};

/* Columns of DB_JOB_LIST: no output and no result, they may be large. */
enum db_job_list_column {
    DB_JOBS_ID,
    DB_JOBS_APP,
    DB_JOBS_AGENT,
    DB_JOBS_SUBJECT,
    DB_JOBS_LANGUAGE,
    DB_JOBS_TEMPLATE,
    DB_JOBS_STATE,
    DB_JOBS_METADATA,
    DB_JOBS_CREATED_MS,
    DB_JOBS_STARTED_MS,
    DB_JOBS_FINISHED_MS,
    DB_JOBS_EXIT_CODE,
    DB_JOBS_SIGNAL,
    DB_JOBS_STDOUT_BYTES,
    DB_JOBS_STDERR_BYTES,
    DB_JOBS_TRUNCATED,
    DB_JOBS_VIOLATION,
    DB_JOBS_USAGE,
    DB_JOBS_ISOLATION,
    DB_JOBS_N_COLUMNS
};

/* Columns of DB_SESSION_GET and DB_SESSION_LIST. */
enum db_session_column {
    DB_SESSION_ID,
    DB_SESSION_TENANT,
    DB_SESSION_APP,
    DB_SESSION_AGENT,
    DB_SESSION_SUBJECT,
    DB_SESSION_REQUEST_ID,
    DB_SESSION_LANGUAGE,
    DB_SESSION_TEMPLATE,
    DB_SESSION_ISOLATION,
    DB_SESSION_STATE,
    DB_SESSION_REASON,
    DB_SESSION_CREATED_MS,
    DB_SESSION_STARTED_MS,
    DB_SESSION_ENDED_MS,
    DB_SESSION_EXPIRES_MS,
    DB_SESSION_TTL_MS,
    DB_SESSION_IDLE_TIMEOUT_MS,
    DB_SESSION_MAX_LIFETIME_MS,
    DB_SESSION_STEP_TIMEOUT_MS,
    DB_SESSION_N_STEPS,
    DB_SESSION_MESSAGE,
    DB_SESSION_LIMITS,
    DB_SESSION_METADATA,
    DB_SESSION_VIOLATION,
    DB_SESSION_USAGE,
    DB_SESSION_N_COLUMNS
};

/* Columns of DB_STEP_GET; those before DB_STEPS_N_COLUMNS of DB_STEP_LIST. */
enum db_step_column {
    DB_STEP_ID,
    DB_STEP_SESSION_ID,
    DB_STEP_TENANT,
    DB_STEP_NUMBER,
    DB_STEP_CONTEXT,
    DB_STEP_LANGUAGE,
    DB_STEP_STATE,
    DB_STEP_SUBJECT,
    DB_STEP_REQUEST_ID,
    DB_STEP_CODE_SHA256,
    DB_STEP_CREATED_MS,
    DB_STEP_STARTED_MS,
    DB_STEP_FINISHED_MS,
    DB_STEP_EXIT_CODE,
    DB_STEP_SIGNAL,
    DB_STEP_INTERPRETER,
    DB_STEP_RESTARTED,
    DB_STEP_STDOUT_BYTES,
    DB_STEP_STDERR_BYTES,
    DB_STEP_TRUNCATED,
    DB_STEP_MESSAGE,
    DB_STEP_USAGE,
    DB_STEP_VIOLATION,
    DB_STEPS_N_COLUMNS,
    DB_STEP_ERROR = DB_STEPS_N_COLUMNS,
    DB_STEP_RESULTS,
    DB_STEP_STDOUT,
    DB_STEP_STDERR,
    DB_STEP_N_COLUMNS
};

enum db_artifact_column {
    DB_ARTIFACT_ID,
    DB_ARTIFACT_JOB,
    DB_ARTIFACT_SESSION,
    DB_ARTIFACT_NAME,
    DB_ARTIFACT_PATH,
    DB_ARTIFACT_SIZE,
    DB_ARTIFACT_SHA256,
    DB_ARTIFACT_MIME,
    DB_ARTIFACT_SEALED,
    DB_ARTIFACT_CREATED_MS,
    DB_ARTIFACT_EXPIRES_MS,
    DB_ARTIFACT_METADATA,
    DB_ARTIFACT_WRAPPED, /* its key */
    DB_ARTIFACT_N_COLUMNS
};

enum db_policy_column {
    DB_POLICY_ID,
    DB_POLICY_CREATED_MS,
    DB_POLICY_VERSION,
    DB_POLICY_UPDATED_MS,
    DB_POLICY_UPDATED_BY,
    DB_POLICY_NAME,
    DB_POLICY_MESSAGE,
    DB_POLICY_SHA256,
    DB_POLICY_APPLIES_TO,
    DB_POLICY_DESCRIPTION,
    DB_POLICY_DOCUMENT,
    DB_POLICY_N_COLUMNS
};

enum db_revocation_column {
    DB_REVOCATION_ID,
    DB_REVOCATION_TOKEN_ID,
    DB_REVOCATION_SUBJECT,
    DB_REVOCATION_ISSUED_BEFORE_S,
    DB_REVOCATION_CREATED_MS,
    DB_REVOCATION_EXPIRES_MS,
    DB_REVOCATION_CREATED_BY,
    DB_REVOCATION_REASON,
    DB_REVOCATION_N_COLUMNS
};

/* Columns of DB_CHANGES_AFTER: the first four are in every row, the others NULL where they are of something else. */
enum db_change_column {
    DB_CHANGE_INSTANCE,
    DB_CHANGE_HEAD,
    DB_CHANGE_PURGED,
    DB_CHANGE_NEWEST, /* that there is a change of; NULL: there is none */
    DB_CHANGE_REVISION,
    DB_CHANGE_KIND,
    DB_CHANGE_TENANT,
    DB_CHANGE_OBJECT,
    DB_CHANGE_GONE_MS,
    DB_CHANGE_VERSION,
    DB_CHANGE_APPLIES_TO,
    DB_CHANGE_DOCUMENT,
    DB_CHANGE_TOKEN_ID,
    DB_CHANGE_SUBJECT,
    DB_CHANGE_ISSUED_BEFORE_S,
    DB_CHANGE_EXPIRES_MS,
    DB_CHANGE_N_COLUMNS
};

enum db_audit_column {
    DB_AUDIT_SEQ,
    DB_AUDIT_TS_MS,
    DB_AUDIT_TENANT,
    DB_AUDIT_KIND,
    DB_AUDIT_OBJECT,
    DB_AUDIT_REQUEST_ID,
    DB_AUDIT_DECISION,
    DB_AUDIT_KEEP_UNTIL_MS, /* NULL: for ever */
    DB_AUDIT_BODY_SHA256,   /* NULL: the first form */
    DB_AUDIT_BODY,          /* NULL: erased */
    DB_AUDIT_PREV,
    DB_AUDIT_HASH,
    DB_AUDIT_N_COLUMNS
};

#define DB_MAX_PARAMS 32

enum db_access {
    DB_ACCESS_READ,
    DB_ACCESS_WRITE,
    DB_ACCESS_INTERNAL, /* refused by db_tx_add and db_read */
};

struct db_stmt_info {
    const char *name;
    const char *sql;
    unsigned n_params;
    enum db_access access;
};

/* NULL when there is no such statement. */
const struct db_stmt_info *db_stmt_info(enum db_stmt stmt);
