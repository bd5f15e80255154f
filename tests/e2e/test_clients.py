"""Storefronts and warehouses over clients that others' generators make of the OpenAPI document (tests/clients)."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from shop import PASSWORD, ROOT, new_email, until

CLIENTS = ROOT / "tests" / "clients"
DOCUMENT = ROOT / "contracts" / "openapi" / "duka.json"
BIN = pathlib.Path(sys.executable).parent


def ran(*words, cwd, environment=None, seconds=180):
    """Runs a program that must end well; gives what it printed."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, "NO_PROXY": "127.0.0.1", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=seconds,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def python_client(tmp_path_factory):
    """The program over the Python client, made of the document."""
    folder = tmp_path_factory.mktemp("python")
    made = ran(
        *(BIN / "openapi-python-client", "generate", "--path", DOCUMENT, "--meta", "none"),
        *("--config", CLIENTS / "python" / "config.yml", "--output-path", folder / "duka_api"),
        cwd=folder,
    )
    assert "will not be generated" not in made, made
    program = CLIENTS / "python" / "shopping.py"
    return lambda *words: ran(
        sys.executable, program, *words, cwd=folder, environment={"PYTHONPATH": str(folder)}
    )


@pytest.fixture(scope="module")
def typescript_client(tmp_path_factory):
    """The same over the TypeScript client, compiled strictly."""
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("typescript") / "client"
    shutil.copytree(CLIENTS / "typescript", folder, ignore=shutil.ignore_patterns("node_modules"))
    ran("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
    ran("npx", "openapi-typescript", DOCUMENT, "-o", "duka.d.ts", cwd=folder)
    ran("npx", "tsc", "-p", ".", cwd=folder)
    return lambda *words: ran("node", "shopping.js", *words, cwd=folder)


def check(shop, client):
    """A storefront orders, a warehouse ships, and the shop has it in its books."""
    staff, admin = shop.staff, shop.admin
    for _ in range(3):
        staff.create_product(on_hand=50)
    email = new_email("amina")
    bought = json.loads(client("storefront", shop.url, email, PASSWORD))
    assert bought["products"] >= 3 and bought["status"] == "confirmed" and bought["replayed"]
    assert bought["total"] == 2 * 1299
    wanted = ["price.changed", "stock.insufficient", "payment.declined", "not_found"]
    assert bought["refusals"] == wanted and bought["short"] == "/lines/0/quantity"
    assert bought["mine"] == 3 and bought["timeline"][0] == "placed"
    assert "confirmed" in bought["timeline"]
    assert bought["exported"] == [email, 1, "registered", ["/orders?limit=100"]]

    staff.order_becomes(bought["order"], payment_status="captured")
    packed = json.loads(client("warehouse", shop.url, bought["order"], admin.email, admin.password))
    assert packed["fulfilment"] == ["fulfilled", "delivered"]
    assert packed["change"] == 5 - 2
    assert packed["refused"] == "auth.scope_missing" and packed["revoked"]
    assert packed["audit"] == ["orders.record_delivery", "orders.create_fulfilment"]
    assert packed["ledger"] == [["adjusted", 5], ["shipped", -2]]
    assert staff.order_becomes(bought["order"], status="completed")["paid"]["amount"] == 2 * 1299
    sku = staff.order(bought["order"])["lines"][0]["sku"]
    until(lambda: staff.levels(sku) == (53, 0, 53), what="the stock")


def test_a_storefront_and_a_warehouse_work_over_the_python_client(shop, python_client):
    check(shop, python_client)


def test_a_storefront_and_a_warehouse_work_over_the_typescript_client(shop, typescript_client):
    check(shop, typescript_client)
