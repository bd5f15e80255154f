"""JSON Schema (2020-12) of the messages that the public calls take and give."""
import json

from model import INTEGERS
from names import unit_of

TEXT_LENGTH_MAX, ITEMS_MAX = 255, 100
CONTROLS = "\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029"
CONTROLS_BUT_LINES = "\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f\\u2028\\u2029"
HEX = "[0-9A-Fa-f]"
NOT_IN_URLS = f"\\s\"<>\\\\^`{{|}}{CONTROLS}"
URL = f"[Hh][Tt][Tt][Pp][Ss]?://[^/?#{NOT_IN_URLS}][^{NOT_IN_URLS}]*"
SKU = f"[^/ {CONTROLS}]([^/{CONTROLS}]*[^/ {CONTROLS}])?"
FORMATS = {
    "uuid": {"format": "uuid"},
    "email": {"format": "email"},
    "currency": {"pattern": "^[A-Z]{3}$"},
    "url": {"format": "uri", "pattern": f"^{URL}$"},
    "sku": {"pattern": f"^{SKU}$"},
    "handle": {},
    "country": {"pattern": "^[A-Z]{2}$"},
    "token": {"pattern": "^[!-~]*$"},
}
# The same where the empty string counts as absent.
FORMATS_OR_EMPTY = {
    **FORMATS,
    "uuid": {"pattern": f"^({HEX}{{8}}-({HEX}{{4}}-){{3}}{HEX}{{12}})?$"},
    "email": {},
    "url": {"pattern": f"^({URL})?$"},
    "currency": {"pattern": "^([A-Z]{3})?$"},
    "sku": {"pattern": f"^({SKU})?$"},
    "country": {"pattern": "^([A-Z]{2})?$"},
}
WIDTHS = {"int32": "int32", "int64": "int64", "uint32": "int64", "uint64": "int64"}


class Schemas:
    """components/schemas, filled as asked for. A message that a request holds says its limits."""

    def __init__(self, contracts):
        self.contracts = contracts
        self.made = {}
        self.bound = {}  # full name of a request: names of its fields that the path binds
        self.in_requests = set()
        for service in contracts.services:
            for call in service.calls:
                if call.is_public and call.body == "JSON":
                    self.note_request(call)

    def note_request(self, call):
        names = {call.request.fields[i].name for i in call.path_fields}
        self.bound[call.request.full_name] = names
        self.note_inside(call.request)

    def note_inside(self, message):
        self.in_requests.add(message.full_name)
        for field in message.fields:
            if field.message and not field.is_time:
                self.note_inside(field.message)

    def name_of(self, thing):
        """Order; with its service before it where two have the same name."""
        same = [other for other in (*self.contracts.messages.values(),
                                    *self.contracts.enums.values()) if other.name == thing.name]
        prefix = unit_of(thing.package).capitalize() if len(same) > 1 else ""
        return prefix + thing.name

    def reference(self, thing, schema):
        """{"$ref": …} to a schema that `schema()` makes when it is asked for first."""
        name = self.name_of(thing)
        if name not in self.made:
            self.made[name] = None  # its place in the order
            self.made[name] = schema(thing)
        return {"$ref": f"#/components/schemas/{name}"}

    def message(self, message):
        return self.reference(message, self.object_schema)

    def enum_schema(self, enum):
        notes = [enum.comment, *(f"`{word}`: {note}" for word, note in
                                 enum.value_comments.items())]
        return described({"type": "string", "enum": enum.words}, " ".join(filter(None, notes)))

    def object_schema(self, message):
        """The members that stand in JSON. What a request binds by its path is not among them."""
        in_request = message.full_name in self.in_requests
        hidden = self.bound.get(message.full_name, ())
        is_patch = any(f.message and f.message.name == "FieldMask" for f in message.fields)
        fields = [f for f in message.fields if f.in_json and f.name not in hidden]
        required = [f.name for f in fields if (is_required if in_request else is_always_told)(f)]
        schema = {"type": "object",
                  "properties": {f.name: self.member(f, in_request, is_patch) for f in fields}}
        if required:
            schema["required"] = required
        if in_request:
            schema["additionalProperties"] = False
        return described(schema, message.comment)

    def member(self, field, in_request, is_patch):
        """A field as a member of an object: null counts as absent where it may be absent. In a
        patch null clears, and what may not be empty cannot be cleared."""
        schema = self.field(field, in_request)
        if not in_request or is_required(field) or (is_patch and field.rule.length_min):
            return schema
        if "type" in schema:
            return {**schema, "type": [schema["type"], "null"]}
        told = {name: schema.pop(name) for name in ("description", "examples") if name in schema}
        return {**told, "anyOf": [schema, {"type": "null"}]}

    def field(self, field, in_request):
        schema = self.value(field, in_request)
        if field.repeated:
            schema = {"type": "array", "items": schema}
            if in_request:
                schema["minItems"] = field.rule.items_min
                schema["maxItems"] = field.rule.items_max or ITEMS_MAX
        if field.rule.example not in ("", "null"):
            schema["examples"] = [json.loads(field.rule.example)]
        return described(schema, field.comment)

    def value(self, field, in_request):
        if field.is_time:
            return {"type": "string", "format": "date-time"}
        if field.kind == "message":
            return self.message(field.message)
        if field.kind == "enum":
            return self.reference(field.enum, self.enum_schema)
        if field.kind == "bool":
            return {"type": "boolean"}
        if field.kind in INTEGERS:
            return integer(field, in_request)
        return text(field, in_request)


def described(schema, comment):
    return {"description": comment, **schema} if comment else schema


def is_required(field):
    """Whether a request without it is refused."""
    rule = field.rule
    least = rule.min > 0 and rule.bounded
    return bool(rule.required or (field.repeated and rule.items_min) or least)


def is_always_told(field):
    """Whether an answer has it always: absent messages and unspecified words are left out."""
    if field.repeated:
        return not field.rule.omit_empty
    return field.kind not in ("message", "enum") and not field.rule.omit_empty


def integer(field, in_request):
    schema = {"type": "integer", "format": WIDTHS[field.kind]}
    if field.rule.bounded:
        schema["minimum"], schema["maximum"] = field.rule.min, field.rule.max
    elif in_request:
        schema["minimum"], schema["maximum"] = INTEGERS[field.kind]
    return schema


def text(field, in_request):
    rule = field.rule
    may_be_empty = in_request and not rule.required and not field.repeated
    formats = FORMATS_OR_EMPTY if may_be_empty else FORMATS
    schema = {"type": "string", **formats.get(rule.format, {})}
    if in_request and "pattern" not in schema and "format" not in schema:
        schema["pattern"] = f"^[^{refused_characters(rule)}]*$"
    if in_request:
        least = max(rule.length_min, 1 if rule.required and not field.repeated else 0)
        if least:
            schema["minLength"] = least
        schema["maxLength"] = rule.length_max or TEXT_LENGTH_MAX
        if rule.secret and "format" not in schema:
            schema["format"] = "password"
    return schema


def refused_characters(rule):
    if rule.secret and rule.lines:
        return "\\u0000"
    return CONTROLS_BUT_LINES if rule.lines else CONTROLS


def example_of(message, hidden=()):
    """An example made of the examples of the members, as far as they have some (null: none)."""
    example = {}
    for field in message.fields:
        if not field.in_json or field.name in hidden:
            continue
        if field.rule.example:
            one = json.loads(field.rule.example)
        elif field.message and not field.is_time:
            one = example_of(field.message)
        else:
            continue
        if one not in ({}, None):
            example[field.name] = [one] if field.repeated and field.message else one
    return example
