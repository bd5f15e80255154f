"""The stage `contracts`: what breaks a promise is refused by buf, oasdiff and tools/migrations, what adds to one passes."""
import importlib.util
import json
import pathlib
import shutil
import sys

import pytest
from conftest import ROOT, git, run, tool

SPEC = importlib.util.spec_from_file_location("stage_contracts", ROOT / "scripts/pipeline/contracts.py")
stage = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(stage)

ORDERS = "contracts/orders/v1/orders.proto"


@pytest.fixture
def head(tmp_path):
    """The contracts as they are to become; `judge` compares them with what they are."""
    folder = tmp_path / "head"
    shutil.copytree(ROOT / "contracts", folder / "contracts")
    return folder


def edit(folder, path, old, new):
    file = folder / path
    text = file.read_text(encoding="utf-8")
    assert old in text, old
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def messages(head, tmp_path):
    tool("buf")
    return stage.judge_messages(ROOT, tmp_path, head)


def test_messages_that_grow_pass_and_those_that_change_do_not(head, tmp_path):
    assert messages(head, tmp_path) == (True, "")
    text = (head / ORDERS).read_text(encoding="utf-8")
    name = "message RecordDeliveryRequest {"
    assert name in text
    edit(head, ORDERS, name, "message Noted {\n  string words = 1;\n}\n\n" + name)
    assert messages(head, tmp_path) == (True, "")
    for old, new, said in [("rpc RecordDelivery(", "rpc RecordDeliveries(", "RecordDelivery"),
                           (f"{name}\n  string id = 1", f"{name}\n  string id = 2", "RecordDeliveryRequest"),
                           (f"{name}\n  string id = 1", f"{name}\n  int64 id = 1", "type")]:
        (head / ORDERS).write_text(text, encoding="utf-8")
        edit(head, ORDERS, old, new)
        good, words = messages(head, tmp_path)
        assert not good and said in words, words


def api(head, tmp_path):
    tool("oasdiff")
    return stage.judge_api(ROOT, tmp_path, head)


def test_an_api_that_grows_passes_and_one_that_loses_does_not(head, tmp_path):
    path = head / stage.DOCUMENT
    document = json.loads(path.read_text(encoding="utf-8"))
    assert api(head, tmp_path)[0]
    document["paths"]["/orders/notes"] = {"get": {"operationId": "list_notes", "responses": {"200": {"description": "All"}}}}
    path.write_text(json.dumps(document), encoding="utf-8")
    assert api(head, tmp_path)[0], api(head, tmp_path)[1]
    del document["paths"]["/orders/{id}"]
    path.write_text(json.dumps(document), encoding="utf-8")
    good, words = api(head, tmp_path)
    assert not good and "/orders/{id}" in words, words


def test_the_stage_sums_its_judges_and_counts_a_missing_one_as_skipped(monkeypatch, capsys):
    monkeypatch.setattr(stage, "tool", lambda name: None)
    assert stage.main("HEAD") == 0
    said = capsys.readouterr().out
    assert "SKIPPED: messages" in said and "SKIPPED: REST API" in said and said.endswith("counts: passed=1 failed=0 skipped=2\n")
    monkeypatch.setattr(stage, "judge_tables", lambda base: (False, "planted"))
    assert stage.main("HEAD") == 1
    assert "BROKEN: tables" in capsys.readouterr().out


def test_a_service_that_shipped_nothing_is_compared_with_nothing_and_says_so(tree):
    done = run("make", "--silent", "pipe-contracts", "SERVICE=orders", cwd=tree)
    assert done.returncode == 0 and done.stdout.endswith("counts: passed=0 failed=0 skipped=1\n"), done.stdout
    assert "BASE is not given" in done.stdout
    gone = run("make", "--silent", "pipe-contracts", "SERVICE=orders", f"BASE={'f' * 40}", cwd=tree)
    assert gone.returncode != 0 and "is not in this clone" in gone.stdout, gone.stdout
    assert pathlib.Path(sys.executable).exists() and git(tree, "status", "--porcelain") == ""
