-- People who are to be forgotten, and orders that were. An order that is still to be shipped keeps its address; its customer stays
-- here until it is.
create table erasures (
    customer blob primary key not null check (length(customer) = 16),
    asked_at integer not null,
    due_at integer not null
) strict, without rowid;
create index erasures_by_due on erasures (due_at);

alter table orders add column forgotten integer not null default 0;
