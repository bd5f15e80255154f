"""Mutual TLS between the programs of a shop by settings alone: each shows a certificate of its own, and takes those of a list of names."""

import ssl
import time

import httpx
import pytest
from certificates import Authority
from shop import SERVICES, Shop, accepted, refused, until

# Who asks whom: the gateway all of them, all of them Users for keys and revocations, Orders Products for prices; events are pushed
# to whoever listens.
CALLERS = {
    "users": ("gateway", "products", "orders"),
    "products": ("gateway", "orders", "users"),
    "orders": ("gateway", "products", "users"),
}


def name_of(program):
    return f"{program}.shop.internal"


def make_shop(folder, authority):
    """A shop whose programs talk TLS, each with a certificate of its own."""
    shop = Shop(folder / "data", apart=True)
    shop.settings.update({f"{name.upper()}_URL": f"https://{shop.addresses[name]}" for name in SERVICES})
    for program in (*SERVICES, "gateway"):
        certificate, key = authority.make(program, dns=(name_of(program),))
        shop.own[program] = {
            "UPSTREAM_TLS_CA_FILE": str(authority.path),
            "UPSTREAM_TLS_CERT_FILE": str(certificate),
            "UPSTREAM_TLS_KEY_FILE": str(key),
            "UPSTREAM_TLS_NAMES": ",".join(map(name_of, SERVICES)),
        }
        if program in SERVICES:
            shop.own[program] |= {
                "TLS_CERT_FILE": str(certificate),
                "TLS_KEY_FILE": str(key),
                "TLS_CLIENT_CA_FILE": str(authority.path),
                "TLS_CLIENT_NAMES": ",".join(map(name_of, CALLERS[program])),
                "BUS_TLS_CA_FILE": str(authority.path),
                "BUS_TLS_CERT_FILE": str(certificate),
                "BUS_TLS_KEY_FILE": str(key),
            }
    return shop


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secured(tmp_path_factory, authority):
    with make_shop(tmp_path_factory.mktemp("secured"), authority) as running:
        yield running


def knock(shop, authority, service, certificate=None):
    """Asks a service at its own door, with a certificate of somebody."""
    context = ssl.create_default_context(cafile=str(authority.path))
    if certificate:
        context.load_cert_chain(*map(str, certificate))
    with httpx.Client(verify=context, trust_env=False, timeout=10) as http:
        return http.get(f"https://{shop.addresses[service]}/products")


def test_an_order_goes_through_programs_that_know_each_other_by_certificate(secured):
    customer, sku = secured.customer(), secured.staff.new_sku(on_hand=3)
    order = accepted(customer.place([(sku, 2)]), 201)
    assert order["status"] == "confirmed" and secured.staff.levels(sku) == (3, 2, 1)
    accepted(secured.staff.fulfil(order["id"]))
    until(lambda: secured.staff.levels(sku) == (1, 0, 1), 10, "the goods have left the shelf")
    assert customer.post("/users/logout").status_code == 204
    until(lambda: customer.get("/orders").status_code == 401, 5, "revocations come by the same way")


def test_a_service_takes_the_names_of_its_list_only(secured, authority, tmp_path):
    friend = authority.make("friend", dns=(name_of("orders"),))
    assert knock(secured, authority, "products", friend).status_code == 200
    neighbour = authority.make("neighbour", dns=(name_of("users"),))
    assert knock(secured, authority, "orders", neighbour).status_code == 404, "may ask Orders, which has no products"
    unlisted = authority.make("unlisted", dns=("mailer.shop.internal",))
    expired = authority.make("expired", dns=(name_of("orders"),), days=(-2, -1))
    stranger = Authority(tmp_path, "other").make("stranger", dns=(name_of("orders"),))
    for certificate in (None, unlisted, expired, stranger):
        with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)):
            knock(secured, authority, "products", certificate)
    reasons = " ".join(entry["reason"] for entry in secured.log_entries() if entry["event"] == "tls.refused")
    for words in ("did not return a certificate", "ostname mismatch", "expired"):
        assert words in reasons, reasons


@pytest.mark.parametrize("fault", ["unknown name", "expired", "unknown authority"])
def test_a_caller_takes_the_names_of_its_list_only(fault, secured, authority, tmp_path):
    """A service that is not who it should be is as one that is away, and the log says why; the others go on."""
    issuer = Authority(tmp_path, "issuer") if fault == "unknown authority" else authority
    dns = "impostor.shop.internal" if fault == "unknown name" else name_of("products")
    lives_s = 10 if fault == "expired" else 3600  # good while it starts, for it looks at its own
    certificate, key = issuer.make(f"bad-{fault.split()[-1]}", dns=(dns,), days=(-2, lives_s / 86400))
    ends = time.monotonic() + lives_s
    good, seen = dict(secured.own["products"]), len(secured.log_entries())
    shown = {name: str(certificate) if "CERT" in name else str(key) for name in good if name.endswith(("_CERT_FILE", "_KEY_FILE"))}
    secured.kill_service("products")
    secured.own["products"] |= shown
    secured.start_service("products")
    try:
        if fault == "expired":
            until(lambda: time.monotonic() > ends, 20, "it to expire, before anybody has asked it")
        refused(secured.anonymous().get("/products"), 503, "upstream.unavailable")
        accepted(secured.customer().get("/users/me"))
        told = [entry["reason"] for entry in secured.log_entries()[seen:] if entry["event"] == "upstream.not_connected"]
        words = {"unknown name": "ismatch", "expired": "expired", "unknown authority": "self-signed"}[fault]
        assert any(words in reason for reason in told), told
    finally:
        secured.kill_service("products")
        secured.own["products"] = good
        secured.start_service("products")
    until(lambda: secured.anonymous().get("/products").status_code == 200, 20, "it to be believed again")
