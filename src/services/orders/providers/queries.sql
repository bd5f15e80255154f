-- payment_insert: run
-- id uuid, token text, amount_minor int64, currency currency, known int32, at time
-- The first call decides.
insert into payments (id, token, amount_minor, currency, known, asked, changed_at) values ($1, $2, $3, $4, $5, 1, $6)
on conflict (id) do nothing;

-- payment_count: run
-- id uuid
-- A repeat counts.
update payments set asked = asked + 1 where id = $1;

-- payment_change: run
-- id uuid, from_known int32, to_known int32, at time
-- What is captured (3) after it was authorized (2) holds the same money for as long as before: its place in the list stays, and so
-- does its entry in the index.
update payments set known = $3, changed_at = case when known = 2 and $3 = 3 then changed_at else $4 end
where id = $1 and known = $2;

-- payment_find: maybe each
-- id uuid -> known int32, asked int32
select known, asked from payments where id = $1;

-- book_payment: maybe
-- id uuid -> amount_minor int64, known int32
select amount_minor, known from payments where id = $1;

-- book_payments_held: many
-- id uuid, rows_max int32 -> id uuid, amount_minor int64, known int32
-- All that hold money, by id.
select id, amount_minor, known from payments where id > $1 and known in (2, 3) order by id limit $2;

-- payments_held: many
-- since time, count int32 -> id uuid, known int32, changed_at time
-- 2 is authorized, 3 is captured.
select id, known, changed_at from payments where changed_at >= $1 and known in (2, 3) order by changed_at limit $2;

-- callback_insert: run
-- id uuid, payment_id uuid, known int32, due_at time
insert into callbacks (id, payment_id, known, due_at) values ($1, $2, $3, $4);

-- callbacks_due: many
-- now time, beyond time, count int32 -> id uuid, payment_id uuid, known int32
-- What is due beyond the longest delay was left by a clock that went back. Two walks of one index; `or` would walk all of it.
select id, payment_id, known from (select * from callbacks where due_at <= $1 order by due_at limit $3) due
union all
select id, payment_id, known from (select * from callbacks where due_at > $2 order by due_at limit $3) astray;

-- callback_due_next: one
-- -> due_at time?
select min(due_at) as due_at from callbacks;

-- callback_drop: run
-- id uuid
delete from callbacks where id = $1;
