"""Who may connect to whom: every pair of a namespace that has the same policies, and stand-ins with the same labels; each edge of the
contracts answers, every other is refused. Without policies the same pairs all answer: the refusals are theirs."""

import itertools
import subprocess

import policies
import pytest
from kube import DEPLOY, SHOP
from shop import ROOT, until

SPACE = "shop-policies"
SERVICES = ("users", "products", "orders", "gateway")
PORTS = (3000, 9000)

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {space}, labels: {{{labels}}}}}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 0
  containers:
    - name: probe
      image: localhost/probe:1
      command: [/probe, listen, "3000", "9000", "5432"]
---
"""


def pod(name, space=SPACE, **labels):
    text = ", ".join(f'{key.replace("__", "/").replace("_", "-")}: "{value}"' for key, value in labels.items())
    return POD.format(name=name, space=space, labels=text)


@pytest.fixture(scope="module")
def stand_ins(kube):
    """{name: (namespace, address)} of pods that carry the labels of ours, and of some others."""
    spaces = {SPACE: "", SPACE + "-ingress": "duka.dev/ingress: allowed", SPACE + "-data": "", "monitoring": ""}
    text = "".join(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{labels}}}}}\n---\n"
                   for name, labels in spaces.items())
    kube.apply(text)
    for space in spaces:
        until(lambda: kube.run("-n", space, "get", "serviceaccount", "default", check=False).returncode == 0, 30, "accounts")  # noqa: B023
    for service in SERVICES:
        needs = {} if service == "gateway" else {"duka.dev__database": "needed"}
        text += pod(service, app=f"{service}-service", **{"app.kubernetes.io__part-of": "duka"}, **needs)
    text += pod("migration", app="users-migration", **{"app.kubernetes.io__part-of": "duka", "duka.dev__database": "needed"})
    text += pod("stranger", app="stranger")
    text += pod("ingress", SPACE + "-ingress", app="traefik")
    text += pod("database", SPACE + "-data", **{"app.kubernetes.io__name": "postgresql"})
    text += pod("other-data", SPACE + "-data", app="other")
    text += pod("prometheus", "monitoring", app="prometheus")
    kube.apply(text)
    for space in spaces:
        kube.run("-n", space, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
    yield {one["metadata"]["name"]: (space, one["status"]["podIP"]) for space in spaces for one in kube.items("pods", namespace=space)}
    for space in spaces:
        kube.run("delete", "namespace", space, "--wait=false")


def allowed():
    """{(from, to, port)} that the contracts and the docs allow."""
    edges = {(source, target, 3000) for source, target in policies.edges_of(policies.load())}
    edges |= {("ingress", "gateway", 3000)}
    edges |= {("prometheus", service, 9000) for service in SERVICES} | {("prometheus", "migration", 9000)}
    edges |= {(name, "database", 5432) for name in ("users", "products", "orders", "migration")}
    return edges


def seen(kube, stand_ins):
    """{(from, to, port)} that answer, of all that are asked: everybody asks ours at both ports, and ours ask everybody."""
    ours = {*SERVICES, "migration"}
    found, asked = set(), set()
    for source, (space, _) in stand_ins.items():
        targets = {}
        for target, port in itertools.product(stand_ins, (*PORTS, 5432)):
            if target != source and (source in ours or target in ours):
                targets[f"{stand_ins[target][1]}:{port}"] = (source, target, port)
        asked |= set(targets.values())
        told = kube.run("-n", space, "exec", source, "--", "/probe", "connect", 1000, *targets).stdout
        found |= {targets[line.split()[0]] for line in told.splitlines() if line.endswith(" yes")}
    return found, asked


def policies_text():
    return (DEPLOY / "base/network-policies.yaml").read_text(encoding="utf-8").replace(f"namespace: {SHOP}", f"namespace: {SPACE}")


def check_edges(kube, stand_ins):
    """Each edge answers and each other is refused, as soon as the policies are in force."""
    until(lambda: seen(kube, stand_ins)[0] == allowed(), 20, "just the edges of the call graph to answer")


def everybody_answers(kube, stand_ins):
    """Nothing is refused; gives how many were asked."""
    def asked():
        found, asked = seen(kube, stand_ins)
        return len(asked) if found == asked else 0

    return until(asked, 30, "everybody to answer")


@pytest.fixture
def in_force(kube, stand_ins):
    """The policies of the base; before them everybody answers, so that what is refused is refused by them."""
    asked = everybody_answers(kube, stand_ins)
    assert asked > 200
    kube.apply(policies_text())
    yield asked
    kube.run("-n", SPACE, "delete", "networkpolicy", "--all")
    everybody_answers(kube, stand_ins)


def test_just_the_edges_of_the_call_graph_answer(kube, stand_ins, in_force, tell):
    check_edges(kube, stand_ins)
    tell(f"policies: {len(allowed())} edges answer, {in_force - len(allowed())} others are refused")

    # One policy less is seen.
    kube.run("-n", SPACE, "delete", "networkpolicy", "users-service")
    until(lambda: ("gateway", "users", 3000) not in seen(kube, stand_ins)[0], 30, "an edge that is missing")


def test_the_check_fails_where_nobody_enforces(kube, stand_ins, in_force):
    """The API server takes policies all the same."""
    if not kube.is_ours:
        pytest.skip("who enforces policies on a cluster of others is not ours to stop")
    check_edges(kube, stand_ins)
    cluster = ROOT / "scripts/cluster"
    subprocess.run([cluster, "enforcer", "off"], check=True)
    try:
        with pytest.raises(AssertionError, match="just the edges"):
            check_edges(kube, stand_ins)
        assert len(kube.items("networkpolicies", namespace=SPACE)) > 5, "they are there, and nobody cares"
        everybody_answers(kube, stand_ins)
    finally:
        subprocess.run([cluster, "enforcer", "on"], check=True)
    check_edges(kube, stand_ins)


def test_names_are_found_under_the_policies(kube, stand_ins):
    kube.apply(policies_text())
    try:
        name = "kubernetes.default.svc.cluster.local"
        until(lambda: kube.run("-n", SPACE, "exec", "users", "--", "/probe", "lookup", name, check=False).returncode == 0, 30, "DNS")
        until(lambda: kube.run("-n", SPACE, "exec", "stranger", "--", "/probe", "lookup", name, check=False).returncode == 1, 30,
              "a stranger in the namespace asks for nothing")
    finally:
        kube.run("-n", SPACE, "delete", "networkpolicy", "--all")
