-- Shaped like the shop's: what an order writes.
create table orders (
    id blob primary key not null,
    customer blob not null,
    status text not null,
    total_minor integer not null,
    currency text not null,
    version integer not null,
    created_at integer not null
) strict, without rowid;
create index orders_by_customer on orders (customer, created_at desc, id desc);

create table order_lines (
    order_id blob not null references orders (id),
    position integer not null,
    sku text not null,
    quantity integer not null check (quantity > 0),
    unit_minor integer not null,
    primary key (order_id, position)
) strict, without rowid;

create table stock (
    sku text primary key not null,
    reserved integer not null check (reserved >= 0)
) strict, without rowid;

-- A virtual table has statements of its own on the connection.
create virtual table titles using fts5 (title);
