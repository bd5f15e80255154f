-- Bodies that come as a stream (an import's file): kept in pieces as they arrive, so that no process holds one whole.
-- kept: a row of the service refers to it. What nobody kept is forgotten after SPOOL_RETENTION.
create table spools (
    id blob primary key,
    bytes integer not null,
    kept integer not null check (kept in (0, 1)),
    at integer not null
) strict, without rowid;

create index spools_idle on spools (kept, at);

create table spool_chunks (
    spool blob not null,
    number integer not null,
    bytes blob not null,
    primary key (spool, number)
) strict;
