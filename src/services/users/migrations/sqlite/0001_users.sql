-- Accounts and what belongs to them. Times are microseconds since 1970 UTC; roles are bits: 1 customer, 2 staff, 4 admin.
create table users (
    id blob primary key not null check (length(id) = 16),
    email text not null,
    email_key text not null, -- folded: what makes an address unique
    name text not null,
    phone text not null,
    roles integer not null check (roles between 1 and 7),
    status text not null check (status in ('active', 'suspended')),
    password_hash text not null, -- argon2id, as a PHC string
    version integer not null check (version >= 1),
    created_at integer not null,
    updated_at integer not null
) strict, without rowid;
create unique index users_by_email on users (email_key);
-- Holds what pages are filtered by, so that a rare filter reads the index alone.
create index users_by_time on users (created_at desc, id desc, roles, status);
create index users_admins on users (id) where (roles & 4) <> 0;

-- Who changed an account's standing, when and why. actor is nil where it was the operator or the account itself.
create table user_log (
    user_id blob not null references users (id),
    version integer not null,
    at integer not null,
    what text not null check (what in ('registered', 'created', 'suspended', 'restored', 'roles', 'password')),
    actor blob,
    reason text not null,
    primary key (user_id, version)
) strict, without rowid;

-- Log-ins. A session that has ended stays until its tokens have expired.
create table sessions (
    id blob primary key not null check (length(id) = 16),
    user_id blob not null references users (id),
    created_at integer not null,
    expires_at integer not null,
    ended_at integer
) strict, without rowid;
create index sessions_by_user on sessions (user_id, created_at desc, id desc);
create index sessions_by_expiry on sessions (expires_at);

-- Refresh tokens by their SHA-256. A spent one is kept until it would have expired: shown again, it ends its session.
create table refresh_tokens (
    hash blob primary key not null check (length(hash) = 32),
    session_id blob not null references sessions (id) on delete cascade,
    expires_at integer not null,
    spent_at integer
) strict, without rowid;
create index refresh_tokens_by_session on refresh_tokens (session_id);
create index refresh_tokens_by_expiry on refresh_tokens (expires_at);

create table addresses (
    id blob primary key not null check (length(id) = 16),
    user_id blob not null references users (id),
    name text not null,
    company text not null,
    line1 text not null,
    line2 text not null,
    city text not null,
    region text not null,
    postal_code text not null,
    country text not null,
    phone text not null,
    created_at integer not null,
    updated_at integer not null
) strict, without rowid;
create index addresses_by_user on addresses (user_id, created_at, id);

-- What every service must refuse: tokens of a session, or of an account below a version. Followed by position, which is never
-- given twice.
create table revocations (
    position integer primary key autoincrement,
    user_id blob not null,
    session_id blob,
    version_min integer not null,
    at integer not null
) strict;
create index revocations_by_time on revocations (at);
