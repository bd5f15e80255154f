"""Rotation of the keys that sign access tokens, on a shop that runs: no good token is ever refused, and a key that is gone
signs nothing that is taken."""

import base64
import threading
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from shop import accepted, refused, until


def kids(shop):
    """The kids of the JWKS."""
    return [key["kid"] for key in accepted(shop.customer().get("/users/.well-known/jwks.json"))["keys"]]


def kid_of(person):
    """The key that signed a person's token."""
    return jwt.get_unverified_header(person.token)["kid"]


def seed_of(shop, kid):
    """A key as whoever stole its file has it."""
    seed = (shop.data / "keys" / kid).read_text().strip()
    return ed25519.Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(seed + "="))


def forged(key, kid, person):
    """A token like the person's, signed by that key."""
    claims = jwt.decode(person.token, options={"verify_signature": False})
    return jwt.encode(claims, key, "EdDSA", headers={**jwt.get_unverified_header(person.token), "kid": kid})


class Walk:
    """Somebody with a token who asks for their account all the time; keeps what was refused."""

    def __init__(self, person):
        self.person, self.asked, self.refused, self.ends = person, 0, [], False
        self.thread = threading.Thread(target=self.walk, daemon=True)
        self.thread.start()

    def walk(self):
        """Until it ends."""
        while not self.ends:
            answer = self.person.get("/users/me")
            self.asked += 1
            if answer.status_code != 200:
                self.refused.append(answer.text)
            time.sleep(0.02)

    def end(self):
        """How often it asked; nothing may have been refused."""
        self.ends = True
        self.thread.join()
        assert not self.refused, self.refused[0]
        return self.asked


@pytest.fixture(name="running")
def fixture_running(new_shop):
    """A shop with one key."""
    return new_shop().start()


def test_a_rotation_refuses_no_token_and_a_removed_key_signs_none(running):
    shop = running
    before = shop.customer()
    old = kid_of(before)
    walks = [Walk(before)]
    told = shop.dukactl("rotate", "keys").stdout
    new = next(kid for kid in kids(shop) if kid != old)
    assert new in told and sorted(kids(shop)) == [old, new]  # told before it signs
    waiting = shop.customer()
    assert kid_of(waiting) == old

    def signed_by_the_new_one():
        person = shop.customer()
        walks.append(Walk(person))
        return person if kid_of(person) == new else None

    after = until(signed_by_the_new_one, 30, "a token of the new key")
    for person in (before, waiting, after):
        accepted(person.get("/users/me"))
    assert sum(walk.end() for walk in walks) > 100

    thief, good = seed_of(shop, old), seed_of(shop, new)
    bearer = {"Authorization": "Bearer " + forged(thief, old, after)}
    accepted(shop.customer().get("/users/me", headers=bearer))  # as long as the key verifies

    assert "gone" in shop.dukactl("rotate", "keys", "--drop-old").stdout
    assert len(kids(shop)) == 1 and not {old, new} & set(kids(shop))
    if shop.apart:  # the gateway hears of it within a second; five are promised
        gone = {"Authorization": "Bearer " + forged(good, new, after)}
        until(lambda: shop.customer().get("/users/me", headers=gone).status_code == 401, 5, "refused at the gateway")
    for stolen, kid in ((thief, old), (good, new)):
        bearer = {"Authorization": "Bearer " + forged(stolen, kid, after)}
        refused(shop.customer().get("/users/me", headers=bearer), 401, "auth.token_invalid")
        bearer = {"Authorization": "Bearer " + forged(stolen, kids(shop)[0], after)}
        refused(shop.customer().get("/users/me", headers=bearer), 401, "auth.token_invalid")
    for person in (before, after):
        refused(person.get("/users/me"), 401, "auth.token_invalid")
        person.token = None
        body = {"refresh_token": person.refresh_token}
        person.token = accepted(person.post("/users/refresh", json=body))["access_token"]  # a session outlives its keys
        accepted(person.get("/users/me"))
        assert kid_of(person) == kids(shop)[0]


def test_a_rotation_outlives_a_restart(running):
    shop = running
    before = shop.customer()
    shop.dukactl("rotate", "keys")
    assert shop.stop() == 0
    shop.start()
    accepted(before.get("/users/me"))
    person = shop.customer()
    assert kid_of(person) == max(kids(shop)) != kid_of(before)
    accepted(person.get("/users/me"))
