-- Where PostgreSQL's dialect parts from SQLite's: see queries.sql.

-- job_postpone: run
-- order_id uuid, kind text, now time, wait_us_min int64, wait_us_max int64
-- Each time twice as long.
update payment_jobs set due_at = $3 + least($4 << least(tries, 10)::int, $5), tries = tries + 1
where order_id = $1 and kind = $2;

-- job_save: run
-- order_id uuid, kind text, due_at time, now time
insert into payment_jobs (order_id, kind, due_at, tries, since) values ($1, $2, $3, 0, $4)
on conflict (order_id) do update set kind = $2, due_at = least(payment_jobs.due_at, $3), tries = 0, since = $4
where payment_jobs.kind <> $2;

-- order_update: run
-- id uuid, version int64, status text, payment text, fulfilment text, captured_minor int64, refunded_minor int64, reason text, hold_until time, event_number int64, updated_at time
-- hold_ends has an index: it is set, and changes, only where a person pays by hand.
update orders set status = $3, payment = $4, fulfilment = $5, captured_minor = $6, refunded_minor = $7, reason = $8,
                  hold_until = $9, event_number = $10, updated_at = $11, version = version + 1,
                  hold_ends = case when $3 = 'reserved' and $4 = 'pending' and provider = 'manual' then $9 end
where id = $1 and version = $2;

-- orders_on_hold_until: many
-- now time, count int32 -> id uuid
-- Those that wait for a person, and those that have a payment job; `offset 0` keeps to one look by key for each job.
select id from (
    select id, hold_ends as ends from orders where hold_ends <= $1
    union all
    select held.id, held.hold_until from payment_jobs job, lateral (select id, hold_until from orders
        where id = job.order_id and status = 'reserved' and payment = 'pending' and hold_until <= $1 offset 0) as held
) as ended order by ends limit $2;

-- hold_ends_next: one
-- -> hold_until time?
select min(ends) as hold_until from (
    select min(hold_ends) as ends from orders where hold_ends is not null
    union all
    select min(held.hold_until) from payment_jobs job, lateral (select hold_until from orders
        where id = job.order_id and status = 'reserved' and payment = 'pending' offset 0) as held
) as holds;
