-- Who of the staff changed what: a row in the transaction of the change. Ids only. Kept for AUDIT_RETENTION; the oldest go first,
-- by id, which is in the order of time.
create table audit (
    id uuid primary key not null,
    at bigint not null,
    actor text collate "C" not null check (actor in ('staff', 'admin', 'operator', 'key')),
    who uuid, -- an account, or an API key; null: the operator
    call text collate "C" not null,
    subject text collate "C" not null,
    request_id text collate "C" not null
);
create index audit_by_subject on audit (subject, id);
