"""scripts/bootstrap, scripts/test and .ci/run as their users see them, in a copy of the project: what is missing is listed,
nothing is asked for when nothing is missing, another system is told the packages. Only apt-get, sudo and the like are stood in
for, by programs that write down how they were called; scripts/test-fresh runs the real ones on a bare machine."""

import os
import pathlib
import shutil
import subprocess
import sys

import httpx
import pytest
from shop import ROOT

SYSTEM = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")

# What could ask the network, or change the machine.
REACHING_OUT = ("apt-get", "apt", "sudo", "curl", "wget", "pip", "pip3", "npm", "go")

# A dpkg-query that has not heard of two packages.
TWO_MISSING = """shift 2
for package; do case $package in libuv1-dev | ninja-build) ;; *) echo "installed $package" ;; esac; done"""


class Project:
    """A copy of the scripts beside what was built, and a PATH of its own."""

    def __init__(self, folder):
        self.folder, self.programs, self.calls_path = folder / "duka", folder / "programs", folder / "calls"
        for name in ("scripts", "tools", ".ci"):
            shutil.copytree(ROOT / name, self.folder / name)
        (self.folder / "tests").mkdir()
        shutil.copy(ROOT / "tests" / "requirements.txt", self.folder / "tests")
        shutil.copy(ROOT / "Makefile", self.folder)
        (self.folder / "build").mkdir()
        for name in ("venv", "deps"):
            (self.folder / "build" / name).symlink_to(ROOT / "build" / name)
        self.programs.mkdir()
        for place in reversed(SYSTEM):
            for program in pathlib.Path(place).glob("*"):
                self.remove(program.name)
                (self.programs / program.name).symlink_to(program)

    def remove(self, *names):
        for name in names:
            (self.programs / name).unlink(missing_ok=True)

    def stand_in(self, name, script=""):
        """A program that writes down its words, then runs `script`."""
        self.remove(name)
        path = self.programs / name
        path.write_text(f"#!/bin/sh\nprintf '%s\\n' \"{name} $*\" >>'{self.calls_path}'\n{script}\n")
        path.chmod(0o755)

    def calls(self):
        return self.calls_path.read_text().splitlines() if self.calls_path.exists() else []

    def run(self, *command, prefix=()):
        """Runs a script to its end: (exit code, what it printed, what it complained of)."""
        done = subprocess.run(
            [*prefix, *command],
            cwd=self.folder,
            env={"PATH": str(self.programs), "HOME": str(self.folder), "http_proxy": "http://127.0.0.1:9",
                 "https_proxy": "http://127.0.0.1:9", "PIP_CONFIG_FILE": "/dev/null"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def without_network():
    """What runs a program where there is no network, if this machine lets us."""
    for prefix in (["unshare", "-n"], ["unshare", "-rn"]):
        if shutil.which("unshare") and subprocess.run([*prefix, "true"], capture_output=True).returncode == 0:
            return prefix
    return []


needs_debian = pytest.mark.skipif(not shutil.which("dpkg-query"), reason="this is not a Debian system")


def test_nothing_is_asked_for_when_nothing_is_missing(project):
    for name in REACHING_OUT:
        project.stand_in(name, "exit 1")
    assert project.run("scripts/bootstrap", "run", prefix=without_network()) == (0, "", "")
    assert project.calls() == []


def test_what_is_missing_is_listed_and_then_installed(project):
    project.stand_in("id", "echo 0")
    project.stand_in("dpkg-query", TWO_MISSING)
    project.stand_in("apt-get")
    code, printed, complained = project.run("scripts/bootstrap", "run")
    assert (code, complained) == (0, "")
    first, *_ = printed.splitlines()
    assert first == "Missing packages: libuv1-dev ninja-build"
    installs = [call for call in project.calls() if call.startswith("apt-get") and " install " in call]
    assert len(installs) == 1 and installs[0].endswith(" libuv1-dev ninja-build"), project.calls()


def test_a_package_that_cannot_be_installed_ends_it_with_what_apt_said(project):
    project.stand_in("id", "echo 0")
    project.stand_in("dpkg-query", TWO_MISSING)
    project.stand_in("apt-get", "echo 'E: Unable to locate package libuv1-dev' >&2; exit 100")
    code, printed, complained = project.run("scripts/bootstrap", "run")
    assert code == 1 and "Missing packages: libuv1-dev ninja-build" in printed
    assert "E: Unable to locate package libuv1-dev" in complained
    assert complained.splitlines()[-1] == "apt-get could not install them."


def test_who_is_not_root_installs_by_sudo_or_is_told_what_root_has_to_do(project):
    project.stand_in("id", "echo 1000")
    project.stand_in("dpkg-query", TWO_MISSING)
    project.stand_in("apt-get")
    project.stand_in("sudo", 'exec "$@"')
    code, _, complained = project.run("scripts/bootstrap", "run")
    assert (code, complained) == (0, "")
    calls = project.calls()
    assert [call.split()[0] for call in calls if " install " in call] == ["sudo", "apt-get"], calls

    project.remove("sudo")
    before = len(calls)
    code, _, complained = project.run("scripts/bootstrap", "run")
    assert code == 1
    assert "As root: apt-get install libuv1-dev ninja-build" in complained
    assert not [call for call in project.calls()[before:] if call.startswith("apt-get")]


@needs_debian
def test_another_system_is_told_which_packages_are_missing(project):
    project.remove("dpkg-query", "dpkg", "apt-get", "apt")
    assert project.run("scripts/bootstrap", "run") == (0, "", ""), "all is there"
    project.remove("ninja", "protoc-c")
    code, printed, complained = project.run("scripts/bootstrap", "run")
    assert (code, printed) == (1, "Missing packages: ninja-build protobuf-c-compiler\n")
    assert "not a Debian system" in complained and "install what corresponds to them" in complained


def test_make_test_ends_with_its_line_also_where_nothing_could_be_installed(project):
    project.stand_in("id", "echo 0")
    project.stand_in("dpkg-query", TWO_MISSING)
    project.stand_in("apt-get", "exit 100")
    code, printed, _ = project.run("make", "test")
    assert code != 0 and printed.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"


def test_continuous_integration_calls_just_make_test_and_passes_its_code_on(project):
    project.stand_in("make", "cat; exit 7")
    code, printed, _ = project.run(".ci/run")
    assert (code, printed, project.calls()) == (7, "", ["make test"])


def test_the_tools_in_python_live_under_build():
    if "VIRTUAL_ENV" not in os.environ and "venv" not in sys.prefix:
        pytest.skip("not run by scripts/test")
    assert pathlib.Path(sys.prefix).resolve() == (ROOT / "build" / "venv").resolve()
    for module in (pytest, httpx):
        assert pathlib.Path(module.__file__).is_relative_to(sys.prefix)
