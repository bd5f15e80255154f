-- A small database that the tests of a whole service work on.
create table counters (
    name text primary key not null,
    value integer not null check (value >= 0),
    version integer not null,
    event_number integer not null
) strict, without rowid;

-- What reactions did, in the order in which they did it.
create table notes (
    position integer primary key not null,
    key text not null,
    number integer not null
) strict;

-- What settles: placed by a call, settled by another write.
create table things (
    id blob primary key not null check (length(id) = 16),
    state text not null
) strict, without rowid;
