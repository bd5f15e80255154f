-- What several processes on one database need. Not used on SQLite, which has one process: the queries are the same.

-- Who does what only one replica may do at a time; not used on SQLite, which has one process.
create table leases (
    name text primary key not null,
    holder blob not null,
    until integer not null
) strict, without rowid;

-- The latest transaction of each writer; not used on SQLite, which always knows.
create table writers (
    id blob primary key not null,
    batch integer not null,
    at integer not null
) strict, without rowid;
