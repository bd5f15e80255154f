#!/usr/bin/env python3
"""Names the services that a change touches: the one answer to "what is to be built, tested and shipped" that every pipeline asks.

    affected.py PATH…                  of a change to these files
    affected.py --base COMMIT          of what differs between COMMIT and the files as they are committed (HEAD)
    affected.py --shipped              for each service, of what differs from the commit that was shipped last (deploy/gitops/dev)
    … --test                           also services of which only tests changed: to be tested, not shipped
    … --why                            each file with its services and the reason, instead of the names
    … --is SERVICE                     prints yes or no
    … --form gitlab                    the names as a child pipeline of GitLab that starts theirs (.gitlab/SERVICE.yml)

What it does not know, and whatever it cannot read, counts as a change of every service.
"""
import argparse
import fnmatch
import pathlib
import posixpath
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from graph import SERVICES, UNITS, Graph  # noqa: E402
from meson import MesonError  # noqa: E402

ALL, NONE = set(SERVICES), set()

# Files that no program is made of, and why they are in no image. The first pattern that fits counts; `*` goes over slashes.
IN_NO_IMAGE = [
    ("*.md", "is documentation"),
    ("docs/*", "is documentation"),
    ("tests/*", "is a test"),
    ("bench/*", "measures, and is not shipped"),
    ("deploy/gitops/*", "says what runs where: the controller applies it"),
    ("deploy/*", "says how images are run, not what is in them"),
    (".github/*", "is a pipeline: it runs what it finds, and ships nothing by itself"),
    (".gitlab/*", "is a pipeline"),
    (".gitlab-ci.yml", "is a pipeline"),
    ("jenkins/*", "is a pipeline"),
    ("scripts/pipeline/*", "is a stage of the pipelines"),
    ("scripts/lib/*", "runs tests"),
    ("tools/affected/*", "is this tool"),
    ("tools/tidy/*", "reads the source"),
    ("tools/migrations/*", "checks migrations"),
    ("tools/kubernetes/*", "makes manifests"),
    ("tools/behind.py", "compares what is pinned with what there is"),
    ("scripts/test*", "runs tests"),
    ("scripts/cluster", "runs tests"),
    (".ci/*", "runs the tests"),
    (".clang-format", "is form"),
    (".gitignore", "is git's"),
    ("Makefile", "names what is called; the images call scripts"),
]

# Tests of one service; every other test is one of all of them.
TESTS = re.compile(r"tests/(?:unit/services/(?P<room>\w+)/.*|api/(?P<api>users|products|orders|gateway)_\w+\.[ch]"
                   r"|e2e/test_(?P<e2e>users|products|orders|gateway)\.py)$")


class Judge:
    """Says of each file whose image it is in, and why."""

    def __init__(self, root):
        self.graph = Graph(root)
        self.files = {service: self.graph.files_of(service) for service in SERVICES}
        self.programs = {name: self.graph.files_of_program(name) for name in self.graph.meson.programs}

    def of_file(self, path):
        """(services, reason) of one file."""
        services = {service for service in SERVICES if path in self.files[service]}
        if services:
            return services, "is part of their programs" if len(services) > 1 else "is part of its program"
        for pattern, reason in IN_NO_IMAGE:
            if fnmatch.fnmatchcase(path, pattern):
                return NONE, reason
        programs = sorted(name for name, files in self.programs.items() if path in files)
        if programs:
            return NONE, f"is part of {' and '.join(programs)}, which is in no image"
        if path.startswith("src/services/"):  # deleted, or not yet in a meson.build: whoever has its room has it
            folder = posixpath.dirname(path) + "/"
            services = {service for service in SERVICES if any(file.startswith(folder) for file in self.files[service])}
            if services:
                return services, "lies in a room of theirs, and nothing names it"
        return ALL, "may be part of anything"

    @staticmethod
    def of_test(path):
        """The services that a test is of; none where the file is no test."""
        if not path.startswith("tests/") or path.endswith(".md"):
            return NONE
        found = TESTS.match(path)
        room = found and next((name for name in found.groups() if name in (*UNITS, "gateway")), None)
        return {room} if room else ALL


def judge_of(root):
    """A judge, or None where the project cannot be read: then everything is touched."""
    try:
        return Judge(root)
    except MesonError as error:
        print(f"tools/affected: {error}: every service counts as changed", file=sys.stderr)
        return None


def affected(root, paths, with_tests=False, judge=None):
    """The services that a change of these files touches, in their order."""
    judge = judge or judge_of(root)
    if judge is None:
        return list(SERVICES) if paths else []
    touched = set()
    for path in paths:
        touched |= judge.of_file(path)[0]
        if with_tests:
            touched |= judge.of_test(path)
    return [service for service in SERVICES if service in touched]


# ---- What changed ----


def git(root, *words):
    return subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True, text=True).stdout


def changed_since(root, base):
    """The files that differ between a commit and HEAD, renamed ones by both names; None where that cannot be told."""
    if not base or not base.strip("0"):  # a branch that is new has no commit before
        return None
    try:
        # Of a branch: since it left the base, whatever the base has got since then.
        left = git(root, "merge-base", base, "HEAD").strip()
        start = base if left == git(root, "rev-parse", "HEAD").strip() else left
        return [path for path in git(root, "diff", "--name-only", "--no-renames", "-z", start, "HEAD").split("\0") if path]
    except subprocess.CalledProcessError as error:
        print(f"tools/affected: {error.stderr.strip()}", file=sys.stderr)
        return None


def shipped_commit(root, service):
    """The commit that the image in deploy/gitops/dev was made from; None where none was shipped."""
    try:
        text = (pathlib.Path(root) / f"deploy/gitops/dev/{service}/kustomization.yaml").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"^\s*duka\.dev/commit:\s*[\"']?([0-9a-f]{40})\b", text, re.M)
    return found.group(1) if found else None


def affected_since(root, base, with_tests):
    paths = changed_since(root, base)
    return list(SERVICES) if paths is None else affected(root, paths, with_tests)


def affected_since_shipped(root, with_tests):
    """Each service by what it shipped last, so that what an earlier run did not ship is not forgotten."""
    return [service for service in SERVICES if service in affected_since(root, shipped_commit(root, service), with_tests)]


def for_gitlab(names, base):
    """A child pipeline that starts the services' own. GitLab takes none without a job."""
    if not names:
        return "nothing:\n  variables: {GIT_STRATEGY: none}\n  script: [\"echo no service is touched\"]\n"
    return "".join(f"{name}:\n  variables: {{BASE: \"{base or ''}\"}}\n  trigger:\n    include:\n      - local: .gitlab/{name}.yml\n"
                   "    strategy: depend\n" for name in names)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", metavar="PATH")
    parser.add_argument("--base", metavar="COMMIT")
    parser.add_argument("--shipped", action="store_true")
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--why", action="store_true")
    parser.add_argument("--is", dest="asked", metavar="SERVICE", choices=SERVICES)
    parser.add_argument("--form", choices=["names", "gitlab"], default="names")
    parser.add_argument("--root", default=ROOT, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if sum((bool(given.paths), given.base is not None, given.shipped)) != 1:
        parser.error("give paths, or --base COMMIT, or --shipped")

    paths = given.paths or (changed_since(given.root, given.base) if given.base is not None else None)
    if given.why:
        judge = judge_of(given.root)
        if not judge or paths is None:
            parser.error("--why goes with paths, or with a --base that can be read")
        for path in paths:
            services, reason = judge.of_file(path)
            print(f"{path}: {' '.join(s for s in SERVICES if s in services) or 'none'}: {reason}")
        return
    if given.shipped:
        names = affected_since_shipped(given.root, given.test)
    elif paths is None:
        names = list(SERVICES)
    else:
        names = affected(given.root, paths, given.test)
    if given.form == "gitlab":
        print(for_gitlab(names, given.base), end="")
    elif given.asked:
        print("yes" if given.asked in names else "no")
    else:
        print("".join(f"{name}\n" for name in names), end="")


if __name__ == "__main__":
    main()
