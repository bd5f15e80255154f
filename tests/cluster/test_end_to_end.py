"""The black-box tests of tests/e2e, as far as they ask by HTTP alone, against the shop on the cluster: over HTTPS through the Ingress, by
each way in. They come last: their orders are in no books of ours."""

import json
import re
import shlex

import pytest
from conftest import ADMIN, WAYS
from load import HOST
from shop import ROOT
from suite import run_suite

MODULES = {f"test_{name}.py" for name in ("auth", "export", "idempotency", "orders", "products", "sessions", "stock", "users")}
LEAST = 150  # so many pass, or something was skipped that should not be

# What these ask is not to be had by the Ingress.
LEFT_OUT = {
    "test_a_service_answers_only_its_own_paths": "a door of one service; the Ingress is one door of all",
    "directly_at_its_service": "the same door as through_the_gateway",
    "test_every_route_of_the_document_is_in_the_table": "/openapi.json has no way in",
    "test_a_route_answers_an_api_key_with_its_scope": "the same",
    "verification": "staff whose address dukactl has verified",
    # A late payment is asked for again by another replica, and the simulator answers that at once.
    "test_a_repeat_waits_while_the_first_is_at_work": "late payments",
    "test_an_order_is_waited_for_as_long_as_asked": "late payments",
}


@pytest.mark.parametrize("way", WAYS)
def test_the_black_box_tests_by_each_way(shop, by, way, tell, tmp_path):
    by(way)
    file = tmp_path / "shop.json"
    file.write_text(json.dumps({"address": shop.address, "host": HOST, "ca": str(shop.authority.path), "email": ADMIN,
                                "password": shop.admin_password}))
    others = {path.name for path in (ROOT / "tests/e2e").glob("test_*.py")} - MODULES
    words = shlex.join(["-k", " and ".join(f"not {name}" for name in LEFT_OUT)])
    counts = run_suite(f"cluster-{way}", {"SHOP_DEPLOYED": str(file), "PYTEST_ADDOPTS": words}, left_out=others)
    assert int(re.search(r"(\d+) passed", counts)[1]) >= LEAST, counts
    tell(f"by the {way} over HTTPS: {counts}")
