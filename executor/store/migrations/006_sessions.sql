-- Sessions and their steps. What a session is now, only its executor knows; a row tells what it was made of and how it ended.
create table sessions (
    id text not null primary key,
    tenant text not null,
    app text,
    agent text,
    subject text not null,
    request_id text not null,
    language text not null,
    template text not null,
    isolation text not null check (isolation in ('process', 'gvisor')),
    status text not null check (status in ('starting', 'running', 'paused', 'ended')),
    reason text check (reason in ('cancelled', 'ttl', 'idle', 'policy', 'admin', 'crash', 'oom', 'evicted', 'limit_exceeded',
                                  'lost', 'failed')),
    created_ms integer not null,
    started_ms integer,
    ended_ms integer,
    expires_ms integer not null,
    ttl_ms integer not null,
    idle_timeout_ms integer not null,
    max_lifetime_ms integer not null,
    step_timeout_ms integer not null,
    n_steps integer not null default 0,
    message text,
    limits text not null,
    metadata text,
    violation text,
    usage text,
    check ((status = 'ended') = (reason is not null)),
    check ((status = 'ended') = (ended_ms is not null))
) strict;

create unique index sessions_owner on sessions (tenant, id);
create index sessions_listing on sessions (tenant, created_ms desc, id desc, status, language, agent, app, template);
create index sessions_unfinished on sessions (id) where status <> 'ended';

create trigger sessions_terminal before update of status, reason, ended_ms, message, violation, usage on sessions
when old.status = 'ended'
begin
    select raise(abort, 'a session that ended does not change');
end;

create table steps (
    id text not null primary key,
    session_id text not null references sessions (id),
    tenant text not null,
    number integer not null check (number > 0),
    context text not null,
    language text not null,
    status text not null check (status in ('queued', 'running', 'succeeded', 'failed', 'limit_exceeded', 'cancelled', 'lost')),
    subject text not null,
    request_id text not null,
    code_sha256 text not null,
    created_ms integer not null,
    started_ms integer,
    finished_ms integer,
    exit_code integer,
    signal text,
    interpreter text check (interpreter in ('alive', 'dead')),
    restarted integer not null default 0 check (restarted in (0, 1)),
    stdout_bytes integer not null default 0,
    stderr_bytes integer not null default 0,
    truncated integer not null default 0 check (truncated in (0, 1)),
    message text,
    usage text,
    violation text,
    error text,
    results text,
    stdout blob,
    stderr blob,
    unique (session_id, number)
) strict;

create unique index steps_owner on steps (tenant, session_id, id);
create index steps_unfinished on steps (id) where status in ('queued', 'running');

create trigger steps_terminal before update of status, finished_ms, stdout, stderr, results, error, violation, usage,
    message on steps
when old.status not in ('queued', 'running')
begin
    select raise(abort, 'a terminal step does not change');
end;
