-- Where PostgreSQL's dialect parts from SQLite's: see queries.sql.

-- lease_take: run
-- name text, holder uuid, now time, length_us int64
-- By the server's clock, which is the same for all replicas; it is never null, so $3 is not used.
insert into leases (name, holder, until)
values ($1, $2, coalesce((extract(epoch from clock_timestamp()) * 1000000)::bigint, $3) + $4)
on conflict (name) do update set holder = excluded.holder, until = excluded.until
where leases.holder = excluded.holder or leases.until < (extract(epoch from clock_timestamp()) * 1000000)::bigint;

-- once_about: many
-- text bytes, rows_max int32 -> name bytes
select name from once where position($1 in answer) > 0 limit $2;
