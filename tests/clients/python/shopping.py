"""A storefront and a warehouse in small, over the Python client that openapi-python-client makes of the OpenAPI document.
Written from docs/api.md and the document alone. Prints what happened as JSON, for tests/e2e/test_clients.py.

    shopping.py storefront URL           EMAIL PASSWORD
    shopping.py warehouse  URL ORDER_ID  EMAIL PASSWORD      (of an admin, who makes its API key)
"""

import json
import sys
import time
import uuid

from duka_api import AuthenticatedClient, Client
from duka_api.api.orders import (
    orders_create_fulfilment,
    orders_create_order,
    orders_get_order,
    orders_get_timeline,
    orders_list_audit,
    orders_list_orders,
    orders_record_delivery,
)
from duka_api.api.products import (
    products_adjust_stock,
    products_get_stock,
    products_list_ledger,
    products_list_products,
)
from duka_api.api.users import (
    users_create_api_key,
    users_export_me,
    users_list_api_keys,
    users_login,
    users_refresh,
    users_register,
    users_revoke_api_key,
)
from duka_api.models import (
    Address,
    AdjustmentReason,
    AdjustStockRequest,
    Availability,
    CreateApiKeyRequest,
    CreateFulfilmentRequest,
    CreateOrderLine,
    CreateOrderPayment,
    CreateOrderRequest,
    LoginRequest,
    Money,
    Order,
    OrderScope,
    OrderStatus,
    Problem,
    RecordDeliveryRequest,
    RefreshRequest,
    RegisterRequest,
    Scope,
)


def key():
    return str(uuid.uuid4())


def log_in(url, email, password):
    """The tokens of an account, and a client that sends the access token."""
    tokens = users_login.sync(client=Client(url), body=LoginRequest(email=email, password=password))
    return tokens, AuthenticatedClient(url, tokens.access_token)


def all_products(client):
    """Every product for sale, page by page."""
    page = products_list_products.sync(client=client, limit=2)
    found = list(page.items)
    while page.next_:
        page = products_list_products.sync(client=client, limit=2, after=page.next_)
        found += page.items
    return found


def settled(client, order_id, seconds=20):
    """Reads an order until it is confirmed, rejected or cancelled."""
    until = time.monotonic() + seconds
    while True:
        order = orders_get_order.sync(order_id, client=client)
        ends = (OrderStatus.CONFIRMED, OrderStatus.REJECTED, OrderStatus.CANCELLED)
        if order.status in ends or time.monotonic() > until:
            return order
        time.sleep(0.1)


def storefront(url, email, password):
    anyone = Client(url)
    users_register.sync(
        client=anyone, body=RegisterRequest(email=email, password=password, name="Amina")
    )
    tokens, _ = log_in(url, email, password)
    tokens = users_refresh.sync(
        client=anyone, body=RefreshRequest(refresh_token=tokens.refresh_token)
    )
    me = AuthenticatedClient(url, tokens.access_token)

    products = all_products(anyone)
    variant = next(
        v for p in products for v in p.variants if v.availability == Availability.IN_STOCK
    )
    total = Money(amount=2 * variant.price.amount, currency=variant.price.currency)
    home = Address(name="Amina Njoroge", line1="Moi Avenue 12", city="Nairobi", country="KE")

    def order(quantity, token="approve", expected=total):
        return CreateOrderRequest(
            lines=[CreateOrderLine(sku=variant.sku, quantity=quantity)],
            payment=CreateOrderPayment(provider="simulator", token=token),
            shipping_address=home,
            expected_total=expected,
        )

    once = key()
    placed = orders_create_order.sync_detailed(
        client=me, body=order(2), idempotency_key=once, prefer="wait=10"
    )
    again = orders_create_order.sync_detailed(client=me, body=order(2), idempotency_key=once)
    changed = Money(amount=total.amount + 1, currency=total.currency)
    refused = orders_create_order.sync(
        client=me, body=order(2, expected=changed), idempotency_key=key()
    )
    short = orders_create_order.sync(
        client=me, body=order(10000, expected=None), idempotency_key=key(), prefer="wait=10"
    )
    declined = orders_create_order.sync(
        client=me, body=order(2, "decline"), idempotency_key=key(), prefer="wait=10"
    )
    strange = orders_get_order.sync(key(), client=me)
    assert isinstance(placed.parsed, Order) and all(
        isinstance(p, Problem) for p in (refused, short, declined, strange)
    )
    mine = orders_list_orders.sync(client=me)
    kept = users_export_me.sync(client=me)
    return {
        "products": len(products),
        "order": str(placed.parsed.id),
        "status": settled(me, placed.parsed.id).status,
        "total": placed.parsed.total.amount,
        "replayed": again.headers["Idempotent-Replayed"] == "true"
        and again.parsed.id == placed.parsed.id,
        "refusals": [refused.code, short.code, declined.code, strange.code],
        "short": short.errors[0].pointer,
        "mine": len(mine.items),
        "exported": [kept.user.email, len(kept.sessions), kept.history[0].what, kept.elsewhere],
        "timeline": [
            entry.what for entry in orders_get_timeline.sync(placed.parsed.id, client=me).items
        ],
    }


def warehouse(url, order_id, email, password):
    """An admin makes a key for the warehouse's server, which ships by it; then the admin looks who did what."""
    _, admin = log_in(url, email, password)
    scopes = [Scope.ORDERS_READ, Scope.ORDERS_FULFIL, Scope.STOCK_READ, Scope.STOCK_WRITE]
    made = users_create_api_key.sync(
        client=admin, body=CreateApiKeyRequest(name="the warehouse", scopes=scopes)
    )
    packed = pack(known(AuthenticatedClient(url, made.secret)), order_id)
    audit = orders_list_audit.sync(client=admin, subject=order_id)
    by_key = [entry.call for entry in audit.items if entry.actor_id == str(made.id)]
    users_revoke_api_key.sync_detailed(made.id, client=admin)
    keys = users_list_api_keys.sync(client=admin)
    revoked = next(one for one in keys.items if one.id == made.id).revoked_at
    return {**packed, "audit": by_key, "revoked": bool(revoked)}


def known(server, seconds=5):
    """A new key works everywhere within five seconds: at Orders and at Products."""
    until = time.monotonic() + seconds
    while True:
        answer = orders_list_orders.sync_detailed(client=server, scope=OrderScope.ALL)
        if answer.status_code == 200:
            answer = products_get_stock.sync_detailed("mug", client=server)
        if answer.status_code in (200, 404):
            return server
        assert time.monotonic() < until, f"not known within {seconds} s: {answer.status_code} {answer.content}"
        time.sleep(0.1)


def pack(staff, order_id):
    placing = orders_create_order.sync(
        client=staff,
        body=CreateOrderRequest(
            lines=[CreateOrderLine(sku="mug", quantity=1)],
            payment=CreateOrderPayment(provider="simulator", token="approve"),
        ),
        idempotency_key=key(),
    )
    waiting = orders_list_orders.sync(
        client=staff, scope=OrderScope.ALL, status=OrderStatus.CONFIRMED
    )
    order = next(one for one in waiting.items if str(one.id) == order_id)
    sku = order.lines[0].sku
    before = products_get_stock.sync(sku, client=staff)
    assert not isinstance(before, Problem), before
    parcel = CreateFulfilmentRequest(carrier="Bodaboda", tracking="B-1")
    shipped = orders_create_fulfilment.sync(
        order_id, client=staff, body=parcel, idempotency_key=key()
    )
    arrived = orders_record_delivery.sync(
        order_id, client=staff, body=RecordDeliveryRequest(), idempotency_key=key()
    )
    until = time.monotonic() + 20
    while (
        products_get_stock.sync(sku, client=staff).on_hand == before.on_hand
        and time.monotonic() < until
    ):
        time.sleep(0.1)
    counted = products_adjust_stock.sync(
        sku,
        client=staff,
        body=AdjustStockRequest(reason=AdjustmentReason.RECEIVED, delta=5),
        idempotency_key=key(),
    )
    ledger = products_list_ledger.sync(sku, client=staff)
    return {
        "fulfilment": [shipped.fulfilment_status, arrived.fulfilment_status],
        "change": counted.on_hand - before.on_hand,
        "ledger": [[entry.kind, entry.delta] for entry in ledger.items[:2]],
        "refused": placing.code,
    }


if __name__ == "__main__":
    work = {"storefront": storefront, "warehouse": warehouse}[sys.argv[1]]
    print(json.dumps(work(*sys.argv[2:])))
