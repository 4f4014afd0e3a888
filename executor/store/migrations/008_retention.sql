-- How long a record outlives what it tells of: said when that begins, so that a policy that changes does not reach back.
alter table jobs add column keep_ms integer not null default 604800000 check (keep_ms >= 0);
alter table sessions add column keep_ms integer not null default 604800000 check (keep_ms >= 0);

-- What is purged is found in the order in which its time is over; what still runs is not in here.
create index jobs_kept on jobs (finished_ms + keep_ms) where finished_ms is not null;
create index sessions_kept on sessions (ended_ms + keep_ms) where ended_ms is not null;

-- A key goes with what it made: it would name nothing.
create index idempotency_made on idempotency (job_id);
create trigger jobs_purged after delete on jobs
begin
    delete from idempotency where job_id = old.id;
end;
create trigger steps_purged after delete on steps
begin
    delete from idempotency where job_id = old.id;
end;
create trigger sessions_purged after delete on sessions
begin
    delete from idempotency where job_id = old.id;
end;

-- Nothing that is still under way is purged, whatever a statement says.
create trigger jobs_no_delete before delete on jobs
when old.status in ('queued', 'running')
begin
    select raise(abort, 'a job that has not ended is not deleted');
end;
create trigger sessions_no_delete before delete on sessions
when old.status <> 'ended'
begin
    select raise(abort, 'a session that has not ended is not deleted');
end;
