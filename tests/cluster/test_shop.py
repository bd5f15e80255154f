"""The shop as it stands on the cluster after the lines of docs/deploy.md: it serves from end to end, by every name that DNS has."""

import re

import pytest
from conftest import APPS, SERVICES
from kube import SHOP, block
from shop import accepted, new_key, refused, until

POD = """
apiVersion: v1
kind: Pod
metadata: {name: asker, namespace: shop, labels: {app: gateway-service-probe, app.kubernetes.io/part-of: duka}}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: probe
      image: localhost/probe:1
      command: [/probe, listen, "3999"]
      resources: {requests: {cpu: 1m}}
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
"""


@pytest.fixture(scope="module")
def asker(kube, shop):
    """A pod of the namespace that may ask for names."""
    kube.apply(POD)
    kube.run("-n", SHOP, "wait", "--for=condition=Ready", "pod/asker", "--timeout=60s")
    yield lambda *words, **rest: kube.run("-n", SHOP, "exec", "asker", "--", "/probe", *words, **rest)
    kube.run("-n", SHOP, "delete", "pod", "asker", "--now")


def test_an_order_goes_from_the_ingress_to_the_books(shop):
    with shop.load(customers=1) as load:
        load.steps(8)
    assert load.failed == []
    assert shop.check_books() >= 2


def test_the_line_of_the_document_answers(kube, shop, deployed):
    assert '"items":[' in kube.sh(block("answer"), **deployed).stdout


def test_an_overlay_is_shown_before_it_is_applied(kube, shop):
    told = kube.sh(block("overlay")).stdout
    assert "horizontalpodautoscaler.autoscaling/users-service created (server dry run)" in told
    assert kube.items("hpa") == [], "nothing was done"


def test_every_deployment_has_three_pods_that_are_ready(kube, shop):
    for app in APPS:
        kube.until_ready(app, 3)


def test_what_one_may_and_may_not(shop):
    customer = shop.person()
    order = accepted(customer.place(shop.sku), 201)
    shop.note(customer, order)
    refused(shop.person().get(f"/orders/{order['id']}"), 404, "not_found")
    refused(customer.post("/products", json={"title": "x"}), 403, "auth.role_missing")
    refused(customer.post("/orders", key=new_key(), json={"lines": []}), 422, "field.invalid")
    accepted(shop.staff.get(f"/products/stock/{shop.sku}"))


def test_short_and_full_names_answer(asker, kube):
    for service in (*SERVICES, "gateway"):
        address = kube.get("service", f"{service}-service")["spec"]["clusterIP"]
        names = (f"{service}-service", f"{service}-service.shop", f"{service}-service.shop.svc", f"{service}-service.shop.svc.cluster.local")
        for name in names:
            assert asker("lookup", name).stdout.split() == [address], name
    pods = {pod["status"]["podIP"] for pod in kube.ready_pods("users-service")}
    assert set(asker("lookup", "users-service-headless.shop.svc.cluster.local").stdout.split()) == pods
    assert asker("lookup", "nobody-service", check=False).returncode == 1


def test_the_probes_are_served_and_the_metrics_tell_the_age_of_the_queue(kube, shop):
    """By the API server's way to a pod, which no policy closes: it comes from the node."""
    pod = kube.ready_pods("orders-service")[0]["metadata"]["name"]
    ask = lambda path: kube.run("get", "--raw", f"/api/v1/namespaces/{SHOP}/pods/{pod}:9000/proxy{path}", check=False)  # noqa: E731
    for probe in ("/startupz", "/livez", "/readyz"):
        assert ask(probe).returncode == 0, probe
    assert re.search(r'^duka_queue_age_seconds\{pool="requests"\} \d', ask("/metrics").stdout, re.M)
    assert ask("/version").returncode == 1


def test_pods_run_as_nobody_and_hold_no_token(kube, shop):
    done = kube.run("-n", SHOP, "run", "bad", "--image=localhost/probe:1", "--privileged", check=False)
    assert done.returncode == 1 and "violates PodSecurity" in done.stderr
    for app in APPS:
        for pod in kube.pods(app):
            assert not any("serviceAccountToken" in str(volume) for volume in pod["spec"]["volumes"]), app
    until(lambda: all(one["restartCount"] < 10 for app in APPS for pod in kube.pods(app)
                      for one in pod["status"]["containerStatuses"]), 1, "no pod that starts again and again")
