#!/usr/bin/env python3
"""Asks the linker whether tools/affected is right: each source that really is in a service's program must be one whose change touches
that service. Reads the debug information of the programs of a build, and what the compiler noted of their includes.

    tools/affected/linked.py build/release
"""
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from graph import SERVICES, Graph  # noqa: E402

# Two tables of all contracts lie in every program (see Graph.made_from).
COPIES = re.compile(r"contracts/gen/(?:listeners|descriptors)\.c$")


def from_root(build, name):
    """A path as the compiler tells it, from the root; None for what is not the project's."""
    path = (build / name).resolve()
    if path.is_relative_to(build):
        path = ROOT / path.relative_to(build)  # generated: by the name that an #include has
    if not path.is_relative_to(ROOT) or path.is_relative_to(ROOT / "build"):
        return None
    return str(path.relative_to(ROOT))


def objects_of(build):
    """What the compiler noted of each object file: {source: all that it read}."""
    text = subprocess.run(["ninja", "-C", str(build), "-t", "deps"], check=True, capture_output=True, text=True).stdout
    noted = {}
    for block in text.split("\n\n"):
        names = [from_root(build, line.strip()) for line in block.splitlines()[1:] if line.startswith("    ")]
        if names and names[0]:
            noted.setdefault(names[0], set()).update(name for name in names if name)
    return noted


def sources_of(build, program):
    """The sources whose object files are in a program."""
    text = subprocess.run(["objdump", "--dwarf=info", "--dwarf-depth=1", str(build / "src/apps" / program)], check=True,
                          capture_output=True, text=True).stdout
    names = {from_root(build, name) for name in re.findall(r"DW_AT_name\s*:(?: \(indirect[^)]*\):)? (\S+\.c)$", text, re.M)}
    return {name for name in names if name}


def findings(graph, service, sources, noted):
    """What is in the program, and would change unseen."""
    told = graph.files_of(service)
    told_made = {name.rsplit(".", 1)[0] for name in told if name in graph.meson.made}
    for source in sorted(sources):
        if COPIES.search(source):
            continue
        if source in graph.meson.made:
            missing = set(graph.made_from(source)) - told
        else:
            missing = {name for name in noted.get(source, {source}) if name not in told and name.rsplit(".", 1)[0] not in told_made}
            missing = {name for name in missing if not (name in graph.meson.made and set(graph.made_from(name)) <= told)}
        for name in sorted(missing):
            yield f"{service}: {source} is in its program and depends on {name}, whose change would not touch it"


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    graph, noted, passed, failed = Graph(ROOT), objects_of(build), 0, 0

    def tell(name, good, lines=()):
        nonlocal passed, failed
        passed, failed = passed + good, failed + (not good)
        if not good:
            print(f"FAIL {name}", *lines, sep="\n  ")

    for service in SERVICES:
        sources = set().union(*(sources_of(build, program) for program in graph.programs_of(service)))
        found = list(findings(graph, service, sources, noted))
        tell(f"{service} is touched by all that its program is made of", len(sources) > 50 and not found, found)
        # Nothing of a neighbour is in it: the promise that a service ships alone.
        others = {f"src/services/{other}/" for other in SERVICES if other not in (service, "duka")} if service != "duka" else set()
        foreign = [name for name in sorted(sources) if name.startswith(tuple(others))] if others else []
        tell(f"{service} has nothing of the other services in its program", not foreign, foreign)
    # Planted: a graph that does not know what programs are linked with.
    blind = Graph(ROOT)
    for program in blind.meson.programs.values():
        program.links = []
    sources = sources_of(build, "duka-orders")
    tell("planted: a graph without links is found out", any(findings(blind, "orders", sources, noted)))
    print(f"counts: passed={passed} failed={failed} skipped=0")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
