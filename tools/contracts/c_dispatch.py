"""gen/<unit>_dispatch.c: calls and reactions with their handlers; linked with the service only."""
from c_tables import call_body, call_pieces, reaction_name
from c_text import HEAD, initializer, quoted
from names import unit_of


def wrapper(name, handler):
    """A handler takes its own types: called through another type it would be undefined."""
    return (f"static err {name}(void *self, struct call *call, const void *in)\n"
            f"{{\n    return {handler}(self, call, in);\n}}\n\n")


def calls(service):
    out = ""
    for call in service.calls:
        out += call_pieces(call)
        out += wrapper(f"handle_{call.snake}", f"{service.unit}_{call.snake}")
    out += "static const struct call_spec calls[] = {\n"
    for index, call in enumerate(service.calls):
        out += "    " + call_body(call, index, f"handle_{call.snake}", " " * 8) + ",\n"
    return out + "};\n\n"


def reactions(service):
    if not service.reactions:
        return ""
    out, rows = "", ""
    for event in service.reactions:
        name = reaction_name(service, event)
        short = name.replace("_on_", ".on_", 1)
        out += wrapper(f"handle_{name}", name)
        rows += f"    {{ &{event.event_spec}, {quoted(short)}, handle_{name} }},\n"
    return out + f"static const struct reaction_spec reactions[] = {{\n{rows}}};\n\n"


def events(contracts, service):
    found = contracts.events(service.unit)
    if not found:
        return ""
    rows = "".join(f"    &{event.event_spec},\n" for event in found)
    return f"static const struct event_spec *const events[] = {{\n{rows}}};\n\n"


def make_dispatch(contracts, service, source):
    unit = service.unit
    units = sorted({unit_of(event.package) for event in service.reactions} - {unit})
    out = HEAD.format(source=source)
    out += "".join(f'#include "gen/{name}.h"\n' for name in [unit, *units]) + "\n"
    out += calls(service) + reactions(service) + events(contracts, service)
    body = initializer([
        ("name", quoted(unit)), ("calls", "calls"), ("calls_count", len(service.calls)),
        ("events", "events" if contracts.events(unit) else None),
        ("events_count", len(contracts.events(unit))),
        ("reactions", "reactions" if service.reactions else None),
        ("reactions_count", len(service.reactions))])
    return out + f"const struct service_spec {unit}_service_spec = {body};\n"
