-- API keys: what servers show instead of a person's token. Of a secret its SHA-256 is kept. created_by leads to nobody once that
-- account is erased; null: the operator. scopes are bits by the number of duka.Scope.
create table api_keys (
    id uuid primary key not null,
    digest bytea not null check (length(digest) = 32),
    prefix text collate "C" not null,
    name text collate "C" not null,
    scopes bigint not null check (scopes > 0),
    created_by uuid,
    created_at bigint not null,
    expires_at bigint,
    used_at bigint,
    revoked_at bigint
);
create index api_keys_by_revocation on api_keys (revoked_at) where revoked_at is not null;
create index api_keys_by_expiry on api_keys (expires_at) where expires_at is not null;

-- One row, once there was a key. Its mark changes with each key that is made or revoked, so that whoever follows them asks for all of them only then.
create table api_keys_state (
    id bigint primary key not null check (id = 1),
    mark uuid not null
);
