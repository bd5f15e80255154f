"""A PostgreSQL that the shop cannot work with: each is told in one sentence that names the setting and what to do."""

import concurrent.futures
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

import pytest
from certificates import Authority
from postgresql import BINARIES, Server, as_postgres, free_port
from shop import Shop, accepted, free_port as unused_port, program, refused as refused_call, until

PASSWORD = "corr3ct-h0rse"


@pytest.fixture(scope="module")
def urls(postgres, tmp_path_factory):
    """Databases that are ready for a shop."""
    made = postgres.prepare("setup_", password=PASSWORD)
    Shop(tmp_path_factory.mktemp("migrate") / "data", **made).dukactl("migrate")
    return made


def refused(tmp_path, settings, words="duka"):
    """What a shop with these settings says when it does not start."""
    shop = Shop(tmp_path / "data", **settings)
    done = subprocess.run([str(program("duka"))], env=shop.environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("duka: ")]
    assert len(lines) == 1, done.stderr
    assert PASSWORD not in lines[0], "a password is shown"
    return lines[0]


def with_orders(urls, url):
    return {**urls, "DATABASE_URL_ORDERS": url}


def test_a_shop_starts_where_all_is_well(urls, tmp_path):
    with Shop(tmp_path / "data", **urls) as shop:
        assert shop.http.get(shop.url + "/products").status_code == 200


def test_a_server_that_does_not_answer(urls, tmp_path):
    said = refused(tmp_path, with_orders(urls, f"postgresql://shop:{PASSWORD}@127.0.0.1:{unused_port()}/orders"))
    assert "DATABASE_URL_ORDERS" in said and "refused" in said


def test_a_wrong_password(urls, tmp_path):
    said = refused(tmp_path, with_orders(urls, urls["DATABASE_URL_ORDERS"].replace(PASSWORD, "wrong")))
    assert "DATABASE_URL_ORDERS" in said and "password authentication failed" in said and "wrong@" not in said


def test_a_database_that_is_not_there(urls, tmp_path):
    said = refused(tmp_path, with_orders(urls, urls["DATABASE_URL_ORDERS"] + "_none"))
    assert "DATABASE_URL_ORDERS" in said and "does not exist" in said


def test_a_url_that_cannot_be_read(urls, tmp_path):
    said = refused(tmp_path, with_orders(urls, urls["DATABASE_URL_ORDERS"] + "?sslmod=require"))
    assert "DATABASE_URL_ORDERS" in said and "sslmod" in said


def test_tls_that_the_server_has_not(urls, tmp_path):
    said = refused(tmp_path, with_orders(urls, urls["DATABASE_URL_ORDERS"] + "?sslmode=require"))
    assert "DATABASE_URL_ORDERS" in said and "SSL" in said


def test_a_database_that_was_not_migrated(postgres, urls, tmp_path):
    made = postgres.prepare("bare_", password=PASSWORD)
    said = refused(tmp_path, with_orders(urls, made["DATABASE_URL_ORDERS"]))
    assert "DATABASE_URL_ORDERS" in said and "dukactl migrate" in said


def test_a_role_without_the_rights(postgres, urls, tmp_path):
    postgres.psql(f"create role duka_weak login password '{PASSWORD}'; grant connect on database duka_setup_orders to duka_weak")
    said = refused(tmp_path, with_orders(urls, postgres.url("duka_weak", "duka_setup_orders", password=PASSWORD)))
    assert "DATABASE_URL_ORDERS" in said and "permission denied" in said and "rights" in said


def test_keys_that_each_replica_would_make_for_itself(urls, tmp_path):
    shop = Shop(tmp_path / "data", **urls)
    folder = shop.environment()["KEYS_DIR"]
    for program_name in ("duka", "duka-users"):
        where = {**shop.environment(), "KEYS_DIR": "", "DATABASE_URL": urls["DATABASE_URL_USERS"] if program_name == "duka-users" else ""}
        done = subprocess.run([str(program(program_name))], env=where, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and f"{program_name}: KEYS_DIR is not set" in done.stderr, done.stderr
        assert PASSWORD not in done.stderr
    # What it says to do is enough; and one service of a shop whose users lie elsewhere needs no keys.
    line = re.search(r"Its first key: (.*)$", done.stderr.strip().splitlines()[-1])[1].replace("DIR", str(tmp_path / "made"))
    subprocess.run(["sh", "-c", line], check=True)
    with Shop(tmp_path / "data", **urls, KEYS_DIR=tmp_path / "made") as shop:
        assert shop.customer().get("/users/me").status_code == 200
    assert folder != str(tmp_path / "made")


def test_replicas_that_share_their_keys_know_each_others_tokens(urls, tmp_path):
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "1").write_text("A" * 43)
    with Shop(tmp_path / "a", KEYS_DIR=keys, **urls) as one, Shop(tmp_path / "b", KEYS_DIR=keys, **urls) as other:
        assert one.customer().at(other.url).get("/users/me").status_code == 200


def test_of_replicas_that_start_together_one_makes_the_first_admin(postgres, tmp_path):
    made = postgres.prepare("admin_", password=PASSWORD)
    Shop(tmp_path / "migrate", **made).dukactl("migrate")
    keys, word = tmp_path / "keys", "the first word, spoken once"
    keys.mkdir()
    (keys / "1").write_text("C" * 42 + "A")
    first = {"BOOTSTRAP_ADMIN_EMAIL": "root@example.com", "BOOTSTRAP_ADMIN_PASSWORD": word}
    shops = [Shop(tmp_path / f"{i}", KEYS_DIR=keys, **first, **made) for i in range(3)]
    try:
        with concurrent.futures.ThreadPoolExecutor(len(shops)) as pool:
            list(pool.map(Shop.start, shops))
        made_by = [e for shop in shops for e in shop.log_entries() if e["event"] == "admin.made"]
        assert len(made_by) == 1, made_by
        for shop in shops:
            tokens = accepted(shop.anonymous().post("/users/login", json={"email": first["BOOTSTRAP_ADMIN_EMAIL"], "password": word}))
            everyone = accepted(shop.anonymous().get("/users", headers={"Authorization": "Bearer " + tokens["access_token"]}))["items"]
            assert [one["roles"] for one in everyone] == [["admin"]]
            assert shop.faults() == [] and word not in shop.log()
    finally:
        for shop in shops:
            shop.kill()


def test_what_one_replica_changes_the_other_shows_within_a_second_and_never_sells_by_what_it_remembers(urls, tmp_path):
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "1").write_text("B" * 42 + "A")
    with Shop(tmp_path / "a", KEYS_DIR=keys, **urls) as one, Shop(tmp_path / "b", KEYS_DIR=keys, **urls) as other:
        product = one.staff.create_product(on_hand=2, price=1000)
        path, sku, there = f"/products/{product['id']}", product["variants"][0]["sku"], other.anonymous()
        shown = accepted(there.get(path))
        assert shown["variants"][0]["price"]["amount"] == 1000
        etag = one.staff.get(path).headers["etag"]
        # The title of the product, the price of its variant, all of it hidden: each is seen at the other within a second of its answer.
        for change, seen in (({"title": "Changed"}, lambda a: a.json().get("title") == "Changed"),
                             ({"status": "draft"}, lambda a: a.status_code == 404),
                             ({"status": "active"}, lambda a: a.status_code == 200)):
            answer = one.staff.patch(path, json=change, headers={"If-Match": etag})
            etag = accepted(answer) and answer.headers["etag"]
            began = time.monotonic()
            until(lambda: (lambda a: seen(a))(there.get(path)), 10, f"{change} at the other replica")
            assert time.monotonic() - began < 3.0, "a second, and what a busy machine adds"
        # Stock is taken at the one; the other, which has just shown it, does not sell it again.
        assert accepted(there.get(path))["variants"]
        accepted(one.customer().place([(sku, 2)]), 201)
        refused_order = other.customer().place(sku)
        assert refused_order.status_code == 409 and refused_order.json()["code"] == "stock.insufficient", refused_order.text


def test_dukactl_migrate_tells_the_same(postgres, urls, tmp_path):
    wrong = with_orders(urls, urls["DATABASE_URL_ORDERS"].replace(PASSWORD, "wrong"))
    done = Shop(tmp_path / "data", **wrong).dukactl("migrate", check=False)
    assert done.returncode == 1 and "DATABASE_URL_ORDERS" in done.stderr and "password authentication failed" in done.stderr


def test_no_password_is_shown_in_the_settings(urls, tmp_path):
    shown = Shop(tmp_path / "data", **urls).dukactl("config").stdout
    assert "database_url_orders" in shown and PASSWORD + "@" not in shown


# ---- A revocation is seen in the order of its position ----


@pytest.mark.whole
def test_a_session_that_is_ended_for_a_newer_one_is_revoked_in_line_with_the_others(postgres, urls, tmp_path):
    """Who adds a revocation holds a lock until its commit, or whoever follows them by position could pass one over."""
    with Shop(tmp_path / "data", **urls) as shop:
        many, few = shop.customer(), shop.customer()
        others = [many.at(shop.url).log_in() for _ in range(99)]
        assert accepted(many.get("/users/me"))["id"] == many.id, "its hundred sessions"
        holder = subprocess.Popen(
            [str(BINARIES / "psql"), "-XAtq", postgres.url(database="duka_setup_users", password="superuser")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            print("begin; select 'held' from pg_advisory_xact_lock(7202);", file=holder.stdin, flush=True)
            assert holder.stdout.readline() == "held\n"
            few.log_in()  # ends none, so it waits for nobody
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                newest = pool.submit(many.at(shop.url).log_in)
                waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
                until(lambda: postgres.psql(waiting) != "0\n", 10, "it to wait for its place")
                assert not newest.done()
                print("commit;", file=holder.stdin, flush=True)
                accepted(newest.result(20).get("/users/me"))
        finally:
            holder.kill()
        until(lambda: many.get("/users/me").status_code == 401, 5, "the oldest to be ended")
        accepted(others[0].get("/users/me"))


# ---- TLS ----


@pytest.fixture(scope="module")
def secure(postgres, tmp_path_factory):
    """A server that talks TLS (asked for after `postgres`, which says why there is none), its authority, databases that are ready."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority(folder)
    with Server(tls=authority.make("database", dns=("database.shop",)), auth="scram-sha-256") as server:
        made = server.prepare("tls_", password=PASSWORD)
        Shop(tmp_path_factory.mktemp("tls") / "data", **made).dukactl("migrate")
        yield server, authority, made


def over_tls(urls, authority, host="127.0.0.1"):
    return {name: url.replace("127.0.0.1", host) + f"?sslmode=verify-full&sslrootcert={authority.path}" for name, url in urls.items()}


def test_a_server_whose_certificate_is_right_is_talked_to_over_tls(secure, tmp_path):
    server, authority, urls = secure
    with Shop(tmp_path / "data", **over_tls(urls, authority)) as shop:
        accepted(shop.customer().place(shop.staff.new_sku()), 201)
        seen = server.rows("(select ssl, count(*) from pg_stat_ssl join pg_stat_activity using (pid) "
                           "where usename like 'duka_tls_%' group by ssl)", "postgres")
        assert [row["ssl"] for row in seen] == [True] and seen[0]["count"] > 0, seen


def test_a_host_that_the_certificate_does_not_name(secure, tmp_path):
    _, authority, urls = secure
    said = refused(tmp_path, over_tls(urls, authority, host="localhost"))
    assert "DATABASE_URL_" in said and "does not match host name" in said and "localhost" in said, said


def test_an_authority_that_did_not_sign_it(secure, tmp_path):
    _, _, urls = secure
    (tmp_path / "other").mkdir()
    said = refused(tmp_path, over_tls(urls, Authority(tmp_path / "other", "stranger")))
    assert "DATABASE_URL_" in said and "certificate verify failed" in said and "sslrootcert" in said, said


def test_authorities_that_cannot_be_read(secure, tmp_path):
    _, authority, urls = secure
    said = refused(tmp_path, {name: url + ".none" for name, url in over_tls(urls, authority).items()})
    assert "DATABASE_URL_" in said and "ca.pem.none" in said and "does not exist" in said, said


def test_a_certificate_that_has_expired_at_the_start_and_on_a_running_shop(secure, tmp_path):
    server, authority, urls = secure
    good, expired = authority.make("good"), authority.make("expired", days=(-10, -1))

    def show(pair, wanted):
        server.show(*pair)
        server.send(signal.SIGHUP)

        def seen():
            done = subprocess.run([str(BINARIES / "psql"), "-Xqc", "select 1", over_tls(urls, authority)["DATABASE_URL_ORDERS"]],
                                  capture_output=True, text=True, check=False)
            return wanted in done.stderr if wanted else done.returncode == 0
        until(seen, 20, "the certificate is shown")

    shop = Shop(tmp_path / "data", **over_tls(urls, authority)).start()
    try:
        sku = shop.staff.new_sku(on_hand=3)
        show(expired, "certificate verify failed")
        said = refused(tmp_path / "second", over_tls(urls, authority))
        assert "DATABASE_URL_" in said and "certificate verify failed" in said and "has expired" in said, said
        # What runs goes on with the connections that it has, and after they are cut once the certificate is renewed.
        buyer = shop.customer()
        until(lambda: buyer.place(sku).status_code == 201, 20, "it goes on")  # one that wants a connection more hears 503
        server.psql("select pg_terminate_backend(pid) from pg_stat_activity where usename like 'duka_tls_%'")
        refused_call(until(lambda: not (answer := buyer.get("/orders")).is_success and answer, 10, "a call is refused"), 503, "db.unavailable")
        show(good, "")
        until(lambda: buyer.place(sku, wait=5).status_code == 201, 30, "the shop sells again")
        assert shop.stop() == 0
        assert all("db.unavailable" in line for line in shop.faults()), shop.faults()
    finally:
        shop.kill()


# ---- a pool between ----


@pytest.fixture(scope="module", params=["transaction", "session"])
def pool(request, postgres, urls):
    """pgbouncer before the server; gives its port and how it pools."""
    if not shutil.which("pgbouncer"):
        pytest.skip("pgbouncer is not installed")
    place, port = pathlib.Path(tempfile.mkdtemp(prefix="duka-pool-")), free_port()
    os.chmod(place, 0o755)
    (place / "users").write_text("".join(f'"duka_setup_{name}" "{PASSWORD}"\n' for name in ("users", "products", "orders")))
    (place / "ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={postgres.port}\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\n"
        f"auth_type=plain\nauth_file={place}/users\npool_mode={request.param}\ndefault_pool_size=20\nunix_socket_dir=\n"
        "ignore_startup_parameters=extra_float_digits\n")
    with open(place / "log", "wb") as log:
        process = subprocess.Popen(as_postgres(["pgbouncer", str(place / "ini")]), stdout=log, stderr=log, cwd="/")
    time.sleep(1.0)
    assert process.poll() is None, (place / "log").read_text()
    yield request.param, {name: url.replace(f":{postgres.port}/", f":{port}/") for name, url in urls.items()}
    process.terminate()
    process.wait()
    shutil.rmtree(place)


def test_a_pool_by_the_transaction_is_refused_and_one_by_the_session_is_not(pool, tmp_path):
    mode, urls = pool
    if mode == "transaction":
        said = refused(tmp_path, urls)
        assert "DATABASE_URL_" in said and "by the transaction" in said and "session" in said
    else:
        with Shop(tmp_path / "data", **urls) as shop:
            assert shop.staff.create_product(variants=[{"sku": "cup", "price": {"amount": 100, "currency": "EUR"}, "on_hand": 3}])
