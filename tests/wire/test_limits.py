"""Rate limits that two gateways share through a real Redis: together they allow the quota and at most an eighth more each; while
Redis is away each counts by itself, and says so."""

import concurrent.futures
import os
import re
import signal
import time

import httpx
import pytest

import brokers
from certificates import Authority
from shop import Shop, new_email, until

QUOTA = 480
SLICE, CREDIT = QUOTA // 16, QUOTA // 8  # as leases.h has them
SIGN_IN_QUOTA, SIGN_IN_CREDIT = 20, 4


@pytest.fixture
def redis(tmp_path):
    try:
        one = brokers.Redis(tmp_path / "redis").start()
    except brokers.Missing as why:
        pytest.skip(str(why))
    yield one
    one.kill()


@pytest.fixture
def gateways(tmp_path):
    """Makes gateways that share limits in a Redis."""
    made = []

    def make(count=2, **settings):
        for _ in range(count):
            given = {"RATE_LIMIT": QUOTA, "LIMITS_REDIS_TIMEOUT": "1s", **settings}
            made.append(Shop(tmp_path / f"gateway{len(made)}", **given).start())
        return made[-count:]

    yield make
    for one in made:
        one.kill()


def ask(gateway, count):
    """The answers to so many requests, four at a time, each on a connection of its own: one that hears 429 twice in a row is read again
    a second later."""
    with httpx.Client(trust_env=False, timeout=30, limits=httpx.Limits(max_keepalive_connections=0)) as http:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda _: http.get(gateway.url + "/nothing"), range(count)))


def allowed_of(answers):
    return sum(answer.status_code == 404 for answer in answers)


def exhaust(gateway):
    """Asks until next to nothing is allowed any more. On a busy machine an answer of Redis may be late, and a whole round be
    refused for it: twice in a row it is not."""
    answers, rounds = ask(gateway, QUOTA), 0
    while rounds < 2:
        time.sleep(0.3)
        more = ask(gateway, 60)
        answers += more
        rounds = rounds + 1 if allowed_of(more) < 15 else 0
    return answers


def exhaust_all(gateways):
    """How many requests all of them allowed, asked at once, and how many came back into the bucket meanwhile."""
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(len(gateways)) as pool:
        answers = [answer for some in pool.map(exhaust, gateways) for answer in some]
    assert {answer.status_code for answer in answers} <= {404, 429}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers if answer.status_code == 429)
    return allowed_of(answers), (time.monotonic() - began) * QUOTA / 60 + 1


def is_shared(gateway):
    page = gateway.http.get(gateway.ops + "/metrics").text
    return re.search(r"^duka_rate_limits_shared (\d)", page, re.M).group(1) == "1"


def log_of(gateway):
    return gateway.log_path.read_text()


def test_two_gateways_allow_the_quota_together_and_an_eighth_more_at_most(redis, gateways):
    two = gateways(LIMITS_REDIS_URL=redis.url)
    assert all(map(is_shared, two))
    allowed, refilled = exhaust_all(two)
    assert QUOTA <= allowed <= QUOTA + 2 * CREDIT + refilled
    # What is left is nothing at either, for whoever comes there.
    began = time.monotonic()
    more = allowed_of(ask(two[0], 100)) + allowed_of(ask(two[1], 100))
    assert more <= SLICE + (time.monotonic() - began) * QUOTA / 60 + 4  # a slice may have lain unused


def test_gateways_that_count_by_themselves_would_allow_twice_that(gateways):
    """The control: the test above can fail."""
    allowed, _ = exhaust_all(gateways())
    assert allowed >= 2 * QUOTA


def test_one_gateway_after_the_other_has_what_the_first_left(redis, gateways):
    one, other = gateways(LIMITS_REDIS_URL=redis.url)
    began = time.monotonic()
    first = 0
    while first < QUOTA // 2:
        if one.http.get(one.url + "/nothing").status_code == 404:
            first += 1
        else:
            time.sleep(0.05)
    second = allowed_of(exhaust(other))
    refilled = (time.monotonic() - began) * QUOTA / 60 + 2
    assert QUOTA - first - SLICE <= second <= QUOTA - first + CREDIT + refilled
    told = ask(other, 1)[0].headers["ratelimit"]
    assert re.fullmatch(r'"default";r=\d+;t=\d+', told)


def test_signing_in_has_a_quota_of_its_own(redis, gateways):
    two = gateways(LIMITS_REDIS_URL=redis.url, RATE_LIMIT_SIGN_IN=SIGN_IN_QUOTA)
    statuses = []
    for i in range(SIGN_IN_QUOTA * 2):
        body = {"email": new_email("nobody"), "password": "not the right one"}
        statuses.append(two[i % 2].http.post(two[i % 2].url + "/users/login", json=body).status_code)
    allowed = statuses.count(401)
    assert statuses.count(429) == len(statuses) - allowed
    assert SIGN_IN_QUOTA - 2 * SIGN_IN_CREDIT <= allowed <= SIGN_IN_QUOTA + 2 * SIGN_IN_CREDIT + 8
    assert allowed_of(ask(two[0], 10)) == 10


def test_while_redis_is_away_each_gateway_limits_by_itself_and_says_so(redis, gateways):
    two = gateways(LIMITS_REDIS_URL=redis.url)
    redis.kill()
    until(lambda: not any(map(is_shared, two)), 15, "both to see that it is away")
    for one in two:
        assert log_of(one).count("limits.redis_away") == 1
    allowed, refilled = exhaust_all(two)
    assert 2 * QUOTA <= allowed <= 2 * QUOTA + 2 * refilled  # limited, but each by itself
    redis.start()
    until(lambda: all(map(is_shared, two)), 15, "both to see that it is there again")
    assert "limits.redis_there" in log_of(two[0])


def test_a_redis_that_hangs_holds_up_no_request(redis, gateways):
    (one,) = gateways(1, LIMITS_REDIS_URL=redis.url, LIMITS_REDIS_TIMEOUT="300ms")
    os.kill(redis.process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert allowed_of(ask(one, CREDIT // 2)) == CREDIT // 2
        assert time.monotonic() - began < 5
        until(lambda: not is_shared(one), 15, "it to be seen as away")
        assert allowed_of(ask(one, 5)) == 5
    finally:
        os.kill(redis.process.pid, signal.SIGCONT)
    until(lambda: is_shared(one), 15, "it to be there again")


@pytest.mark.whole
def test_one_that_was_emptied_is_used_on(redis, gateways):
    """Its scripts are gone, and the keys: the next answers are counted from full."""
    (one,) = gateways(1, LIMITS_REDIS_URL=redis.url)
    ask(one, 10)
    redis.kill()
    redis.start()
    until(lambda: is_shared(one), 15, "it to be there again")
    assert allowed_of(ask(one, 20)) == 20


def test_a_password_is_shown_and_a_wrong_one_told(tmp_path, gateways):
    try:
        locked = brokers.Redis(tmp_path / "redis", password="let me in").start()
    except brokers.Missing as why:
        pytest.skip(str(why))
    try:
        secret = tmp_path / "password"
        secret.write_text("let me in\n")
        (right,) = gateways(1, LIMITS_REDIS_URL=locked.url, LIMITS_REDIS_PASSWORD_FILE=secret)
        (wrong,) = gateways(1, LIMITS_REDIS_URL=locked.url, LIMITS_REDIS_PASSWORD="let me out")
        assert is_shared(right) and not is_shared(wrong)
        assert re.search(r"limits.redis_away.*(WRONGPASS|invalid)", log_of(wrong))
        assert "let me" not in log_of(wrong)
        assert allowed_of(ask(wrong, 5)) == 5
    finally:
        locked.kill()


def test_over_tls_its_certificate_is_checked(tmp_path, gateways):
    ours, others = Authority(tmp_path, "ours"), Authority(tmp_path, "others")
    certificate, key = ours.make("redis", dns=("elsewhere",))  # and 127.0.0.1
    try:
        secure = brokers.Redis(tmp_path / "redis", tls=(ours.path, certificate, key)).start()
    except brokers.Missing as why:
        pytest.skip(str(why))
    try:
        by_name = secure.url.replace("127.0.0.1", "localhost")
        (right,) = gateways(1, LIMITS_REDIS_URL=secure.url, LIMITS_REDIS_TLS_CA_FILE=ours.path)
        (wrong,) = gateways(1, LIMITS_REDIS_URL=secure.url, LIMITS_REDIS_TLS_CA_FILE=others.path)
        (name,) = gateways(1, LIMITS_REDIS_URL=by_name, LIMITS_REDIS_TLS_CA_FILE=ours.path)
        assert is_shared(right) and not is_shared(wrong) and not is_shared(name)
        assert allowed_of(ask(right, 20)) == 20
        assert "certificate" in log_of(wrong).lower()
    finally:
        secure.kill()
