"""What the tests of traces and logs share: one Jaeger and one Zipkin for the whole run, started when first asked for."""

import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lib"))

import brokers  # noqa: E402
import collectors  # noqa: E402
from telling import pytest_terminal_summary, tell  # noqa: E402,F401


WHOLE = os.environ.get("OBSERVE") == "whole"


def pytest_configure(config):
    config.addinivalue_line("markers", "whole: only with OBSERVE=whole (make test-observe)")


def pytest_collection_modifyitems(config, items):
    """What is not chosen counts neither as passed nor as skipped: it is told by `make test-observe`."""
    if WHOLE:
        return
    chosen = [item for item in items if not item.get_closest_marker("whole")]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def started(kind, tmp_path_factory):
    try:
        return getattr(collectors, kind)(tmp_path_factory.mktemp(kind)).start()
    except brokers.Missing as why:
        pytest.skip(str(why))


@pytest.fixture(scope="session")
def jaeger(tmp_path_factory):
    collector = started("Jaeger", tmp_path_factory)
    yield collector
    collector.kill()


@pytest.fixture(scope="session")
def zipkin(tmp_path_factory):
    collector = started("Zipkin", tmp_path_factory)
    yield collector
    collector.kill()
