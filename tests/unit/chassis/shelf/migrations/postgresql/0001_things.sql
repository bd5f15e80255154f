-- A small database that the tests of the data room work on.
create table things (
    id uuid primary key not null,
    title text collate "C" not null,
    body bytea not null,
    big bigint not null,
    small bigint not null,
    flag boolean not null,
    at bigint not null,
    currency text collate "C" not null,
    id_maybe uuid,
    title_maybe text collate "C",
    body_maybe bytea,
    at_maybe bigint,
    currency_maybe text collate "C"
);

create table counters (
    name text collate "C" primary key not null,
    value bigint not null check (value >= 0)
);
