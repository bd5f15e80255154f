"""A registry of images for the tests: the reference one (scripts/pipeline-tools registry), on 127.0.0.1, with a password or without."""
import hashlib
import json
import pathlib
import re
import socket
import subprocess
import time
import urllib.request
import warnings

import pytest
from conftest import tool

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    crypt = pytest.importorskip("crypt", reason="this Python has no crypt, which makes the registry's password file")

ACCEPT = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Registry:
    """Serves what lies in a folder. `enter` are words before the program's: who runs it elsewhere than here."""

    def __init__(self, folder, port=None, login=None, enter=()):
        self.folder, self.port, self.enter = pathlib.Path(folder), port or free_port(), enter
        self.host = f"localhost:{self.port}"
        self.program = tool("registry")
        settings = {"version": 0.1, "log": {"level": "warn", "accesslog": {"disabled": True}}, "http": {"addr": f"127.0.0.1:{self.port}"},
                    "storage": {"filesystem": {"rootdirectory": str(self.folder / "images")}}}
        if login:
            (self.folder / "htpasswd").write_text(f"{login[0]}:{crypt.crypt(login[1], crypt.mksalt(crypt.METHOD_BLOWFISH))}\n", encoding="utf-8")
            settings["auth"] = {"htpasswd": {"realm": "test", "path": str(self.folder / "htpasswd")}}
        self.settings = self.folder / f"registry-{self.port}.{'inner' if enter else 'outer'}.yml"
        self.settings.write_text(json.dumps(settings), encoding="utf-8")  # which is YAML
        # podman speaks HTTP with those alone that it is told of.
        self.hosts = self.folder / "registries.conf"
        self.hosts.write_text(f'[[registry]]\nlocation = "{self.host}"\ninsecure = true\n', encoding="utf-8")

    def __enter__(self):
        with open(self.settings.with_suffix(".log"), "wb") as log:
            self.process = subprocess.Popen([*self.enter, self.program, "serve", self.settings], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while self.asked("/v2/") not in (200, 401):
            assert self.process.poll() is None and time.monotonic() < deadline, self.settings.with_suffix(".log").read_text(encoding="utf-8")
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=20)

    def asked(self, path):
        """The status of a request without a password; 0 where nobody answers."""
        words = [*self.enter, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{self.port}{path}"]
        return int(subprocess.run(words, capture_output=True, text=True).stdout or 0)

    def manifest(self, reference, authorization=None):
        """(the digest that the registry tells of NAME@DIGEST or NAME:TAG, that of the bytes that it gives, the manifest)."""
        name, what = re.fullmatch(re.escape(self.host) + r"/([^:@]+)[:@](.+)", reference).groups()
        request = urllib.request.Request(f"http://{self.host}/v2/{name}/manifests/{what}", headers={"Accept": ACCEPT})
        if authorization:
            request.add_header("Authorization", authorization)
        with urllib.request.urlopen(request, timeout=10) as answer:
            body = answer.read()
            return answer.headers["Docker-Content-Digest"], "sha256:" + hashlib.sha256(body).hexdigest(), json.loads(body)
