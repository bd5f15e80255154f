-- The books of the simulated payment provider: what it was asked for and what became of it.
create table payments (
    id blob primary key not null check (length(id) = 16),
    token text not null,
    amount_minor integer not null check (amount_minor >= 0),
    currency text not null,
    known integer not null, -- enum payment_known of order.h
    asked integer not null, -- how often it was asked to authorize
    changed_at integer not null
) strict, without rowid;
create index payments_by_change on payments (changed_at);

create table callbacks (
    id blob primary key not null,
    payment_id blob not null references payments (id),
    known integer not null,
    due_at integer not null
) strict, without rowid;
create index callbacks_by_due on callbacks (due_at);
