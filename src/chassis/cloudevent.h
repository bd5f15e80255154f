/* CloudEvents 1.0 in binary mode: an event's attributes as names and values beside its payload,
 * which is protobuf. Each driver writes them as its transport does (a prefix, headers, attributes);
 * here is what they are. Pure.
 *
 * id, source ("/orders"), specversion ("1.0"), type ("orders.v1.OrderPlaced"), time, subject (the
 * key of the order of events), number (ours: grows by one with each event of the key; absent where
 * there is none), traceparent and tracestate (where there are any; an event holds both as one:
 * trace_carry). */
#pragma once
#include "base/arena.h"
#include "chassis/bus.h"

enum { CLOUDEVENT_ATTRIBUTES_MAX = 9, CLOUDEVENT_PAYLOAD_MAX = 1024 * 1024 };

#define CLOUDEVENT_CONTENT_TYPE "application/protobuf"

struct cloudevent_attribute {
    const char *name;
    str value;
};

/* The attributes of an event; gives how many. */
size_t cloudevent_write(struct arena *arena, const struct bus_event *event,
                        struct cloudevent_attribute out[CLOUDEVENT_ATTRIBUTES_MAX]);

/* An event that is being read; begin with all zero. */
struct cloudevent {
    struct bus_event event;
    str tracestate;
    bool has_id, has_source, has_version, is_broken;
};

/* Adds an attribute by its name without the transport's prefix, in either case; unknown ones are
 * nobody's business. Borrowed. */
void cloudevent_add(struct cloudevent *in, str name, str value);

/* The event that was read. One that lacks what we need, or has it wrong, comes as an event without
 * a type under a key of its own, with its payload as it was: the consumer puts it among its dead
 * letters. */
struct bus_event cloudevent_end(struct arena *arena, const struct cloudevent *in, str topic,
                                str payload);
