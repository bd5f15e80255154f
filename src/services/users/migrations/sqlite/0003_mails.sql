-- Mails that are still to be sent, and the links in those that were. When an address was verified; null: not yet.
alter table users add column verified_at integer;

-- What a mail is about, not what it says: it is written when it is sent. user_id is null where only an address was given: whether
-- it belongs to an account is looked up then, so that whoever asks cannot tell. about is an order.
create table mail_jobs (
    id blob primary key not null check (length(id) = 16),
    kind text not null,
    user_id blob,
    email_key text not null,
    about blob,
    total_minor integer not null,
    currency text,
    reason text not null,
    tries integer not null,
    created_at integer not null,
    due_at integer not null
) strict, without rowid;
create index mail_jobs_due on mail_jobs (due_at);
create index mail_jobs_by_user on mail_jobs (user_id) where user_id is not null;

-- Links by the SHA-256 of their token. Each works once.
create table mail_tokens (
    hash blob primary key not null check (length(hash) = 32),
    user_id blob not null references users (id),
    kind text not null check (kind in ('verify', 'reset')),
    expires_at integer not null
) strict, without rowid;
create index mail_tokens_by_user on mail_tokens (user_id, kind);
create index mail_tokens_by_expiry on mail_tokens (expires_at);
