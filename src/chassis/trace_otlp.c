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
    const struct trace_context *links = span_links(span);
    for (uint16_t i = 0; i < span->links_count; i++) {
        size_t link = protobuf_begin(out, SPAN_LINKS);
        protobuf_add_bytes(out, LINK_TRACE_ID, bytes_of(links[i].trace_id, TRACE_ID_BYTES));
        protobuf_add_bytes(out, LINK_SPAN_ID, bytes_of(links[i].span_id, SPAN_ID_BYTES));
        protobuf_end(out, link);
    }
    if (span->links_left_out > 0)
        protobuf_add_number(out, SPAN_DROPPED_LINKS, span->links_left_out);
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
    protobuf_add_bytes(out, SPAN_NAME, span_name(span));
    protobuf_add_number(out, SPAN_KIND, span->kind);
    protobuf_add_fixed64(out, SPAN_START, start_ns);
    protobuf_add_fixed64(out, SPAN_END, start_ns + (uint64_t)span->took_us * 1000);
    text_add(out, span_attributes(span)); /* as they are */
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

enum { SERVICES_MAX = 16, SPAN_FRAME_BYTES = 64 };

/* The services that a batch is of, each with its first span, and for each span the next of the same
 * service. Who tells of itself does so by one and the same pointer nearly always. */
struct by_service {
    const char *names[SERVICES_MAX];
    size_t first[SERVICES_MAX], last[SERVICES_MAX];
    size_t count;
    size_t *next; /* of each span; itself: it is the last */
};

static size_t service_at(struct by_service *services, const char *name)
{
    for (size_t i = 0; i < services->count; i++)
        if (services->names[i] == name || strcmp(services->names[i], name) == 0)
            return i;
    return services->count;
}

static void sort_in(struct by_service *services, size_t at, const char *name)
{
    size_t service = service_at(services, name);
    services->next[at] = at;
    if (service < services->count) {
        services->next[services->last[service]] = at;
    } else {
        ASSERT(service < SERVICES_MAX);
        services->names[service] = name;
        services->first[service] = at;
        services->count++;
    }
    services->last[service] = at;
}

/* The spans of one service. */
static void add_service(struct text *out, const struct trace_source *source,
                        const struct by_service *services, size_t service,
                        const struct export_record *records)
{
    size_t resource_spans = protobuf_begin(out, REQUEST_RESOURCE_SPANS);
    trace_otlp_resource(out, source, services->names[service]);
    size_t scope_spans = protobuf_begin(out, RESOURCE_SPANS_SCOPE_SPANS);
    size_t scope = protobuf_begin(out, SCOPE_SPANS_SCOPE);
    protobuf_add_bytes(out, SCOPE_NAME, STR("duka"));
    protobuf_end(out, scope);
    for (size_t at = services->first[service], last = services->last[service];;
         at = services->next[at]) {
        add_span(out, span_of_record(records[at].bytes));
        if (at == last)
            break;
    }
    protobuf_end(out, scope_spans);
    protobuf_end(out, resource_spans);
}

str trace_otlp(struct arena *arena, const void *source, const struct export_record *records,
               size_t count)
{
    ASSERT(arena && source && records);
    struct by_service services = { .next = arena_array(arena, size_t, count) };
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++) {
        sort_in(&services, i, span_of_record(records[i].bytes)->service);
        bytes += records[i].size + SPAN_FRAME_BYTES;
    }
    struct text out = text_init(arena, bytes);
    for (size_t i = 0; i < services.count; i++)
        add_service(&out, source, &services, i, records);
    return text_str(&out);
}
