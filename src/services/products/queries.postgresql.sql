-- Where PostgreSQL's dialect parts from SQLite's: full text, and the rows that are locked. See queries.sql.

-- catalog_lock: one
-- -> locked int32
-- The number is ours: any would do. Until the end of the transaction.
select 1 from pg_advisory_xact_lock(7201);

-- stock_lock: maybe each
-- sku text -> on_hand int64, reserved int64, version int64
select on_hand, reserved, version from stock where sku = $1 for update;

-- words_clear: run
-- product int64
delete from product_words where product = $1;

-- words_add: run
-- product int64, title text, tags text, sku text, vendor text, kind text, description text
-- PostgreSQL has four weights, where SQLite's has the numbers 10, 5, 3 and 1. A text of more would not fit into a tsvector.
insert into product_words (product, words) values ($1, setweight(to_tsvector('simple', $2), 'A') ||
    setweight(to_tsvector('simple', $3), 'B') || setweight(to_tsvector('simple', $4), 'B') ||
    setweight(to_tsvector('simple', $5), 'C') || setweight(to_tsvector('simple', $6), 'C') ||
    setweight(to_tsvector('simple', left($7, 100000)), 'D'));

-- list_newest: many
-- facet text, status text, number int64, price_min int64, price_max int64, bits int32,
-- other text?, another text?, third text?, query text?, rows_max int32 ->
-- number int64, document bytes
select l.product, p.document
from listings l join products p on p.number = l.product
where l.facet = $1 and l.status = $2 and l.product < $3
    and p.price_minor between $4 and $5 and (p.availability & $6) <> 0
    and ($7 is null or exists (
        select 1 from listings o where o.facet = $7 and o.status = $2 and o.product = l.product))
    and ($8 is null or exists (
        select 1 from listings o where o.facet = $8 and o.status = $2 and o.product = l.product))
    and ($9 is null or exists (
        select 1 from listings o where o.facet = $9 and o.status = $2 and o.product = l.product))
    and ($10 is null or l.product in (
        select w.product from product_words w where w.words @@ product_search($10)))
order by l.product desc
limit $11;

-- list_by_title: many
-- facet text, status text, title_key text, number int64, price_min int64, price_max int64,
-- bits int32, other text?, another text?, third text?, query text?, rows_max int32 ->
-- number int64, title_key text, document bytes
select l.product, l.title_key, p.document
from listings l join products p on p.number = l.product
where l.facet = $1 and l.status = $2 and (l.title_key, l.product) > ($3, $4)
    and p.price_minor between $5 and $6 and (p.availability & $7) <> 0
    and ($8 is null or exists (
        select 1 from listings o where o.facet = $8 and o.status = $2 and o.product = l.product))
    and ($9 is null or exists (
        select 1 from listings o where o.facet = $9 and o.status = $2 and o.product = l.product))
    and ($10 is null or exists (
        select 1 from listings o where o.facet = $10 and o.status = $2 and o.product = l.product))
    and ($11 is null or l.product in (
        select w.product from product_words w where w.words @@ product_search($11)))
order by l.title_key, l.product
limit $12;

-- list_cheapest: many
-- facet text, status text, price_minor int64, number int64, price_min int64, price_max int64,
-- bits int32, other text?, another text?, third text?, query text?, rows_max int32 ->
-- number int64, price_minor int64, document bytes
select l.product, l.price_minor, p.document
from listings l join products p on p.number = l.product
where l.facet = $1 and l.status = $2 and (l.price_minor, l.product) > ($3, $4)
    and l.price_minor <= $6
    and p.price_minor between $5 and $6 and (p.availability & $7) <> 0
    and ($8 is null or exists (
        select 1 from listings o where o.facet = $8 and o.status = $2 and o.product = l.product))
    and ($9 is null or exists (
        select 1 from listings o where o.facet = $9 and o.status = $2 and o.product = l.product))
    and ($10 is null or exists (
        select 1 from listings o where o.facet = $10 and o.status = $2 and o.product = l.product))
    and ($11 is null or l.product in (
        select w.product from product_words w where w.words @@ product_search($11)))
order by l.price_minor, l.product
limit $12;

-- list_dearest: many
-- facet text, status text, price_minor int64, number int64, price_min int64, price_max int64,
-- bits int32, other text?, another text?, third text?, query text?, rows_max int32 ->
-- number int64, price_minor int64, document bytes
select l.product, l.price_minor, p.document
from listings l join products p on p.number = l.product
where l.facet = $1 and l.status = $2 and (l.price_minor, l.product) < ($3, $4)
    and l.price_minor >= $5
    and p.price_minor between $5 and $6 and (p.availability & $7) <> 0
    and ($8 is null or exists (
        select 1 from listings o where o.facet = $8 and o.status = $2 and o.product = l.product))
    and ($9 is null or exists (
        select 1 from listings o where o.facet = $9 and o.status = $2 and o.product = l.product))
    and ($10 is null or exists (
        select 1 from listings o where o.facet = $10 and o.status = $2 and o.product = l.product))
    and ($11 is null or l.product in (
        select w.product from product_words w where w.words @@ product_search($11)))
order by l.price_minor desc, l.product desc
limit $12;

-- list_relevant: many -- the score is an integer, so that a cursor can name it
-- facet text, status text, score int64, number int64, price_min int64, price_max int64,
-- bits int32, other text?, another text?, third text?, query text, rows_max int32 ->
-- number int64, score int64, document bytes
-- Of very many the newest 5000 are ranked. Documents are read for the page only: sorting drags along
-- what it is given.
with found as materialized (
    select w.product as number,
        cast(1000000 * ts_rank('{0.1, 0.3, 0.5, 1.0}', w.words, product_search($11)) as bigint) as score
    from product_words w where w.words @@ product_search($11) order by w.product desc limit 5000
), best as materialized (
    select l.product as number, w.score as score
    from found w
        join listings l on l.facet = $1 and l.status = $2 and l.product = w.number
        join products p on p.number = l.product
    where (w.score, l.product) < ($3, $4)
        and p.price_minor between $5 and $6 and (p.availability & $7) <> 0
        and ($8 is null or exists (
            select 1 from listings o
            where o.facet = $8 and o.status = $2 and o.product = l.product))
        and ($9 is null or exists (
            select 1 from listings o
            where o.facet = $9 and o.status = $2 and o.product = l.product))
        and ($10 is null or exists (
            select 1 from listings o
            where o.facet = $10 and o.status = $2 and o.product = l.product))
    order by w.score desc, l.product desc
    limit $12
)
select b.number, b.score, d.document
from best b join products d on d.number = b.number
order by b.score desc, b.number desc;
