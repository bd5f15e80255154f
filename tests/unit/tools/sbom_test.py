"""tools/sbom.py: what the linker took, whose it is, and that nothing goes into a bill of materials unnamed."""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import counted

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools"))

import sbom  # noqa: E402

HASH = "a" * 64
PINS = f"""# a comment
debian openssl 3.0.22-1~deb12u2 openssl.tar.gz {HASH} openssl 3.0.22 Apache-2.0
debian curl 7.88.1-10+deb12u15 curl.tar.gz {HASH} curl 7.88.1 curl
debian curl 7.88.1-10+deb12u15 curl.debian.tar.xz {"b" * 64} curl 7.88.1 curl
pypi httptools 0.9.0 httptools.tar.gz {HASH} llhttp 9.4.3 MIT
"""
MAP = """Archive member included to satisfy reference by file (symbol)

/x/static-deps/lib/libcurl.a(a.o)  main.o (curl_easy_init)

Discarded input sections

 .text.unused   0x0000000000000000       0x40 /x/static-deps/lib/libcurl.a(a.o)

Linker script and memory map

.text           0x0000000000001000      0x100
 .text          0x0000000000001000       0x10 src/apps/duka.p/duka.c.o
 .text.a_name_that_is_so_long_that_its_numbers_stand_below
                0x0000000000001010       0x20 /x/static-deps/lib/libssl.a(ssl_lib.o)
 *fill*         0x0000000000001030       0x10
 .text          0x0000000000001040        0x4 /x/static-deps/lib/libcrypto.a(b.o)
 .text          0x0000000000001044        0x4 libllhttp.a(llhttp.c.o)
 .text          0x0000000000001048        0x4 libllhttp.a.p/build_deps_llhttp_src_http.c.o
 .text          0x0000000000001050        0x2 /usr/lib/x86_64-linux-gnu/libc.a(exit.o)
.bss            0x0000000000002000      0x100
 .bss           0x0000000000002000      0x100 src/base/libbase.a(arena.c.o)
.debug_info     0x0000000000000000     0x1000
 .debug_info    0x0000000000000000     0x1000 src/apps/duka.p/duka.c.o
"""
ARCHIVES = {"libcurl.a": "curl", "libssl.a": "openssl", "libcrypto.a": "openssl"}


def owner(path):
    return {"/usr/lib/x86_64-linux-gnu/libc.a": ("libc6-dev", "2.36-9+deb12u14")}[path]


def linked(text=MAP, archives=None):
    return sbom.Linked(text, sbom.read_pins(PINS), archives or ARCHIVES, owner)


class Pins(unittest.TestCase):
    def test_a_source_has_all_its_files(self):
        pins = sbom.read_pins(PINS)
        self.assertEqual(sorted(pins), ["curl", "llhttp", "openssl"])
        self.assertEqual(pins["curl"].files, {"curl.tar.gz": HASH, "curl.debian.tar.xz": "b" * 64})
        self.assertEqual(pins["curl"].purl(), "pkg:deb/debian/curl@7.88.1-10%2Bdeb12u15?arch=source&distro=bookworm")
        self.assertEqual(pins["llhttp"].purl(), "pkg:pypi/httptools@0.9.0")

    def test_a_line_without_a_hash_or_of_two_versions_is_refused(self):
        for line in ("debian x 1 x.tar.gz nohash x 1 MIT", f"debian curl 9 curl9.tar.gz {HASH} curl 9 curl"):
            with self.assertRaisesRegex(SystemExit, "tools/sources.txt:6: "):
                sbom.read_pins(PINS + line)

    def test_the_projects_own_can_be_read(self):
        pins = sbom.read_pins((ROOT / "tools" / "sources.txt").read_text())
        self.assertIn("openssl", pins)
        self.assertEqual({pins[name].kind for name in sbom.BUILT_HERE.values()}, {"pypi"})
        # How pkg-config tells of a library, and its pin, are the same version.
        told = dict(re.findall(r"described (\S+) (\d\S*) ", (ROOT / "scripts" / "static-deps").read_text()))
        names = {"libuv": "libuv", "libnghttp2": "nghttp2", "libsodium": "libsodium", "libutf8proc": "utf8proc", "yaml-0.1": "libyaml",
                 "libprotobuf-c": "protobuf-c", "librabbitmq": "rabbitmq-c", "hiredis": "hiredis", "libcurl": "curl",
                 "rdkafka": "librdkafka", "libpq": "libpq"}
        self.assertEqual(told, {name: pins[pin].name_version for name, pin in names.items()})


class Map(unittest.TestCase):
    def test_only_what_is_loaded_counts(self):
        sizes = {part if part == sbom.OURS else getattr(part, "name", part): size for part, size in linked().sizes.items()}
        self.assertEqual(sizes, {"duka": 0x10, "openssl": 0x24, "llhttp": 8, ("libc6-dev", "2.36-9+deb12u14"): 2})

    def test_another_text_is_no_map(self):
        with self.assertRaisesRegex(SystemExit, "no map"):
            linked("nothing")

    def test_an_archive_that_nobody_built_is_refused(self):
        with self.assertRaisesRegex(SystemExit, "libssl.a is not among"):
            linked(archives={"libcrypto.a": "openssl"})

    def test_a_file_of_no_package_is_refused(self):
        self.assertEqual(sbom.debian_package("/usr/bin/dpkg")[0], "dpkg")
        with tempfile.NamedTemporaryFile() as file, self.assertRaisesRegex(SystemExit, "of no Debian package"):
            sbom.debian_package(file.name)

    def test_a_real_linkers_map_is_read(self):
        if not shutil.which("cc"):
            self.skipTest("no compiler here")
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder)
            (place / "used.c").write_text("const char used_table[5000] = {1}; int used(int i) { return used_table[i]; }\n")
            (place / "main.c").write_text("int used(int); int main(int n, char **v) { (void)v; return used(n); }\n")
            for command in ("cc -c used.c", "ar rcs libssl.a used.o", "cc -c main.c",
                            "cc -static-pie main.o libssl.a -Wl,-Map=map -o program"):
                subprocess.run(command.split(), cwd=place, check=True, capture_output=True)
            sizes = sbom.loaded_bytes((place / "map").read_text())
            self.assertGreaterEqual(sizes["libssl.a(used.o)"], 5000)
            self.assertLess(sizes["libssl.a(used.o)"], 6000)
            libc = sum(size for path, size in sizes.items() if "libc.a" in path)
            self.assertLess(100_000, libc)
            self.assertLess(libc, (place / "program").stat().st_size)


class Bill(unittest.TestCase):
    def make(self, content=b"program"):
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder) / "duka"
            program.write_bytes(content)
            return sbom.bill(program, linked(), "0.1.0", program, "20230311")

    def test_it_names_every_part_with_where_it_comes_from(self):
        bill = self.make()
        parts = {part["name"]: part for part in bill["components"]}
        self.assertEqual(sorted(parts), ["ca-certificates", "glibc", "llhttp", "openssl"])
        self.assertEqual(parts["openssl"]["externalReferences"][0]["hashes"], [{"alg": "SHA-256", "content": HASH}])
        self.assertEqual(parts["glibc"]["purl"], "pkg:deb/debian/libc6-dev@2.36-9%2Bdeb12u14?distro=bookworm")
        self.assertEqual(bill["dependencies"][0]["dependsOn"], [part["bom-ref"] for part in bill["components"]])

    def test_the_same_program_has_the_same_bill_and_another_has_another(self):
        self.assertEqual(json.dumps(self.make()), json.dumps(self.make()))
        self.assertNotEqual(self.make()["serialNumber"], self.make(b"other")["serialNumber"])

    def test_a_package_without_a_licence_is_refused(self):
        with mock.patch.dict(sbom.DEBIAN, clear=True), self.assertRaisesRegex(SystemExit, "no licence"):
            self.make()

    def test_it_is_valid(self):
        try:
            from cyclonedx.schema import SchemaVersion
            from cyclonedx.validation.json import JsonStrictValidator
        except ImportError:
            self.skipTest("the validator of CycloneDX is not here")
        validator, text = JsonStrictValidator(SchemaVersion.V1_6), json.dumps(self.make())
        self.assertIsNone(validator.validate_str(text))
        self.assertIsNotNone(validator.validate_str(text.replace('"library"', '"libary"', 1)))


if __name__ == "__main__":
    counted.main(sys.modules[__name__])
