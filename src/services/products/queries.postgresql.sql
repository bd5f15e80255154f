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

-- has_words: part
($query is null or l.product in (
        select w.product from product_words w where w.words @@ product_search($query)))

-- ranked: part -- of very many the newest 5000
select w.product as number, cast(1000000 * ts_rank(array[0.1, 0.3, 0.5, 1.0]::real[], w.words,
            product_search($query)) as bigint) as score
    from product_words w where w.words @@ product_search($query) order by w.product desc limit 5000

-- among: part
join
