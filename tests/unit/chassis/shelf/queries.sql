-- thing_insert: run
-- id uuid, title text, body bytes, big int64, small int32, flag bool, at time, currency currency,
-- id_maybe uuid?, title_maybe text?, body_maybe bytes?, at_maybe time?, currency_maybe currency?
insert into things (id, title, body, big, small, flag, at, currency, id_maybe, title_maybe, body_maybe, at_maybe,
                    currency_maybe)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- thing_by_id: one
-- id uuid -> title text, body bytes, big int64, small int32, flag bool, at time, currency currency,
-- id_maybe uuid?, title_maybe text?, body_maybe bytes?, at_maybe time?, currency_maybe currency?
select title, body, big, small, flag, at, currency, id_maybe, title_maybe, body_maybe, at_maybe, currency_maybe
from things where id = $1;

-- things_titled: many
-- part text -> id uuid, title text
select id, title from things where title like $1 order by id;

-- thing_title_of: maybe
-- id uuid -> title text
-- Not null by its declaration: a title that is null is an error when it is read.
select title_maybe as title from things where id = $1;

-- things_count: one
-- -> things_count int64
select count(*) from things;

-- things_clear: run
delete from things;

-- counter_add: run
-- name text, delta int64
insert into counters (name, value) values ($1, $2) on conflict (name) do update set value = counters.value + $2;

-- counter_set: run
-- name text, value int64
-- The check refuses a negative one.
insert into counters (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value;

-- counter_take: maybe
-- name text, delta int64 -> value int64
-- $2 stands before $1: parameters are by number.
update counters set value = value - $2 where name = $1 and value >= $2 returning value;

-- counter_by_name: maybe each
-- name text -> value int64
select value from counters where name = $1;

-- counters_sum: one
-- -> counters_count int64, total int64
select count(*), cast(coalesce(sum(value), 0) as bigint) from counters;

-- counters_all: many
-- -> name text, value int64
select name, value from counters order by name;

-- order_insert: run
-- id uuid, customer uuid, status text, total_minor int64, currency currency, created_at time
insert into orders (id, customer, status, total_minor, currency, version, created_at) values ($1, $2, $3, $4, $5, 1, $6);

-- line_insert: run
-- order_id uuid, position int32, sku text, quantity int32, unit_minor int64
insert into order_lines (order_id, position, sku, quantity, unit_minor) values ($1, $2, $3, $4, $5);

-- stock_reserve: run
-- sku text, delta int64
insert into stock (sku, reserved) values ($1, $2) on conflict (sku) do update set reserved = stock.reserved + $2;

-- orders_count: one
-- -> orders_count int64
select count(*) from orders;

-- title_add: run
-- title text
insert into titles (title) values ($1);

-- titles_matching: many
-- words text -> title text
select title from titles where titles match $1 order by rank;

-- counters_below: many each
-- value int64 -> name text, value int64
select name, value from counters where value < $1 order by name desc;

-- counted_to: one
-- last int64 -> rows_count int64
with recursive counted (i) as (select 1 union all select i + 1 from counted where i < $1) select count(*) from counted;
