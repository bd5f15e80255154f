"""What is missing, wrong or too small: the pod says why in one line, and goes on by itself once it is mended. Users alone, in a namespace
of its own, by the manifest of the base."""

import base64
import json
import secrets

import pytest
import yaml
from kube import DEPLOY, block, is_ready, why
from shop import until

SPACE, APP = "shop-bad", "users-service"


@pytest.fixture(scope="module")
def space(kube, database):
    kube.run("delete", "namespace", SPACE, "--ignore-not-found", "--wait", seconds=120)
    kube.run("create", "namespace", SPACE)
    for path in ("base/configmap.yaml", "base/users-service.yaml"):
        kube.apply((DEPLOY / path).read_text(encoding="utf-8").replace("namespace: shop", f"namespace: {SPACE}"))
    kube.patch("configmap", "duka-environment", {"data": {"DRAIN_TIME": "1s"}}, namespace=SPACE)
    secret(kube, "duka-inner-secret", inner_key=secrets.token_hex(32))
    secret(kube, "duka-bus-secret", bus_password=secrets.token_hex(32))
    secret(kube, "users-keys-secret", one=secrets.token_urlsafe(32))
    yield kube
    kube.run("delete", "namespace", SPACE, "--wait=false")


@pytest.fixture
def clean(space):
    """Nothing of the test before is there."""
    yield space
    space.run("-n", SPACE, "delete", "deployment,job", "--all", "--wait=false")
    space.run("-n", SPACE, "delete", "pod", "--all", "--now", "--wait=false")
    space.run("-n", SPACE, "delete", "secret", "users-db-secret", "--ignore-not-found")
    space.until_gone(APP, SPACE)


def secret(kube, name, **values):
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    kube.apply(json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": SPACE}, "data": data}))


def manifest(path="base/users-deployment.yaml", change=lambda found, pod: None):
    found = yaml.safe_load((DEPLOY / path).read_text(encoding="utf-8"))
    found["metadata"]["namespace"] = SPACE
    if found["kind"] == "Deployment":
        found["spec"]["replicas"] = 1
    change(found, found["spec"]["template"]["spec"])
    return json.dumps(found)


def database_of(database, name, kube, place="postgresql.data"):
    """An empty database, and the Secret that names it at some place."""
    url = database.prepare(f"bad_{name}_")["users"].replace("postgresql.data", place)
    secret(kube, "users-db-secret", db_url=url)


def migrate(kube, wait="complete"):
    kube.apply(manifest("migrations/users-migration.yaml"))
    return kube.run("-n", SPACE, "wait", f"--for=condition={wait}", "job/users-migration", "--timeout=60s", check=False)


def says(kube, *words, seconds=90, app=APP):
    """Waits for a pod whose reason is one line that holds the words; gives it."""
    seen = []

    def found():
        seen[:] = [line for pod in kube.pods(app, SPACE) for line in why(pod)]
        return next((line for line in seen if all(word in line for word in words)), None)

    try:
        line = until(found, seconds, f"a pod that says {words}")
    except AssertionError as error:
        raise AssertionError(f"{error}; they said {seen}") from None
    assert len(line.splitlines()) == 1, line
    return line


def post(kube, email):
    """Registers somebody; gives whether it was done, and what was said."""
    answer = kube.call(APP, SPACE, "POST", "/users", json={"email": email, "password": "correct horse battery", "name": "x"})
    return answer.status_code == 201, answer.text


def serves(kube):
    done, said = post(kube, f"{secrets.token_hex(4)}@shop.example")
    assert done, said


def test_a_key_of_a_secret_is_missing(clean, database, tell):
    database_of(database, "key", clean)
    assert migrate(clean).returncode == 0
    url = clean.get("secret", "users-db-secret", namespace=SPACE)["data"]["db_url"]
    clean.run("-n", SPACE, "delete", "secret", "users-db-secret")
    secret(clean, "users-db-secret", another="x")
    clean.apply(manifest())
    tell(says(clean, "CreateContainerConfigError", "couldn't find key db_url in Secret shop-bad/users-db-secret"))
    shown = clean.sh(block("look").replace("-n shop", f"-n {SPACE}")).stdout
    assert "CreateContainerConfigError" in shown and "couldn't find key db_url in Secret shop-bad/users-db-secret" in shown
    clean.patch("secret", "users-db-secret", {"data": {"db_url": url}}, namespace=SPACE)
    clean.until_ready(APP, 1, SPACE)


def test_an_image_is_not_there(clean, database, tell):
    database_of(database, "image", clean)
    assert migrate(clean).returncode == 0
    clean.apply(manifest(change=lambda found, pod: pod["containers"][0].update(image="users-service:nowhere")))
    tell(says(clean, "ImagePull", "users-service:nowhere")[:200])
    clean.run("-n", SPACE, "set", "image", f"deployment/{APP}", "users=users-service:1.0")
    clean.until_ready(APP, 1, SPACE)


def test_the_database_is_not_there_yet(clean, database, tell):
    """Its Service comes later than the pod."""
    later = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "later", "namespace": "data"},
             "spec": {"selector": {"app.kubernetes.io/name": "postgresql"}, "ports": [{"port": 5432}]}}
    database_of(database, "later", clean)
    assert migrate(clean).returncode == 0
    url = base64.b64decode(clean.get("secret", "users-db-secret", namespace=SPACE)["data"]["db_url"]).decode()
    secret(clean, "users-db-secret", db_url=url.replace("postgresql.data", "later.data"))
    clean.apply(manifest())
    try:
        tell(says(clean, "DATABASE_URL", "later.data"))
        clean.apply(json.dumps(later))
        clean.until_ready(APP, 1, SPACE, seconds=150)
    finally:
        clean.run("-n", "data", "delete", "service", "later", "--ignore-not-found")


def test_the_database_was_not_migrated(clean, database, tell):
    database_of(database, "old", clean)
    clean.apply(manifest())
    tell(says(clean, "migrate"))
    assert migrate(clean).returncode == 0
    clean.until_ready(APP, 1, SPACE, seconds=150)


def test_a_migration_that_fails_stops_and_the_old_version_serves(clean, database, tell):
    database_of(database, "good", clean)
    assert migrate(clean).returncode == 0
    clean.apply(manifest())
    clean.until_ready(APP, 1, SPACE)
    (old,) = clean.ready_pods(APP, SPACE)
    clean.run("-n", SPACE, "delete", "job", "users-migration")

    # The database refuses it: its role may make no tables.
    database_of(database, "refused", clean)
    database.psql("alter database duka_bad_refused_users owner to postgres; revoke create on schema public from public;",
                  "duka_bad_refused_users")
    found = json.loads(manifest("migrations/users-migration.yaml"))
    found["spec"]["backoffLimit"] = 0
    clean.apply(json.dumps(found))
    clean.run("-n", SPACE, "wait", "--for=condition=failed", "job/users-migration", "--timeout=60s")
    tell(says(clean, "Error", app="users-migration"))
    assert clean.run("-n", SPACE, "wait", "--for=condition=complete", "job/users-migration", "--timeout=3s", check=False).returncode == 1

    # Whoever goes on all the same gets no new pod ready, and keeps the old one.
    clean.run("-n", SPACE, "set", "image", f"deployment/{APP}", "users=users-service:1.1")
    done = clean.run("-n", SPACE, "rollout", "status", f"deployment/{APP}", "--timeout=20s", check=False)
    assert done.returncode == 1
    assert [pod["metadata"]["name"] for pod in clean.ready_pods(APP, SPACE)] == [old["metadata"]["name"]]
    serves(clean)


def test_the_limit_of_memory_is_too_low(clean, database, tell):
    """A password's hash wants 19 MiB."""
    database_of(database, "memory", clean)
    assert migrate(clean).returncode == 0
    clean.apply(manifest(change=lambda found, pod: pod["containers"][0].update(
        resources={"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "20Mi"}})))

    def ended():
        ready = [pod for pod in clean.pods(APP, SPACE) if is_ready(pod)]
        if ready:
            post(clean, f"{secrets.token_hex(4)}@shop.example")
        return any("OOMKilled" in line for pod in clean.pods(APP, SPACE) for line in why(pod))

    until(ended, 90, "a pod that ends for want of memory")
    tell(says(clean, "OOMKilled"))
    clean.patch("deployment", APP, {"spec": {"template": {"spec": {"containers": [
        {"name": "users", "resources": {"limits": {"memory": "256Mi"}}}]}}}}, namespace=SPACE)
    clean.rolled_out(APP, namespace=SPACE)
    clean.until_ready(APP, 1, SPACE)
    serves(clean)


def test_a_volume_is_full(clean, tell):
    """On SQLite, as in the overlay dev. Another container of the pod fills the volume, and makes room again."""
    def change(found, pod):
        (container,) = pod["containers"]
        for one in container["env"]:
            if one["name"] == "DATABASE_URL":
                one.pop("valueFrom")
                one["value"] = "sqlite:/data/users.db"
        pod["volumes"][0]["emptyDir"] = {"medium": "Memory", "sizeLimit": "16Mi"}
        pod["containers"].append({"name": "filler", "image": "localhost/probe:1", "command": ["/probe", "listen", "3999"],
                                  "volumeMounts": [{"name": "data", "mountPath": "/data"}]})
        found["spec"]["strategy"] = {"type": "Recreate"}

    clean.apply(manifest(change=change))
    clean.until_ready(APP, 1, SPACE)
    serves(clean)
    name = clean.ready_pods(APP, SPACE)[0]["metadata"]["name"]
    probe = lambda *words: clean.run("-n", SPACE, "exec", name, "-c", "filler", "--", "/probe", *words)  # noqa: E731
    told = probe("fill", "/data/filler").stdout
    assert "no space left" in told, told
    refused = until(lambda: next((said for done, said in [post(clean, f"{secrets.token_hex(4)}@shop.example")] if not done), None), 60,
                    "a write that is refused")
    log = clean.run("-n", SPACE, "logs", name, "-c", "users", "--tail=200").stdout
    line = next(line for line in log.splitlines() if "full" in line or "space" in line.lower())
    tell(f"full: {refused.strip()[-160:]}; the log: {line[:200]}")
    probe("drop", "/data/filler")
    until(lambda: post(clean, f"{secrets.token_hex(4)}@shop.example")[0], 60, "writes again")
    clean.until_ready(APP, 1, SPACE)
