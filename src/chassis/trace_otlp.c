#include "chassis/protobuf.h"
#include "chassis/trace.h"
#include "chassis/trace_encode.h"

#include <string.h>

/* opentelemetry/proto/trace/v1/trace.proto, common/v1/common.proto, resource/v1/resource.proto. */
enum {
    REQUEST_RESOURCE_SPANS = 1,
    RESOURCE_SPANS_RESOURCE = 1,
    RESOURCE_SPANS_SCOPE_SPANS = 2,
    SCOPE_SPANS_SCOPE = 1,
    SCOPE_SPANS_SPANS = 2,
    SCOPE_NAME = 1,
    RESOURCE_ATTRIBUTES = 1,
    KEY_VALUE_KEY = 1,
    KEY_VALUE_VALUE = 2,
    VALUE_STRING = 1,
    VALUE_INT = 3,
    SPAN_TRACE_ID = 1,
    SPAN_SPAN_ID = 2,
    SPAN_PARENT_ID = 4,
    SPAN_NAME = 5,
    SPAN_KIND = 6,
    SPAN_START = 7,
    SPAN_END = 8,
    SPAN_ATTRIBUTES = 9,
    SPAN_LINKS = 13,
    SPAN_DROPPED_LINKS = 14,
    SPAN_STATUS = 15,
    SPAN_FLAGS = 16,
    LINK_TRACE_ID = 1,
    LINK_SPAN_ID = 2,
    STATUS_CODE = 3,
    STATUS_ERROR = 2,
    FLAG_SAMPLED = 1,
};

static str bytes_of(const uint8_t *bytes, size_t count)
{
    return str_of((const char *)bytes, count);
}

void trace_otlp_text(struct text *out, uint32_t field, str key, str value)
{
    ASSERT(out);
    size_t pair = protobuf_begin(out, field);
    protobuf_add_bytes(out, KEY_VALUE_KEY, key);
    size_t any = protobuf_begin(out, KEY_VALUE_VALUE);
    protobuf_add_bytes(out, VALUE_STRING, value);
    protobuf_end(out, any);
    protobuf_end(out, pair);
}

void trace_otlp_number(struct text *out, uint32_t field, str key, int64_t value)
{
    ASSERT(out);
    size_t pair = protobuf_begin(out, field);
    protobuf_add_bytes(out, KEY_VALUE_KEY, key);
    size_t any = protobuf_begin(out, KEY_VALUE_VALUE);
    protobuf_add_number(out, VALUE_INT, (uint64_t)value);
    protobuf_end(out, any);
    protobuf_end(out, pair);
}

str trace_service_name(struct arena *arena, const struct trace_source *source, const char *service)
{
    ASSERT(arena && source && service);
    return source->service_name.len > 0 ? source->service_name
                                        : str_format(arena, "duka-%s", service);
}

static void add_more_attributes(struct text *out, str list)
{
    for (str rest = list, pair; rest.ptr && (pair = str_cut(&rest, ','), true);) {
        str value = pair, key = str_cut(&value, '=');
        if (key.len > 0 && value.ptr)
            trace_otlp_text(out, RESOURCE_ATTRIBUTES, key, value);
    }
}

void trace_otlp_resource(struct text *out, const struct trace_source *source, const char *service)
{
    ASSERT(out && source && service);
    size_t resource = protobuf_begin(out, RESOURCE_SPANS_RESOURCE);
    trace_otlp_text(out, RESOURCE_ATTRIBUTES, STR("service.name"),
                    trace_service_name(out->arena, source, service));
    trace_otlp_text(out, RESOURCE_ATTRIBUTES, STR("service.namespace"), STR("duka"));
    trace_otlp_text(out, RESOURCE_ATTRIBUTES, STR("service.version"), source->version);
    trace_otlp_text(out, RESOURCE_ATTRIBUTES, STR("service.instance.id"), source->instance);
    add_more_attributes(out, source->attributes);
    protobuf_end(out, resource);
}

static void add_links(struct text *out, const struct span *span)
{
    for (uint16_t i = 0; i < span->links_count; i++) {
        size_t link = protobuf_begin(out, SPAN_LINKS);
        protobuf_add_bytes(out, LINK_TRACE_ID, bytes_of(span->links[i].trace_id, TRACE_ID_BYTES));
        protobuf_add_bytes(out, LINK_SPAN_ID, bytes_of(span->links[i].span_id, SPAN_ID_BYTES));
        protobuf_end(out, link);
    }
    if (span->links_left_out > 0)
        protobuf_add_number(out, SPAN_DROPPED_LINKS, span->links_left_out);
}

static void add_attributes(struct text *out, const struct span *span)
{
    for (uint8_t i = 0; i < span->attributes_count; i++) {
        const struct span_attribute *attribute = &span->attributes[i];
        str key = str_of_z(attribute->key);
        if (attribute->is_text)
            trace_otlp_text(out, SPAN_ATTRIBUTES, key,
                            str_of(span->text + attribute->at, attribute->len));
        else
            trace_otlp_number(out, SPAN_ATTRIBUTES, key, attribute->number);
    }
}

static bool has_parent(const struct span *span)
{
    for (size_t i = 0; i < SPAN_ID_BYTES; i++)
        if (span->parent_id[i])
            return true;
    return false;
}

static void add_span(struct text *out, const struct span *span)
{
    size_t message = protobuf_begin(out, SCOPE_SPANS_SPANS);
    uint64_t start_ns = (uint64_t)span->start_us * 1000;

    protobuf_add_bytes(out, SPAN_TRACE_ID, bytes_of(span->context.trace_id, TRACE_ID_BYTES));
    protobuf_add_bytes(out, SPAN_SPAN_ID, bytes_of(span->context.span_id, SPAN_ID_BYTES));
    if (has_parent(span))
        protobuf_add_bytes(out, SPAN_PARENT_ID, bytes_of(span->parent_id, SPAN_ID_BYTES));
    protobuf_add_bytes(out, SPAN_NAME, str_of(span->text, span->name_len));
    protobuf_add_number(out, SPAN_KIND, span->kind);
    protobuf_add_fixed64(out, SPAN_START, start_ns);
    protobuf_add_fixed64(out, SPAN_END, start_ns + (uint64_t)span->took_us * 1000);
    add_attributes(out, span);
    add_links(out, span);
    if (span->failed) {
        size_t status = protobuf_begin(out, SPAN_STATUS);
        protobuf_add_number(out, STATUS_CODE, STATUS_ERROR);
        protobuf_end(out, status);
    }
    if (span->context.sampled)
        protobuf_add_fixed32(out, SPAN_FLAGS, FLAG_SAMPLED);
    protobuf_end(out, message);
}

/* The spans of one service. */
static void add_service(struct text *out, const struct trace_source *source, const char *service,
                        const struct span *spans, size_t count)
{
    size_t resource_spans = protobuf_begin(out, REQUEST_RESOURCE_SPANS);
    trace_otlp_resource(out, source, service);
    size_t scope_spans = protobuf_begin(out, RESOURCE_SPANS_SCOPE_SPANS);
    size_t scope = protobuf_begin(out, SCOPE_SPANS_SCOPE);
    protobuf_add_bytes(out, SCOPE_NAME, STR("duka"));
    protobuf_end(out, scope);
    for (size_t i = 0; i < count; i++)
        if (strcmp(spans[i].service, service) == 0)
            add_span(out, &spans[i]);
    protobuf_end(out, scope_spans);
    protobuf_end(out, resource_spans);
}

static bool is_first_of_service(const struct span *spans, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (strcmp(spans[i].service, spans[at].service) == 0)
            return false;
    return true;
}

str trace_otlp(struct arena *arena, const void *source, const struct export_record *records,
               size_t count)
{
    ASSERT(arena && source && records);
    struct span *spans = arena_array(arena, struct span, count);
    struct text out = text_init(arena, count * 512 + 64);

    for (size_t i = 0; i < count; i++)
        span_read(arena, records[i].bytes, &spans[i]);
    for (size_t i = 0; i < count; i++)
        if (is_first_of_service(spans, i))
            add_service(&out, source, spans[i].service, spans, count);
    return text_str(&out);
}
