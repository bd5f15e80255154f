"""`make run`: the lines that it prints, pasted as they are, before and after a restart."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

import pytest
from printed import Run, three_free_ports
from shop import ROOT

CATALOG = ROOT / "deploy" / "demo" / "catalog.csv"
RELEASE = ROOT / "build" / "release" / "src" / "apps"

pytestmark = pytest.mark.skipif(
    not (RELEASE / "duka").exists(),
    reason="build/release has not been built: scripts/build release",
)


@pytest.fixture
def new_run(tmp_path):
    made = []

    def make(name):
        (tmp_path / name).mkdir()
        made.append(Run(tmp_path / name))
        return made[-1]

    yield make
    for started in made:
        if started.process and started.process.poll() is None:
            os.killpg(started.process.pid, signal.SIGKILL)
            started.process.wait()


@pytest.fixture
def run(new_run):
    return new_run("run")


def shown_password(printed):
    return re.search(r"^    password +(\S+)$", printed, re.M).group(1)


@pytest.mark.parametrize("shape", ["one process", "apart"])
@pytest.mark.skipif(not CATALOG.exists(), reason="deploy/demo/catalog.csv is not there yet")
def test_the_printed_lines_work_as_they_are_before_and_after_a_restart(run, shape):
    if shape == "apart":
        run.environment |= {"SHAPE": "apart", "APART_PORT": three_free_ports(), "APART_OPS_PORT": three_free_ports()}
    first = run.start("first.log").read_text()
    run.lines("first")
    assert run.stop(signal.SIGINT) == 0, run.log.read_text()
    password = shown_password(first)
    kept = [
        path
        for path in run.place.rglob("*")
        if path.is_file() and path != run.log and password.encode() in path.read_bytes()
    ]
    assert kept == [], "the password is on no disk"
    run.start("again.log")
    run.lines("again")
    assert run.stop(signal.SIGTERM) == 0, run.log.read_text()


def test_every_first_start_makes_a_password_of_its_own(new_run):
    shown = []
    for name in ("one", "other"):
        run = new_run(name)
        shown.append(shown_password(run.start("first.log").read_text()))
        assert run.stop(signal.SIGINT) == 0, run.log.read_text()
    assert len(set(shown)) == 2 and min(map(len, shown)) >= 15, shown


# ---- the lines of the README ----

README_SHOP = "http://127.0.0.1:3000"
POSIX_TOOLS = ("cat", "cut", "date", "grep", "head", "sed", "tail", "tr")


def lines_of_the_readme():
    """The shopper's lines, as they stand there."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    found = [block for block in blocks if "curl" in block]
    assert len(found) == 1 and found[0].count(README_SHOP) == 1
    return found[0]


def answers_in(text):
    """The JSON objects that were printed one after the other."""
    found, at = [], 0
    while at < len(text.rstrip()):
        one, at = json.JSONDecoder().raw_decode(text, at)
        found.append(one)
    return found


def test_the_lines_of_the_readme_place_an_order_with_sh_and_curl_alone(new_shop, tmp_path):
    shop = new_shop().start()
    sku = shop.staff.new_sku(on_hand=50)
    for tool in ("sh", "curl", *POSIX_TOOLS):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    lines = lines_of_the_readme().replace(README_SHOP, shop.url)
    for pasted in range(2):
        done = subprocess.run(
            [tmp_path / "sh"],
            input=lines,
            env={"PATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stderr == ""
        person, order = answers_in(done.stdout)
        assert person["email"].startswith("amina-"), person
        assert order["status"] == "confirmed" and order["lines"][0]["sku"] == sku, order
    assert shop.staff.levels(sku) == (50, 2, 48), "pasted twice, ordered twice"
    shop.close()


def test_what_stops_duka_is_told_and_its_code_passed_on(run):
    host, port = run.ports["LISTEN_ADDR"].split(":")
    with socket.create_server((host, int(port))):
        done = subprocess.run(
            [str(ROOT / "scripts/run")],
            env=run.environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
    assert done.returncode not in (0, None) and "LISTEN_ADDR" in done.stdout + done.stderr
    done = subprocess.run(
        [str(ROOT / "scripts/run")],
        env={**run.environment, "DATA_DIR": "/proc/duka"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    assert done.returncode not in (0, None) and "DATA_DIR" in done.stdout + done.stderr
    assert not pathlib.Path("/proc/duka").exists()
