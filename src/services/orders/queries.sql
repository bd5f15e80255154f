
-- order_insert: run
-- id uuid, customer uuid, status text, payment text, fulfilment text, total_minor int64, currency currency, captured_minor int64, refunded_minor int64, provider text, payment_token text, address bytes, reason text, hold_until time, event_number int64, created_at time, traceparent text?
insert into orders (id, customer, status, payment, fulfilment, total_minor, currency, captured_minor, refunded_minor,
                    provider, payment_token, address, reason, hold_until, event_number, version, created_at, updated_at,
                    traceparent)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 1, $16, $16, $17);

-- order_update: run
-- id uuid, version int64, status text, payment text, fulfilment text, captured_minor int64, refunded_minor int64, reason text, hold_until time, event_number int64, updated_at time
update orders set status = $3, payment = $4, fulfilment = $5, captured_minor = $6, refunded_minor = $7, reason = $8,
                  hold_until = $9, event_number = $10, updated_at = $11, version = version + 1
where id = $1 and version = $2;

-- order_by_id: maybe each
-- id uuid -> id uuid, customer uuid, status text, payment text, fulfilment text, total_minor int64, currency currency, captured_minor int64, refunded_minor int64, provider text, payment_token text, address bytes, reason text, hold_until time, event_number int64, version int64, created_at time, updated_at time, traceparent text?
select id, customer, status, payment, fulfilment, total_minor, currency, captured_minor, refunded_minor, provider,
       payment_token, address, reason, hold_until, event_number, version, created_at, updated_at, traceparent
from orders where id = $1;

-- order_version: maybe
-- id uuid -> version int64
select version from orders where id = $1;

-- orders_of_customer: many
-- customer uuid, before time, before_id uuid, status text, count int32 -> id uuid
select id from orders
where customer = $1 and (created_at, id) < ($2, $3) and ($4 = '' or status = $4)
order by created_at desc, id desc limit $5;

-- orders_of_all: many
-- before time, before_id uuid, status text, count int32 -> id uuid
select id from orders
where (created_at, id) < ($1, $2) and ($3 = '' or status = $3)
order by created_at desc, id desc limit $4;

-- orders_on_hold_until: many
-- now time, count int32 -> id uuid
select id from orders where status = 'reserved' and payment = 'pending' and hold_until <= $1 order by hold_until limit $2;

-- line_insert: run
-- order_id uuid, position int32, sku text, title text, variant_title text, quantity int32, unit_minor int64
insert into order_lines (order_id, position, sku, title, variant_title, quantity, shipped, unit_minor)
values ($1, $2, $3, $4, $5, $6, 0, $7);

-- line_ship: run
-- order_id uuid, position int32, shipped int32
update order_lines set shipped = $3 where order_id = $1 and position = $2;

-- lines_of_order: many each
-- order_id uuid -> sku text, title text, variant_title text, quantity int32, shipped int32, unit_minor int64
select sku, title, variant_title, quantity, shipped, unit_minor from order_lines where order_id = $1 order by position;

-- step_insert: run
-- order_id uuid, version int64, position int32, at time, what text, actor text, actor_id uuid?, reason text
insert into timeline (order_id, version, position, at, what, actor, actor_id, reason) values ($1, $2, $3, $4, $5, $6, $7, $8);

-- steps_of_order: many
-- order_id uuid -> at time, what text, actor text, actor_id uuid?, reason text
select at, what, actor, actor_id, reason from timeline where order_id = $1 order by version, position;

-- fulfilment_insert: run
-- id uuid, order_id uuid, carrier text, tracking text, lines bytes, created_at time
insert into fulfilments (id, order_id, carrier, tracking, lines, created_at) values ($1, $2, $3, $4, $5, $6);

-- fulfilments_of_order: many
-- order_id uuid -> id uuid, carrier text, tracking text, lines bytes, created_at time
select id, carrier, tracking, lines, created_at from fulfilments where order_id = $1 order by id;

-- price_by_sku: maybe each
-- sku text -> sku text, number int64, product_id uuid, title text, variant_title text, unit_minor int64, currency currency, for_sale bool
select sku, number, product_id, title, variant_title, unit_minor, currency, for_sale from prices where sku = $1;

-- price_number: maybe each
-- sku text -> number int64
select number from prices where sku = $1;

-- price_save: run
-- sku text, number int64, product_id uuid, title text, variant_title text, unit_minor int64, currency currency, for_sale bool
insert into prices (sku, number, product_id, title, variant_title, unit_minor, currency, for_sale)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (sku) do update set number = $2, product_id = $3, title = $4, variant_title = $5, unit_minor = $6,
                                currency = $7, for_sale = $8
where prices.number < $2;

-- job_save: run
-- order_id uuid, kind text, due_at time, now time
insert into payment_jobs (order_id, kind, due_at, tries, since) values ($1, $2, $3, 0, $4)
on conflict (order_id) do update set kind = $2, due_at = min(due_at, $3), tries = 0, since = $4
where payment_jobs.kind <> $2;

-- job_drop: run
-- order_id uuid
delete from payment_jobs where order_id = $1;

-- job_postpone: run
-- order_id uuid, kind text, now time, wait_us_min int64, wait_us_max int64
-- Each time twice as long.
update payment_jobs set due_at = $3 + min($4 << min(tries, 10), $5), tries = tries + 1 where order_id = $1 and kind = $2;

-- job_due_next: one
-- -> due_at time?
select min(due_at) as due_at from payment_jobs;

-- hold_ends_next: one
-- -> hold_until time?
select min(hold_until) as hold_until from orders where status = 'reserved' and payment = 'pending';

-- jobs_due: many
-- now time, beyond time, count int32 -> order_id uuid, kind text, tries int32
-- And those that nobody puts off so far: the clock went back after they were. Two walks of one index; `or` would walk all of it.
select order_id, kind, tries from (select * from payment_jobs where due_at <= $1 order by due_at limit $3) due
union all
select order_id, kind, tries from (select * from payment_jobs where due_at > $2 order by due_at limit $3) astray;

-- payment_event_insert: run
-- provider text, event_id text, at time
insert into payment_events (provider, event_id, at) values ($1, $2, $3) on conflict do nothing;

-- payment_event_find: maybe each
-- provider text, event_id text -> at time
select at from payment_events where provider = $1 and event_id = $2;

-- payment_events_sweep: run
-- before time, count int32
delete from payment_events where (provider, event_id) in
(select provider, event_id from payment_events where at < $1 order by at limit $2);

-- orders_sweep_due: one
-- before time -> events_due bool
select exists (select 1 from payment_events where at < $1) as events_due;

-- orders_sweep_counts: one
-- -> events_count int64, jobs_count int64, erasures_count int64
select (select count(*) from payment_events) as events_count, (select count(*) from payment_jobs) as jobs_count,
    (select count(*) from erasures) as erasures_count;

-- erasure_insert: run
-- customer uuid, now time
insert into erasures (customer, asked_at, due_at) values ($1, $2, $2) on conflict do nothing;

-- erasures_due: many
-- now time, count int32 -> customer uuid, asked_at time
select customer, asked_at from erasures where due_at <= $1 order by due_at limit $2;

-- erasures_next: one
-- -> due_at time?
select min(due_at) from erasures;

-- erasure_put_off: run
-- customer uuid, due_at time
update erasures set due_at = $2 where customer = $1;

-- erasure_drop: run
-- customer uuid
delete from erasures where customer = $1;

-- orders_to_forget: many
-- customer uuid, count int32 -> id uuid, ready bool
-- Those that nobody needs an address for any more, first.
select id, status = 'rejected' or status = 'cancelled' or status = 'completed' or
    (status = 'confirmed' and fulfilment <> 'none' and fulfilment <> 'partial') as ready
from orders where customer = $1 and forgotten = 0 order by ready desc, created_at, id limit $2;

-- order_forget: run
-- id uuid, nothing bytes
-- The reason stays where it is a word of ours.
update orders set address = $2, payment_token = '', forgotten = 1, version = version + 1,
    reason = case when exists (select 1 from timeline where order_id = $1 and (actor = 'customer' or actor = 'staff')
        and timeline.reason = orders.reason) then 'forgotten' else reason end
where id = $1 and forgotten = 0;

-- steps_forget: run
-- id uuid
update timeline set reason = '' where order_id = $1 and (actor = 'customer' or actor = 'staff') and reason <> '';

-- fulfilments_forget: run
-- id uuid
update fulfilments set tracking = '' where order_id = $1 and tracking <> '';

-- ---- the books, for dukactl check ----

-- book_orders: many
-- id uuid, rows_max int32 -> id uuid, status text, payment text, provider text, reason text, total_minor int64,
-- captured_minor int64, refunded_minor int64, job_due bool
select id, status, payment, provider, reason, total_minor, captured_minor, refunded_minor,
    exists (select 1 from payment_jobs where order_id = orders.id) as job_due
from orders where id > $1 order by id limit $2;

-- book_job: maybe
-- order_id uuid -> kind text, tries int32, due_at time, since time
select kind, tries, due_at, since from payment_jobs where order_id = $1;

-- book_has_order: maybe
-- id uuid -> found bool
select true as found from orders where id = $1;

-- book_lines: many
-- order_id uuid -> sku text, quantity int64, shipped int64, total_minor int64
select sku, cast(sum(quantity) as bigint), cast(sum(shipped) as bigint),
    cast(sum(quantity * unit_minor) as bigint)
from order_lines where order_id = $1 group by sku order by sku;
