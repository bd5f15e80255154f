"""What is in an image, and what is not: one static program of nobody's, in nothing else, within 12 MB."""

import hashlib
import re
import subprocess

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from engine import PROGRAMS, SERVERS, image, inspected, podman

MEGABYTES_MAX = 12
PARTS = {"openssl", "curl", "libuv", "librdkafka", "rabbitmq-c", "yyjson", "llhttp", "libsodium", "glibc"}


@pytest.fixture(params=PROGRAMS)
def name(request):
    return request.param


def test_it_has_one_program_and_the_files_that_are_named(name, content):
    # What the engine itself puts into every container is not the image's.
    engines = re.compile("/(dev|proc|sys|run|etc/(hosts|hostname|resolv.conf|mtab))(/.*)?$")
    assert {path for path in content(name).entries if not engines.match(path)} == {
        "/" + PROGRAMS[name], "/data", "/etc", "/etc/passwd", "/etc/ssl", "/etc/ssl/certs", "/etc/ssl/certs/ca-certificates.crt",
        "/licenses", "/licenses/LICENSE", "/sbom.cdx.json"}


def test_nothing_but_its_data_is_its_users(name, content):
    for path, entry in content(name).entries.items():
        assert (entry.uid, entry.gid) == ((65532, 65532) if path == "/data" else (0, 0)), path
        assert not entry.mode & 0o6000, f"{path} changes who runs it"
        assert path == "/data" or entry.issym() or not entry.mode & 0o022 or path.startswith(("/dev", "/proc", "/sys", "/run")), path
    assert content(name).entries["/data"].mode & 0o777 == 0o700


def test_its_program_is_static_stripped_and_hardened(name, content, tmp_path):
    path = tmp_path / "program"
    path.write_bytes(content(name).files["/" + PROGRAMS[name]])

    def readelf(*words):
        return subprocess.run(["readelf", "--wide", *words, path], capture_output=True, text=True, check=True).stdout

    headers = readelf("--program-headers")
    assert "INTERP" not in headers and "(NEEDED)" not in readelf("--dynamic")
    assert "DYN" in readelf("--file-header"), "at an address that an attacker knows"
    assert "GNU_RELRO" in headers and not re.search("GNU_STACK.*RWE", headers)
    assert ".symtab" not in readelf("--sections") and ".debug" not in readelf("--sections")


def test_it_is_small(name):
    size = inspected(name)["Size"]
    print(f"{name}: {size / 1e6:.1f} MB")
    assert size <= MEGABYTES_MAX * 1e6


def test_it_tells_what_it_is(name):
    config = inspected(name)["Config"]
    labels = config["Labels"]
    for label in ("title", "description", "version", "licenses"):
        assert labels["org.opencontainers.image." + label]
    assert labels["org.opencontainers.image.title"] == name
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/" + PROGRAMS[name]]
    assert list(config["Volumes"]) == ["/data"]
    assert config.get("StopSignal", "SIGTERM") in ("SIGTERM", "15")
    assert not [word for word in config["Env"] if re.search("proxy|pip|index", word, re.I)], "a setting of who built it"
    if name in SERVERS:
        assert list(config["ExposedPorts"]) == ["3000/tcp"]
        told = inspected(name)
        health = told.get("HealthCheck") or told.get("Healthcheck") or config.get("Healthcheck")
        if health or "docker.io" in image(name):  # OCI's form has none
            assert health["Test"] == ["CMD", "/" + PROGRAMS[name], "health"]


def test_it_starts_its_program_and_no_other(name):
    says = podman("run", "--rm", "--read-only", image(name), "--version").stdout
    assert re.match(PROGRAMS[name] + r" \d+\.\d+\.\d+", says)
    for shell in ("/bin/sh", "/bin/bash", "/bin/busybox", "sh"):
        assert podman("run", "--rm", "--entrypoint", shell, image(name), "-c", "true", check=False).returncode == 127


def test_its_cas_are_debians_and_no_others(name, content):
    bundle = content(name).files["/etc/ssl/certs/ca-certificates.crt"].decode()
    owned = subprocess.run(
        ["podman", "run", "--rm", "debian:bookworm", "sh", "-c", "dpkg-query -L ca-certificates | grep '[.]crt$' | sort | xargs cat"],
        capture_output=True, text=True, check=True).stdout
    certificates = re.findall("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", bundle, re.S)
    assert len(certificates) > 100
    assert set(certificates) == set(re.findall("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", owned, re.S))


def test_its_bill_of_materials_is_valid_and_of_this_program(name, content):
    bill = content(name).files["/sbom.cdx.json"].decode()
    errors = JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill)
    assert errors is None, errors
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill.replace('"library"', '"libary"', 1)) is not None

    bill = content(name).bill()
    program = bill["metadata"]["component"]
    assert program["name"] == PROGRAMS[name]
    assert program["hashes"] == [
        {"alg": "SHA-256", "content": hashlib.sha256(content(name).files["/" + PROGRAMS[name]]).hexdigest()}]
    names = {part["name"] for part in bill["components"]}
    wanted = PARTS - ({"llhttp"} if name == "dukactl" else set())  # it listens to nobody
    assert wanted <= names, wanted - names
    from_debian = {part["name"] for part in bill["components"]
                   if part["purl"].startswith("pkg:deb") and "arch=source" not in part["purl"]}
    assert from_debian <= {"glibc", "libgcc", "ca-certificates"}, "of all else there is a pinned source"
    for part in bill["components"]:
        assert part["version"] and part["licenses"] and part["purl"]


def test_its_strings_name_what_the_bill_lists(name, content):
    """What a library says of itself in the program is the version that the bill has."""
    program, bill = content(name).files["/" + PROGRAMS[name]], content(name).bill()
    versions = {part["name"]: part["version"] for part in bill["components"]}
    assert f"OpenSSL {versions['openssl']} ".encode() in program
    assert "sqlite" not in versions or versions["sqlite"].encode() in program
