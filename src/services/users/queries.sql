-- What Users asks its database. The format stands in tools/queries/generate.py.

-- ==== accounts ====

-- user_by_id: one
-- id uuid -> id uuid, email text, email_key text, name text, phone text, roles int32, status text, password_hash text,
-- version int64, created_at time, updated_at time, verified_at time?
select id, email, email_key, name, phone, roles, status, password_hash, version, created_at, updated_at, verified_at
from users where id = $1;

-- user_by_email: maybe
-- email_key text -> id uuid, email text, email_key text, name text, phone text, roles int32, status text,
-- password_hash text, version int64, created_at time, updated_at time, verified_at time?
select id, email, email_key, name, phone, roles, status, password_hash, version, created_at, updated_at, verified_at
from users where email_key = $1;

-- users_page: many
-- created_at time, id uuid, roles int32, status text, email_key text, limit_rows int32 ->
-- id uuid, email text, email_key text, name text, phone text, roles int32, status text, password_hash text,
-- version int64, created_at time, updated_at time, verified_at time?
-- Newest first, from a place on. No roles, no status, no address: not asked for.
select id, email, email_key, name, phone, roles, status, password_hash, version, created_at, updated_at, verified_at
from users
where (created_at, id) < ($1, $2) and (roles & $3) = $3 and ($4 = '' or status = $4) and ($5 = '' or email_key = $5)
order by created_at desc, id desc limit $6;

-- user_insert: run
-- id uuid, email text, email_key text, name text, phone text, roles int32, status text, password_hash text, version int64,
-- created_at time, updated_at time, verified_at time?
insert into users (id, email, email_key, name, phone, roles, status, password_hash, version, created_at, updated_at,
    verified_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
on conflict (email_key) do nothing;

-- user_update: run
-- id uuid, version_before int64, name text, phone text, roles int32, status text, password_hash text, version int64,
-- updated_at time, verified_at time?
update users set name = $3, phone = $4, roles = $5, status = $6, password_hash = $7, version = $8, updated_at = $9,
    verified_at = $10
where id = $1 and version = $2;

-- admins_besides: one
-- id uuid -> admins int64
select count(*) from users where (roles & 4) <> 0 and status = 'active' and id <> $1;

-- user_log_insert: run
-- user_id uuid, version int64, at time, what text, actor uuid?, reason text
insert into user_log (user_id, version, at, what, actor, reason) values ($1, $2, $3, $4, $5, $6);

-- user_log_of_user: many
-- user_id uuid, limit_rows int32 -> at time, what text, reason text
select at, what, reason from user_log where user_id = $1 order by version desc limit $2;

-- user_version: maybe
-- id uuid -> version int64
select version from users where id = $1;

-- user_log_erase: run
-- user_id uuid
delete from user_log where user_id = $1;

-- sessions_erase: run
-- user_id uuid
delete from sessions where user_id = $1;

-- addresses_erase: run
-- user_id uuid
delete from addresses where user_id = $1;

-- mail_tokens_erase: run
-- user_id uuid
delete from mail_tokens where user_id = $1;

-- mails_erase: run
-- user_id uuid, email_key text
delete from mail_jobs where user_id = $1 or email_key = $2;

-- user_erase: run
-- user_id uuid
delete from users where id = $1;

-- ==== sessions ====

-- refresh_by_hash: maybe
-- hash bytes -> session_id uuid, user_id uuid, expires_at time, spent_at time?, ended_at time?
select refresh_tokens.session_id, sessions.user_id, refresh_tokens.expires_at, refresh_tokens.spent_at, sessions.ended_at
from refresh_tokens join sessions on sessions.id = refresh_tokens.session_id
where refresh_tokens.hash = $1;

-- session_insert: run
-- id uuid, user_id uuid, user_agent text, created_at time, expires_at time, user_version int64
-- Only for the account as it was when its password was checked.
insert into sessions (id, user_id, user_agent, created_at, used_at, expires_at)
select $1, $2, $3, $4, $4, $5 where exists (select 1 from users where id = $2 and version = $6 and status = 'active');

-- sessions_of_user: many
-- user_id uuid, now time, limit_rows int32 -> id uuid, user_agent text, created_at time, used_at time?, expires_at time
-- Those that live, newest first.
select id, user_agent, created_at, used_at, expires_at from sessions
where user_id = $1 and ended_at is null and expires_at > $2 order by created_at desc, id desc limit $3;

-- session_of_user: one
-- id uuid, user_id uuid, now time -> id uuid
select id from sessions where id = $1 and user_id = $2 and ended_at is null and expires_at > $3;

-- sessions_beyond: many each
-- user_id uuid, keep int32 -> id uuid
-- Those beyond the newest that have not ended.
select id from sessions where user_id = $1 and ended_at is null order by created_at desc, id desc limit 100 offset $2;

-- session_extend: run
-- id uuid, used_at time, expires_at time
update sessions set used_at = $2, expires_at = $3 where id = $1;

-- session_end: run
-- id uuid, user_id uuid, ended_at time
update sessions set ended_at = $3 where id = $1 and user_id = $2 and ended_at is null;

-- sessions_end_all: run
-- user_id uuid, ended_at time
update sessions set ended_at = $2 where user_id = $1 and ended_at is null;

-- sessions_end_others: run
-- user_id uuid, session_id uuid, ended_at time
update sessions set ended_at = $3 where user_id = $1 and id <> $2 and ended_at is null;

-- sessions_revoke_others: run
-- user_id uuid, session_id uuid, at time, ended_after time
-- Those that end now, and those whose tokens of before they ended may still live.
insert into revocations (user_id, session_id, version_min, at)
select user_id, id, 0, $3 from sessions where user_id = $1 and id <> $2 and (ended_at is null or ended_at > $4);

-- refresh_insert: run
-- hash bytes, session_id uuid, expires_at time
insert into refresh_tokens (hash, session_id, expires_at) values ($1, $2, $3);

-- refresh_spend: run
-- hash bytes, spent_at time, user_version int64
-- Once, in a session that lives, for the account as it was read.
update refresh_tokens set spent_at = $2
where hash = $1 and spent_at is null and exists (
    select 1 from sessions join users on users.id = sessions.user_id
    where sessions.id = refresh_tokens.session_id and sessions.ended_at is null
        and users.version = $3 and users.status = 'active');

-- ==== addresses ====

-- addresses_of_user: many
-- user_id uuid -> id uuid, name text, company text, line1 text, line2 text, city text, region text, postal_code text,
-- country text, phone text, created_at time, updated_at time
select id, name, company, line1, line2, city, region, postal_code, country, phone, created_at, updated_at
from addresses where user_id = $1 order by created_at, id;

-- address_of_user: one
-- id uuid, user_id uuid -> id uuid, name text, company text, line1 text, line2 text, city text, region text,
-- postal_code text, country text, phone text, created_at time, updated_at time
select id, name, company, line1, line2, city, region, postal_code, country, phone, created_at, updated_at
from addresses where id = $1 and user_id = $2;

-- address_insert: run
-- id uuid, user_id uuid, name text, company text, line1 text, line2 text, city text, region text, postal_code text,
-- country text, phone text, created_at time, updated_at time, keep int32
-- Counted here, where nobody else adds one meanwhile.
insert into addresses (id, user_id, name, company, line1, line2, city, region, postal_code, country, phone, created_at,
    updated_at)
select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13
where (select count(*) from addresses where user_id = $2) < $14;

-- address_update: run
-- id uuid, user_id uuid, name text, company text, line1 text, line2 text, city text, region text, postal_code text,
-- country text, phone text, updated_at time
update addresses set name = $3, company = $4, line1 = $5, line2 = $6, city = $7, region = $8, postal_code = $9,
    country = $10, phone = $11, updated_at = $12
where id = $1 and user_id = $2;

-- address_delete: run
-- id uuid, user_id uuid
delete from addresses where id = $1 and user_id = $2;

-- ==== revocations ====

-- revocation_insert: run
-- user_id uuid, session_id uuid?, version_min int64, at time
insert into revocations (user_id, session_id, version_min, at) values ($1, $2, $3, $4);

-- revocations_last: one
-- -> position int64
select coalesce(max(position), 0) from revocations;

-- revocations_since: many
-- position int64, limit_rows int32 -> position int64, user_id uuid, session_id uuid?, version_min int64, at time
select position, user_id, session_id, version_min, at from revocations where position > $1 order by position limit $2;

-- ==== API keys ====

-- api_keys_page: many
-- before uuid, limit_rows int32 -> id uuid, prefix text, name text, scopes int32, created_by uuid?, created_at time,
-- expires_at time?, used_at time?, revoked_at time?
-- Newest first: an id has its time in front.
select id, prefix, name, scopes, created_by, created_at, expires_at, used_at, revoked_at from api_keys
where id < $1 order by id desc limit $2;

-- api_key_by_id: one
-- id uuid -> id uuid
select id from api_keys where id = $1;

-- api_keys_known: many
-- limit_rows int32 -> id uuid, digest bytes, scopes int32, expires_at time?
select id, digest, scopes, expires_at from api_keys where revoked_at is null order by id limit $1;

-- api_keys_mark: maybe
-- -> mark uuid
select mark from api_keys_state where id = 1;

-- api_keys_set_mark: run
-- mark uuid
-- First of what changes them: whoever else does waits here for the commit.
insert into api_keys_state (id, mark) values (1, $1) on conflict (id) do update set mark = $1;

-- api_key_insert: run
-- id uuid, digest bytes, prefix text, name text, scopes int32, created_by uuid?, created_at time, expires_at time?, keep int32
insert into api_keys (id, digest, prefix, name, scopes, created_by, created_at, expires_at)
select $1, $2, $3, $4, $5, $6, $7, $8 where (select count(*) from api_keys where revoked_at is null) < $9;

-- api_key_revoke: run
-- id uuid, revoked_at time
update api_keys set revoked_at = $2 where id = $1 and revoked_at is null;

-- api_key_use: run
-- id uuid, used_at time
update api_keys set used_at = $2 where id = $1 and (used_at is null or used_at < $2);

-- ==== mails ====

-- mail_insert: run
-- id uuid, kind text, user_id uuid?, email_key text, about uuid?, total_minor int64, currency currency?, reason text,
-- tries int32, created_at time, due_at time, traceparent text?
insert into mail_jobs (id, kind, user_id, email_key, about, total_minor, currency, reason, tries, created_at, due_at, traceparent)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- mail_by_id: maybe
-- id uuid -> kind text, user_id uuid?, email_key text, about uuid?, total_minor int64, currency currency?, reason text,
-- tries int32, created_at time, due_at time, traceparent text?
select kind, user_id, email_key, about, total_minor, currency, reason, tries, created_at, due_at, traceparent from mail_jobs
where id = $1;

-- mails_due: many
-- now time, beyond time, limit_rows int32 -> id uuid
-- And those that nobody puts off so far: the clock went back after they were. Two walks of one index; `or` would walk all of it.
select id from (select id from mail_jobs where due_at <= $1 order by due_at limit $3) due
union all
select id from (select id from mail_jobs where due_at > $2 order by due_at limit $3) astray;

-- mails_next: one
-- -> due_at time?
select min(due_at) from mail_jobs;

-- mail_put_off: run
-- id uuid, tries int32, due_at time
update mail_jobs set tries = $2, due_at = $3 where id = $1;

-- mail_delete: run
-- id uuid
delete from mail_jobs where id = $1;

-- mail_token_insert: run
-- hash bytes, user_id uuid, kind text, expires_at time
insert into mail_tokens (hash, user_id, kind, expires_at)
select $1, $2, $3, $4 where exists (select 1 from users where id = $2);

-- mail_token_by_hash: maybe
-- hash bytes, kind text, now time -> user_id uuid
select user_id from mail_tokens where hash = $1 and kind = $2 and expires_at > $3;

-- mail_tokens_delete: run
-- user_id uuid, kind text
delete from mail_tokens where user_id = $1 and kind = $2;

-- ==== sweeping ====

-- mail_tokens_sweep: run
-- expired_before time, limit_rows int32
delete from mail_tokens where hash in (select hash from mail_tokens where expires_at < $1 order by expires_at limit $2);

-- refresh_sweep: run
-- expired_before time, limit_rows int32
delete from refresh_tokens
where hash in (select hash from refresh_tokens where expires_at < $1 order by expires_at limit $2);

-- sessions_sweep: run
-- expired_before time, limit_rows int32
-- Its tokens have gone before: there may be thousands of one session.
delete from sessions where id in (select id from sessions where expires_at < $1
    and not exists (select 1 from refresh_tokens where session_id = sessions.id) order by expires_at limit $2);

-- revocations_sweep: run
-- revoked_before time, limit_rows int32
delete from revocations
where position in (select position from revocations where at < $1 order by at limit $2);

-- api_keys_sweep: run
-- before time, limit_rows int32
delete from api_keys where id in (select id from api_keys where revoked_at < $1 or expires_at < $1 limit $2);

-- users_sweep_due: one
-- expired_before time, revoked_before time, keys_before time -> tokens_due bool, sessions_due bool, links_due bool,
-- revocations_due bool, keys_due bool
-- So that an idle shop writes nothing.
select exists (select 1 from refresh_tokens where expires_at < $1) as tokens_due,
    exists (select 1 from sessions where expires_at < $1) as sessions_due,
    exists (select 1 from mail_tokens where expires_at < $1) as links_due,
    exists (select 1 from revocations where at < $2) as revocations_due,
    exists (select 1 from api_keys where revoked_at < $3 or expires_at < $3) as keys_due;

-- users_sweep_counts: one
-- -> tokens_count int64, sessions_count int64, links_count int64, revocations_count int64, mails_count int64,
-- keys_count int64
select (select count(*) from refresh_tokens) as tokens_count, (select count(*) from sessions) as sessions_count,
    (select count(*) from mail_tokens) as links_count, (select count(*) from revocations) as revocations_count,
    (select count(*) from mail_jobs) as mails_count, (select count(*) from api_keys) as keys_count;
