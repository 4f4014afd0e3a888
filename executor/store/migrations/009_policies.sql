-- Policies that tenants make, revocations of tokens, and the feed by which gateways learn of both.
create table policies (
    id text not null primary key,
    tenant text not null,
    name text not null,
    version integer not null check (version > 0),
    created_ms integer not null
) strict;

create unique index policies_owner on policies (tenant, id);
create index policies_listing on policies (tenant, created_ms desc, id desc, name, version);

-- What a policy says and said. A version that is there does not change; that two writers make the same one cannot be.
create table policy_versions (
    policy_id text not null,
    version integer not null check (version > 0),
    -- Before what is long: what is purged is found without it.
    bytes integer not null,
    updated_ms integer not null,
    updated_by text not null,
    name text not null,
    message text,
    sha256 text not null,
    applies_to text not null,
    description text,
    document text not null,
    primary key (policy_id, version)
) strict;

create index policy_versions_size on policy_versions (policy_id, version desc, bytes);

create trigger policy_versions_no_update before update on policy_versions
begin
    select raise(abort, 'a version of a policy does not change');
end;

-- What the current version of a policy applies to; the name of the tenant itself is empty.
create table policy_targets (
    tenant text not null,
    kind text not null check (kind in ('tenant', 'app', 'agent', 'template')),
    name text not null,
    policy_id text not null,
    primary key (tenant, kind, name, policy_id)
) strict;

create index policy_targets_of on policy_targets (policy_id);

create table revocations (
    id text not null primary key,
    tenant text not null,
    token_id text,
    subject text,
    issued_before_s integer not null,
    created_ms integer not null,
    expires_ms integer not null,
    created_by text not null,
    reason text,
    check (token_id is null or subject is null)
) strict;

create unique index revocations_owner on revocations (tenant, id);
create index revocations_listing on revocations (tenant, created_ms desc, id desc, expires_ms);
create index revocations_expiry on revocations (expires_ms);

-- The newest change of each thing. gone_ms: when it was deleted; then this is all that is left of it.
create table policy_changes (
    object_id text not null primary key,
    revision integer not null unique,
    kind text not null check (kind in ('policy', 'revocation')),
    tenant text not null,
    bytes integer not null,
    gone_ms integer
) strict;

create index policy_changes_gone on policy_changes (gone_ms) where gone_ms is not null;

-- purged: the newest revision of a deletion that is no longer told. Who knows less than that has to begin again.
create table policy_feed (
    id integer not null primary key check (id = 1),
    instance text not null,
    revision integer not null,
    purged integer not null
) strict;

insert into policy_feed (id, instance, revision, purged) values (1, lower(hex(randomblob(8))), 0, 0);
