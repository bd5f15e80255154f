"""The autoscaler, by the component's own HorizontalPodAutoscaler: out under load and in again, by CPU and by the age of the queue."""

import threading
import time

import pytest
from kube import DEPLOY, HERE, SHOP
from shop import new_email, until

# By CPU the one that hashes passwords; by the age of its queue another.
HASHING, QUEUED = "users-service", "products-service"

# In the tests nobody waits five minutes until it is sure that a load is over.
SOON = {"spec": {"behavior": {"scaleUp": {"stabilizationWindowSeconds": 0}, "scaleDown": {
    "stabilizationWindowSeconds": 10, "policies": [{"type": "Pods", "value": 4, "periodSeconds": 5}]}}}}


@pytest.fixture(scope="module")
def autoscaled(kube, shop):
    """The autoscalers of these two."""
    text = (DEPLOY / "components/autoscaling/hpa.yaml").read_text(encoding="utf-8").split("---\n")
    kube.apply("---\n".join(one for one in text if f"name: {HASHING}\n" in one or f"name: {QUEUED}\n" in one))
    for app in (HASHING, QUEUED):
        kube.patch("hpa", app, SOON, kind="merge")
    yield
    for app in (HASHING, QUEUED):
        kube.run("-n", SHOP, "delete", "hpa", app, "--ignore-not-found")
        kube.run("-n", SHOP, "scale", f"deployment/{app}", "--replicas=3")
    for app in (HASHING, QUEUED):
        kube.until_ready(app, 3)


def wanted(kube, app):
    return kube.get("deployment", app)["spec"]["replicas"]


def conditions(kube, app):
    return {one["type"]: (one["status"], one["reason"]) for one in kube.get("hpa", app)["status"].get("conditions", [])}


def test_by_cpu(kube, shop, autoscaled, custom_metrics, tell):
    if kube.run("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes", check=False).returncode != 0:
        pytest.skip("the cluster has no metrics of pods")
    custom_metrics("0", HASHING)
    until(lambda: conditions(kube, HASHING).get("ScalingActive") == ("True", "ValidMetricFound"), 120, "metrics of the pods")
    until(lambda: custom_metrics("0", HASHING) and wanted(kube, HASHING) == 2, 90, "two while it is idle")
    stopping, answers = threading.Event(), []

    def knock():
        door = shop.door_at()
        while not stopping.is_set():
            body = {"email": new_email(), "password": "correct horse battery"}
            answers.append(door.post(door.url + "/users/login", json=body).status_code)

    threads = [threading.Thread(target=knock, daemon=True) for _ in range(4)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        until(lambda: custom_metrics("0", HASHING) and wanted(kube, HASHING) > 2, 120, "more than two")
        out, most = time.monotonic() - began, wanted(kube, HASHING)
    finally:
        stopping.set()
        for thread in threads:
            thread.join(30)
    began = time.monotonic()
    until(lambda: custom_metrics("0", HASHING) and wanted(kube, HASHING) == 2, 180, "two again")
    tell(f"by CPU: {most} after {out:.0f} s of load ({len(answers)} requests), 2 again after {time.monotonic() - began:.0f} s")
    assert set(answers) <= {401, 503}, "refused, or asked to come later"


@pytest.fixture(scope="module")
def custom_metrics(kube, shop):
    """An API server of custom metrics, of the tests' own."""
    kube.run("apply", "-f", HERE / "manifests/metrics.yaml")
    kube.rolled_out("metrics", namespace="custom-metrics")

    def tell_pods(value, app):
        """Says it of the pods of an app; gives how often the autoscaler has asked (one more, so that it is true)."""
        pods = ",".join(pod["metadata"]["name"] for pod in kube.pods(app))
        return int(kube.run("-n", "custom-metrics", "exec", "deploy/metrics", "--", "/probe", "set", value, pods).stdout.strip()) + 1

    yield tell_pods
    kube.run("delete", "-f", HERE / "manifests/metrics.yaml", "--wait=false")


def test_by_the_age_of_the_queue(kube, shop, autoscaled, custom_metrics, tell):
    before = custom_metrics("0", QUEUED)
    until(lambda: custom_metrics("0", QUEUED) > before, 60, "the autoscaler to ask for the metric")
    until(lambda: custom_metrics("0", QUEUED) and wanted(kube, QUEUED) == 2, 120, "two while nothing waits")
    began = time.monotonic()
    # 200 ms where 50 are wanted.
    until(lambda: custom_metrics("200m", QUEUED) and wanted(kube, QUEUED) > 2, 90, "more than two while requests wait")
    tell(f"by the age of the queue: {wanted(kube, QUEUED)} after {time.monotonic() - began:.0f} s")
    until(lambda: custom_metrics("0", QUEUED) and wanted(kube, QUEUED) == 2, 180, "two again")
