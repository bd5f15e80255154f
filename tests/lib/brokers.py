"""Brokers to test against: the real programs, on free ports of this machine, with data of their own.

RabbitMQ is Debian's; Kafka and ElasticMQ are fetched from Maven by scripts/brokers into
build/brokers. What cannot be had here raises Missing with the reason, and its tests are skipped.
"""

import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import time

from shop import ROOT, free_port, until

JARS = ROOT / "build" / "brokers"


class Missing(Exception):
    """Why a broker cannot be had."""


def free_ports(count):
    """The first of `count` free ports in a row."""
    for _ in range(200):
        first = free_port()
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            continue
        return first
    raise AssertionError("no free ports")


def jars(name):
    """The class path of a program from Maven."""
    folder = JARS / name
    if not (folder / ".done").exists():
        if not shutil.which("java"):
            raise Missing("no Java here")
        done = subprocess.run(
            [str(ROOT / "scripts" / "brokers"), name], capture_output=True, text=True
        )
        if done.returncode != 0:
            last = (done.stdout + done.stderr).strip().splitlines() or ["no reason"]
            raise Missing(f"{name} could not be fetched: {last[-1]}")
    return f"{folder}/*"


class Broker:
    """A program that is started, killed and started again on the same data."""

    SECONDS = 90

    def __init__(self, place):
        self.place = pathlib.Path(place)
        self.place.mkdir(parents=True, exist_ok=True)
        self.process = None
        self.port = free_ports(3)
        self.prepare()

    def prepare(self):
        """Raises Missing where it cannot be had."""

    def start(self):
        assert self.process is None
        with open(self.place / "broker.log", "ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                env={**os.environ, **self.environment()},
                cwd=self.place,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            until(self.is_up, self.SECONDS, f"{type(self).__name__} to be up")
        except BaseException:
            self.kill()
            raise
        return self

    def environment(self):
        return {}

    def is_up(self):
        assert self.process.poll() is None, f"it ended:\n{self.log_tail()}"
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return self.answers()
        except OSError:
            return False

    def answers(self):
        """It listens; does it work?"""
        return True

    def log_tail(self):
        return "\n".join((self.place / "broker.log").read_text(errors="replace").splitlines()[-30:])

    def kill(self):
        """kill -9, with all that it started."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process = None

    def settings(self, **more):
        """The settings of a shop on this broker, apart from every other shop."""
        return {"BUS_URL": self.url, "BUS_PREFIX": "t" + secrets.token_hex(4), **more}

    def forget(self, prefix):
        """Drops what a shop with that prefix left here."""


class Rabbitmq(Broker):
    SERVER = pathlib.Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

    def prepare(self):
        if not self.SERVER.exists():
            raise Missing("no RabbitMQ here: apt-get install rabbitmq-server")
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}"
        (self.place / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{self.port}\n")
        (self.place / "enabled_plugins").write_text("[].\n")

    def command(self):
        return [str(self.SERVER)]

    def environment(self):
        place = str(self.place)
        return {
            "HOME": place,
            "RABBITMQ_CONFIG_FILE": f"{place}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{place}/enabled_plugins",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_NODENAME": f"duka{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": f"{place}/mnesia",
            "RABBITMQ_LOG_BASE": f"{place}/log",
            "RABBITMQ_PID_FILE": f"{place}/pid",
            "RABBITMQ_DIST_PORT": str(self.port + 1),
            "ERL_EPMD_PORT": str(self.port + 2),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2",
        }

    def connect(self):
        import pika

        return pika.BlockingConnection(pika.URLParameters(self.url))

    def answers(self):
        import pika

        try:
            self.connect().close()
            return True
        except (pika.exceptions.AMQPError, OSError):
            return False

    def kill(self):
        super().kill()
        # epmd leaves the group; it knows this node alone, and listens on a port of ours.
        subprocess.run(
            ["epmd", "-port", str(self.port + 2), "-kill"], capture_output=True, check=False
        )

    def forget(self, prefix):
        connection = self.connect()
        channel = connection.channel()
        for consumer in ("users", "products", "orders"):
            for shard in range(16):
                channel.queue_delete(f"{prefix}.duka.{consumer}.{shard:02d}")
        for topic in ("users.v1", "products.v1", "orders.v1"):
            channel.exchange_delete(f"{prefix}.{topic}")
        connection.close()
