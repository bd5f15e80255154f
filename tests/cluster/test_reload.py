"""ConfigMaps and Secrets that change under running pods: taken up without a restart."""

import base64
import secrets
import time

import pytest
from kube import SHOP, block
from shop import accepted, until

KUBELET = 120  # it looks at what is mounted about once a minute


def starts(kube, app):
    """Which pods there are and how often each was started: the same before and after."""
    return {(pod["metadata"]["name"], one["restartCount"], one["state"].get("running", {}).get("startedAt"))
            for pod in kube.pods(app) for one in pod["status"]["containerStatuses"]}


def logs(kube, app):
    return kube.run("-n", SHOP, "logs", "-l", f"app={app}", "--tail=-1", "--prefix").stdout


@pytest.fixture
def gateway_settings(kube, shop):
    before = kube.get("configmap", "gateway-settings")["data"]
    yield before
    kube.patch("configmap", "gateway-settings", {"data": before})


def test_new_routes_are_taken_and_bad_ones_refused(kube, shop, gateway_settings, tell):
    """The same product by another name: a route that rewrites."""
    before = starts(kube, "gateway-service")
    assert shop.door.get(shop.door.url + "/products/catalog").status_code == 404
    began = time.monotonic()
    routes = "- {path: /products/catalog, rewrite: /products, upstream: 'service:products'}\n" + gateway_settings["routes.yaml"]
    kube.patch("configmap", "gateway-settings", {"data": {"routes.yaml": routes}})
    pods = len(kube.pods("gateway-service"))
    until(lambda: logs(kube, "gateway-service").count('"routes.reloaded"') >= pods, KUBELET, "all gateways to read the routes again")
    tell(f"new routes were in force after {time.monotonic() - began:.0f} s")
    for _ in range(20):
        accepted(shop.door.get(shop.door.url + "/products/catalog"))
    kube.patch("configmap", "gateway-settings", {"data": {"routes.yaml": "- {path: products}\n"}})
    until(lambda: logs(kube, "gateway-service").count('"routes.refused"') >= pods, KUBELET, "the refusal in the log")
    accepted(shop.door.get(shop.door.url + "/products/catalog"))
    assert starts(kube, "gateway-service") == before, "nothing was started again"


def test_a_new_level_of_the_log_is_taken(kube, shop, gateway_settings):
    """The access log is of the level info: with error there are no lines of it."""
    def lines():
        mark = secrets.token_hex(8)
        for _ in range(10):
            accepted(shop.door.get(shop.door.url + "/products?limit=1", headers={"X-Request-Id": mark}))
        time.sleep(0.5)  # until the kubelet has what the pods have written
        return logs(kube, "gateway-service").count(mark)

    before = starts(kube, "gateway-service")
    until(lambda: lines() == 10, 10, "a line for each request")
    kube.patch("configmap", "gateway-settings", {"data": {"duka.yaml": "log_level: error\n"}})
    until(lambda: lines() == 0, KUBELET, "no line any more")
    kube.patch("configmap", "gateway-settings", {"data": {"duka.yaml": "log_level: info\n"}})
    until(lambda: lines() == 10, KUBELET, "lines again")
    assert starts(kube, "gateway-service") == before


def test_a_new_signing_key_is_taken_and_old_tokens_stay_good(kube, shop, tell):
    """What rotates keys puts a second one into the Secret; tokens of the first are good as long as they live."""
    customer, before = shop.person(), starts(kube, "users-service")
    kid = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + secrets.token_hex(4)
    seed = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=")
    began = time.monotonic()
    kube.patch("secret", "users-keys-secret", {"data": {kid: base64.b64encode(seed).decode()}})

    def shown():
        keys = [accepted(shop.door.get(shop.door.url + "/users/.well-known/jwks.json"))["keys"] for _ in range(8)]
        return all(kid in {key["kid"] for key in found} for found in keys)

    until(shown, KUBELET, "every replica shows the new key")
    tell(f"a new signing key was shown by all replicas after {time.monotonic() - began:.0f} s")
    accepted(customer.get("/users/me"))
    accepted(customer.log_in().get("/orders"))
    assert starts(kube, "users-service") == before


def test_the_environment_is_taken_at_a_new_start(kube, shop):
    """By the lines of the document; the gateway tells of its limit."""
    def limit():
        return shop.door.get(shop.door.url + "/products?limit=1").headers["ratelimit-policy"]

    before = limit()
    kube.patch("configmap", "duka-environment", {"data": {"RATE_LIMIT": "90000000"}})
    assert limit() == before
    kube.sh(block("restart"))
    until(lambda: "90000000" in limit() and "90000000" not in before, 30, "the new limit")
