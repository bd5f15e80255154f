-- A small database that the tests of the data room work on.
create table things (
    id blob primary key not null check (length(id) = 16),
    title text not null,
    body blob not null,
    big integer not null,
    small integer not null,
    flag integer not null check (flag in (0, 1)),
    at integer not null,
    currency text not null,
    id_maybe blob,
    title_maybe text,
    body_maybe blob,
    at_maybe integer,
    currency_maybe text
) strict, without rowid;

create table counters (
    name text primary key not null,
    value integer not null check (value >= 0)
) strict, without rowid;
