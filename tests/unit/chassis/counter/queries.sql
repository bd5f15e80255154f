-- counter_insert: run
-- name text, value int64, event_number int64
insert into counters (name, value, version, event_number) values ($1, $2, 1, $3) on conflict do nothing;

-- counter_update: run
-- name text, version int64, value int64, event_number int64
update counters set value = $3, event_number = $4, version = version + 1 where name = $1 and version = $2;

-- counter_by_name: maybe
-- name text -> value int64, version int64, event_number int64
select value, version, event_number from counters where name = $1;

-- counters_after: many
-- name text, count int32 -> name text, value int64
select name, value from counters where name > $1 order by name limit $2;

-- note_insert: run
-- key text, number int64
insert into notes (key, number) values ($1, $2);

-- notes_all: many
-- -> key text, number int64
select key, number from notes order by position;

-- thing_insert: run
-- id uuid, state text
insert into things (id, state) values ($1, $2);

-- thing_settle: run
-- id uuid, state text
update things set state = $2 where id = $1;

-- thing_by_id: maybe
-- id uuid -> state text
select state from things where id = $1;

-- things_count: one
-- -> things_count int64
select count(*) from things;

-- thing_newest: maybe
-- -> id uuid
select id from things order by id desc limit 1;
