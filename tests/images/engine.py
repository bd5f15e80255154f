"""The engine that holds the images (podman, with the storage that scripts/test-images names), and boxes: containers that a test
starts, asks and ends."""

import json
import os
import subprocess
import time
import uuid

import httpx

VERSION = "1.0"
PROGRAMS = {
    "users-service": "duka-users",
    "products-service": "duka-products",
    "orders-service": "duka-orders",
    "gateway-service": "duka-gateway",
    "duka": "duka",
    "dukactl": "dukactl",
}
SERVERS = [name for name in PROGRAMS if name != "dukactl"]
SHUT = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


def podman(*words, check=True, stdin=None, seconds=120):
    done = subprocess.run(["podman", *map(str, words)], capture_output=True, text=True, input=stdin, timeout=seconds)
    assert not check or done.returncode == 0, f"podman {words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def image(name):
    """As the engine calls it: docker and podman put another host before a name without one."""
    return f"{os.environ.get('DUKA_IMAGE_HOST', 'localhost')}/{name}:{VERSION}"


def inspected(name):
    return json.loads(podman("image", "inspect", image(name)).stdout)[0]


class Box:
    """A container of an image, with the door of its program at a port of this machine."""

    def __init__(self, name, *options, words=(), ports=(3000,), shut=True):
        self.id = "duka-test-" + uuid.uuid4().hex[:12]
        published = [word for port in ports for word in ("--publish", f"127.0.0.1::{port}")]
        podman("run", "--detach", "--name", self.id, *(SHUT if shut else ()), *published, *options, image(name), *words)
        self.doors = {port: self.door(port) for port in ports}
        self.http = httpx.Client(trust_env=False, timeout=30)

    def door(self, port):
        return "http://" + podman("port", self.id, f"{port}/tcp").stdout.splitlines()[0]

    def state(self):
        return json.loads(podman("inspect", self.id).stdout)[0]["State"]

    def log(self):
        done = podman("logs", self.id, check=False)
        return done.stdout + done.stderr

    def until(self, check, seconds=30.0, what="it"):
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = check()
            except httpx.TransportError:
                found = None
            if found:
                return found
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s\n{self.log()}"
            time.sleep(0.05)

    def ready(self, program):
        self.until(lambda: podman("exec", self.id, "/" + program, "health", check=False).returncode == 0, what="ready")
        return self

    def ask(self, method, path, **rest):
        return self.http.request(method, self.doors[3000] + path, **rest)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()
        podman("rm", "--force", "--volumes", "--time", "0", self.id, check=False)
