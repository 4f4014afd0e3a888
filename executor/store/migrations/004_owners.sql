-- A row is looked for by whose it is first: one that is another tenant's is found no later than one that is not there.
create unique index jobs_owner on jobs (tenant, id);
create unique index artifacts_owner on artifacts (tenant, job_id, path);
