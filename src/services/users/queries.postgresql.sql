-- Where PostgreSQL's dialect parts from SQLite's: see queries.sql.
-- Revocations are followed by position, so they must be seen in its order: whoever adds one holds a lock until its commit.

-- revocation_insert: run
-- user_id uuid, session_id uuid?, version_min int64, at time
insert into revocations (user_id, session_id, version_min, at)
select $1, $2, $3, $4 from pg_advisory_xact_lock(7202);

-- sessions_revoke_others: run
-- user_id uuid, session_id uuid, at time, ended_after time
insert into revocations (user_id, session_id, version_min, at)
select user_id, id, 0, $3 from pg_advisory_xact_lock(7202), sessions
where user_id = $1 and id <> $2 and (ended_at is null or ended_at > $4);
