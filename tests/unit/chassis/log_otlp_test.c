#include "chassis/log_otlp.h"

#include "chassis/protobuf.h"
#include "tests/lib/test.h"

static str part(str message, uint32_t number, int nth)
{
    struct protobuf_field field;
    while (protobuf_next(&message, &field) == PROTOBUF_FIELD)
        if (field.number == number && field.type == PROTOBUF_BYTES && nth-- == 0)
            return field.bytes;
    return STR_NONE;
}

static str attribute(str record, const char *key)
{
    for (int i = 0;; i++) {
        str pair = part(record, 6, i);
        if (!pair.ptr)
            return STR_NONE;
        if (str_equal(part(pair, 1, 0), str_of_z(key)))
            return part(pair, 2, 0);
    }
}

static str body_of(struct test *t, const char *const *lines, size_t count)
{
    static const struct trace_source source = { .program = "orders" };
    struct export_record *records = arena_array(t->arena, struct export_record, count);
    for (size_t i = 0; i < count; i++)
        records[i] = (struct export_record){ lines[i], strlen(lines[i]) };
    return log_otlp(t->arena, &source, records, count);
}

TEST(a_line_is_told_with_its_event_level_ids_and_the_names_of_opentelemetry)
{
    static const char *const lines[] = {
        "{\"time\":\"2026-11-29T05:07:28.454244Z\",\"level\":\"warn\",\"event\":\"http.failed\","
        "\"method\":\"GET\",\"status\":503,\"own\":\"x\",\"cut\":true,"
        "\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\",\"span_id\":\"b7ad6b7169203331\"}",
        "{\"level\":\"info\",\"event\":\"shop.ready\",\"trace_id\":\"none\"}",
        "no JSON at all",
    };
    str logs = part(body_of(t, lines, 3), 1, 0), records = part(logs, 2, 0);
    str record = part(records, 2, 0), other = part(records, 2, 1);
    CHECK(!part(records, 2, 2).ptr);
    CHECK(str_find(part(logs, 1, 0), STR("duka-orders")) >= 0);
    CHECK_STR(part(record, 3, 0), "warn");
    CHECK_STR(part(part(record, 5, 0), 1, 0), "http.failed");
    CHECK_STR(part(record, 12, 0), "http.failed");
    CHECK_STR(part(attribute(record, "http.request.method"), 1, 0), "GET");
    CHECK(attribute(record, "http.response.status_code").ptr);
    CHECK_STR(part(attribute(record, "own"), 1, 0), "x");
    CHECK_STR(part(attribute(record, "cut"), 1, 0), "true");
    CHECK_INT(part(record, 9, 0).len, 16);
    CHECK_INT((uint8_t)part(record, 9, 0).ptr[0], 0x0a);
    CHECK_INT((uint8_t)part(record, 10, 0).ptr[0], 0xb7);
    CHECK(!attribute(record, "trace_id").ptr);
    CHECK_STR(part(other, 12, 0), "shop.ready");
    CHECK(!part(other, 9, 0).ptr && !part(other, 10, 0).ptr);
}
