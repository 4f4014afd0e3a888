-- Artifacts as things of their own: of a job, of a session, or sent up by a client. Their bytes are sealed, each with a key
-- of its own, that is wrapped by its tenant's, that is wrapped by the executor's master key. Files of the time before are
-- not: the column sealed says so, and they are read as they are.
create table artifacts_new (
    id text not null primary key,
    tenant text not null,
    -- No references: a job's record and its files are kept for different times.
    job_id text,
    session_id text,
    name text not null,
    path text,
    size integer not null check (size >= 0),
    sha256 text not null,
    mime text not null,
    sealed integer not null check (sealed in (0, 1)),
    created_ms integer not null,
    expires_ms integer,
    metadata text,
    check (job_id is null or session_id is null)
) strict;

insert into artifacts_new (id, tenant, job_id, session_id, name, path, size, sha256, mime, sealed, created_ms)
select id, tenant, job_id, null, path, path, size, sha256, mime, 0, created_ms from artifacts;

drop table artifacts;
alter table artifacts_new rename to artifacts;

create unique index artifacts_owner on artifacts (tenant, id);
create unique index artifacts_job_owner on artifacts (tenant, job_id, path) where job_id is not null;
-- Holds what a listing filters by and what a tenant's total is made of.
create index artifacts_listing on artifacts (tenant, created_ms desc, id desc, job_id, session_id, name, size);
create index artifacts_expiry on artifacts (expires_ms) where expires_ms is not null;

create table tenant_keys (
    tenant text not null primary key,
    master text not null,
    wrapped blob not null,
    created_ms integer not null
) strict;

-- An artifact is deleted when its row here is: what is left of it then cannot be read by anybody.
create table artifact_keys (
    artifact_id text not null primary key,
    wrapped blob not null
) strict;
