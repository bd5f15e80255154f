"""What the contracts must keep to beyond protoc's rules: where, what, and what to do."""
import json

from model import EMPTY, INTEGERS
from paths import VARIABLE
from problem import ContractError

ACCESS = ("anyone", "customer", "staff", "admin", "neighbour", "operator")
LANES = ("", "password", "loop")
FORMATS = ("", "uuid", "email", "currency", "url", "sku", "handle", "country", "token")
STATUSES = (0, 200, 201, 202, 204)
WRITES = ("POST", "PUT", "PATCH", "DELETE")


def refuse_if(wrong, where, what, todo):
    if wrong:
        raise ContractError(where, what, todo)


def check_word(value, allowed, where, what):
    refuse_if(value not in allowed, where, f"{what} is {value!r}",
              "Take one of: " + ", ".join(word or '""' for word in allowed) + ".")


def check_field(message, field):
    rule, where = field.rule, f"{message.where}, field {field.name}"
    check_word(rule.format, FORMATS, where, "its format")
    texts = rule.length_min or rule.length_max or rule.format or rule.lines
    refuse_if(texts and field.kind != "text", where, "a length, format or lines on a field that "
              "is no string", "Remove them.")
    refuse_if(rule.length_max and rule.length_min > rule.length_max, where,
              "length_min is above length_max", "Turn them round.")
    refuse_if((rule.bounded or rule.min or rule.max) and field.kind not in INTEGERS, where,
              "bounds on a field that is no integer", "Remove min, max and bounded.")
    refuse_if((rule.min or rule.max) and not rule.bounded, where, "min or max without bounded",
              "Add bounded: true, so that the other bound is meant too.")
    refuse_if(rule.bounded and rule.min > rule.max, where, "min is above max", "Turn them round.")
    refuse_if((rule.items_min or rule.items_max) and not field.repeated, where,
              "items on a field that is not repeated", "Remove items_min and items_max.")
    refuse_if(field.repeated and rule.required, where, "a repeated field that is required",
              "Say items_min: 1.")
    refuse_if(field.is_mask and not rule.internal, where, "a FieldMask that is seen from outside",
              "Add internal: true; the members of the body fill it.")
    if rule.example:
        try:
            json.loads(rule.example)
        except ValueError as error:
            raise ContractError(where, f"its example is no JSON ({error})",
                                "Write it as it stands in a body: \"\\\"EUR\\\"\".") from error


def check_depth(message, above):
    """A message inside itself would let a caller choose the depth of our recursion."""
    refuse_if(message.full_name in above, message.where, "it contains itself",
              "Make it a list of ids.")
    for field in message.fields:
        if field.message:
            check_depth(field.message, {*above, message.full_name})


def check_http(call):
    refuse_if(call.option.access == "neighbour" and call.method, call.where,
              "a call for neighbours with a path from outside", "Remove google.api.http.")
    if not call.method:
        refuse_if(call.option.access != "neighbour", call.where, "it has no path",
                  "Add google.api.http, or access: \"neighbour\".")
        return
    raw = call.body == "RAW"
    refuse_if(raw != bool(call.option.body_type), call.where,
              "body_type and a body that is a bytes field go together", "Give both or neither.")
    refuse_if((call.status == 204) != (call.response.full_name == EMPTY) and not call.option.answer_type,
              call.where, "status 204 and the answer duka.Empty go together", "Give both or neither.")
    refuse_if(call.option.answer_type and (call.status != 200 or call.response.full_name != EMPTY
                                           or call.method != "GET"), call.where,
              "answer_type is for a GET with status 200 and the answer duka.Empty", "Remove it.")
    refuse_if(call.option.stream and not raw, call.where, "stream is for a body that is a bytes field",
              "Remove it.")
    whole = call.body == "JSON" and call.body_field < 0
    bound = {*call.path_fields, call.body_field}
    for i, field in enumerate(call.request.fields):
        refuse_if(i not in bound and not whole and field.kind in ("message", "bytes")
                  and not field.rule.internal, call.where,
                  f"{field.name} would come from the query, and cannot", "Give the call a body.")


def check_call(contracts, call):
    option, where = call.option, call.where
    check_word(option.access, ACCESS, where, "its access")
    check_word(option.lane, LANES, where, "its lane")
    refuse_if(call.scope < 0, where, f"its scope {option.scope!r} is unknown",
              "Take a word of duka.Scope in contracts/duka/common.proto.")
    refuse_if(option.scope and option.access not in ("anyone", "customer", "staff"), where,
              f"a scope on a call for {option.access}", "Remove it: no API key may be let in there.")
    refuse_if(option.status not in STATUSES, where, f"its status is {option.status}",
              "Take 200, 201, 202 or 204.")
    check_http(call)
    refuse_if(option.once and call.method != "POST", where, "once is for POST",
              "Remove once: other methods are idempotent as they are.")
    refuse_if(option.if_match and call.method not in ("PUT", "PATCH", "DELETE"), where,
              "if_match is for PUT, PATCH and DELETE", "Remove if_match.")
    for word in option.errors:
        refuse_if(word not in contracts.errors, where, f"its error {word!r} is unknown",
                  "Add it to contracts/errors.tbl.")
    for name in VARIABLE.findall(option.location):
        refuse_if(call.response.find(name) is None, where,
                  f"location names {{{name}}}, which the answer has not",
                  f"Name a field of {call.response.name}.")


def check_routes(contracts):
    """Two calls at one path would be answered by whichever stands first."""
    taken = {}
    for service in contracts.services:
        for call in service.calls:
            if not call.method:
                continue
            route = call.method + " " + VARIABLE.sub("{}", call.path)
            refuse_if(route in taken, call.where, f"{route} is taken by {taken.get(route)}",
                      "Give it another path.")
            taken[route] = call.name


def check(contracts):
    """Raises ContractError for the first thing that is wrong."""
    for message in contracts.messages.values():
        for field in message.fields:
            check_field(message, field)
        refuse_if(sum(f.is_mask for f in message.fields) > 1, message.where,
                  "it has two FieldMasks", "Keep one.")
        check_depth(message, set())
    names = {f"{service.package}.{service.name}" for service in contracts.services}
    for service in contracts.services:
        for call in service.calls:
            check_call(contracts, call)
        for event in service.reactions:
            refuse_if(event.event is None, f"{service.file}, service {service.name}",
                      f"it reacts to {event.full_name}, which is no event",
                      "Give the message the option (duka.event).")
        for name in service.asks:
            refuse_if(name not in names, f"{service.file}, service {service.name}",
                      f"it asks {name}, which no contract has",
                      "Name a service in full: \"products.v1.Products\".")
    check_routes(contracts)
