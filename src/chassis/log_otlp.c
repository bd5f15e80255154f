#include "chassis/log_otlp.h"

#include "base/json.h"
#include "base/time.h"
#include "chassis/protobuf.h"
#include "chassis/trace.h"

/* opentelemetry/proto/logs/v1/logs.proto */
enum {
    REQUEST_RESOURCE_LOGS = 1,
    RESOURCE_LOGS_SCOPE_LOGS = 2,
    SCOPE_LOGS_SCOPE = 1,
    SCOPE_LOGS_RECORDS = 2,
    SCOPE_NAME = 1,
    RECORD_TIME = 1,
    RECORD_SEVERITY = 2,
    RECORD_SEVERITY_TEXT = 3,
    RECORD_BODY = 5,
    RECORD_ATTRIBUTES = 6,
    RECORD_TRACE_ID = 9,
    RECORD_SPAN_ID = 10,
    RECORD_OBSERVED_TIME = 11,
    RECORD_EVENT_NAME = 12,
    VALUE_STRING = 1,
};

static const struct {
    str key, name;
} NAMES[] = {
    { STR("method"), STR("http.request.method") },
    { STR("path"), STR("url.path") },
    { STR("route"), STR("http.route") },
    { STR("status"), STR("http.response.status_code") },
    { STR("bytes"), STR("http.response.body.size") },
    { STR("client"), STR("client.address") },
    { STR("user"), STR("enduser.pseudo.id") },
    { STR("error"), STR("error.type") },
    { STR("pid"), STR("process.pid") },
    { STR("request_id"), STR("duka.request.id") },
};

static str name_of(str key)
{
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (str_equal(NAMES[i].key, key))
            return NAMES[i].name;
    return key;
}

/* OpenTelemetry's numbers: the first of each four. */
static uint64_t severity_of(str level)
{
    if (str_equal(level, STR("debug")))
        return 5;
    if (str_equal(level, STR("warn")))
        return 13;
    return str_equal(level, STR("error")) ? 17 : 9;
}

static void add_time(struct text *out, str text)
{
    time_us at;
    if (!time_parse(text, &at))
        return;
    protobuf_add_fixed64(out, RECORD_TIME, (uint64_t)at * 1000);
    protobuf_add_fixed64(out, RECORD_OBSERVED_TIME, (uint64_t)at * 1000);
}

static void add_event(struct text *out, str event)
{
    struct text body = text_init(out->arena, event.len + 8);
    protobuf_add_bytes(&body, VALUE_STRING, event);
    protobuf_add_bytes(out, RECORD_BODY, text_str(&body));
    protobuf_add_bytes(out, RECORD_EVENT_NAME, event);
}

static void add_attribute(struct text *out, str key, const struct json *value)
{
    int64_t number;
    switch (json_kind_of(value)) {
    case JSON_STRING: trace_otlp_text(out, RECORD_ATTRIBUTES, key, json_string(value)); break;
    case JSON_NUMBER:
        if (json_int64(value, &number))
            trace_otlp_number(out, RECORD_ATTRIBUTES, key, number);
        break;
    case JSON_BOOL:
        trace_otlp_text(out, RECORD_ATTRIBUTES, key, json_bool(value) ? STR("true") : STR("false"));
        break;
    case JSON_NULL:
    case JSON_ARRAY:
    case JSON_OBJECT: break; /* no line has any */
    }
}

/* Where it belongs in a trace; ids that are none are left out. */
static void add_place(struct text *out, const struct json *line)
{
    const struct json *trace = json_member(line, STR("trace_id"));
    const struct json *span = json_member(line, STR("span_id"));
    if (!trace || json_kind_of(trace) != JSON_STRING)
        return;
    str span_id = span ? json_string(span) : STR("0000000000000001");
    if (json_string(trace).len != (size_t)2 * TRACE_ID_BYTES ||
        span_id.len != (size_t)2 * SPAN_ID_BYTES)
        return;
    struct trace_context here =
        trace_context_of(str_z(out->arena, json_string(trace)), str_z(out->arena, span_id), false);
    protobuf_add_bytes(out, RECORD_TRACE_ID, str_of((const char *)here.trace_id, TRACE_ID_BYTES));
    if (span)
        protobuf_add_bytes(out, RECORD_SPAN_ID, str_of((const char *)here.span_id, SPAN_ID_BYTES));
}

static void add_line(struct text *out, const struct json *line)
{
    struct text record = text_init(out->arena, 512);
    for (struct json_walk walk = json_walk_of(line); json_next(&walk);) {
        if (str_equal(walk.name, STR("time"))) {
            add_time(&record, json_string(walk.value));
        } else if (str_equal(walk.name, STR("level"))) {
            protobuf_add_number(&record, RECORD_SEVERITY, severity_of(json_string(walk.value)));
            protobuf_add_bytes(&record, RECORD_SEVERITY_TEXT, json_string(walk.value));
        } else if (str_equal(walk.name, STR("event"))) {
            add_event(&record, json_string(walk.value));
        } else if (!str_equal(walk.name, STR("trace_id")) &&
                   !str_equal(walk.name, STR("span_id"))) {
            add_attribute(&record, name_of(walk.name), walk.value);
        }
    }
    add_place(&record, line);
    protobuf_add_bytes(out, SCOPE_LOGS_RECORDS, text_str(&record));
}

str log_otlp(struct arena *arena, const void *source, const struct export_record *records,
             size_t count)
{
    ASSERT(arena && source && records);
    const struct trace_source *from = source;
    struct text scope = text_init(arena, 16), lines = text_init(arena, count * 512 + 64);
    struct text resource_logs = text_init(arena, count * 512 + 512), out = text_init(arena, 1024);

    protobuf_add_bytes(&scope, SCOPE_NAME, STR("duka"));
    protobuf_add_bytes(&lines, SCOPE_LOGS_SCOPE, text_str(&scope));
    for (size_t i = 0; i < count; i++) {
        const struct json *line;
        err error = json_read(arena, str_of(records[i].bytes, records[i].size), &line);
        if (error == OK && json_kind_of(line) == JSON_OBJECT)
            add_line(&lines, line);
    }
    trace_otlp_resource(&resource_logs, from, from->program);
    protobuf_add_bytes(&resource_logs, RESOURCE_LOGS_SCOPE_LOGS, text_str(&lines));
    protobuf_add_bytes(&out, REQUEST_RESOURCE_LOGS, text_str(&resource_logs));
    return text_str(&out);
}
