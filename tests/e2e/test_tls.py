"""TLS at the public door, seen by OpenSSL's client, curl and httpx."""

import signal
import socket
import ssl
import subprocess

import httpx
import pytest

from certificates import Authority
from shop import accepted, until


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def files(authority):
    certificate, key = authority.make("shop")
    return {"TLS_CERT_FILE": certificate, "TLS_KEY_FILE": key}


def over_tls(shop, authority, certificate=None):
    """The shop's people come by TLS from now on."""
    context = ssl.create_default_context(cafile=str(authority.path))
    if certificate:
        context.load_cert_chain(*certificate)
    shop.http = httpx.Client(verify=context, trust_env=False, timeout=30.0)
    shop.url = "https://" + shop.addresses["listen"]
    return shop


@pytest.fixture
def tls_shop(new_shop, authority, files):
    shop = new_shop(**files).start()
    return over_tls(shop, authority)


def run(*words, stdin=""):
    return subprocess.run(
        [str(word) for word in words], input=stdin, text=True, capture_output=True, timeout=30
    )


def s_client(shop, authority, *words, stdin=""):
    address = shop.addresses["listen"]
    return run(
        "openssl", "s_client", "-connect", address, "-CAfile", authority.path,
        "-verify_return_error", "-servername", "localhost", *words, stdin=stdin,
    )  # fmt: skip


def test_the_shop_is_the_same_over_tls(tls_shop, authority):
    customer = tls_shop.customer()
    staff = tls_shop.staff
    sku = staff.new_sku(on_hand=5)
    order = accepted(customer.place(sku), 201)
    assert customer.order(order["id"])["status"] in ("confirmed", "completed")
    assert len(customer.get("/openapi.json").content) > 100_000


def test_curl_and_openssl_agree_on_version_and_protocol(tls_shop, authority):
    said = run(
        "curl", "-sS", "--http1.1", "--cacert", authority.path, "-w", "\n%{http_code} %{ssl_verify_result}",
        tls_shop.url + "/products",
    )  # fmt: skip
    assert said.stdout.splitlines()[-1] == "200 0", said.stderr

    said = s_client(tls_shop, authority, "-alpn", "http/1.1", "-tls1_3")
    assert "Verify return code: 0 (ok)" in said.stdout, said.stdout + said.stderr
    assert "TLSv1.3" in said.stdout and "ALPN protocol: http/1.1" in said.stdout
    said = s_client(tls_shop, authority, "-tls1_2")
    assert "Verify return code: 0 (ok)" in said.stdout and "TLSv1.2" in said.stdout
    assert "No ALPN negotiated" in said.stdout
    said = s_client(tls_shop, authority, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
    assert said.returncode != 0
    said = s_client(tls_shop, authority, "-alpn", "ftp")
    assert "no application protocol" in said.stderr


def test_a_session_is_resumed(tls_shop, authority, tmp_path):
    kept = tmp_path / "session"
    ask = "GET /products HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    first = s_client(tls_shop, authority, "-sess_out", kept, "-ign_eof", stdin=ask)
    assert "200 OK" in first.stdout and "\nNew, " in first.stdout
    again = s_client(tls_shop, authority, "-sess_in", kept, "-ign_eof", stdin=ask)
    assert "200 OK" in again.stdout and "\nReused, " in again.stdout


def test_http_in_clear_is_told_nothing_and_others_go_on(tls_shop):
    host, port = tls_shop.addresses["listen"].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        answer = plain.recv(100)
        assert not answer.startswith(b"HTTP/")
    accepted(tls_shop.anonymous().get("/products"))
    until(lambda: any(e["event"] == "tls.refused" and e["reason"] == "http request"
                      for e in tls_shop.log_entries()), what="the log of it")  # fmt: skip


def test_a_peer_that_never_shakes_hands_is_closed(new_shop, authority, files):
    shop = new_shop(**files, HEAD_TIMEOUT="500ms").start()
    host, port = shop.addresses["listen"].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as silent:
        assert silent.recv(1) == b""
    with socket.create_connection((host, int(port)), timeout=10) as slow:
        slow.sendall(b"\x16\x03\x01\x02\x00")
        assert slow.recv(1) == b""
    accepted(over_tls(shop, authority).anonymous().get("/products"))


# ---- Reload ----


def serial_shown(shop, authority):
    shown = s_client(shop, authority).stdout
    begin = shown.index("-----BEGIN CERTIFICATE-----")
    pem = shown[begin : shown.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"
    return run("openssl", "x509", "-noout", "-serial", stdin=pem).stdout


def test_a_new_certificate_is_used_after_sighup_and_no_connection_ends(new_shop, tmp_path):
    authority = Authority(tmp_path)
    certificate, key = authority.make("mine")
    shop = over_tls(new_shop(TLS_CERT_FILE=certificate, TLS_KEY_FILE=key).start(), authority)
    customer = shop.customer()
    before = serial_shown(shop, authority)
    connection = ssl.create_default_context(cafile=str(authority.path)).wrap_socket(
        socket.create_connection(shop.addresses["listen"].split(":")), server_hostname="localhost"
    )
    ask = b"GET /products HTTP/1.1\r\nHost: localhost\r\n\r\n"
    connection.sendall(ask)
    assert connection.recv(65536).startswith(b"HTTP/1.1 200")

    authority.make("mine")  # writes the same files again

    def told(event):
        return [entry for entry in shop.log_entries() if entry["event"] == event]

    shop.process.send_signal(signal.SIGHUP)
    until(lambda: told("tls.files_reloaded"), what="the certificate read again")
    assert serial_shown(shop, authority) != before
    connection.sendall(ask)
    assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    connection.close()

    key.write_text("no key")
    shop.process.send_signal(signal.SIGHUP)
    until(lambda: told("tls.files_refused"), what="the refusal")
    assert f"TLS_KEY_FILE ({key}): this is no private key" in told("tls.files_refused")[0]["error"]
    accepted(customer.get("/users/me"))
    assert shop.stop() == 0


# ---- Mutual TLS ----


def test_clients_must_show_a_certificate_whose_name_is_allowed(new_shop, authority, files, tmp_path):
    shop = new_shop(
        **files, TLS_CLIENT_CA_FILE=authority.path, TLS_CLIENT_NAMES="gateway.shop, orders.shop"
    ).start()
    orders = authority.make("orders", dns=("orders.shop",))
    users = authority.make("users", dns=("users.shop",))
    expired = authority.make("expired", dns=("orders.shop",), days=(-2, -1))
    stranger = Authority(tmp_path, "other").make("stranger", dns=("orders.shop",))

    accepted(over_tls(shop, authority, orders).anonymous().get("/products"))
    for refused in (None, users, expired, stranger):
        with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)):
            over_tls(shop, authority, refused).anonymous().get("/products")
    reasons = {e["reason"] for e in shop.log_entries() if e["event"] == "tls.refused"}
    assert any("peer did not return a certificate" in reason for reason in reasons), reasons
    assert any("Hostname mismatch" in reason or "hostname mismatch" in reason for reason in reasons)
    assert any("expired" in reason for reason in reasons), reasons


# ---- Files that cannot be used ----


def test_a_start_with_a_bad_file_says_which_and_why(new_shop, authority, files, tmp_path):
    good, key = files["TLS_CERT_FILE"], files["TLS_KEY_FILE"]
    expired, expired_key = authority.make("old", days=(-3, -2))
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("hello")
    for settings, words in (
        ({"TLS_CERT_FILE": good}, "TLS_CERT_FILE is set and TLS_KEY_FILE is not"),
        ({"TLS_CERT_FILE": tmp_path / "none", "TLS_KEY_FILE": key}, "TLS_CERT_FILE: "),
        ({"TLS_CERT_FILE": good, "TLS_KEY_FILE": tmp_path / "none"}, "TLS_KEY_FILE: "),
        ({"TLS_CERT_FILE": wrong, "TLS_KEY_FILE": key}, "this is no certificate in PEM"),
        ({"TLS_CERT_FILE": good, "TLS_KEY_FILE": expired_key}, "the key is not that of"),
        ({"TLS_CERT_FILE": expired, "TLS_KEY_FILE": expired_key}, "the certificate expired at"),
        ({**files, "TLS_CLIENT_CA_FILE": good}, "is not that of an authority"),
    ):
        shop = new_shop(**settings)
        with pytest.raises(AssertionError) as failed:
            shop.start()
        assert words in shop.log() and "ended with 1" in str(failed.value), shop.log()
        assert len([line for line in shop.log().splitlines() if not line.startswith("{")]) == 1
    new_shop(**files).start()
