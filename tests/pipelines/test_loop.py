"""GitOps for real: a controller's stand-in follows a real git branch onto a real cluster (that of tests/cluster). A digest that the stages
write rolls its service alone; one that does not work is taken back by the pipeline itself. By `make test-pipelines` only."""
import json
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import sys
import tarfile
import time

import pytest
from conftest import ROOT, WHOLE, git, run
from test_ship import digest_of, keys, made, stage  # noqa: F401

pytestmark = pytest.mark.skipif(not WHOLE, reason="wants a cluster, by make test-pipelines only")

# Beside the shop of tests/cluster, if that is there.
NAMESPACE, SERVICES = "shop-loop", ("users", "products", "orders", "gateway")
ADMIN = {"email": "owner@shop.example", "password": secrets.token_urlsafe(24)}


@pytest.fixture(scope="module")
def kube():
    sys.path[:0] = [str(ROOT / "tests/lib"), str(ROOT / "tests/cluster")]
    try:
        from kube import Kube, Missing
    except ImportError:
        pytest.skip("there is no tests/cluster here")
    try:
        taken = Kube.take()
    except Missing as missing:
        pytest.skip(str(missing))
    if not (pathlib.Path(taken.kubeconfig).parents[1] / "run/init.pid").exists():
        pytest.skip("the cluster of KUBECONFIG is somebody's own: this test gives images and volumes to its node")
    taken.run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait", seconds=180)
    yield taken
    taken.run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait", seconds=180)
    taken.run("delete", "persistentvolume", "-l", "duka.dev/test=loop", "--ignore-not-found", seconds=60)


def inside(kube, *words):
    """A command on the cluster's node."""
    init = (pathlib.Path(kube.kubeconfig).parents[1] / "run/init.pid").read_text(encoding="utf-8").strip()
    done = run("nsenter", "--target", init, "--mount", "--pid", "--net", *words)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def digests(kube):
    """The digests of real images that the node has, two of orders: {(service, version): digest}."""
    import images
    from kube import Missing
    found = {}
    images.OUT.mkdir(parents=True, exist_ok=True)
    for service, version in [*((one, "loop1") for one in SERVICES), ("orders", "loop2")]:
        try:
            archive = images.program(service, version)
        except Missing as missing:
            pytest.skip(str(missing))
        with tarfile.open(archive) as tar:
            digest = json.load(tar.extractfile("index.json"))["manifests"][0]["digest"]
        name = f"docker.io/library/{service}-service"
        assert run(ROOT / "scripts/cluster", "load", archive).returncode == 0
        inside(kube, "ctr", "-n", "k8s.io", "images", "tag", "--force", f"{name}:{version}", f"{name}@{digest}")
        found[service, version] = digest
    assert found["orders", "loop1"] != found["orders", "loop2"]
    return found


@pytest.fixture(scope="module")
def volumes(kube):
    """Room for the databases of dev: volumes of the node, for the cluster of the tests makes none by itself."""
    folder = pathlib.Path(kube.kubeconfig).parents[1] / "run" / "loop-volumes"
    shutil.rmtree(folder, ignore_errors=True)
    node = kube.get("nodes", namespace="default")["items"][0]["metadata"]["name"]
    for name in ("users", "products", "orders"):
        place = folder / name
        place.mkdir(parents=True)
        os.chown(place, 65532, 65532)
        kube.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"loop-{name}", "labels": {"duka.dev/test": "loop"}},
                    "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
                             "local": {"path": str(place)}, "claimRef": {"namespace": NAMESPACE, "name": f"{name}-data"},
                             "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                                 {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}}}})


def make_secrets(kube):
    """What docs/deploy.md makes by hand; dev has no database server."""
    key = "20260101T000000Z-00000000=" + secrets.token_urlsafe(32)
    for name, literals in {"duka-inner-secret": [f"inner_key={secrets.token_hex(32)}"], "duka-bus-secret": [f"bus_password={secrets.token_hex(32)}"],
                           "users-keys-secret": [key], "users-admin-secret": [f"email={ADMIN['email']}", f"password={ADMIN['password']}"],
                           **{f"{one}-db-secret": ["db_url=none"] for one in ("users", "products", "orders")}}.items():
        kube.run("-n", NAMESPACE, "create", "secret", "generic", name, *(f"--from-literal={one}" for one in literals))


def until(what, seconds, words):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError(f"waited {seconds} s for {words}")


def pods(kube):
    """{service: (the templates of its pods, the images that they were told to run)}, of those that live. A pod that its node lost comes
    again of the same template: that is no roll."""
    found = {}
    for service in SERVICES:
        here = kube.pods(f"{service}-service", NAMESPACE)
        found[service] = ({one["metadata"]["labels"]["pod-template-hash"] for one in here}, {one["spec"]["containers"][0]["image"] for one in here})
    return found


class Forwarded:
    """The gateway at an address of this machine, whatever pod serves."""

    def __init__(self, kube):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen([kube.kubectl, "-n", NAMESPACE, "port-forward", "service/gateway-service", f"{port}:80"],
                                        env=kube.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers(self):
        return run("curl", "-sf", "-o", "/dev/null", self.url + "/products").returncode == 0

    def stock(self):
        """A product that can be bought, by the first admin."""
        sys.path.insert(0, str(ROOT / "scripts/pipeline"))
        from shopper import call
        token = call(self.url, "POST", "/users/login", ADMIN)["access_token"]
        name = "thing-" + secrets.token_hex(6)
        call(self.url, "POST", "/products", {"title": name, "handle": name, "status": "active", "variants": [
            {"sku": name, "price": {"amount": 1299, "currency": "EUR"}, "on_hand": 100}]}, 201, Authorization=f"Bearer {token}")

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=20)


def ship(tree, keys, kube, door, reference, **env):  # noqa: F811
    """The stages from sign to e2e, as a pipeline runs them."""
    made(tree, reference.split("@")[1])
    (tree / "build/pipeline/orders/image").write_text(reference + "\n", encoding="utf-8")
    assert stage(tree, "sign", SIGN_KEY=str(keys / "key.pem")).returncode == 0
    deployed = stage(tree, "deploy", SIGN_PUBLIC_KEY=str(keys / "key.pub"), GITOPS_REMOTE="origin")
    assert deployed.returncode == 0, deployed.stdout
    return stage(tree, "e2e", GITOPS_REMOTE="origin", SHOP_URL=door.url, NAMESPACE=NAMESPACE, KUBECONFIG=kube.kubeconfig, PATH=kube.environment["PATH"], **env)


def test_a_digest_rolls_its_service_alone_and_one_that_fails_is_taken_back(kube, digests, volumes, tree, keys, tmp_path):  # noqa: F811
    from controller import Controller
    commit = git(tree, "rev-parse", "HEAD")
    for service in SERVICES:
        done = run("python3", "-B", "scripts/pipeline/gitops.py", "write", "dev", service,
                   f"docker.io/library/{service}-service@{digests[service, 'loop1']}", commit, cwd=tree)
        assert done.returncode == 0, done.stdout
    for path in (tree / "deploy/gitops/dev").glob("*/kustomization.yaml"):
        rest = f"namespace: {NAMESPACE}\n"
        if path.parent.name == "shop":  # an Ingress of the same host would take the other shop's requests
            rest = "  - target: {kind: Ingress}\n    patch: |\n      $patch: delete\n      apiVersion: v1\n      kind: Any\n      metadata: {name: any}\n" + rest
        path.write_text(path.read_text(encoding="utf-8") + rest, encoding="utf-8")
    git(tree, "commit", "-q", "-a", "-m", "dev: the first")
    git(tree, "push", "-q", "origin", "main")

    controller = Controller(kube, tmp_path / "origin.git", tmp_path / "controller", "dev")
    controller.apply(controller.objects_of("deploy/gitops/dev/shop"))
    make_secrets(kube)
    controller.start()
    door = None
    try:
        until(lambda: controller.applied, 120, "the first revision to be applied")
        assert controller.failures == []
        kube.rolled_out(*(f"{one}-service" for one in SERVICES), namespace=NAMESPACE)
        door = Forwarded(kube)
        until(door.answers, 60, "the shop to answer")
        door.stock()
        before = pods(kube)

        # A digest of orders: orders rolls, alone.
        name = "docker.io/library/orders-service"
        done = ship(tree, keys, kube, door, f"{name}@{digests['orders', 'loop2']}")
        assert done.returncode == 0 and "was placed, confirmed, read back and cancelled" in done.stdout, done.stdout
        after = pods(kube)
        assert after["orders"][1] == {f"{name}@{digests['orders', 'loop2']}"}
        assert not after["orders"][0] & before["orders"][0]
        assert {one: after[one] for one in SERVICES if one != "orders"} == {one: before[one] for one in SERVICES if one != "orders"}

        # One that never gets ready: the stage fails, and what ran before runs again.
        done = ship(tree, keys, kube, door, f"{name}@sha256:{'0' * 64}", ROLLOUT_SECONDS="15")
        assert done.returncode != 0 and "rollback: dev is to run what it ran before" in done.stdout, done.stdout
        assert digest_of(tree) == [digests["orders", "loop2"]]
        until(lambda: pods(kube)["orders"][1] == {f"{name}@{digests['orders', 'loop2']}"}, 60, "the controller to roll back")
        kube.rolled_out("orders-service", namespace=NAMESPACE)
        assert run("python3", "-B", "scripts/pipeline/shopper.py", door.url, cwd=tree).returncode == 0
        assert {one: pods(kube)[one] for one in SERVICES if one != "orders"} == {one: before[one] for one in SERVICES if one != "orders"}
        assert controller.failures == []
    finally:
        controller.end()
        if door:
            door.end()
