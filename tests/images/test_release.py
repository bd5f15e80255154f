"""What `make images` leaves to be given away: every file is in the sums, the sums are signed, and what was changed is refused."""

import hashlib
import json
import pathlib
import shutil
import subprocess

import pytest
from engine import PROGRAMS, inspected

ROOT = pathlib.Path(__file__).resolve().parents[2]
RELEASE = ROOT / "build" / "images"


@pytest.fixture
def release(tmp_path):
    """A copy of the files, signed with a key of its own."""
    if not (RELEASE / "SHA256SUMS").exists():
        pytest.skip("make images was not run")
    folder = tmp_path / "images"
    folder.mkdir()
    for path in RELEASE.iterdir():
        shutil.copy(path, folder)
    run("openssl", "genpkey", "-algorithm", "ed25519", "-out", tmp_path / "key")
    run("openssl", "pkey", "-in", tmp_path / "key", "-pubout", "-out", tmp_path / "pub")
    sign(folder, tmp_path / "key")
    return folder


def run(*words, cwd=None):
    subprocess.run(list(map(str, words)), cwd=cwd, check=True, capture_output=True)


def sign(folder, key):
    run("openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", folder / "SHA256SUMS", "-out", folder / "SHA256SUMS.sig")


def is_good(folder):
    """Both checks of the document."""
    signature = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "../pub", "-rawin", "-in", "SHA256SUMS", "-sigfile", "SHA256SUMS.sig"]
    return all(subprocess.run(words, cwd=folder, capture_output=True).returncode == 0
               for words in (signature, ["sha256sum", "--check", "--quiet", "SHA256SUMS"]))


def test_all_files_are_in_the_sums(release):
    listed = {line.split()[1] for line in (release / "SHA256SUMS").read_text().splitlines()}
    assert listed == {f"{name}{end}" for name in PROGRAMS for end in (".tar", ".cdx.json")} | {"DIGESTS"}


def test_the_ids_are_those_of_the_images(release):
    listed = dict(reversed(line.split()) for line in (release / "DIGESTS").read_text().splitlines())
    assert listed == {f"{name}:1.0": "sha256:" + inspected(name)["Id"].removeprefix("sha256:") for name in PROGRAMS}


def test_the_bill_beside_an_image_is_the_one_in_it(release, content):
    for name in PROGRAMS:
        beside = json.loads((release / f"{name}.cdx.json").read_text())
        assert beside == content(name).bill()


def test_what_was_signed_is_good_and_what_was_changed_is_not(release):
    assert is_good(release)
    image = release / "duka.tar"
    changed = bytearray(image.read_bytes())
    changed[len(changed) // 2] ^= 1
    image.write_bytes(changed)
    assert not is_good(release), "a changed image"
    lines = (release / "SHA256SUMS").read_text().splitlines()
    mended = [f"{hashlib.sha256(changed).hexdigest()}  duka.tar" if line.endswith(" duka.tar") else line for line in lines]
    (release / "SHA256SUMS").write_text("\n".join(mended) + "\n")
    assert not is_good(release), "a changed image whose sum was changed with it"
    run("openssl", "genpkey", "-algorithm", "ed25519", "-out", "../other", cwd=release)
    sign(release, release.parent / "other")
    assert not is_good(release), "signed by somebody else"
    sign(release, release.parent / "key")
    assert is_good(release), "signed by who holds the key"
