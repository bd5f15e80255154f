"""Mail by a real SMTP server: what arrives, over which connection, once, and what its links do."""

import statistics
import time

import pytest
from mailserver import PASSWORD as MAIL_PASSWORD
from mailserver import USER as MAIL_USER
from mailserver import MailServer, certificate, text_of, token_of
from shop import PASSWORD, Person, accepted, new_email, refused, until

PASSWORD_NEW = "incorrect zebra battery"
FROM = "A Shop <shop@shop.example>"


@pytest.fixture
def server():
    running = MailServer().start()
    yield running
    running.stop()


def mail_settings(server, **others):
    return {
        "MAIL_URL": f"smtp://127.0.0.1:{server.port}",
        "MAIL_TLS": "off",
        "MAIL_FROM": FROM,
        "MAIL_RETRY": "100ms",
        "SHOP_NAME": "Mugs & More",
        "STOREFRONT_URL": "https://shop.example",
        **others,
    }


def register(shop, name="Zoë"):
    person = Person(shop.http, shop.url, new_email(), PASSWORD)
    body = {"email": person.email, "password": PASSWORD, "name": name}
    person.id = accepted(person.post("/users", json=body), 201)["id"]
    return person


# ---- links ----


def test_a_registration_is_verified_by_the_link_of_its_mail(server, new_shop):
    with new_shop(**mail_settings(server)) as shop:
        person = register(shop)
        message = server.wait(person.email)
        assert str(message["From"]) == FROM
        assert [to.addr_spec for to in message["To"].addresses] == [person.email]
        assert message["Subject"] == "Mugs & More: please confirm your e-mail address"
        assert message["Message-ID"].endswith("@shop.example>") and message["Date"]
        assert "Hello Zoë," in text_of(message)
        assert "https://shop.example/verify-email#token=" in text_of(message)
        assert "Mugs &amp; More" in text_of(message, "html")

        person.log_in()
        assert accepted(person.get("/users/me"))["email_verified"] is False
        body = {"token": token_of(message)}
        assert person.post("/users/email/verify", json=body).status_code == 204
        refused(person.post("/users/email/verify", json=body), 422, "link.invalid", "/token")
        assert accepted(person.get("/users/me"))["email_verified"] is True
        time.sleep(1.5)  # more than a tick of the table of mails
        assert len(server.to(person.email)) == 1


def test_a_forgotten_password_is_replaced_and_all_sessions_end(server, new_shop):
    with new_shop(**mail_settings(server)) as shop:
        person = register(shop).log_in()
        server.wait(person.email)
        nobody = shop.anonymous()
        forgot = nobody.post("/users/password/forgot", json={"email": person.email.upper()})
        assert forgot.status_code == 204
        message = server.wait(person.email, 2)
        assert "https://shop.example/reset-password#token=" in text_of(message)
        body = {"token": token_of(message), "password": PASSWORD_NEW}
        refused(
            nobody.post("/users/password/reset", json={**body, "password": "password123"}),
            422,
            "password.weak",
            "/password",
        )
        assert nobody.post("/users/password/reset", json=body).status_code == 204
        refused(nobody.post("/users/password/reset", json=body), 422, "link.invalid", "/token")
        until(lambda: person.get("/users/me").status_code == 401, 5, "the old token to be refused")
        refused(
            nobody.post("/users/refresh", json={"refresh_token": person.refresh_token}),
            401,
            "auth.refresh_invalid",
        )
        person.password = PASSWORD_NEW
        accepted(person.log_in().get("/users/me"))


def test_orders_wait_for_a_verified_address_where_the_shop_asks_for_it(server, new_shop):
    with new_shop(**mail_settings(server, ORDER_NEEDS_VERIFIED_EMAIL="true")) as shop:
        sku = shop.staff.new_sku()
        person = register(shop).log_in()
        refused(person.place(sku), 403, "email.unverified")
        body = {"token": token_of(server.wait(person.email))}
        assert person.post("/users/email/verify", json=body).status_code == 204
        refused(person.place(sku), 403, "email.unverified")  # the token is from before
        fresh = accepted(
            person.post("/users/refresh", json={"refresh_token": person.refresh_token})
        )
        person.token = fresh["access_token"]
        accepted(person.place(sku), 201)


# ---- no enumeration ----


def took(send):
    started = time.monotonic()
    answer = send()
    return time.monotonic() - started, answer


def medians(shop, send, known, count=15):
    """How long the call takes for addresses that have an account and for those that have none, in turns."""
    times = {True: [], False: []}
    seen = {True: set(), False: set()}
    for i in range(count):
        for is_known in (True, False):
            email = known[i % len(known)] if is_known else new_email()
            # Else it waits for what the call before, always of the other kind, has left to be done.
            until(lambda: not shop.rows("users", "select id from mail_jobs"), 10, "all mails to be sent")
            seconds, answer = took(lambda: send(email))
            times[is_known].append(seconds)
            names = tuple(sorted(name for name in answer.headers if name not in ("date",)))
            body = answer.json() if answer.content else {}
            seen[is_known].add((answer.status_code, names, body.get("code"), body.get("detail")))
    assert seen[True] == seen[False] and len(seen[True]) == 1, seen
    return statistics.median(times[True]), statistics.median(times[False])


def test_neither_words_nor_time_tell_whether_an_address_has_an_account(server, new_shop, tell):
    settings = mail_settings(server, MAILS_AN_ADDRESS="0", LOGIN_FAILURES="0")
    with new_shop(**settings) as shop:
        known = [register(shop).email for _ in range(3)]
        nobody = shop.anonymous()
        calls = {
            "log-in": lambda email: nobody.post(
                "/users/login", json={"email": email, "password": "not this one"}
            ),
            "reset": lambda email: nobody.post("/users/password/forgot", json={"email": email}),
        }
        for name, send in calls.items():
            with_account, without = medians(shop, send, known)
            tell(f"{name}: {with_account * 1e3:.1f} ms known, {without * 1e3:.1f} ms unknown")
            ratio = with_account / without
            assert 1 / 2.5 < ratio < 2.5, f"{name}: {with_account} s known, {without} s unknown"


# ---- delivery ----


def test_a_mail_that_is_put_off_comes_later_with_the_same_id(server, new_shop):
    server.answers = ["451 4.3.0 Later", "451 4.3.0 Later"]
    with new_shop(**mail_settings(server)) as shop:
        person = register(shop)
        message = server.wait(person.email)
        assert server.tries == [message["Message-ID"]] * 3
        body = {"token": token_of(message)}
        assert person.post("/users/email/verify", json=body).status_code == 204


def test_a_mail_that_is_refused_for_good_is_given_up(server, new_shop):
    server.answers = ["550 5.1.1 No such mailbox"] * 3
    with new_shop(**mail_settings(server)) as shop:
        person = register(shop)
        until(lambda: len(server.tries) == 3, 20, "three tries")
        time.sleep(1.5)
        assert len(server.tries) == 3 and not server.to(person.email)
        given_up = [entry for entry in shop.log_entries() if entry.get("event") == "mail.given_up"]
        assert len(given_up) == 1 and "550" in given_up[0]["why"]
        assert person.email not in shop.log()
        other = register(shop)
        server.wait(other.email)


def test_a_server_that_dies_after_taking_a_mail_can_tell_the_repeat(server, new_shop):
    server.dies = 1
    with new_shop(**mail_settings(server)) as shop:
        person = register(shop)
        until(lambda: len(server.to(person.email)) == 2, 20, "the repeat")
        first, second = server.to(person.email)
        assert first["Message-ID"] == second["Message-ID"]
        body = {"token": token_of(first)}  # whichever of the two is kept works
        assert person.post("/users/email/verify", json=body).status_code == 204


def test_mails_survive_the_server_being_away_and_a_kill(new_shop):
    server = MailServer()
    shop = new_shop(**mail_settings(server)).start()
    people = [register(shop) for _ in range(5)]
    shop.kill()
    server.start()
    try:
        shop.start()
        for person in people:
            server.wait(person.email)
        shop.close()
    finally:
        server.stop()


def test_starttls_and_sign_in_are_used_and_a_certificate_that_nobody_vouches_for_is_not(
    new_shop, tmp_path
):
    tls = certificate(tmp_path)
    secret = tmp_path / "password"
    secret.write_text(MAIL_PASSWORD + "\n")
    server = MailServer(tls=tls, auth=True).start()
    settings = mail_settings(
        server, MAIL_TLS="require", MAIL_USER=MAIL_USER, MAIL_PASSWORD_FILE=str(secret)
    )
    try:
        with new_shop(**settings) as shop:
            person = register(shop)
            until(lambda: "mail.put_off" in shop.log(), 20, "the refusal of the certificate")
            assert not server.tries
        with new_shop(**settings, MAIL_CA_FILE=str(tls[0])) as shop:
            person = register(shop)
            server.wait(person.email)
            _, session, _ = server.mails[-1]
            assert session.ssl and session.authenticated
            assert MAIL_PASSWORD not in shop.log()
        wrong = {**settings, "MAIL_PASSWORD": "another", "MAIL_CA_FILE": str(tls[0])}
        del wrong["MAIL_PASSWORD_FILE"]
        tries = len(server.tries)
        with new_shop(**wrong) as shop:
            register(shop)
            until(lambda: shop.log().count("mail.put_off") >= 2, 20, "another try")
            assert len(server.tries) == tries and "mail.given_up" not in shop.log()
    finally:
        server.stop()
    plain = MailServer().start()
    try:
        with new_shop(**mail_settings(plain, MAIL_TLS="require")) as shop:
            register(shop)
            until(lambda: "mail.put_off" in shop.log(), 20, "no mail without TLS")
            assert not plain.tries
    finally:
        plain.stop()
