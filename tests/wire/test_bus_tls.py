"""Brokers that talk TLS and ask who comes: who is let in, what a modest account may do, and what is said
of a wrong password, authority, name or file."""

import pytest
from certificates import Authority
from test_bus import conform
from test_bus_setup import SERVICES, place_an_order, set_up


@pytest.mark.whole
def test_an_account_that_may_make_nothing_sells_once_kafka_is_set_up(running, tmp_path):
    broker = running.get("KafkaTls")
    settings = broker.tls_settings()
    prefix = settings["BUS_PREFIX"]
    broker.allow("shop", prefix)
    modest = broker.tls_settings(user="shop", BUS_PREFIX=prefix)

    code, _, error = set_up(modest)
    assert code == 1 and "dukactl bus setup" in error and "bus.refused" in error, error
    assert set_up(settings)[0] == 0
    assert set_up(modest) == (0, SERVICES, "")
    place_an_order(modest, tmp_path / "data")


# ---- TLS and accounts ----


@pytest.fixture(params=[pytest.param("RabbitmqTls", marks=pytest.mark.whole), pytest.param("KafkaTls", marks=pytest.mark.whole)])
def secured(request, running):
    return running.get(request.param)


def test_the_driver_keeps_its_promises_over_tls(secured, tell):
    (passed, failed, skipped), told = conform(secured.tls_settings())
    assert (failed, skipped) == (0, 0) and passed > 0, told[-6000:]
    tell(f"{type(secured).__name__}: {passed} facts of the bus hold")


def refusal(settings, *words):
    """What is said of these settings: it names the words and never the password."""
    code, out, error = set_up(settings)
    assert (code, out) == (1, ""), error
    for word in words:
        assert word in error, error
    assert settings["BUS_PASSWORD"] not in error, error


def test_a_wrong_password_is_told(secured):
    assert set_up(secured.tls_settings())[0] == 0
    refusal(secured.tls_settings(BUS_PASSWORD="wrong-word"), "BUS_PASSWORD", "bus.refused")


def test_an_authority_that_is_not_known_is_told(secured, tmp_path):
    assert set_up(secured.tls_settings())[0] == 0
    other = Authority(tmp_path, "another")
    refusal(secured.tls_settings(BUS_TLS_CA_FILE=str(other.path)), "BUS_TLS_CA_FILE", "bus.refused")
    refusal(secured.tls_settings(BUS_TLS_CA_FILE=""), "BUS_TLS_CA_FILE", "bus.refused")


def test_a_name_that_is_not_in_the_certificate_is_told(secured):
    assert set_up(secured.tls_settings())[0] == 0
    other = {"RabbitmqTls": "127.0.0.1", "KafkaTls": "localhost"}[type(secured).__name__]
    refusal(secured.tls_settings(host=other), "BUS_URL", "bus.refused")


def test_a_file_that_is_not_there_is_told(secured):
    refusal(secured.tls_settings(BUS_TLS_CA_FILE="/nowhere/ca.pem"), "BUS_TLS_CA_FILE")


@pytest.mark.whole
def test_a_client_without_a_certificate_is_told_where_one_is_wanted(running):
    secured = running.get("RabbitmqTls")
    assert set_up(secured.tls_settings())[0] == 0
    refusal(secured.tls_settings(BUS_TLS_CERT_FILE="", BUS_TLS_KEY_FILE=""), "BUS_TLS_CERT_FILE")
