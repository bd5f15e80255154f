"""The pipelines' own rules: they hold no logic, run the same stages everywhere, may do no more than they must, and use actions by hash."""
import copy
import pathlib
import re
import subprocess
import sys
import unittest

import counted
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts" / "pipeline"))
sys.path.insert(0, str(ROOT / "tools" / "affected"))

import all as stages  # noqa: E402
import graph  # noqa: E402
import unit  # noqa: E402

WORKFLOWS = ROOT / ".github" / "workflows"
INSTALL = re.compile(r"(?:command -v [\w ]+ \|\| \{ )?apt-get update -q && apt-get install -qy --no-install-recommends [\w ./-]+(?:; \})?$")
MAKE = re.compile(r'(?:echo "\w+=\$\()?make (?:--silent )?(?P<target>[\w-]+)(?: [A-Z]+=(?:"\$\w+"|\w+))*(?:\)" >>"\$GITHUB_OUTPUT"| >children\.yml)?$')
ACTION = re.compile(r"^(?P<name>[\w-]+/[\w-]+)@(?P<hash>[0-9a-f]{40}) # v\d+\.\d+\.\d+$")
WRITES = {  # the jobs that may do more than read, and what
    "image": {"packages": "write", "id-token": "write"},
    "deploy": {"contents": "write", "packages": "read"},
    "e2e": {"contents": "write"},
    "promote": {"contents": "write", "pull-requests": "write"},
}


def read(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def makes(target, known={}):
    """Whether make knows the target; a stage needs its script besides."""
    if target not in known:
        done = subprocess.run(["make", "--dry-run", target, "SERVICE=orders", "BASE=HEAD"], cwd=ROOT, capture_output=True)
        name = target.removeprefix("pipe-")
        known[target] = done.returncode == 0 and (name == target or (ROOT / "scripts" / "pipeline" / name).is_file())
    return known[target]


def commands_of(jobs):
    """(job, line) of everything that jobs of GitHub or GitLab run."""
    for name, job in jobs.items():
        for step in job.get("steps", []):
            for line in step.get("run", "").strip().splitlines():
                yield name, line
        for line in [*job.get("before_script", []), *job.get("script", [])]:
            yield name, line


def logic(jobs):
    """Lines that are neither a make target that there is nor the installing of make itself."""
    for job, line in commands_of(jobs):
        found = MAKE.match(line)
        if not INSTALL.match(line) and not (found and makes(found["target"])):
            yield f"{job}: {line}"


def unpinned(text):
    """Actions by anything but a full hash with its version beside it."""
    for used in re.findall(r"\buses:\s*(.*?)\s*$", text, re.M):
        if not used.startswith("./") and not ACTION.match(used):
            yield used


def loose(workflow):
    """Jobs that may do more than they must; workflows that grant anything by themselves."""
    if workflow.get("permissions") != {}:
        yield "the workflow grants something to every job"
    for name, job in workflow["jobs"].items():
        if "uses" in job:
            continue
        given = dict(job.get("permissions") or {"all": "unsaid"})
        allowed = {"contents": "read", **WRITES.get(name, {})}
        for what, how in given.items():
            if how != allowed.get(what):
                yield f"{name}: {what}: {how}"


def keeps_token(workflow):
    """Jobs that leave a token in the checkout though they push nothing."""
    for name, job in workflow["jobs"].items():
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                kept = step.get("with", {}).get("persist-credentials", True)
                if kept and WRITES.get(name, {}).get("contents") != "write":
                    yield name


def unlocked(workflow):
    """Caches whose key names no file that pins what is in them."""
    for name, job in workflow["jobs"].items():
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/cache@"):
                files = re.findall(r"'([^']+)'", " ".join(re.findall(r"hashFiles\(([^)]*)\)", step["with"]["key"])))
                if not files or not all((ROOT / file).is_file() for file in files):
                    yield name


def unlocked_in_gitlab(jobs):
    """The same for GitLab's."""
    for name, job in jobs.items():
        if "cache" in job:
            files = job["cache"]["key"].get("files", [])
            if not files or not all((ROOT / file).is_file() for file in files):
                yield name


def without_login(jobs, variables):
    """Jobs whose stages speak to the registry and are not let in. `variables` gives those of a job."""
    for name, job in jobs.items():
        needed = {"image", "sign", "deploy"} & set(stages_of({name: job}))
        if needed and not {"REGISTRY_USER", "REGISTRY_PASSWORD"} <= set(variables(job)):
            yield name


def stages_of(jobs):
    """The stages that jobs run, those of one job in their order, each once."""
    found = []
    for _, line in commands_of(jobs):
        match = MAKE.match(line)
        if match and match["target"].startswith("pipe-") and match["target"].removeprefix("pipe-") not in found:
            found.append(match["target"].removeprefix("pipe-"))
    return found


def gitlab_jobs(document):
    return {name: job for name, job in document.items() if isinstance(job, dict) and ("script" in job or name == "default")}


class GitHub(unittest.TestCase):
    """.github/workflows; actionlint reads them besides (tests/pipelines)."""

    service = read(".github/workflows/service.yml")

    def test_every_step_is_a_make_target_or_installs_make(self):
        for path in WORKFLOWS.glob("*.yml"):
            self.assertEqual(list(logic(read(path)["jobs"])), [], path)
        for planted in ("make pipe-nothing", "make nothing", "./build.sh", "make pipe-lint && rm -rf x", "curl https://example.com | sh",
                        "apt-get update -q && apt-get install -qy --no-install-recommends git; curl x"):
            self.assertEqual(list(logic({"a": {"steps": [{"run": planted}]}})), [f"a: {planted}"])

    def test_every_action_is_named_by_its_full_hash(self):
        for path in WORKFLOWS.glob("*.yml"):
            self.assertEqual(list(unpinned(path.read_text(encoding="utf-8"))), [], path)
        for planted in ("actions/checkout@v4", "actions/checkout@11bd719", "actions/checkout@" + "a" * 40, "actions/checkout@main # v4.2.2"):
            self.assertEqual(list(unpinned(f"      - uses: {planted}\n")), [planted])

    def test_an_action_has_one_hash_everywhere(self):
        used = {}
        for path in WORKFLOWS.glob("*.yml"):
            for name, commit in re.findall(r"uses: ([\w/-]+)@([0-9a-f]{40})", path.read_text(encoding="utf-8")):
                used.setdefault(name, set()).add(commit)
        self.assertEqual({name: len(commits) for name, commits in used.items()}, dict.fromkeys(used, 1))
        self.assertIn("actions/checkout", used)

    def test_no_job_may_do_more_than_it_must(self):
        for path in WORKFLOWS.glob("*.yml"):
            self.assertEqual(list(loose(read(path))), [], path)
            self.assertEqual(list(keeps_token(read(path))), [], path)
        planted = copy.deepcopy(self.service)
        planted["jobs"]["lint"]["permissions"]["contents"] = "write"
        planted["jobs"]["build"].pop("permissions")
        planted["permissions"] = "write-all"
        self.assertEqual(len(list(loose(planted))), 3)
        planted["jobs"]["image"]["steps"][0].pop("with")
        self.assertEqual(list(keeps_token(planted)), ["image"])

    def test_caches_are_keyed_by_what_pins_them(self):
        for path in WORKFLOWS.glob("*.yml"):
            self.assertEqual(list(unlocked(read(path))), [], path)
        planted = copy.deepcopy(self.service)
        for step in planted["jobs"]["unit"]["steps"]:
            if "key" in step.get("with", {}):
                step["with"]["key"] = "unit-${{ hashFiles('no/such.lock') }}"
        self.assertEqual(list(unlocked(planted)), ["unit"])

    def test_whoever_speaks_to_the_registry_is_let_in_and_nobody_else(self):
        jobs = {name: job for name, job in self.service["jobs"].items() if name != "image-tried"}  # which pushes nothing
        self.assertEqual(list(without_login(jobs, lambda job: job.get("env", {}))), [])
        self.assertEqual({name for name, job in self.service["jobs"].items() if "REGISTRY_PASSWORD" in job.get("env", {})}, {"image", "deploy"})
        planted = copy.deepcopy(jobs)
        del planted["deploy"]["env"]["REGISTRY_USER"]
        self.assertEqual(list(without_login(planted, lambda job: job.get("env", {}))), ["deploy"])

    def test_every_job_ends(self):
        for path in WORKFLOWS.glob("*.yml"):
            for name, job in read(path)["jobs"].items():
                self.assertTrue("uses" in job or job.get("timeout-minutes", 999) <= 90, f"{path}: {name}")

    def test_each_service_has_a_workflow_that_is_the_common_one(self):
        for service in graph.SERVICES:
            document = read(f".github/workflows/{service}.yml")
            [job] = document["jobs"].values()
            self.assertEqual((job["uses"], job["with"]), ("./.github/workflows/service.yml", {"service": service}))
            # Whoever decides what is touched is tools/affected alone.
            self.assertNotIn("paths", str(document[True]))


class GitLab(unittest.TestCase):
    """.gitlab-ci.yml and its children; gitlab-ci-local runs them besides (tests/pipelines)."""

    service = read(".gitlab/service.yml")

    def test_every_step_is_a_make_target_or_installs_make(self):
        for path in (".gitlab-ci.yml", ".gitlab/service.yml"):
            self.assertEqual(list(logic(gitlab_jobs(read(path)))), [], path)
        self.assertEqual(len(list(logic({"a": {"script": ["make pipe-lint", "echo x"]}}))), 1)

    def test_each_service_has_a_child_that_is_the_common_one(self):
        for service in graph.SERVICES:
            self.assertEqual(read(f".gitlab/{service}.yml"), {"include": [{"local": ".gitlab/service.yml"}], "variables": {"SERVICE": service}})

    def test_the_parent_starts_the_children_that_are_named(self):
        for base, expected in (("HEAD", ["nothing"]), ("0" * 40, list(graph.SERVICES))):
            done = subprocess.run(["make", "--silent", "affected", f"BASE={base}", "FORM=gitlab"], cwd=ROOT, capture_output=True, text=True)
            children = yaml.safe_load(done.stdout)
            self.assertEqual(list(children), expected, done.stderr)
            for name, job in children.items():
                if name != "nothing":
                    self.assertEqual(job["trigger"]["include"], [{"local": f".gitlab/{name}.yml"}])
                    self.assertEqual(job["variables"]["BASE"], base)

    def test_caches_are_keyed_by_what_pins_them(self):
        cached = {name: job for name, job in self.service.items() if isinstance(job, dict) and "cache" in job}
        self.assertEqual(set(cached), {".compiles", "contracts"})
        self.assertEqual(list(unlocked_in_gitlab(cached)), [])
        planted = {"a": {"cache": {"key": {"prefix": "main"}}}, "b": {"cache": {"key": {"files": ["no/such.lock"]}}}}
        self.assertEqual(list(unlocked_in_gitlab(planted)), ["a", "b"])

    def test_whoever_speaks_to_the_registry_is_let_in(self):
        self.assertEqual(list(without_login(gitlab_jobs(self.service), lambda job: job.get("variables", {}))), [])

    def test_what_ships_ships_from_the_default_branch_only(self):
        for name in ("sign", "deploy", "e2e", "promote"):
            extended = self.service[name]["extends"]
            self.assertIn(".shipped", extended if isinstance(extended, list) else [extended])


class AllSystems(unittest.TestCase):
    """The same stages, whoever runs them."""

    def test_all_run_the_same_stages_in_the_same_order(self):
        github = {name: job for name, job in GitHub.service["jobs"].items() if name != "image-tried"}
        self.assertEqual(stages_of(github), list(stages.STAGES))
        self.assertEqual(stages_of(gitlab_jobs(GitLab.service)), list(stages.STAGES))
        groovy = (ROOT / "jenkins/service.groovy").read_text(encoding="utf-8")
        self.assertEqual(re.findall(r"\btarget\('(\w+)'", groovy), list(stages.STAGES))
        self.assertEqual(stages_of({"a": {"script": ["make pipe-build", "make pipe-lint"]}}), ["build", "lint"])

    def test_a_stage_is_a_script_that_make_calls(self):
        for name in stages.STAGES:
            self.assertTrue(makes(f"pipe-{name}"), name)
        self.assertFalse(makes("pipe-nothing"))
        self.assertFalse(makes("affectd"))

    def test_each_service_has_its_jenkinsfile_and_its_tests(self):
        for service in graph.SERVICES:
            self.assertIn(f"load('jenkins/service.groovy').all('{service}')", (ROOT / f"jenkins/{service}/Jenkinsfile").read_text(encoding="utf-8"))
        self.assertEqual(set(unit.PROGRAMS), set(graph.SERVICES))
        listed = re.findall(r"^  \['(\w+)', '(\w+)', ", (ROOT / "tests/meson.build").read_text(encoding="utf-8"), re.M)
        programs = {f"{suite}-{name}" for suite, name in listed}
        for names in unit.PROGRAMS.values():
            self.assertLessEqual(set(names), programs)

    def test_no_secret_stands_in_a_file(self):
        secret = re.compile(r"(?i:password|token|secret|key)\w*[ \t]*[:=][ \t]*[\"']?(?=\S*\d)(?=\S*[a-z])[A-Za-z0-9+/_-]{16,}")
        for folder in (".github", ".gitlab", "jenkins", "deploy/gitops"):
            for path in (ROOT / folder).rglob("*"):
                if path.is_file():
                    self.assertIsNone(secret.search(path.read_text(encoding="utf-8")), path)
        self.assertTrue(secret.search("GITOPS_TOKEN: abcdefghijklmnop12"))


if __name__ == "__main__":
    counted.main(sys.modules[__name__])
