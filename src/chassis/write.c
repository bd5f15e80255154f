#include "chassis/write.h"

#include "base/arena.h"
#include "chassis/message.h"

struct write *write_new(struct arena *arena, write_batch *batch, void *subject)
{
    ASSERT(arena);
    struct write *write = arena_new(arena, struct write);
    write->arena = arena;
    write->batch = batch;
    write->subject = subject;
    write->events_tail = &write->events;
    return write;
}

static int64_t number_of(const struct event_spec *spec, const void *message)
{
    const void *field = message_field(message, spec->message, spec->number_field);
    ProtobufCType type = spec->message->descriptor->fields[spec->number_field].type;
    bool is_narrow = type == PROTOBUF_C_TYPE_UINT32 || type == PROTOBUF_C_TYPE_INT32;
    return is_narrow ? *(const uint32_t *)field : *(const int64_t *)field;
}

void write_announce(struct write *write, const struct event_spec *spec, const void *message)
{
    ASSERT(write && write->events_tail && spec && message);
    ASSERT(spec->key_field >= 0 && spec->number_field >= 0);

    str key =
        text_of(*(ProtobufCBinaryData *)message_field(message, spec->message, spec->key_field));
    struct outbox_event *event = arena_new(write->arena, struct outbox_event);
    *event = (struct outbox_event){
        .spec = spec,
        .key = str_copy(write->arena, key),
        .number = number_of(spec, message),
        .payload = message_pack(write->arena, message),
    };
    ASSERT(event->key.len > 0 && event->number >= 0);
    *write->events_tail = event;
    write->events_tail = &event->next;
}
