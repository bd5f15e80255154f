"""The autoscaler, by the component's own HorizontalPodAutoscaler: out under load and in again, by CPU and by the age of the queue."""

import threading
import time

import pytest
from conftest import APPS
from kube import DEPLOY, HERE, SHOP
from shop import until

APP = "products-service"

# In the tests nobody waits five minutes until it is sure that a load is over.
SOON = {"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 10, "policies": [{"type": "Pods", "value": 4, "periodSeconds": 5}]},
                              "scaleUp": {"stabilizationWindowSeconds": 0}}}}


@pytest.fixture(scope="module")
def autoscaled(kube, shop):
    """Only the autoscaler of Products, so that one load moves one of them."""
    text = (DEPLOY / "components/autoscaling/hpa.yaml").read_text(encoding="utf-8").split("---\n")
    (mine,) = [one for one in text if f"name: {APP}\n" in one]
    kube.apply(mine)
    kube.patch("hpa", APP, SOON, kind="merge")
    yield
    kube.run("-n", SHOP, "delete", "hpa", APP, "--ignore-not-found")
    for app in APPS:
        kube.run("-n", SHOP, "scale", f"deployment/{app}", "--replicas=3")
    kube.until_ready(APP, 3)


def wanted(kube):
    return kube.get("deployment", APP)["spec"]["replicas"]


def conditions(kube):
    return {one["type"]: (one["status"], one["reason"]) for one in kube.get("hpa", APP)["status"].get("conditions", [])}


def metric(kube):
    return kube.get("hpa", APP)["status"].get("currentMetrics")


def test_by_cpu(kube, shop, autoscaled, tell):
    if kube.run("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes", check=False).returncode != 0:
        pytest.skip("the cluster has no metrics of pods")
    until(lambda: conditions(kube).get("ScalingActive") == ("True", "ValidMetricFound"), 120, "metrics of the pods")
    until(lambda: wanted(kube) == 2, 90, "two while it is idle")
    stopping, answers = threading.Event(), []

    def browse():
        door = shop.door_at()
        while not stopping.is_set():
            answers.append(door.get(door.url + "/products?q=thing&limit=100").status_code)

    threads = [threading.Thread(target=browse, daemon=True) for _ in range(8)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        until(lambda: wanted(kube) > 2, 120, "more than two")
        out = time.monotonic() - began
        most = wanted(kube)
    finally:
        stopping.set()
        for thread in threads:
            thread.join(30)
    began = time.monotonic()
    until(lambda: wanted(kube) == 2, 180, "two again")
    tell(f"by CPU: {most} after {out:.0f} s of load ({len(answers)} requests), 2 again after {time.monotonic() - began:.0f} s")
    assert set(answers) <= {200, 503}, "nothing but answers, or asked to come later"


@pytest.fixture(scope="module")
def custom_metrics(kube, shop):
    """An API server of custom metrics, of the tests' own."""
    kube.run("apply", "-f", HERE / "manifests/metrics.yaml")
    kube.rolled_out("metrics", namespace="custom-metrics")

    def tell_pods(value):
        pods = ",".join(pod["metadata"]["name"] for pod in kube.pods(APP))
        return int(kube.run("-n", "custom-metrics", "exec", "deploy/metrics", "--", "/probe", "set", value, pods).stdout.strip())

    yield tell_pods
    kube.run("delete", "-f", HERE / "manifests/metrics.yaml", "--wait=false")


def test_by_the_age_of_the_queue(kube, shop, autoscaled, custom_metrics, tell):
    before = custom_metrics("0")
    until(lambda: custom_metrics("0") > before, 60, "the autoscaler to ask for the metric")
    until(lambda: wanted(kube) == 2, 120, "two while nothing waits")
    began = time.monotonic()
    # 200 ms where 50 are wanted.
    until(lambda: custom_metrics("200m") and wanted(kube) > 2, 90, "more than two while requests wait")
    tell(f"by the age of the queue: {wanted(kube)} after {time.monotonic() - began:.0f} s")
    until(lambda: custom_metrics("0") and wanted(kube) == 2, 180, "two again")
