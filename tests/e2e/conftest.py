"""What the black-box tests share: one shop for each module, with the settings that it names."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from deployed import Deployed  # noqa: E402
from shop import Shop  # noqa: E402
from telling import pytest_terminal_summary, tell  # noqa: E402,F401


@pytest.fixture(scope="module")
def shop(request, tmp_path_factory):
    """A running shop, with the SETTINGS of the module. It must end well and log no fault. With SHOP_DEPLOYED it is one that is there."""
    settings = getattr(request.module, "SETTINGS", {})
    if deployed := Deployed.named():
        if settings:
            pytest.skip("wants a shop of the tests' own: its SETTINGS")
        yield deployed
        return
    place = tmp_path_factory.mktemp(request.module.__name__)
    made = Shop(place / "data", **settings)
    with made as running:
        yield running
    made.forget_databases()


@pytest.fixture
def new_shop(tmp_path):
    """Makes shops with settings of their own, not yet started; ends them with the test."""
    if os.environ.get("SHOP_DEPLOYED"):
        pytest.skip("wants a shop of the tests' own")
    made = []

    def make(**settings):
        made.append(Shop(tmp_path / f"data{len(made)}", **settings))
        return made[-1]

    yield make
    for one in made:
        one.kill()
        one.forget_databases()


@pytest.fixture(scope="module")
def staff(shop):
    return shop.staff


@pytest.fixture(scope="module")
def admin(shop):
    return shop.admin


@pytest.fixture(scope="module")
def customer(shop):
    return shop.customer()


@pytest.fixture(scope="module")
def anonymous(shop):
    return shop.anonymous()
