"""Access tokens forged, borrowed and out of time, in the ways of RFC 8725, against the shop's own key: each is the good
token but for one thing. Whoever has the key could sign them; nobody is let in by them."""

import base64
import hashlib
import hmac
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from shop import accepted, refused


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Mint:
    """The shop's signing key, and a good token of a customer to change."""

    def __init__(self, shop):
        person = shop.customer()
        self.head = jwt.get_unverified_header(person.token)
        self.claims = jwt.decode(person.token, options={"verify_signature": False})
        seed = (shop.data / "keys" / self.head["kid"]).read_text().strip()
        self.key = ed25519.Ed25519PrivateKey.from_private_bytes(
            base64.urlsafe_b64decode(seed + "=")
        )
        self.public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.person = person

    def sign(self, head, claims, sign=None):
        head = head if isinstance(head, str) else json.dumps(head)
        claims = claims if isinstance(claims, str) else json.dumps(claims)
        text = f"{b64(head.encode())}.{b64(claims.encode())}"
        return f"{text}.{b64((sign or self.key.sign)(text.encode()))}"

    def with_head(self, **changes):
        return self.sign({**self.head, **changes}, self.claims)

    def with_claims(self, **changes):
        claims = {**self.claims, **changes}
        return self.sign(self.head, {name: one for name, one in claims.items() if one is not None})


@pytest.fixture(scope="module")
def mint(shop):
    return Mint(shop)


def hmac_of(secret):
    return lambda text: hmac.new(secret, text, hashlib.sha256).digest()


def ecdsa(text):
    from cryptography.hazmat.primitives import hashes

    return ec.generate_private_key(ec.SECP256R1()).sign(text, ec.ECDSA(hashes.SHA256()))


def rsa_of(text):
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.sign(text, padding.PKCS1v15(), hashes.SHA256())


def jwk_of(key):
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}


OTHER = ed25519.Ed25519PrivateKey.generate()
NOW = int(time.time())

FORGED = {
    # 2.1, 3.1: the algorithm is ours to choose, not the token's.
    **{
        f"alg {alg}": lambda m, alg=alg: m.sign({**m.head, "alg": alg}, m.claims, lambda _: b"")
        for alg in ("none", "None", "NONE", "nOnE", "", "EdDSA ")
    },
    "alg none with a good signature": lambda m: m.with_head(alg="none"),
    "HMAC with our public key": lambda m: m.sign(
        {**m.head, "alg": "HS256"}, m.claims, hmac_of(m.public)
    ),
    "HMAC with our public key in PEM": lambda m: m.sign(
        {**m.head, "alg": "HS256"},
        m.claims,
        hmac_of(m.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)),
    ),
    "HMAC with no key": lambda m: m.sign({**m.head, "alg": "HS256"}, m.claims, hmac_of(b"")),
    "ECDSA": lambda m: m.sign({**m.head, "alg": "ES256"}, m.claims, ecdsa),
    "RSA": lambda m: m.sign({**m.head, "alg": "RS256"}, m.claims, rsa_of),
    "Ed25519 by another name": lambda m: m.with_head(alg="Ed25519"),
    # 2.2, 3.2: signatures.
    "signed by another key": lambda m: m.sign(m.head, m.claims, OTHER.sign),
    "no signature": lambda m: m.sign(m.head, m.claims, lambda _: b""),
    "a signature of zeros": lambda m: m.sign(m.head, m.claims, lambda _: bytes(64)),
    "a signature cut short": lambda m: m.sign(m.head, m.claims, lambda t: m.key.sign(t)[:63]),
    "a signature too long": lambda m: m.sign(m.head, m.claims, lambda t: m.key.sign(t) + b"\0"),
    "the signature of another token": lambda m: m.with_claims(roles=["admin"]).rsplit(".", 1)[0]
    + "."
    + m.with_claims().rsplit(".", 1)[1],
    # 2.8, 3.10: keys that the token brings along or names.
    "a key in the header": lambda m: m.sign({**m.head, "jwk": jwk_of(OTHER)}, m.claims, OTHER.sign),
    "a key at a URL": lambda m: m.sign(
        {**m.head, "jku": "https://evil.example/jwks"}, m.claims, OTHER.sign
    ),
    "a certificate at a URL": lambda m: m.sign(
        {**m.head, "x5u": "https://evil.example/c"}, m.claims, OTHER.sign
    ),
    "a certificate in the header": lambda m: m.sign(
        {**m.head, "x5c": ["MIIB"]}, m.claims, OTHER.sign
    ),
    **{
        f"kid {kid!r}": lambda m, kid=kid: m.with_head(kid=kid)
        for kid in (
            "",
            "unknown",
            "../" * 8 + "dev/null",
            "/dev/null",
            "' or 1=1 --",
            "a\0b",
            7,
            None,
            ["x"],
        )
    },
    # 3.11, 3.12: what kind of token it is.
    **{
        f"typ {typ!r}": lambda m, typ=typ: m.with_head(typ=typ)
        for typ in ("JWT", "refresh+jwt", "id_token", "", None, "secevent+jwt", "dpop+jwt")
    },
    "critical extensions": lambda m: m.with_head(crit=["exp"]),
    "an unencoded payload": lambda m: m.with_head(b64=False, crit=["b64"]),
    "a compressed payload": lambda m: m.with_head(zip="DEF", crit=["zip"]),
    "a token in a token": lambda m: m.sign({**m.head, "cty": "JWT"}, m.with_claims()),
    # 3.8, 3.9: from whom, for whom.
    **{
        f"{name} {value!r}": lambda m, name=name, value=value: m.with_claims(**{name: value})
        for name in ("iss", "aud")
        for value in ("other", "", None, 7, ["other"], "duka ", "Duka", {"duka": 1})
    },
    # Claims without their form, and missing.
    **{
        f"no {name}": lambda m, name=name: m.with_claims(**{name: None})
        for name in ("sub", "exp", "iat", "sid", "ver", "roles")
    },
    **{
        f"sub {value!r}": lambda m, value=value: m.with_claims(sub=value)
        for value in ("", "admin", 7, "0" * 36)
    },
    "roles as a text": lambda m: m.with_claims(roles="admin"),
    "an exp as a text": lambda m: m.with_claims(exp=str(NOW + 600)),
    "an exp with a fraction": lambda m: m.sign(
        m.head, json.dumps(m.claims).replace(str(m.claims["exp"]), f"{m.claims['exp']}.5")
    ),
    # Time.
    "not yet": lambda m: m.with_claims(nbf=NOW + 3600),
    "made in the future": lambda m: m.with_claims(iat=NOW + 3600, exp=NOW + 4000),
    "a life of a year": lambda m: m.with_claims(exp=NOW + 31536000),
    # 3.7 and readers that differ.
    "a claim twice": lambda m: m.sign(m.head, json.dumps(m.claims)[:-1] + ',"roles":["admin"]}'),
    "a header twice": lambda m: m.sign(json.dumps(m.head)[:-1] + ',"alg":"EdDSA"}', m.claims),
    "claims that are no JSON": lambda m: m.sign(m.head, "claims"),
    "claims that are a list": lambda m: m.sign(m.head, "[]"),
    "padding": lambda m: m.with_claims() + "=",
    "two parts": lambda m: m.with_claims().rsplit(".", 1)[0],
    "four parts": lambda m: m.with_claims() + ".e30",
    "five parts, as if encrypted": lambda m: m.with_claims() + ".e30.e30",
    "a line break": lambda m: m.with_claims().replace(".", ".%0a", 1),
    "JSON serialization": lambda m: json.dumps({"payload": "e30", "signatures": []}).replace(
        " ", ""
    ),
    "a very long one": lambda m: m.with_claims(more="x" * 9000),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_token_that_is_wrong_in_one_thing_lets_nobody_in(shop, mint, name):
    anyone = shop.anonymous()
    token = FORGED[name](mint)
    for path in ("/users/me", "/orders", "/users"):
        answer = anyone.get(path, headers={"Authorization": "Bearer " + token})
        refused(answer, 401, "auth.token_invalid")
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    good = {"Authorization": "Bearer " + mint.with_claims()}
    assert accepted(anyone.get("/users/me", headers=good))["id"] == mint.person.id


def test_a_token_out_of_its_time_is_told_so(shop, mint):
    anyone = shop.anonymous()
    late = mint.with_claims(iat=NOW - 4000, exp=NOW - 3600)
    refused(
        anyone.get("/users/me", headers={"Authorization": "Bearer " + late}),
        401,
        "auth.token_expired",
    )
    just = mint.with_claims(iat=NOW - 500, exp=int(time.time()) - 20)
    accepted(
        anyone.get("/users/me", headers={"Authorization": "Bearer " + just})
    )  # within the leeway of 30 s


def test_refresh_tokens_and_access_tokens_do_not_stand_in_for_each_other(shop):
    person = shop.customer()
    headers = {"Authorization": "Bearer " + person.refresh_token}
    refused(shop.anonymous().get("/users/me", headers=headers), 401, "auth.token_invalid")
    answer = shop.anonymous().post("/users/refresh", json={"refresh_token": person.token})
    assert answer.status_code in (401, 422)
    assert (
        shop.anonymous()
        .post("/users/refresh", json={"refresh_token": person.refresh_token})
        .status_code
        == 200
    )


@pytest.mark.parametrize("scheme", ["Basic", "Token", "bearer2", "Bearer,", "DPoP"])
def test_only_bearer_is_read(shop, mint, scheme):
    answer = shop.anonymous().get(
        "/users/me", headers={"Authorization": f"{scheme} {mint.with_claims()}"}
    )
    refused(answer, 401, "auth.token_invalid")
    accepted(mint.person.get("/users/me"))


def test_a_token_comes_in_the_header_and_nowhere_else(shop, mint):
    token = mint.with_claims()
    anyone = shop.anonymous()
    refused(anyone.get(f"/users/me?access_token={token}"), 401, "auth.token_missing")
    refused(
        anyone.get("/users/me", headers={"Cookie": f"access_token={token}; token={token}"}),
        401,
        "auth.token_missing",
    )
    refused(anyone.get("/users/me", headers={"X-Access-Token": token}), 401, "auth.token_missing")
