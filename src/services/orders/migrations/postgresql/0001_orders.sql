-- Orders and what belongs to them. Times are microseconds since 1970 UTC, money is minor units.
-- Allowed words are compared one by one: for `in (…)` SQLite fills a table of its own at each row that it checks, which
-- took half the time of a write.
create table orders (
    id uuid primary key not null,
    customer uuid not null,
    status text collate "C" not null check (status = 'placed' or status = 'reserved' or status = 'confirmed' or status = 'completed' or
        status = 'rejected' or status = 'cancelling' or status = 'cancelled'),
    payment text collate "C" not null check (payment = 'none' or payment = 'pending' or payment = 'unknown' or payment = 'authorized' or
        payment = 'captured' or payment = 'declined' or payment = 'voiding' or payment = 'voided' or
        payment = 'refunding' or payment = 'refunded'),
    fulfilment text collate "C" not null check (fulfilment = 'none' or fulfilment = 'partial' or fulfilment = 'fulfilled' or
        fulfilment = 'delivered' or fulfilment = 'returned'),
    total_minor bigint not null check (total_minor >= 0),
    currency text collate "C" not null,
    captured_minor bigint not null check (captured_minor between 0 and total_minor),
    refunded_minor bigint not null check (refunded_minor between 0 and captured_minor),
    provider text collate "C" not null,
    payment_token text collate "C" not null,
    address bytea not null, -- duka.Address, or empty
    reason text collate "C" not null,
    hold_until bigint not null,
    event_number bigint not null,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    -- A cancelled or rejected order keeps no money.
    check ((status <> 'cancelled' and status <> 'rejected') or
        payment = 'none' or payment = 'declined' or payment = 'voided' or payment = 'refunded')
);
create index orders_by_customer on orders (customer, created_at, id);
create index orders_by_time on orders (created_at, id);
create index orders_on_hold on orders (hold_until) where status = 'reserved' and payment = 'pending';

-- No row here refers to its order by a constraint: PostgreSQL would look it up, and lock it, for each line, step and job, which took
-- as long as the rest of an order's writes. They are only written in the transaction that places or moves the order (SQLite checks
-- it for the same code), and `dukactl check` reads the books.
create table order_lines (
    order_id uuid not null,
    position bigint not null,
    sku text collate "C" not null,
    title text collate "C" not null,
    variant_title text collate "C" not null,
    quantity bigint not null check (quantity > 0),
    shipped bigint not null check (shipped between 0 and quantity),
    unit_minor bigint not null check (unit_minor >= 0),
    primary key (order_id, position)
);

-- Who did what, when and why; kept for ever; ids only.
create table timeline (
    order_id uuid not null,
    version bigint not null,
    position bigint not null,
    at bigint not null,
    what text collate "C" not null,
    actor text collate "C" not null check (actor = 'customer' or actor = 'staff' or actor = 'system' or actor = 'provider'),
    actor_id uuid,
    reason text collate "C" not null,
    primary key (order_id, version, position)
);

create table fulfilments (
    id uuid primary key not null,
    order_id uuid not null references orders (id),
    carrier text collate "C" not null,
    tracking text collate "C" not null,
    lines bytea not null, -- orders.v1.Fulfilment with its lines only
    created_at bigint not null
);
create index fulfilments_by_order on fulfilments (order_id);

-- Our own copy of the prices, fed by products.v1.VariantPriced: an order can be placed while Products is away.
create table prices (
    sku text collate "C" primary key not null,
    number bigint not null,
    product_id uuid not null,
    title text collate "C" not null,
    variant_title text collate "C" not null,
    unit_minor bigint not null,
    currency text collate "C" not null,
    for_sale boolean not null
);

-- The call to a payment provider that is due for an order: at most one. The payment's id is the order's id.
create table payment_jobs (
    order_id uuid primary key not null,
    kind text collate "C" not null check (kind = 'authorize' or kind = 'capture' or kind = 'void' or kind = 'refund'),
    due_at bigint not null,
    tries bigint not null,
    since bigint not null
);
create index payment_jobs_by_due on payment_jobs (due_at);

-- Callbacks that were taken: each event of a provider once.
create table payment_events (
    provider text collate "C" not null,
    event_id text collate "C" not null,
    at bigint not null,
    primary key (provider, event_id)
);
create index payment_events_by_time on payment_events (at);
