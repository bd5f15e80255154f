-- The statements of the bookkeeping tables (migrations/sqlite/0001_bookkeeping.sql).

-- ---- migrations ----

-- migration_newest: one
-- service text -> number int32
select coalesce(max(number), 0) as number from schema_migrations where service = $1;

-- migration_insert: run
-- service text, number int32, name text, applied_at time
insert into schema_migrations (service, number, name, applied_at) values ($1, $2, $3, $4);

-- ---- PostgreSQL: the writer's mark, leases ----

-- writer_mark_save: run
-- id uuid, batch int64, at time
insert into writers (id, batch, at) values ($1, $2, $3)
on conflict (id) do update set batch = excluded.batch, at = excluded.at;

-- writer_mark_find: maybe
-- id uuid -> batch int64
select batch from writers where id = $1;

-- writer_marks_sweep: run
-- before time
-- Of processes that are no more.
delete from writers where at < $1;

-- lease_take: run
-- name text, holder uuid, now time, length_us int64
-- Ours, or nobody's any more.
insert into leases (name, holder, until) values ($1, $2, $3 + $4)
on conflict (name) do update set holder = excluded.holder, until = excluded.until
where leases.holder = excluded.holder or leases.until < $3;

-- lease_drop: run
-- name text, holder uuid
delete from leases where name = $1 and holder = $2;

-- ---- once ----

-- once_claim: run
-- name bytes, body_hash bytes, subject uuid?, created_at time
insert into once (name, body_hash, subject, created_at) values ($1, $2, $3, $4) on conflict (name) do nothing;

-- once_take_back: run
-- name bytes
-- Of a claim of this transaction, whose member failed.
delete from once where name = $1;

-- once_answer: run
-- name bytes, status int32, problem bool, answer bytes, answered_at time
update once set status = $2, problem = $3, answer = $4, answered_at = $5 where name = $1 and answered_at is null;

-- once_answer_subject: run
-- subject uuid, status int32, problem bool, answer bytes, answered_at time
update once set status = $2, problem = $3, answer = $4, answered_at = $5
where subject = $1 and answered_at is null;

-- once_by_name: maybe
-- name bytes -> body_hash bytes, subject uuid?, status int32, problem bool, answer bytes, answered_at time?
select body_hash, subject, status, problem, answer, answered_at from once where name = $1;

-- once_by_subject: maybe each
-- subject uuid -> status int32, problem bool, answer bytes, answered_at time?
-- A subject is claimed by one key: by the call that made it.
select status, problem, answer, answered_at from once where subject = $1;

-- once_about: many
-- text bytes, rows_max int32 -> name bytes
select name from once where instr(answer, $1) > 0 limit $2;

-- once_forget: run
-- name bytes, problem bytes
update once set status = 0, problem = true, answer = $2 where name = $1;

-- once_sweep: run
-- before time, rows_max int32
-- Rows lie in the order of time: this reads from the front and stops at the first young one.
delete from once where created_at < $1
and position in (select position from once order by position limit $2);

-- ---- outbox ----

-- outbox_insert: run
-- position int64, id uuid, type text, topic text, key text, number int64, payload bytes,
-- traceparent text?, at time
insert into outbox (position, id, type, topic, key, number, payload, traceparent, at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- outbox_newest: one
-- -> position int64
select coalesce(max(position), 0) as position from outbox;

-- outbox_after: many
-- position int64, rows_max int32 -> id uuid, type text, topic text, key text, number int64,
-- payload bytes, traceparent text?, at time
select id, type, topic, key, number, payload, traceparent, at from outbox
where position > $1 order by position limit $2;

-- outbox_drop: run
-- position int64, id uuid
delete from outbox where position = $1 and id = $2;

-- outbox_backlog: one
-- -> rows_count int64, oldest_at time?
select count(*) as rows_count, (select at from outbox order by position limit 1) as oldest_at from outbox;

-- ---- inbox ----

-- inbox_head: maybe
-- topic text, key text -> number int64
select number from inbox_heads where topic = $1 and key = $2;

-- inbox_head_lock: maybe each
-- topic text, key text -> number int64
-- Inside a batch: on PostgreSQL it locks the row, so that what is read after it is not older than it.
select number from inbox_heads where topic = $1 and key = $2;

-- inbox_head_insert: run
-- topic text, key text, number int64, ended int64, at time
-- Of a key that had none; another replica may have been first.
insert into inbox_heads (topic, key, number, ended, at) values ($1, $2, $3, $4, $5) on conflict (topic, key) do nothing;

-- inbox_head_save: run
-- topic text, key text, number_before int64, number int64, ended int64, at time
-- Of one that stood where it was read.
update inbox_heads set number = $4, ended = $5, at = $6 where topic = $1 and key = $2 and number = $3;

-- inbox_heads_sweep: run
-- before time, rows_max int32
-- Of keys that are over.
delete from inbox_heads where (topic, key) in
(select topic, key from inbox_heads where ended = 1 and at < $1 order by at limit $2);

-- inbox_head_forget: run
-- topic text, key text
delete from inbox_heads where topic = $1 and key = $2;

-- inbox_held_insert: run
-- topic text, key text, number int64, event_id uuid, type text, payload bytes, traceparent text?,
-- event_at time, at time
insert into inbox_held (topic, key, number, event_id, type, payload, traceparent, event_at, at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (topic, key, number) do nothing;

-- inbox_held_drop: run
-- topic text, key text, number int64
delete from inbox_held where topic = $1 and key = $2 and number = $3;

-- inbox_held_ready: many
-- rows_max int32 -> topic text, key text, number int64, event_id uuid, type text, payload bytes,
-- traceparent text?, event_at time
-- Those whose predecessor took effect, and those that took effect themselves by another way.
select held.topic, held.key, held.number, held.event_id, held.type, held.payload, held.traceparent, held.event_at
from inbox_held held left join inbox_heads heads on heads.topic = held.topic and heads.key = held.key
where held.number <= coalesce(heads.number, 0) + 1
order by held.at, held.number limit $1;

-- inbox_held_of_key: many
-- topic text, key text, number int64, rows_max int32 -> number int64, event_id uuid, type text,
-- payload bytes, traceparent text?, event_at time
-- Those of one key from a number on.
select number, event_id, type, payload, traceparent, event_at from inbox_held
where topic = $1 and key = $2 and number >= $3 order by number limit $4;

-- inbox_held_backlog: one
-- -> rows_count int64, oldest_at time?
select count(*) as rows_count, min(at) as oldest_at from inbox_held;

-- ---- dead letters ----

-- dead_letter_save: run
-- topic text, key text, number int64, event_id uuid, type text, payload bytes, traceparent text?,
-- event_at time, error text, tries int32, at time
-- One that fails again after it was requeued is dead again.
insert into dead_letters (topic, key, number, event_id, type, payload, traceparent, event_at, error, tries, state, at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'dead', $11)
on conflict (topic, key, number) do update
set error = excluded.error, tries = dead_letters.tries + excluded.tries, state = 'dead', at = excluded.at
where dead_letters.state <> 'skipped';

-- dead_letter_drop: run
-- topic text, key text, number int64
delete from dead_letters where topic = $1 and key = $2 and number = $3;

-- dead_letters_forget: run
-- text bytes
-- Those that speak of somebody, by an id.
delete from dead_letters where instr(payload, $1) > 0;

-- inbox_held_forget: run
-- text bytes
delete from inbox_held where instr(payload, $1) > 0;

-- dead_letters_list: many
-- topic text, key text, number int64, rows_max int32 -> topic text, key text, number int64,
-- event_id uuid, type text, payload bytes, traceparent text?, event_at time, error text,
-- tries int32, state text, at time
-- A page after (topic, key, number).
select topic, key, number, event_id, type, payload, traceparent, event_at, error, tries, state, at
from dead_letters where (topic, key, number) > ($1, $2, $3) order by topic, key, number limit $4;

-- dead_letters_parked: many
-- topic text, key text, rows_max int32 -> topic text, key text
-- Keys that wait, after (topic, key).
select distinct topic, key from dead_letters
where (topic, key) > ($1, $2) and state <> 'skipped' order by topic, key limit $3;

-- dead_letter_parks: maybe
-- topic text, key text -> number int64
-- The first that waits under a key.
select number from dead_letters where topic = $1 and key = $2 and state <> 'skipped' order by number limit 1;

-- dead_letters_requeue: run
-- topic text, key text
update dead_letters set state = 'requeued' where topic = $1 and key = $2 and state = 'dead';

-- dead_letters_requeued: many
-- rows_max int32 -> topic text, key text, number int64, event_id uuid, type text, payload bytes,
-- traceparent text?, event_at time, tries int32
-- In order under each key. A key whose first is dead again waits whole.
select topic, key, number, event_id, type, payload, traceparent, event_at, tries from dead_letters letter
where state = 'requeued' and not exists (select 1 from dead_letters before
    where before.topic = letter.topic and before.key = letter.key and before.number < letter.number
    and before.state = 'dead')
order by topic, key, number limit $1;

-- dead_letter_skip: run
-- topic text, key text, number int64, at time
update dead_letters set state = 'skipped', at = $4
where topic = $1 and key = $2 and number = $3 and state <> 'skipped';

-- dead_letters_backlog: one
-- -> rows_count int64, oldest_at time?
select count(*) as rows_count, min(at) as oldest_at from dead_letters where state <> 'skipped';

-- dead_letters_sweep: run
-- before time, rows_max int32
delete from dead_letters where (topic, key, number) in
(select topic, key, number from dead_letters where state = 'skipped' and at < $1 order by at limit $2);

-- ---- spools ----

-- spool_save: run
-- id uuid, bytes int64, kept bool, at time
insert into spools (id, bytes, kept, at) values ($1, $2, $3, $4)
on conflict (id) do update set bytes = excluded.bytes, at = excluded.at;

-- spool_chunk_add: run
-- spool uuid, number int64, bytes bytes
insert into spool_chunks (spool, number, bytes) values ($1, $2, $3);

-- spool_mark: run
-- id uuid, kept bool, at time
update spools set kept = $2, at = $3 where id = $1;

-- spool_chunks: many
-- spool uuid, number_from int64, number_to int64 -> bytes bytes
select bytes from spool_chunks where spool = $1 and number >= $2 and number < $3 order by number;

-- spool_idle: maybe
-- kept bool, before time -> id uuid
-- The one that nobody keeps for the longest time.
select id from spools where kept = $1 and at < $2 order by at limit 1;

-- spool_chunks_drop: run
-- spool uuid, rows_max int32
delete from spool_chunks where spool = $1
and number in (select number from spool_chunks where spool = $1 order by number limit $2);

-- spool_drop: run
-- id uuid
delete from spools where id = $1;

-- ---- retention ----

-- bookkeeping_counts: one
-- -> once_count int64, outbox_count int64, heads_count int64, held_count int64, letters_count int64, spools_count int64,
-- audit_count int64
select (select count(*) from once) as once_count, (select count(*) from outbox) as outbox_count,
    (select count(*) from inbox_heads) as heads_count, (select count(*) from inbox_held) as held_count,
    (select count(*) from dead_letters) as letters_count, (select count(*) from spools) as spools_count,
    (select count(*) from audit) as audit_count;

-- bookkeeping_due: one
-- once_before time, heads_before time, letters_before time, spools_before time, audit_before time ->
-- once_due bool, heads_due bool, letters_due bool, spools_due bool, audit_due bool
select coalesce((select created_at from once order by position limit 1) < $1, false) as once_due,
    exists (select 1 from inbox_heads where ended = 1 and at < $2) as heads_due,
    exists (select 1 from dead_letters where state = 'skipped' and at < $3) as letters_due,
    exists (select 1 from spools where not kept and at < $4) as spools_due,
    coalesce((select at from audit order by id limit 1) < $5, false) as audit_due;

-- ---- what is known of a key, for the operator ----

-- events_of_key: many
-- key text, rows_max int32 -> place text, topic text, number int64, type text, at time
select 'outbox' as place, topic, number, type, at from outbox where key = $1
union all select 'held', topic, number, type, at from inbox_held where key = $1
union all select state, topic, number, type, at from dead_letters where key = $1
union all select 'applied', topic, number, '', at from inbox_heads where key = $1
order by topic, number limit $2;

-- ---- the audit trail ----

-- audit_insert: run
-- id uuid, at time, actor text, who uuid?, call text, subject text, request_id text
insert into audit (id, at, actor, who, call, subject, request_id) values ($1, $2, $3, $4, $5, $6, $7);

-- audit_page: many
-- before uuid, who uuid?, limit_rows int32 ->
-- id uuid, at time, actor text, who uuid?, call text, subject text, request_id text
-- Newest first, from a place on. No who: anybody.
select id, at, actor, who, call, subject, request_id from audit
where id < $1 and ($2 is null or who = $2) order by id desc limit $3;

-- audit_page_of_subject: many
-- subject text, before uuid, who uuid?, limit_rows int32 ->
-- id uuid, at time, actor text, who uuid?, call text, subject text, request_id text
select id, at, actor, who, call, subject, request_id from audit
where subject = $1 and id < $2 and ($3 is null or who = $3) order by id desc limit $4;

-- audit_sweep: run
-- before time, rows_max int32
-- Ids lie in the order of time: this reads from the front.
delete from audit where at < $1 and id in (select id from audit order by id limit $2);
