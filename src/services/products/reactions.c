/* What each event of contracts/orders/v1/orders.proto does to stock: one write each, decided under
 * the lock, where many orders want the same units. */
#include "gen/orders.h"
#include "services/products/inside.h"

/* Lines of an event, one a SKU: an order may name a SKU twice. */
static err take_lines(struct call *call, Orders__PlacedLine *const *in, size_t count,
                      struct stock_move_of_order *move)
{
    struct stock_line *lines = arena_array(call->arena, struct stock_line, count + 1);
    struct stock_line *sums;

    for (size_t i = 0; i < count; i++)
        lines[i] = (struct stock_line){ text_of(in[i]->sku), in[i]->quantity };
    TRY(stock_sum(call->arena, lines, count, &sums, &move->lines_count));
    move->lines = sums;
    return OK;
}

static err new_move(struct products *self, struct call *call, enum stock_move_kind kind,
                    ProtobufCBinaryData order, struct stock_move_of_order **out)
{
    struct stock_move_of_order *move = arena_new(call->arena, struct stock_move_of_order);

    *move = (struct stock_move_of_order){ .kind = kind,
                                          .order = uuid_of_field(order),
                                          .stock_low = self->stock_low };
    *out = move;
    return uuid_is_nil(move->order) ? fail(call->arena, EVENT_UNDECODABLE, "it names no order")
                                    : OK;
}

/* Units that come or go are entries of the ledger, one a line. */
static void give_entry_ids(struct call *call, struct stock_move_of_order *move)
{
    move->entry_ids = arena_array(call->arena, struct uuid, move->lines_count + 1);
    for (size_t i = 0; i < move->lines_count; i++)
        move->entry_ids[i] = call_new_id(call);
}

/* After the commit: what the move has come to. */
static void after_move(struct write *write)
{
    const struct products *self = write->after_subject;
    const struct stock_move_of_order *move = write->subject;
    if (move->became != STOCK_AS_IT_WAS)
        series_add(self->holds[move->became], 1);
    series_add(self->stock_outs, move->stock_outs);
}

static err hand_over(struct products *self, struct call *call, struct stock_move_of_order *move)
{
    struct write *write = call_write(call, &store_move_stock, move);
    write->after = after_move;
    write->after_subject = self;
    return OK;
}

err products_on_order_placed(struct products *self, struct call *call,
                             const Orders__OrderPlaced *in)
{
    struct stock_move_of_order *move;

    TRY(new_move(self, call, STOCK_PLACE, in->order_id, &move));
    TRY(take_lines(call, in->lines, in->n_lines, move));
    return hand_over(self, call, move);
}

err products_on_order_closed(struct products *self, struct call *call,
                             const Orders__OrderClosed *in)
{
    struct stock_move_of_order *move;

    TRY(new_move(self, call, STOCK_CLOSE, in->order_id, &move));
    return hand_over(self, call, move);
}

err products_on_order_shipped(struct products *self, struct call *call,
                              const Orders__OrderShipped *in)
{
    struct stock_move_of_order *move;

    TRY(new_move(self, call, STOCK_SHIP, in->order_id, &move));
    TRY(take_lines(call, in->lines, in->n_lines, move));
    give_entry_ids(call, move);
    return hand_over(self, call, move);
}

err products_on_order_returned(struct products *self, struct call *call,
                               const Orders__OrderReturned *in)
{
    struct stock_move_of_order *move;

    TRY(new_move(self, call, STOCK_RETURN, in->order_id, &move));
    TRY(take_lines(call, in->lines, in->n_lines, move));
    give_entry_ids(call, move);
    return hand_over(self, call, move);
}
