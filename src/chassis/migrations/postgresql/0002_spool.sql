-- Bodies that come as a stream (an import's file): kept in pieces as they arrive, so that no process holds one whole.
-- kept: a row of the service refers to it. What nobody kept is forgotten after SPOOL_RETENTION.
create table spools (
    id uuid primary key,
    bytes bigint not null,
    kept boolean not null,
    at bigint not null
);

create index spools_idle on spools (kept, at);

create table spool_chunks (
    spool uuid not null,
    number bigint not null,
    bytes bytea not null,
    primary key (spool, number)
);
