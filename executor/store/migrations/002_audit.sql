-- The hash chain. The segment files are the log that is kept, this is its index and, until a line
-- is on disk there, its only copy.
create table audit (
    seq integer not null primary key,
    ts_ms integer not null,
    tenant text not null,
    kind text not null,
    object text,
    request_id text,
    decision text,
    body text not null,
    prev text not null,
    hash text not null
) strict;

create index audit_tenant on audit (tenant, seq desc);

create trigger audit_no_update before update on audit
begin
    select raise(abort, 'the audit chain only grows');
end;

create trigger audit_no_delete before delete on audit
begin
    select raise(abort, 'the audit chain only grows');
end;

-- How far the segment files are known to be on disk: a log that ends before this was cut.
create table audit_log (
    id integer not null primary key check (id = 1),
    logged_seq integer not null
) strict;

insert into audit_log (id, logged_seq) values (1, 0);
