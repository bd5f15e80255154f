"""The servers that bench.py measures: Duka, nginx, and the Go reference on PostgreSQL. Each starts on loopback in a
folder of its own, on the core it is given, and stops with the run."""
import base64
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("DUKA_SHARED_DIR", ROOT / ".." / "shared"))
APPS = ROOT / "build" / os.environ.get("BENCH_BUILD", "release") / "src" / "apps"  # static: what is in the images
TICK = os.sysconf("SC_CLK_TCK")
PORT = int(os.environ.get("BENCH_PORT", "3900"))  # the first of a hundred, all on loopback


class Skipped(Exception):
    """A peer that cannot be had on this machine, with the reason."""


def tree_of(pid):
    """A process and all that it started."""
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += children.get(one, [])
    return found


def cpu_us(pid):
    """CPU time of a process tree so far, ended children included, in microseconds."""
    ticks = 0
    for one in tree_of(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(int(fields[i]) for i in (11, 12, 13, 14))
    return ticks * 1_000_000 // TICK


def pss_kib(pid):
    """Memory of a process tree, shared pages divided fairly, in KiB."""
    total = 0
    for one in tree_of(pid):
        try:
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))
    return total


def wait_for(port, path, process, deadline_s=30, poll_s=0.02):
    """Waits for the first 200 of a process that lives: somebody else may have the port."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end and process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(poll_s)
    raise RuntimeError(f"port {port}{path}: " + (f"no answer after {deadline_s} s" if process.poll() is None
                                                 else f"its program ended with {process.returncode}; is the port taken?"))


def wait_for_connection(port, deadline_s=30):
    """Waits until somebody listens."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=2).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"nobody listens on port {port} after {deadline_s} s")


class Peer:
    """A server under measurement: where it listens, and its process."""

    def __init__(self, name, folder, core):
        self.name, self.folder, self.core = name, Path(folder), core
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = None

    def spawn(self, command, **kwargs):
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(["taskset", "-c", str(self.core), *map(str, command)], stdout=log,
                                        stderr=log, stdin=subprocess.DEVNULL, **kwargs)

    def cpu_us(self):
        return cpu_us(self.process.pid)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()


class Api:
    """A small JSON client over one kept connection."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, method, path, body=None, token=None, headers=None, raw=None, kind="application/json"):
        headers = dict(headers or {})
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            raw = json.dumps(body)
        if raw is not None:
            headers["Content-Type"] = kind
        self.connection.request(method, path, raw, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        return answer.status, (json.loads(text) if text[:1] in (b"{", b"[") else text)


IMPORT_ROWS_MAX = 200_000


class Duka(Peer):
    """The whole shop in one process, as `make run` starts it, with fsync on and limits by rate off."""

    PASSWORD = "a long password for the bench"

    def __init__(self, folder, core, port=PORT, **settings):
        super().__init__("duka", folder, core)
        self.port, self.ops_port = port, port + 1
        self.settings = settings

    def start(self, poll_s=0.02):
        env = dict(os.environ, MAIL_URL="none", DATA_DIR=str(self.folder / "data"), LISTEN_ADDR=f"127.0.0.1:{self.port}",
                   OPS_ADDR=f"127.0.0.1:{self.ops_port}", RATE_LIMIT="0", RATE_LIMIT_SIGN_IN="0", DRAIN_TIME="0",
                   LOG_LEVEL="warn", CONNECTIONS_PER_ADDRESS_MAX="0", **self.settings)
        self.spawn([APPS / "duka"], env=env)
        wait_for(self.ops_port, "/readyz", self.process, poll_s=poll_s)
        self.env = env

    def dukactl(self, *words, stdin=""):
        done = subprocess.run([APPS / "dukactl", *words], env=self.env, input=stdin, text=True,
                              capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"dukactl {' '.join(words)}: {done.stderr}")

    def seed(self, products, users):
        """A catalog by CSV and accounts by registration, as a shop would get them."""
        secret = self.folder / "staff-password"
        secret.write_text(self.PASSWORD)
        self.dukactl("users", "create", "--email", "bench-staff@example.com", "--role", "staff", "--password-file",
                     str(secret))
        api = Api(self.port)
        staff = self.login(api, "bench-staff@example.com")
        for first in range(1, products + 1, IMPORT_ROWS_MAX):  # a file has its limit
            self.import_products(api, staff, first, min(IMPORT_ROWS_MAX, products + 1 - first))
        tokens = []
        for i in range(users):
            tokens.append(self.account(f"bench-{i}@example.com", api))
        return tokens

    def account(self, email, api=None):
        """Registers, and gives a token."""
        api = api or Api(self.port)
        api.call("POST", "/users", {"email": email, "password": self.PASSWORD})
        return self.login(api, email)

    def login(self, api, email):
        status, answer = api.call("POST", "/users/login", {"email": email, "password": self.PASSWORD})
        if status != 200:
            raise RuntimeError(f"log-in failed: {status} {answer}")
        return answer["access_token"]

    def import_products(self, api, staff, first, count):
        rows = ["Handle,Title,Body (HTML),Vendor,Published,Option1 Name,Option1 Value,Variant SKU,"
                "Variant Inventory Qty,Variant Price"]
        text = "Description of a thing made to be sold and shipped. " * 3
        for i in range(first, first + count):
            rows.append(f"product-{i},Product {i},{text},bench,true,Title,Default Title,SKU{i},900000000,"
                        f"{9 + i % 90}.99")
        status, answer = api.call("POST", "/products/imports", token=staff, raw="\n".join(rows) + "\n", kind="text/csv")
        if status != 202:
            raise RuntimeError(f"import refused: {status} {answer}")
        end = time.monotonic() + 300 + count // 100
        while answer["status"] not in ("done", "failed") and time.monotonic() < end:
            time.sleep(0.1)
            status, answer = api.call("GET", f"/products/imports/{answer['id']}", token=staff)
        if answer["status"] != "done" or answer["created"] != count:
            raise RuntimeError(f"import went wrong: {answer}")

    def counters(self):
        """For each service: statements, round trips, commits so far."""
        ops = http.client.HTTPConnection("127.0.0.1", self.ops_port, timeout=10)
        ops.request("GET", "/metrics")
        text = ops.getresponse().read().decode()
        names = ("duka_database_statements_total", "duka_database_round_trips_total", "duka_commits_total")
        return {service: [int(re.search(rf'^{name}{{service="{service}"}} (\d+)', text, re.M).group(1)) for name in names]
                for service in ("users", "products", "orders")}

    def metric(self, series):
        """What /metrics tells of one series."""
        ops = http.client.HTTPConnection("127.0.0.1", self.ops_port, timeout=30)
        ops.request("GET", "/metrics")
        return int(re.search(rf"^{re.escape(series)} (\d+)", ops.getresponse().read().decode(), re.M).group(1))

    def orders(self):
        """Rows by status, straight from the database."""
        import sqlite3
        books = sqlite3.connect(f"file:{self.folder}/data/orders.db?mode=ro", uri=True)
        return dict(books.execute("select status, count(*) from orders group by status").fetchall())

    def settle(self, deadline_s=60):
        """Waits until captures and events that follow the last answers are done."""
        import sqlite3
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            books = sqlite3.connect(f"file:{self.folder}/data/orders.db?mode=ro", uri=True)
            left = books.execute("select (select count(*) from outbox) + (select count(*) from payment_jobs)").fetchone()
            books.close()
            if left[0] == 0:
                return
            time.sleep(0.05)
        raise RuntimeError("the shop does not come to rest")


class InnerCall(Peer):
    """The service's side of a call between services; `ask` is the caller's, on the other core, whose CPU is asked for
    after it has ended."""

    def __init__(self, folder, core, port=PORT + 50):
        super().__init__("inner-call", folder, core)
        self.port = port
        self.program = ROOT / "build/release/inner-call"

    def start(self):
        subprocess.run([ROOT / "scripts/build", "release", "inner-call"], check=True, capture_output=True)
        self.spawn([self.program, "serve", f"127.0.0.1:{self.port}"])
        wait_for_connection(self.port)

    def ask(self, how, at_once, seconds, core):
        """Calls that were answered, and the CPU of the caller in microseconds."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(["taskset", "-c", str(core), self.program, how, f"http://127.0.0.1:{self.port}",
                               str(at_once), str(seconds)], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return int(done.stdout), used * 1e6


class Nginx(Peer):
    """nginx that answers a body of a given size itself."""

    def __init__(self, folder, core, body, port=PORT + 10):
        super().__init__("nginx", folder, core)
        self.port, self.body = port, body

    def listens(self):
        return f"listen 127.0.0.1:{self.port} backlog=4096;"

    def site(self):
        quoted = self.body.replace("\\", "\\\\").replace("'", "\\'").replace("$", "")
        return f"server {{ {self.listens()} location / {{ default_type application/json; return 200 '{quoted}'; }} }}"

    def modules(self):
        return ""

    def protocol(self):
        folders = " ".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return f"http {{ access_log off; keepalive_requests 1000000000; {folders} {self.site()} }}"

    def start(self):
        if not shutil.which("nginx"):
            raise Skipped("nginx is not installed")
        conf = self.folder / "nginx.conf"
        conf.write_text(f"""
{self.modules()}
daemon off; master_process off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/error.log;
events {{ worker_connections 4096; }}
{self.protocol()}
""")
        self.spawn(["nginx", "-p", self.folder, "-c", conf])
        wait_for_connection(self.port)


class Database:
    """A PostgreSQL of its own, with fsync and synchronous_commit on: it refuses to measure with less."""

    BINARIES = Path("/usr/lib/postgresql/15/bin")

    def __init__(self, folder, core, port):
        self.folder, self.core, self.port, self.process = Path(folder), core, port, None

    def start(self, *databases):
        if not (self.BINARIES / "initdb").exists():
            raise Skipped("PostgreSQL 15 is not installed")
        home = self.folder / "pg"
        home.mkdir(parents=True, exist_ok=True)
        for folder in [home, *home.parents]:
            if folder.is_relative_to(ROOT) or folder.owner() == "root" and str(folder).startswith("/tmp/"):
                folder.chmod(folder.stat().st_mode | 0o055)
        shutil.chown(home, "postgres", "postgres")
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "env", f"HOME={home}"]
        if not (home / "data").exists():
            subprocess.run([*as_postgres, self.BINARIES / "initdb", "-D", home / "data", "-U", "postgres", "-A", "trust"],
                           check=True, capture_output=True)
        log = open(self.folder / "pg.log", "ab")
        self.process = subprocess.Popen(
            ["taskset", "-c", str(self.core), *as_postgres, self.BINARIES / "postgres", "-D", home / "data", "-p",
             str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={home}",
             "-c", "max_connections=100", "-c", "shared_buffers=256MB"], stdout=log, stderr=log)
        end = time.monotonic() + 30
        while self.psql("select 1", check=False) is None:
            if time.monotonic() > end:
                raise RuntimeError("PostgreSQL does not start; see " + str(self.folder / "pg.log"))
            time.sleep(0.1)
        for name in databases:
            self.psql(f"create database {name}")
        shown = self.psql("select setting from pg_settings where name in ('fsync', 'synchronous_commit')").split()
        if shown != ["on", "on"]:
            raise RuntimeError(f"PostgreSQL must run with fsync and synchronous_commit on, not {shown}")

    def psql(self, sql, database="postgres", check=True):
        done = subprocess.run([self.BINARIES / "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-XtAc", sql,
                               "-d", database], capture_output=True, text=True, check=False)
        if done.returncode and check:
            raise RuntimeError(done.stderr)
        return None if done.returncode else done.stdout

    def url(self, name):
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def cpu_us(self):
        return cpu_us(self.process.pid)

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)


class DukaOnPostgresql(Duka):
    """The same shop, all services on one PostgreSQL, whose CPU counts. `replicas` are shops beside it on the same databases."""

    SERVICES = ("users", "products", "orders")

    def __init__(self, folder, core, port=PORT, database_port=PORT + 22, **settings):
        super().__init__(folder, core, port, **settings)
        self.database = Database(folder, core, database_port)
        self.replicas = []

    def start(self, poll_s=0.02, replicas=0):
        self.database.start(*self.SERVICES)
        urls = {f"DATABASE_URL_{name.upper()}": self.database.url(name) for name in self.SERVICES}
        self.settings.update(urls, KEYS_DIR=str(self.folder / "keys"))
        (self.folder / "keys").mkdir(exist_ok=True)
        (self.folder / "keys" / "bench").write_text(base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("="))
        self.env = dict(os.environ, **self.settings, DATA_DIR=str(self.folder / "data"))
        self.dukactl("migrate")
        super().start(poll_s)
        for i in range(1, replicas):
            settings = {**self.settings, "BUS_URL": "local:"}
            replica = Duka(self.folder / f"replica{i}", self.core, self.port + 2 * i, **settings)
            replica.start(poll_s)
            self.replicas.append(replica)

    def cpu_us(self):
        return super().cpu_us() + self.database.cpu_us() + sum(replica.cpu_us() for replica in self.replicas)

    def orders(self):
        rows = self.database.psql("select status, count(*) from orders group by status", "orders").split()
        return {row.split("|")[0]: int(row.split("|")[1]) for row in rows}

    def settle(self, deadline_s=60):
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            left = self.database.psql("select (select count(*) from outbox) + (select count(*) from payment_jobs)", "orders")
            if int(left) == 0:
                return
            time.sleep(0.05)
        raise RuntimeError("the shop does not come to rest")

    def stop(self):
        for replica in self.replicas:
            replica.stop()
        super().stop()
        self.database.stop()


class GoReference(Peer):
    """The service that a good engineer would write instead: Go net/http and pgx on PostgreSQL, fsync on."""

    def __init__(self, folder, core, port=PORT + 20, database_port=PORT + 21):
        super().__init__("go", folder, core)
        self.port = port
        self.database = Database(folder, core, database_port)

    def start(self):
        source = SHARED / "bench" / "goref"
        if not source.is_dir():
            raise Skipped(f"no Go reference under {source} (DUKA_SHARED_DIR)")
        if not shutil.which("go"):
            raise Skipped("Go is not installed")
        work = self.folder / "source"
        shutil.copytree(source, work, dirs_exist_ok=True)
        for file in work.iterdir():
            file.chmod(0o644)
        subprocess.run(["go", "build", "-o", "goref", "."], cwd=work, check=True, capture_output=True)
        self.database.start("goref")
        dsn = f"{self.database.url('goref')}?pool_max_conns=16"
        subprocess.run([work / "goref", "-dsn", dsn, "-seed", "1000"], check=True, capture_output=True)
        self.spawn([work / "goref", "-dsn", dsn, "-addr", f"127.0.0.1:{self.port}"])
        wait_for(self.port, "/healthz", self.process)

    def cpu_us(self):
        return super().cpu_us() + self.database.cpu_us()

    def tokens(self, count):
        api = Api(self.port)
        out = []
        for i in range(1, count + 1):
            status, answer = api.call("POST", "/login", {"email": f"u{i}@bench.test", "password": "Passw0rd!bench"})
            if status != 200:
                raise RuntimeError(f"the reference refused a log-in: {status}")
            out.append(answer["token"])
        return out

    def stop(self):
        super().stop()
        self.database.stop()
