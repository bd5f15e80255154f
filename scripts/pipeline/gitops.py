#!/usr/bin/env python3
"""Reads and writes what deploy/gitops says of a service: which image runs there, and the commit that it was made from.

    gitops.py commit ENVIRONMENT SERVICE                     prints the commit, or nothing
    gitops.py image ENVIRONMENT SERVICE                      prints NAME@DIGEST, or nothing
    gitops.py write ENVIRONMENT SERVICE NAME@DIGEST COMMIT
    gitops.py digest ENVIRONMENT SERVICE DIGEST COMMIT       the same, and the registry's name stays what it is there
    gitops.py copy FROM TO SERVICE                           that, with what FROM has
"""
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(os.environ.get("GITOPS_ROOT") or pathlib.Path(__file__).resolve().parents[2])
SERVICES = ("users", "products", "orders", "gateway", "duka")
ENVIRONMENTS = ("dev", "production")
IMAGE = re.compile(r"^(?P<name>[a-z0-9][\w./:-]*)@(?P<digest>sha256:[0-9a-f]{64})$")
COMMIT = re.compile(r"^[0-9a-f]{40}$")
# The lines that are written; the rest of a file is its author's.
LINES = {
    "name": re.compile(r"^(?P<head>\s*newName: *)(?P<value>\S+)$", re.M),
    "digest": re.compile(r"^(?P<head>\s*)(?:newTag|digest): *(?P<value>\S+)$", re.M),
    "commit": re.compile(r"^(?P<head>\s*duka\.dev/commit: *)\"?(?P<value>[0-9a-f]*|none)\"?$", re.M),
}


class Wrong(Exception):
    """What was asked cannot be done: why, and what to do."""


def path_of(environment, service, root=ROOT):
    if environment not in ENVIRONMENTS:
        raise Wrong(f"no environment {environment!r}: {' or '.join(ENVIRONMENTS)}")
    if service not in SERVICES:
        raise Wrong(f"no service {service!r}: {', '.join(SERVICES)}")
    path = pathlib.Path(root) / "deploy/gitops" / environment / service / "kustomization.yaml"
    if not path.is_file():
        raise Wrong(f"deploy/gitops/{environment}/{service}/kustomization.yaml is not there: {service} does not run in {environment}")
    return path


def read(environment, service, root=ROOT):
    """{name, digest, commit} as the file has them; digest and commit are empty where nothing was shipped."""
    path = path_of(environment, service, root)
    text, found = path.read_text(encoding="utf-8"), {}
    for key, line in LINES.items():
        values = {one["value"].strip('"') for one in line.finditer(text)}
        if len(values) != 1:  # a service and its migration are one image
            raise Wrong(f"{path}: {len(values)} values of the {key}, not one")
        found[key] = values.pop()
    if not found["digest"].startswith("sha256:"):
        found["digest"] = ""
    if not COMMIT.match(found["commit"]):
        found["commit"] = ""
    return found


def write(environment, service, image, commit, root=ROOT):
    """Puts an image, by its digest alone, and its commit into the file."""
    parts = IMAGE.match(image)
    if not parts:
        raise Wrong(f"{image!r} is no NAME@sha256:…: a tag can be moved, so images run by digest only")
    if not COMMIT.match(commit):
        raise Wrong(f"{commit!r} is no full commit hash")
    read(environment, service, root)  # all the lines are there
    path = path_of(environment, service, root)
    text = path.read_text(encoding="utf-8")
    text = LINES["name"].sub(lambda line: line["head"] + parts["name"], text)
    text = LINES["digest"].sub(lambda line: f"{line['head']}digest: {parts['digest']}", text)
    text = LINES["commit"].sub(lambda line: f'{line["head"]}"{commit}"', text)
    path.write_text(text, encoding="utf-8")


def write_digest(environment, service, digest, commit, root=ROOT):
    """The same bytes as elsewhere, by the name that the registry of this environment has."""
    write(environment, service, f"{read(environment, service, root)['name']}@{digest}", commit, root)


def copy(source, target, service, root=ROOT):
    """What runs in one environment is to run in another."""
    given = read(source, service, root)
    if not given["digest"]:
        raise Wrong(f"{service} was never shipped to {source}: there is nothing to promote")
    write_digest(target, service, given["digest"], given["commit"], root)


def run(words):
    if len(words) == 3 and words[0] in ("commit", "image"):
        found = read(words[1], words[2])
        told = found["commit"] if words[0] == "commit" else f"{found['name']}@{found['digest']}" if found["digest"] else ""
        print(told, end="\n" if told else "")
    elif len(words) == 5 and words[0] == "write":
        write(*words[1:])
    elif len(words) == 5 and words[0] == "digest":
        write_digest(*words[1:])
    elif len(words) == 4 and words[0] == "copy":
        copy(*words[1:])
    else:
        raise Wrong(__doc__)


if __name__ == "__main__":
    try:
        run(sys.argv[1:])
    except Wrong as wrong:
        raise SystemExit(f"gitops: {wrong}") from wrong
