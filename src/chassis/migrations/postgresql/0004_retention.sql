-- Keys that are over: the head of one is forgotten INBOX_RETENTION after its last event took effect.
alter table inbox_heads add column ended bigint not null default 0;
create index inbox_heads_ended on inbox_heads (at) where ended = 1;

-- What was skipped by hand, in the order in which it is forgotten.
create index dead_letters_skipped on dead_letters (at) where state = 'skipped';
