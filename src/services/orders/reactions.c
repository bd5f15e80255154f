/* What Orders does on the events of others: read, decide, hand over one write. */
#include "services/orders/inside.h"

err orders_on_variant_priced(struct orders *self, struct call *call,
                             const Products__VariantPriced *in)
{
    (void)self;
    struct price *price = arena_new(call->arena, struct price);
    *price = view_price_of_event(in);
    call_write(call, store_save_prices, price);
    return OK;
}

err orders_on_stock_reserved(struct orders *self, struct call *call,
                             const Products__StockReserved *in)
{
    struct order_save *save = arena_new(call->arena, struct order_save);
    TRY(orders_load_recent(self, call, uuid_of_field(in->order_id), save));
    TRY(order_reserve(call->arena, &save->order, call->now + self->hold_us));
    return orders_hand_over(self, call, save, store_save_orders);
}

err orders_on_stock_refused(struct orders *self, struct call *call,
                            const Products__StockRefused *in)
{
    struct order_save *save = arena_new(call->arena, struct order_save);
    TRY(orders_load_recent(self, call, uuid_of_field(in->order_id), save));
    TRY(order_refuse_stock(call->arena, &save->order));
    save->shorts = view_shorts(call->arena, in);
    save->shorts_count = in->n_lines;
    return orders_hand_over(self, call, save, store_save_orders);
}

err orders_on_user_erased(struct orders *self, struct call *call, const Users__UserErased *in)
{
    (void)self;
    struct erasure *erasure = arena_new(call->arena, struct erasure);
    erasure->customer = uuid_of_field(in->user_id);
    call_write(call, store_add_erasures, erasure);
    return OK;
}
