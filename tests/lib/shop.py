"""A shop to test against: duka on free ports with data of its own, and people who call it.

Used by tests/e2e and tests/crash. DUKA_BUILD names the build whose programs are tested, DUKA_BIN and the
like one of them; without them the newest of build/{asan,release} is taken. With SHOP_APART=1 each service is a process of its own
(duka-users and so on), and the shop's own process is the gateway.
"""

import contextlib
import email
import email.policy
import fcntl
import itertools
import json
import os
import pathlib
import random
import re
import secrets
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import uuid

import httpx
import postgresql
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVICES = ("users", "products", "orders")
LISTENERS = ("users", "products", "orders")  # they react to events
PASSWORD = "correct horse battery"
STAFF_PASSWORD = "a long word for people behind the counter"
ADDRESS = {
    "name": "Amina Njoroge",
    "line1": "Moi Avenue 12",
    "city": "Nairobi",
    "postal_code": "00100",
    "country": "KE",
}

# The public door's alone; between the services of a test nobody listens, and the service manager has one main program.
PUBLIC_DOOR = ("NOTIFY_SOCKET", "TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CLIENT_CA_FILE", "TLS_CLIENT_NAMES")

# No test waits for a limit that it does not ask for, nor is an order refused for being late: a build with sanitizers is slow.
FAST = {"RATE_LIMIT": "0", "RATE_LIMIT_SIGN_IN": "0", "SETTLE_TARGET": "0", "DRAIN_TIME": "0", "LOG_FORMAT": "json"}


def program(name):
    """The path of a program under test."""
    given = os.environ.get(name.upper().replace("-", "_") + "_BIN")
    if given:
        return pathlib.Path(given)
    if os.environ.get("DUKA_BUILD"):
        return pathlib.Path(os.environ["DUKA_BUILD"]) / "src" / "apps" / name
    built = [ROOT / "build" / kind / "src" / "apps" / name for kind in ("asan", "release")]
    built = [path for path in built if path.exists()]
    assert built, f"{name} has not been built: scripts/build asan"
    return max(built, key=lambda path: path.stat().st_mtime)


def until(check, seconds=10.0, what="it"):
    """Asks again and again until `check` gives something true, and gives that."""
    deadline, pause = time.monotonic() + seconds, 0.01
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


def patiently(send, seconds=20.0):
    """Sends again while the shop is busy (503), as its Retry-After asks for."""
    deadline = time.monotonic() + seconds
    while True:
        answer = send()
        if answer.status_code != 503 or time.monotonic() > deadline:
            return answer
        time.sleep(0.1)


# A byte for each port, locked by the process that it was given to, until that ends. Tests run in several processes at once:
# where two shops took one port for operators, the second ended, and its test saw the first one's readiness.
_ports_given = set()
_ports_file = open(pathlib.Path(tempfile.gettempdir()) / f"duka-test-ports-{os.getuid()}", "ab")


def take_port(port):
    """Whether the port is free and now this process's."""
    if port in _ports_given:
        return False
    try:
        fcntl.lockf(_ports_file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    _ports_given.add(port)
    return True


def free_port():
    """A port that nobody listens at, and that was given to no test. Below those that the kernel gives to connections,
    one of which could take it before it is used."""
    while True:
        port = random.SystemRandom().randrange(15000, 32000)
        if take_port(port):
            return port


def one_process(why):
    """Marks a test that asks for what only the shop in one process has, and says what it is."""
    return pytest.mark.skipif(bool(os.environ.get("SHOP_APART")), reason="of one process: " + why)


def new_email(name="someone"):
    return f"{name}-{uuid.uuid4().hex[:16]}@example.com"


def new_key():
    return str(uuid.uuid4())


# ---- what answers say ----


def told(response):
    """What to print of an answer that surprises."""
    asked = f"{response.request.method} {response.request.url}"
    return f"{asked} -> {response.status_code} {response.text[:1000]}"


def accepted(response, status=200):
    """Checks that a call was done; gives its body (None for an empty one)."""
    assert response.status_code == status, told(response)
    if not response.content:
        return None
    assert response.headers["content-type"] == "application/json", told(response)
    return response.json()


def refused(response, status, code, *pointers):
    """Checks a refusal (RFC 9457): its status, its word, its fields' pointers. Gives its body."""
    assert response.status_code == status, told(response)
    assert response.headers["content-type"] == "application/problem+json", told(response)
    body = response.json()
    assert body["code"] == code, told(response)
    assert body["status"] == status and body["title"] and body["type"].endswith(code), told(
        response
    )
    assert re.fullmatch("[0-9a-f]{32}", body["trace_id"]), told(response)
    if pointers:
        assert sorted(error["pointer"] for error in body["errors"]) == sorted(pointers), told(
            response
        )
        assert all(error["message"] for error in body["errors"]), told(response)
    if status == 401:
        assert response.headers["www-authenticate"].startswith("Bearer"), told(response)
    if status in (429, 503):
        assert int(response.headers["retry-after"]) >= 1, told(response)
    return body


def items(response):
    return accepted(response)["items"]


def pages(ask, **query):
    """Walks all pages of a list; gives the items and how many pages there were."""
    found, count = [], 0
    while True:
        page = accepted(ask(params=query))
        found += page["items"]
        count += 1
        if "next" not in page:
            return found, count
        assert count < 1000, "a list without end"
        query["after"] = page["next"]


REVOKED_WITHIN_S = 5.0


def stops_working(person, path="/users/me", since=None):
    """The person's access token is refused within the promised 5 seconds (from `since` on, where it was asked of another program before)."""
    started = since or time.monotonic()
    if os.environ.get("SHOP_DEPLOYED"):  # the next request may reach another replica: asked when the time is over
        time.sleep(max(started + REVOKED_WITHIN_S - time.monotonic(), 0))
        refused(person.get(path), 401, "auth.token_revoked")
        return
    until(lambda: person.get(path).status_code == 401, started + REVOKED_WITHIN_S - time.monotonic(), "the token to be refused")
    refused(person.get(path), 401, "auth.token_revoked")
    assert time.monotonic() - started < REVOKED_WITHIN_S + 0.5


# ---- people ----


class Person:
    """Somebody who calls the shop at one of its doors, with or without a token."""

    def __init__(self, http, door, email=None, password=None):
        self.http, self.door = http, door
        self.email, self.password = email, password
        self.id = self.token = self.refresh_token = None

    def log_in(self):
        body = {"email": self.email, "password": self.password}
        tokens = accepted(patiently(lambda: self.post("/users/login", json=body)))
        self.token, self.refresh_token = tokens["access_token"], tokens["refresh_token"]
        return self

    def at(self, door):
        """The same person at another door."""
        other = Person(self.http, door, self.email, self.password)
        other.id, other.token, other.refresh_token = self.id, self.token, self.refresh_token
        return other

    def request(self, method, path, *, key=None, headers=None, **rest):
        headers = dict(headers or {})
        if self.token and not any(name.lower() == "authorization" for name in headers):
            headers["Authorization"] = "Bearer " + self.token
        if key is not None:
            headers["Idempotency-Key"] = key
        return self.http.request(method, self.door + path, headers=headers, **rest)

    def get(self, path, **rest):
        return self.request("GET", path, **rest)

    def post(self, path, **rest):
        return self.request("POST", path, **rest)

    def put(self, path, **rest):
        return self.request("PUT", path, **rest)

    def patch(self, path, **rest):
        return self.request("PATCH", path, **rest)

    def delete(self, path, **rest):
        return self.request("DELETE", path, **rest)

    # ---- orders ----

    def place(self, lines, token="approve", *, key=None, wait=10, provider="simulator", **members):
        """Places an order; `lines` is a SKU or a list of (SKU, quantity). Gives the answer."""
        if isinstance(lines, str):
            lines = [(lines, 1)]
        payment = (
            {"provider": provider}
            if provider == "manual"
            else {"provider": provider, "token": token}
        )
        body = {
            "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in lines],
            "payment": payment,
            **members,
        }
        prefer = "respond-async" if wait is None else f"wait={wait}"
        return self.post("/orders", key=key or new_key(), json=body, headers={"Prefer": prefer})

    def order(self, order_id):
        return accepted(self.get(f"/orders/{order_id}"))

    def order_becomes(self, order_id, seconds=10.0, **wanted):
        """Waits until an order has these members; gives it."""
        seen = {}

        def check():
            seen.update(self.order(order_id))
            return all(seen[name] == value for name, value in wanted.items())

        try:
            until(check, seconds)
        except AssertionError:
            raise AssertionError(
                f"order {order_id} did not become {wanted} within {seconds} s: {seen}"
            ) from None
        return dict(seen)

    def timeline(self, order_id):
        return [entry["what"] for entry in items(self.get(f"/orders/{order_id}/timeline"))]

    def cancel(self, order_id, key=None, **body):
        return self.post(f"/orders/{order_id}/cancel", key=key or new_key(), json=body)

    # ---- behind the counter ----

    def fulfil(self, order_id, key=None, **body):
        return self.post(f"/orders/{order_id}/fulfilments", key=key or new_key(), json=body)

    def refund(self, order_id, key=None, **body):
        return self.post(f"/orders/{order_id}/refunds", key=key or new_key(), json=body)

    def record_payment(self, order_id, amount, currency="EUR", key=None):
        return self.post(
            f"/orders/{order_id}/payments",
            key=key or new_key(),
            json={"amount": {"amount": amount, "currency": currency}},
        )

    def adjust(self, sku, key=None, reason="received", **body):
        return self.post(
            f"/products/stock/{sku}/adjustments",
            key=key or new_key(),
            json={"reason": reason, **body},
        )

    def stock(self, sku):
        return accepted(self.get(f"/products/stock/{sku}"))

    def levels(self, sku):
        """What is on hand, reserved and available of a SKU."""
        stock = self.stock(sku)
        return stock["on_hand"], stock["reserved"], stock["available"]

    def ledger(self, sku):
        return pages(lambda **rest: self.get(f"/products/stock/{sku}/ledger", **rest), limit=100)[0]

    def create_product(self, *, on_hand=100, price=1299, variants=None, **members):
        """Makes an active product; gives it as it was answered."""
        name = "thing-" + uuid.uuid4().hex[:12]
        plain = [{"sku": name, "price": {"amount": price, "currency": "EUR"}, "on_hand": on_hand}]
        body = {
            "title": name,
            "handle": name,
            "status": "active",
            "variants": variants or plain,
            **members,
        }
        return accepted(self.post("/products", json=body), 201)

    def new_sku(self, on_hand=100, price=1299):
        """The SKU of a new product."""
        return self.create_product(on_hand=on_hand, price=price)["variants"][0]["sku"]

    def import_csv(self, content, seconds=60.0, **query):
        """Imports a file and waits until that is done; gives the report with all its lines."""
        taken = self.post(
            "/products/imports", content=content, params=query, headers={"Content-Type": "text/csv"}
        )
        job = accepted(taken, 202)
        assert taken.headers["location"] == f"/products/imports/{job['id']}"

        def done():
            report = accepted(self.get(f"/products/imports/{job['id']}", params={"limit": 1000}))
            return report if report["status"] in ("done", "failed") else None

        report = until(done, seconds, "the import")
        while "next" in report:
            page = accepted(
                self.get(
                    f"/products/imports/{job['id']}",
                    params={"limit": 1000, "after": report.pop("next")},
                )
            )
            page["lines"] = report["lines"] + page["lines"]
            report = page
        return report


# ---- the shop ----


class Shop:
    """A running duka. Its log goes to a file beside the data."""

    def __init__(self, data, apart=None, replicas=1, **settings):
        self.data = pathlib.Path(data)
        self.apart = bool(os.environ.get("SHOP_APART")) if apart is None else apart
        self.services = {}  # the processes of one that runs apart: "orders", its replica "orders.1"
        self.replicas = replicas
        self.own = {}  # settings of single programs of one that runs apart
        self.apps = None  # the folder of the programs that are started next, where it is not that of `program`
        self.log_path = self.data.parent / (self.data.name + ".log")
        self.settings = {**FAST, **{name: str(value) for name, value in settings.items()}}
        self._take_bus()
        self.database_prefix = None  # of those that were made on PostgreSQL
        self.process = None
        self.http = httpx.Client(
            verify=False,
            trust_env=False,
            timeout=httpx.Timeout(30.0),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        )
        self._staff = self._admin = None
        self._names = itertools.count()
        self._pick_addresses()

    def _take_bus(self):
        """SHOP_BUS_URL puts every shop that names no bus on a broker, under a prefix of its own."""
        url = os.environ.get("SHOP_BUS_URL")
        if url and "BUS_URL" not in self.settings:
            self.settings["BUS_URL"] = url
            self.settings.setdefault("BUS_PREFIX", "t" + secrets.token_hex(4))
            if os.environ.get("SHOP_BUS_USER"):
                self.settings["BUS_USER"] = os.environ["SHOP_BUS_USER"]
                self.settings["BUS_PASSWORD"] = os.environ["SHOP_BUS_PASSWORD"]

    def _pick_addresses(self):
        self.addresses = {name: f"127.0.0.1:{free_port()}" for name in ("listen", "ops", *SERVICES)}
        self.url = "http://" + self.addresses["listen"]
        self.ops = "http://" + self.addresses["ops"]
        self.doors = {name: "http://" + self.addresses[name] for name in SERVICES}
        self.instances = {
            name if i == 0 else f"{name}.{i}": f"127.0.0.1:{free_port()}"
            for name in SERVICES
            for i in range(self.replicas)
        }
        self.instances.update({name: self.addresses[name] for name in SERVICES})
        self.services_ops = {name: f"127.0.0.1:{free_port()}" for name in self.instances}
        self.inner_key = secrets.token_hex(32)

    def prepare_databases(self):
        """Where TEST_POSTGRESQL names a server: databases of its own there, once."""
        server = postgresql.Server.attached()
        if not server or self.database_prefix or "DATABASE_URL_ORDERS" in self.settings:
            return
        self.database_prefix = f"t{uuid.uuid4().hex[:12]}_"
        self.settings = {**server.prepare(self.database_prefix), **self.settings}
        self.dukactl("migrate")

    def forget_databases(self):
        if self.database_prefix:
            postgresql.Server.attached().forget(self.database_prefix)
            self.database_prefix = None

    def _keys(self):
        """On PostgreSQL the keys that sign tokens are made by who sets up the shop, for all replicas."""
        if self.settings.get("KEYS_DIR") or not self.settings.get("DATABASE_URL_USERS", "").startswith("postgres"):
            return {}
        folder = self.data / "keys"
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        if not any(folder.iterdir()):
            (folder / "1").write_text(secrets.token_urlsafe(32))
        return {"KEYS_DIR": str(folder)}

    def environment(self):
        clean = {
            name: value
            for name, value in os.environ.items()
            if name in ("PATH", "HOME", "TMPDIR", "LANG") or name.endswith("SAN_OPTIONS")
        }
        places = {
            "DATA_DIR": str(self.data),
            "LISTEN_ADDR": self.addresses["listen"],
            "OPS_ADDR": self.addresses["ops"],
            **{name.upper() + "_ADDR": self.addresses[name] for name in SERVICES},
        }
        return {**clean, **places, **self._keys(), **self.settings}

    def environment_of(self, name):
        """The settings of one program of a shop that runs apart. Each has a folder of its own for what is its own; the
        databases lie where those of one process would."""
        def url(service):
            return "http://" + ",".join(at for one, at in self.instances.items() if one.split(".")[0] == service)

        places = {
            "DATA_DIR": str(self.data / name),
            "LISTEN_ADDR": self.instances.get(name, self.addresses["listen"]),
            "OPS_ADDR": self.services_ops.get(name, self.addresses["ops"]),
            "KEYS_DIR": "" if name == "users" else str(self.data / "users" / "keys"),
            "MAIL_URL": f"file:{self.data}/mail",
            "INNER_KEY": self.inner_key,
            **{service.upper() + "_URL": url(service) for service in SERVICES},
            **{f"DATABASE_URL_{service.upper()}": f"sqlite:{self.data}/{service}.db" for service in SERVICES},
        }
        if "BUS_URL" not in self.settings:  # pushed from one to the other
            places["BUS_URL"] = "direct:"
            if self.replicas > 1:  # it pushes to one address
                places["BUS_URL"] += "?" + "&".join(f"{service}={self.doors[service]}" for service in LISTENERS)
            places["BUS_PASSWORD"] = self.inner_key
        left_out = ("DATA_DIR", "LISTEN_ADDR", "OPS_ADDR", *(PUBLIC_DOOR if name != "gateway" else ()))
        given = {k: v for k, v in self.environment().items() if k not in left_out}
        return {**places, **given, **self.own.get(name.split(".")[0], {}), **self.own.get(name, {})}

    def _launch(self, name, environment, prefix=()):
        with open(self.log_path, "ab") as log:
            return subprocess.Popen(
                [*prefix, str(self.apps / name if self.apps else program(name))],
                env=environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def start_service(self, name):
        """Starts one service of a shop that runs apart, and waits until it is ready."""
        assert name not in self.services
        if name == "users" and not (self.data / name).exists():  # its keys lie where those of one process would
            (self.data / name).mkdir(parents=True)
            (self.data / "keys").mkdir(mode=0o700, exist_ok=True)
            (self.data / name / "keys").symlink_to(self.data / "keys")
        self.services[name] = self._launch("duka-" + name.split(".")[0], self.environment_of(name))
        self._await_ready(self.services[name], "http://" + self.services_ops[name], 30.0)

    def stop_service(self, name, seconds=30.0):
        """Asks one service to end, as a supervisor would."""
        process = self.services.pop(name)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=seconds) == 0, self.log_tail()

    def kill_service(self, name):
        process = self.services.pop(name)
        process.kill()
        process.wait()

    def restart_gateway(self, probe="readyz"):
        """A new one, once its probe says so."""
        self.process.kill()
        self.process.wait()
        self.process = self._launch("duka-gateway", self.environment_of("gateway"))
        self._await_ready(self.process, self.ops, 30.0, probe)

    def start(self, prefix=(), seconds=30.0):
        """Starts duka and waits until it is ready. `prefix` runs it under another program."""
        assert self.process is None
        self.prepare_databases()
        if self.apart:
            for name in self.instances:
                self.start_service(name)
            self.process = self._launch("duka-gateway", self.environment_of("gateway"), prefix)
        else:
            self.process = self._launch("duka", self.environment(), prefix)
        self.wait_ready(seconds)
        return self

    def launch(self):
        """Starts duka in one process and waits for nothing."""
        assert self.process is None and not self.apart
        self.process = self._launch("duka", self.environment())

    def wait_ready(self, seconds=30.0):
        self._await_ready(self.process, self.ops, seconds)

    def _await_ready(self, process, ops, seconds, probe="readyz"):
        def ready():
            code = process.poll()
            assert code is None, f"duka ended with {code} before it was ready:\n{self.log_tail()}"
            try:
                return self.http.get(f"{ops}/{probe}", timeout=5.0).status_code == 200
            except httpx.TransportError:
                return False

        try:
            until(ready, seconds, "ready")
        except AssertionError:
            self.kill()
            raise

    def wait_end(self, seconds=30.0):
        """Waits until duka has ended by itself; gives its exit code."""
        try:
            code = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"duka did not end within {seconds} s:\n{self.log_tail()}"
            ) from None
        self.process = None
        services = [self.services.pop(name) for name in list(self.services)]
        for process in services:
            process.send_signal(signal.SIGTERM)
        for process in services:
            try:
                code = process.wait(timeout=3) or code
            except subprocess.TimeoutExpired:  # nobody comes any more: not for the rest of DRAIN_TIME
                process.send_signal(signal.SIGTERM)
                code = process.wait(timeout=seconds) or code
        return code

    def stop(self, seconds=30.0):
        """Asks duka to end, as a supervisor would; gives its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_end(seconds)

    def kill(self):
        """Ends duka at once (kill -9)."""
        for name in list(self.services):
            self.kill_service(name)
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self.process = None

    def close(self):
        """Ends duka if it runs, and checks that it ended well and logged no fault of its own."""
        code = 0 if self.process is None else self.stop()
        self.http.close()
        assert code == 0, f"duka ended with {code}:\n{self.log_tail()}"
        faults = self.faults()
        assert not faults, "duka logged faults:\n" + "\n".join(faults[:20])

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        else:
            self.kill()

    # ---- mail, where it is written to files ----

    def mails_to(self, address):
        """The mails to an address, oldest first."""
        found = []
        for path in sorted((self.data / "mail").glob("*.eml")):
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            if [to.addr_spec for to in message["To"].addresses] == [address]:
                found.append(message)
        return found

    def link_token(self, address, page):
        """The token in the link of the newest mail to an address that leads to a page ("reset-password")."""

        def look():
            texts = [message.get_body(("plain",)).get_content() for message in self.mails_to(address)]
            return re.findall(rf"/{page}#token=([\w-]+)", "\n".join(texts))

        return until(look, 20, f"a mail with a link to {page}")[-1]

    # ---- the log ----

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines=60):
        return "\n".join(self.log().splitlines()[-lines:])

    def log_entries(self):
        """The lines of the log that are JSON objects."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def faults(self):
        """Lines that tell of a fault of ours: errors, panics, reports of sanitizers."""
        return [
            line
            for line in self.log().splitlines()
            if re.search(r'"level": ?"error"|panic|Sanitizer|runtime error:', line)
        ]

    def ops_doors(self):
        """Those of all its programs."""
        return [self.ops, *("http://" + self.services_ops[name] for name in self.services)]

    def metrics(self):
        """Those of all its programs."""
        return "\n".join(self.http.get(door + "/metrics").text for door in self.ops_doors())

    # ---- the tables ----

    def rows(self, service, sql):
        """Rows of a service's database, read while the shop runs."""
        if self.database_prefix:
            server = postgresql.Server.attached()
            return [tuple(row.values()) for row in server.rows(f"({sql})", f"duka_{self.database_prefix}{service}")]
        with contextlib.closing(
            sqlite3.connect(f"file:{self.data / service}.db?mode=ro", uri=True, timeout=10)
        ) as database:
            return database.execute(sql).fetchall()

    # ---- the operator ----

    def operators_settings(self, *words, at=None):
        """Those of the program whose socket answers, where the shop runs apart; `at` names it where the words do not."""
        if not self.apart or words[:1] in ((), ("migrate",)):
            return self.environment()
        rooms = {"import": "products", "export": "products", "seed": "products", "explain": "orders", "check": "orders"}
        named = [word for word in words[2:3] if words[0] == "dead-letters" and word in SERVICES]
        return self.environment_of(at or (named or [rooms.get(words[0], "users")])[0])

    def dukactl(self, *words, stdin=None, check=True, at=None):
        done = subprocess.run(
            [str(program("dukactl")), *words],
            env=self.operators_settings(*words, at=at),
            cwd=ROOT,
            text=True,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )
        assert (
            not check or done.returncode == 0
        ), f"dukactl {words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def new_account(self, role, email=None, password=STAFF_PASSWORD):
        """An account with a role, made with dukactl, and logged in."""
        email = email or new_email(role)
        self.dukactl(
            "users",
            "create",
            "--email",
            email,
            "--role",
            role,
            "--password-stdin",
            stdin=password + "\n",
        )
        return self._known(Person(self.http, self.url, email, password))

    def new_api_key(self, *scopes, **members):
        """A server with an API key of these scopes, once every door knows it."""
        body = {"name": "a server", "scopes": scopes, **members}
        made = accepted(self.admin.post("/users/api-keys", json=body), 201)
        key = Person(self.http, self.url)
        key.id, key.token = made["id"], made["secret"]
        for door, path in self.key_probes():  # a busy program answers 503, whether it knows the key or not
            until(lambda: key.at(door).get(path).status_code in (200, 403, 422), 20, f"the new key is known at {door}")
        # The gateway passes on what services judge. Only who sends a large body is judged by itself, before the body is sent.
        until(lambda: key.post("/products", json={}).status_code in (403, 422), 20, "the new key is known to the gateway")
        return key

    def key_probes(self):
        """For each door a path that is refused with 401 to a key that is not good, and not to one that is."""
        paths = {"users": "/users/me", "products": "/products/export", "orders": "/orders"}
        return [(self.url, "/orders"), *((self.doors[name], paths[name]) for name in SERVICES)]

    def _known(self, person):
        person.log_in()
        person.id = accepted(person.get("/users/me"))["id"]
        return person

    # ---- people ----

    def anonymous(self):
        return Person(self.http, self.url)

    def customer(self, name="customer", **members):
        """Somebody new, registered and logged in."""
        person = Person(self.http, self.url, new_email(name), PASSWORD)
        body = {"email": person.email, "password": PASSWORD, "name": f"{name} {next(self._names)}"}
        made = patiently(lambda: person.post("/users", json={**body, **members}))
        person.id = accepted(made, 201)["id"]
        return person.log_in()

    @property
    def staff(self):
        if self._staff is None:
            self._staff = self.new_account("staff")
        return self._staff

    @property
    def admin(self):
        if self._admin is None:
            self._admin = self.new_account("admin")
        return self._admin


def seeded():
    """A source of chance whose seed is told, so that a run can be seen again: SEED=n."""
    seed = int(os.environ.get("SEED") or secrets.randbits(32))
    print(f"SEED={seed}", flush=True)  # with the output of the test that failed
    return random.Random(seed)
