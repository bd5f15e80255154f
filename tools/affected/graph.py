"""Which files of the project each service's image is made of: from its program's link (meson.build) down its includes, and through
what is generated to what it is generated from."""
import pathlib
import posixpath
import re

from meson import MesonError, Reader

# Each service's image is told by a Dockerfile; the whole shop goes with its operator's tool.
DOCKERFILES = {"users": ["src/services/users/Dockerfile"], "products": ["src/services/products/Dockerfile"],
               "orders": ["src/services/orders/Dockerfile"], "gateway": ["src/services/gateway/Dockerfile"],
               "duka": ["deploy/docker/Dockerfile", "deploy/docker/dukactl.Dockerfile"]}
SERVICES = tuple(DOCKERFILES)
UNITS = ("users", "products", "orders")  # services with a contract
ROOTS = ("src", "contracts")  # where #include "…" is looked for
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.M)
GENERATED = "contracts/gen/"


class Graph:
    """The project at `root`. `files_of(service)` is what its image is made of."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.meson = Reader(root)
        self.meson.names["gen_headers"] = self.meson.names["gen_sources"] = []
        for folder in ("contracts/gen", "src/base", "src/os", "src/chassis", "src"):
            self.meson.run(folder)
        self.folders = {posixpath.dirname(path) for path in self.meson.files}
        self.reacts = {unit: set(re.findall(r'reacts:\s*"(\w+)\.v\d+\.\w+"', self.text(self.contract(unit)))) for unit in UNITS}
        self.cache = {}

    def text(self, path):
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise MesonError(f"{path}: {error.strerror}") from error

    @staticmethod
    def contract(unit):
        return f"contracts/{unit}/v1/{unit}.proto"

    # ---- Edges ----

    def made_from(self, path):
        """What a generated file is made from."""
        inputs = self.meson.made[path].inputs
        name = path.removeprefix(GENERATED)
        others = {self.contract(unit) for unit in UNITS}
        if not others.intersection(inputs) or name.startswith("openapi"):
            return inputs
        # One generator makes the files of all contracts: each comes from its own, and from what they share. Two tables of all contracts are
        # in every program, for clients that ask any service what the shop has (descriptors) and for queues (listeners): that a neighbour's
        # contract changed there alone is no reason to ship, but for whom `event_contracts` tells below.
        unit = re.split(r"[._]", name)[0]
        return [one for one in inputs if one not in others or one == self.contract(unit)]

    def includes_of(self, path):
        """The files that a source includes, those of the system apart."""
        if path not in self.cache:
            found = []
            for name in INCLUDE.findall(self.text(path)):
                for root in (posixpath.dirname(path), *ROOTS):
                    candidate = posixpath.normpath(posixpath.join(root, name))
                    if (self.root / candidate).is_file() or candidate in self.meson.made:
                        found.append(candidate)
                        break
            self.cache[path] = found
        return self.cache[path]

    def reached_from(self, starts):
        """All that the starts include, and what that is made from; the starts too."""
        seen, rest = set(), list(starts)
        while rest:
            path = rest.pop()
            if path in seen:
                continue
            seen.add(path)
            if path in self.meson.made:
                rest += self.made_from(path)
            elif path.endswith((".c", ".h")):
                rest += self.includes_of(path)
        return seen

    def units_in(self, files):
        """The services whose code is among the files."""
        return {unit for unit in UNITS if f"src/services/{unit}/service.c" in files}

    def event_contracts(self, units):
        """Contracts whose events these services react to, and those of the services that react to theirs: whoever announces makes the
        queues of all who listen."""
        heard = {other for unit in units for other in self.reacts[unit]}
        return {self.contract(unit) for unit in UNITS if unit in heard or self.reacts[unit] & units}

    # ---- The answer ----

    def programs_of(self, service):
        """The programs in the service's images: what their Dockerfiles hand to scripts/image-root."""
        found = []
        for path in DOCKERFILES[service]:
            names = [name for line in re.findall(r"scripts/image-root ([^\n&|;]+)", self.text(path))
                     for name in line.split() if name in self.meson.programs]
            if not names:
                raise MesonError(f"{path}: no line of scripts/image-root names a program of src/apps/meson.build")
            found += names
        return found

    def files_of_program(self, name):
        """Every file of the project that a program is made of, with the meson.build files that say so."""
        files = self.reached_from(self.meson.programs[name].all_sources())
        files |= self.reached_from(self.event_contracts(self.units_in(files)))
        folders = {posixpath.dirname(path) for path in files}
        return files | {path for path in self.meson.files if posixpath.dirname(path) in folders}

    def files_of(self, service):
        """Every file of the project that the service's image is made of, but what all images are."""
        return set(DOCKERFILES[service]).union(*(self.files_of_program(name) for name in self.programs_of(service)))
