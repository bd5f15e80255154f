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

-- dead_letters_forget: run
-- text bytes
delete from dead_letters where position($1 in payload) > 0;

-- inbox_held_forget: run
-- text bytes
delete from inbox_held where position($1 in payload) > 0;

-- inbox_head_lock: maybe each
-- topic text, key text -> number int64
-- A replica that applies the same event waits here, and then sees that it was applied. Else it would read the head before, and the
-- rows after the other's commit, and find what it is to do impossible.
select number from inbox_heads where topic = $1 and key = $2 for update;

-- inbox_head_insert: run
-- topic text, key text, number int64, ended int64, at time
-- `ended` is the time, so that a head that moves has no index to go with it. Where another replica was first it fails, and the batch
-- runs again in halves: an `on conflict` would cost each row as much again.
insert into inbox_heads (topic, key, number, ended, at)
values ($1, $2, $3, case when $4 = 1 then $5 else 0 end, $5);

-- inbox_head_save: run
-- topic text, key text, number_before int64, number int64, ended int64, at time
update inbox_heads set number = $4, ended = case when $5 = 1 then $6 else 0 end, at = $6
where topic = $1 and key = $2 and number = $3;

-- inbox_heads_sweep: run
-- before time, rows_max int32
-- By `at` as well: a version before this one, and SQLite, write 1 where a key is over.
delete from inbox_heads where (topic, key) in
(select topic, key from inbox_heads where ended > 0 and ended < $1 and at < $1 order by ended limit $2);

-- bookkeeping_due: one
-- once_before time, heads_before time, letters_before time, spools_before time, audit_before time ->
-- once_due bool, heads_due bool, letters_due bool, spools_due bool, audit_due bool
select coalesce((select created_at from once order by position limit 1) < $1, false) as once_due,
    exists (select 1 from inbox_heads where ended > 0 and ended < $2 and at < $2) as heads_due,
    exists (select 1 from dead_letters where state = 'skipped' and at < $3) as letters_due,
    exists (select 1 from spools where not kept and at < $4) as spools_due,
    coalesce((select at from audit order by id limit 1) < $5, false) as audit_due;
