"""GitLab's pipelines by gitlab-ci-local: its schema of them, and the jobs of one service run for real, by the shell executor."""
import pytest
from conftest import ROOT, WHOLE, run, tool

CHECKS = ["lint", "build", "unit", "contracts"]


def gitlab(*words, file=".gitlab/orders.yml", timeout=120):
    return run(tool("gitlab-ci-local"), "--file", file, "--state-dir", "build/gitlab-ci-local", "--no-color", *words, timeout=timeout)


def test_a_child_and_its_parent_are_what_gitlab_reads():
    child = gitlab("--list-csv")
    assert child.returncode == 0 and "json schema validated" in child.stdout, child.stdout
    jobs = [line.split(";")[0] for line in child.stdout.splitlines() if ";" in line][1:]
    assert jobs[:len(CHECKS)] == CHECKS and jobs[-1] == "promote", child.stdout
    parent = gitlab("--list-csv", file=".gitlab-ci.yml")
    assert parent.returncode == 0 and "affected;" in parent.stdout, parent.stdout


def test_a_job_that_gitlab_would_refuse_is_found(tmp_path):
    text = (ROOT / ".gitlab/service.yml").read_text(encoding="utf-8")
    for planted in (text.replace("  timeout: 15 minutes", "  timeot: 15 minutes", 1), text.replace("image-build", "image"),
                    text.replace("needs: [sbom, scan]", "needs: [sbom, skan]")):
        assert planted != text
        path = ROOT / "build" / "planted.gitlab.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(planted, encoding="utf-8")
        assert gitlab("--list-csv", file="build/planted.gitlab.yml").returncode != 0, planted[:200]


@pytest.mark.parametrize("job", CHECKS)
@pytest.mark.skipif(not WHOLE, reason="builds and tests a service, by make test-pipelines only")
def test_a_job_of_one_service_runs(job, alone):
    done = gitlab("--force-shell-executor", "--variable", "BASE=HEAD~1", job, timeout=3000)
    assert done.returncode == 0 and f"PASS  {job}" in done.stdout, done.stdout[-6000:]
