-- An order is written four times within a second. No index has what its moves change, and its page has room, so that a move writes
-- one row and nothing else. Only what waits for a person to pay has an index of when its hold ends; all others that are on hold have a
-- payment job.
drop index orders_on_hold;
alter table orders set (fillfactor = 35);
alter table orders add column hold_ends bigint;
update orders set hold_ends = hold_until where status = 'reserved' and payment = 'pending' and provider = 'manual';
create index orders_on_hold on orders (hold_ends) where hold_ends is not null;
alter table payment_jobs set (fillfactor = 30);
