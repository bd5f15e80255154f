"""The rules that read object files: what a floor really calls, whatever macros and headers made of it."""
import pathlib
import re
import subprocess

from rules import ALLOCATION, ALLOCATION_ROOMS, BANNED, DRIVERS, SYSTEM_CALL
from source import Finding, matches


def plain_name(symbol):
    """The function behind glibc's variants: __open64_2 is open, __sprintf_chk is sprintf."""
    name = symbol.split("@")[0]
    name = re.sub(r"^__(isoc\d+_)?", "", name)
    name = re.sub(r"_chk$|(?<=\d)_2$|(?<=open)_2$", "", name)
    return re.sub(r"(?<=[a-z])64$", "", name)


def undefined_of(listing):
    """The undefined symbols in the output of nm -A -u: (object, symbol)."""
    return re.findall(r"^(.+?\.o):\s+U\s+(\S+)$", listing, re.M)


def source_of(object_path):
    """src/chassis/libchassis.a.p/http.c.o -> src/chassis/http.c; None for what is not ours."""
    found = re.search(r"(src/(?:[\w-]+/)*)[\w.-]+\.p/([\w-]+\.c)\.o$", object_path)
    return found.group(1) + found.group(2) if found else None


def findings(pairs):
    """What breaks a rule among (object, symbol) pairs."""
    for object_path, symbol in pairs:
        path, name = source_of(object_path), plain_name(symbol)
        if path is None:
            continue
        if SYSTEM_CALL.match(name) and not matches(path, *DRIVERS):
            yield Finding(path, 1, f"its object file calls {name}(), outside src/os and drivers")
        if name in ALLOCATION and not matches(path, *ALLOCATION_ROOMS):
            yield Finding(path, 1, f"its object file calls {name}(), outside the arena, src/os and drivers")
        if name in BANNED:
            yield Finding(path, 1, f"its object file calls {name}()")


def objects_keep_their_floor(folder):
    """Reads all object files of a build folder; gives (findings, how many objects were read)."""
    objects = sorted(str(path) for path in pathlib.Path(folder, "src").rglob("*.o"))
    if not objects:
        return [Finding(str(folder), 0, "has no object files")], 0
    listing = subprocess.run(["nm", "-A", "-u", *objects], capture_output=True, text=True, check=True).stdout
    return list(findings(undefined_of(listing))), len(objects)
