"""The overlay dev: one replica of each on SQLite, on volumes; what was there is there after the pods were made anew. Then the same with
TLS on both sides between the programs, by certificates of the tests' own in place of cert-manager's."""

import os
import pathlib
import secrets
import shutil

import httpx
import pytest
import yaml
from conftest import ADMIN, APPS
from load import PASSWORD, Customer
from shop import Person, accepted

SPACE, SERVICES = "shop-dev", ("users", "products", "orders")


def volume(kube, service):
    """On a cluster of ours, which has no storage of its own: a folder of the node, that the pods' user may write."""
    folder = pathlib.Path(kube.kubeconfig).parents[1] / "run/var/lib/kubelet" / f"{SPACE}-{service}"
    shutil.rmtree(folder, ignore_errors=True)  # of another run
    folder.mkdir()
    os.chown(folder, 65532, 65532)
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"{SPACE}-{service}"},
            "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
                     "claimRef": {"namespace": SPACE, "name": f"{service}-data"},
                     "hostPath": {"path": f"/var/lib/kubelet/{SPACE}-{service}"}}}


def secret(name, **values):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": SPACE}, "stringData": values}


def objects_of(kube, given, *components):
    """The overlay with some components, in the namespace of the tests, and what is given there."""
    found = [one for one in yaml.safe_load_all(kube.kustomized(*components, base="overlays/dev"))
             if one["kind"] not in ("Ingress", "NetworkPolicy", "Certificate", "Issuer")]
    for one in found:
        one["metadata"].update({"name": SPACE} if one["kind"] == "Namespace" else {"namespace": SPACE})
        if one["kind"] == "PersistentVolumeClaim" and kube.is_ours:
            one["spec"]["storageClassName"] = ""
        if one["metadata"]["name"] == "duka-environment":
            one["data"]["DRAIN_TIME"] = "1s"
    found.sort(key=lambda one: one["kind"] != "Namespace")
    return [found[0], *given, *found[1:]]


@pytest.fixture(scope="module")
def dev(kube):
    """In a namespace of its own, with Secrets of its own."""
    kube.run("delete", "namespace", SPACE, "--ignore-not-found", "--wait", seconds=120)
    given = [secret("duka-inner-secret", inner_key=secrets.token_hex(32)), secret("duka-bus-secret", bus_password=secrets.token_hex(32)),
             secret("users-keys-secret", one=secrets.token_urlsafe(32)), secret("users-admin-secret", email=ADMIN, password=PASSWORD)]
    volumes = [volume(kube, service) for service in SERVICES] if kube.is_ours else []
    kube.apply("---\n".join(yaml.safe_dump(one) for one in [*volumes, *objects_of(kube, given)]))
    yield kube
    kube.run("delete", "namespace", SPACE, "--wait", seconds=120)
    if volumes:
        kube.run("delete", "pv", *(one["metadata"]["name"] for one in volumes))


def ask(kube, path, body=None, status=200):
    """This shop has no Ingress."""
    return accepted(kube.call("gateway-service", SPACE, "POST" if body else "GET", path, json=body), status)


def stands(kube):
    for app in APPS:
        kube.rolled_out(app, namespace=SPACE)
        kube.until_ready(app, 1, SPACE)


def test_it_runs_on_volumes_and_keeps_what_it_has(dev):
    stands(dev)
    person = {"email": "mary@shop.example", "password": "correct horse battery"}
    made = ask(dev, "/users", {**person, "name": "Mary"}, 201)
    assert ask(dev, "/users/login", person)["access_token"]
    assert ask(dev, "/products")["items"] == []
    for app in APPS:
        dev.run("-n", SPACE, "rollout", "restart", f"deployment/{app}")
    stands(dev)
    assert ask(dev, "/users/login", person)["access_token"] and made["id"]


def test_the_programs_know_each_other_by_certificates(dev, authority):
    """Asked in clear, or by somebody who shows no certificate, a service says nothing; the gateway, which shows its own, is answered."""
    keys = "/users/.well-known/jwks.json"
    assert dev.call("users-service", SPACE, "GET", keys).status_code == 200, "in clear until then"

    def certificate(service):
        own, key = authority.make(service, dns=(f"{service}-service", f"{service}-service-headless"))
        return secret(f"{service}-tls", **{"tls.crt": own.read_text(), "tls.key": key.read_text(), "ca.crt": authority.path.read_text()})

    given = [certificate(service) for service in (*SERVICES, "gateway")]
    dev.apply("---\n".join(yaml.safe_dump(one) for one in objects_of(dev, given, "mtls-cert-manager")))
    stands(dev)
    with dev.forwarded("gateway-service", SPACE) as url, httpx.Client(trust_env=False, timeout=30) as client:
        sku = Person(client, url, ADMIN, PASSWORD).log_in().new_sku()
        customer = Customer.new(client, url)
        order = accepted(customer.place(sku), 201)
        customer.order_becomes(order["id"], status="confirmed", payment_status="captured")
        assert Person(client, url, ADMIN, PASSWORD).log_in().levels(sku) == (100, 1, 99)
    assert dev.call("users-service", SPACE, "GET", keys).status_code >= 400, "in clear"
    assert dev.call("users-service", SPACE, "GET", keys, scheme="https:").status_code >= 400, "without a certificate"
