"""gen/listeners.[hc]: which services listen to which topics. Whoever publishes makes their queues
first, so it must know of those that run elsewhere."""
from c_text import HEAD, quoted


def topics_of(service):
    return sorted({event.event.topic for event in service.reactions})


def make_listeners_h():
    return (HEAD.format(source="all contracts") + '#pragma once\n#include "chassis/bus.h"\n\n'
            "/* Every service that reacts to events, and to which topics. */\n"
            "extern const struct bus_listener bus_listeners[];\nextern const int bus_listeners_count;\n")


def make_listeners_c(model):
    listeners = [service for service in model.services if service.reactions]
    out = HEAD.format(source="all contracts") + '#include "gen/listeners.h"\n\n'
    for service in listeners:
        topics = ", ".join(map(quoted, topics_of(service)))
        out += f"static const char *const {service.unit}_topics[] = {{ {topics} }};\n"
    rows = "".join(f"    {{ {quoted(service.unit)}, {service.unit}_topics, {len(topics_of(service))} }},\n"
                   for service in listeners)
    return (out + f"\nconst struct bus_listener bus_listeners[] = {{\n{rows or '    { 0 },' + chr(10)}}};\n"
            f"const int bus_listeners_count = {len(listeners)};\n")
