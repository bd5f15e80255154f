"""What a running program has given up (src/os/sandbox.h tells what, tests/unit/os/sandbox_test.c that the kernel refuses it)."""

import pathlib

import pytest
from shop import accepted


def filters(path):
    """How many seccomp filters a thread runs under; those of the test itself are inherited."""
    fields = dict(line.split(":\t", 1) for line in path.read_text().splitlines() if ":\t" in line)
    if "Seccomp_filters" not in fields:
        pytest.skip("this kernel does not tell its seccomp filters")
    return int(fields["Seccomp_filters"])


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
