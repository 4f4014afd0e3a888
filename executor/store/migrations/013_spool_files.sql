-- How far each file that another program appends to was taken in: of a spool that is rotated there are several.
-- An inode is used again once its file is gone; when it was born tells one from the other (0: not known).
create table spool_files (
    name text not null,
    device integer not null,
    inode integer not null,
    born integer not null,
    position integer not null check (position >= 0),
    primary key (name, device, inode)
) strict;

insert into spool_files (name, device, inode, born, position)
    select name, device, inode, 0, position from spools where inode <> 0;
drop table spools;
