"""A shop that somebody else runs, behind one address with a certificate: what the black-box tests can ask of it by HTTP alone. A test
that wants more of its shop (its processes, files, settings) is skipped, and says what it wanted.

SHOP_DEPLOYED is a file of JSON with `address`, `host`, `ca`, and the admin's `email` and `password`."""

import itertools
import json
import os
import pathlib
import ssl
import time

import httpx
import pytest
from shop import SERVICES, STAFF_PASSWORD, Person, Shop, accepted, new_email

KNOWN_WITHIN_S = 5.0


class Door(httpx.Client):
    """An HTTP client whose requests for a host go to an address, over TLS that is checked."""

    def __init__(self, address, ca, host, scheme="https", **rest):
        context = ssl.create_default_context(cafile=str(ca))
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        super().__init__(verify=context, trust_env=False, timeout=httpx.Timeout(30.0), limits=limits, headers={"Host": host}, **rest)
        self.url, self.host = f"{scheme}://{address}", host

    def send(self, request, **rest):
        request.extensions["sni_hostname"] = self.host
        return super().send(request, **rest)


class Deployed(Shop):
    apart, settings = True, {}

    def __init__(self, address, host, ca, email, password):  # noqa: super().__init__ would make one of our own
        self.http = Door(address, ca, host)
        self.url = self.http.url
        self.doors = dict.fromkeys(SERVICES, self.url)
        self._staff, self._names = None, itertools.count()
        self._admin = self._known(Person(self.http, self.url, email, password))
        self._admin = self.new_account("admin")  # modules that change theirs do not shut others out

    @classmethod
    def named(cls):
        """That of SHOP_DEPLOYED, or nothing."""
        file = os.environ.get("SHOP_DEPLOYED")
        return cls(**json.loads(pathlib.Path(file).read_text(encoding="utf-8"))) if file else None

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        pytest.skip(f"of a shop of the tests' own: its {name}")

    def dukactl(self, *words, **_):
        pytest.skip(f"of a shop of the tests' own: dukactl {words[0]}")

    def new_account(self, role, email=None, password=STAFF_PASSWORD):
        """Somebody who registers, and whom the admin gives the role."""
        person = Person(self.http, self.url, email or new_email(role), password)
        person.id = accepted(person.post("/users", json={"email": person.email, "password": password, "name": role}), 201)["id"]
        accepted(self.admin.put(f"/users/{person.id}/roles", json={"roles": [role]}))
        return person.log_in()

    def new_api_key(self, *scopes, **members):
        """Once every replica knows it, as is promised."""
        key = super().new_api_key(*scopes, **members)
        time.sleep(KNOWN_WITHIN_S)
        return key
