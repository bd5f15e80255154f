#include "base/json.h"
#include "base/text.h"
#include "chassis/trace.h"
#include "chassis/trace_encode.h"

/* Zipkin's API v2, https://zipkin.io/zipkin-api: kind is one of four words, or is not there. */
static str kind_word(const struct span *span)
{
    switch ((enum span_kind)span->kind) {
    case SPAN_SERVER: return STR("SERVER");
    case SPAN_CLIENT: return STR("CLIENT");
    case SPAN_PRODUCER: return STR("PRODUCER");
    case SPAN_CONSUMER: return STR("CONSUMER");
    case SPAN_INTERNAL: break;
    }
    return STR_NONE;
}

static void member(struct text *out, bool *first, str name, str value)
{
    json_add_name(out, first, name);
    json_add_string(out, utf8_repair(out->arena, value));
}

static void member_hex(struct text *out, bool *first, str name, const uint8_t *bytes, size_t count)
{
    char hex[2 * TRACE_ID_BYTES + 1];
    trace_hex(bytes, count, hex);
    member(out, first, name, str_of(hex, 2 * count));
}

/* Tags are texts; that of an error makes the span red. Links, which Zipkin has not, are tags. */
static void add_tags(struct text *out, const struct span *span)
{
    bool first = true;
    json_add_name(out, &(bool){ false }, STR("tags"));
    text_add_byte(out, '{');
    struct span_attribute attribute;
    for (str rest = span_attributes(span); span_next_attribute(&rest, &attribute);) {
        str value = attribute.is_text ? attribute.text
                                      : str_format(out->arena, "%lld", (long long)attribute.number);
        member(out, &first, attribute.key, value);
        if (span->failed && str_equal(attribute.key, STR("error.type")))
            member(out, &first, STR("error"), value);
    }
    const struct trace_context *links = span_links(span);
    for (uint16_t i = 0; i < span->links_count; i++) {
        char traceparent[TRACEPARENT_LEN + 1];
        trace_context_write(&links[i], traceparent);
        member(out, &first, str_format(out->arena, "link.%u", (unsigned)i),
               str_of(traceparent, TRACEPARENT_LEN));
    }
    text_add_byte(out, '}');
}

static bool is_zero(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i])
            return false;
    return true;
}

static void add_span(struct text *out, const struct trace_source *source, const struct span *span)
{
    bool first = true, is_inner = true;
    str kind = kind_word(span);

    text_add_byte(out, '{');
    member_hex(out, &first, STR("traceId"), span->context.trace_id, TRACE_ID_BYTES);
    member_hex(out, &first, STR("id"), span->context.span_id, SPAN_ID_BYTES);
    if (!is_zero(span->parent_id, SPAN_ID_BYTES))
        member_hex(out, &first, STR("parentId"), span->parent_id, SPAN_ID_BYTES);
    member(out, &first, STR("name"), span_name(span));
    if (kind.ptr)
        member(out, &first, STR("kind"), kind);
    json_add_name(out, &first, STR("timestamp"));
    text_add_int(out, span->start_us);
    json_add_name(out, &first, STR("duration")); /* 0 would say that it is not known */
    text_add_int(out, span->took_us > 0 ? span->took_us : 1);
    json_add_name(out, &first, STR("localEndpoint"));
    text_add_byte(out, '{');
    member(out, &is_inner, STR("serviceName"),
           trace_service_name(out->arena, source, span->service));
    text_add_byte(out, '}');
    add_tags(out, span);
    text_add_byte(out, '}');
}

str trace_zipkin(struct arena *arena, const void *source, const struct export_record *records,
                 size_t count)
{
    ASSERT(arena && source && records);
    struct text out = text_init(arena, count * 512 + 64);

    text_add_byte(&out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            text_add_byte(&out, ',');
        add_span(&out, source, span_of_record(records[i].bytes));
    }
    text_add_byte(&out, ']');
    return text_str(&out);
}
