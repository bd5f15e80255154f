-- Mails that are still to be sent, and the links in those that were. When an address was verified; null: not yet.
alter table users add column verified_at bigint;

-- What a mail is about, not what it says: it is written when it is sent. user_id is null where only an address was given: whether
-- it belongs to an account is looked up then, so that whoever asks cannot tell. about is an order.
create table mail_jobs (
    id uuid primary key not null,
    kind text collate "C" not null,
    user_id uuid,
    email_key text collate "C" not null,
    about uuid,
    total_minor bigint not null,
    currency text collate "C",
    reason text collate "C" not null,
    tries bigint not null,
    created_at bigint not null,
    due_at bigint not null
);
create index mail_jobs_due on mail_jobs (due_at);
create index mail_jobs_by_user on mail_jobs (user_id) where user_id is not null;

-- Links by the SHA-256 of their token. Each works once.
create table mail_tokens (
    hash bytea primary key not null check (length(hash) = 32),
    user_id uuid not null references users (id),
    kind text collate "C" not null check (kind in ('verify', 'reset')),
    expires_at bigint not null
);
create index mail_tokens_by_user on mail_tokens (user_id, kind);
create index mail_tokens_by_expiry on mail_tokens (expires_at);
