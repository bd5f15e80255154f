-- Shaped like the shop's: what an order writes.
create table orders (
    id uuid primary key not null,
    customer uuid not null,
    status text collate "C" not null,
    total_minor bigint not null,
    currency text collate "C" not null,
    version bigint not null,
    created_at bigint not null
);
create index orders_by_customer on orders (customer, created_at desc, id desc);

create table order_lines (
    order_id uuid not null references orders (id),
    position bigint not null,
    sku text collate "C" not null,
    quantity bigint not null check (quantity > 0),
    unit_minor bigint not null,
    primary key (order_id, position)
);

create table stock (
    sku text collate "C" primary key not null,
    reserved bigint not null check (reserved >= 0)
);

create table titles (title text collate "C" not null);
