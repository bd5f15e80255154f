-- Who of the staff changed what: a row in the transaction of the change. Ids only. Kept for AUDIT_RETENTION; the oldest go first,
-- by id, which is in the order of time.
create table audit (
    id blob primary key not null check (length(id) = 16),
    at integer not null,
    actor text not null check (actor = 'staff' or actor = 'admin' or actor = 'operator' or actor = 'key'),
    who blob, -- an account, or an API key; null: the operator
    call text not null,
    subject text not null,
    request_id text not null
) strict, without rowid;
create index audit_by_subject on audit (subject, id);
