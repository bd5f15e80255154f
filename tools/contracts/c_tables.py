"""gen/<unit>.[hc]: specs of messages, enums, events and calls, and what api.c must define."""
from c_text import HEAD, comment, designated, flag, initializer, number, quoted
from model import FIELD_MASK, TIMESTAMP
from names import unit_of

TEXT_LENGTH_MAX, ITEMS_MAX = 255, 100
DEADLINE_MS, BODY_BYTES_MAX = 5000, 65536
LANES = {"": "LANE_WORKER", "password": "LANE_PASSWORD", "loop": "LANE_LOOP"}


def field_spec(field):
    rule, text = field.rule, field.kind == "text"
    key = f',"{field.name}":'
    return designated([
        ("json_name", quoted(field.name)),
        ("json_key", f"{{ {quoted(key)}, {len(key)} }}"),
        ("length_min", rule.length_min),
        ("length_max", (rule.length_max or TEXT_LENGTH_MAX) if text else 0),
        ("min", number(rule.min)), ("max", number(rule.max)),
        ("items_min", rule.items_min),
        ("items_max", (rule.items_max or ITEMS_MAX) if field.repeated else 0),
        ("format", f"FORMAT_{rule.format.upper()}" if rule.format else None),
        ("bounded", flag(rule.bounded)), ("required", flag(rule.required)),
        ("lines", flag(rule.lines)), ("secret", flag(rule.secret)),
        ("omit_empty", flag(rule.omit_empty)),
        ("internal", flag(not field.in_json)), ("text", flag(text)),
        ("message", f"&{field.message.spec}" if field.message else None),
        ("words", f"&{field.enum.spec}" if field.enum else None)])


def message_source(message):
    out = ""
    if message.fields:
        rows = "".join(f"    {field_spec(f)},\n" for f in message.fields)
        out = f"static const struct field_spec {message.spec}_fields[] = {{\n{rows}}};\n"
    kind = {TIMESTAMP: "MESSAGE_TIMESTAMP", FIELD_MASK: "MESSAGE_FIELD_MASK"}
    body = initializer([
        ("descriptor", f"&{message.descriptor}"),
        ("kind", kind.get(message.full_name)),
        ("fields", f"{message.spec}_fields" if message.fields else None),
        ("mask_field", str(message.mask))])
    return out + f"const struct message_spec {message.spec} = {body};\n"


def enum_source(enum):
    words = ", ".join(quoted(word) if word else "NULL" for _, _, word in enum.values)
    return (f"static const char *const {enum.spec}_words[] = {{ {words} }};\n"
            f"const struct enum_spec {enum.spec} = {{ &{enum.descriptor}, {enum.spec}_words }};\n")


def event_source(event):
    body = initializer([
        ("name", quoted(event.full_name)), ("topic", quoted(event.event.topic)),
        ("message", f"&{event.spec}"),
        ("key_field", str(event.event.key)), ("number_field", str(event.event.number)),
        ("state", flag(event.event.state)), ("last", flag(event.event.last))])
    return f"const struct event_spec {event.event_spec} = {body};\n"


def call_pieces(call):
    """The static table that call_body refers to."""
    if not call.pieces:
        return ""
    rows = ", ".join(f"{{ {quoted(piece)}, -1 }}" if isinstance(piece, str)
                     else f"{{ NULL, {piece} }}" for piece in call.pieces)
    return (f"static const struct path_piece {call.snake}_pieces[] = {{ {rows} }};\n")


def call_body(call, index, handle=None, indent="    "):
    """The initializer of a call_spec; `handle` is the wrapper, where the service is linked."""
    option = call.option
    return initializer([
        ("name", quoted(f"{call.service.package}.{call.service.name}/{call.name}")),
        ("short_name", quoted(f"{call.service.unit}.{call.snake}")),
        ("index", str(index)),
        ("method", f"HTTP_{call.method or 'POST'}"),
        ("routed", flag(call.method)),
        ("path", quoted(call.path) if call.path else None),
        ("pieces", f"{call.snake}_pieces" if call.pieces else None),
        ("pieces_count", len(call.pieces)),
        ("body", f"BODY_{call.body}"),
        ("body_field", str(call.body_field)),
        ("body_type", quoted(option.body_type) if option.body_type else None),
        ("request", f"&{call.request.spec}"), ("response", f"&{call.response.spec}"),
        ("access", f"ACCESS_{option.access.upper()}"), ("lane", LANES[option.lane]),
        ("scope", call.scope), ("scope_word", quoted(option.scope) if option.scope else None),
        ("answer_type", quoted(option.answer_type) if option.answer_type else None),
        ("stream", flag(option.stream)),
        ("once", flag(option.once)), ("urgent", flag(option.urgent)),
        ("if_match", flag(option.if_match)), ("settles", flag(option.settles)),
        ("deadline_ms", option.deadline_ms or DEADLINE_MS),
        ("body_bytes_max", option.body_bytes_max or BODY_BYTES_MAX),
        ("status", call.status),
        ("location", quoted(option.location) if option.location else None),
        ("handle", handle)], indent)


def calls_source(service):
    out = ""
    for index, call in enumerate(service.calls):
        out += call_pieces(call)
        out += f"const struct call_spec {service.unit}_call_{call.snake} = "
        out += call_body(call, index) + ";\n\n"
    names = "".join(f"    &{service.unit}_call_{call.snake},\n" for call in service.calls)
    return out + f"const struct call_spec *const {service.unit}_calls[] = {{\n{names}}};\n"


def make_source(contracts, unit, service, source):
    """gen/<unit>.c"""
    out = HEAD.format(source=source) + f'#include "gen/{unit}.h"\n\n'
    out += "\n".join(enum_source(e) for e in contracts.of_unit(contracts.enums, unit)) + "\n"
    out += "\n".join(message_source(m) for m in contracts.of_unit(contracts.messages, unit))
    for event in contracts.events(unit):
        out += "\n" + event_source(event)
    if service:
        out += "\n" + calls_source(service)
    return out


def handler_prototype(call):
    unit = call.service.unit
    return (f"err {unit}_{call.snake}(struct {unit} *self, struct call *call,\n"
            f"    const {call.request.c_type} *in)")


def reaction_name(service, event):
    """products_on_order_placed"""
    return service.unit + "_on_" + event.event_spec.split("_event_", 1)[1]


def reaction_prototype(service, event):
    return (f"err {reaction_name(service, event)}(struct {service.unit} *self, "
            f"struct call *call,\n    const {event.c_type} *in)")


def header_of_service(contracts, service):
    unit, upper = service.unit, service.unit.upper()
    out = f"struct {unit}; /* the service itself: src/services/{unit}/service.h */\n\n"
    out += "/* Calls, without their handlers: for clients and for routes. */\n"
    for call in service.calls:
        out += f"extern const struct call_spec {unit}_call_{call.snake};\n"
    out += (f"enum {{ {upper}_CALLS_COUNT = {len(service.calls)} }};\n"
            f"extern const struct call_spec *const {unit}_calls[];\n\n")
    out += (f"/* The same with handlers, and the reactions: linked where the service is "
            f"(gen/{unit}_dispatch.c). */\nextern const struct service_spec "
            f"{unit}_service_spec;\n\n/* src/services/{unit}/api.c defines these. */\n\n")
    for call in service.calls:
        out += comment(call.comment) + handler_prototype(call) + ";\n\n"
    if service.reactions:
        out += f"/* src/services/{unit}/reactions.c defines these. */\n\n"
    for event in service.reactions:
        out += comment(event.comment) + reaction_prototype(service, event) + ";\n\n"
    return out


def make_header(contracts, unit, service, source, includes):
    """gen/<unit>.h"""
    out = HEAD.format(source=source) + '#pragma once\n#include "chassis/spec.h"\n'
    out += "".join(f'#include "gen/{name}"\n' for name in includes) + "\n"
    for message in contracts.of_unit(contracts.messages, unit):
        out += f"extern const struct message_spec {message.spec};\n"
    out += "\n" if contracts.of_unit(contracts.enums, unit) else ""
    for enum in contracts.of_unit(contracts.enums, unit):
        out += f"extern const struct enum_spec {enum.spec};\n"
    events = contracts.events(unit)
    out += "\n" if events else ""
    for event in events:
        out += f"extern const struct event_spec {event.event_spec};\n"
    return out + ("\n" + header_of_service(contracts, service) if service else "")


def includes_of(contracts, unit, service):
    """The headers that gen/<unit>.h stands on, in a fixed order."""
    own = [f"{unit}.pb-c.h"] if unit != "google" else ["timestamp.pb-c.h", "field_mask.pb-c.h"]
    units = {unit_of(f.message.package) for m in contracts.of_unit(contracts.messages, unit)
             for f in m.fields if f.message}
    if service:
        units |= {unit_of(c.response.package) for c in service.calls}
        own += sorted({f"{unit_of(e.package)}.pb-c.h" for e in service.reactions})
    return sorted(f"{name}.h" for name in units - {unit}) + own
