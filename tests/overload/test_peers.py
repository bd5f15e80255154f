"""Peers that mean harm, while shoppers are served: each attack by many at once, from a processor of its own. Shoppers hear no less
and wait no longer, the program says that it is well, takes no more memory, and is as before within 5 s after it. What ends each
attack is shown one by one by tests/e2e/test_hostile_peers.py."""

import contextlib
import multiprocessing
import os
import socket
import time

import pytest
from conftest import LOADS, NORMAL_AGAIN_S, PROCESSORS, Watch, connect, normal_again

from test_hostile_peers import (
    ASIDES,
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    MISTAKES,
    RST_STREAM,
    Peer,
    frame,
)

SECONDS = 10


def begin_requests(peer, count):
    for _ in range(count):
        peer.send(frame(HEADERS, END_STREAM | END_HEADERS, peer.stream(), peer.block("/openapi.json")))


def rapid_reset(peer):
    def reset():
        stream = peer.stream()
        return frame(HEADERS, END_STREAM | END_HEADERS, stream, peer.block()) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08")

    peer.flood(reset, 5_000, 20)


def made_to_reset(peer):
    peer.flood(lambda: MISTAKES[0](peer, peer.stream()), 5_000, 20)


def continuation(peer):
    stream = peer.stream()
    peer.send(frame(HEADERS, END_STREAM, stream, peer.block()))
    peer.flood(lambda: frame(CONTINUATION, 0, stream, b"\x00\x05x-abc\x7f\x00" + b"v" * 127), 20_000, 50)


def hpack_bomb(peer):
    bomb = peer.block("/products?limit=1", "GET", [("x-bomb", "b" * 3000)])
    peer.send(frame(HEADERS, END_STREAM | END_HEADERS, peer.stream(), bomb))
    for _ in range(50):
        peer.send(frame(HEADERS, END_STREAM | END_HEADERS, peer.stream(), peer.block() + bytes([0x80 | 62]) * 8000))
    peer.frames(0.01)


FLOODS = {
    **{what: (lambda make: lambda peer: peer.flood(make, 50_000))(make) for what, make in ASIDES.items()},
    "rapid reset": rapid_reset,
    "resets that we are made to send": made_to_reset,
    "continuation": continuation,
    "hpack bomb": hpack_bomb,
}


def flood_by(shop, flood, peers):
    """By so many connections in turn, each replaced once it is ended."""
    while True:
        for _ in range(peers):
            with contextlib.suppress(OSError, AssertionError):
                peer = Peer(shop)
                flood(peer)
                peer.close()


def sit(shop, count, greeting=b"", more=b"", every=1.0, window=None):
    """So many connections that say a little now and then, and read nothing."""
    sockets = []
    while True:
        while len(sockets) < count:
            one = connect(shop)
            if window:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            one.setblocking(False)
            with contextlib.suppress(OSError):
                one.send(greeting)
            sockets.append(one)
        time.sleep(every)
        for one in list(sockets):
            try:
                if more:
                    one.send(more)
            except BlockingIOError:
                pass
            except OSError:
                sockets.remove(one)
                one.close()


GET = b"GET /openapi.json HTTP/1.1\r\nHost: shop\r\n\r\n"
POST = b"POST /users/login HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n"
SITTERS = {
    "9 000 idle connections": {"count": 9000, "every": 5.0},
    "heads that drip": {"count": 1000, "greeting": b"GET / HTTP/1.1\r\n", "more": b"X-A: b\r\n"},
    "bodies that drip": {"count": 1000, "greeting": POST, "more": b"x"},
    "slow readers": {"count": 300, "greeting": GET * 100, "window": 4096},
}


def beside(shop, load, attack, arguments, tell, what):
    """Half of what it can serve, while the attack goes on."""
    rate = load.peak(first=200)["goodput"] / 2
    calm = load.run(rate, 3)
    attacker = multiprocessing.get_context("fork").Process(target=pinned, args=(attack, shop, arguments), daemon=True)
    attacker.start()
    try:
        time.sleep(3 if arguments.get("count", 0) > 5000 else 0.5)
        warm = load.run(rate, 1)  # what is kept for so many connections is there before memory is looked at
        with Watch(shop) as watch:
            done = load.run(rate, SECONDS, tries=2)
    finally:
        attacker.kill()
        attacker.join()
    back = normal_again(load, rate, 2 * calm["try_p99_ms"] + 5)
    tell(f"{what}: {done['served']} of {done['came']} served, p99 {calm['try_p99_ms']:.1f} -> {done['try_p99_ms']:.1f} ms, memory "
         f"{watch.before:.0f} -> {watch.most:.0f} MiB, as before after {back:.1f} s")
    watch.check()
    assert warm["came"] > 0 and done["served"] >= 0.9 * done["came"], done
    assert done["try_p99_ms"] <= 2 * max(calm["try_p99_ms"], 10), done
    assert back <= NORMAL_AGAIN_S


def pinned(attack, shop, arguments):
    os.sched_setaffinity(0, {PROCESSORS[-1]})
    attack(shop, **arguments)


@pytest.mark.parametrize("what", FLOODS)
def test_shoppers_do_not_notice_a_flood(overloaded, tmp_path, tell, what):
    shop = overloaded()
    beside(shop, LOADS["reads"](shop, tmp_path), flood_by, {"flood": FLOODS[what], "peers": 8}, tell, what)


@pytest.mark.parametrize("what", SITTERS)
def test_shoppers_do_not_notice_who_sits_on_connections(overloaded, tmp_path, tell, what):
    shop = overloaded(WRITE_TIMEOUT="2s", BODY_TIMEOUT="5s", HEAD_TIMEOUT="3s")
    beside(shop, LOADS["reads"](shop, tmp_path), sit, SITTERS[what], tell, what)
