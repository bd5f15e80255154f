#include "chassis/bus_direct.h"
#include "chassis/request.h"

/* What is not visible ASCII, and '%' and '"', percent-encoded (as CloudEvents' HTTP binding does
 * it). */
static void value_add(struct text *out, str value)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if (c > ' ' && c < 0x7f && c != '%' && c != '"') {
            text_add_byte(out, (char)c);
        } else {
            text_add_byte(out, '%');
            text_add_byte(out, digits[c >> 4]);
            text_add_byte(out, digits[c & 15]);
        }
    }
}

static void line_add(struct text *out, str name, str value)
{
    text_add(out, name);
    text_add_byte(out, ':');
    value_add(out, value);
    text_add_byte(out, '\n');
}

void direct_event_write(struct text *out, struct arena *arena, const struct bus_event *event)
{
    ASSERT(out && arena && event);
    struct cloudevent_attribute attributes[CLOUDEVENT_ATTRIBUTES_MAX];
    size_t count = cloudevent_write(arena, event, attributes);

    line_add(out, STR("topic"), event->topic);
    for (size_t i = 0; i < count; i++)
        line_add(out, str_of_z(attributes[i].name), attributes[i].value);
    text_add(out, STR("length:"));
    text_add_int(out, (int64_t)event->payload.len);
    text_add(out, STR("\n\n"));
    text_add(out, event->payload);
}

/* One event while it is read. */
struct reading {
    struct cloudevent attributes;
    str topic;
    int64_t payload_len; /* -1: not told yet */
};

static void line_read(struct arena *arena, struct reading *in, str line)
{
    str value = line, name = str_cut(&value, ':'), text;

    if (!value.ptr || !percent_decode(arena, value, false, &text))
        in->attributes.is_broken = true;
    else if (str_equal(name, STR("topic")))
        in->topic = text;
    else if (!str_equal(name, STR("length")))
        cloudevent_add(&in->attributes, name, text);
    else if (!str_to_int64(text, 0, INT32_MAX, &in->payload_len))
        in->payload_len = -1;
}

bool direct_event_read(struct arena *arena, str *rest, struct bus_event *out)
{
    ASSERT(arena && rest && out);
    struct reading in = { .payload_len = -1 };
    str left = *rest, line;

    while (left.ptr && (line = str_cut(&left, '\n')).len > 0)
        line_read(arena, &in, line);
    if (!left.ptr || in.payload_len < 0 || (size_t)in.payload_len > left.len)
        return false;
    str payload = str_slice(left, 0, (size_t)in.payload_len);
    *rest = str_slice(left, payload.len, left.len);
    *out = cloudevent_end(arena, &in.attributes, in.topic, payload);
    return true;
}
