"""Peers of HTTP/2 that mean harm, against the real program: floods of what is cheap to send and dear to take, resets by both
sides, windows that never open, headers that unpack to more than they are. Each is ended in time; meanwhile others are served
and the program's memory does not grow. Beside each stands what is allowed: the same frames, few of them."""

import pathlib
import socket
import struct
import time

import hpack
import pytest

from shop import accepted, until

SETTINGS = {"WRITE_TIMEOUT": "2s", "BODY_TIMEOUT": "5s", "HEAD_TIMEOUT": "3s"}
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS_, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
ENHANCE_YOUR_CALM = 11
GROWTH_KIB_MAX = 64 * 1024  # under AddressSanitizer, whose quarantine keeps what was freed


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class Peer:
    """A client of HTTP/2 that sends what it likes."""

    def __init__(self, shop, window=None):
        host, port = shop.addresses["listen"].split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.encoder, self.rest, self.next_stream, self.ended_with = hpack.Encoder(), b"", 1, None
        settings = b"" if window is None else struct.pack(">HI", 4, window)
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS_, payload=settings))
        until(lambda: SETTINGS_ in [kind for kind, _, _, _ in self.frames(0.2)], what="the server's SETTINGS")

    def send(self, bytes_):
        """False where the server takes no more."""
        try:
            self.socket.sendall(bytes_)
            return True
        except OSError:
            return False

    def block(self, path="/products?limit=1", method="GET", more=()):
        return self.encoder.encode([(":method", method), (":scheme", "http"), (":authority", "shop"), (":path", path), *more])

    def stream(self):
        self.next_stream += 2
        return self.next_stream - 2

    def frames(self, seconds):
        """What the server says until it is silent for so long, or ends."""
        said = []
        self.socket.settimeout(seconds)
        while True:
            try:
                more = self.socket.recv(65536)
            except TimeoutError:
                break
            except OSError:
                more = b""
            if not more:
                self.ended_with = self.ended_with if self.ended_with is not None else "closed"
                break
            self.rest += more
            while len(self.rest) >= 9:
                length = struct.unpack(">I", b"\0" + self.rest[:3])[0]
                if len(self.rest) < 9 + length:
                    break
                kind, flags, stream = self.rest[3], self.rest[4], struct.unpack(">I", self.rest[5:9])[0]
                payload, self.rest = self.rest[9 : 9 + length], self.rest[9 + length :]
                said.append((kind, flags, stream, payload))
                if kind == GOAWAY:
                    self.ended_with = struct.unpack(">I", payload[4:8])[0]
        self.socket.settimeout(20)
        return said

    def statuses(self, seconds=1.0):
        """The statuses of the answers that came, and the codes of the resets."""
        decoder = self.__dict__.setdefault("decoder", hpack.Decoder())
        heard, resets = [], []
        for kind, _, _, payload in self.frames(seconds):
            if kind == HEADERS:
                heard.append(int(dict(decoder.decode(payload))[":status"]))
            elif kind == RST_STREAM:
                resets.append(struct.unpack(">I", payload)[0])
        return heard, resets

    def flood(self, make, count, burst=50):
        """Sends `count` of what `make` makes, as fast as they go, until the server ends it; gives how many went."""
        for sent in range(0, count, burst):
            if not self.send(b"".join(make() for _ in range(burst))):
                return sent
            self.frames(0.001)
            if self.ended_with is not None:
                return sent + burst
        return count

    def close(self):
        self.socket.close()


@pytest.fixture
def peer(shop):
    made = Peer(shop)
    yield made
    made.close()


def resident_kib(shop):
    return int(pathlib.Path(f"/proc/{shop.process.pid}/status").read_text().split("VmRSS:")[1].split()[0])


@pytest.fixture
def flat(shop):
    """What the test does costs the program no memory, and others are served after it as before."""
    accepted(shop.anonymous().get("/products?limit=1"))
    before = resident_kib(shop)
    yield
    accepted(shop.anonymous().get("/products?limit=1"))
    grown = resident_kib(shop) - before
    assert grown < GROWTH_KIB_MAX, f"{grown} KiB more than before"


# ---- frames beside requests ----

ASIDES = {
    "pings": lambda: frame(PING, payload=b"12345678"),
    "settings": lambda: frame(SETTINGS_, payload=struct.pack(">HI", 4, 65535)),
    "settings of the table": lambda: frame(SETTINGS_, payload=struct.pack(">HIHI", 1, 0, 1, 4096)),
    "windows to and fro": lambda: frame(SETTINGS_, payload=struct.pack(">HI", 4, 0)) + frame(SETTINGS_, payload=struct.pack(">HI", 4, 2**31 - 1)),
    "priorities": lambda: frame(PRIORITY, stream=1, payload=struct.pack(">IB", 3, 1)),
    "unknown frames": lambda: frame(0x77, stream=1, payload=b"x" * 50),
}


@pytest.mark.parametrize("what", ASIDES)
def test_a_flood_of_frames_beside_requests_is_ended(shop, flat, what):
    modest = Peer(shop)
    modest.flood(ASIDES[what], 100)
    modest.send(frame(HEADERS, END_STREAM | END_HEADERS, 5, modest.block()))
    assert modest.statuses()[0] == [200] and modest.ended_with is None
    modest.close()
    peer = Peer(shop)
    sent = peer.flood(ASIDES[what], 50_000)
    peer.frames(1.0)
    assert sent < 20_000 and peer.ended_with in (ENHANCE_YOUR_CALM, "closed")
    peer.close()


def test_a_flood_of_empty_data_is_ended(shop, flat, peer):
    stream = peer.stream()
    peer.send(frame(HEADERS, END_HEADERS, stream, peer.block("/users/login", "POST", [("content-type", "application/json")])))
    peer.flood(lambda: frame(DATA, 0, stream), 100)
    assert peer.ended_with is None
    sent = peer.flood(lambda: frame(DATA, 0, stream), 50_000)
    peer.frames(1.0)
    assert sent < 20_000 and peer.ended_with in (ENHANCE_YOUR_CALM, "closed")


def test_a_flood_of_small_windows_changes_nothing(shop, flat, peer):
    """What WINDOW_UPDATE costs is paid by whoever sends it; it leaves nothing behind."""
    peer.flood(lambda: frame(WINDOW_UPDATE, payload=struct.pack(">I", 1)), 50_000, 500)
    peer.send(frame(HEADERS, END_STREAM | END_HEADERS, peer.stream(), peer.block()))
    assert peer.statuses()[0] == [200] or peer.ended_with is not None


# ---- resets, by either side ----


def test_rapid_resets_are_ended(shop, flat, peer):
    """CVE-2023-44487: requests that are taken back at once."""

    def reset():
        stream = peer.stream()
        return frame(HEADERS, END_STREAM | END_HEADERS, stream, peer.block()) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))

    peer.flood(reset, 100, 10)
    peer.send(frame(HEADERS, END_STREAM | END_HEADERS, peer.stream(), peer.block()))
    assert 200 in peer.statuses()[0] and peer.ended_with is None
    sent = peer.flood(reset, 20_000, 10)
    peer.frames(1.0)
    assert sent < 2_000 and peer.ended_with in (ENHANCE_YOUR_CALM, "closed")


def zero_window(peer, stream):
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, peer.block()) + frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 0))


def too_much_window(peer, stream):
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, peer.block()) + frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 2**31 - 1))


def data_behind_the_end(peer, stream):
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, peer.block()) + frame(DATA, 0, stream, b"x")


def headers_behind_the_end(peer, stream):
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, peer.block()) + frame(HEADERS, END_STREAM | END_HEADERS, stream, peer.block())


def priority_of_a_wrong_size(peer, stream):
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, peer.block()) + frame(PRIORITY, 0, stream, b"xyz")


def another_length_than_was_said(peer, stream):
    return frame(HEADERS, END_HEADERS, stream, peer.block("/users/login", "POST", [("content-length", "5")])) + frame(DATA, END_STREAM, stream, b"{}")


def malformed_header(peer, stream):
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, peer.block("/", "GET", [("connection", "close")]))


MISTAKES = [zero_window, too_much_window, data_behind_the_end, headers_behind_the_end, priority_of_a_wrong_size,
            another_length_than_was_said, malformed_header]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_resets_that_we_are_made_to_send_are_counted_too(shop, flat, peer, mistake):
    """CVE-2025-8671 (MadeYouReset): mistakes for which a server resets the stream while its handler goes on."""
    sent = peer.flood(lambda: mistake(peer, peer.stream()), 20_000, 10)
    peer.frames(1.0)
    assert sent < 2_000 and peer.ended_with is not None


def test_more_requests_than_streams_are_refused_and_the_rest_is_answered(shop, flat, peer):
    for _ in range(300):
        peer.send(frame(HEADERS, END_STREAM | END_HEADERS, peer.stream(), peer.block()))
    heard, resets = peer.statuses(2.0)
    assert set(heard) <= {200, 503} and 200 in heard
    assert len(heard) + len(resets) == 300 or peer.ended_with is not None


# ---- headers ----


def test_a_block_of_headers_without_end_is_ended(shop, flat, peer):
    """The CONTINUATION flood (VU#421644)."""
    split = peer.block("/products", "GET", [("x-long", "v" * 50)])
    first, second = peer.stream(), peer.stream()
    peer.send(frame(HEADERS, END_STREAM, first, split[:10]) + frame(CONTINUATION, 0, first, split[10:20]))
    peer.send(frame(CONTINUATION, END_HEADERS, first, split[20:]))
    assert peer.statuses()[0] == [200]
    peer.send(frame(HEADERS, END_STREAM, second, peer.block()))
    literal = b"\x00\x05x-abc\x7f\x00" + b"v" * 127
    sent = peer.flood(lambda: frame(CONTINUATION, 0, second, literal * 8), 20_000, 5)
    peer.frames(1.0)
    assert sent < 2_000 and peer.ended_with is not None


def test_empty_continuations_without_end_are_ended(shop, flat, peer):
    stream = peer.stream()
    peer.send(frame(HEADERS, END_STREAM, stream, peer.block()))
    sent = peer.flood(lambda: frame(CONTINUATION, 0, stream), 200_000, 200)
    until(lambda: peer.frames(0.2) is not None and peer.ended_with is not None, 10, "the end")
    assert sent < 200_000


def test_headers_that_unpack_to_more_than_they_are_are_refused(shop, flat, peer):
    """The HPACK bomb: one large header in the table, named again and again by a byte each. What is a little too much is refused, and what
    is far too much is read no further."""
    stream = peer.stream()
    bomb = peer.block("/products?limit=1", "GET", [("x-bomb", "b" * 3000)])
    index = 62  # the newest of the dynamic table
    peer.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, bomb))
    assert peer.statuses()[0] == [200]
    peer.send(frame(HEADERS, END_STREAM | END_HEADERS, peer.stream(), peer.block() + bytes([0x80 | index]) * 10))
    assert peer.statuses()[0] == [431] and peer.ended_with is None
    peer.send(frame(HEADERS, END_STREAM | END_HEADERS, peer.stream(), peer.block() + bytes([0x80 | index]) * 8000))
    heard, _ = peer.statuses(2.0)
    assert heard == [] and peer.ended_with in (ENHANCE_YOUR_CALM, "closed")


# ---- who does not read ----


def test_answers_that_nobody_reads_are_given_up(shop, flat):
    """Windows that never open: the streams are reset when their time is up, and the connection lives on."""
    peers = [Peer(shop, window=0) for _ in range(5)]
    for peer in peers:
        for _ in range(50):
            peer.send(frame(HEADERS, END_STREAM | END_HEADERS, peer.stream(), peer.block("/openapi.json")))
    accepted(shop.anonymous().get("/products?limit=1"))
    resets = {peer: 0 for peer in peers}

    def all_given_up():
        for peer in peers:
            resets[peer] += len(peer.statuses(0.3)[1])
        return all(count >= 50 or peer.ended_with is not None for peer, count in resets.items())

    until(all_given_up, 20, "given up")
    for peer in peers:
        peer.close()


def test_whoever_reads_nothing_at_all_is_let_go(shop, flat):
    """By TCP: the socket's room is full, and stays so."""
    host, port = shop.addresses["listen"].split(":")
    silent = []
    for _ in range(20):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect((host, int(port)))
        one.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: shop\r\n\r\n" * 200)  # more than the kernel keeps
        silent.append(one)
    accepted(shop.anonymous().get("/products?limit=1"))

    def connections():
        line = next(line for line in shop.http.get(shop.ops + "/metrics").text.splitlines() if "connections" in line and not line.startswith("#"))
        return float(line.split()[-1])

    until(lambda: connections() <= 10, 20, "let go")
    for one in silent:
        one.close()


def test_others_are_served_while_all_that_goes_on(shop):
    """Each flood by a few peers at once, and a shopper who does not notice."""
    worst, until_ = 0.0, time.monotonic() + 2
    peers = [Peer(shop) for _ in range(8)]
    while time.monotonic() < until_:
        for number, peer in enumerate(peers):
            if peer.ended_with is not None:
                peer.close()
                peers[number] = peer = Peer(shop)
            peer.flood(list(ASIDES.values())[number % len(ASIDES)], 200)
        began = time.monotonic()
        accepted(shop.anonymous().get("/products?limit=1"))
        worst = max(worst, time.monotonic() - began)
    for peer in peers:
        peer.close()
    assert worst < 5.0, f"an answer took {worst:.1f} s"
