"""What a running program has given up: src/os/sandbox.h and src/os/landlock.h tell what, their tests in tests/unit/os that the
kernel refuses it. Here foreign code comes to run in each of the programs as they are released (tests/lib/planted_act.c)."""

import contextlib
import errno
import json
import os
import pathlib
import signal
import socket
import subprocess

import httpx
import pytest
from shop import ROOT, accepted, free_port, until

RELEASE = ROOT / "build/release/src/apps"
FOREIGN = ROOT / "build/asan/tests/planted-act.so"
PROGRAMS = ("duka", "duka-users", "duka-products", "duka-orders", "duka-gateway")


def fields_of(path):
    return dict(line.split(":\t", 1) for line in path.read_text().splitlines() if ":\t" in line)


def filters(path):
    """How many seccomp filters a thread runs under; those of the test itself are inherited."""
    if "Seccomp_filters" not in fields_of(path):
        pytest.skip("this kernel does not tell its seccomp filters")
    return int(fields_of(path)["Seccomp_filters"])


def own_filters(shop):
    outside = filters(pathlib.Path("/proc/self/status"))
    return [filters(path) - outside for path in pathlib.Path(f"/proc/{shop.process.pid}/task").glob("*/status")]


def test_every_thread_is_in_the_sandbox_and_the_shop_works(new_shop):
    shop = new_shop().start()
    accepted(shop.customer().get("/users/me"))
    told = own_filters(shop)
    assert len(told) > 1 and set(told) == {1}


def test_a_setting_leaves_it_out(new_shop):
    shop = new_shop(SANDBOX="false").start()
    assert set(own_filters(shop)) == {0}


def test_the_log_tells_the_kernel_and_the_ports(new_shop):
    shop = new_shop(SANDBOX_PORTS="8081").start()
    told = [line for line in shop.log_entries() if line["event"].startswith("sandbox.")]
    if told[0]["event"] == "sandbox.files_open":
        pytest.skip("this kernel has no Landlock")
    assert [line["event"] for line in told] == ["sandbox.entered"] * len(shop.ops_doors())  # each of its programs
    for line in told:
        assert {"8081", "53"} <= set(line["connects"].split(", "))
    assert shop.url.rsplit(":", 1)[1] in told[-1]["listens"].split(", ")  # that with the public door starts last


def test_a_list_of_ports_that_is_none_stops_the_start(new_shop):
    with pytest.raises(AssertionError, match='SANDBOX_PORTS has "80800"'):
        new_shop(SANDBOX_PORTS="443,80800").start()


# ---- foreign code ----


class Program:
    """One of the five, as it is released, with foreign code in it."""

    def __init__(self, name, place, acts, **settings):
        self.name, self.data, self.answers = name, place / name, place / (name + ".answers")
        self.ops, self.listen = free_port(), free_port()
        self.log = place / (name + ".log")
        clean = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG")}
        environment = {**clean, "DATA_DIR": str(self.data), "LISTEN_ADDR": f"127.0.0.1:{self.listen}",
                       "OPS_ADDR": f"127.0.0.1:{self.ops}", "INNER_KEY": "k" * 40, "BUS_PASSWORD": "k" * 40,
                       "LOG_FORMAT": "json", "DRAIN_TIME": "0", "LD_PRELOAD": str(FOREIGN),
                       "PLANTED_ACTS": " ".join(acts), "PLANTED_ANSWERS": str(self.answers), **settings}
        if name != "duka":
            environment.setdefault("BUS_URL", "direct:")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([RELEASE / name], env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def wait_alive(self):
        def answers():
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"http://127.0.0.1:{self.ops}/livez").status_code == 200

        until(answers, 20, "alive")

    def act(self):
        """Has the foreign code act; gives the errno of each act, by name, 0 where it was done."""
        self.process.send_signal(signal.SIGUSR1)
        until(lambda: self.answers.read_text().endswith("end\n"), 10, "acted")
        return {line.rsplit(" ", 1)[0]: int(line.rsplit(" ", 1)[1]) for line in self.answers.read_text().splitlines()[:-1]}

    def entries(self):
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def end(self):
        self.process.terminate()
        assert self.process.wait(20) == 0, self.log.read_text()


def listener():
    made = socket.create_server(("127.0.0.1", 0))
    return made, made.getsockname()[1]


@pytest.fixture
def scene(tmp_path):
    """A neighbour's data; a port that a setting names, and one that none does."""
    if not FOREIGN.exists() or not (RELEASE / "duka").exists():
        pytest.skip("build/release and build/asan have not been built")
    neighbour = tmp_path / "neighbour"
    neighbour.mkdir(mode=0o700)
    (neighbour / "users.db").write_text("of somebody else")
    (named, port), (other, other_port) = listener(), listener()
    with named, other:
        yield tmp_path, neighbour / "users.db", port, other_port


def tried(place, name, file, port, other_port, **settings):
    own = place / name / "duka.lock"
    acts = [f"read:{file}", f"write:{file.parent}/new", f"connect:{other_port}", "exec:/nowhere/sh", "fork",
            f"signal:{os.getpid()}", f"read:{own}", f"write:{own.parent}/new", f"connect:{port}", "read:/etc/hosts"]
    urls = {key: f"http://127.0.0.1:{port}" for key in ("USERS_URL", "PRODUCTS_URL", "ORDERS_URL")}
    program = Program(name, place, acts, **urls, **settings)
    try:
        program.wait_alive()
        answers = list(program.act().values())
        program.end()
    finally:
        program.process.kill()
    return answers[:6], answers[6:], program.entries()


@pytest.mark.parametrize("name", PROGRAMS)
def test_foreign_code_opens_no_files_of_others_runs_nothing_and_connects_nowhere(scene, name):
    place, file, port, other_port = scene
    refused, allowed, told = tried(place, name, file, port, other_port)
    assert allowed == [0, 0, 0, 0], "what a shop does itself"
    if any(line["event"] == "sandbox.files_open" for line in told):
        pytest.skip("this kernel has no Landlock")
    guarded = next(line["landlock"] for line in told if line["event"] == "sandbox.entered") >= 4
    assert refused == [errno.EACCES, errno.EACCES, errno.EACCES if guarded else 0, errno.EPERM, errno.EPERM, errno.EPERM]
    assert not (file.parent / "new").exists()
    names = {line["call"] for line in told if line["event"] == "sandbox.refused"}
    assert names == {"execve", "clone", "kill"}, "the log says what was tried"


def test_without_the_sandbox_all_of_it_works(scene):
    """The planted code can do what it is refused: else its refusal would show nothing."""
    place, file, port, other_port = scene
    refused, allowed, told = tried(place, "duka-orders", file, port, other_port, SANDBOX="false")
    assert refused == [0, 0, 0, errno.ENOENT, 0, 0] and allowed == [0, 0, 0, 0]
    assert not any(line["event"].startswith("sandbox.") for line in told)
