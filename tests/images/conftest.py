"""The images that scripts/test-images built, one by one, and what is in each."""

import io
import json
import pathlib
import subprocess
import sys
import tarfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(pathlib.Path(__file__).parent), str(ROOT / "tests" / "lib"), str(ROOT / "tools")]

import engine  # noqa: E402


class Content:
    """All files of an image, as a container of it would see them."""

    def __init__(self, name):
        box = engine.podman("create", engine.image(name)).stdout.strip()
        try:
            packed = subprocess.run(["podman", "export", box], capture_output=True, check=True).stdout
        finally:
            engine.podman("rm", "--volumes", box)
        self.entries, self.files = {}, {}
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            for entry in archive:
                path = "/" + entry.name.strip("/").removeprefix("./")
                self.entries[path] = entry
                if entry.isfile():
                    self.files[path] = archive.extractfile(entry).read()

    def bill(self):
        return json.loads(self.files["/sbom.cdx.json"])


@pytest.fixture(scope="session")
def content():
    """Gives the content of an image by its name."""
    known = {}
    return lambda name: known.setdefault(name, None) or known.update({name: Content(name)}) or known[name]
