"""The pipelines by their judges. What a judge is missing for is skipped, with the reason; scripts/pipeline-tools installs them."""
import fcntl
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = ROOT / "build" / "tools"
SERVICES = ("users", "products", "orders", "gateway", "duka")
WHOLE = os.environ.get("PIPELINES") == "whole"


def tool(name):
    """A judge's path; without it the test is skipped."""
    path = TOOLS / name
    if not path.exists():
        pytest.skip(f"build/tools/{name} is not there: scripts/pipeline-tools {name.removesuffix('.jar')} installs it")
    return str(path)


def run(*words, cwd=ROOT, env=None, timeout=300):
    """A command that may fail; its output is one text."""
    return subprocess.run([str(word) for word in words], cwd=cwd, env={**os.environ, **(env or {})}, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def git(folder, *words):
    done = run("git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b.c", *words)
    assert done.returncode == 0, done.stdout
    return done.stdout.strip()


def make_tree(place):
    """In a folder: a clone of this tree as it lies here, committed, with a bare repository as its origin."""
    folder, origin = place / "tree", place / "origin.git"
    folder.mkdir()
    files = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout.split("\0")
    for name in {file.split("/")[0] for file in files if file} & {"scripts", "tools", "deploy", "src", "contracts", "Makefile"}:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    (folder / ".gitignore").write_text("/build/\n__pycache__/\n", encoding="utf-8")
    run("git", "init", "-q", "--bare", "-b", "main", origin)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "all")
    git(folder, "remote", "add", "origin", origin)
    git(folder, "push", "-q", "origin", "main")
    return folder


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path)


@pytest.fixture
def alone():
    """No other test of this folder builds and tests a service meanwhile: stages write their logs to the same files."""
    with open(ROOT / "build/.pipelines.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
