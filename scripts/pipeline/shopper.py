"""Shops at a URL as a customer does: registers, logs in, finds a product in stock, places an order, reads it back, cancels it so that
the stock is as it was. Ends with 1 and says why where something is not as docs/api.md promises."""
import json
import secrets
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 10


class Wrong(Exception):
    """An answer that no shop should give."""


def call(base, method, path, body=None, expected=200, **headers):
    """One request; the answer's JSON, or Wrong with what came instead."""
    request = urllib.request.Request(base + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    except OSError as error:
        raise Wrong(f"{method} {path}: {error}") from error
    if status != expected:
        raise Wrong(f"{method} {path}: {status}, not {expected}: {text.decode(errors='replace')[:500]}")
    return json.loads(text) if text else None


def shop(base):
    person = {"email": f"pipeline-{secrets.token_hex(8)}@example.com", "password": secrets.token_urlsafe(24)}
    call(base, "POST", "/users", {**person, "name": "Pipeline"}, 201)
    token = call(base, "POST", "/users/login", person)["access_token"]
    authorization = {"Authorization": f"Bearer {token}"}
    products = call(base, "GET", "/products?limit=1&availability=in_stock")["items"]
    if not products:
        raise Wrong("GET /products: nothing is in stock: seed the catalog of this shop (dukactl seed)")
    sku = products[0]["variants"][0]["sku"]
    order = call(base, "POST", "/orders", {"lines": [{"sku": sku, "quantity": 1}], "payment": {"provider": "simulator", "token": "approve"}},
                 201, Idempotency_Key=secrets.token_hex(16), **authorization)
    seen = call(base, "GET", f"/orders/{order['id']}", **authorization)
    if seen["status"] != "confirmed":
        raise Wrong(f"GET /orders/{order['id']}: status {seen['status']}, not confirmed")
    call(base, "POST", f"/orders/{order['id']}/cancel", {}, 200, Idempotency_Key=secrets.token_hex(16), **authorization)
    return order["id"]


if __name__ == "__main__":
    try:
        print(f"order {shop(sys.argv[1].rstrip('/'))} was placed, confirmed, read back and cancelled")
    except Wrong as wrong:
        raise SystemExit(f"the shop does not work: {wrong}") from wrong
