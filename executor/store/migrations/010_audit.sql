-- The chain's second form: the hash covers the body by its digest, so a body can go and the chain still holds. Rows
-- without body_sha256 are of the first form and keep theirs. What filters ask for beside the columns is read out of the
-- body, so it goes with it.
create table audit_digest (
    seq integer not null primary key,
    ts_ms integer not null,
    tenant text not null,
    kind text not null,
    object text,
    request_id text,
    decision text,
    keep_until_ms integer,
    body_sha256 text,
    body text,
    prev text not null,
    hash text not null,
    check (body is not null or body_sha256 is not null)
) strict;

insert into audit_digest (seq, ts_ms, tenant, kind, object, request_id, decision, body, prev, hash)
select seq, ts_ms, tenant, kind, object, request_id, decision, body, prev, hash from audit order by seq;

drop table audit;
alter table audit_digest rename to audit;

create index audit_tenant on audit (tenant, seq desc);
create index audit_object on audit (tenant, object, seq) where object is not null;
create index audit_request on audit (tenant, request_id, seq) where request_id is not null;
create index audit_time on audit (tenant, ts_ms, seq);
-- What the janitor erases next.
create index audit_kept on audit (keep_until_ms, seq) where keep_until_ms is not null and body is not null;

-- One change there is: a body that is kept long enough goes. What an erasure covers is for the log's verifier to say.
create trigger audit_no_update before update on audit
when new.body is not null or old.body is null or old.body_sha256 is null or old.keep_until_ms is null
    or new.seq <> old.seq or new.ts_ms <> old.ts_ms or new.tenant <> old.tenant or new.kind <> old.kind
    or new.object is not old.object or new.request_id is not old.request_id
    or new.decision is not old.decision or new.keep_until_ms is not old.keep_until_ms
    or new.body_sha256 is not old.body_sha256 or new.prev <> old.prev or new.hash <> old.hash
begin
    select raise(abort, 'the audit chain only grows');
end;

create trigger audit_no_delete before delete on audit
begin
    select raise(abort, 'the audit chain only grows');
end;

-- Who writes this chain, and what was signed: heads.jsonl has at least signed_n heads. The key is the one that signs
-- (raw, base64url).
alter table audit_log add column executor text not null default '';
alter table audit_log add column signed_n integer not null default 0;
alter table audit_log add column signed_head text;
alter table audit_log add column signing_key text;
update audit_log set executor = 'exe_' || lower(hex(randomblob(16)));

-- Erasures that are committed and whose segments may still have the bodies.
create table audit_erasures (
    seq integer not null primary key,
    from_seq integer not null,
    to_seq integer not null
) strict;
