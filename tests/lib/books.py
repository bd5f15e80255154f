"""The books of a shop: what clients were told, what the services' files say, and whether all of it
agrees, per order.

The files are read from a copy, so that no second process ever opens a database that duka has open.
"""

import collections
import dataclasses
import pathlib
import shutil
import sqlite3
import uuid

KNOWN = [
    "unknown",
    "pending",
    "authorized",
    "captured",
    "declined",
    "voided",
    "refunded",
]  # enum payment_known
MONEY_BACK = {"none", "declined", "voided", "refunded"}
SETTLED = {"confirmed", "completed", "rejected", "cancelled"}


@dataclasses.dataclass
class Told:
    """What a client heard under one key: the request, and every answer it got, in order."""

    person: str
    key: str
    lines: list
    answers: list = dataclasses.field(default_factory=list)  # (status, body without trace_id)

    def order_id(self):
        status, body = self.answers[0]
        return body["subject"] if status in (402, 409) else body["id"]


@dataclasses.dataclass
class Books:
    """Rows as dictionaries, ids as text."""

    orders: dict  # id -> row
    lines: dict  # order id -> rows
    steps: dict  # order id -> what happened, in order
    payments: dict  # order id -> row of the simulated provider
    stock: dict  # SKU -> row
    ledger: dict  # SKU -> rows, oldest first
    holds: dict  # order id -> rows
    reservations: dict  # order id -> state
    left_over: dict  # table -> number of rows that should have been worked off


def rows(database, table):
    found = database.execute(f"select * from {table}")
    names = [column[0] for column in found.description]
    return [
        {
            name: (
                str(uuid.UUID(bytes=value))
                if isinstance(value, bytes) and len(value) == 16
                else value
            )
            for name, value in zip(names, row)
        }
        for row in found
    ]


def by(key, found):
    grouped = collections.defaultdict(list)
    for row in found:
        grouped[row[key]].append(row)
    return dict(grouped)


def read_books(data, scratch):
    """Reads the files of a shop that does not run. They are copied first, logs included."""
    scratch = pathlib.Path(scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    opened = {}
    for name in ("orders", "products", "payments-simulator"):
        found = pathlib.Path(data).glob(name + ".db*")
        for path in [*found, *pathlib.Path(data).glob(f"*/{name}.db*")]:  # of one that runs apart
            if not path.name.endswith("-shm"):
                shutil.copy(path, scratch / path.name)
        opened[name] = sqlite3.connect(scratch / f"{name}.db")
        (integrity,) = opened[name].execute("pragma integrity_check").fetchone()
        assert integrity == "ok", f"{name}.db: {integrity}"
    books = assemble(lambda name, table: rows(opened[name], table))
    for database in opened.values():
        database.close()
    return books


def read_books_of_postgresql(server, prefix=""):
    """The same of a shop whose databases lie on a server of tests/lib/postgresql.py; it may run. The simulated provider's
    tables stand among those of Orders."""
    databases = {"orders": f"duka_{prefix}orders", "products": f"duka_{prefix}products"}
    databases["payments-simulator"] = databases["orders"]
    return assemble(lambda name, table: server.rows(table, databases[name]))


def assemble(read):
    """The books of tables, each given by read(service, table)."""
    steps = by(
        "order_id",
        sorted(read("orders", "timeline"), key=lambda row: (row["version"], row["position"])),
    )
    return Books(
        orders={row["id"]: row for row in read("orders", "orders")},
        lines=by("order_id", read("orders", "order_lines")),
        steps={order: [row["what"] for row in found] for order, found in steps.items()},
        payments={row["id"]: row for row in read("payments-simulator", "payments")},
        stock={row["sku"]: row for row in read("products", "stock")},
        ledger=by("sku", sorted(read("products", "ledger"), key=lambda row: row["number"])),
        holds=by("order_id", read("products", "holds")),
        reservations={row["order_id"]: row["state"] for row in read("products", "reservations")},
        left_over={
            f"{name}.{table}": len(read(name, table))
            for name in ("orders", "products")
            for table in ("outbox", "inbox_held", "dead_letters")
        }
        | {"orders.payment_jobs": len(read("orders", "payment_jobs"))},
    )


def demand_of(lines):
    wanted = collections.Counter()
    for sku, quantity in lines:
        wanted[sku] += quantity
    return dict(wanted)


# ---- what must hold; each check yields sentences that say what is wrong ----


def check_answers(told, books):
    """Each order that was answered exists exactly once, a repeat heard the first answer, and there
    is no order that nobody was told of."""
    by_order = collections.defaultdict(list)
    for one in told:
        if not one.answers:
            yield f"key {one.key}: never answered"
            continue
        if any(answer != one.answers[0] for answer in one.answers[1:]):
            yield f"key {one.key}: a repeat heard another answer: {one.answers}"
        by_order[one.order_id()].append(one)
    for order_id, keys in by_order.items():
        if order_id not in books.orders:
            yield f"order {order_id} was answered and is lost"
        if len(keys) > 1:
            yield f"order {order_id} was told to several keys: {[one.key for one in keys]}"
    for order_id in books.orders.keys() - by_order.keys():
        yield f"order {order_id} exists and nobody was told of it: a key made two"


def check_outcome(one, books):
    """The order is what its client was told, as far as that can still be seen."""
    status, body = one.answers[0]
    order = books.orders.get(one.order_id())
    if not order:
        return
    name = f"order {one.order_id()}"
    if order["customer"] != one.person:
        yield f"{name} belongs to another customer"
    lines = [
        (line["sku"], line["quantity"])
        for line in sorted(books.lines[order["id"]], key=lambda line: line["position"])
    ]
    if lines != one.lines:
        yield f"{name} has other lines than were ordered: {lines}, {one.lines}"
    if order["total_minor"] != sum(
        line["quantity"] * line["unit_minor"] for line in books.lines[order["id"]]
    ):
        yield f"{name}: the total is not the sum of its lines"
    if status in (402, 409):
        wanted = {402: "payment.declined", 409: "stock.insufficient"}[status]
        if (order["status"], order["reason"]) != ("rejected", wanted):
            yield f"{name} was told {status} and is {order['status']} ({order['reason']})"
    elif status == 201 and order["status"] == "rejected":
        yield f"{name} was told 201 and is rejected"
    elif (
        status == 201
        and body["status"] == "confirmed"
        and "confirmed" not in books.steps[order["id"]]
    ):
        yield f"{name} was told that it is confirmed, and never was"


def check_order(order, books):
    """The order is settled; its timeline, holds and money agree with its states."""
    name = f"order {order['id']}"
    steps = books.steps.get(order["id"], [])
    if order["status"] not in SETTLED:
        yield f"{name} is not settled: {order['status']}, payment {order['payment']}"
    for what in (
        "placed",
        "reserved",
        "confirmed",
        "completed",
        "rejected",
        "cancelled",
        "payment.captured",
        "payment.refunded",
        "payment.authorized",
    ):
        if steps.count(what) > 1:
            yield f"{name}: {what} happened {steps.count(what)} times"
    if steps[:1] != ["placed"]:
        yield f"{name}: its timeline does not begin with placed: {steps}"
    yield from check_holds(order, books, "reserved" in steps)
    yield from check_money(order, books)


def check_holds(order, books, was_reserved):
    name, holds = f"order {order['id']}", books.holds.get(order["id"], [])
    lines = books.lines[order["id"]]
    demand = demand_of((line["sku"], line["quantity"]) for line in lines)
    shipped = demand_of((line["sku"], line["shipped"]) for line in lines)
    is_over = order["status"] in ("rejected", "cancelled")
    if was_reserved and {hold["sku"]: hold["quantity"] for hold in holds} != demand:
        yield f"{name}: {holds} do not hold what was ordered: {demand}"
    if order["reason"] == "stock.insufficient" and holds:
        yield f"{name} was refused its stock and holds some: {holds}"
    for hold in holds:
        open_units = hold["quantity"] - hold["shipped"] - hold["released"]
        if (
            min(open_units, hold["shipped"], hold["released"], hold["shipped"] - hold["returned"])
            < 0
        ):
            yield f"{name}: a negative hold: {hold}"
        if hold["shipped"] != shipped[hold["sku"]]:
            yield f"{name}: {hold} in products, in orders {shipped[hold['sku']]} were shipped"
        if is_over and open_units:
            yield f"{name} is {order['status']} and still holds {open_units} of {hold['sku']}"
        if order["status"] == "confirmed" and order["payment"] == "captured" and hold["released"]:
            yield f"{name} is confirmed and its hold of {hold['sku']} was let go"


def check_money(order, books):
    name, payment = f"order {order['id']}", books.payments.get(order["id"])
    known = KNOWN[payment["known"]] if payment else "none"
    if payment and (payment["amount_minor"], payment["currency"]) != (
        order["total_minor"],
        order["currency"],
    ):
        yield f"{name}: the provider was asked for another amount: {payment}"
    if known == "captured" and order["status"] not in ("confirmed", "completed"):
        yield f"{name} is {order['status']} and the provider has its money"
    if order["status"] in ("rejected", "cancelled") and (
        order["payment"] not in MONEY_BACK or known in ("authorized", "captured", "pending")
    ):
        yield f"{name} is {order['status']}, its payment {order['payment']}, the provider's {known}"
    if (
        order["provider"] == "simulator"
        and order["payment"] in ("captured", "refunded", "authorized")
        and known != order["payment"]
    ):
        yield f"{name}: its payment is {order['payment']}, at the provider {known}"
    if order["status"] == "confirmed" and order["payment"] not in ("authorized", "captured"):
        yield f"{name} is confirmed and its payment {order['payment']}"


def check_stock(books, adjusted):
    """on_hand = initial + adjusted + returned − shipped; reserved = the sum of open holds;
    nothing is negative."""
    reserved, shipped, returned = (
        collections.Counter(),
        collections.Counter(),
        collections.Counter(),
    )
    for holds in books.holds.values():
        for hold in holds:
            reserved[hold["sku"]] += hold["quantity"] - hold["shipped"] - hold["released"]
            shipped[hold["sku"]] += hold["shipped"]
            returned[hold["sku"]] += hold["returned"]
    for sku, stock in books.stock.items():
        entries = books.ledger.get(sku, [])
        sums = collections.Counter()
        for entry in entries:
            sums[entry["kind"]] += entry["delta"]
        if stock["on_hand"] != sum(sums.values()) or (
            entries and entries[-1]["on_hand_after"] != stock["on_hand"]
        ):
            yield f"{sku}: {stock['on_hand']} on hand, the ledger says {dict(sums)}"
        if (-sums["shipped"], sums["returned"]) != (shipped[sku], returned[sku]):
            yield f"{sku}: ledger {dict(sums)}, holds {shipped[sku]} out, {returned[sku]} back"
        if sums["adjusted"] != adjusted.get(sku, 0):
            yield f"{sku}: adjusted by {sums['adjusted']}, clients were told {adjusted.get(sku, 0)}"
        if stock["reserved"] != reserved[sku]:
            yield f"{sku}: {stock['reserved']} reserved, open holds are {reserved[sku]}"
        if min(
            stock["on_hand"], stock["reserved"], stock["on_hand"] - stock["reserved"]
        ) < 0 or any(entry["on_hand_after"] < 0 for entry in entries):
            yield f"{sku}: negative: {stock}"


def check_books(told, books, adjusted):
    """Everything that is wrong, as sentences; none where the books agree with what was told."""
    faults = list(check_answers(told, books))
    for one in told:
        if one.answers:
            faults += check_outcome(one, books)
    for order in books.orders.values():
        faults += check_order(order, books)
    for order_id in books.payments.keys() - books.orders.keys():
        faults.append(f"payment {order_id} has no order")
    for order_id in books.holds.keys() - books.orders.keys():
        faults.append(f"holds of {order_id} have no order")
    faults += check_stock(books, adjusted)
    faults += [
        f"{table}: {count} rows are left" for table, count in books.left_over.items() if count
    ]
    return faults
