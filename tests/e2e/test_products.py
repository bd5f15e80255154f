"""The catalog: products, categories, lists, search, versions."""

import uuid

import httpx
import pytest
from shop import accepted, items, pages, refused, until


def word():
    return "w" + uuid.uuid4().hex[:10]


def money(amount, currency="EUR"):
    return {"amount": amount, "currency": currency}


def shirt(**members):
    """A product of two sizes and two colours."""
    handle = "shirt-" + word()
    variants = [
        {"options": [size, colour], "price": money(2000 + 100 * i), "on_hand": 10}
        for i, (size, colour) in enumerate((s, c) for s in ("S", "M") for c in ("Red", "Blue"))
    ]
    return {
        "title": "Shirt",
        "handle": handle,
        "status": "active",
        "options": [{"name": "Size"}, {"name": "Colour"}],
        "variants": variants,
        **members,
    }


def tag_of(product):
    """The ETag of a product as it was read."""
    return f'"v{product["version"]}"'


def change(staff, product, **members):
    return staff.patch(
        f"/products/{product['id']}", json=members, headers={"If-Match": tag_of(product)}
    )


# ---- making and reading ----


def test_a_product_is_made_whole_and_read_by_id_and_by_handle(staff, anonymous):
    body = shirt(
        description="Line one\nline two",
        vendor="Duka",
        type="Tops",
        tags=["summer", "linen"],
        images=[{"url": "https://example.com/a.jpg", "alt": "A shirt"}],
    )
    made = staff.post("/products", json=body)
    product = accepted(made, 201)
    assert made.headers["location"] == f"/products/{product['id']}" and made.headers[
        "etag"
    ] == tag_of(product)
    assert [v["sku"] for v in product["variants"]] == [
        f"{body['handle']}-{tail}" for tail in ("s-red", "s-blue", "m-red", "m-blue")
    ]
    assert product["options"] == [
        {"name": "Size", "values": ["S", "M"]},
        {"name": "Colour", "values": ["Red", "Blue"]},
    ]
    assert all(v["availability"] == "in_stock" and v["id"] for v in product["variants"])
    assert (product["vendor"], product["type"], product["tags"]) == (
        "Duka",
        "Tops",
        ["summer", "linen"],
    )
    assert accepted(anonymous.get(f"/products/{product['id']}")) == product
    assert accepted(anonymous.get(f"/products/{product['handle']}")) == product
    assert staff.levels(product["variants"][0]["sku"]) == (10, 0, 10)


def test_a_product_is_made_by_staff_only(staff, customer, anonymous):
    refused(anonymous.post("/products", json=shirt()), 401, "auth.token_missing")
    refused(customer.post("/products", json=shirt()), 403, "auth.role_missing")
    accepted(staff.post("/products", json=shirt()), 201)


def test_what_contradicts_itself_is_refused_with_the_place(staff):
    bad = shirt()
    bad["variants"][1]["options"] = ["S"]
    refused(staff.post("/products", json=bad), 422, "product.invalid", "/variants/1/options")
    bad = shirt()
    bad["variants"][1]["options"] = bad["variants"][0]["options"]
    refused(staff.post("/products", json=bad), 422, "product.invalid")
    refused(staff.post("/products", json=shirt(variants=[])), 422, "field.invalid", "/variants")
    refused(staff.post("/products", json=shirt(title="")), 422, "field.invalid", "/title")
    refused(staff.post("/products", json=shirt(status="sold")), 422, "field.invalid", "/status")
    refused(
        staff.post("/products", json=shirt(images=[{"url": "javascript:1"}])),
        422,
        "field.invalid",
        "/images/0/url",
    )


@pytest.mark.parametrize(
    "amount", ["12.5", "1e3", "-1", "1000000000000001", "9223372036854775808", '"12"', "null"]
)
def test_money_is_a_whole_number_of_minor_units(staff, amount):
    body = '{"title":"T","variants":[{"price":{"amount":%s,"currency":"EUR"}}]}' % amount
    refused(
        staff.post("/products", content=body, headers={"Content-Type": "application/json"}),
        422,
        "field.invalid",
        "/variants/0/price/amount",
    )


def test_a_price_without_an_amount_is_no_price_of_nothing(staff):
    body = shirt(options=[], variants=[{"price": {"currency": "EUR"}}])
    refused(staff.post("/products", json=body), 422, "field.invalid", "/variants/0/price/amount")
    body["variants"][0]["price"]["amount"] = 0
    assert accepted(staff.post("/products", json=body), 201)["variants"][0]["price"]["amount"] == 0


def test_a_currency_is_one_of_iso_4217(staff):
    for currency in ("EURO", "eur", "XQZ", ""):
        refused(
            staff.post(
                "/products",
                json=shirt(variants=[{"price": money(1, currency), "options": ["S", "Red"]}]),
            ),
            422,
            "field.invalid",
            "/variants/0/price/currency",
        )
    accepted(
        staff.post(
            "/products", json=shirt(variants=[{"price": money(1, "KES"), "options": ["S", "Red"]}])
        ),
        201,
    )


def test_handles_and_skus_are_taken_once(staff):
    first = accepted(staff.post("/products", json=shirt()), 201)
    refused(
        staff.post("/products", json=shirt(handle=first["handle"])), 409, "product.handle_taken"
    )
    variants = [{"sku": first["variants"][0]["sku"], "price": money(1)}]
    refused(staff.post("/products", json=shirt(options=[], variants=variants)), 409, "sku.taken")


@pytest.mark.parametrize("name", ["categories", "imports", "export", "stock", "audit"])
def test_a_handle_is_no_word_that_means_something_else_in_a_path(staff, anonymous, name):
    refused(staff.post("/products", json=shirt(handle=name)), 422, "product.invalid", "/handle")
    product = accepted(staff.post("/products", json=shirt()), 201)
    refused(change(staff, product, handle=name), 422, "product.invalid", "/handle")
    assert accepted(anonymous.get(f"/products/{product['handle']}")) == product
    other = f"{name}-{word()}"
    accepted(change(staff, product, handle=other))
    assert accepted(anonymous.get(f"/products/{other}"))["id"] == product["id"]


def test_drafts_are_seen_by_staff_only(staff, customer, anonymous):
    draft = accepted(staff.post("/products", json=shirt(status="draft")), 201)
    path = f"/products/{draft['handle']}"
    refused(anonymous.get(path), 404, "not_found")
    refused(customer.get(path), 404, "not_found")
    assert accepted(staff.get(path))["status"] == "draft"
    refused(anonymous.get("/products", params={"status": "draft"}), 401, "auth.token_missing")
    refused(customer.get("/products", params={"status": "draft"}), 403, "auth.role_missing")
    assert draft["id"] in [
        one["id"] for one in items(staff.get("/products", params={"status": "draft"}))
    ]
    accepted(change(staff, draft, status="active"))
    assert accepted(anonymous.get(path))["status"] == "active"


# ---- changing ----


def test_a_change_needs_the_version_that_was_read(staff, anonymous):
    product = accepted(staff.post("/products", json=shirt()), 201)
    path = f"/products/{product['id']}"
    refused(staff.patch(path, json={"title": "New"}), 428, "version.required")
    changed = accepted(change(staff, product, title="New", tags=[]))
    assert (changed["title"], changed["version"]) == ("New", 2)
    refused(change(staff, product, title="Late"), 412, "version.stale")
    seen = anonymous.get(path)
    assert accepted(seen)["title"] == "New" and seen.headers["etag"] == tag_of(changed)
    assert anonymous.get(path, headers={"If-None-Match": tag_of(changed)}).status_code == 304
    assert anonymous.get(path, headers={"If-None-Match": tag_of(product)}).status_code == 200


def test_absent_null_and_empty_are_three_things(staff):
    product = accepted(staff.post("/products", json=shirt(vendor="Duka", description="Words")), 201)
    product = accepted(change(staff, product, vendor=""))
    assert (product["vendor"], product["description"]) == ("", "Words")
    product = accepted(change(staff, product, description=None))
    assert (product["vendor"], product["description"]) == ("", "")
    refused(change(staff, product, title=""), 422, "field.invalid", "/title")
    refused(change(staff, product, colour="red"), 422, "field.unknown", "/colour")


def test_variants_are_matched_by_sku(staff):
    product = accepted(staff.post("/products", json=shirt()), 201)
    kept = product["variants"][0]
    variants = [
        {"sku": kept["sku"], "options": kept["options"], "price": money(999)},
        {"options": ["L", "Red"], "price": money(3000), "on_hand": 3},
    ]
    changed = accepted(change(staff, product, variants=variants))
    assert [v["sku"] for v in changed["variants"]] == [kept["sku"], product["handle"] + "-l-red"]
    assert changed["variants"][0]["id"] == kept["id"] and changed["variants"][0]["price"] == money(
        999
    )
    assert staff.levels(kept["sku"]) == (10, 0, 10)
    assert staff.levels(product["handle"] + "-l-red") == (3, 0, 3)


def test_an_archived_product_is_not_for_sale_any_more(staff, customer, anonymous):
    product = accepted(staff.post("/products", json=shirt()), 201)
    sku, path = product["variants"][0]["sku"], f"/products/{product['id']}"
    accepted(customer.place(sku), 201)
    refused(staff.delete(path), 428, "version.required")
    # Its availability may have moved with the order: the version that counts is the one read now.
    assert (
        staff.delete(path, headers={"If-Match": staff.get(path).headers["etag"]}).status_code == 204
    )
    refused(anonymous.get(path), 404, "not_found")
    assert accepted(staff.get(path))["status"] == "archived"

    # Orders hears of it by an event; what comes before that is still sold.
    answers = []

    def is_refused():
        answers.append(customer.place(sku))
        return answers[-1].status_code != 201

    until(is_refused, what="the SKU to be unknown")
    refused(answers[-1], 422, "order.sku_unknown", "/lines/0/sku")
    assert staff.levels(sku) == (10, len(answers), 10 - len(answers))


# ---- categories ----


def test_categories_hold_products(staff, customer, anonymous):
    name = word()
    made = staff.post("/products/categories", json={"name": name})
    category = accepted(made, 201)
    assert (
        category["handle"] == name
        and made.headers["location"] == f"/products/categories/{category['id']}"
    )
    refused(staff.post("/products/categories", json={"name": name}), 409, "category.taken")
    refused(customer.post("/products/categories", json={"name": word()}), 403, "auth.role_missing")
    refused(
        staff.post("/products", json=shirt(categories=["no-such-category"])),
        422,
        "product.invalid",
        "/categories/0",
    )

    product = accepted(staff.post("/products", json=shirt(categories=[name])), 201)
    child = accepted(staff.post("/products/categories", json={"name": word(), "parent": name}), 201)
    assert child["parent"] == name
    listed = {one["id"]: one for one in items(anonymous.get("/products/categories"))}
    assert listed[category["id"]]["products_count"] == 1 and listed[child["id"]]["parent"] == name
    assert [p["id"] for p in items(anonymous.get("/products", params={"category": name}))] == [
        product["id"]
    ]

    renamed = accepted(
        staff.patch(f"/products/categories/{category['id']}", json={"name": "Shirts"})
    )
    assert (renamed["name"], renamed["handle"]) == ("Shirts", name)
    refused(staff.delete(f"/products/categories/{category['id']}"), 409, "category.in_use")
    assert staff.delete(f"/products/categories/{child['id']}").status_code == 204
    refused(staff.delete(f"/products/categories/{child['id']}"), 404, "not_found")


# ---- lists and search ----


@pytest.fixture(scope="module")
def shelf(staff):
    """Seven products that only this vendor has, with prices and stocks that differ."""
    vendor = word()
    made = []
    for i, (title, price, on_hand) in enumerate(
        [
            ("Cobalt lamp", 500, 10),
            ("Amber lamp", 700, 0),
            ("Brass lamp", 600, 3),
            ("Dune carpet", 9000, 10),
            ("Ember candle", 100, 10),
            ("Fern pot", 300, 10),
            ("Zebra stool", 4500, 10),
        ]
    ):
        handle = f"{vendor}-{i}"
        made.append(
            accepted(
                staff.post(
                    "/products",
                    json={
                        "title": title,
                        "handle": handle,
                        "status": "active",
                        "vendor": vendor,
                        "type": "lamp" if i < 3 else "other",
                        "tags": ["first"] if i == 0 else ["rest"],
                        "description": f"Quaint {vendor}",
                        "variants": [{"sku": handle, "price": money(price), "on_hand": on_hand}],
                    },
                ),
                201,
            )
        )
    return vendor, made


def titles(answer):
    return [one["title"].split()[0] for one in items(answer)]


@pytest.mark.parametrize(
    "query, expected",
    [
        ({"sort": "title"}, "Amber Brass Cobalt Dune Ember Fern Zebra"),
        ({"sort": "newest"}, "Zebra Fern Ember Dune Brass Amber Cobalt"),
        ({"sort": "price"}, "Ember Fern Cobalt Brass Amber Zebra Dune"),
        ({"sort": "price_descending"}, "Dune Zebra Amber Brass Cobalt Fern Ember"),
        ({"sort": "title", "type": "lamp"}, "Amber Brass Cobalt"),
        ({"tag": "first"}, "Cobalt"),
        ({"sort": "price", "price_min": 300, "price_max": 600}, "Fern Cobalt Brass"),
        ({"availability": "out"}, "Amber"),
        ({"availability": "low"}, "Brass"),
        ({"sort": "title", "q": "lamp"}, "Amber Brass Cobalt"),
        ({"sort": "title", "q": "LAM"}, "Amber Brass Cobalt"),
        ({"q": "amber lamp"}, "Amber"),
        ({"q": "nothing-like-it"}, ""),
    ],
)
def test_lists_are_filtered_sorted_and_searched(anonymous, shelf, query, expected):
    assert (
        titles(anonymous.get("/products", params={"vendor": shelf[0], **query})) == expected.split()
    )


@pytest.mark.parametrize("sort", ["title", "newest", "price", "price_descending", "relevance"])
def test_pages_of_every_order_hold_each_product_once(anonymous, shelf, sort):
    query = {"vendor": shelf[0], "sort": sort, **({"q": "quaint"} if sort == "relevance" else {})}
    whole = [one["id"] for one in items(anonymous.get("/products", params=query))]
    found, count = pages(lambda **rest: anonymous.get("/products", **rest), limit=2, **query)
    assert [one["id"] for one in found] == whole and len(whole) == 7 and count == 4


def test_a_page_links_to_the_next(anonymous, shelf):
    page = anonymous.get("/products", params={"vendor": shelf[0], "limit": 3})
    link = page.headers.get("link", "")
    assert 'rel="next"' in link, "the list has a next page, and says so in Link"
    following = httpx.URL(str(page.url)).join(link[link.index("<") + 1 : link.index(">")])
    body = accepted(anonymous.http.get(following))
    assert len(body["items"]) == 3 and body == accepted(
        anonymous.get(
            "/products", params={"vendor": shelf[0], "limit": 3, "after": page.json()["next"]}
        )
    )


def test_what_a_list_cannot_read_is_refused(anonymous, shelf):
    ask = {"vendor": shelf[0]}
    cursor = accepted(anonymous.get("/products", params={**ask, "limit": 2}))["next"]
    refused(anonymous.get("/products", params={"colour": "red"}), 400, "query.malformed")
    refused(anonymous.get("/products?limit=1&limit=2"), 400, "query.malformed")
    refused(anonymous.get("/products", params={"limit": 101}), 422, "field.invalid", "/limit")
    refused(anonymous.get("/products", params={"limit": "many"}), 422, "field.invalid", "/limit")
    refused(anonymous.get("/products", params={"sort": "colour"}), 422, "field.invalid", "/sort")
    refused(anonymous.get("/products", params={"sort": "relevance"}), 422, "field.invalid", "/sort")
    changed = ("B" if cursor[0] != "B" else "C") + cursor[1:]
    refused(
        anonymous.get("/products", params={**ask, "limit": 2, "after": changed}),
        400,
        "cursor.invalid",
    )
    refused(anonymous.get("/products", params={"limit": 2, "after": cursor}), 400, "cursor.invalid")
    accepted(anonymous.get("/products", params={**ask, "limit": 2, "after": cursor}))


def test_a_list_that_has_not_changed_is_not_sent_again(anonymous, shelf):
    first = anonymous.get("/products", params={"vendor": shelf[0]})
    again = anonymous.get(
        "/products", params={"vendor": shelf[0]}, headers={"If-None-Match": first.headers["etag"]}
    )
    assert again.status_code == 304 and not again.content


def test_head_is_get_without_the_body(anonymous, shelf):
    path = f"/products/{shelf[1][0]['id']}"
    whole, head = anonymous.get(path), anonymous.request("HEAD", path)
    assert head.status_code == 200 and not head.content
    assert (
        head.headers["content-length"] == str(len(whole.content))
        and head.headers["etag"] == whole.headers["etag"]
    )


def test_availability_follows_the_stock(staff, anonymous):
    product = staff.create_product(on_hand=7)
    sku, path = product["variants"][0]["sku"], f"/products/{product['id']}"

    def availability():
        return accepted(anonymous.get(path))["variants"][0]["availability"]

    assert availability() == "in_stock"
    accepted(staff.adjust(sku, delta=-2, reason="lost"))
    assert availability() == "low"
    accepted(staff.adjust(sku, delta=-5, reason="lost"))
    assert availability() == "out"
    accepted(staff.adjust(sku, delta=50))
    assert availability() == "in_stock"
