/* Events on their way from one service to the other: what is written is read, whatever is in it. */
#include "chassis/bus_direct.h"
#include "tests/lib/test.h"

static struct bus_event event_of(str key, int64_t number, str payload)
{
    return (struct bus_event){ .id = { { 1, 2, 3 } },
                               .topic = STR("orders.v1"),
                               .type = STR("orders.v1.OrderPlaced"),
                               .key = key,
                               .number = number,
                               .payload = payload,
                               .at = INT64_C(1767225600) * TIME_SECOND };
}

TEST(events_that_were_written_one_after_the_other_are_read_in_their_order)
{
    str payloads[] = { STR(""), STR("\n\nlength:7\n\n"), STR("\xff\x00\x01 bytes") };
    str keys[] = { STR("a"), STR("b c%d\"e\n\xc3\xa9"), STR(":") };
    struct text text = text_init(t->arena, 64);
    struct bus_event seen;

    for (int i = 0; i < 3; i++) {
        struct bus_event event = event_of(keys[i], i, payloads[i]);
        direct_event_write(&text, t->arena, &event);
    }
    str rest = text_str(&text);
    for (int i = 0; i < 3; i++) {
        CHECK(direct_event_read(t->arena, &rest, &seen));
        CHECK(str_equal(seen.key, keys[i]));
        CHECK(str_equal(seen.payload, payloads[i]));
        CHECK_INT(seen.number, i);
        CHECK_INT(seen.at, INT64_C(1767225600) * TIME_SECOND);
        CHECK_STR(seen.topic, "orders.v1");
        CHECK_STR(seen.type, "orders.v1.OrderPlaced");
        CHECK_INT(seen.id.bytes[2], 3);
    }
    CHECK_INT(rest.len, 0);
}

TEST(what_lacks_an_attribute_or_has_it_wrong_is_for_the_dead_letters)
{
    static const char *const lines[] = { "id:seven", "subject:%zz", "time:noon", "number:-1",
                                         "nothing" };
    static const char well[] =
        "topic:orders.v1\nid:0190d3c1-7c3a-7000-8000-000000000001\nsource:/orders\n"
        "specversion:1.0\ntype:T\nsubject:k\n";
    struct bus_event seen;

    for (size_t i = 0; i <= sizeof lines / sizeof lines[0]; i++) {
        bool is_wrong = i < sizeof lines / sizeof lines[0];
        str text = str_format(t->arena, "%s%s%slength:2\n\nok", well, is_wrong ? lines[i] : "",
                              is_wrong ? "\n" : "");
        CHECK(direct_event_read(t->arena, &text, &seen));
        CHECK_INT(text.len, 0);
        CHECK_STR(seen.payload, "ok");
        CHECK_STR(seen.topic, "orders.v1");
        CHECK_STR(seen.type, is_wrong ? "" : "T");
    }
}

TEST(what_is_cut_or_has_no_length_is_refused_whole)
{
    struct bus_event event = event_of(STR("key"), 7, STR("payload")), seen;
    struct text text = text_init(t->arena, 64);
    static const char *const wrong[] = { "",
                                         "\n",
                                         "topic:t\n",
                                         "topic:t\n\n",
                                         "length:1\n\n",
                                         "length:-1\n\n",
                                         "length:x\n\nx",
                                         "length:2147483648\n\nx" };

    direct_event_write(&text, t->arena, &event);
    for (size_t len = 0; len < text.len; len++) {
        str rest = str_of(text.ptr, len);
        CHECK(!direct_event_read(t->arena, &rest, &seen));
    }
    str whole = text_str(&text);
    CHECK(direct_event_read(t->arena, &whole, &seen));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        str rest = str_of_z(wrong[i]);
        CHECK(!direct_event_read(t->arena, &rest, &seen));
    }
}
