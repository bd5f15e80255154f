-- What each event changes of its key's head has no index any more, so that it stays on its page: `ended` is when the key was over, 0
-- where it is not (1: over, as a version before this one writes it).
drop index inbox_heads_ended;
update inbox_heads set ended = at where ended = 1;
create index inbox_heads_ended on inbox_heads (ended) where ended > 0;
alter table inbox_heads set (fillfactor = 50);

-- One index for what goes out in the order of positions and is deleted by both.
alter table outbox drop constraint outbox_pkey;
drop index outbox_by_position;
alter table outbox add primary key (position, id);
