"""Calls made from the OpenAPI document, judged by it (schemathesis): examples, every boundary, random ones, and chains
of calls. DUKA_CONFORMANCE=whole runs many more; SEED=n repeats a run."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from shop import Shop

HERE = pathlib.Path(__file__).parent
WHOLE = os.environ.get("DUKA_CONFORMANCE") == "whole"
SEED = os.environ.get("SEED") or "20261128"
EXAMPLES = "40" if WHOLE else "2"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with Shop(tmp_path_factory.mktemp("schemathesis") / "data") as running:
        yield running


def schemathesis(shop, folder, document, *words):
    """Runs it over a document; gives how it ended and what it printed."""
    admin = shop.admin
    caller = {"email": admin.email, "password": admin.password}
    environment = {
        **os.environ,
        "DUKA_CONFORMANCE_URL": shop.url,
        "DUKA_CONFORMANCE_ADMIN": json.dumps({**caller, "id": admin.id}),
        "SCHEMATHESIS_HOOKS": "hooks",
        "PYTHONPATH": str(HERE),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder),
    }
    done = subprocess.run(
        [
            str(pathlib.Path(sys.executable).with_name("schemathesis")),
            "--config-file",
            str(HERE / "schemathesis.toml"),
            "run",
            document,
            "--url",
            shop.url,
            "--checks",
            "all",
            "--seed",
            SEED,
            "--generation-database",
            "none",
            "--max-examples",
            EXAMPLES,
            "--continue-on-failure",
            "--no-color",
            *words,
        ],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=3000 if WHOLE else 230,
    )
    return done.returncode, done.stdout + done.stderr


def test_every_call_is_as_the_document_says(shop, tmp_path):
    staff = shop.staff
    staff.create_product()
    shop.customer().place(staff.new_sku())
    code, told = schemathesis(shop, tmp_path, shop.url + "/openapi.json")
    print(told[-6000:])
    assert code == 0, f"SEED={SEED}\n{told}"
    assert not shop.faults()


def test_a_document_that_is_not_true_is_seen(shop, tmp_path):
    document = shop.http.get(shop.url + "/openapi.json").json()
    keys = document["paths"]["/users/.well-known/jwks.json"]
    keys["get"]["responses"]["200"]["content"]["application/json"]["schema"] = {"type": "array"}
    document["paths"] = {"/users/.well-known/jwks.json": keys}
    lie = tmp_path / "lie.json"
    lie.write_text(json.dumps(document))
    code, told = schemathesis(shop, tmp_path, str(lie), "--phases", "examples,coverage,fuzzing")
    assert code == 1 and "Response violates schema" in told, told
