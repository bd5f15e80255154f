-- What a person knows a log-in by: the browser or app that it was made with, and when it was used last.
alter table sessions add column user_agent text collate "C" not null default '';
alter table sessions add column used_at bigint not null default 0;
