"""The OpenAPI 3.1 document of the public calls. The same contracts give the same bytes."""
import json

from c_text import HEAD, quoted
from openapi_errors import PROBLEM, Responses
from openapi_schemas import Schemas, example_of

BODY_BYTES_MAX = 65536
ACCESS = {"anyone": "Anyone may call.", "customer": "For signed-in users.",
          "staff": "For staff.", "admin": "For admins."}

INFO = "\n".join([
    "A shop: accounts, catalog and stock, orders and payments.",
    "",
    "Register with `POST /users`, log in with `POST /users/login`, and send the `access_token` as `Authorization: Bearer …`, "
    "nowhere else. A token lives for ten minutes; `POST /users/refresh` gives the next one.",
    "",
    "A server sends an API key in the same place (`POST /users/api-keys`, by an admin); each call names the scope that the key needs.",
    "",
    "- Money is in integer minor units (cents) with an ISO 4217 currency. Numbers are whole: fractions and exponents are refused.",
    "- Ids are UUIDs; times are RFC 3339 in UTC.",
    "- A member that is `null` counts as absent. A member that a request does not know is refused (422), and so is a parameter "
    "of the query (400).",
    "- Lists are read a page at a time: `limit`, and `after` with the `next` of the page before.",
    "- An `Idempotency-Key` belongs to its caller, method and path; a repeat hears the first answer.",
    "- A 2xx leaves after its commit is on disk. A refused call has changed nothing.",
    "- `traceparent` (W3C) and `X-Request-Id` are taken and given back.",
    "",
    "Errors are `application/problem+json` (RFC 9457) with a `code` that never changes its meaning:",
    "",
    "- 400 cannot be read · 401 who are you · 403 not with your role · 404 not there, or not yours",
    "- 409 state or stock says no · 412 and 428 about `If-Match` · 422 well-formed and not allowed: `errors` names each field",
    "- 429 and 503 come again after `Retry-After` · 5xx are faults of ours",
])

CSV_EXAMPLE = """Handle,Title,Option1 Name,Option1 Value,Variant Price
clay-plant-pot,Clay Plant Pot,Size,Regular,12.99
"""

PARAMETERS = {
    "IdempotencyKey": {
        "name": "Idempotency-Key", "in": "header", "required": True,
        "description": "A new one for each new intention. A repeat with the same key and the same "
                       "body gets the first answer again, with Idempotent-Replayed: true; with "
                       "another body it is refused. Keys are kept for 24 hours at least.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$",
                   "examples": ["0190b6a0-2f7e-7cc4-a1c1-9d7be1c4a001"]}},
    "IfMatch": {
        "name": "If-Match", "in": "header", "required": True,
        "description": "The ETag of what you read; 412 where it has changed since.",
        "schema": {"type": "string", "examples": ["\"3\""]}},
    "IfNoneMatch": {
        "name": "If-None-Match", "in": "header",
        "description": "The ETag that you have; 304 where it still holds.",
        "schema": {"type": "string"}},
    "Prefer": {
        "name": "Prefer", "in": "header",
        "description": "wait=N: how many seconds (0 to 10) to wait for the outcome; 1 where "
                       "absent. respond-async: do not wait (RFC 7240).",
        "schema": {"type": "string", "examples": ["wait=5"]}},
}

HEADERS = {
    "Location": {"description": "Where to read it.",
                 "schema": {"type": "string", "format": "uri-reference"}},
    "ETag": {"description": "Its version, for If-Match and If-None-Match.",
             "schema": {"type": "string"}},
    "Link": {"description": "The next page: rel=\"next\" (RFC 8288).",
             "schema": {"type": "string"}},
    "IdempotentReplayed": {"description": "true where this is the answer to an earlier request.",
                           "schema": {"type": "string", "enum": ["true"]}},
    "RetryAfter": {"description": "Seconds until it makes sense to try again.",
                   "schema": {"type": "integer", "minimum": 0}},
    "WwwAuthenticate": {"description": "Bearer, and what was wrong with the token.",
                        "schema": {"type": "string"}},
    "RateLimit": {"description": "What is left of the limit, and when it is whole again.",
                  "schema": {"type": "string"}},
    "RateLimitPolicy": {"description": "The limits that hold for this call.",
                        "schema": {"type": "string"}},
}


def reference(kind, name):
    return {"$ref": f"#/components/{kind}/{name}"}


def parameter(schemas, field, place):
    made = {"name": field.name, "in": place}
    if place == "path" or field.rule.required:
        made["required"] = True
    if field.comment:
        made["description"] = field.comment
    schema = dict(schemas.field(field, True))
    schema.pop("description", None)
    return {**made, "schema": schema}


def parameters(schemas, call):
    fields = call.request.fields
    made = [parameter(schemas, fields[i], "path") for i in call.path_fields]
    made += [parameter(schemas, fields[i], "query") for i in call.query_fields]
    if call.option.once:
        made.append(reference("parameters", "IdempotencyKey"))
    if call.option.if_match:
        made.append(reference("parameters", "IfMatch"))
    if call.option.settles:
        made.append(reference("parameters", "Prefer"))
    if call.method == "GET":
        made.append(reference("parameters", "IfNoneMatch"))
    return made


def raw_body(call):
    """Bytes that the call reads itself."""
    schema = {} if call.option.body_type == "application/json" else {"type": "string"}
    content = {"schema": schema}
    if call.option.body_type == "text/csv":
        content["example"] = CSV_EXAMPLE
    return {"required": True, "content": {call.option.body_type: content}}


def json_body(schemas, call):
    whole = call.body_field < 0
    message = call.request if whole else call.request.fields[call.body_field].message
    hidden = {call.request.fields[i].name for i in call.path_fields} if whole else ()
    content = {"schema": schemas.message(message)}
    example = example_of(message, hidden)
    if example:
        content["example"] = example
    made = {"content": {"application/json": content}}
    name = schemas.name_of(message)
    if not whole or "required" in schemas.made[name]:
        made = {"required": True, **made}
    return made


def request_body(schemas, call):
    made = raw_body(call) if call.body == "RAW" else json_body(schemas, call)
    most = call.option.body_bytes_max or BODY_BYTES_MAX
    return {"description": f"At most {most} bytes.", **made}


def success_headers(call, status):
    made = {}
    if status in (201, 202) and (call.option.location or call.option.settles):
        made["Location"] = reference("headers", "Location")
    if status != 204 and not call.option.answer_type:
        made["ETag"] = reference("headers", "ETag")
    if call.response.find("next"):
        made["Link"] = reference("headers", "Link")
    if call.option.once:
        made["Idempotent-Replayed"] = reference("headers", "IdempotentReplayed")
    made["RateLimit"] = reference("headers", "RateLimit")
    made["RateLimit-Policy"] = reference("headers", "RateLimitPolicy")
    return made


def success(schemas, call, status, words):
    made = {"description": words, "headers": success_headers(call, status)}
    if call.option.answer_type:
        made["content"] = {call.option.answer_type: {"schema": {"type": "string"}}}
    elif status != 204:
        made["content"] = {"application/json": {"schema": schemas.message(call.response)}}
    return made


def links(contracts, call):
    """What can be called about the thing that was made: at its Location and below."""
    place = call.option.location
    if "{id}" not in place or not call.response.find("id"):
        return {}
    return {f"{other.service.unit}_{other.snake}": {
        "operationId": f"{other.service.unit}_{other.snake}",
        "parameters": {"id": "$response.body#/id"}}
        for service in contracts.services for other in service.calls
        if other.is_public and (other.path + "/").startswith(place + "/")
        and other.path.count("{") == 1}


def responses(contracts, schemas, errors, call):
    words = {200: "Done.", 201: "Made.", 202: "Taken; it is being worked on.", 204: "Done."}
    made = {str(call.status): success(schemas, call, call.status, words[call.status])}
    if call.option.settles:
        made["202"] = success(schemas, call, 202, "Not settled in time: read on at Location.")
    told = links(contracts, call)
    for status in ("201", "202") if told else ():
        if status in made:
            made[status]["links"] = told
    if call.method == "GET" and not call.option.answer_type:
        made["304"] = {"description": "What you have still holds."}
    made.update(errors.of_call(call))
    return made


def access_of(call):
    """Who may call, in words."""
    told, scope = ACCESS[call.option.access], call.option.scope
    if not scope:
        return told
    if call.option.access == "anyone":
        return f"{told} An API key with the scope `{scope}` sees what the staff sees."
    return f"{told} Or with an API key that has the scope `{scope}`."


def security(call):
    """What may be shown; of an API key its scope (a role, in the words of OpenAPI 3.1)."""
    made = [{}] if call.option.access == "anyone" else []
    made.append({"bearer": []})
    return made + ([{"api_key": [call.option.scope]}] if call.option.scope else [])


def operation(contracts, schemas, errors, call):
    access = access_of(call)
    text = call.comment or call.name
    made = {"operationId": f"{call.service.unit}_{call.snake}", "tags": [call.service.unit],
            "summary": text.split(". ")[0].rstrip("."), "description": f"{text} {access}"}
    made["security"] = security(call)
    told = parameters(schemas, call)
    if told:
        made["parameters"] = told
    if call.body != "NONE":
        made["requestBody"] = request_body(schemas, call)
    made["responses"] = responses(contracts, schemas, errors, call)
    return made


def document(contracts):
    """The whole, as Python objects."""
    schemas, errors, paths, tags = Schemas(contracts), Responses(contracts), {}, []
    for service in contracts.services:
        tags.append({"name": service.unit, "description": service.title})
        for call in service.calls:
            if call.is_public:
                paths.setdefault(call.path, {})[call.method.lower()] = operation(
                    contracts, schemas, errors, call)
    bearer = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
              "description": "The access token of POST /users/login."}
    api_key = {"type": "http", "scheme": "bearer", "bearerFormat": "duka_…",
               "description": "The secret of an API key (POST /users/api-keys), for servers. Each call names the scope that "
                              "the key needs; calls without one are for people."}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Duka", "version": "1.0.0", "description": INFO,
                 "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": {**schemas.made, "Problem": PROBLEM},
            "parameters": PARAMETERS, "headers": HEADERS,
            "responses": dict(sorted(errors.made.items())),
            "securitySchemes": {"bearer": bearer, "api_key": api_key}},
    }


def make_openapi(contracts):
    """The text of contracts/openapi/duka.json."""
    return json.dumps(document(contracts), indent=2, ensure_ascii=False) + "\n"


def make_openapi_c(text):
    """gen/openapi.c: the same without white space, for /openapi.json."""
    compact = json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)
    chunks = "\n".join("    " + quoted(compact[at:at + 80]) for at in range(0, len(compact), 80))
    return (HEAD.format(source="all contracts") + '#include "gen/openapi.h"\n\n'
            f"const unsigned char openapi_json[] =\n{chunks};\n"
            "const size_t openapi_json_len = sizeof openapi_json - 1;\n")


def make_openapi_h():
    return (HEAD.format(source="all contracts") + "#pragma once\n#include <stddef.h>\n\n"
            "/* contracts/openapi/duka.json without its white space, for GET /openapi.json. */\n"
            "extern const unsigned char openapi_json[];\nextern const size_t openapi_json_len;\n")
