"""GitOps for real: a controller's stand-in follows a real git branch onto a real cluster (that of tests/cluster). A digest that the stages
write rolls its service alone; one that does not work is taken back by the pipeline itself; and one change goes through all stages, from lint
to promote, with a real registry between. By `make test-pipelines` only."""
import contextlib
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
from conftest import ROOT, WHOLE, git, make_tree, run
from registry import Registry
from test_registry import AUTHORIZATION, KEY_PASSWORD, PASSWORD, USER, make_cosign_keys
from test_ship import at, digest_of, made, make_keys, stage

pytestmark = pytest.mark.skipif(not WHOLE, reason="wants a cluster, by make test-pipelines only")

# Beside the shop of tests/cluster, if that is there.
NAMESPACE, SERVICES = "shop-loop", ("users", "products", "orders", "gateway")
WAVES = "shop-waves"
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
    return taken


@contextlib.contextmanager
def emptied(kube, namespace):
    """Neither before nor after is anything there."""
    words = "delete", "namespace", namespace, "--ignore-not-found", "--wait"
    kube.run(*words, seconds=180)
    try:
        yield
    finally:
        kube.run(*words, seconds=180)


def inside(kube, *words):
    """A command on the cluster's node."""
    init = (pathlib.Path(kube.kubeconfig).parents[1] / "run/init.pid").read_text(encoding="utf-8").strip()
    done = run("nsenter", "--target", init, "--mount", "--pid", "--net", *words)
    assert done.returncode == 0, done.stdout
    return done.stdout


def load(kube, archive, name, version):
    """Gives an image to the node, by its digest too; gives the digest."""
    with tarfile.open(archive) as tar:
        digest = json.load(tar.extractfile("index.json"))["manifests"][0]["digest"]
    assert run(ROOT / "scripts/cluster", "load", archive).returncode == 0
    inside(kube, "ctr", "-n", "k8s.io", "images", "tag", "--force", f"{name}:{version}", f"{name}@{digest}")
    return digest


@pytest.fixture(scope="module")
def digests(kube):
    """The digests of real images that the node has, two of orders and of users: {(service, version): digest}."""
    import images
    from kube import Missing
    found = {}
    images.OUT.mkdir(parents=True, exist_ok=True)
    for service, version in [*((one, "loop1") for one in SERVICES), ("orders", "loop2"), ("users", "loop2")]:
        try:
            archive = images.program(service, version)
        except Missing as missing:
            pytest.skip(str(missing))
        found[service, version] = load(kube, archive, f"docker.io/library/{service}-service", version)
    assert found["orders", "loop1"] != found["orders", "loop2"]
    return found


@pytest.fixture(scope="module")
def volumes(kube):
    """Room for the databases of dev: volumes of the node, for the cluster of the tests makes none by itself."""
    gone = "delete", "persistentvolume", "-l", "duka.dev/test=loop", "--ignore-not-found"
    kube.run(*gone)
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
    yield
    kube.run(*gone)


def make_secrets(kube, namespace=NAMESPACE, **urls):
    """What docs/deploy.md makes by hand; dev has no database server, production is told of its own by `urls`."""
    key = "20260101T000000Z-00000000=" + secrets.token_urlsafe(32)
    for name, literals in {"duka-inner-secret": [f"inner_key={secrets.token_hex(32)}"], "duka-bus-secret": [f"bus_password={secrets.token_hex(32)}"],
                           "users-keys-secret": [key], "users-admin-secret": [f"email={ADMIN['email']}", f"password={ADMIN['password']}"],
                           **{f"{one}-db-secret": [f"db_url={urls.get(one, 'none')}"] for one in ("users", "products", "orders")}}.items():
        kube.run("-n", namespace, "create", "secret", "generic", name, *(f"--from-literal={one}" for one in literals))


def until(what, seconds, words):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError(f"waited {seconds} s for {words}")


def pods(kube, services=SERVICES, namespace=NAMESPACE):
    """{service: (the templates of its pods, the images that they were told to run)}, of those that live. A pod that its node lost comes
    again of the same template: that is no roll."""
    found = {}
    for service in services:
        here = kube.pods(f"{service}-service", namespace)
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


class Dev:
    """A shop in dev, as its controller keeps it; `tree` is a clone of this tree whose origin it follows."""

    def __init__(self, kube, tree, folder):
        from controller import Controller
        self.kube, self.tree, self.keys = kube, tree, make_keys(folder)
        self.controller = Controller(kube, folder / "origin.git", folder / "controller", "dev")
        self.door = None

    def start(self):
        self.controller.apply(self.controller.objects_of("deploy/gitops/dev/shop"))
        make_secrets(self.kube)
        self.controller.start()
        until(lambda: self.controller.applied, 120, "the first revision to be applied")
        assert self.controller.failures == []
        self.kube.rolled_out(*(f"{one}-service" for one in SERVICES), namespace=NAMESPACE)
        self.door = Forwarded(self.kube)
        until(self.door.answers, 60, "the shop to answer")
        self.door.stock()
        return self

    def end(self):
        self.controller.end()
        if self.door:
            self.door.end()

    def e2e_settings(self):
        return {"SHOP_URL": self.door.url, "NAMESPACE": NAMESPACE, "KUBECONFIG": self.kube.kubeconfig, "PATH": self.kube.environment["PATH"]}

    def ship(self, reference, **env):
        """The stages from sign to e2e, as a pipeline runs them."""
        made(self.tree, reference.split("@")[1])
        (self.tree / "build/pipeline/orders/image").write_text(reference + "\n", encoding="utf-8")
        assert stage(self.tree, "sign", SIGN_KEY=str(self.keys / "key.pem")).returncode == 0
        deployed = stage(self.tree, "deploy", SIGN_PUBLIC_KEY=str(self.keys / "key.pub"), GITOPS_REMOTE="origin")
        assert deployed.returncode == 0, deployed.stdout
        return stage(self.tree, "e2e", GITOPS_REMOTE="origin", **self.e2e_settings(), **env)


@pytest.fixture(scope="module")
def dev(kube, digests, volumes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dev")
    tree = make_tree(folder)
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
    with emptied(kube, NAMESPACE):
        here = Dev(kube, tree, folder)
        try:
            yield here.start()
        finally:
            here.end()


def others(found):
    return {service: what for service, what in found.items() if service != "orders"}


def test_a_digest_rolls_its_service_alone_and_one_that_fails_is_taken_back(kube, digests, dev):
    before = pods(kube)
    # A digest of orders: orders rolls, alone.
    name = "docker.io/library/orders-service"
    done = dev.ship(f"{name}@{digests['orders', 'loop2']}")
    assert done.returncode == 0 and "was placed, confirmed, read back and cancelled" in done.stdout, done.stdout
    after = pods(kube)
    assert after["orders"][1] == {f"{name}@{digests['orders', 'loop2']}"}
    assert not after["orders"][0] & before["orders"][0]
    assert others(after) == others(before)

    # One that never gets ready: the stage fails, and what ran before runs again.
    done = dev.ship(f"{name}@sha256:{'0' * 64}", ROLLOUT_SECONDS="15")
    assert done.returncode != 0 and "rollback: dev is to run what it ran before" in done.stdout, done.stdout
    assert digest_of(dev.tree) == [digests["orders", "loop2"]]
    until(lambda: pods(kube)["orders"][1] == {f"{name}@{digests['orders', 'loop2']}"}, 60, "the controller to roll back")
    kube.rolled_out("orders-service", namespace=NAMESPACE)
    assert run("python3", "-B", "scripts/pipeline/shopper.py", dev.door.url, cwd=dev.tree).returncode == 0
    assert others(pods(kube)) == others(before)
    assert dev.controller.failures == []


@pytest.fixture(scope="module")
def engine():
    """podman with the images that scripts/test-images makes Debian's base for: nothing is fetched from elsewhere."""
    done = run(ROOT / "scripts/test-images", "--only", "base", timeout=1800)
    if "\n1 passed, 0 failed, 0 skipped" not in "\n" + done.stdout:
        pytest.skip("no base image: " + done.stdout.strip()[-300:])
    folder = pathlib.Path(os.environ.get("DUKA_IMAGES_DIR", ROOT / "build/images-test"))
    return {"ENGINE": "podman", "CONTAINERS_CONF": str(folder / "containers.conf"), "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf")}


def test_one_change_goes_through_all_stages_in_one_go(kube, dev, engine, alone, tmp_path):
    """This tree's own orders-service, from lint to promote: checked, built, pushed to a registry that wants a password, signed and verified by
    cosign, written into git, pulled by the node from that registry, and proposed for production."""
    keys, before, head = make_cosign_keys(tmp_path), pods(kube), git(ROOT, "rev-parse", "HEAD")
    node = pathlib.Path(kube.kubeconfig).parents[1] / "run/init.pid"
    enter = ("nsenter", "--target", node.read_text(encoding="utf-8").strip(), "--net")
    with Registry(tmp_path, login=(USER, PASSWORD)) as registry, Registry(tmp_path, port=registry.port, enter=enter):  # the node's door to it
        env = {**engine, **dev.e2e_settings(), "BASE": "HEAD~1", "CONTAINERS_REGISTRIES_CONF": str(registry.hosts),
               "REGISTRY": f"{registry.host}/duka", "REGISTRY_USER": USER, "REGISTRY_PASSWORD": PASSWORD,
               "SIGN_KEY": str(keys / "key.key"), "COSIGN_PASSWORD": KEY_PASSWORD, "SIGN_PUBLIC_KEY": str(keys / "key.pub"),
               "GITOPS_REMOTE": git(dev.tree, "remote", "get-url", "origin")}
        done = run("make", "--silent", "pipe-all", "SERVICE=orders", env=env, timeout=5400)
        told = done.stdout[done.stdout.rindex("\nStages of orders:"):] if "\nStages of orders:" in done.stdout else done.stdout
        (ROOT / "build/logs/pipe-all.log").write_text(done.stdout, encoding="utf-8")
        assert done.returncode == 0, done.stdout[-6000:]
        ended = dict(line.split() for line in told.splitlines() if line.startswith("  "))
        # No database of vulnerabilities can be had: skipped, and counted so.
        assert {stage for stage, how in ended.items() if how == "passed"} == set(ended) - {"scan"} and len(ended) == 11, told
        assert ended["scan"] == ("passed" if shutil.which("grype") or shutil.which("trivy") else "skipped"), told

        reference = (ROOT / "build/pipeline/orders/image").read_text(encoding="utf-8").strip()
        digest = reference.split("@")[1]
        assert registry.manifest(reference, AUTHORIZATION)[:2] == (digest, digest)
        # Git says so, the pods run it, pulled from there, and nobody else rolled.
        assert digest_of(dev.tree) == [digest]
        assert f'duka.dev/commit: "{head}"' in at(dev.tree, "deploy/gitops/dev/orders/kustomization.yaml")
        after = pods(kube)
        assert after["orders"][1] == {reference} and not after["orders"][0] & before["orders"][0]
        told = [one["status"]["containerStatuses"][0]["imageID"] for one in kube.pods("orders-service", NAMESPACE)]
        assert told and all(one == reference for one in told), told
        assert others(after) == others(before)
    branch = f"promote/orders-{digest[7:19]}"
    assert digest_of(dev.tree, "production", branch=branch) == [digest, digest]
    assert digest_of(dev.tree, "production") == []
    assert dev.controller.failures == []


# ---- Production: a migration before its version ----


@pytest.fixture(scope="module")
def production(kube, digests, tmp_path_factory):
    """Users as production has it, alone, on a PostgreSQL; what it gives puts a digest into git, lets the controller follow, and tells what failed."""
    import images
    from controller import Controller
    from kube import Missing
    try:
        load(kube, images.postgresql(), "localhost/postgresql", "15")
    except Missing as missing:
        pytest.skip(str(missing))
    kube.run("apply", "-f", ROOT / "tests/cluster/manifests/postgresql.yaml")
    kube.rolled_out("postgresql", namespace="data")
    psql(kube, "drop database if exists waves with (force); drop role if exists waves;", "create role waves login password 'waves';",
         "create database waves owner waves template template0 encoding 'UTF8' locale 'C';")
    folder = tmp_path_factory.mktemp("production")
    tree = make_tree(folder)
    path = tree / "deploy/gitops/production/users/kustomization.yaml"
    path.write_text(path.read_text(encoding="utf-8") + f"namespace: {WAVES}\n", encoding="utf-8")
    git(tree, "commit", "-q", "-a", "-m", "production: in a namespace of the test")
    controller = Controller(kube, folder / "origin.git", folder / "controller", "production")
    controller.applications = lambda: ["deploy/gitops/production/users"]

    def sync(digest):
        done = run("python3", "-B", "scripts/pipeline/gitops.py", "write", "production", "users", f"docker.io/library/users-service@{digest}",
                   git(tree, "rev-parse", "HEAD"), cwd=tree)
        assert done.returncode == 0, done.stdout
        git(tree, "commit", "-q", "-a", "-m", "production: users")
        git(tree, "push", "-q", "origin", "main")
        controller.failures.clear()
        controller.sync()
        return controller.failures

    with emptied(kube, WAVES):
        kube.run("create", "namespace", WAVES)
        kube.run("-n", WAVES, "create", "configmap", "duka-environment")
        make_secrets(kube, WAVES, users="postgresql://waves:waves@postgresql.data/waves")
        yield sync


def psql(kube, *lines, database="postgres"):
    words = ["-n", "data", "exec", "-i", "deploy/postgresql", "--", "/usr/lib/postgresql/15/bin/psql", "-XAtq", "-v", "ON_ERROR_STOP=1",
             "-h", "/tmp", "-U", "postgres", "-d", database]
    return [kube.run(*words, "-f", "-", stdin=line).stdout.strip() for line in lines]


def test_a_migration_runs_before_its_version_and_where_it_fails_the_old_one_goes_on(kube, digests, production, tmp_path):
    import images
    from kube import why

    def running():
        return pods(kube, ("users",), WAVES)["users"]

    def rolled_out():
        try:
            kube.rolled_out("users-service", namespace=WAVES)
        except AssertionError as error:
            told = [f"{one['metadata']['name']} at {one['status'].get('podIP')}: {why(one)}" for one in kube.pods("users-service", WAVES)]
            raise AssertionError(f"{error}\n" + "\n".join(told)) from error

    def job():
        return kube.get("job", "users-migration", namespace=WAVES)

    name = "docker.io/library/users-service"
    assert production(digests["users", "loop1"]) == []
    rolled_out()
    made = kube.get("deployment", "users-service", namespace=WAVES)["metadata"]["creationTimestamp"]
    assert job()["status"]["succeeded"] == 1 and job()["status"]["completionTime"] <= made
    assert int(psql(kube, "select count(*) from users", database="waves")[0]) == 1  # the first admin, in a table that the migration made
    first, before = job()["metadata"]["uid"], running()
    assert before[1] == {f"{name}@{digests['users', 'loop1']}"}

    # A version whose migration fails: the controller stops there, and what ran runs on.
    context = tmp_path / "bad"
    context.mkdir()
    images.save(f"{name}:bad", context, f'FROM {name}:loop1\nENTRYPOINT ["/duka-users", "--there-is-no-such-word"]\n', tmp_path / "bad.tar")
    bad = load(kube, tmp_path / "bad.tar", name, "bad")
    [failure] = production(bad)
    assert "job" in failure and "users-migration" in failure, failure
    assert job()["metadata"]["uid"] != first and not job()["status"].get("succeeded")
    assert kube.get("deployment", "users-service", namespace=WAVES)["spec"]["template"]["spec"]["containers"][0]["image"] in before[1]
    assert running() == before

    # The next one, whose migration works, is rolled out.
    assert production(digests["users", "loop2"]) == []
    rolled_out()
    assert job()["status"]["succeeded"] == 1
    until(lambda: running()[1] == {f"{name}@{digests['users', 'loop2']}"}, 60, "the old pods to end")
