-- Catalog: a product is its document (products.v1.Product, packed); what stands beside it is what
-- lists are filtered and searched by. `number` is the order of creation.
create table products (
    number integer primary key,
    id blob not null unique,
    handle text not null unique,
    status text not null check (status in ('draft', 'active', 'archived')),
    price_minor integer not null,  -- the lowest among its variants
    availability integer not null, -- a bit for each that some variant has
    version integer not null,
    document blob not null
) strict;

-- Lists: every product under 'all' and under each of its facets ('category:…', 'tag:…', 'vendor:…',
-- 'type:…', folded), in every order, so that a page is a range of an index whatever it is asked for.
create table listings (
    facet text not null,
    status text not null,
    product integer not null references products (number),
    title_key text not null,
    price_minor integer not null,
    primary key (facet, status, product)
) strict, without rowid;
create index listings_by_title on listings (facet, status, title_key, product);
create index listings_by_price on listings (facet, status, price_minor, product);
create index listings_by_product on listings (product);

create virtual table product_words using fts5 (
    title, tags, sku, vendor, kind, description,
    tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);

create table categories (
    id blob primary key,
    handle text not null unique,
    name text not null,
    parent blob references categories (id),
    version integer not null
) strict, without rowid;
create index categories_by_parent on categories (parent);

-- Archived products are in no category.
create table product_categories (
    category blob not null references categories (id),
    product integer not null references products (number),
    primary key (category, product)
) strict, without rowid;
create index product_categories_by_product on product_categories (product);

-- A SKU for as long as anybody may ask for it: one that its product does not have any more
-- (present = 0) keeps its number, so that its events go on where they stopped.
create table variants (
    sku text primary key,
    id blob not null,
    product blob not null,
    present integer not null check (present in (0, 1)),
    title text not null,
    variant_title text not null,
    price_minor integer not null,
    currency text not null,
    for_sale integer not null check (for_sale in (0, 1)),
    number integer not null -- of the latest VariantPriced
) strict, without rowid;

create table stock (
    sku text primary key,
    on_hand integer not null,
    reserved integer not null,
    version integer not null,
    updated_at integer not null,
    check (on_hand >= 0 and reserved >= 0 and reserved <= on_hand)
) strict, without rowid;

-- Only ever added to: on_hand is the sum of the deltas.
create table ledger (
    number integer primary key,
    id blob not null,
    sku text not null references stock (sku),
    kind text not null check (kind = 'initial' or kind = 'adjusted' or kind = 'shipped' or kind = 'returned'),
    delta integer not null,
    on_hand_after integer not null check (on_hand_after >= 0),
    reason text,
    note text,
    order_id blob,
    actor blob,
    at integer not null
) strict;
create index ledger_by_sku on ledger (sku, number);

-- What became of an order's wish for stock. `number` counts what was announced of it. One that was
-- closed before it was placed is a tombstone: closed, number 0.
create table reservations (
    order_id blob primary key,
    state text not null check (state = 'reserved' or state = 'refused' or state = 'closed'),
    number integer not null,
    updated_at integer not null
) strict, without rowid;
create index reservations_over on reservations (updated_at) where state <> 'reserved';

create table holds (
    order_id blob not null,
    sku text not null references stock (sku),
    quantity integer not null check (quantity > 0),
    shipped integer not null check (shipped >= 0),
    returned integer not null check (returned >= 0 and returned <= shipped),
    released integer not null check (released >= 0 and shipped + released <= quantity),
    primary key (order_id, sku)
) strict, without rowid;

create table imports (
    id blob primary key,
    status text not null check (status in ('waiting', 'running', 'done', 'failed')),
    currency text not null,
    bytes integer not null,
    position integer not null, -- of the next product in the file
    line integer not null,     -- of the same
    created integer not null,
    changed integer not null,
    unchanged integer not null,
    refused integer not null,
    message text,
    created_at integer not null,
    updated_at integer not null
) strict, without rowid;
create index imports_open on imports (created_at) where status in ('waiting', 'running');
create index imports_by_time on imports (created_at);

create table import_chunks (
    import blob not null references imports (id),
    number integer not null,
    bytes blob not null,
    primary key (import, number)
) strict;

create table import_lines (
    import blob not null references imports (id),
    line integer not null,
    handle text not null,
    outcome text not null check (outcome in ('created', 'changed', 'unchanged', 'refused')),
    message text,
    primary key (import, line)
) strict, without rowid;
create index import_lines_by_handle on import_lines (import, handle);

-- Products whose documents a job makes anew: a category has another handle, STOCK_LOW changed.
create table stale_products (
    product integer primary key references products (number)
) strict;

-- What the tables were made with: 'stock_low'.
create table facts (
    name text primary key,
    number integer not null
) strict, without rowid;
