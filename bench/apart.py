"""The shop as four programs, as `make apart` starts it without a broker: the services push events to each other."""
import os
import secrets
import signal
import sqlite3
import subprocess
import time

from peers import APPS, PORT, Database, Duka, cpu_us, pss_kib, wait_for

SERVICES = ("users", "products", "orders")
PROGRAMS = (*SERVICES, "gateway")


class DukaApart(Duka):
    """Four programs on SQLite and the direct bus, all on one core; `port` is the gateway's, the services' stand behind it.
    `urls` takes the place of a service that is not started: {"orders": "http://…"}; `settings` go to all programs."""

    def __init__(self, folder, core, port=PORT, urls=None, **settings):
        super().__init__(folder, core, port, **settings)
        self.ports = {name: port + 10 + 2 * i for i, name in enumerate(SERVICES)} | {"gateway": port}
        self.urls = {name: f"http://127.0.0.1:{self.ports[name]}" for name in SERVICES} | (urls or {})
        self.names = [name for name in PROGRAMS if name not in (urls or {})]
        self.cores = {name: core for name in PROGRAMS}
        self.programs = {}
        self.secrets = {"INNER_KEY": secrets.token_hex(32), "BUS_PASSWORD": secrets.token_hex(32)}

    def env_of(self, name):
        urls = {f"{service.upper()}_URL": url for service, url in self.urls.items()}
        bus = "direct:?" + "&".join(f"{service}={url}" for service, url in self.urls.items())
        own = {"DATA_DIR": str(self.folder / "data" / name), "LISTEN_ADDR": f"127.0.0.1:{self.ports[name]}",
               "OPS_ADDR": f"127.0.0.1:{self.ports[name] + 1}"}
        # 256 at once wait for longer than 100 ms where a commit is a round trip: nobody is to be refused for that.
        same = {"MAIL_URL": "none", "BUS_URL": bus, "SETTLE_TARGET": "1s", "RATE_LIMIT": "0", "RATE_LIMIT_SIGN_IN": "0", "DRAIN_TIME": "0",
                "LOG_LEVEL": "warn"}
        return {**os.environ, **same, **own, **self.secrets, **urls, **self.settings}

    def start_one(self, name, poll_s=0.02, **settings):
        """Starts a program and waits until it is ready."""
        out = open(self.folder / f"{name}.log", "ab")
        self.programs[name] = subprocess.Popen(
            ["taskset", "-c", str(self.cores[name]), APPS / f"duka-{name}"],
            env={**self.env_of(name), **settings}, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        wait_for(self.ports[name] + 1, "/readyz", self.programs[name], poll_s=poll_s)

    def start(self, poll_s=0.02):
        for name in self.names:
            self.start_one(name, poll_s)
        self.env = self.env_of("users")  # dukactl talks to the accounts' service

    def stop_one(self, name):
        process = self.programs.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()

    def stop(self):
        for name in list(self.programs):
            self.stop_one(name)

    def cpu_us(self):
        return sum(map(self.cpu_us_of, self.programs))

    def cpu_us_of(self, name):
        return cpu_us(self.programs[name].pid)

    def pss_kib_of(self, name):
        return pss_kib(self.programs[name].pid)

    def ask(self, service, sql):
        books = sqlite3.connect(f"file:{self.folder}/data/{service}/{service}.db?mode=ro", uri=True)
        rows = books.execute(sql).fetchall()
        books.close()
        return rows

    def orders(self):
        return dict(self.ask("orders", "select status, count(*) from orders group by status"))

    def settle(self, deadline_s=60):
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            left = self.ask("orders", "select (select count(*) from outbox) + (select count(*) from payment_jobs)")[0][0]
            if left + self.ask("products", "select count(*) from outbox")[0][0] == 0:
                return
            time.sleep(0.05)
        raise RuntimeError("the shop does not come to rest")


class DukaApartOnPostgresql(DukaApart):
    """The same four programs, each service on a database of its own of one PostgreSQL, whose CPU counts."""

    def __init__(self, folder, core, port=PORT, database_port=PORT + 22, **settings):
        super().__init__(folder, core, port, **settings)
        self.database = Database(folder, core, database_port)

    def start(self, poll_s=0.02):
        self.database.start(*SERVICES)
        keys = self.folder / "keys"
        keys.mkdir(exist_ok=True)
        (keys / "bench").write_text(secrets.token_urlsafe(32))
        self.settings.update({f"DATABASE_URL_{name.upper()}": self.database.url(name) for name in SERVICES}, KEYS_DIR=str(keys))
        self.env = {**os.environ, **self.settings, "DATA_DIR": str(self.folder / "data")}
        self.dukactl("migrate")
        super().start(poll_s)

    def stop(self):
        super().stop()
        self.database.stop()

    def cpu_us(self):
        return super().cpu_us() + self.database.cpu_us()

    def ask(self, service, sql):
        rows = [row.split("|") for row in self.database.psql(sql, service).split()]
        return [tuple(int(cell) if cell.isdigit() else cell for cell in row) for row in rows]
