"""HTTP/2 at the public door beside HTTP/1.1: curl, h2load, httpx and h2spec say what they think of it."""

import os
import re
import shutil
import signal
import ssl
import subprocess

import httpx
import pytest

from certificates import Authority
from shop import ROOT, accepted, new_key, refused, until


def tool(name, why):
    """The path of a program of others, or the test is skipped."""
    found = shutil.which(name, path=f"{ROOT}/build/tools:{os.environ['PATH']}")
    if not found:
        pytest.skip(why)
    return found


def run(*words):
    return subprocess.run(
        [str(word) for word in words], text=True, capture_output=True, timeout=120
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls_shop(new_shop, authority):
    certificate, key = authority.make("shop")
    shop = new_shop(TLS_CERT_FILE=certificate, TLS_KEY_FILE=key).start()
    shop.url = "https://" + shop.addresses["listen"]
    return shop


def http2_client(authority=None):
    verify = ssl.create_default_context(cafile=str(authority.path)) if authority else False
    return httpx.Client(http1=False, http2=True, verify=verify, trust_env=False, timeout=30.0)


def test_curl_is_answered_in_clear_by_prior_knowledge_and_under_tls_by_alpn(
    shop, tls_shop, authority
):
    write = ["-s", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"]
    ask = "/products?limit=1"
    for words, version in (
        (["--http2-prior-knowledge", shop.url + ask], "2"),
        (["--http1.1", shop.url + ask], "1.1"),
        (["--http2", shop.url + ask], "1.1"),  # Upgrade is politely not heard
        (["--cacert", authority.path, tls_shop.url + ask], "2"),
        (["--cacert", authority.path, "--http1.1", tls_shop.url + ask], "1.1"),
    ):
        said = run("curl", *write, *words)
        assert said.stdout == f"{version} 200", (words, said)


def test_the_shop_is_the_same_over_http_2(tls_shop, authority):
    tls_shop.http = http2_client(authority)
    customer, staff = tls_shop.customer(), tls_shop.staff
    sku = staff.new_sku(on_hand=5)
    key = new_key()
    order = accepted(customer.place(sku, key=key), 201)
    again = customer.place(sku, key=key)
    assert again.http_version == "HTTP/2" and again.headers["idempotent-replayed"] == "true"
    assert accepted(again, 201)["id"] == order["id"]
    refused(customer.place("no-such-sku"), 422, "order.sku_unknown")
    refused(tls_shop.anonymous().get("/orders"), 401, "auth.token_missing")
    refused(customer.get("/nothing"), 404, "route.unknown")
    shown = customer.get("/openapi.json")
    assert len(shown.content) > 100_000
    known = customer.get("/openapi.json", headers={"If-None-Match": shown.headers["etag"]})
    assert known.status_code == 304 and not known.content


def test_bodies_in_pieces_go_both_ways_over_http_2(tls_shop, authority):
    tls_shop.http = http2_client(authority)
    staff = tls_shop.staff
    text = "long " * 200
    lines = "".join(f"h{i},T{i},{text},1.50\n" for i in range(1500))
    content = ("Handle,Title,Body (HTML),Variant Price\n" + lines).encode()
    assert len(content) > 1_000_000
    assert staff.import_csv(content)["status"] == "done"
    refused(tls_shop.customer().post("/products/imports", content=content[:500_000],
            headers={"Content-Type": "text/csv"}), 403, "auth.role_missing")  # fmt: skip

    over_2 = staff.get("/products/export")
    with httpx.Client(verify=tls_shop.http._transport._pool._ssl_context, trust_env=False) as http1:
        staff.http = http1
        over_1 = staff.get("/products/export")
    assert over_2.http_version == "HTTP/2" and over_1.http_version == "HTTP/1.1"
    assert over_2.text.count("\n") > 1500 and over_2.content == over_1.content


def test_many_requests_share_few_connections(shop):
    """A read whose answer is ready: a list would queue for workers, who refuse what they cannot do in time."""
    tool("h2load", "h2load (nghttp2-client) is not installed")
    path = f"/products/{shop.staff.create_product()['id']}"
    accepted(shop.anonymous().get(path))
    said = run("h2load", "-n", "3000", "-c", "5", "-m", "50", shop.url + path)
    assert "3000 succeeded, 0 failed" in said.stdout, said.stdout + said.stderr


def test_h2load_over_tls(tls_shop):
    tool("h2load", "h2load (nghttp2-client) is not installed")
    said = run("h2load", "-n", "1000", "-c", "5", "-m", "20", tls_shop.url + "/products?limit=1")
    assert "1000 succeeded, 0 failed" in said.stdout, said.stdout + said.stderr
    assert "Application protocol: h2" in said.stdout


WHY_NO_H2SPEC = "h2spec is not in build/tools: scripts/wire-tools builds it where there is Go"


def h2spec(shop, *words):
    """The names of the cases that failed, and how many there were."""
    program = tool("h2spec", WHY_NO_H2SPEC)
    host, port = shop.addresses["listen"].split(":")
    said = run(program, "-h", host, "-p", port, "-P", "/openapi.json", "-o", "5", *words).stdout
    told = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", said)
    assert told, said
    return int(told.group(1)), sorted(set(re.findall(r"× (\d+: .*)", said.split("Failures:")[-1])))


def test_h2spec_passes_whole_under_tls(tls_shop):
    count, failed = h2spec(tls_shop, "-t", "-k")
    assert count > 140 and failed == []


def test_h2spec_passes_in_clear_but_for_what_is_http_1_there(shop):
    """What is no preface of HTTP/2 is read as HTTP/1.1 on this port, and hears 400."""
    count, failed = h2spec(shop)
    assert count > 140 and failed == ["2: Sends invalid connection preface"]


def test_a_stopping_shop_still_takes_new_connections_of_http_2_while_it_drains(new_shop):
    shop = new_shop(DRAIN_TIME="60s").start()
    shop.process.send_signal(signal.SIGTERM)
    until(lambda: shop.http.get(shop.ops + "/readyz").status_code == 503, what="not ready")
    for _ in range(5):
        with http2_client() as fresh:
            answer = fresh.get(shop.url + "/products")
            assert answer.http_version == "HTTP/2"
            accepted(answer)
    shop.process.send_signal(signal.SIGTERM)
    assert shop.wait_end() == 0


def test_limits_are_told_as_over_http_1(new_shop):
    shop = new_shop(HEAD_BYTES_MAX="4KiB", TARGET_BYTES_MAX="1KiB").start()
    shop.http.close()
    shop.http = http2_client()
    anonymous = shop.anonymous()
    accepted(anonymous.get("/products", headers={"X-Long": "w" * 3000}))
    refused(anonymous.get("/" + "p" * 1024), 414, "http.target_too_long")
    refused(anonymous.get("/products", headers={"X-Long": "w" * 4100}), 431, "http.headers_too_large")
    refused(anonymous.post("/users", content=b"{" + b" " * 70_000), 413, "http.body_too_large")
    accepted(anonymous.get("/products"))
    until(lambda: any(e["event"] == "http.refused" and e["status"] == 431
                      for e in shop.log_entries()), what="the access log")  # fmt: skip


