"""deploy/docker/compose.yaml by podman-compose: the shop as four programs, with the PostgreSQL and the RabbitMQ of standins/."""

import json
import pathlib
import shutil
import subprocess
import sys
import time

import httpx
import pytest
import yaml
from engine import image, podman
from shop import Person, accepted, new_email, until

ROOT = pathlib.Path(__file__).resolve().parents[2]
OURS = ("gateway", "users", "products", "orders")
MIB = 1 << 20


def compose(folder, *words, seconds=900, check=True):
    command = [str(pathlib.Path(sys.executable).parent / "podman-compose"), "-f", folder / "compose.yaml", *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=seconds, cwd=folder)
    assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done


def is_done(folder, name, condition):
    if condition == "service_completed_successfully":
        told = state(folder, name)["State"]
        assert told["Status"] != "exited" or told["ExitCode"] == 0, name
        return told["Status"] == "exited"
    assert condition == "service_healthy"
    return podman("healthcheck", "run", state(folder, name)["Id"], check=False).returncode == 0


def start(folder):
    """Everything, each after what it depends on, and once the file's conditions hold. podman-compose leaves conditions out on podman
    4.3, and has podman start again what one waits for, which it refuses for a container that has ended (migrate)."""
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    waits = {name: told.get("depends_on", {}) for name, told in services.items()}
    started = set()
    while started != set(services):
        names = [name for name in services if name not in started and set(waits[name]) <= started]
        assert names, "a circle"
        compose(folder, "up", "-d", "--no-build", "--no-deps", *names)
        for name in names:
            for condition in {told[name]["condition"] for told in waits.values() if name in told}:
                until(lambda name=name, condition=condition: is_done(folder, name, condition), 180, f"{name}: {condition}")
        started |= set(names)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The whole set, started as the document says; gives the folder that it was started from."""
    standins = pathlib.Path(__file__).parent / "standins"
    for name, tag in (("postgres", "postgres:15"), ("rabbitmq", "rabbitmq:3")):
        podman("build", "-t", f"docker.io/library/{tag}", "-f", standins / f"{name}.Dockerfile", standins, seconds=1800)
    project = tmp_path_factory.mktemp("compose")
    for part in ("scripts", "deploy"):
        shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns("secrets"))
    subprocess.run([project / "scripts" / "compose-secrets"], check=True, capture_output=True)
    folder = project / "deploy" / "docker"
    compose(folder, "down", "--volumes", check=False)  # of a run that was killed: its databases have other passwords
    try:
        start(folder)
        yield folder
    finally:
        for name in (*OURS, "migrate", "postgresql", "rabbitmq"):
            sys.stdout.write(f"---- {name}\n{compose(folder, 'logs', name, check=False).stdout[-2000:]}\n")
        compose(folder, "down", "--volumes", check=False)


def state(folder, name):
    ids = [box for box in json.loads(podman("ps", "--all", "--format", "json").stdout)
           if box["Labels"].get("com.docker.compose.service") == name]
    return json.loads(podman("inspect", ids[0]["Id"]).stdout)[0]


def test_an_order_goes_through_all_of_it(shop):
    def ready():
        try:
            return httpx.get("http://127.0.0.1:3000/products", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    until(ready, 180, "the shop is ready")
    done = podman("run", "--rm", "--interactive", "--volumes-from", state(shop, "users")["Id"], image("dukactl"), "users", "create",
                  "--email", "owner@shop.example", "--role", "admin", "--password-stdin", stdin="a long first password\n")
    assert "owner@shop.example" in done.stdout
    with httpx.Client(trust_env=False, timeout=30) as http:
        admin = Person(http, "http://127.0.0.1:3000", "owner@shop.example", "a long first password").log_in()
        sku = admin.new_sku(on_hand=3)
        customer = Person(http, "http://127.0.0.1:3000", new_email(), "correct horse battery")
        accepted(customer.post("/users", json={"email": customer.email, "password": customer.password}), 201)
        placed = customer.log_in().place(sku)
        order = accepted(placed, 202 if placed.status_code == 202 else 201)  # a busy machine settles it after the answer
        customer.order_becomes(order["id"], seconds=30, status="confirmed")
        assert admin.levels(sku)[2] == 2


def test_it_is_in_postgresql_and_no_file(shop):
    box = state(shop, "postgresql")["Id"]
    for service in ("users", "products", "orders"):
        said = podman("exec", box, "psql", "-U", "postgres", "-At", "-d", f"duka_{service}", "-c",
                      "select count(*) from information_schema.tables where table_schema = 'public'").stdout
        assert int(said) > 3, service
    for name in ("users", "products", "orders"):
        root = pathlib.Path(f"/proc/{state(shop, name)['State']['Pid']}/root/data")
        assert not list(root.glob("*.db"))


def test_one_service_does_not_read_anothers_database(shop):
    box = state(shop, "postgresql")["Id"]
    password = (shop / "secrets" / "orders_password").read_text()
    for database, code in (("duka_orders", 0), ("duka_users", 2)):
        done = podman("exec", "--env", f"PGPASSWORD={password}", box, "psql", "-h", "127.0.0.1", "-U", "duka_orders", "-d", database,
                      "-c", "select 1", check=False)
        assert done.returncode == code, done.stderr


def test_limits_and_health_are_set(shop):
    for name in OURS:
        told = state(shop, name)
        assert told["HostConfig"]["Memory"] == 256 * MIB and told["HostConfig"]["PidsLimit"] == 128
        assert told["HostConfig"]["NanoCpus"] == 10**9 or told["HostConfig"]["CpuQuota"] == 100000
        assert told["HostConfig"]["ReadonlyRootfs"]
        assert not told["EffectiveCaps"]
        deadline = time.monotonic() + 60
        while podman("healthcheck", "run", told["Id"], check=False).returncode != 0:
            assert time.monotonic() < deadline, name
            time.sleep(0.5)


def test_no_secret_stands_in_what_the_engine_tells(shop):
    secrets = [path.read_text().strip() for path in (shop / "secrets").iterdir() if path.is_file() and path.name != "rabbitmq.conf"]
    assert len(secrets) > 8
    for name in (*OURS, "postgresql", "rabbitmq"):
        told = json.dumps(state(shop, name))
        assert not [secret for secret in secrets if secret in told], name


def test_it_comes_back_with_all_it_had(shop):
    compose(shop, "restart", "orders", "users")
    with httpx.Client(trust_env=False, timeout=30) as http:
        admin = Person(http, "http://127.0.0.1:3000", "owner@shop.example", "a long first password")
        body = {"email": admin.email, "password": admin.password}
        until(lambda: admin.post("/users/login", json=body).status_code == 200, 60, "Users is back")
        assert len(accepted(admin.log_in().get("/orders?scope=all"))["items"]) == 1
