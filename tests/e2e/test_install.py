"""What make install puts where, and the backup that the timer makes, on a shop that runs. scripts/test-package shows the
same in a Debian that boots."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest
from shop import ROOT, accepted, one_process, program

BACKUP = ROOT / "deploy/systemd/duka-backup"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    tree = tmp_path_factory.mktemp("install")
    install(tree)
    return tree


def install(tree, *words):
    done = subprocess.run(
        [str(ROOT / "scripts/install"), *words],
        env={**os.environ, "DESTDIR": str(tree), "PREFIX": "/usr"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_of(tree):
    return {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}


def test_programs_pages_and_units_are_installed_where_a_system_looks_for_them(installed):
    for name in ("duka", "duka-users", "duka-products", "duka-orders", "duka-gateway", "dukactl"):
        told = subprocess.run([installed / "usr/bin" / name, "--version"], capture_output=True, text=True, check=True)
        assert told.stdout.startswith(name + " ")
    assert {
        "etc/duka/duka.yaml",
        "usr/lib/systemd/system/duka.service",
        "usr/lib/systemd/system/duka-backup.timer",
        "usr/lib/sysusers.d/duka.conf",
        "usr/lib/tmpfiles.d/duka.conf",
        "usr/share/man/man1/dukactl.1",
        "usr/share/bash-completion/completions/dukactl",
    } <= files_of(installed)
    units = "".join(path.read_text() for path in (installed / "usr/lib/systemd/system").iterdir())
    assert "@" not in re.sub(r"^SystemCallFilter=.*|^#.*", "", units, flags=re.M), "a place was not filled in"
    for path in re.findall(r"/usr/(?:bin|libexec)[\w/-]*", units):
        assert os.access(installed / path[1:], os.X_OK), path


def test_systemd_understands_the_units(installed):
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze here")
    folder = installed / "usr/lib/systemd/system"
    for path in folder.glob("duka*"):
        path.write_text(path.read_text().replace("=/usr/", f"={installed}/usr/"))
    units = [str(folder / name) for name in ("duka.service", "duka-backup.service", "duka-backup.timer")]

    def verify(*names):
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True, timeout=60
        )
        return [line for line in done.stderr.splitlines() if "duka" in line]

    assert verify(*units) == []
    broken = folder / "duka-broken.service"
    broken.write_text((folder / "duka.service").read_text().replace("ProtectSystem=strict", "ProtectSystem=tight"))
    assert verify(str(broken)) != []
    broken.unlink()


def test_settings_are_kept_by_an_install_that_follows_and_by_a_removal(tmp_path):
    install(tmp_path)
    settings = tmp_path / "etc/duka/duka.yaml"
    settings.write_text("listen_addr: 127.0.0.1:4000\n")
    install(tmp_path)
    assert settings.read_text() == "listen_addr: 127.0.0.1:4000\n"
    assert "stay" in install(tmp_path, "--remove")
    assert files_of(tmp_path) == {"etc/duka/duka.yaml"}


def test_the_settings_that_are_installed_are_settings(installed, tmp_path):
    commented = (installed / "etc/duka/duka.yaml").read_text()
    everything = tmp_path / "all.yaml"
    everything.write_text(re.sub(r"^#(?=\w+: )", "", commented, flags=re.M))
    for path in (installed / "etc/duka/duka.yaml", everything):
        told = subprocess.run(
            [program("dukactl"), "--config", path, "config"], env={}, capture_output=True, text=True, check=False
        )
        assert told.returncode == 0, told.stderr
        assert 'data_dir: "/var/lib/duka"' in told.stdout
    assert "tls_cert_file" in everything.read_text()


# ---- the backup of the timer ----


def backup(shop, folder, **settings):
    return subprocess.run(
        [str(BACKUP)],
        env={
            **shop.environment(),
            "BACKUP_DIR": str(folder),
            "DUKACTL": str(program("dukactl")),
            "DUKA_CONFIG": "",
            **settings,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )


@one_process("apart, each service is backed up by itself: test_apart.py")
def test_a_backup_counts_once_it_was_restored_for_a_trial_and_the_oldest_go(new_shop, tmp_path):
    shop = new_shop().start()
    product = shop.staff.create_product()
    folder = tmp_path / "backups"
    folder.mkdir()
    for day in (1, 2, 3):
        (folder / f"duka-2020010{day}T000000Z.tar").write_text("old")
    (folder / "somebody-elses.tar").write_text("old")

    done = backup(shop, folder, BACKUPS_KEPT="2")
    assert done.returncode == 0, done.stdout + done.stderr
    names = sorted(os.listdir(folder))
    assert names[0] == "duka-20200103T000000Z.tar" and names[2:] == ["somebody-elses.tar"] and len(names) == 3

    again = new_shop()
    again.dukactl("restore", str(folder / names[1]))
    again.start()
    assert accepted(again.anonymous().get(f"/products/{product['id']}"))["id"] == product["id"]


@one_process("apart, each service is backed up by itself: test_apart.py")
def test_what_cannot_be_restored_is_no_backup(new_shop, tmp_path):
    shop = new_shop().start()
    folder = tmp_path / "backups"
    folder.mkdir()
    spoils = tmp_path / "dukactl"
    spoils.write_text(
        f'#!/bin/sh\n{program("dukactl")} "$@" || exit $?\n'
        '[ "$1" != backup ] || printf spoilt | dd of="$2" bs=1 seek=9000 conv=notrunc 2>/dev/null\n'
    )
    spoils.chmod(0o755)
    done = backup(shop, folder, DUKACTL=str(spoils))
    assert done.returncode == 1 and "backup" in done.stderr, done.stderr
    assert os.listdir(folder) == []
    assert backup(shop, folder, BACKUPS_KEPT="none").returncode == 2
    assert backup(shop, folder).returncode == 0 and len(os.listdir(folder)) == 1


def test_the_documents_name_blocks_that_are_run():
    text = (ROOT / "docs/one-machine.md").read_text()
    script = (ROOT / "scripts/test-package").read_text()
    names = re.findall(r"^```sh (\S+)$", text, re.M)
    assert names and text.count("```") == 2 * len(names), "a block without a name is not run"
    for name in names:
        assert re.search(rf"\b{name}\b", script), name
    assert pathlib.Path(BACKUP).stat().st_mode & 0o111
