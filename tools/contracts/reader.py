"""From descriptors to the model. What Duka does not accept is refused here or in check.py."""
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

import paths
from model import Call, Contracts, Enum, Event, Field, Message, Service
from names import unit_of
from problem import ContractError

PROTO = descriptor_pb2.FieldDescriptorProto
KINDS = {PROTO.TYPE_STRING: "text", PROTO.TYPE_BYTES: "bytes", PROTO.TYPE_INT32: "int32",
         PROTO.TYPE_INT64: "int64", PROTO.TYPE_UINT32: "uint32", PROTO.TYPE_UINT64: "uint64",
         PROTO.TYPE_BOOL: "bool", PROTO.TYPE_ENUM: "enum", PROTO.TYPE_MESSAGE: "message"}
# Numbers of the members of FileDescriptorProto, … in the paths of source_code_info.
IN_FILE = {"message": 4, "enum": 5, "service": 6}
IN_MESSAGE_FIELD = IN_ENUM_VALUE = IN_SERVICE_METHOD = 2
SKIPPED = ("duka/options.proto", "google/protobuf/descriptor.proto", "google/api/http.proto",
           "google/api/annotations.proto")


def comments_of(file):
    """{path: comment} with the lines joined; a comment stands before what it is about."""
    found = {}
    for place in file.source_code_info.location:
        lines = [line.strip() for line in place.leading_comments.strip().splitlines()]
        if lines:
            found[tuple(place.path)] = " ".join(lines)
    return found


def common_prefix(enum):
    """ROLE_ of ROLE_UNSPECIFIED, ROLE_ADMIN: the name of the enum in capitals."""
    out = ""
    for i, letter in enumerate(enum.name):
        if letter.isupper() and i > 0 and not enum.name[i - 1].isupper():
            out += "_"
        out += letter.upper()
    return out + "_"


def read_enum(file, index, comments):
    proto = file.enum_type[index]
    where = f"{file.name}, enum {proto.name}"
    prefix = common_prefix(proto)
    values, notes = [], {}
    for i, value in enumerate(proto.value):
        if not value.name.startswith(prefix):
            raise ContractError(where, f"{value.name} does not begin with {prefix}",
                                "Rename the value.")
        word = value.name[len(prefix):].lower()
        values.append((value.number, value.name, word if value.number else None))
        note = comments.get((IN_FILE["enum"], index, IN_ENUM_VALUE, i))
        if note:
            notes[word] = note
    values.sort()
    if [number for number, _, _ in values] != list(range(len(values))):
        raise ContractError(where, "its numbers are not 0, 1, 2, … without gaps",
                            "Give each value the next number.")
    comment = comments.get((IN_FILE["enum"], index), "")
    return Enum(file.package, proto.name, comment, values, notes)


def read_field(contracts, options, proto, where, comment):
    where = f"{where}, field {proto.name}"
    if proto.type not in KINDS:
        raise ContractError(where, "its type has no place in Duka's JSON",
                            "Take string, bytes, bool, int32, int64, uint32, uint64, an enum "
                            "or a message.")
    if proto.HasField("oneof_index"):
        raise ContractError(where, "oneof and optional are not supported by protobuf-c's proto3",
                            "Use a message field, which can be absent.")
    made = Field(proto.name, proto.number, KINDS[proto.type],
                 proto.label == PROTO.LABEL_REPEATED, proto.options.Extensions[options.rule],
                 comment)
    name = proto.type_name.lstrip(".")
    if made.kind == "enum":
        made.enum = contracts.enums[name]
    if made.kind == "message":
        if name not in contracts.messages:
            raise ContractError(where, f"{name} is a map or a nested message",
                                "Declare it at the top of the file, and a map as a list.")
        made.message = contracts.messages[name]
    return made


def read_event(message, option):
    where = f"{message.where}, option (duka.event)"
    for what, name, kind in (("key", option.key, "text"), ("number", option.number, "int64")):
        found = message.find(name)
        if found is None or found.kind != kind or found.repeated:
            raise ContractError(where, f"{what} names {name!r}, which is no {kind} field",
                                "Name a field of the message.")
    if not option.topic:
        raise ContractError(where, "it has no topic", "Name the topic: \"orders.v1\".")
    return Event(option.topic, message.index(option.key), message.index(option.number),
                 option.state, option.last)


def read_message(contracts, options, file, index, comments):
    proto = file.message_type[index]
    message = contracts.messages[f"{file.package}.{proto.name}"]
    place = (IN_FILE["message"], index)
    for i, field in enumerate(proto.field):
        comment = comments.get((*place, IN_MESSAGE_FIELD, i), "")
        message.fields.append(read_field(contracts, options, field, message.where, comment))
    message.fields.sort(key=lambda field: field.number)
    if proto.options.HasExtension(options.event):
        message.event = read_event(message, proto.options.Extensions[options.event])


def scope_number(contracts, word):
    """Of a word of duka.Scope; 0 for none, -1 for a word that is not there."""
    scopes = contracts.enums.get("duka.Scope")
    known = {word: number for number, _, word in scopes.values} if scopes else {}
    return known.get(word, -1) if word else 0


def read_call(contracts, options, service, proto, comment):
    where = f"{service.file}, call {service.name}.{proto.name}"
    call = Call(service, proto.name, where, comment,
                contracts.messages[proto.input_type.lstrip(".")],
                contracts.messages[proto.output_type.lstrip(".")],
                proto.options.Extensions[options.call])
    if proto.client_streaming or proto.server_streaming:
        raise ContractError(where, "it streams", "Page through a list instead.")
    call.scope = scope_number(contracts, call.option.scope)
    if proto.options.HasExtension(annotations_pb2.http):
        paths.bind(call, proto.options.Extensions[annotations_pb2.http])
    return call


def read_service(contracts, options, file, index, comments):
    proto = file.service[index]
    option = proto.options.Extensions[options.service]
    service = Service(unit_of(file.package), file.package, proto.name, file.name, option.title)
    for i, method in enumerate(proto.method):
        comment = comments.get((IN_FILE["service"], index, IN_SERVICE_METHOD, i), "")
        service.calls.append(read_call(contracts, options, service, method, comment))
    for name in option.reacts:
        event = contracts.messages.get(name)
        if event is None:
            raise ContractError(f"{file.name}, service {proto.name}",
                                f"it reacts to {name}, which no contract has",
                                "Name an event in full: \"orders.v1.OrderPlaced\".")
        service.reactions.append(event)
    service.asks = list(option.asks)
    contracts.services.append(service)


def read(files, options, errors):
    """The model of all files."""
    contracts = Contracts(errors=errors)
    files = [file for file in files if file.name not in SKIPPED]
    notes = {file.name: comments_of(file) for file in files}
    for file in files:
        for i in range(len(file.enum_type)):
            enum = read_enum(file, i, notes[file.name])
            contracts.enums[f"{file.package}.{enum.name}"] = enum
        for i, proto in enumerate(file.message_type):
            message = Message(file.package, proto.name, f"{file.name}, message {proto.name}",
                              notes[file.name].get((IN_FILE["message"], i), ""))
            contracts.messages[message.full_name] = message
    for file in files:
        for i in range(len(file.message_type)):
            read_message(contracts, options, file, i, notes[file.name])
    for file in files:
        for i in range(len(file.service)):
            read_service(contracts, options, file, i, notes[file.name])
    return contracts
