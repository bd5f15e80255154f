#!/usr/bin/env python3
"""What of tools/sources.txt and of the Debian packages in a static program is behind what Debian has mended.

    tools/behind.py [--tracker FILE] INDEX…

INDEX is a suite's list of source packages (Sources) under the suite's name, FILE the data of Debian's security tracker as JSON.
"""
import argparse
import json
import pathlib
import subprocess
import sys

import sbom

ROOT = pathlib.Path(__file__).resolve().parents[1]
RELEASE = "bookworm"


def is_older(one, other):
    """As dpkg compares versions."""
    return subprocess.run(["dpkg", "--compare-versions", one, "lt", other], check=False).returncode == 0


def newest_of(text, wanted):
    """The newest version of each wanted package in a list of source packages."""
    newest, package = {}, None
    for line in text.splitlines():
        if line.startswith("Package: "):
            package = line[9:].strip()
        elif line.startswith("Version: ") and package in wanted:
            version = line[9:].strip()
            if package not in newest or is_older(newest[package], version):
                newest[package] = version
    return newest


def behind_archive(held, indexes):
    """Sentences about what is older than in a suite; the newest of all suites is named."""
    best = {}
    for suite, text in indexes.items():
        for package, version in newest_of(text, held).items():
            if package not in best or is_older(best[package][0], version):
                best[package] = version, suite
    missing = [f"{package} {held[package]} is in no list of the archive" for package in held if package not in best]
    return missing + [f"{package} {held[package]} is behind {version} of {suite}"
                      for package, (version, suite) in best.items() if is_older(held[package], version)]


def known_holes(held, tracker):
    """Sentences about what the security tracker lists for a package: fixed since, or open."""
    said = []
    for package, version in held.items():
        for name, entry in sorted(tracker.get(package, {}).items()):
            release = entry.get("releases", {}).get(RELEASE)
            if not release:
                continue
            fixed = release.get("fixed_version")
            if release["status"] == "resolved" and fixed and fixed != "0" and is_older(version, fixed):
                said.append(f"{package} {version} has {name}, which {fixed} mends")
            elif release["status"] == "open" and release.get("urgency") not in ("unimportant", "end-of-life"):
                said.append(f"{package} {version} has {name}, which Debian has not mended")
    return said


def linked_packages():
    """The sources of the Debian packages that get into an image, as they are installed here."""
    said = subprocess.run(["dpkg-query", "-W", "-f", "${source:Package} ${source:Version}\\n", *sbom.DEBIAN],
                          capture_output=True, text=True, check=False).stdout
    return dict(line.split() for line in said.splitlines())


def main():
    parser = argparse.ArgumentParser(description="What is behind Debian's security fixes.")
    parser.add_argument("--tracker", type=pathlib.Path)
    parser.add_argument("indexes", nargs="+", type=pathlib.Path, metavar="INDEX")
    given = parser.parse_args()

    pins = sbom.read_pins((ROOT / "tools" / "sources.txt").read_text()).values()
    held = {pin.package: pin.version for pin in pins if pin.kind == "debian"} | linked_packages()
    said = behind_archive(held, {path.stem: path.read_text() for path in given.indexes})
    if given.tracker:
        said += known_holes(held, json.loads(given.tracker.read_text()))
    for sentence in said:
        print(sentence)
    others = ", ".join(f"{pin.name} {pin.name_version}" for pin in pins if pin.kind != "debian")
    print(f"{len(held)} sources held against {', '.join(path.stem for path in given.indexes)}: {len(said)} to look at. "
          f"Not of Debian's, look yourself: {others}.")
    if not given.tracker:
        print("skipped: Debian's security tracker cannot be reached from here, so open holes that nobody has mended are not named")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
