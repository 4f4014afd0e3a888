-- How far a file that another program appends to was taken in, and files a run left behind.
create table spools (
    name text not null primary key,
    device integer not null,
    inode integer not null,
    position integer not null check (position >= 0)
) strict;

alter table jobs add column skipped text;
