#include "tests/fuzz/event.h"

#include "chassis/cloudevent.h"
#include "chassis/message.h"
#include "gen/orders.h"
#include "gen/products.h"
#include "gen/users.h"
#include "tests/fuzz/fuzz.h"

static void read_payload(struct arena *arena, const struct bus_event *event)
{
    static const struct event_spec *const known[] = {
        &orders_event_order_placed,    &orders_event_order_confirmed,
        &orders_event_order_closed,    &orders_event_order_shipped,
        &orders_event_order_returned,  &orders_event_order_news,
        &users_event_user_erased,      &products_event_stock_reserved,
        &products_event_stock_refused, &products_event_variant_priced
    };
    void *message;

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (str_equal(event->type, str_of_z(known[i]->name)) &&
            message_unpack(arena, event->payload, known[i]->message, &message) == OK)
            (void)message_validate(arena, known[i]->message, message);
}

/* Written as it goes over a wire and read again it is the same. */
static void check_again(struct arena *arena, const struct bus_event *event)
{
    struct cloudevent_attribute attributes[CLOUDEVENT_ATTRIBUTES_MAX];
    struct cloudevent in = { 0 };

    size_t count = cloudevent_write(arena, event, attributes);
    for (size_t i = 0; i < count; i++)
        cloudevent_add(&in, str_of_z(attributes[i].name), attributes[i].value);
    struct bus_event again = cloudevent_end(arena, &in, event->topic, event->payload);
    FUZZ_SAME(again.type, event->type);
    FUZZ_SAME(again.key, event->key);
    FUZZ_CHECK(uuid_equal(again.id, event->id) && again.number == event->number);
    FUZZ_CHECK(again.at == event->at || event->at == 0);
}

void event_check(struct arena *arena, const struct bus_event *event, size_t payload_bytes)
{
    FUZZ_CHECK(event->payload.len <= CLOUDEVENT_PAYLOAD_MAX && event->payload.len <= payload_bytes);
    FUZZ_CHECK(event->key.len > 0 && event->number >= 0 && event->at >= 0);
    FUZZ_CHECK(bus_shard(event->key) >= 0 && bus_shard(event->key) < BUS_SHARDS);
    if (event->type.len == 0) {
        FUZZ_CHECK(str_starts(event->key, STR("unreadable-")));
        return;
    }
    read_payload(arena, event);
    check_again(arena, event);
}
