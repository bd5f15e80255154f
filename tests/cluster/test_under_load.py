"""What is done to a shop that sells: scaled, updated, rolled back, its pods deleted, its node drained. Not one request may fail, and
the books are exact after each."""

import random
import time

import pytest
from conftest import APPS
from kube import SHOP, block
from shop import until


@pytest.fixture
def load(shop, tell, request):
    """The load of a test; at its end nothing has failed, and the books agree."""
    with shop.load() as running:
        running.steps(20)
        yield running
        running.steps(20)
    tell(f"{request.node.name}: {running}")
    assert running.failed == [], f"{len(running.failed)} of {running.count}:\n" + "\n".join(running.failed[:10])
    shop.check_books()


@pytest.fixture(autouse=True, scope="module")
def as_before(kube, shop):
    """Two pods of each and a version that is known; three, as they were, afterwards."""
    def scale(count):
        for app in APPS:
            kube.run("-n", SHOP, "scale", f"deployment/{app}", f"--replicas={count}")
        for app in APPS:
            kube.until_ready(app, count)

    scale(2)
    yield
    scale(3)


def image_of(kube, app):
    return {one["image"] for pod in kube.ready_pods(app) for one in pod["spec"]["containers"]}


@pytest.mark.parametrize("app", APPS)
def test_scaling_out_and_in(kube, load, app):
    kube.run("-n", SHOP, "scale", f"deployment/{app}", "--replicas=5")
    kube.rolled_out(app)
    load.steps(40)
    assert len(kube.ready_pods(app)) == 5
    kube.run("-n", SHOP, "scale", f"deployment/{app}", "--replicas=2")
    until(lambda: len(kube.items("pods", "-l", f"app={app}")) == 2, 90, "two pods")


def test_the_lines_of_the_document(kube, load):
    kube.sh(block("scale"))
    kube.sh(block("update"))
    until(lambda: image_of(kube, "orders-service") == {"orders-service:1.1"}, 30, "the new version")
    load.steps(40)
    kube.sh(block("undo"))
    until(lambda: image_of(kube, "orders-service") == {"orders-service:1.0"}, 30, "the old version")


@pytest.mark.parametrize("app", APPS)
def test_a_rolling_update_and_back(kube, load, app):
    name = app.removesuffix("-service")
    for version in ("1.1", "1.0"):
        kube.run("-n", SHOP, "set", "image", f"deployment/{app}", f"{name}={app}:{version}")
        kube.rolled_out(app)
        until(lambda: image_of(kube, app) == {f"{app}:{version}"}, 60, f"all pods of version {version}")  # noqa: B023
        load.steps(20)


def test_a_bad_image_never_gets_ready_and_is_undone(kube, load):
    app = "products-service"
    before = {pod["metadata"]["name"] for pod in kube.ready_pods(app)}
    kube.run("-n", SHOP, "set", "image", f"deployment/{app}", f"products={app}:never")
    done = kube.run("-n", SHOP, "rollout", "status", f"deployment/{app}", "--timeout=15s", check=False)
    assert done.returncode == 1, "it does not roll out"
    assert {pod["metadata"]["name"] for pod in kube.ready_pods(app)} == before, "the old pods stay"
    load.steps(20)
    kube.run("-n", SHOP, "rollout", "undo", f"deployment/{app}")
    kube.rolled_out(app)
    assert {pod["metadata"]["name"] for pod in kube.ready_pods(app)} == before


def test_pods_are_deleted_at_random(kube, load):
    choice = random.Random(7)
    for _ in range(6):
        app = choice.choice(APPS)
        kube.until_ready(app, 2)
        victim = choice.choice(kube.ready_pods(app))["metadata"]["name"]
        kube.run("-n", SHOP, "delete", "pod", victim, "--wait=false")
        load.steps(20)
    for app in APPS:
        kube.until_ready(app, 2)


def test_a_drain_takes_one_pod_and_the_budget_holds_the_rest(kube, load):
    nodes = kube.get("nodes")["items"]
    if len(nodes) != 1:
        pytest.skip("on more nodes than one a drain finds room elsewhere")
    node, app = nodes[0]["metadata"]["name"], "users-service"
    before = {pod["metadata"]["name"] for pod in kube.ready_pods(app)}
    try:
        done = kube.run("drain", node, f"--pod-selector=app={app}", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=15s",
                        check=False)
        assert done.returncode == 1 and "disruption budget" in done.stderr, done.stderr
        kept = {pod["metadata"]["name"] for pod in kube.ready_pods(app)} & before
        assert len(kept) == 1, "one of two was taken, the other stays where no room is for a new one"
        load.steps(20)
    finally:
        kube.run("uncordon", node)
    kube.until_ready(app, 2)


def test_the_load_sees_what_is_lost(kube, shop):
    """The same eyes on pods that are killed at once, all of them: requests fail, and they are seen."""
    with shop.load() as running:
        running.steps(20)
        kube.run("-n", SHOP, "delete", "pod", "-l", "app=gateway-service", "--grace-period=0", "--force")
        until(lambda: running.failed, 30, "a request that fails")
        kube.until_ready("gateway-service", 2)
    until(shop.answers, 60, "the shop to answer again")
    time.sleep(1)
    # An order whose answer was lost may be in the books and nobody was told: it is looked up by those who placed it.
    shop.adopt()
    shop.check_books()
