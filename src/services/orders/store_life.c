/* One order's life, for those who look after the shop: states, steps and money, and nobody's data.
 */
#include "base/crypto.h"
#include "chassis/trace.h"
#include "services/orders/service.h"
#include "services/orders/store.h"

/* As the log and spans name people: 64 bits of SHA-256 of the id. */
static ProtobufCBinaryData pseudonym(struct arena *arena, struct uuid person)
{
    enum { HASH_BYTES = 8 };
    char hex[2 * HASH_BYTES + 1];
    struct sha256 hash = sha256_of(str_of((const char *)person.bytes, sizeof person.bytes));
    trace_hex(hash.bytes, HASH_BYTES, hex);
    return field_of(str_copy(arena, str_of(hex, 2 * HASH_BYTES)));
}

/* "stock.insufficient" is the shop's own word; anything else somebody has written. */
static bool is_word(str reason)
{
    for (size_t i = 0; i < reason.len; i++)
        if ((reason.ptr[i] < 'a' || reason.ptr[i] > 'z') && reason.ptr[i] != '.' &&
            reason.ptr[i] != '_')
            return false;
    return true;
}

static ProtobufCBinaryData masked(ProtobufCBinaryData reason)
{
    return is_word(text_of(reason)) ? reason : field_of(STR("(somebody's words)"));
}

static void mask_order(struct arena *arena, const struct order *order, Orders__Order *out)
{
    out->shipping_address = NULL;
    out->customer_id = pseudonym(arena, order->customer);
    out->reason = masked(out->reason);
    for (size_t i = 0; i < out->n_fulfilments; i++)
        out->fulfilments[i]->tracking = field_of(STR(""));
}

static void mask_timeline(struct arena *arena, const struct past_step *steps, Orders__Timeline *out)
{
    for (size_t i = 0; i < out->n_items; i++) {
        out->items[i]->actor_id = uuid_is_nil(steps[i].actor_id)
                                      ? field_of(STR(""))
                                      : pseudonym(arena, steps[i].actor_id);
        out->items[i]->reason = masked(out->items[i]->reason);
    }
}

err orders_read_life(struct db_reader *reader, struct arena *arena, struct uuid id,
                     struct orders_life *out, bool *found)
{
    ASSERT(reader && arena && out && found);
    struct order order;
    const struct fulfilment *fulfilments;
    struct past_step *steps;
    size_t count, steps_count;

    TRY(orders_has(reader, arena, id, found));
    if (!*found)
        return OK;
    TRY(store_find_order(reader, arena, id, &order));
    TRY(store_find_fulfilments(reader, arena, id, &fulfilments, &count));
    TRY(store_find_steps(reader, arena, id, &steps, &steps_count));
    Orders__Order *told = view_of_order(arena, &order, fulfilments, count);
    Orders__Timeline *timeline = view_of_timeline(arena, steps, steps_count);
    mask_order(arena, &order, told);
    mask_timeline(arena, steps, timeline);
    *out = (struct orders_life){ told, timeline, STR("") };
    if (order.traceparent.len >= TRACEPARENT_LEN)
        out->trace_id = str_slice(order.traceparent, 3, 2 * TRACE_ID_BYTES);
    return OK;
}
