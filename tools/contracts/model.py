"""What the contracts say, as plain objects: the one thing that all writers read."""
from dataclasses import dataclass, field
from typing import Optional

from names import c_lower, c_type, snake, unit_of

SCALARS = ("text", "bytes", "int32", "int64", "uint32", "uint64", "bool")
INTEGERS = {"int32": (-2**31, 2**31 - 1), "int64": (-2**63, 2**63 - 1),
            "uint32": (0, 2**32 - 1), "uint64": (0, 2**64 - 1)}
TIMESTAMP = "google.protobuf.Timestamp"
FIELD_MASK = "google.protobuf.FieldMask"
EMPTY = "duka.Empty"


@dataclass
class Enum:
    package: str
    name: str
    comment: str
    values: list  # of (number, name, word or None), by number
    value_comments: dict

    @property
    def spec(self):
        return f"{unit_of(self.package)}_{snake(self.name)}_spec"

    @property
    def descriptor(self):
        return c_lower(self.package, self.name) + "__descriptor"

    @property
    def words(self):
        return [word for _, _, word in self.values if word]


@dataclass
class Field:
    name: str
    number: int
    kind: str  # one of SCALARS, enum, message
    repeated: bool
    rule: object
    comment: str
    enum: Optional[Enum] = None
    message: Optional["Message"] = None

    @property
    def is_time(self):
        return self.message is not None and self.message.full_name == TIMESTAMP

    @property
    def is_mask(self):
        return self.message is not None and self.message.full_name == FIELD_MASK

    @property
    def in_json(self):
        return not self.rule.internal and self.kind != "bytes"


@dataclass
class Event:
    topic: str
    key: int
    number: int
    state: bool
    last: bool


@dataclass
class Message:
    package: str
    name: str
    where: str  # for complaints: "orders/v1/orders.proto, message Order"
    comment: str
    fields: list = field(default_factory=list)  # by number, as in the C descriptor
    event: Optional[Event] = None

    @property
    def full_name(self):
        return f"{self.package}.{self.name}"

    @property
    def c_type(self):
        return c_type(self.package, self.name)

    @property
    def descriptor(self):
        return c_lower(self.package, self.name) + "__descriptor"

    @property
    def spec(self):
        return f"{unit_of(self.package)}_{snake(self.name)}_spec"

    @property
    def event_spec(self):
        return f"{unit_of(self.package)}_event_{snake(self.name)}"

    @property
    def mask(self):
        return next((i for i, f in enumerate(self.fields) if f.is_mask), -1)

    def index(self, name):
        """The index of a field in the descriptor, or -1."""
        return next((i for i, f in enumerate(self.fields) if f.name == name), -1)

    def find(self, name):
        return next((f for f in self.fields if f.name == name), None)


@dataclass
class Call:
    service: "Service"
    name: str  # CreateOrder
    where: str
    comment: str
    request: Message
    response: Message
    option: object  # duka.Call
    scope: int = 0  # number of the duka.Scope that an API key needs; 0: no key may
    method: str = ""  # GET …; "" where it has no path
    path: str = ""
    pieces: list = field(default_factory=list)  # of str (a literal) or int (index of a field)
    body: str = "NONE"  # NONE, JSON, RAW
    body_field: int = -1

    @property
    def snake(self):
        return snake(self.name)

    @property
    def status(self):
        return self.option.status or 200

    @property
    def path_fields(self):
        return [piece for piece in self.pieces if isinstance(piece, int)]

    @property
    def query_fields(self):
        """Indexes of the fields that the query may name."""
        if not self.method or (self.body == "JSON" and self.body_field < 0):
            return []
        bound = {*self.path_fields, self.body_field}
        return [i for i, f in enumerate(self.request.fields)
                if i not in bound and f.in_json and f.kind != "message"]

    @property
    def is_public(self):
        return bool(self.method) and self.option.access not in ("neighbour", "operator")


@dataclass
class Service:
    unit: str  # orders
    package: str  # orders.v1
    name: str  # Orders
    file: str
    title: str
    calls: list = field(default_factory=list)
    reactions: list = field(default_factory=list)  # of Message (events of others)
    asks: list = field(default_factory=list)  # full names of services


@dataclass
class Contracts:
    messages: dict = field(default_factory=dict)  # by full name, in the order of the files
    enums: dict = field(default_factory=dict)
    services: list = field(default_factory=list)
    errors: dict = field(default_factory=dict)

    def of_unit(self, things, unit):
        return [thing for thing in things.values() if unit_of(thing.package) == unit]

    def events(self, unit):
        return [m for m in self.of_unit(self.messages, unit) if m.event]
