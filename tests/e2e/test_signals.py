"""How the running shop takes signals beyond the one that stops it."""

import signal
import subprocess
import time

from shop import accepted, program, until


def test_a_second_signal_skips_the_drain_time(new_shop):
    shop = new_shop(DRAIN_TIME="60s").start()
    customer = shop.customer()
    began = time.monotonic()
    shop.process.send_signal(signal.SIGTERM)
    until(lambda: shop.http.get(shop.ops + "/readyz").status_code == 503, what="not ready")
    accepted(customer.get("/users/me"))
    shop.process.send_signal(signal.SIGTERM)
    assert shop.wait_end() == 0 and time.monotonic() - began < 20


def test_a_third_signal_does_no_harm(new_shop):
    shop = new_shop(DRAIN_TIME="60s").start()
    shop.process.send_signal(signal.SIGINT)
    until(lambda: shop.http.get(shop.ops + "/readyz").status_code == 503, what="not ready")
    while shop.process.poll() is None:  # the same signal twice at once is one
        shop.process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert shop.wait_end() == 0


def test_answers_while_it_drains_end_their_connections(new_shop):
    shop = new_shop(DRAIN_TIME="60s").start()
    customer = shop.customer()
    assert customer.get("/users/me").headers.get("connection") != "close"
    shop.process.send_signal(signal.SIGTERM)
    until(lambda: shop.http.get(shop.ops + "/readyz").status_code == 503, what="not ready")
    assert customer.get("/users/me").headers["connection"] == "close"
    shop.process.send_signal(signal.SIGTERM)
    assert shop.wait_end() == 0


def test_a_hangup_reads_the_routes_again(new_shop):
    shop = new_shop().start()
    customer = shop.customer()

    def told(event):
        return [entry for entry in shop.log_entries() if entry["event"] == event]

    shop.process.send_signal(signal.SIGHUP)
    until(lambda: told("routes.reloaded"), what="routes read again")
    accepted(customer.get("/users/me"))
    shop.close()


def test_the_lock_of_a_shop_that_was_killed_is_free(new_shop):
    shop = new_shop().start()
    customer = shop.customer()
    shop.process.kill()
    shop.wait_end()
    shop.start()
    accepted(customer.get("/users/me"))
    assert shop.dukactl("ready").stdout == "ready\n"
    shop.close()


def test_health_is_told_by_the_program_itself(new_shop):
    shop = new_shop().start()

    def health():
        command = [str(program("duka")), "health", "--data-dir", str(shop.data)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    asked = health()
    if shop.apart:
        assert asked.returncode == 1  # each has a socket of its own
        return
    assert (asked.returncode, asked.stdout) == (0, "ready\n")
    shop.stop()
    asked = health()
    assert asked.returncode == 1 and "duka: " in asked.stderr


def test_a_file_that_changes_is_read_again_without_a_signal(new_shop, tmp_path):
    """As a mounted ConfigMap changes: a link to another folder, all at once. One that is refused leaves what was there."""

    def mount(version, text):
        (tmp_path / version).mkdir()
        (tmp_path / version / "routes.yaml").write_text(text)
        (tmp_path / "next").symlink_to(version)
        (tmp_path / "next").rename(tmp_path / "mounted")

    def told(event):
        return [entry for entry in shop.log_entries() if entry["event"] == event]

    mount("one", "- {path: /users, upstream: 'service:users'}\n")
    shop = new_shop(ROUTES_FILE=tmp_path / "mounted" / "routes.yaml", RELOAD_INTERVAL="100ms").start()
    customer = shop.customer()
    assert customer.get("/products").status_code == 404 and not told("routes.reloaded")
    mount("two", "- {path: /users, upstream: 'service:users'}\n- {path: /products, upstream: 'service:products'}\n")
    until(lambda: customer.get("/products").status_code == 200, what="the new route")
    mount("three", "- {path: nowhere}\n")
    until(lambda: told("routes.refused"), what="the refusal")
    accepted(customer.get("/products"))
    assert len(told("routes.reloaded")) == 1 and shop.stop() == 0


def test_a_program_migrates_its_own_database(tmp_path):
    """What the Job of a cluster runs: once something to do, then nothing; where it fails it says with what."""

    def migrate(**settings):
        command = [str(program("duka-users")), "migrate", "--data-dir", str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=settings)

    first, second = migrate(), migrate()
    assert first.returncode == 0 and int(first.stdout.split()[1]) > 0, first
    assert (second.returncode, second.stdout) == (0, "users 0 migrations applied\n")
    refused = migrate(DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert refused.returncode == 1 and refused.stderr.startswith("duka-users: "), refused
    assert len(refused.stderr.splitlines()) == 1
