"""google.api.http: the method, the path with its variables, and what of the request is the body."""
import re

from problem import ContractError

METHODS = ("get", "put", "post", "delete", "patch")
VARIABLE = re.compile(r"\{(\w+)\}")
LITERAL = re.compile(r"[A-Za-z0-9._~/-]*")


def split(call, path):
    """"/orders/{id}/cancel" -> ["/orders/", index of id, "/cancel"]"""
    pieces = []
    for i, part in enumerate(VARIABLE.split(path)):
        if i % 2 == 0:
            if not LITERAL.fullmatch(part):
                raise ContractError(call.where, f"its path {path!r} cannot be read",
                                    "Write segments of letters and variables like {id}.")
            if part:
                pieces.append(part)
            continue
        field = call.request.find(part)
        if field is None or field.kind != "text" or field.repeated:
            raise ContractError(call.where, f"its path variable {{{part}}} is no text field of "
                                f"{call.request.name}", "Name one of its string fields.")
        pieces.append(call.request.index(part))
    return pieces


def bind_body(call, body):
    """"" no body, "*" the whole message, else a field: a message (JSON) or bytes (raw)."""
    if not body:
        return
    if call.method in ("GET", "DELETE"):
        raise ContractError(call.where, f"{call.method} takes no body", "Remove body.")
    call.body = "JSON"
    if body == "*":
        return
    field = call.request.find(body)
    if field is None or field.repeated or field.kind not in ("message", "bytes"):
        raise ContractError(call.where, f"its body {body!r} is no message or bytes field of "
                            f"{call.request.name}", "Name such a field, or \"*\" for all.")
    call.body_field = call.request.index(body)
    if field.kind == "bytes":
        call.body = "RAW"


def bind(call, http):
    """Fills the call from its google.api.http."""
    pattern = http.WhichOneof("pattern")
    if pattern not in METHODS or http.additional_bindings:
        raise ContractError(call.where, "google.api.http must have one of " + ", ".join(METHODS),
                            "Write one path for each call.")
    call.method = pattern.upper()
    call.path = getattr(http, pattern)
    if not call.path.startswith("/"):
        raise ContractError(call.where, f"its path {call.path!r} does not begin with /",
                            "Begin it with the service's name: \"/orders\".")
    call.pieces = split(call, call.path)
    bind_body(call, http.body)
