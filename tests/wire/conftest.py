"""What the tests on the wire share: one broker of each kind for the whole run, started when it is
first asked for. WIRE=whole runs everything; without it a part that fits into `make test`."""

import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lib"))

import brokers  # noqa: E402
import postgresql  # noqa: E402
from telling import pytest_terminal_summary, tell  # noqa: E402,F401

WHOLE = os.environ.get("WIRE") == "whole"


def pytest_configure(config):
    config.addinivalue_line("markers", "whole: only with WIRE=whole (make test-wire)")


def pytest_collection_modifyitems(config, items):
    """What is not chosen counts neither as passed nor as skipped: it is told by `make test-wire`."""
    if WHOLE:
        return
    chosen = [item for item in items if not item.get_closest_marker("whole")]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


class Running:
    """The brokers that run, by kind."""

    def __init__(self, place):
        self.place, self.found, self.missing = place, {}, {}

    def get(self, kind):
        if kind not in self.found and kind not in self.missing:
            try:
                self.found[kind] = getattr(brokers, kind)(self.place / kind).start()
            except brokers.Missing as why:
                self.missing[kind] = str(why)
        if kind in self.missing:
            pytest.skip(self.missing[kind])
        return self.found[kind]

    def close(self):
        for broker in self.found.values():
            broker.kill()


@pytest.fixture(scope="session")
def running(tmp_path_factory):
    all_of_them = Running(tmp_path_factory.mktemp("brokers"))
    yield all_of_them
    all_of_them.close()


@pytest.fixture(
    params=["Rabbitmq", "Kafka", *(pytest.param(kind, marks=pytest.mark.whole) for kind in ("Elasticmq", "Moto"))]
)
def broker(request, running):
    return running.get(request.param)


@pytest.fixture(scope="module")
def postgres():
    """A PostgreSQL that keeps what it has committed: fsync on."""
    why = postgresql.missing()
    if why:
        pytest.skip(why)
    with postgresql.Server(durable=True, auth="scram-sha-256") as server:
        yield server
