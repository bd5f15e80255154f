"""The first admin of a shop, whom a setting names: its password comes from a file and is seen nowhere."""

import subprocess

import pytest
from shop import accepted, one_process, program, refused

EMAIL, PASSWORD = "root@example.com", "the first word, spoken once: $5 #1 'q'"


def test_the_admin_of_the_setting_can_log_in_and_its_password_is_seen_nowhere(new_shop, tmp_path):
    secret = tmp_path / "admin"
    secret.write_text(PASSWORD + "\n")
    shop = new_shop(BOOTSTRAP_ADMIN_EMAIL=EMAIL, BOOTSTRAP_ADMIN_PASSWORD_FILE=secret).start()
    admin = shop.anonymous()
    admin.email, admin.password = EMAIL, PASSWORD
    admin.log_in()
    assert accepted(admin.get("/users/me"))["roles"] == ["admin"]
    assert accepted(admin.get("/users"))["items"][-1]["email"] == EMAIL
    shown = shop.dukactl("config").stdout
    assert "bootstrap_admin_email" in shown and PASSWORD not in shown
    shop.stop()
    shop.start()  # nobody is made again, and the one that was made goes on
    assert accepted(admin.log_in().get("/users/me"))["roles"] == ["admin"]
    assert [entry["event"] for entry in shop.log_entries()].count("admin.made") == 1
    assert PASSWORD not in shop.log()
    refused(shop.customer().get("/users"), 403, "auth.role_missing")


def test_where_there_is_an_admin_or_the_address_is_taken_nobody_is_made(new_shop):
    shop = new_shop().start()
    taken = shop.customer()
    with_setting = {"BOOTSTRAP_ADMIN_EMAIL": taken.email, "BOOTSTRAP_ADMIN_PASSWORD": PASSWORD}

    def again():
        shop.stop()
        shop.settings.update(with_setting)
        shop.start()

    again()
    assert accepted(taken.log_in().get("/users/me"))["roles"] == ["customer"]
    assert [e["setting"] for e in shop.log_entries() if e["event"] == "admin.address_taken"] == ["BOOTSTRAP_ADMIN_EMAIL"]
    admin = shop.admin
    with_setting["BOOTSTRAP_ADMIN_EMAIL"] = EMAIL
    again()
    refused(shop.anonymous().post("/users/login", json={"email": EMAIL, "password": PASSWORD}), 401, "auth.credentials_invalid")
    assert len(accepted(admin.log_in().get("/users"))["items"]) == 2
    assert "admin.made" not in shop.log()


@one_process("it starts duka; duka-users reads the setting by the same code")
@pytest.mark.parametrize(
    "settings, words",
    [
        ({"BOOTSTRAP_ADMIN_EMAIL": EMAIL}, "BOOTSTRAP_ADMIN_EMAIL and BOOTSTRAP_ADMIN_PASSWORD belong together"),
        ({"BOOTSTRAP_ADMIN_PASSWORD": PASSWORD}, "BOOTSTRAP_ADMIN_EMAIL and BOOTSTRAP_ADMIN_PASSWORD belong together"),
        ({"BOOTSTRAP_ADMIN_EMAIL": "nobody", "BOOTSTRAP_ADMIN_PASSWORD": PASSWORD}, "BOOTSTRAP_ADMIN_EMAIL: "),
        ({"BOOTSTRAP_ADMIN_EMAIL": EMAIL, "BOOTSTRAP_ADMIN_PASSWORD": "2short"}, "BOOTSTRAP_ADMIN_PASSWORD: "),
        ({"BOOTSTRAP_ADMIN_EMAIL": EMAIL, "BOOTSTRAP_ADMIN_PASSWORD_FILE": "/nowhere/admin"}, "BOOTSTRAP_ADMIN_PASSWORD_FILE"),
    ],
)
def test_a_first_admin_that_cannot_be_stops_the_start_with_the_settings_name(new_shop, settings, words):
    shop = new_shop(**settings)
    done = subprocess.run([str(program("duka"))], env=shop.environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and words in done.stderr, done.stderr
    assert PASSWORD not in done.stderr and "2short" not in done.stderr
