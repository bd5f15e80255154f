"""What schemathesis (tests/conformance/test_schemathesis.py) has to know of the shop: who calls, and which
refusals of well-formed requests no schema can foresee. DUKA_CONFORMANCE_* come from the test."""

import json
import os

import httpx
import schemathesis

URL = os.environ["DUKA_CONFORMANCE_URL"]
ADMIN = json.loads(os.environ["DUKA_CONFORMANCE_ADMIN"])

# The calls that end the session, or take from the account that calls: they get one of their own each time.
ENDS_ITSELF = {"/users/logout", "/users/me/sessions/{id}", "/users/me/password"}

# Calls that pace an account by itself: examples sign in as one again and again.
PACED = {"/users/login"}

# Refusals that depend on what is there, or on two members together, with the place that they name.
# None: any place. What the schema can say must be said there: it is not to be added here.
BEYOND_THE_SCHEMA = {
    "cursor.invalid": None,  # a cursor that nobody gave
    "version.stale": None,  # an ETag that nobody gave
    "idempotency.key_reused": None,  # schemathesis sends one key with several bodies
    "auth.credentials_invalid": None,
    "auth.refresh_invalid": None,
    "password.wrong": None,
    "link.invalid": None,  # a link that no mail carried
    "password.weak": None,  # a list of common ones
    "payment.declined": None,
    "payment.provider_unknown": None,
    "payment.token_invalid": None,
    "payment.signature": None,
    "payment.amount": None,
    "order.sku_unknown": None,
    "order.address_unknown": None,
    "product.invalid": None,  # options and variants that contradict each other
    "import.invalid": None,  # a text that is no product CSV
    "field.invalid": {
        "/parent": "a category that is not there",
        "/categories/*": "a category that is not there",
        "/on_hand": "delta and on_hand together",
        "/delta": "neither delta nor on_hand",
        "/currency": "three letters that ISO 4217 does not have",
        "/*/currency": "the same",
        "/*/sku": "a SKU is not . or ..",
        "/sku": "the same",
        "/handle": "a handle is its own slug",
        "/email": "the syntax of addresses is narrower than the format",
        "/status": "staff only",
        "/customer_id": "needs scope=all",
        "/payload": "what the provider sends",
        "/price_max": "less than price_min",
        "/sort": "by relevance without words to search for",
        "/payment/provider": "an unknown provider",
        "/expires_at": "a time that has passed",
    },
}


def log_in(person):
    body = {name: person[name] for name in ("email", "password")}
    answer = httpx.post(URL + "/users/login", json=body, trust_env=False, timeout=30.0)
    return answer.json()["access_token"]


def someone_new():
    person = {"email": f"one-{os.urandom(8).hex()}@example.com", "password": ADMIN["password"]}
    httpx.post(URL + "/users", json=person, trust_env=False, timeout=30.0)
    return person


@schemathesis.auth(refresh_interval=None)
class Callers:
    """An admin calls; where the call would end what the others need, a new customer does."""

    kept = None

    def get(self, case, ctx):
        if case.operation.path in ENDS_ITSELF:
            return log_in(someone_new())
        if Callers.kept is None:
            Callers.kept = log_in(ADMIN)
        return Callers.kept

    def set(self, case, data, ctx):
        case.headers = case.headers or {}
        case.headers["Authorization"] = "Bearer " + data


@schemathesis.hook
def filter_case(context, case):
    """The admin that calls must not be suspended or lose its role on the way: those calls are about others."""
    parameters = case.path_parameters or {}
    return parameters.get("id") != ADMIN.get("id")


def has_fraction(value):
    """JSON Schema takes 12.0 for an integer; we do not, and no schema can say so."""
    if isinstance(value, dict):
        return any(map(has_fraction, value.values()))
    if isinstance(value, list):
        return any(map(has_fraction, value))
    return isinstance(value, float)


def fits(pointer, pattern):
    parts, wanted = pointer.split("/"), pattern.split("/")
    if len(wanted) > len(parts):
        return False
    return all(one in ("*", part) for part, one in zip(reversed(parts), reversed(wanted)) if one)


@schemathesis.check
def refusals_are_foreseen_or_named(ctx, response, case):
    """A request that fits the document is refused only for what no document can say."""
    meta = case.meta
    if (
        meta is None
        or not meta.generation.mode.is_positive
        or response.status_code not in (400, 402, 412, 422, 429)
    ):
        return
    problem = json.loads(response.content)
    code = problem["code"]
    if code == "rate.exceeded" and case.operation.path in PACED:
        return
    assert code in BEYOND_THE_SCHEMA, f"{code}: {response.content[:500]}"
    places = BEYOND_THE_SCHEMA[code]
    for error in problem.get("errors", []) if places else []:
        if error["message"].startswith("must be a whole number") and has_fraction(case.body):
            continue
        assert any(
            fits(error["pointer"], place) for place in places
        ), f"{error} of {response.content[:500]}"
