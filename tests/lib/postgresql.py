"""PostgreSQL for tests: a server of their own on a free port in a temporary folder, and what the tests do to it.

    postgresql.py COMMAND WORDS…      starts one, runs the command with TEST_POSTGRESQL (its URL, as superuser), stops it

It runs as the user postgres where we are root, for it refuses to be root. Where PostgreSQL 15 is not installed, `missing()` says so.
"""

import contextlib
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

BINARIES = pathlib.Path("/usr/lib/postgresql/15/bin")
SERVICES = ("users", "products", "orders")


def missing():
    """Why there is no PostgreSQL here; None where there is."""
    if not (BINARIES / "postgres").exists():
        return "PostgreSQL 15 is not installed (Debian: postgresql-15)"
    if os.getuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return "we are root, and there is no user postgres to run PostgreSQL"
    return None


def as_postgres(words):
    """The command, as a user that may run PostgreSQL."""
    if os.getuid() != 0:
        return words
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *words]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A PostgreSQL of the tests. `durable` keeps fsync on, so that kill -9 of it loses nothing. `tls` is a certificate and its key (paths), of
    which it takes copies."""

    def __init__(self, folder=None, durable=False, auth="trust", port=None, tls=None):
        self.folder = pathlib.Path(folder) if folder else None
        self.port, self.durable, self.auth = port or free_port(), durable, auth
        self.process, self.tls = None, tls

    @classmethod
    def attached(cls):
        """The one that TEST_POSTGRESQL names; None where it names none."""
        given = os.environ.get("TEST_POSTGRESQL")
        return cls(port=urllib.parse.urlsplit(given).port) if given else None

    def url(self, user="postgres", database="postgres", port=None, password=None):
        secret = f":{urllib.parse.quote(password, safe='')}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{port or self.port}/{database}"

    def init(self):
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres")
            os.chmod(self.folder, 0o755)
        (self.folder / "password").write_text("superuser\n")
        if os.getuid() == 0:
            shutil.chown(self.folder / "password", "postgres")
        subprocess.run(
            as_postgres(
                [str(BINARIES / "initdb"), "-D", str(self.folder / "data"), "-U", "postgres", "-N", "-A", self.auth,
                 "-E", "UTF8", "--locale=C.UTF-8", f"--pwfile={self.folder / 'password'}"]
            ),
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/",
        )

    def start(self):
        self.folder = self.folder or pathlib.Path(tempfile.mkdtemp(prefix="duka-postgresql-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "data").exists():
            self.init()
        durable = "on" if self.durable else "off"
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": durable, "full_page_writes": durable,
                    "max_connections": "200", "shared_buffers": "64MB", "log_min_messages": "warning",
                    "max_prepared_transactions": "0", "autovacuum_naptime": "10s"}
        if self.tls:
            settings.update(self.show(*self.tls))
        words = [str(BINARIES / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
        for name, value in settings.items():
            words += ["-c", f"{name}={value}"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(as_postgres(words), stdout=log, stderr=log, cwd="/", start_new_session=True)
        deadline = time.monotonic() + 30
        while not self.answers():
            assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.05)
        return self

    def show(self, certificate, key):
        """Puts a certificate where the server reads it at its start and at SIGHUP; gives the settings that name it."""
        places = {"ssl_cert_file": self.folder / "server.pem", "ssl_key_file": self.folder / "server.key"}
        for source, place in zip((certificate, key), places.values()):
            shutil.copy(source, place)
            os.chmod(place, 0o600)
            if os.getuid() == 0:
                shutil.chown(place, "postgres")
        return {"ssl": "on", **{name: str(place) for name, place in places.items()}}

    def answers(self):
        done = subprocess.run([str(BINARIES / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False)
        return done.returncode == 0

    def send(self, number):
        self.process.send_signal(number)

    def stop(self, how=signal.SIGINT):
        """SIGINT ends it at once and in order; SIGQUIT as a crash would."""
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None

    def crash(self):
        """kill -9 of all its processes, as a machine that goes down would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        time.sleep(0.2)

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    # ---- asking ----

    def psql(self, sql, database="postgres", user="postgres"):
        """What the statements print, unaligned."""
        environment = {**os.environ, "PGPASSWORD": "superuser", "PGCLIENTENCODING": "UTF8"}
        done = subprocess.run(
            [str(BINARIES / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", user,
             "-d", database, "-f", "-"],
            input=sql, text=True, capture_output=True, check=False, env=environment, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, table, database):
        """The rows of a table as dictionaries; bytes as hex behind \\x."""
        return json.loads(self.psql(f"select coalesce(json_agg(t), '[]') from {table} t", database))

    def prepare(self, prefix="", password=None):
        """One database and one role for each service; gives the shop's settings."""
        settings = {}
        for service in SERVICES:
            name = f"{prefix}{service}"
            secret = " password '" + password.replace("'", "''") + "'" if password else ""
            self.psql(f"create role duka_{name} login{secret};\n"
                      f"create database duka_{name} owner duka_{name};\n"
                      f"revoke connect on database duka_{name} from public;\n")
            settings[f"DATABASE_URL_{service.upper()}"] = self.url(f"duka_{name}", f"duka_{name}", password=password)
        return settings

    def forget(self, prefix):
        """Drops what `prepare` made."""
        for service in SERVICES:
            self.psql(f"drop database if exists duka_{prefix}{service} with (force);\ndrop role if exists duka_{prefix}{service};\n")


def main(words):
    why = missing()
    if why:
        print(f"SKIP PostgreSQL: {why}")
        print("counts: passed=0 failed=0 skipped=1")
        return 0
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server())
        return subprocess.run(words, env={**os.environ, "TEST_POSTGRESQL": server.url()}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
