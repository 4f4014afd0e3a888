-- What each agent of each app used on each day (UTC): written in the transaction of the audit event that says the same
-- numbers. A name that is missing is the empty text: it is a part of the key.
create table usage (
    tenant text not null,
    day integer not null check (day >= 0),
    app text not null,
    agent text not null,
    jobs integer not null,
    steps integer not null,
    sessions integer not null,
    processes integer not null,
    cpu_ms integer not null,
    wall_ms integer not null,
    memory_mib_ms integer not null,
    stdout_bytes integer not null,
    stderr_bytes integer not null,
    artifact_in_bytes integer not null,
    artifact_out_bytes integer not null,
    uploads integer not null,
    upload_bytes integer not null,
    primary key (tenant, day, app, agent)
) strict, without rowid;

-- What was used today, by all: budgets are looked up in memory.
create index usage_day on usage (day, tenant, app, agent, cpu_ms);
