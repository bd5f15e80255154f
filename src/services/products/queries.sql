-- The statements of Products. The format: tools/queries/generate.py.

-- ---- replicas ----

-- catalog_lock: one
-- -> locked int32
-- On PostgreSQL replicas change the catalog in turns: handles, SKUs and their numbers belong to nobody's row. SQLite has one
-- writer.
select 1;

-- ---- one product ----

-- product_by_id: maybe
-- id uuid -> id uuid, status text, version int64, document bytes
select id, status, version, document from products where id = $1;

-- product_by_handle: maybe
-- handle text -> id uuid, status text, version int64, document bytes
select id, status, version, document from products where handle = $1;

-- product_holder: maybe -- who has a handle, without reading its document
-- handle text -> id uuid
select id from products where handle = $1;

-- product_state: maybe
-- id uuid -> number int64, version int64
select number, version from products where id = $1;

-- product_by_number: maybe
-- number int64 -> id uuid, document bytes
select id, document from products where number = $1;

-- product_insert: run
-- id uuid, handle text, status text, price_minor int64, availability int32, version int64,
-- document bytes
insert into products (id, handle, status, price_minor, availability, version, document)
values ($1, $2, $3, $4, $5, $6, $7);

-- product_update: run
-- id uuid, handle text, status text, price_minor int64, availability int32, version int64,
-- document bytes
update products set handle = $2, status = $3, price_minor = $4, availability = $5, version = $6,
    document = $7
where id = $1;

-- product_redraw: run -- what it shows has changed, not what it is
-- id uuid, availability int32, version int64, document bytes
update products set availability = $2, version = $3, document = $4 where id = $1;

-- listings_clear: run
-- product int64
delete from listings where product = $1;

-- listing_add: run
-- facet text, status text, product int64, title_key text, price_minor int64
insert into listings (facet, status, product, title_key, price_minor) values ($1, $2, $3, $4, $5)
on conflict do nothing;

-- words_clear: run
-- product int64
delete from product_words where rowid = $1;

-- words_add: run
-- product int64, title text, tags text, sku text, vendor text, kind text, description text
insert into product_words (rowid, title, tags, sku, vendor, kind, description)
values ($1, $2, $3, $4, $5, $6, $7);

-- export_page: many -- all but what was put away, in the order of creation
-- number int64, rows_max int32 -> number int64, document bytes
select number, document from products where number > $1 and status <> 'archived'
order by number limit $2;

-- ---- lists: a page each, from behind a place, along an index of the facet ----
-- `facet` is the one that drives; others and the words filter, unless they are null. `bits` holds a
-- bit for each availability that is asked for.

-- offered: part -- what else is asked of a product `p` that is in the listing `l`
p.price_minor between $price_min and $price_max and (p.availability & $bits) <> 0
    and ($other is null or exists (
        select 1 from listings o
        where o.facet = $other and o.status = $status and o.product = l.product))
    and ($another is null or exists (
        select 1 from listings o
        where o.facet = $another and o.status = $status and o.product = l.product))
    and ($third is null or exists (
        select 1 from listings o
        where o.facet = $third and o.status = $status and o.product = l.product))

-- has_words: part
($query is null or l.product in (
        select rowid from product_words where product_words match $query))

-- list_newest: many
-- facet text, status text, number int64, price_min int64, price_max int64, bits int32,
-- other text?, another text?, third text?, query text?, rows_max int32 ->
-- number int64, document bytes
select l.product, p.document
from listings l join products p on p.number = l.product
where l.facet = $facet and l.status = $status and l.product < $number
    and {offered} and {has_words}
order by l.product desc
limit $rows_max;

-- list_by_title: many
-- facet text, status text, title_key text, number int64, price_min int64, price_max int64,
-- bits int32, other text?, another text?, third text?, query text?, rows_max int32 ->
-- number int64, title_key text, document bytes
select l.product, l.title_key, p.document
from listings l join products p on p.number = l.product
where l.facet = $facet and l.status = $status and (l.title_key, l.product) > ($title_key, $number)
    and {offered} and {has_words}
order by l.title_key, l.product
limit $rows_max;

-- list_cheapest: many
-- facet text, status text, price_minor int64, number int64, price_min int64, price_max int64,
-- bits int32, other text?, another text?, third text?, query text?, rows_max int32 ->
-- number int64, price_minor int64, document bytes
select l.product, l.price_minor, p.document
from listings l join products p on p.number = l.product
where l.facet = $facet and l.status = $status
    and (l.price_minor, l.product) > ($price_minor, $number) and l.price_minor <= $price_max
    and {offered} and {has_words}
order by l.price_minor, l.product
limit $rows_max;

-- list_dearest: many
-- facet text, status text, price_minor int64, number int64, price_min int64, price_max int64,
-- bits int32, other text?, another text?, third text?, query text?, rows_max int32 ->
-- number int64, price_minor int64, document bytes
select l.product, l.price_minor, p.document
from listings l join products p on p.number = l.product
where l.facet = $facet and l.status = $status
    and (l.price_minor, l.product) < ($price_minor, $number) and l.price_minor >= $price_min
    and {offered} and {has_words}
order by l.price_minor desc, l.product desc
limit $rows_max;

-- ranked: part -- of very many the newest 5000
select rowid as number,
        cast(-1000000 * bm25(product_words, 10, 5, 5, 3, 3, 1) as integer) as score
    from product_words where product_words match $query order by rowid desc limit 5000

-- among: part -- what was ranked comes first, whatever is known of the tables
cross join

-- list_relevant: many -- the score is an integer, so that a cursor can name it
-- facet text, status text, score int64, number int64, price_min int64, price_max int64,
-- bits int32, other text?, another text?, third text?, query text, rows_max int32 ->
-- number int64, score int64, document bytes
-- Documents are read for the page only: sorting drags along what it is given.
with found as materialized (
    {ranked}
), best as materialized (
    select l.product as number, w.score as score
    from found w
        {among} listings l on l.facet = $facet and l.status = $status and l.product = w.number
        join products p on p.number = l.product
    where (w.score, l.product) < ($score, $number) and {offered}
    order by w.score desc, l.product desc
    limit $rows_max
)
select b.number, b.score, d.document
from best b join products d on d.number = b.number
order by b.score desc, b.number desc;

-- ---- variants: what a SKU costs ----

-- variant_by_sku: maybe
-- sku text -> id uuid, product uuid, present bool, title text, variant_title text,
-- price_minor int64, currency currency, for_sale bool, number int64
select id, product, present, title, variant_title, price_minor, currency, for_sale, number
from variants where sku = $1;

-- variant_save: run
-- sku text, id uuid, product uuid, present bool, title text, variant_title text,
-- price_minor int64, currency currency, for_sale bool, number int64
insert into variants
    (sku, id, product, present, title, variant_title, price_minor, currency, for_sale, number)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (sku) do update set id = $2, product = $3, present = $4, title = $5,
    variant_title = $6, price_minor = $7, currency = $8, for_sale = $9, number = $10;

-- ---- categories ----

-- categories_all: many
-- -> id uuid, handle text, name text, parent text?, products_count int64, version int64
select c.id, c.handle, c.name, p.handle, (
        select count(*) from product_categories m join products x on x.number = m.product
        where m.category = c.id and x.status = 'active'),
    c.version
from categories c left join categories p on p.id = c.parent
order by c.handle;

-- category_by_id: maybe
-- id uuid -> id uuid, handle text, name text, parent text?, products_count int64, version int64
select c.id, c.handle, c.name, p.handle, (
        select count(*) from product_categories m join products x on x.number = m.product
        where m.category = c.id and x.status = 'active'),
    c.version
from categories c left join categories p on p.id = c.parent
where c.id = $1;

-- category_holder: maybe
-- handle text -> id uuid, parent uuid?
select id, parent from categories where handle = $1;

-- category_parent: maybe
-- id uuid -> parent uuid?, version int64
select parent, version from categories where id = $1;

-- category_insert: run
-- id uuid, handle text, name text, parent uuid?, version int64
insert into categories (id, handle, name, parent, version) values ($1, $2, $3, $4, $5);

-- category_update: run
-- id uuid, handle text, name text, parent uuid?, version int64
update categories set handle = $2, name = $3, parent = $4, version = $5 where id = $1;

-- category_delete: run
-- id uuid
delete from categories where id = $1;

-- category_uses: one
-- id uuid -> products int64, children int64
select (select count(*) from product_categories where category = $1),
    (select count(*) from categories where parent = $1);

-- product_categories_clear: run
-- product int64
delete from product_categories where product = $1;

-- product_category_add: run
-- category uuid, product int64
insert into product_categories (category, product) values ($1, $2) on conflict do nothing;

-- product_categories_of: many
-- product int64 -> handle text
select c.handle from product_categories m join categories c on c.id = m.category
where m.product = $1 order by c.handle;

-- ---- stock ----

-- stock_by_sku: maybe
-- sku text -> on_hand int64, reserved int64, version int64, updated_at time
select on_hand, reserved, version, updated_at from stock where sku = $1;

-- stock_lock: maybe each
-- sku text -> on_hand int64, reserved int64, version int64
-- Inside a batch: on PostgreSQL it locks the row, so that what is decided on it stands.
select on_hand, reserved, version from stock where sku = $1;

-- stock_insert: run
-- sku text, on_hand int64, updated_at time
insert into stock (sku, on_hand, reserved, version, updated_at) values ($1, $2, 0, 1, $3);

-- stock_change: run
-- sku text, on_hand int64, reserved int64, changes int64, updated_at time
-- Deltas: one row a SKU and batch.
update stock set on_hand = on_hand + $2, reserved = reserved + $3, version = version + $4,
    updated_at = $5
where sku = $1;

-- ledger_add: run
-- id uuid, sku text, kind text, delta int64, on_hand_after int64, reason text?, note text?,
-- order_id uuid?, actor uuid?, at time
insert into ledger
    (id, sku, kind, delta, on_hand_after, reason, note, order_id, actor, at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- ledger_page: many
-- sku text, number int64, rows_max int32 ->
-- number int64, id uuid, kind text, delta int64, on_hand_after int64, reason text?, note text?,
-- order_id uuid?, actor uuid?, at time
select number, id, kind, delta, on_hand_after, reason, note, order_id, actor, at
from ledger where sku = $1 and number < $2 order by number desc limit $3;

-- ---- what orders hold ----

-- reservation_by_order: maybe each
-- order_id uuid -> state text, number int64
select state, number from reservations where order_id = $1;

-- reservation_save: run
-- order_id uuid, state text, number int64, updated_at time
insert into reservations (order_id, state, number, updated_at) values ($1, $2, $3, $4)
on conflict (order_id) do update set state = $2, number = $3, updated_at = $4;

-- reservations_over: many -- those that can be forgotten
-- before time, rows_max int32 -> order_id uuid
-- Not where units are held.
select order_id from reservations r
where updated_at < $1 and not exists (
    select 1 from holds h where h.order_id = r.order_id and h.quantity > h.shipped + h.released)
order by updated_at limit $2;

-- reservation_forget: run
-- order_id uuid
delete from reservations where order_id = $1;

-- holds_forget: run
-- order_id uuid
delete from holds where order_id = $1;

-- hold_add: run
-- order_id uuid, sku text, quantity int64
insert into holds (order_id, sku, quantity, shipped, returned, released)
values ($1, $2, $3, 0, 0, 0);

-- holds_of: many each
-- order_id uuid -> sku text, quantity int64, shipped int64, returned int64, released int64
select sku, quantity, shipped, returned, released from holds where order_id = $1 order by sku;

-- hold_save: run
-- order_id uuid, sku text, shipped int64, returned int64, released int64
update holds set shipped = $3, returned = $4, released = $5 where order_id = $1 and sku = $2;

-- ---- imports ----

-- import_insert: run
-- id uuid, currency currency, bytes int64, created_at time
insert into imports (id, status, currency, bytes, position, line, created, changed, unchanged,
    refused, message, created_at, updated_at)
values ($1, 'waiting', $2, $3, 0, 1, 0, 0, 0, 0, null, $4, $4);

-- import_by_id: maybe
-- id uuid -> status text, currency currency, bytes int64, position int64, line int32,
-- created int32, changed int32, unchanged int32, refused int32, message text?, created_at time,
-- updated_at time
select status, currency, bytes, position, line, created, changed, unchanged, refused, message,
    created_at, updated_at
from imports where id = $1;

-- import_next: maybe -- the oldest that is not over
-- -> id uuid, currency currency, bytes int64, position int64, line int32
select id, currency, bytes, position, line from imports
where status in ('waiting', 'running') order by created_at limit 1;

-- import_advance: run
-- id uuid, position_before int64, status text, position int64, line int32, created int32,
-- changed int32, unchanged int32, refused int32, message text?, updated_at time
update imports set status = $3, position = $4, line = $5, created = created + $6,
    changed = changed + $7, unchanged = unchanged + $8, refused = refused + $9, message = $10,
    updated_at = $11
where id = $1 and position = $2 and status in ('waiting', 'running');

-- import_line_add: run
-- import uuid, line int32, handle text, outcome text, message text?
insert into import_lines (import, line, handle, outcome, message) values ($1, $2, $3, $4, $5);

-- import_line_of: maybe -- a handle that the same file had before
-- import uuid, handle text -> line int32
-- By the index of handles alone first: SQLite would else walk all lines of the import for each product.
select line from import_lines
where (import, line) in (select import, line from import_lines where import = $1 and handle = $2)
    and outcome <> 'refused'
order by line limit 1;

-- import_lines_page: many
-- import uuid, line int32, rows_max int32 ->
-- line int32, handle text, outcome text, message text?
select line, handle, outcome, message from import_lines
where import = $1 and line > $2 order by line limit $3;

-- imports_old: many
-- before time, rows_max int32 -> import uuid, line int32
select l.import, l.line from import_lines l
where l.import in (select id from imports where created_at < $1 and status in ('done', 'failed')
    order by created_at limit 1)
limit $2;

-- import_line_drop: run
-- import uuid, line int32
delete from import_lines where import = $1 and line = $2;

-- imports_drop_empty: run -- without lines
-- before time, rows_max int32
delete from imports where id in (select id from imports i where i.created_at < $1 and i.status in ('done', 'failed')
    and not exists (select 1 from import_lines l where l.import = i.id) order by i.created_at limit $2);

-- products_sweep_due: one
-- imports_before time, reservations_before time -> imports_due bool, reservations_due bool
select exists (select 1 from imports where created_at < $1 and status in ('done', 'failed')) as imports_due,
    exists (select 1 from reservations r where updated_at < $2 and not exists (
        select 1 from holds h where h.order_id = r.order_id and h.quantity > h.shipped + h.released)) as reservations_due;

-- products_sweep_counts: one
-- -> imports_count int64, lines_count int64, reservations_count int64, holds_count int64, stale_count int64
select (select count(*) from imports) as imports_count, (select count(*) from import_lines) as lines_count,
    (select count(*) from reservations) as reservations_count, (select count(*) from holds) as holds_count,
    (select count(*) from stale_products) as stale_count;

-- ---- documents that must be made anew ----

-- stale_add_category: run
-- category uuid
insert into stale_products (product) select product from product_categories where category = $1
on conflict do nothing;

-- stale_add_all: run
insert into stale_products (product) select number from products where true on conflict do nothing;

-- stale_next: many
-- rows_max int32 -> product int64
select product from stale_products limit $1;

-- stale_drop: run
-- product int64
delete from stale_products where product = $1;

-- fact_by_name: maybe
-- name text -> number int64
select number from facts where name = $1;

-- fact_save: run
-- name text, number int64
insert into facts (name, number) values ($1, $2) on conflict (name) do update set number = $2;

-- ---- the books, for dukactl check ----

-- book_reservations: many
-- order_id uuid, rows_max int32 -> order_id uuid, state text
select order_id, state from reservations where order_id > $1 order by order_id limit $2;

-- book_holds: many
-- order_id uuid -> sku text, quantity int64, shipped int64, returned int64, released int64
select sku, quantity, shipped, returned, released from holds where order_id = $1 order by sku;

-- book_stock: many
-- sku text, rows_max int32 -> sku text, on_hand int64, reserved int64, ledger_sum int64,
-- ledger_last int64
select s.sku, s.on_hand, s.reserved,
    cast(coalesce((select sum(delta) from ledger l where l.sku = s.sku), 0) as bigint) as ledger_sum,
    coalesce((select on_hand_after from ledger l where l.sku = s.sku order by l.number desc limit 1), 0)
        as ledger_last
from stock s where s.sku > $1 order by s.sku limit $2;

-- book_open_holds: many
-- -> sku text, units int64
select sku, cast(sum(quantity - shipped - released) as bigint) as units from holds
group by sku having sum(quantity - shipped - released) <> 0 order by sku;
