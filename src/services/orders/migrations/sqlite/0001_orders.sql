-- Orders and what belongs to them. Times are microseconds since 1970 UTC, money is minor units.
-- Allowed words are compared one by one: for `in (…)` SQLite fills a table of its own at each row that it checks, which
-- took half the time of a write.
create table orders (
    id blob primary key not null check (length(id) = 16),
    customer blob not null check (length(customer) = 16),
    status text not null check (status = 'placed' or status = 'reserved' or status = 'confirmed' or status = 'completed' or
        status = 'rejected' or status = 'cancelling' or status = 'cancelled'),
    payment text not null check (payment = 'none' or payment = 'pending' or payment = 'unknown' or payment = 'authorized' or
        payment = 'captured' or payment = 'declined' or payment = 'voiding' or payment = 'voided' or
        payment = 'refunding' or payment = 'refunded'),
    fulfilment text not null check (fulfilment = 'none' or fulfilment = 'partial' or fulfilment = 'fulfilled' or
        fulfilment = 'delivered' or fulfilment = 'returned'),
    total_minor integer not null check (total_minor >= 0),
    currency text not null,
    captured_minor integer not null check (captured_minor between 0 and total_minor),
    refunded_minor integer not null check (refunded_minor between 0 and captured_minor),
    provider text not null,
    payment_token text not null,
    address blob not null, -- duka.Address, or empty
    reason text not null,
    hold_until integer not null,
    event_number integer not null,
    version integer not null,
    created_at integer not null,
    updated_at integer not null,
    -- A cancelled or rejected order keeps no money.
    check ((status <> 'cancelled' and status <> 'rejected') or
        payment = 'none' or payment = 'declined' or payment = 'voided' or payment = 'refunded')
) strict, without rowid;
create index orders_by_customer on orders (customer, created_at, id);
create index orders_by_time on orders (created_at, id);
create index orders_on_hold on orders (hold_until) where status = 'reserved' and payment = 'pending';

create table order_lines (
    order_id blob not null references orders (id),
    position integer not null,
    sku text not null,
    title text not null,
    variant_title text not null,
    quantity integer not null check (quantity > 0),
    shipped integer not null check (shipped between 0 and quantity),
    unit_minor integer not null check (unit_minor >= 0),
    primary key (order_id, position)
) strict, without rowid;

-- Who did what, when and why; kept for ever; ids only.
create table timeline (
    order_id blob not null references orders (id),
    version integer not null,
    position integer not null,
    at integer not null,
    what text not null,
    actor text not null check (actor = 'customer' or actor = 'staff' or actor = 'system' or actor = 'provider'),
    actor_id blob,
    reason text not null,
    primary key (order_id, version, position)
) strict, without rowid;

create table fulfilments (
    id blob primary key not null,
    order_id blob not null references orders (id),
    carrier text not null,
    tracking text not null,
    lines blob not null, -- orders.v1.Fulfilment with its lines only
    created_at integer not null
) strict, without rowid;
create index fulfilments_by_order on fulfilments (order_id);

-- Our own copy of the prices, fed by products.v1.VariantPriced: an order can be placed while Products is away.
create table prices (
    sku text primary key not null,
    number integer not null,
    product_id blob not null,
    title text not null,
    variant_title text not null,
    unit_minor integer not null,
    currency text not null,
    for_sale integer not null
) strict, without rowid;

-- The call to a payment provider that is due for an order: at most one. The payment's id is the order's id.
create table payment_jobs (
    order_id blob primary key not null references orders (id),
    kind text not null check (kind = 'authorize' or kind = 'capture' or kind = 'void' or kind = 'refund'),
    due_at integer not null,
    tries integer not null,
    since integer not null
) strict, without rowid;
create index payment_jobs_by_due on payment_jobs (due_at);

-- Callbacks that were taken: each event of a provider once.
create table payment_events (
    provider text not null,
    event_id text not null,
    at integer not null,
    primary key (provider, event_id)
) strict, without rowid;
create index payment_events_by_time on payment_events (at);
