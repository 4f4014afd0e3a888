-- Ids grow with the time, so an index that begins with one grows at its end, where a job's rows share a page; one that
-- begins with the tenant is written, and split, in as many places as there are tenants.
drop index jobs_owner;
create unique index jobs_owner on jobs (id, tenant);
-- An index ends with the row's number, which is seq.
drop index audit_tenant;
create index audit_tenant on audit (tenant);
drop index audit_object;
create index audit_object on audit (object, tenant) where object is not null;
drop index audit_request;
create index audit_request on audit (request_id, tenant) where request_id is not null;
-- Times grow with the numbers: what is asked for by time is found by halving.
drop index audit_time;
-- Without the sum, which changes with each job: rows are read in this order once, at the start.
drop index usage_day;
create index usage_day on usage (day, tenant, app, agent);
