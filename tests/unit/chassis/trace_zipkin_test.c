#include "base/json.h"
#include "chassis/trace_encode.h"
#include "tests/unit/chassis/trace_fixture.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"

static str json_text(struct test *t, const struct json *object, const char *name)
{
    const struct json *value = json_member(object, str_of_z(name));
    if (!value)
        FAIL("no member %s", name);
    return str_copy(t->arena, json_string(value));
}

TEST(a_span_is_told_as_zipkin_takes_it)
{
    struct spans_taken taken = { .count = 0 };
    struct trace_context parent = context_of(TRACE);
    struct trace_source source = { .version = STR("1") };
    struct span span;
    spans_record(t, &taken, (struct trace_config){ .sampler = SAMPLE_ALL });
    span_begin(&span, &parent, SPAN_CONSUMER, "orders", STR("process \"x\"\n\xff"));
    span_number(&span, "duka.event.number", 3);
    span_fail(&span, STR("db.failed"));
    span_end(&span);
    struct export_record record = { taken.records[0], taken.sizes[0] };
    struct export_record records[] = { record, record };

    const struct json *list;
    CHECK_OK(json_read(t->arena, trace_zipkin(t->arena, &source, records, 2), &list));
    CHECK_INT(json_count(list), 2);
    struct json_walk walk = json_walk_of(list);
    CHECK(json_next(&walk));
    CHECK_STR(json_text(t, walk.value, "traceId"), TRACE);
    CHECK_STR(json_text(t, walk.value, "parentId"), "b7ad6b7169203331");
    CHECK_STR(json_text(t, walk.value, "kind"), "CONSUMER");
    CHECK_STR(json_text(t, walk.value, "name"), "process \"x\"\n\xef\xbf\xbd");
    const struct json *tags = json_member(walk.value, STR("tags"));
    CHECK_STR(json_text(t, tags, "duka.event.number"), "3");
    CHECK_STR(json_text(t, tags, "error"), "db.failed");
    CHECK_STR(json_text(t, json_member(walk.value, STR("localEndpoint")), "serviceName"),
              "duka-orders");
    int64_t duration;
    CHECK(json_int64(json_member(walk.value, STR("duration")), &duration) && duration >= 1);
}
