-- Where PostgreSQL's dialect parts from SQLite's: see queries.sql.

-- job_postpone: run
-- order_id uuid, kind text, now time, wait_us_min int64, wait_us_max int64
-- Each time twice as long.
update payment_jobs set due_at = $3 + least($4 << least(tries, 10)::int, $5), tries = tries + 1
where order_id = $1 and kind = $2;
