"""Every row of the README's table of topologies: its command, run as it stands there in a clean clone, serves the lines that it prints,
and again after a restart."""

import os
import pathlib
import re
import shutil
import signal
import subprocess

import postgresql
import pytest
from printed import Run, three_free_ports
from shop import ROOT

pytestmark = pytest.mark.whole

ROW = re.compile(r"^\| (one process|services apart), (SQLite|PostgreSQL)(?:, ([\w ]+))? \| `([^`]+)` \|", re.M)
POSTGRESQL = "set -a; . ./postgresql.env; set +a; "
# What stands for a broker in a command, and which broker takes its place.
PLACES = {
    "amqp://USER:PASSWORD@HOST": "Rabbitmq",
    "kafka://HOST:9092": "Kafka",
    "sqs://HOST/?region=REGION": "Elasticmq",
}


def rows():
    """(name, command) of each row that has a command."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [(", ".join(filter(None, row[:3])), row[3]) for row in ROW.findall(text)]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """What somebody has who has just cloned it, and nothing else. With CHANGES=1 what was not committed yet, too."""
    place = tmp_path_factory.mktemp("clone") / "duka"
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", f"file://{ROOT}", str(place)], check=True)
    if os.environ.get("CHANGES"):
        changed = subprocess.run(["git", "diff", "HEAD", "--binary"], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["git", "apply", "--allow-empty"], cwd=place, input=changed, check=True)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def databases(request, clone):
    """A server, and what `make postgresql` writes of it, for the rows that ask for them."""
    if POSTGRESQL not in request.node.callspec.params["command"]:
        yield None
        return
    if why := postgresql.missing():
        pytest.skip(why)
    with postgresql.Server(durable=True) as server:
        done = subprocess.run(["make", "postgresql", f"URL={server.url()}"], cwd=clone, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        yield server
        (clone / "postgresql.env").unlink()
        shutil.rmtree(clone / "postgresql.keys")


def with_broker(command, running):
    """The command with a broker that runs in the place of the one that it names; its account beside it."""
    for words, kind in PLACES.items():
        if words in command:
            given = running.get(kind).settings()
            return command.replace(words, given.pop("BUS_URL")), given
    assert "://" not in command, command
    return command, {}


def test_each_topology_has_a_row():
    names = [name for name, _ in rows()]
    buses = ["pushed events", "RabbitMQ", "Kafka", "SQS"]
    for shape in ("one process, SQLite", "one process, PostgreSQL", "services apart, SQLite, pushed events",
                  *(f"services apart, PostgreSQL, {bus}" for bus in buses)):
        assert names.count(shape) == 1, names


@pytest.mark.parametrize("name, command", rows(), ids=[name for name, _ in rows()])
def test_its_command_starts_it(name, command, clone, databases, running, tmp_path, tell):
    command, account = with_broker(command, running)
    if "make apart" in command:
        account["SHAPE"] = "apart"  # for the lines: whose socket mends a password
    place = pathlib.Path(tmp_path)
    run = Run(place, ["sh", "-c", command], clone, APART_PORT=three_free_ports(), APART_OPS_PORT=three_free_ports(), **account)
    try:
        run.start("first.log", 900)  # it builds
        run.lines("first")
        run.stop(signal.SIGINT)
        run.start("again.log")
        run.lines("again")
        run.stop(signal.SIGINT)
    finally:
        if run.process and run.process.poll() is None:
            os.killpg(run.process.pid, signal.SIGKILL)
            run.process.wait()
    for log in ("first.log", "again.log"):
        said = (place / log).read_text()
        assert '"level":"error"' not in said and "panic" not in said, said[-4000:]
    tell(f"{name}: {command.split(';')[-1].strip().split(' ')[-2:]} in a clean clone, its lines before and after a restart")
