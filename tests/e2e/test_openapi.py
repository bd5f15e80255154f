"""The OpenAPI document and its page."""

import json
import re

import jsonschema
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from browser import CHROMIUM, Page
from shop import ROOT, accepted, told, until
from test_auth import World
from test_refusals import Call


@pytest.fixture(scope="module")
def document(anonymous):
    return accepted(anonymous.get("/openapi.json"))


def test_the_document_is_valid_openapi_3_1_and_the_one_that_is_committed(document):
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()
    assert document == json.loads((ROOT / "contracts/openapi/duka.json").read_text())


def resolved(document, value):
    while "$ref" in value:
        for name in value["$ref"].removeprefix("#/").split("/"):
            found = (found if name != "components" else document)[name]  # noqa: F821
        value = found
    return value


def schema_of(document, schema):
    """A schema that stands by itself."""
    return {**schema, "components": document["components"]}


def test_every_example_fits_its_schema(document):
    checked = 0
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            for content in call.get("requestBody", {}).get("content", {}).values():
                if "example" in content and isinstance(content["example"], (dict, list)):
                    OAS31Validator(schema_of(document, content["schema"])).validate(
                        content["example"]
                    )
                    checked += 1
    assert checked >= 10


def requests_of(document):
    """Each call that takes a body: method, path and the example of the document ({} where it has none)."""
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            for kind, content in call.get("requestBody", {}).get("content", {}).items():
                yield method.upper(), path, kind, content.get("example", {})


# Their bodies are what a client cannot write by itself.
WITHOUT_EXAMPLE = {("POST", "/users/refresh"), ("POST", "/orders/payments/{provider}/events")}

# Their token comes by mail.
LINKS = {("POST", "/users/password/reset"), ("POST", "/users/email/verify")}


def test_every_example_works_as_it_stands(document, new_shop):
    shop = new_shop().start()
    world = World(shop)
    examples = {(method, path): (kind, one) for method, path, kind, one in requests_of(document)}
    accepted(shop.anonymous().post("/users", json=examples["POST", "/users"][1]), 201)
    made = shop.staff.post("/products", json=examples["POST", "/products"][1])
    sku = accepted(made, 201)["variants"][0]["sku"]
    shop.staff.patch(made.headers["location"], json={"status": "active"}, headers={"If-Match": "*"})
    adjustment = examples["POST", "/products/stock/{sku}/adjustments"][1]
    accepted(shop.staff.adjust(sku, **adjustment))
    buyer = shop.customer()  # Orders hears of what is for sale a moment later
    until(lambda: buyer.place(sku).status_code == 201, what="an order of the new product")
    done = {("POST", "/users"), ("POST", "/products")}
    for route, (kind, example) in examples.items():
        if route in done or route in WITHOUT_EXAMPLE:
            continue
        call = Call(world, *route)
        headers = {"Content_Type": kind}
        if route == ("PATCH", "/products/{id}"):
            call.url, call.person = made.headers["location"], shop.staff
        if route in LINKS:
            example = {**example, "token": call.request["json"]["token"]}
        raw = example if isinstance(example, str) else json.dumps(example)
        answer = call.send(raw=raw.encode(), **headers)
        assert answer.status_code == call.success, f"{route} {example}: {told(answer)}"
    shop.close()


def test_a_wrong_example_is_seen(document):
    content = document["paths"]["/orders"]["post"]["requestBody"]["content"]["application/json"]
    with pytest.raises(jsonschema.ValidationError):
        OAS31Validator(schema_of(document, content["schema"])).validate(
            {**content["example"], "lines": 7}
        )


def fits(document, answer, method, path):
    """Checks an answer against what the document says of it."""
    response = resolved(
        document, document["paths"][path][method]["responses"][str(answer.status_code)]
    )
    kind = answer.headers["content-type"]
    OAS31Validator(schema_of(document, response["content"][kind]["schema"])).validate(answer.json())


def test_answers_are_as_the_document_says(shop, staff, document):
    person, stranger = shop.customer(), shop.anonymous()
    sku = staff.new_sku(on_hand=2)
    placed = person.place(sku)
    order = accepted(placed, 201)["id"]
    fits(document, placed, "post", "/orders")
    fits(document, person.place([(sku, 5)]), "post", "/orders")
    fits(document, person.place(sku, "decline"), "post", "/orders")
    fits(document, person.place([(sku, 0)]), "post", "/orders")
    fits(document, person.get("/orders"), "get", "/orders")
    fits(document, person.get(f"/orders/{order}"), "get", "/orders/{id}")
    fits(document, stranger.get(f"/orders/{order}"), "get", "/orders/{id}")
    fits(document, person.get(f"/orders/{order}/timeline"), "get", "/orders/{id}/timeline")
    fits(document, stranger.get("/products"), "get", "/products")
    fits(document, stranger.get("/products/nothing-here"), "get", "/products/{id}")
    fits(
        document,
        stranger.get("/users/.well-known/jwks.json"),
        "get",
        "/users/.well-known/jwks.json",
    )
    fits(document, person.get("/users/me"), "get", "/users/me")
    fits(document, staff.get(f"/products/stock/{sku}"), "get", "/products/stock/{sku}")
    fits(
        document, staff.get(f"/products/stock/{sku}/ledger"), "get", "/products/stock/{sku}/ledger"
    )


def test_the_page_needs_nothing_from_elsewhere(anonymous):
    page = anonymous.get("/docs")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html"), told(
        page
    )
    text = page.text
    for word in ('src="http', "src='http", "src=//", 'href="http', "@import", "cdn."):
        assert word not in text, f"the page asks elsewhere: {word}"
    assert (
        anonymous.get("/docs", headers={"If-None-Match": page.headers["etag"]}).status_code == 304
    )


# ---- the page in a real browser ----

SEEN = """[...document.querySelectorAll('article.call')].filter(one => one.offsetHeight > 0).map(one => ({
  id: one.id, heading: one.querySelector('h3').innerText.replace(/\\s+/g, ' '), text: one.innerText,
  codes: [...one.querySelectorAll('.answer a code')].map(code => code.innerText) }))"""


@pytest.fixture(scope="module")
def page(shop, tmp_path_factory):
    if not CHROMIUM:
        pytest.skip("chromium is not installed")
    with Page(tmp_path_factory.mktemp("chromium")) as opened:
        opened.open(shop.url + "/docs", "document.querySelectorAll('article.call').length > 0")
        yield opened


def test_the_page_shows_every_call_with_what_it_takes_and_may_answer(page, document):
    seen = {one["id"]: one for one in page.value(SEEN)}
    calls = [(path, method, call) for path, item in document["paths"].items() for method, call in item.items()]
    assert set(seen) == {call["operationId"] for _, _, call in calls} and len(seen) > 40
    for path, method, call in calls:
        shown = seen[call["operationId"]]
        assert shown["heading"].startswith(f"{method.upper()} {path} "), shown["heading"]
        assert call["summary"].replace("`", "") in shown["text"]
        for parameter in call.get("parameters", []):
            assert resolved(document, parameter)["name"] in shown["text"], path
        codes = []
        for answer in call["responses"].values():
            codes += re.findall(r"^- `([^`]+)`", resolved(document, answer)["description"], re.M)
        assert sorted(codes) == sorted(shown["codes"]), path
    texts = page.value("document.getElementById('main').textContent")
    assert "matches" not in texts and "undefined" not in texts, "a pattern is told in words"
    assert texts.count("one line of text") > 40 and "a UUID" in texts and "2 capital letters" in texts


def test_every_link_of_the_page_leads_somewhere(page):
    broken = page.value(
        "[...document.querySelectorAll('a')].map(link => link.getAttribute('href')).filter(to => "
        "to.startsWith('#') ? !document.getElementById(to.slice(1)) : to !== '/openapi.json')"
    )
    assert broken == []


def test_a_call_is_found_by_its_words(page):
    left = page.value(
        "(() => { const box = document.getElementById('filter'); box.value = 'post refund'; "
        "box.dispatchEvent(new Event('input')); const left = [...document.querySelectorAll('#menu li[data-words]')]"
        ".filter(item => item.offsetHeight > 0).map(item => item.innerText.replace(/\\s+/g, ' ')); "
        "box.value = ''; box.dispatchEvent(new Event('input')); return left; })()"
    )
    assert left == ["POST /orders/{id}/refunds"]


def test_the_page_asks_for_nothing_from_elsewhere_and_has_nothing_to_complain_of(page, shop):
    assert page.requests() == [shop.url + "/docs", shop.url + "/openapi.json"]
    assert page.complaints() == []
    width = page.value("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width == 0, "nobody has to scroll sideways"


def test_what_a_page_complains_of_and_asks_for_is_seen(page, shop):
    page.value("console.error('planted'); fetch('/nothing-here').then(answer => answer.status)")
    assert shop.url + "/nothing-here" in page.requests()
    assert len(page.complaints()) == 2, page.complaints()
