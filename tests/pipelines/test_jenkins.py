"""The Jenkinsfiles, read and run by Groovy 4's own parser, with Jenkins' steps written down (jenkins.groovy). Jenkins itself is not here:
its sandbox and its plugins are not tried."""
import re

import pytest
from conftest import ROOT, SERVICES, run, tool

CHECKED = ["lint", "build", "unit", "contracts"]
SHIPPED = ["image", "sbom", "scan", "sign", "deploy", "e2e", "promote"]
ORDERS = "jenkins/orders/Jenkinsfile"
# What is planted into Orders', and a word of what Groovy says then.
PLANTED = {"brace": (("{", "{{"), "MultipleCompilationErrors"), "step": (("checkout scm", "chekout scm"), "chekout"), "method": ((".all(", ".al("), "al(")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """All runs of this module in one Java: {(file, branch, shipped, tested): lines of (step, words)}."""
    folder = tmp_path_factory.mktemp("planted")
    text = (ROOT / ORDERS).read_text(encoding="utf-8")
    given = [(f"jenkins/{service}/Jenkinsfile", "main", "yes", "yes") for service in SERVICES]
    given += [(ORDERS, "main", "no", "no"), (ORDERS, "main", "no", "yes"), (ORDERS, "PR-7", "yes", "yes")]
    for name, ((old, new), _) in PLANTED.items():
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")
        given.append((str(folder / name), "main", "yes", "yes"))
    done = run("java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", tool("groovy.jar"), "groovy.ui.GroovyMain",
               ROOT / "tests/pipelines/jenkins.groovy", *(":".join(one) for one in given))
    assert done.returncode == 0, done.stdout
    found, here = {}, None
    for line in done.stdout.splitlines():
        step, _, words = line.partition("\t")
        if step == "run":
            here = found[tuple(words.rsplit(":", 3))] = []
        else:
            here.append((step, words))
    # By the name of what was planted, too.
    return {**found, **{one[0].rsplit("/", 1)[1]: lines for one, lines in found.items() if one[0].startswith(str(folder))}}


def targets(lines):
    assert lines[-1] == ("end", ""), lines[-1]
    return [words.removeprefix("make pipe-") for step, words in lines if step == "sh" and words.startswith("make pipe-")]


@pytest.mark.parametrize("service", SERVICES)
def test_each_jenkinsfile_runs_the_stages_of_its_service(runs, service):
    lines = runs[f"jenkins/{service}/Jenkinsfile", "main", "yes", "yes"]
    assert targets(lines) == CHECKED + SHIPPED
    assert ("withEnv", f"[SERVICE={service}, BASE=]") in lines


def test_what_was_not_touched_runs_nothing_and_a_pull_request_ships_nothing(runs):
    assert targets(runs[ORDERS, "main", "no", "no"]) == []
    assert targets(runs[ORDERS, "main", "no", "yes"]) == CHECKED
    request = runs[ORDERS, "PR-7", "yes", "yes"]
    assert targets(request) == CHECKED
    assert ("withEnv", "[SERVICE=orders, BASE=origin/main]") in request


def test_a_secret_is_there_for_the_stages_that_need_it_only(runs):
    held, seen = [], {}
    for step, words in runs[ORDERS, "main", "yes", "yes"]:
        if step == "withCredentials":
            held.append(words)
        elif step == "end of withCredentials":
            held.pop()
        elif words.startswith("make pipe-"):
            seen[words.removeprefix("make pipe-")] = " ".join(held)
    wanted = {"image": {"registry"}, "sign": {"registry", "signing-key", "signing-key-password"}, "deploy": {"registry", "gitops", "signing-public-key"},
              "e2e": {"gitops", "dev-kubeconfig"}, "promote": {"gitops"}}
    given = {stage: set(re.findall(r"(?:usernamePassword|file|string) ([\w-]+)", words)) for stage, words in seen.items()}
    assert given == {stage: wanted.get(stage, set()) for stage in CHECKED + SHIPPED}


@pytest.mark.parametrize("name", PLANTED)
def test_what_groovy_cannot_read_or_jenkins_has_no_step_for_is_found(runs, name):
    step, words = runs[name][-1]
    assert step == "failed" and PLANTED[name][1] in words, words
