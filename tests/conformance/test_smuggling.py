"""Requests that two servers could read as different ones (request smuggling, RFC 9112 section 11.2), at a real socket.

Each carries a second request inside what one of two readings takes for a body or for a head. The shop must take it for
one request or refuse it; what was hidden must never be answered, and after a refusal the connection is closed, so that
nothing behind it is read as a request."""

import re
import socket

import pytest
from shop import Shop, refused

MARK = "smuggled-17"
HIDDEN = f"GET /products?limit=1 HTTP/1.1\r\nHost: shop\r\nX-Request-Id: {MARK}\r\n\r\n"
POST = "POST /users/login HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
GET = "GET /products?limit=1 HTTP/1.1\r\nHost: shop\r\n"


def chunk(text):
    return f"{len(text):x}\r\n{text}\r\n"


def hidden_in_body(head):
    return head + "\r\n" + HIDDEN


# name: the bytes. All of these are refused with 400 (or the status beside them), and the connection ends.
REFUSED = {
    # Two lengths.
    "CL.CL, the second shorter": hidden_in_body(
        POST + f"Content-Length: {len(HIDDEN)}\r\nContent-Length: 0\r\n"
    ),
    "CL.CL, alike": POST + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "CL, a list": POST + "Content-Length: 2, 2\r\n\r\n{}",
    "CL, a list of two": hidden_in_body(POST + f"Content-Length: 0, {len(HIDDEN)}\r\n"),
    # A length and chunks.
    "CL.TE": POST + f"Content-Length: 6\r\n{CHUNKED}\r\n0\r\n\r\n" + HIDDEN,
    "TE.CL": POST + f"{CHUNKED}Content-Length: 4\r\n\r\n" + chunk(HIDDEN) + "0\r\n\r\n",
    "CL.TE, alike": POST + f"Content-Length: 12\r\n{CHUNKED}\r\n2\r\n{{}}\r\n0\r\n\r\n",
    # TE.TE: a coding that one of two does not see.
    "TE.TE": POST + CHUNKED + CHUNKED + "\r\n0\r\n\r\n" + HIDDEN,
    "TE, identity after chunked": POST
    + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"
    + HIDDEN,
    "TE, gzip before chunked": POST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE, identity": hidden_in_body(
        POST + f"Transfer-Encoding: identity\r\nContent-Length: {len(HIDDEN)}\r\n"
    ),
    "TE, misspelt": POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE, quoted": POST + 'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n' + HIDDEN,
    "TE, with a parameter": POST + "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE, vertical tab": POST + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE, empty": POST + "Transfer-Encoding:\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE, twice as list": POST + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE of HTTP/1.0": POST.replace("1.1", "1.0") + CHUNKED + "\r\n0\r\n\r\n" + HIDDEN,
    # Lengths that are no numbers.
    **{
        f"CL {value!r}": hidden_in_body(POST + f"Content-Length: {value}\r\n")
        for value in (
            "+0",
            "-1",
            "0x10",
            "1e1",
            "2 2",
            "",
            "2,",
            '"2"',
            "٢",
            "1\t0",
            "18446744073709551617",
        )
    },
    # White space where there is none.
    "space before the colon": hidden_in_body(POST + f"Content-Length : {len(HIDDEN)}\r\n"),
    "tab before the colon": POST + "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "space before the first header": "GET /products HTTP/1.1\r\n Host: shop\r\n\r\n",
    "obs-fold": POST + "X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "obs-fold of a length": hidden_in_body(POST + f"Content-Length:\r\n {len(HIDDEN)}\r\n"),
    "obs-fold of chunked": POST + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "obs-fold with a tab": POST + "X: a\r\n\tTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    # Line ends that are none.
    "bare LF after a header": GET.replace("shop\r\n", "shop\n") + "\r\n",
    "bare LF in a value": GET + "X: a\nTransfer-Encoding: chunked\r\n\r\n",
    "bare CR in a value": GET + "X: a\rTransfer-Encoding: chunked\r\n\r\n",
    "bare CR after the request line": GET.replace("1.1\r\n", "1.1\r") + "\r\n",
    "bare LF after the head": GET + "X: a\r\n\n" + HIDDEN,
    "bare LF after a chunk size": POST + CHUNKED + "\r\n2\n{}\r\n0\r\n\r\n",
    "bare LF after a chunk": POST + CHUNKED + "\r\n2\r\n{}\n0\r\n\r\n",
    "bare LF after the last chunk": POST + CHUNKED + "\r\n2\r\n{}\r\n0\n\n" + HIDDEN,
    "bare CR after a chunk size": POST + CHUNKED + "\r\n2\r{}\r\n0\r\n\r\n",
    "NUL in a value": GET + "X: a\0b\r\n\r\n",
    "NUL in a name": GET + "X\0: a\r\n\r\n",
    # Names that are none.
    "a line without a colon": GET + "Transfer-Encoding\r\n\r\n",
    "an empty name": GET + ": chunked\r\n\r\n",
    "brackets in a name": GET + "X[]: a\r\n\r\n",
    "a byte above ASCII in a name": GET.encode() + b"X\xe9: a\r\n\r\n",
    # Chunks.
    "chunk size 0x2": POST + CHUNKED + "\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "chunk size +2": POST + CHUNKED + "\r\n+2\r\n{}\r\n0\r\n\r\n",
    "chunk size -2": POST + CHUNKED + "\r\n-2\r\n{}\r\n0\r\n\r\n",
    "chunk size empty": POST + CHUNKED + "\r\n\r\n{}\r\n0\r\n\r\n",
    "chunk size with a space before": POST + CHUNKED + "\r\n 2\r\n{}\r\n0\r\n\r\n",
    "chunk size beyond 64 bits": POST
    + CHUNKED
    + "\r\n1"
    + "0" * 16
    + "2\r\n{}\r\n0\r\n\r\n"
    + HIDDEN,
    "chunk longer than its size": POST + CHUNKED + "\r\n2\r\n{} \r\n0\r\n\r\n" + HIDDEN,
    "chunk shorter than its size": POST + CHUNKED + "\r\n3\r\n{}\r\n0\r\n\r\n" + HIDDEN,
    "chunk extension with a bare CR": POST + CHUNKED + "\r\n2;a\rb\r\n{}\r\n0\r\n\r\n",
    "chunk extension with a bare LF": POST + CHUNKED + "\r\n2;a\nb\r\n{}\r\n0\r\n\r\n",
    "chunk extension with NUL": POST + CHUNKED + "\r\n2;a=\0\r\n{}\r\n0\r\n\r\n",
    # Request lines.
    "two hosts": GET + "Host: other\r\n\r\n",
    "no host": "GET /products HTTP/1.1\r\n\r\n",
    "host with a path": "GET /products HTTP/1.1\r\nHost: shop/x\r\n\r\n",
    "host with a user": "GET /products HTTP/1.1\r\nHost: amina@shop\r\n\r\n",
    "two spaces before the target": "GET  /products HTTP/1.1\r\nHost: shop\r\n\r\n",
    "two spaces before the version": "GET /products  HTTP/1.1\r\nHost: shop\r\n\r\n",
    "a tab in the request line": "GET\t/products HTTP/1.1\r\nHost: shop\r\n\r\n",
    "white space in the target": "GET /products HTTP/1.1 HTTP/1.1\r\nHost: shop\r\n\r\n",
    "a version in lower case": "GET /products http/1.1\r\nHost: shop\r\n\r\n",
    "a version with a long minor": "GET /products HTTP/1.10\r\nHost: shop\r\n\r\n",
    "no version": "GET /products\r\n\r\n",
    "a fragment in the target": "GET /products#x HTTP/1.1\r\nHost: shop\r\n\r\n",
    "a target above ASCII": "GET /prodücts HTTP/1.1\r\nHost: shop\r\n\r\n",
    "an absolute target without a host": "GET http:///products HTTP/1.1\r\nHost: shop\r\n\r\n",
    "an absolute target with a user": "GET http://a@shop/products HTTP/1.1\r\nHost: shop\r\n\r\n",
    "a target of another scheme": "GET file:///etc/passwd HTTP/1.1\r\nHost: shop\r\n\r\n",
    "an authority as the target": "GET shop:80 HTTP/1.1\r\nHost: shop\r\n\r\n",
    "an asterisk as the target": "GET * HTTP/1.1\r\nHost: shop\r\n\r\n",
    "HTTP/2 in the words of HTTP/1": POST.replace("1.1", "2.0") + "Content-Length: 2\r\n\r\n{}",
    "HTTP/2's preface in HTTP/1.1": "PRI * HTTP/1.1\r\nHost: shop\r\n\r\nSM\r\n\r\n",
}
OTHER_STATUS = {
    "CL '18446744073709551617'": (400, 413),
    "no version": (505,),
    "HTTP/2 in the words of HTTP/1": (505,),
    "HTTP/2's preface in HTTP/1.1": (400, 501, 505),
    "a version with a long minor": (400, 505),
    "chunk size beyond 64 bits": (400, 413),
}

# name: (the bytes, how many answers). Read as one thing by everybody, so taken.
TAKEN = {
    "a body with a length": (POST + "Content-Length: 2\r\n\r\n{}", 1),
    "a body in chunks": (POST + CHUNKED + "\r\n2\r\n{}\r\n0\r\n\r\n", 1),
    "chunked in another case": (POST + "Transfer-Encoding: CHUNKED\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 1),
    "a chunk size in capitals, with zeros": (
        POST + CHUNKED + "\r\n000A\r\n{        }\r\n0\r\n\r\n",
        1,
    ),
    "chunk extensions": (POST + CHUNKED + '\r\n2;a=b;c="d"\r\n{}\r\n0;e\r\n\r\n', 1),
    "trailers, which are dropped": (
        POST + CHUNKED + "\r\n2\r\n{}\r\n0\r\nContent-Length: 50\r\nHost: other\r\n\r\n",
        1,
    ),
    "a request that is only text in a body": (
        hidden_in_body(POST + f"Content-Length: {len(HIDDEN)}\r\n"),
        1,
    ),
    "a request that is only text in a chunk": (
        POST + CHUNKED + "\r\n" + chunk(HIDDEN) + "0\r\n\r\n",
        1,
    ),
    "a GET with a body": (GET + f"Content-Length: {len(HIDDEN)}\r\n\r\n" + HIDDEN, 1),
    "an absolute target": ("GET http://shop/products?limit=1 HTTP/1.1\r\nHost: shop\r\n\r\n", 1),
    "an empty line before the request": ("\r\n" + GET + "\r\n", 1),
    "an upgrade that is not heard": (GET + "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", 1),
    "pipelined": (GET + "\r\n" + POST + "Content-Length: 2\r\n\r\n{}" + GET + "\r\n", 3),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with Shop(
        tmp_path_factory.mktemp("smuggling") / "data",
        IDLE_TIMEOUT="1s",
        HEAD_TIMEOUT="1s",
        BODY_TIMEOUT="1s",
    ) as running:
        yield running


def talk(shop, data, split=0):
    """Sends bytes, whole or `split` at a time; gives all that comes until the shop closes."""
    data = data.encode() if isinstance(data, str) else data
    host, port = shop.addresses["listen"].split(":")
    heard = b""
    with socket.create_connection((host, int(port)), timeout=15) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for at in range(0, len(data), split or len(data)):
                peer.sendall(data[at : at + (split or len(data))])
            while some := peer.recv(65536):
                heard += some
        except (ConnectionResetError, BrokenPipeError):
            pass
    return heard


def statuses(heard):
    """The statuses of the answers, by walking over them as a client would."""
    found = []
    while heard:
        head, _, rest = heard.partition(b"\r\n\r\n")
        status = int(re.match(rb"HTTP/1\.1 (\d{3}) ", head)[1])
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        heard = rest[int(length[1]) if length else 0 :]
        found.append(status)
    return found


@pytest.mark.parametrize("split", [0, 1], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_two_could_read_differently_is_refused_and_the_connection_ends(shop, name, split):
    heard = talk(shop, REFUSED[name], split)
    assert MARK.encode() not in heard, heard
    found = statuses(heard)
    assert found and found[-1] in OTHER_STATUS.get(name, (400,)), heard[:500]
    assert len(found) == 1, heard[:500]
    assert b"connection: close" in heard.lower(), heard[:500]


@pytest.mark.parametrize("split", [0, 1], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("name", TAKEN)
def test_what_all_read_alike_is_taken(shop, name, split):
    data, answers = TAKEN[name]
    heard = talk(shop, data, split)
    found = statuses(heard)
    while found and found[-1] == 408:
        found.pop()  # the connection was idle, and its end was told
    assert len(found) == answers and not set(found) & {400, 408, 501, 505} - {400}, heard[:800]
    if answers == 1 and "text in" in name or "GET with" in name:
        assert MARK.encode() not in heard


def test_a_refusal_does_not_disturb_who_comes_next(shop):
    for name in ("CL.TE", "TE.CL", "bare LF after the last chunk"):
        talk(shop, REFUSED[name])
        assert shop.anonymous().get("/products").status_code == 200
    refused(shop.anonymous().get("/nothing"), 404, "route.unknown")
