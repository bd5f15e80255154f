"""What the crash tests share: the shop of tests/lib, the release build unless DUKA_BIN is set."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lib"))

for name in ("duka", "dukactl"):
    os.environ.setdefault(name.upper() + "_BIN", str(ROOT / "build/release/src/apps" / name))

from telling import pytest_terminal_summary, tell  # noqa: E402,F401
