"""The images as containers: shut as far as they go, kept, asked for their health, found by name, ended."""

import contextlib
import pathlib
import re
import uuid

import pytest
from engine import PROGRAMS, SERVERS, Box, image, podman
from shop import PASSWORD, Person, accepted, new_email, new_key

INNER_KEY = "k" * 64


def registered(box):
    person = Person(box.http, box.doors[3000], new_email(), PASSWORD)
    accepted(person.post("/users", json={"email": person.email, "password": PASSWORD}), 201)
    return person.log_in()


@pytest.fixture(scope="module")
def shop():
    with Box("duka") as box:
        yield box.ready("duka")


def test_whoever_runs_it_is_nobody_and_may_nothing(shop):
    process = shop.state()["Pid"]
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{process}/status").read_text().splitlines())
    assert status["Uid"].split() == ["65532"] * 4 and status["Gid"].split() == ["65532"] * 4
    assert status["CapEff"] == status["CapBnd"] == "0" * 16
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    # Its own sandbox is let in by the engine's; a kernel may have no Landlock, but no filter forbids it.
    assert '"sandbox.entered"' in shop.log() or "not permitted" not in shop.log()
    assert '"sandbox.missing"' not in shop.log()


def test_it_writes_below_data_and_nowhere_else(shop, tmp_path):
    root = pathlib.Path(f"/proc/{shop.state()['Pid']}/root")
    mounts = [line.split() for line in pathlib.Path(f"/proc/{shop.state()['Pid']}/mounts").read_text().splitlines()]
    options = {words[1]: words[3].split(",") for words in mounts}
    assert "ro" in options["/"] and "rw" in options["/data"]
    registered(shop)
    assert (root / "data" / "users.db").stat().st_uid == 65532
    assert (root.stat().st_uid, (root / "data").stat().st_uid) == (0, 65532)
    assert (root / "data").stat().st_mode & 0o777 == 0o700
    # A data directory elsewhere is refused with its name.
    done = podman("run", "--rm", "--read-only", image("duka"), "--data-dir", "/elsewhere", check=False)
    assert done.returncode != 0 and "/elsewhere" in done.stdout + done.stderr


@pytest.mark.parametrize("name", SERVERS)
def test_its_health_is_asked_without_a_shell(name):
    settings = () if name == "duka" else ("--env", f"INNER_KEY={INNER_KEY}")
    with Box(name, *settings, "--health-cmd", f'["/{PROGRAMS[name]}", "health"]', "--health-interval", "5s") as box:
        box.ready(PROGRAMS[name])
        # By hand, for where there is no systemd podman asks nobody by itself.
        assert podman("healthcheck", "run", box.id, check=False).returncode == 0, box.log()
        assert (box.state().get("Health") or box.state()["Healthcheck"])["Status"] == "healthy"
    # Where no program runs on the data, it is not ready and says so.
    done = podman("run", "--rm", *settings, image(name), "health", check=False)
    assert done.returncode == 1 and done.stdout + done.stderr


def test_what_it_keeps_outlives_it():
    volume = "duka-test-" + uuid.uuid4().hex[:12]
    try:
        with Box("duka", "--volume", f"{volume}:/data") as box:
            person = registered(box.ready("duka"))
        with Box("duka", "--volume", f"{volume}:/data") as box:
            box.ready("duka")
            assert Person(box.http, box.doors[3000], person.email, PASSWORD).log_in().token
        with Box("duka") as box:  # a new volume has nobody
            box.ready("duka")
            answer = box.ask("POST", "/users/login", json={"email": person.email, "password": PASSWORD})
            assert answer.status_code == 401
    finally:
        podman("volume", "rm", "--force", volume, check=False)


@pytest.mark.parametrize("name", SERVERS)
def test_it_ends_when_it_is_asked_to(name):
    settings = () if name == "duka" else ("--env", f"INNER_KEY={INNER_KEY}")
    with Box(name, "--env", "DRAIN_TIME=0", *settings) as box:
        box.ready(PROGRAMS[name])
        podman("stop", "--time", "10", box.id)
        assert box.state()["ExitCode"] == 0, box.log()
        assert not re.search('"level": ?"error"|panic', box.log())


@pytest.fixture(scope="module")
def network():
    """A network of its own, whose resolver (aardvark-dns) knows its containers by name."""
    name = "duka-test-" + uuid.uuid4().hex[:12]
    podman("network", "create", name)
    yield name
    podman("network", "rm", "--force", name, check=False)


SHARED = {
    "INNER_KEY": INNER_KEY, "BUS_URL": "direct:", "BUS_PASSWORD": INNER_KEY, "DRAIN_TIME": "0", "RATE_LIMIT": "0",
    "RATE_LIMIT_SIGN_IN": "0", "USERS_URL": "http://users:3000", "PRODUCTS_URL": "http://products:3000",
    "ORDERS_URL": "http://orders:3000", "OPS_ADDR": "0.0.0.0:9000",
    "BOOTSTRAP_ADMIN_EMAIL": "owner@shop.example", "BOOTSTRAP_ADMIN_PASSWORD": "a long first password",
}


def options_of(network, alias, **settings):
    words = ["--network", f"{network}:alias={alias}"]
    for key, value in {**SHARED, **settings}.items():
        words += ["--env", f"{key}={value}"]
    return words


def test_the_four_find_each_other_by_name_and_take_an_order(network):
    with contextlib.ExitStack() as stack:
        boxes = {name: stack.enter_context(Box(f"{name}-service", *options_of(network, name), ports=(3000, 9000)))
                 for name in ("users", "products", "orders", "gateway")}
        gateway = boxes["gateway"].ready("duka-gateway")
        admin = Person(gateway.http, gateway.doors[3000], "owner@shop.example", "a long first password")
        gateway.until(lambda: gateway.ask("POST", "/users/login", json={"email": admin.email, "password": admin.password})
                      .status_code == 200, what="the first admin")
        sku = admin.log_in().new_sku(on_hand=5)
        customer = registered(gateway)
        placed = customer.place(sku, key=new_key())
        order = accepted(placed, 202 if placed.status_code == 202 else 201)  # a busy machine settles it after the answer
        customer.order_becomes(order["id"], status="confirmed")
        assert admin.levels(sku)[2] == 4


def test_a_name_that_nobody_has_is_named(network):
    with Box("gateway-service", *options_of(network, "lost", USERS_URL="http://nobody-here:3000")) as box:
        box.ready("duka-gateway")
        answer = box.ask("POST", "/users/login", json={"email": "x@example.com", "password": PASSWORD})
        assert (answer.status_code, answer.json()["code"]) == (503, "upstream.unavailable")
        assert "nobody-here" in answer.json()["detail"] or "users" in answer.json()["detail"]


def test_the_operators_tool_works_beside_it(shop):
    address = new_email("staff")
    done = podman("run", "--rm", "--interactive", "--read-only", "--volumes-from", shop.id, image("dukactl"), "users", "create",
                  "--email", address, "--role", "staff", "--password-stdin", stdin="a long word for people behind the counter\n")
    assert address in done.stdout
    assert Person(shop.http, shop.doors[3000], address, "a long word for people behind the counter").log_in().token
    # Somebody else's container does not reach it.
    assert podman("run", "--rm", image("dukactl"), "users", "create", "--email", new_email(), "--role", "staff",
                  check=False).returncode != 0
