"""Which errors a call may answer, and how the document shows them: by status."""
import json

BODY = ("json.malformed", "json.duplicate_member", "json.too_deep", "field.invalid",
        "field.unknown")
ANY_BODY = ("http.body_too_large", "http.media_type")
TOKEN = ("auth.token_missing", "auth.token_invalid", "auth.token_expired", "auth.token_revoked",
         "auth.unavailable")
ALWAYS = ("header.invalid", "rate.exceeded", "call.overloaded", "call.draining",
          "db.unavailable", "upstream.unavailable", "call.internal", "call.deadline")
WRITE = ("version.conflict", "db.full")
RETRY_AFTER = {409, 429, 503}

PROBLEM = {
    "description": "What went wrong (RFC 9457). `code` is for programs and never changes its "
                   "meaning; `detail` is for people.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"description": "What the code means, in a sentence.", "type": "string"},
        "status": {"description": "The HTTP status.", "type": "integer"},
        "code": {"type": "string", "examples": ["field.invalid"]},
        "detail": {"description": "What it is about this time.", "type": "string"},
        "errors": {
            "description": "Each field that was refused: the first 20 of a body that does not fit "
                           "the contract, or every line of an order that cannot be had.",
            "type": "array", "maxItems": 100,
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"description": "JSON pointer (RFC 6901) into the body; for the "
                                               "path and the query, / and the name.",
                                "type": "string", "examples": ["/lines/0/quantity"]},
                    "message": {"type": "string",
                                "examples": ["must be a whole number from 1 to 10000"]},
                },
                "required": ["pointer", "message"],
            },
        },
        "trace_id": {"description": "Find it in the logs by this.", "type": "string"},
        "subject": {"description": "The id of what it is about: the order that was rejected.",
                    "type": "string"},
    },
    "required": ["type", "title", "status", "code"],
}


def words_of(call):
    """The words of all errors that the call may answer."""
    option, words = call.option, list(ALWAYS)
    if call.body == "JSON":
        words += BODY
    if call.body != "NONE":
        words += ANY_BODY
    words.append("query.malformed")
    if call.path_fields or call.query_fields:
        words.append("field.invalid")
    if call.path_fields:
        words += ("path.malformed", "not_found")
    if any(call.request.fields[i].name == "after" for i in call.query_fields):
        words.append("cursor.invalid")
    if option.access != "anyone":
        words += TOKEN
    if option.access not in ("anyone", "neighbour", "operator"):
        words.append("auth.scope_missing")
    if option.access in ("staff", "admin"):
        words.append("auth.role_missing")
    if option.once:
        words += ("idempotency.key_required", "idempotency.key_reused", "idempotency.in_flight")
    if call.method != "GET":
        words += WRITE
    if option.if_match:
        words += ("version.required", "version.stale")
    return dict.fromkeys([*words, *option.errors])  # each once, in this order


def response(status, errors):
    """One response object for all errors of a status."""
    told = sorted(errors, key=lambda error: error.word)
    headers = {}
    if status in RETRY_AFTER:
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    if status == 401:
        headers["WWW-Authenticate"] = {"$ref": "#/components/headers/WwwAuthenticate"}
    if status == 429:
        headers["RateLimit"] = {"$ref": "#/components/headers/RateLimit"}
        headers["RateLimit-Policy"] = {"$ref": "#/components/headers/RateLimitPolicy"}
    made = {"description": "\n".join(f"- `{e.word}`: {e.sentence}" for e in told)}
    if headers:
        made["headers"] = headers
    made["content"] = {"application/problem+json": {"schema": {
        "allOf": [{"$ref": "#/components/schemas/Problem"}],
        "properties": {"code": {"enum": [e.word for e in told]}}}}}
    return made


class Responses:
    """components/responses: error responses that several calls share stand there once."""

    def __init__(self, contracts):
        self.contracts = contracts
        self.uses = {}  # text of a response -> how many calls have it
        self.made = {}
        for service in contracts.services:
            for call in service.calls:
                if call.is_public:
                    for made in self.by_status(call).values():
                        text = json.dumps(made)
                        self.uses[text] = self.uses.get(text, 0) + 1

    def by_status(self, call):
        found = {}
        for word in words_of(call):
            error = self.contracts.errors[word]
            found.setdefault(error.status, []).append(error)
        return {status: response(status, found[status]) for status in sorted(found)}

    def name_of(self, status, made):
        """Error409, then Error409b, … for other sets of codes."""
        for i in range(26):
            name = f"Error{status}" + ("" if i == 0 else chr(ord("a") + i))
            if self.made.setdefault(name, made) == made:
                return name
        raise AssertionError("more than 26 sets of codes with one status")

    def of_call(self, call):
        """{status: response or reference}"""
        out = {}
        for status, made in self.by_status(call).items():
            if self.uses[json.dumps(made)] > 1:
                made = {"$ref": f"#/components/responses/{self.name_of(status, made)}"}
            out[str(status)] = made
        return out
