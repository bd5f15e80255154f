/* Read back field by field; that real collectors take it is seen in tests/observe. */
#include "chassis/protobuf.h"
#include "chassis/trace_encode.h"
#include "tests/unit/chassis/trace_fixture.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"

static const struct trace_source SOURCE = { .version = STR("1.2.3"),
                                            .instance = STR("i-1"),
                                            .attributes = STR("a=1,broken,b=x=y") };

static struct export_record record_of(struct test *t, const char *service, const char *name)
{
    struct spans_taken *taken = arena_new(t->arena, struct spans_taken);
    struct trace_context parent = context_of(TRACE);
    struct span span;
    spans_record(t, taken, (struct trace_config){ .sampler = SAMPLE_ALL });
    span_begin(&span, &parent, SPAN_SERVER, service, str_of_z(name));
    span_text(&span, "http.route", STR("/orders"));
    span_number(&span, "http.response.status_code", 503);
    span_link(&span, &parent, 1);
    span_fail(&span, STR("upstream.unavailable"));
    span_end(&span);
    return (struct export_record){ taken->records[0], taken->sizes[0] };
}

/* The nth message of a field. */
static str part(str message, uint32_t number, int nth)
{
    struct protobuf_field field;
    while (protobuf_next(&message, &field) == PROTOBUF_FIELD)
        if (field.number == number && field.type == PROTOBUF_BYTES && nth-- == 0)
            return field.bytes;
    return STR_NONE;
}

/* The value of an attribute in a list of KeyValues, a text. */
static str attribute(str message, uint32_t number, const char *key)
{
    for (int i = 0;; i++) {
        str pair = part(message, number, i);
        if (!pair.ptr)
            return STR_NONE;
        if (str_equal(part(pair, 1, 0), str_of_z(key)))
            return part(part(pair, 2, 0), 1, 0);
    }
}

TEST(spans_of_several_services_are_told_each_under_its_own_resource)
{
    struct export_record records[] = { record_of(t, "gateway", "POST /orders"),
                                       record_of(t, "orders", "batch"),
                                       record_of(t, "gateway", "GET /orders") };
    str body = trace_otlp(t->arena, &SOURCE, records, 3);
    str gateway = part(body, 1, 0), orders = part(body, 1, 1);
    CHECK(!part(body, 1, 2).ptr);
    CHECK_STR(attribute(part(gateway, 1, 0), 1, "service.name"), "duka-gateway");
    CHECK_STR(attribute(part(orders, 1, 0), 1, "service.name"), "duka-orders");
    CHECK_STR(attribute(part(orders, 1, 0), 1, "service.version"), "1.2.3");
    CHECK_STR(attribute(part(orders, 1, 0), 1, "b"), "x=y");
    CHECK(!attribute(part(orders, 1, 0), 1, "broken").ptr);
    CHECK_STR(part(part(part(gateway, 2, 0), 2, 1), 5, 0), "GET /orders");
    CHECK(!part(part(orders, 2, 0), 2, 1).ptr);
}

TEST(a_span_is_told_with_ids_attributes_links_and_status)
{
    struct export_record record = record_of(t, "gateway", "POST /orders");
    str body = trace_otlp(t->arena, &SOURCE, &record, 1);
    str span = part(part(part(body, 1, 0), 2, 0), 2, 0);
    struct trace_context parent = context_of(TRACE);
    CHECK_BYTES(part(span, 1, 0).ptr, parent.trace_id, TRACE_ID_BYTES);
    CHECK_INT(part(span, 2, 0).len, SPAN_ID_BYTES);
    CHECK_BYTES(part(span, 4, 0).ptr, parent.span_id, SPAN_ID_BYTES);
    CHECK_STR(attribute(span, 9, "http.route"), "/orders");
    CHECK_STR(attribute(span, 9, "error.type"), "upstream.unavailable");
    CHECK_BYTES(part(part(span, 13, 0), 2, 0).ptr, parent.span_id, SPAN_ID_BYTES);
    CHECK(part(span, 15, 0).len > 0);
}

TEST(one_name_for_all_is_taken_where_it_is_set)
{
    struct trace_source named = { .service_name = STR("my shop") };
    CHECK_STR(trace_service_name(t->arena, &named, "orders"), "my shop");
    CHECK_STR(trace_service_name(t->arena, &SOURCE, "orders"), "duka-orders");
}

TEST(a_resource_and_values_stand_as_key_values)
{
    struct text out = text_init(t->arena, 64);
    trace_otlp_resource(&out, &SOURCE, "users");
    CHECK_STR(attribute(part(text_str(&out), 1, 0), 1, "service.namespace"), "duka");
    struct text values = text_init(t->arena, 64);
    trace_otlp_text(&values, 6, STR("k"), STR("v"));
    trace_otlp_number(&values, 6, STR("n"), -1);
    CHECK_STR(attribute(text_str(&values), 6, "k"), "v");
    CHECK_STR(part(part(text_str(&values), 6, 1), 1, 0), "n");
}
