"""`make postgresql`: the databases that it makes and the settings that it writes, on a real server, in a folder with a name that a shell
could misread."""

import os
import shutil
import subprocess

import postgresql
import pytest
from shop import ROOT, Shop, accepted, program

pytestmark = pytest.mark.skipif(bool(postgresql.missing()), reason=str(postgresql.missing()))


@pytest.fixture
def server():
    with postgresql.Server(auth="scram-sha-256") as running:
        yield running


@pytest.fixture
def checkout(tmp_path):
    """The scripts of the project in a folder with a name that a shell could misread, beside what was built here."""
    folder = tmp_path / "amina's shop"
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("bootstrap", "build"):  # it was done
        (folder / "scripts" / name).write_text("#!/bin/sh\n")
    (folder / "build/release/src").mkdir(parents=True)
    (folder / "build/release/src/apps").symlink_to(program("duka").parent)
    return folder


def make_postgresql(folder, url):
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(["make", "postgresql", f"URL={url}"], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, check=False)


def test_it_writes_what_a_shop_starts_with(server, checkout, tmp_path):
    url = server.url(password="superuser") + "?application_name=amina's"
    done = make_postgresql(checkout, url)
    assert done.returncode == 0, done.stdout + done.stderr
    read = subprocess.run(["sh", "-c", "set -a; . ./postgresql.env; env -0"], cwd=checkout, capture_output=True, text=True, check=True)
    told = dict(line.split("=", 1) for line in read.stdout.split("\0") if line.startswith(("DATABASE_URL_", "KEYS_DIR")))
    assert told["KEYS_DIR"] == f"{checkout}/postgresql.keys"
    assert told["DATABASE_URL_ORDERS"].endswith(f"@127.0.0.1:{server.port}/duka_orders?application_name=amina's")
    assert (checkout / "postgresql.env").stat().st_mode & 0o077 == 0
    with Shop(tmp_path / "data", **told) as shop:
        assert accepted(shop.customer().place(shop.staff.new_sku()), 201)["status"] == "confirmed"
    again = make_postgresql(checkout, url)
    assert again.returncode != 0 and "postgresql.env is there already" in again.stderr
    assert server.psql("select count(*) from pg_stat_activity where datname like 'duka_%' and usename = 'postgres'") == "0\n"


@pytest.mark.parametrize("url, words", [
    ("", "usage: make postgresql URL="),
    ("mysql://root@localhost/mysql", "usage: make postgresql URL="),
    ("postgresql://localhost/postgres?user=postgres", "after its '?'"),
    ("postgresql://localhost/postgres?sslmode=require&password=x", "after its '?'"),
])
def test_it_refuses_what_it_would_write_wrong(checkout, url, words):
    done = make_postgresql(checkout, url)
    assert done.returncode != 0 and words in done.stderr, done.stdout + done.stderr
    assert not list(checkout.glob("postgresql.*"))
