-- What several processes on one database need.

-- Who does what only one replica may do at a time ('relay'), and until when.
create table leases (
    name text collate "C" primary key not null,
    holder uuid not null,
    until bigint not null
);

-- The latest transaction that each writer has committed: where its connection broke before the answer came, it reads here what
-- became of it.
create table writers (
    id uuid primary key not null,
    batch bigint not null,
    at bigint not null -- no index: what each batch changes stays on its page
) with (fillfactor = 10);
