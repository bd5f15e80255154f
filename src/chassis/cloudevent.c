#include "chassis/cloudevent.h"

#include "chassis/trace.h"

size_t cloudevent_write(struct arena *arena, const struct bus_event *event,
                        struct cloudevent_attribute out[CLOUDEVENT_ATTRIBUTES_MAX])
{
    ASSERT(arena && event && out);
    str rest = event->topic;
    str service = str_cut(&rest, '.');
    size_t count = 0;
    out[count++] = (struct cloudevent_attribute){ "id", uuid_text(arena, event->id) };
    out[count++] =
        (struct cloudevent_attribute){ "source", str_format(arena, "/%" STR_F, STR_A(service)) };
    out[count++] = (struct cloudevent_attribute){ "specversion", STR("1.0") };
    out[count++] = (struct cloudevent_attribute){ "type", event->type };
    out[count++] = (struct cloudevent_attribute){ "time", time_text(arena, event->at) };
    out[count++] = (struct cloudevent_attribute){ "subject", event->key };
    if (event->number > 0)
        out[count++] =
            (struct cloudevent_attribute){ "number",
                                           str_format(arena, "%lld", (long long)event->number) };
    if (event->traceparent.len > 0)
        out[count++] = (struct cloudevent_attribute){ "traceparent",
                                                      trace_carried_parent(event->traceparent) };
    str state = trace_carried_state(event->traceparent);
    if (state.len > 0)
        out[count++] = (struct cloudevent_attribute){ "tracestate", state };
    return count;
}

void cloudevent_add(struct cloudevent *in, str name, str value)
{
    struct bus_event *event = &in->event;
    bool well = true;
    if (str_equal_fold(name, STR("id")))
        well = in->has_id = uuid_parse(value, &event->id);
    else if (str_equal_fold(name, STR("source")))
        in->has_source = value.len > 0;
    else if (str_equal_fold(name, STR("specversion")))
        well = in->has_version = str_equal(value, STR("1.0"));
    else if (str_equal_fold(name, STR("type")))
        event->type = value;
    else if (str_equal_fold(name, STR("time")))
        well = time_parse(value, &event->at);
    else if (str_equal_fold(name, STR("subject")))
        event->key = value;
    else if (str_equal_fold(name, STR("number")))
        well = str_to_int64(value, 1, INT64_MAX, &event->number);
    else if (str_equal_fold(name, STR("traceparent")))
        event->traceparent = value;
    else if (str_equal_fold(name, STR("tracestate")))
        in->tracestate = value;
    in->is_broken = in->is_broken || !well;
}

static bool is_whole(const struct cloudevent *in, str payload)
{
    return !in->is_broken && in->has_id && in->has_source && in->has_version &&
           in->event.type.len > 0 && in->event.key.len > 0 && payload.len <= CLOUDEVENT_PAYLOAD_MAX;
}

struct bus_event cloudevent_end(struct arena *arena, const struct cloudevent *in, str topic,
                                str payload)
{
    ASSERT(arena && in);
    struct bus_event event = in->event;
    event.topic = topic;
    event.payload = payload;
    event.traceparent = trace_carry(arena, event.traceparent, in->tracestate);
    if (is_whole(in, payload))
        return event;
    struct uuid id = in->has_id ? event.id : uuid_of_name(topic, payload);
    return (struct bus_event){
        .id = id,
        .topic = topic,
        .type = STR(""),
        .key = str_format(arena, "unreadable-%" STR_F, STR_A(uuid_text(arena, id))),
        .payload = str_slice(payload, 0, CLOUDEVENT_PAYLOAD_MAX),
        .at = event.at,
    };
}
