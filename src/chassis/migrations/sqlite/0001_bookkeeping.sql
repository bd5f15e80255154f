-- What every service's database has besides its own tables. Rows are found by queries.sql beside this folder.

-- Which migrations were applied: those of the chassis and those of the service, each numbered from 1.
create table schema_migrations (
    service text not null,
    number integer not null,
    name text not null,
    applied_at integer not null,
    primary key (service, number)
) strict, without rowid;

-- Idempotency keys and their answers. The name is the SHA-256 of scope and key: short in the index, and nothing personal.
-- Rows lie in the order of time, so that the sweeper reads from the front.
create table once (
    position integer primary key,
    name blob not null unique check (length(name) = 32),
    body_hash blob not null check (length(body_hash) = 32),
    subject blob,
    status integer not null default 0,
    problem integer not null default 0,
    answer blob not null default x'',
    answered_at integer,
    created_at integer not null
) strict;

create index once_subject on once (subject) where subject is not null;

-- Events on disk that the bus has not acked yet. The position is the time and sequence of the event's id.
create table outbox (
    position integer primary key,
    id blob not null,
    type text not null,
    topic text not null,
    key text not null,
    number integer not null,
    payload blob not null,
    traceparent text,
    at integer not null
) strict;

-- The last number of each key that took effect. Never swept: a key whose head was forgotten would hold its next event
-- for ever.
create table inbox_heads (
    topic text not null,
    key text not null,
    number integer not null,
    at integer not null,
    primary key (topic, key)
) strict, without rowid;

-- Events that came before those which they follow.
create table inbox_held (
    topic text not null,
    key text not null,
    number integer not null,
    event_id blob not null,
    type text not null,
    payload blob not null,
    traceparent text,
    event_at integer not null,
    at integer not null,
    primary key (topic, key, number)
) strict, without rowid;

create index inbox_held_at on inbox_held (at);

-- Events that were put aside: a poison event (error says why) and what came after it under its key, in order.
-- state: 'dead' waits for a person, 'requeued' is to be tried again, 'skipped' was given up and is kept for the record.
create table dead_letters (
    topic text not null,
    key text not null,
    number integer not null,
    event_id blob not null,
    type text not null,
    payload blob not null,
    traceparent text,
    event_at integer not null,
    error text not null,
    tries integer not null,
    state text not null check (state in ('dead', 'requeued', 'skipped')),
    at integer not null,
    primary key (topic, key, number)
) strict, without rowid;

create index dead_letters_requeued on dead_letters (topic, key, number) where state = 'requeued';
