-- The tier that a job runs in; there was one before there was a column.
alter table jobs add column isolation text not null default 'process' check (isolation in ('process', 'gvisor'));

-- Listings filter by it, and the index holds what they filter by.
drop index jobs_listing;
create index jobs_listing on jobs (tenant, created_ms desc, id desc, status, language, agent, app, isolation);
