"""What the tests against outside judges share: the shop of tests/lib."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from telling import pytest_terminal_summary, tell  # noqa: E402,F401
