-- Jobs, their artifacts and the idempotency keys that made them.
-- Short columns come first: a listing must not walk the overflow pages of the output.
create table jobs (
    id text not null primary key,
    tenant text not null,
    app text,
    agent text,
    subject text not null,
    request_id text not null,
    traceparent text,
    language text not null,
    template text not null,
    status text not null check (status in ('queued', 'running', 'succeeded', 'failed', 'timed_out',
                                           'limit_exceeded', 'denied', 'cancelled', 'lost')),
    code_sha256 text not null,
    created_ms integer not null,
    started_ms integer,
    finished_ms integer,
    exit_code integer,
    signal text,
    stdout_bytes integer not null default 0,
    stderr_bytes integer not null default 0,
    truncated integer not null default 0 check (truncated in (0, 1)),
    idem_key text,
    message text,
    usage text,
    violation text,
    metadata text,
    spec text not null,
    result text,
    stdout blob,
    stderr blob
) strict;

-- Holds every column that a listing filters by: a filter that matches little scans this and not the table.
create index jobs_listing on jobs (tenant, created_ms desc, id desc, status, language, agent, app);
create index jobs_unfinished on jobs (id) where status in ('queued', 'running');

create trigger jobs_terminal before update of status, finished_ms, exit_code, signal, stdout, stderr, result,
    violation, usage, message on jobs
when old.status not in ('queued', 'running')
begin
    select raise(abort, 'a terminal job does not change');
end;

create table artifacts (
    id text not null primary key,
    job_id text not null references jobs (id),
    tenant text not null,
    path text not null,
    size integer not null check (size >= 0),
    sha256 text not null,
    mime text not null,
    created_ms integer not null,
    unique (job_id, path)
) strict;

create table idempotency (
    tenant text not null,
    subject text not null,
    route text not null,
    key text not null,
    body_sha256 text not null,
    job_id text not null,
    created_ms integer not null,
    primary key (tenant, subject, route, key)
) strict;

create index idempotency_created on idempotency (created_ms);
