#include "chassis/cloudevent.h"
#include "tests/lib/test.h"

static struct bus_event placed(void)
{
    return (struct bus_event){ .id = { { 1, 2, 3 } },
                               .type = STR("orders.v1.OrderPlaced"),
                               .topic = STR("orders.v1"),
                               .key = STR("order-7"),
                               .number = 3,
                               .payload = STR("bytes"),
                               .traceparent = STR("00-aa-bb-01 shop=1,other=x"),
                               .at = INT64_C(1767225600123456) };
}

static void add_all(struct cloudevent *in, const struct cloudevent_attribute *attributes,
                    size_t count, const char *but)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(attributes[i].name, but) != 0)
            cloudevent_add(in, str_of_z(attributes[i].name), attributes[i].value);
}

TEST(an_event_is_read_as_it_was_written)
{
    struct bus_event event = placed();
    struct cloudevent_attribute attributes[CLOUDEVENT_ATTRIBUTES_MAX];
    size_t count = cloudevent_write(t->arena, &event, attributes);
    CHECK_INT(count, CLOUDEVENT_ATTRIBUTES_MAX);
    struct cloudevent in = { 0 };
    add_all(&in, attributes, count, "");
    cloudevent_add(&in, STR("dataschema"), STR("of no interest"));
    struct bus_event read = cloudevent_end(t->arena, &in, event.topic, event.payload);
    CHECK(uuid_equal(read.id, event.id));
    CHECK_STR(read.type, "orders.v1.OrderPlaced");
    CHECK_STR(read.topic, "orders.v1");
    CHECK_STR(read.key, "order-7");
    CHECK_INT(read.number, 3);
    CHECK_STR(read.payload, "bytes");
    CHECK_STR(read.traceparent, "00-aa-bb-01 shop=1,other=x");
    CHECK_INT(read.at, event.at);
}

TEST(a_trace_travels_as_two_attributes)
{
    struct bus_event event = placed();
    struct cloudevent_attribute attributes[CLOUDEVENT_ATTRIBUTES_MAX];
    CHECK_INT(cloudevent_write(t->arena, &event, attributes), CLOUDEVENT_ATTRIBUTES_MAX);
    CHECK_STR(attributes[7].name, "traceparent");
    CHECK_STR(attributes[7].value, "00-aa-bb-01");
    CHECK_STR(attributes[8].name, "tracestate");
    CHECK_STR(attributes[8].value, "shop=1,other=x");
    event.traceparent = STR("00-aa-bb-01");
    CHECK_INT(cloudevent_write(t->arena, &event, attributes), CLOUDEVENT_ATTRIBUTES_MAX - 1);
}

TEST(the_attributes_are_those_of_cloudevents)
{
    struct bus_event event = placed();
    event.number = 0;
    event.traceparent = STR_NONE;
    struct cloudevent_attribute attributes[CLOUDEVENT_ATTRIBUTES_MAX];
    CHECK_INT(cloudevent_write(t->arena, &event, attributes), 6);
    CHECK_STR(attributes[1].name, "source");
    CHECK_STR(attributes[1].value, "/orders");
    CHECK_STR(attributes[2].name, "specversion");
    CHECK_STR(attributes[2].value, "1.0");
    CHECK_STR(attributes[4].name, "time");
    CHECK_STR(attributes[4].value, "2026-01-01T00:00:00.123456Z");
}

TEST(an_event_that_lacks_what_we_need_has_no_type_and_a_key_of_its_own)
{
    static const char *const needed[] = { "id", "source", "specversion", "type", "subject" };
    struct bus_event event = placed();
    struct cloudevent_attribute attributes[CLOUDEVENT_ATTRIBUTES_MAX];
    size_t count = cloudevent_write(t->arena, &event, attributes);
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        struct cloudevent in = { 0 };
        add_all(&in, attributes, count, needed[i]);
        struct bus_event read = cloudevent_end(t->arena, &in, STR("orders.v1"), STR("bytes"));
        CHECK_INT(read.type.len, 0);
        CHECK_INT(read.number, 0);
        CHECK(str_starts(read.key, STR("unreadable-")));
        CHECK_STR(read.payload, "bytes");
    }
    struct cloudevent in = { 0 }; /* number, time and traceparent may be absent */
    add_all(&in, attributes, 6, "time");
    CHECK_STR(cloudevent_end(t->arena, &in, STR("orders.v1"), STR("")).type, event.type);
}

TEST(an_attribute_that_cannot_be_read_spoils_the_event)
{
    static const char *const wrong[][2] = {
        { "id", "7" },
        { "id", "" },
        { "specversion", "0.3" },
        { "time", "yesterday" },
        { "number", "0" },
        { "number", "-1" },
        { "number", "1.5" },
        { "number", "99999999999999999999" },
    };
    struct bus_event event = placed();
    struct cloudevent_attribute attributes[CLOUDEVENT_ATTRIBUTES_MAX];
    size_t count = cloudevent_write(t->arena, &event, attributes);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct cloudevent in = { 0 };
        add_all(&in, attributes, count, wrong[i][0]);
        cloudevent_add(&in, str_of_z(wrong[i][0]), str_of_z(wrong[i][1]));
        CHECK_INT(cloudevent_end(t->arena, &in, STR("orders.v1"), STR("")).type.len, 0);
    }
}

TEST(a_payload_that_is_too_large_is_cut_and_told_unreadable)
{
    struct bus_event event = placed();
    struct cloudevent_attribute attributes[CLOUDEVENT_ATTRIBUTES_MAX];
    size_t count = cloudevent_write(t->arena, &event, attributes), bytes = CLOUDEVENT_PAYLOAD_MAX;
    str payload = str_of(arena_alloc(t->arena, bytes + 1, 1), bytes);
    struct cloudevent in = { 0 };
    add_all(&in, attributes, count, "");
    CHECK(cloudevent_end(t->arena, &in, STR("orders.v1"), payload).type.len > 0);
    payload.len++;
    struct bus_event read = cloudevent_end(t->arena, &in, STR("orders.v1"), payload);
    CHECK_INT(read.type.len, 0);
    CHECK_INT(read.payload.len, bytes);
}
