"""What a shop forgets, held against docs/internals/retention.md: every table of every database is either a record or is
counted, and the sweepers of a running shop forget."""

import datetime
import pathlib
import re
import sqlite3

import pytest

from shop import accepted, refused, until

RULES = pathlib.Path(__file__).resolve().parents[2] / "docs/internals/retention.md"
SERVICES = ("users", "products", "orders")
# They have no count of their own: parts of another row, a row a name, or only on PostgreSQL.
UNCOUNTED = {"spool_chunks", "leases", "writers"}


def tables_of(path):
    """Every table of the database, but for the engine's own and the parts of a full-text index."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        names = {row[0] for row in database.execute("select name from sqlite_master where type = 'table'")}
    return {name for name in names if not name.startswith("sqlite_") and not re.match(r"product_words_\w+$", name)}


def rules():
    """The tables that the page has: {service: bookkeeping}, records."""
    text = RULES.read_text()
    rows = re.findall(r"^\| (\w+) \| `(\w+)` \|", text, re.M)
    bookkeeping = {service: {table for who, table in rows if who in ("all", service)} for service in SERVICES}
    return bookkeeping, set(re.findall(r"`(\w+)`", text.split("## Records")[1].split("## ")[0]))


def complaints(tables, metrics):
    """What is wrong: `tables` of each service as the schema has them, `metrics` as the shop tells them."""
    bookkeeping, records = rules()
    for service, names in tables.items():
        for table in sorted(names - bookkeeping[service] - records):
            yield f"{service}.{table} stands in neither list of {RULES.name}"
        for table in sorted(bookkeeping[service] - names):
            yield f"{service}.{table} is in the list and not in the schema"
        for table in sorted((names & bookkeeping[service]) - UNCOUNTED):
            if f'duka_table_rows{{service="{service}",table="{table}"}}' not in metrics:
                yield f"{service}.{table} is not counted"


@pytest.fixture(name="seen")
def fixture_seen(new_shop):
    """A shop's tables and metrics."""
    shop = new_shop(SWEEP_INTERVAL="200ms").start()
    until(lambda: all(f'duka_table_rows{{service="{name}",table="once"}}' in shop.metrics() for name in SERVICES), 20)
    return {name: tables_of(shop.data / f"{name}.db") for name in SERVICES}, shop.metrics()


def test_every_table_of_the_schema_is_a_record_or_bookkeeping_with_a_rule_and_a_count(seen):
    assert not list(complaints(*seen))


def test_a_table_that_no_rule_knows_and_one_that_nobody_counts_are_found(seen):
    tables, metrics = seen
    planted = {**tables, "orders": tables["orders"] | {"parcels_seen"}}
    assert list(complaints(planted, metrics)) == ["orders.parcels_seen stands in neither list of retention.md"]
    silent = "\n".join(line for line in metrics.splitlines() if 'table="payment_events"' not in line)
    assert list(complaints(tables, silent)) == ["orders.payment_events is not counted"]


def test_reports_of_imports_are_forgotten_in_time_and_the_products_stay(new_shop):
    shop = new_shop(SWEEP_INTERVAL="200ms", IMPORT_RETENTION="2s").start()
    head = "Handle,Title,Published,Variant SKU,Variant Inventory Qty,Variant Price\n"
    shop.staff.import_csv(head + "".join(f"thing-{i},Thing {i},true,T-{i},1,1\n" for i in range(300)))

    def rows(table):
        return shop.rows("products", f"select count(*) from {table}")[0][0]

    assert rows("imports") == 1
    until(lambda: rows("import_lines") == 0 and rows("imports") == 0, 30, "the report is forgotten")
    assert len(accepted(shop.customer().get("/products?limit=100"))["items"]) == 100
    swept = re.search(r'duka_swept_rows_total\{service="products",table="imports"\} (\d+)', shop.metrics())
    assert int(swept[1]) == 301


def test_units_come_back_within_return_time_and_money_also_later(new_shop):
    shop = new_shop(RETURN_TIME="1s").start()
    staff, customer = shop.staff, shop.customer()
    sku = staff.new_sku(on_hand=10)
    order = accepted(customer.place([(sku, 3)]), 201)
    accepted(staff.fulfil(order["id"]))
    until(lambda: staff.levels(sku) == (7, 0, 7), what="three to have left")
    customer.order_becomes(order["id"], payment_status="captured")
    placed_at = datetime.datetime.fromisoformat(order["created_at"].replace("Z", "+00:00"))
    until(lambda: (datetime.datetime.now(datetime.timezone.utc) - placed_at).total_seconds() > 1.1)
    refused(staff.refund(order["id"], restock=True), 409, "return.too_late")
    accepted(staff.refund(order["id"]))
    customer.order_becomes(order["id"], payment_status="refunded")
    assert staff.levels(sku) == (7, 0, 7)
