-- People who are to be forgotten, and orders that were. An order that is still to be shipped keeps its address; its customer stays
-- here until it is.
create table erasures (
    customer uuid primary key not null,
    asked_at bigint not null,
    due_at bigint not null
);
create index erasures_by_due on erasures (due_at);

alter table orders add column forgotten bigint not null default 0;
