"""Pages of other origins (CORS): what the answers say, and what a real browser makes of it."""

import base64
import http.server
import json
import re
import shutil
import subprocess
import threading

import pytest
from shop import Person, Shop, free_port, refused, told

CHROMIUM = shutil.which("chromium")
PAGE = """<!doctype html><meta charset="utf-8"><title>storefront</title><pre id="seen"></pre><script>
const SHOP = %s, SKU = %s, TOKEN = %s;
async function attempt(path, options) {
  try {
    const answer = await fetch(SHOP + path, options);
    const headers = {};
    answer.headers.forEach((value, name) => headers[name] = value);
    return { status: answer.status, headers, body: await answer.text() };
  } catch (error) { return { failed: String(error) }; }
}
(async () => {
  const seen = {};
  const order = JSON.stringify({ lines: [{ sku: SKU, quantity: 1 }],
                                 payment: { provider: "simulator", token: "approve" } });
  const signed = { "Authorization": "Bearer " + TOKEN };
  const placing = { method: "POST", body: order,
                    headers: { ...signed, "Content-Type": "application/json",
                               "Idempotency-Key": "page-" + location.port } };
  seen.list = await attempt("/products?limit=1");
  seen.placed = await attempt("/orders", placing);
  seen.again = await attempt("/orders", placing);
  seen.mine = await attempt("/orders?limit=1", { headers: signed });
  seen.missing = await attempt("/products/nothing-here");
  seen.borrowed = await attempt("/products", { credentials: "include" });
  seen.unknown_header = await attempt("/products", { headers: { "X-Something": "1" } });
  document.getElementById("seen").textContent = btoa(unescape(encodeURIComponent(
    JSON.stringify(seen))));
  document.title = "done";
})();
</script>"""


class Site:
    """A site of another origin that serves one page."""

    def __init__(self):
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.page = ""
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = site.page.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def sites():
    made = [Site(), Site()]
    yield made
    for site in made:
        site.server.shutdown()


@pytest.fixture(scope="module")
def shop(sites, tmp_path_factory):
    place = tmp_path_factory.mktemp("cors")
    with Shop(place / "data", CORS_ORIGINS=sites[0].origin, RATE_LIMIT=100000) as running:
        yield running


def asked_by(shop, origin, method="POST", path="/orders"):
    """A preflight."""
    return shop.anonymous().request(
        "OPTIONS", path, headers={"Origin": origin, "Access-Control-Request-Method": method}
    )


def test_a_preflight_is_answered_to_listed_origins_only(shop, sites):
    answer = asked_by(shop, sites[0].origin)
    assert answer.status_code == 204 and not answer.content, told(answer)
    assert answer.headers["access-control-allow-origin"] == sites[0].origin
    assert "access-control-allow-credentials" not in answer.headers
    assert "Idempotency-Key" in answer.headers["access-control-allow-headers"]
    assert int(answer.headers["access-control-max-age"]) == 600
    for other in (sites[1].origin, "null", sites[0].origin + ".evil.example"):
        answer = asked_by(shop, other)
        refused(answer, 403, "cors.origin")
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_no_page_may_call_where_no_origin_is_listed(new_shop):
    shop = new_shop().start()
    refused(asked_by(shop, "https://shop.example"), 403, "cors.origin")
    answer = shop.anonymous().get("/products", headers={"Origin": "https://shop.example"})
    assert answer.status_code == 200 and "access-control-allow-origin" not in answer.headers
    shop.close()


def test_every_origin_with_credentials_stops_the_start(new_shop):
    shop = new_shop(CORS_ORIGINS="*", CORS_CREDENTIALS="true")
    with pytest.raises(AssertionError):
        shop.start(seconds=10)
    assert "CORS_CREDENTIALS" in shop.log()
    shop = new_shop(CORS_ORIGINS="*").start()
    answer = shop.anonymous().get("/products", headers={"Origin": "https://shop.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    shop.close()


def test_what_the_transport_refuses_can_be_read_by_the_page_too(shop, sites):
    headers = {"Origin": sites[0].origin, "Content-Type": "application/json"}
    answer = shop.customer().post("/orders", key="k", content=b" " * 70000, headers=headers)
    refused(answer, 413, "http.body_too_large")
    assert answer.headers["access-control-allow-origin"] == sites[0].origin


# ---- a real browser ----


def browse(site, shop, person: Person, sku, folder):
    """What the page of a site sees of the shop, in Chromium."""
    site.page = PAGE % tuple(json.dumps(value) for value in (shop.url, sku, person.token))
    command = [
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        f"--user-data-dir={folder}",
        "--virtual-time-budget=20000",
        "--dump-dom",
        site.origin + "/",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="seen">([A-Za-z0-9+/=]+)</pre>', done.stdout)
    assert found, f"{done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return json.loads(base64.b64decode(found[1]))


@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
def test_a_browser_lets_a_listed_page_order_and_keeps_any_other_out(shop, sites, tmp_path):
    person, sku = shop.customer(), shop.staff.new_sku()
    seen = browse(sites[0], shop, person, sku, tmp_path / "listed")
    assert seen["list"]["status"] == 200 and seen["missing"]["status"] == 404, seen
    assert seen["placed"]["status"] in (201, 202), seen["placed"]
    headers = seen["placed"]["headers"]
    assert {"location", "ratelimit", "x-request-id"} <= set(headers), headers
    assert seen["list"]["headers"]["etag"] and seen["mine"]["headers"]["etag"], seen["mine"]
    assert seen["again"]["headers"]["idempotent-replayed"] == "true", seen["again"]
    order = json.loads(seen["placed"]["body"])["id"]
    assert person.order(order)["lines"][0]["sku"] == sku
    assert "failed" in seen["borrowed"], "credentials are off"
    assert "failed" in seen["unknown_header"], "a header that no call reads"

    before = len(person.get("/orders").json()["items"])
    seen = browse(sites[1], shop, person, sku, tmp_path / "other")
    assert all("failed" in outcome for outcome in seen.values()), seen
    assert len(person.get("/orders").json()["items"]) == before, "nothing was ordered"
