"""The verdict of the whole server on JSONTestSuite: every file is sent as the body of a call. The parser alone is judged
by tests/unit/base/json_test.c; here nothing between socket and parser may change a byte or a verdict.
"""

import os
import pathlib

import pytest
from shop import ROOT, Shop, refused, told

FOLDER = (
    pathlib.Path(os.environ.get("DUKA_SHARED_DIR", ROOT.parent / "shared"))
    / "suites/json/test_parsing"
)
FILES = sorted(FOLDER.glob("[yni]_*.json"))

# The suite has them accepted; we refuse duplicate members, because two readers may take different ones.
DUPLICATES = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}
# RFC 8259 leaves these to the reader. Numbers are read as they stand and judged by their field, so any size is
# well-formed; what is not UTF-8 or half a surrogate is not; a byte order mark is not; nesting ends at a limit.
FREE_BUT_READ = {
    "i_number_double_huge_neg_exp.json",
    "i_number_huge_exp.json",
    "i_number_neg_int_huge_exp.json",
    "i_number_pos_double_huge_exp.json",
    "i_number_real_neg_overflow.json",
    "i_number_real_pos_overflow.json",
    "i_number_real_underflow.json",
    "i_number_too_big_neg_int.json",
    "i_number_too_big_pos_int.json",
    "i_number_very_big_negative_int.json",
}

pytestmark = pytest.mark.skipif(
    not FILES, reason="JSONTestSuite is not there; DUKA_SHARED_DIR says where"
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with Shop(tmp_path_factory.mktemp("json") / "data") as running:
        yield running


def verdict(shop, content):
    """Sends a body to a call; gives the code of the refusal (no file of the suite is what the call wants)."""
    answer = shop.anonymous().post(
        "/users/login", content=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in (400, 413, 422), told(answer)
    return answer


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_server_reads_what_the_suite_says(shop, path):
    content = path.read_bytes()
    answer = verdict(shop, content)
    if len(content) > 65536:
        refused(answer, 413, "http.body_too_large")
    elif path.name in DUPLICATES:
        refused(answer, 400, "json.duplicate_member")
    elif path.name.startswith("y_") or path.name in FREE_BUT_READ:
        assert answer.status_code == 422, told(answer)
    elif path.name == "n_single_space.json" or not content:
        assert answer.status_code in (400, 422), told(answer)  # an empty body is an empty object
    else:
        assert answer.status_code == 400, told(answer)
        assert answer.json()["code"] in ("json.malformed", "json.too_deep"), told(answer)


def test_what_the_call_wants_is_taken(shop):
    person = shop.customer()
    body = {"email": person.email, "password": person.password}
    assert person.post("/users/login", json=body).status_code == 200
