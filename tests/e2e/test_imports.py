"""Product CSV in Shopify's format: whole, again without a change, and ordered from."""

import csv
import os
import pathlib

import pytest
from shop import ROOT, accepted, items, refused, until

FILES = sorted(
    (pathlib.Path(os.environ.get("DUKA_SHARED_DIR", ROOT.parent / "shared")) / "data").glob("*.csv")
)
DEMO = ROOT / "deploy" / "demo" / "catalog.csv"

HEAD = (
    "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Variant SKU,"
    "Variant Inventory Qty,Variant Price\n"
)


def rows_of(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def outcomes(report):
    assert report["status"] == "done", report
    assert report["bytes_done"] == report["bytes"]
    return report["created"], report["changed"], report["unchanged"], report["refused"]


def import_twice_and_order(staff, customer, path):
    """Imports a file whole, then again without a change, and orders a variant of it."""
    rows = rows_of(path)
    handles = list(dict.fromkeys(row["Handle"] for row in rows))
    first = staff.import_csv(path.read_bytes())
    assert outcomes(first) == (len(handles), 0, 0, 0), first["lines"]
    assert [line["handle"] for line in first["lines"]] == handles
    assert all(line["outcome"] == "created" for line in first["lines"])

    again = staff.import_csv(path.read_bytes())
    assert outcomes(again) == (0, 0, len(handles), 0), again["lines"]

    priced = [row for row in rows if row["Variant Price"]]
    for handle in handles:
        product = accepted(customer.get(f"/products/{handle}"))
        own = [row for row in priced if row["Handle"] == handle]
        assert product["status"] == "active" and product["version"] == 1
        assert [v["price"]["amount"] for v in product["variants"]] == [
            round(float(row["Variant Price"]) * 100) for row in own
        ]
        assert all(v["price"]["currency"] == "EUR" and v["sku"] for v in product["variants"])
        for variant, row in zip(product["variants"], own):
            quantity = int(row["Variant Inventory Qty"] or 0)
            assert staff.levels(variant["sku"]) == (quantity, 0, quantity)
            assert [e["kind"] for e in staff.ledger(variant["sku"])] == (
                ["initial"] if quantity else []
            )

    some = next(row["Handle"] for row in priced if int(row["Variant Inventory Qty"] or 0) > 0)
    variant = next(
        v
        for v in accepted(customer.get(f"/products/{some}"))["variants"]
        if v["availability"] != "out"
    )
    order = accepted(customer.place(variant["sku"]), 201)
    assert order["status"] == "confirmed" and order["total"] == variant["price"]


@pytest.mark.skipif(
    not FILES, reason="no sample files (DUKA_SHARED_DIR names the folder that has data/*.csv)"
)
@pytest.mark.parametrize("path", FILES or [None], ids=lambda path: path.name if path else "none")
def test_a_file_of_real_products_is_imported_whole_again_unchanged_and_ordered_from(
    staff, customer, path
):
    import_twice_and_order(staff, customer, path)


@pytest.mark.skipif(not DEMO.exists(), reason="deploy/demo/catalog.csv is not there yet")
def test_the_demo_catalog_is_imported_whole_again_unchanged_and_ordered_from(new_shop):
    shop = new_shop().start()
    import_twice_and_order(shop.staff, shop.customer(), DEMO)
    shop.close()


def test_lines_that_are_refused_are_reported_and_the_others_are_taken(staff, customer):
    report = staff.import_csv(
        HEAD
        + "".join(
            [
                "good-one,Good One,,,,,true,Title,Default Title,,5,9.99\n",
                "bad-price,Bad Price,,,,,true,Title,Default Title,,5,nine\n",
                "bad-count,Bad Count,,,,,true,Title,Default Title,,five,9.99\n",
                "good-two,Good Two,,,,,false,Title,Default Title,GT-1,5,1000\n",
            ]
        )
    )
    assert outcomes(report) == (2, 0, 0, 2)
    lines = {line["handle"]: line for line in report["lines"]}
    assert lines["bad-price"]["outcome"] == "refused" and lines["bad-price"]["message"]
    assert (lines["good-one"]["line"], lines["bad-price"]["line"], lines["good-two"]["line"]) == (
        2,
        3,
        5,
    )
    assert accepted(customer.get("/products/good-one"))["variants"][0]["sku"] == "good-one"
    refused(customer.get("/products/good-two"), 404, "not_found")  # not published: a draft
    assert accepted(staff.get("/products/good-two"))["status"] == "draft"
    refused(staff.get("/products/bad-price"), 404, "not_found")


def test_a_changed_file_changes_what_it_says_and_not_the_stock(staff, customer):
    line = "changing,Changing,,,,,true,Title,Default Title,CH-1,{},{}\n"
    assert outcomes(staff.import_csv(HEAD + line.format(5, "9.99"))) == (1, 0, 0, 0)
    accepted(customer.place("CH-1"), 201)
    assert outcomes(staff.import_csv(HEAD + line.format(50, "19.99"))) == (0, 1, 0, 0)
    assert accepted(customer.get("/products/changing"))["variants"][0]["price"]["amount"] == 1999
    assert staff.levels("CH-1") == (5, 1, 4)
    until(
        lambda: accepted(customer.place("CH-1"), 201)["total"]["amount"] == 1999,
        what="the new price",
    )


def test_prices_are_in_the_currency_that_the_import_names(staff, customer):
    line = HEAD + "coin-{0},Coin,,,,,true,Title,Default Title,COIN-{0},5,{1}\n"
    staff.import_csv(line.format("kes", "12.34"), currency="KES")
    staff.import_csv(line.format("jpy", "1234"), currency="JPY")
    prices = [
        accepted(customer.get(f"/products/coin-{c}"))["variants"][0]["price"]
        for c in ("kes", "jpy")
    ]
    assert prices == [{"amount": 1234, "currency": "KES"}, {"amount": 1234, "currency": "JPY"}]


def test_quotes_line_ends_and_a_byte_order_mark_are_read(staff, customer):
    text = (
        "\ufeff"
        + HEAD.replace("\n", "\r\n")
        + 'quoted,"A ""quoted"", pot","<p>Two\nlines</p>",,,"a, b",TRUE,'
        + "Title,Default Title,Q-1,1,5\r\n"
    )
    assert outcomes(staff.import_csv(text.encode())) == (1, 0, 0, 0)
    product = accepted(customer.get("/products/quoted"))
    assert product["title"] == 'A "quoted", pot' and product["tags"] == ["a", "b"]
    assert "Two\nlines" in product["description"]


def test_what_is_no_product_csv_is_refused(staff, customer, anonymous):
    kind = {"Content-Type": "text/csv"}
    for content in ("", "just words\n", "Title,Price\nA,1\n"):
        refused(
            staff.post("/products/imports", content=content, headers=kind), 422, "import.invalid"
        )
    refused(staff.post("/products/imports", json={}), 415, "http.media_type")
    refused(
        customer.post("/products/imports", content=HEAD, headers=kind), 403, "auth.role_missing"
    )
    refused(
        anonymous.post("/products/imports", content=HEAD, headers=kind), 401, "auth.token_missing"
    )
    refused(
        staff.post("/products/imports", content=HEAD, headers=kind, params={"currency": "XQZ"}),
        422,
        "field.invalid",
        "/currency",
    )
    broken = staff.import_csv(HEAD + 'open,"never closed,,,,,true\n')
    assert broken["status"] == "failed" and broken["message"]
    assert outcomes(staff.import_csv(HEAD)) == (0, 0, 0, 0)


def test_a_large_file_shows_its_progress_and_its_report_in_pages(staff, anonymous):
    lines = "".join(
        f"bulk-{i},Bulk {i},,bulkery,,,true,Title,Default Title,BULK-{i},2,{i + 1}\n"
        for i in range(600)
    )
    report = staff.import_csv(HEAD + lines)
    assert outcomes(report) == (600, 0, 0, 0) and report["bytes"] == len(HEAD + lines)
    job = f"/products/imports/{report['id']}"
    page = accepted(staff.get(job, params={"limit": 250}))
    assert len(page["lines"]) == 250 and page["created"] == 600
    second = accepted(staff.get(job, params={"limit": 250, "after": page["next"]}))
    assert second["lines"][0]["handle"] == "bulk-250"
    assert len(items(anonymous.get("/products", params={"vendor": "bulkery", "limit": 100}))) == 100


def test_an_import_goes_on_after_a_restart(new_shop):
    shop = new_shop().start()
    staff = shop.staff
    content = HEAD + "".join(
        f"r-{i},R {i},,,,,true,Title,Default Title,R-{i},2,5\n" for i in range(1500)
    )
    job = accepted(
        staff.post("/products/imports", content=content, headers={"Content-Type": "text/csv"}), 202
    )
    shop.kill()
    shop.start()

    def done():
        report = accepted(staff.get(f"/products/imports/{job['id']}"))
        return report if report["status"] == "done" else None

    assert outcomes(until(done, 60)) == (1500, 0, 0, 0)
    assert [entry["delta"] for entry in staff.ledger("R-1499")] == [2]
    shop.close()
