#include "chassis/write.h"

#include "chassis/message.h"
#include "gen/orders.h"
#include "gen/products.h"
#include "tests/lib/test.h"

TEST(a_new_write_announces_nothing)
{
    int subject = 1;
    struct write *write = write_new(t->arena, NULL, &subject);
    CHECK(write->arena == t->arena);
    CHECK(write->subject == &subject);
    CHECK(write->events == NULL);
    CHECK(write->events_tail == &write->events);
}

TEST(an_event_has_the_key_and_the_number_of_its_message)
{
    struct write *write = write_new(t->arena, NULL, NULL);
    char id[] = "0198c0de-0000-7000-8000-000000000001";
    Orders__OrderClosed *closed = message_new(t->arena, orders_event_order_closed.message);
    closed->order_id = field_of(STR("0198c0de-0000-7000-8000-000000000001"));
    closed->order_id.data = (uint8_t *)id;
    closed->number = 3;
    write_announce(write, &orders_event_order_closed, closed);
    closed->number = 4;
    write_announce(write, &orders_event_order_closed, closed);
    memset(id, 'x', sizeof id - 1); /* the message was packed, the key was copied */

    struct outbox_event *first = write->events, *second = first->next;
    CHECK(first->spec == &orders_event_order_closed);
    CHECK_STR(first->key, "0198c0de-0000-7000-8000-000000000001");
    CHECK_INT(first->number, 3);
    CHECK_INT(second->number, 4);
    CHECK(second->next == NULL);

    void *out;
    CHECK_OK(message_unpack(t->arena, first->payload, first->spec->message, &out));
    CHECK_INT(((Orders__OrderClosed *)out)->number, 3);
    CHECK_STR(text_of(((Orders__OrderClosed *)out)->order_id), first->key);
}

TEST(an_event_without_a_key_is_a_broken_invariant)
{
    struct write *write = write_new(t->arena, NULL, NULL);
    void *closed = message_new(t->arena, orders_event_order_closed.message);
    CHECK_PANICS(write_announce(write, &orders_event_order_closed, closed));
}
