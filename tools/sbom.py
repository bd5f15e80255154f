#!/usr/bin/env python3
"""The bill of materials (CycloneDX 1.6, JSON) of a static program: what the linker really took, by its map.

    tools/sbom.py PROGRAM MAP [--ca-bundle FILE]        writes the bill to the output
    tools/sbom.py --sizes PROGRAM MAP                   writes what each part is of the program, in bytes

PROGRAM is the file as it is shipped (stripped), MAP what the linker wrote when it was linked. Each archive in it is of the
project, of a source that tools/sources.txt pins, or of a Debian package, which dpkg names; anything else is an error.
"""
import argparse
import functools
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[1]
OURS = "duka"

# Where the archives of the Python source archives come to lie in a build.
BUILT_HERE = {"libllhttp.a": "llhttp", "libyyjson.a": "yyjson", "libsqlite3.a": "sqlite"}

# What Debian's packages are that end up in a static program: a name, and a licence.
DEBIAN = {
    "libc6-dev": ("glibc", "LGPL-2.1-or-later"),
    "libgcc-12-dev": ("libgcc", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    "ca-certificates": ("ca-certificates", "MPL-2.0"),
}

SECTION = re.compile(r"^ (\.[^\s]+|COMMON)?\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)\s+(/?[^\s].*)$")
NOT_LOADED = re.compile(r"^\.(debug|comment|note\.GNU|gnu\.build|stab)")


class Pin:
    """A source of tools/sources.txt: its package, and its files with their hashes."""

    def __init__(self, kind, package, version, name, name_version, licence):
        self.kind, self.package, self.version = kind, package, version
        self.name, self.name_version, self.licence = name, name_version, licence
        self.files = {}

    def purl(self):
        version = self.version.replace("+", "%2B").replace(":", "%3A")
        if self.kind == "pypi":
            return f"pkg:pypi/{self.package.lower().replace('_', '-')}@{version}"
        return f"pkg:deb/debian/{self.package}@{version}?arch=source&distro=bookworm"


def read_pins(text):
    """The pins by the name of what they give."""
    pins = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split()
        if len(words) != 8 or not re.fullmatch("[0-9a-f]{64}", words[4]):
            raise SystemExit(f"tools/sources.txt:{number}: wants kind package version file sha256 name version licence")
        kind, package, version, file, sha256, name, name_version, licence = words
        pin = pins.setdefault(name, Pin(kind, package, version, name, name_version, licence))
        if (pin.kind, pin.package, pin.version) != (kind, package, version):
            raise SystemExit(f"tools/sources.txt:{number}: {name} is pinned twice, with different versions")
        pin.files[file] = sha256
    return pins


def loaded_bytes(map_text):
    """How many bytes of the program come from each file that the linker read, by its map."""
    _, found, memory = map_text.partition("\nLinker script and memory map\n")
    if not found:
        raise SystemExit("that is no map of GNU ld: it has no memory map")
    sizes, name = {}, None
    for line in memory.splitlines():
        if re.fullmatch(r" \.[^\s]+", line):  # a long name, whose numbers stand on the next line
            name = line.strip()
            continue
        match = SECTION.match(line)
        if match:
            section = match.group(1) or name or ""
            address, size, path = int(match.group(2), 16), int(match.group(3), 16), match.group(4)
            if address and size and not NOT_LOADED.match(section):
                taken = 0 if section.startswith((".bss", ".tbss", "COMMON")) else size
                sizes[path] = sizes.get(path, 0) + taken
        name = None
    return sizes


def archive_of(path):
    """The archive of "lib/libx.a(x.o)", or the object file itself."""
    return re.sub(r"\([^()]*\)$", "", path)


class Linked:
    """What a program is made of: bytes by part. A part is OURS, a Pin, or a Debian package (a name and a version)."""

    def __init__(self, map_text, pins, static_archives, package_of):
        self.sizes = {}
        for path, size in loaded_bytes(map_text).items():
            part = self.part_of(archive_of(path), pins, static_archives, package_of)
            self.sizes[part] = self.sizes.get(part, 0) + size

    @staticmethod
    def part_of(path, pins, static_archives, package_of):
        name = pathlib.PurePath(path).name
        folder = path.split("/")[0].removesuffix(".p")  # an object of a thin archive stands in the map for itself
        name = folder if folder in BUILT_HERE else name
        if name in BUILT_HERE:
            return pins[BUILT_HERE[name]]
        if "static-deps/" in path:
            if name not in static_archives:
                raise SystemExit(f"{path} is not among what scripts/static-deps says that it built")
            return next(pin for pin in pins.values() if pin.package == static_archives[name])
        if not path.startswith("/"):
            return OURS
        return package_of(path)


@functools.cache
def debian_package(path):
    """The Debian package that a file is of: (name, version)."""
    for known in (path, str(pathlib.Path(path).resolve())):
        for tried in (known, "/usr" + known):
            said = subprocess.run(["dpkg-query", "-S", tried], capture_output=True, text=True)
            if said.returncode == 0:
                name = said.stdout.split(":")[0]
                return name, package_version(name)
    raise SystemExit(f"{path} was linked, and is of no Debian package and no pinned source")


def package_version(name):
    return subprocess.run(["dpkg-query", "-W", "-f", "${Version}\\n", name], capture_output=True, text=True,
                          check=True).stdout.splitlines()[0]


def licences(words):
    """Of one licence, or of an expression."""
    return [{"expression": words}] if " " in words else [{"license": {"id": words}}]


def component_of(part, size):
    if isinstance(part, Pin):
        return {
            "type": "library", "bom-ref": part.purl(), "name": part.name, "version": part.name_version,
            "licenses": licences(part.licence), "purl": part.purl(),
            "externalReferences": [
                {"type": "source-distribution", "url": file, "hashes": [{"alg": "SHA-256", "content": sha256}]}
                for file, sha256 in part.files.items()],
            "properties": [{"name": "duka:bytes", "value": str(size)}],
        }
    package, version = part
    if package not in DEBIAN:
        raise SystemExit(f"{package} {version} of Debian was linked, and tools/sbom.py knows no licence of it")
    name, licence = DEBIAN[package]
    purl = f"pkg:deb/debian/{package}@{version.replace('+', '%2B').replace(':', '%3A')}?distro=bookworm"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "licenses": licences(licence),
            "purl": purl, "properties": [{"name": "duka:bytes", "value": str(size)}]}


def project_version():
    return re.search(r"version: '([^']+)'", (ROOT / "meson.build").read_text()).group(1)


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def bill(program, linked, version, ca_bundle=None, ca_version=None):
    """The document; the same for the same program."""
    components = sorted((component_of(part, size) for part, size in linked.sizes.items() if part != OURS),
                        key=lambda component: component["bom-ref"])
    if ca_bundle:
        bundle = component_of(("ca-certificates", ca_version), ca_bundle.stat().st_size)
        bundle.update(type="data", hashes=[{"alg": "SHA-256", "content": sha256_of(ca_bundle)}])
        components.append(bundle)
    digest = sha256_of(program)
    reference = f"pkg:generic/{program.name}@{version}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_OID, digest).urn,
        "version": 1,
        "metadata": {"component": {
            "type": "application", "bom-ref": reference, "name": program.name, "version": version, "purl": reference,
            "licenses": licences("Apache-2.0"), "hashes": [{"alg": "SHA-256", "content": digest}],
            "properties": [{"name": "duka:bytes", "value": str(linked.sizes.get(OURS, 0))}],
        }},
        "components": components,
        "dependencies": [{"ref": reference, "dependsOn": [component["bom-ref"] for component in components]}],
    }


def main():
    parser = argparse.ArgumentParser(description="The bill of materials of a static program.")
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("map", type=pathlib.Path)
    parser.add_argument("--ca-bundle", type=pathlib.Path)
    parser.add_argument("--sizes", action="store_true")
    given = parser.parse_args()

    pins = read_pins((ROOT / "tools" / "sources.txt").read_text())
    built = (ROOT / "build" / "static-deps" / "archives.txt").read_text()
    linked = Linked(given.map.read_text(), pins, dict(line.split() for line in built.splitlines()), debian_package)
    if given.sizes:
        for part, size in sorted(linked.sizes.items(), key=lambda item: -item[1]):
            name = part if part == OURS else f"{part.name} {part.name_version}" if isinstance(part, Pin) else " ".join(part)
            print(f"{size:9} {name}")
        rest = given.program.stat().st_size - sum(linked.sizes.values())
        print(f"{rest:9} relocations, headers and padding")
        return
    ca_version = package_version("ca-certificates") if given.ca_bundle else None
    json.dump(bill(given.program, linked, project_version(), given.ca_bundle, ca_version), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
