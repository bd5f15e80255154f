"""The canary by Argo Rollouts: what its analysis asks of Prometheus, by promtool, and what follows from the answers. (Its schema: test_argo.py.
The gateway's own canary: tests/e2e/test_apart.py, test_part_of_the_callers_goes_to_another_version_each_always_the_same_way.)"""
import json
import math
import re
import shutil

import pytest
import yaml
from conftest import ROOT, run

ROLLOUT, ANALYSIS = yaml.safe_load_all((ROOT / "deploy/gitops/examples/orders-rollout.yaml").read_text(encoding="utf-8"))
[METRIC] = ANALYSIS["spec"]["metrics"]
QUERY = METRIC["provider"]["prometheus"]["query"].replace("{{args.pods}}", "6d4cf56db6")
NEW, OLD = "orders-service-6d4cf56db6-x7k2p", "orders-service-7f9bb5c4d8-q2m4z"


def verdict(result):
    """What Rollouts makes of an answer that is a vector (its utils/evaluate): failed goes before successful, and neither is inconclusive."""
    def holds(condition):
        return bool(eval(METRIC[condition].replace("&&", "and"), {"__builtins__": {"len": len}}, {"result": result}))

    return "failed" if holds("failureCondition") else "successful" if holds("successCondition") else "inconclusive"


def test_no_traffic_is_no_verdict_and_one_failure_in_a_hundred_is_too_many():
    assert [verdict(result) for result in ([], [math.nan], [0], [0.009], [0.01], [1])] == [
        "inconclusive", "inconclusive", "successful", "successful", "failed", "failed"]
    # So many inconclusive ones, and so many failed ones, as it measures: it ends with a verdict or with a question, never by itself as good.
    assert METRIC["failureLimit"] < METRIC["count"] <= METRIC["inconclusiveLimit"]


def test_the_query_asks_for_what_the_program_counts():
    [name] = set(re.findall(r"\bduka_\w+", QUERY))
    table = (ROOT / "contracts/metrics.tbl").read_text(encoding="utf-8")
    labels, words = re.search(rf'METRIC\(\w+, COUNTER, "{name}", "([\w,]*)", "([^"]*)"\)', table).groups()
    for label, value in set(re.findall(r'(\w+)="(\w+)"', QUERY)):
        assert label in labels.split(",") and re.search(rf"\b{value}\b", words), (label, value)
        assert f'METRIC_CALLS, service->spec->name, call, "{value}")' in (ROOT / "src/chassis/service.c").read_text(encoding="utf-8")
    # The pods of both versions are the Deployment's, by its name.
    assert ROLLOUT["spec"]["workloadRef"]["name"] == "orders-service" and re.findall(r'pod=~"([\w-]+)-6d4cf56db6-', QUERY) == ["orders-service"] * 2


def judged(tmp_path, series, expected):
    """promtool on the query after three minutes of some series: {labels: counts a quarter of a minute}."""
    inputs = [{"series": f"duka_calls_total{{{labels}}}", "values": f"0+{each}x12"} for labels, each in series.items()]
    tests = [{"interval": "15s", "input_series": inputs, "promql_expr_test": [{"expr": QUERY, "eval_time": "3m", "exp_samples": expected}]}]
    (tmp_path / "tests.yml").write_text(json.dumps({"rule_files": [], "evaluation_interval": "15s", "tests": tests}), encoding="utf-8")
    done = run("promtool", "test", "rules", tmp_path / "tests.yml")
    return done.returncode == 0, done.stdout


def of(pod, outcome):
    return f'pod="{pod}", service="orders", call="orders.create_order", outcome="{outcome}"'


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool here: apt-get install prometheus")
def test_only_failures_of_the_new_pods_count(tmp_path):
    def share(value):
        return [{"labels": "{}", "value": value}]

    calm = {of(NEW, "ok"): 95, of(NEW, "refused"): 5, of(NEW, "failed"): 0, of(OLD, "ok"): 10, of(OLD, "failed"): 90}
    good, words = judged(tmp_path, calm, share(0))
    assert good, words
    bad = {**calm, of(NEW, "ok"): 75, of(NEW, "failed"): 20}
    good, words = judged(tmp_path, bad, share(0.2))
    assert good, words
    assert not judged(tmp_path, bad, share(0))[0]  # promtool compares
    # No new pod that Prometheus has seen: no answer at all.
    good, words = judged(tmp_path, {of(OLD, "ok"): 10, of(OLD, "failed"): 90}, [])
    assert good, words
