-- The books of the simulated payment provider: what it was asked for and what became of it.
create table payments (
    id uuid primary key not null,
    token text collate "C" not null,
    amount_minor bigint not null check (amount_minor >= 0),
    currency text collate "C" not null,
    known bigint not null, -- enum payment_known of order.h
    asked bigint not null, -- how often it was asked to authorize
    changed_at bigint not null
);
create index payments_by_change on payments (changed_at);

create table callbacks (
    id uuid primary key not null,
    payment_id uuid not null references payments (id),
    known bigint not null,
    due_at bigint not null
);
create index callbacks_by_due on callbacks (due_at);
