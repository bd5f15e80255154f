"""A trace of system calls shows that the fsync of an order's commit returned before a byte of its
answer left. With DATABASE_DURABLE=false, the planted fault, the same check fails."""

import dataclasses
import re
import shutil
import signal
import subprocess

import pytest
from shop import Shop, accepted, until

CALLS = "openat,fsync,fdatasync,pwrite64,write,writev,sendto,sendmsg"


def can_trace():
    if not shutil.which("strace"):
        return "strace is not installed"
    done = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True)
    return None if done.returncode == 0 else "this machine does not let processes be traced"


WHY_NOT = can_trace()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


@dataclasses.dataclass
class Call:
    """A system call: where in the trace it began and where it returned (None: not seen)."""

    name: str
    text: str
    begun: int
    returned: int | None


def read_trace(path):
    """Reads what strace -f -y wrote; puts calls that others interrupted together again."""
    calls, open_calls = [], {}
    whole = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)")
    begun = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>")
    resumed = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>")
    for number, line in enumerate(path.read_text(errors="replace").splitlines()):
        if found := begun.match(line):
            call = Call(found[2], found[3], number, None)
            open_calls[found[1], found[2]] = call
            calls.append(call)
        elif found := resumed.match(line):
            if call := open_calls.pop((found[1], found[2]), None):
                call.returned = number
                call.text += line
        elif found := whole.match(line):
            calls.append(Call(found[2], found[3], number, number))
    return calls


def hexed(text):
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def trace_one_order(place, **settings):
    """Traces duka around one POST /orders; gives the order and the calls."""
    shop = Shop(place / "data", **settings)
    trace = place / "trace"
    # -D: strace stands aside, and the process that we started is duka itself.
    shop.start(
        [
            "strace",
            "-D",
            "-f",
            "-y",
            "-xx",
            "-s",
            "20000",
            "-e",
            "trace=" + CALLS,
            "-o",
            str(trace),
        ],
        60,
    )
    try:
        staff, customer = shop.staff, shop.customer()
        title = "Traced " + "of Nairobi" * 3
        sku = staff.create_product(title=title)["variants"][0]["sku"]
        # By hand: the answer comes with the last commit of this order, and nothing follows it.
        order = accepted(customer.place(sku, provider="manual"), 201)
        ended = f"{shop.process.pid} +"
        shop.stop()
    finally:
        shop.kill()
    until(
        lambda: re.search(rf"^{ended}.*exited with", trace.read_text(), re.M),
        what="the end of the trace",
    )
    return order, title, read_trace(trace)


def is_on(call, file):
    return hexed("/" + file) + ">" in call.text.split(",")[0]


def is_durable_before_told(order, title, calls):
    """Whether the commit that fixed the answer was on disk before its first byte was sent."""
    order_id, title = hexed(order["id"]), hexed(title)
    answers = [
        call
        for call in calls
        if call.name in ("write", "writev", "sendto", "sendmsg")
        and hexed("HTTP/1.1 201") in call.text
        and order_id in call.text
    ]
    assert len(answers) == 1, f"{len(answers)} answers were sent"
    answer = answers[0]
    # The page of the log that holds the kept answer: the order's id as text, and its line's title.
    commits = [
        call
        for call in calls
        if call.name == "pwrite64"
        and is_on(call, "orders.db-wal")
        and re.search(re.escape(order_id) + ".{0,3000}?" + re.escape(title), call.text)
    ]
    assert (
        commits and commits[0].returned is not None
    ), "the kept answer was not seen in the log of the database"
    assert commits[0].returned < answer.begun, "the answer was sent before its commit was written"
    return any(
        call.name in ("fsync", "fdatasync")
        and is_on(call, "orders.db-wal")
        and commits[0].returned < call.begun
        and call.returned is not None
        and call.returned < answer.begun
        for call in calls
    )


def test_the_fsync_returned_before_the_answer_left(tmp_path):
    assert is_durable_before_told(*trace_one_order(tmp_path))


def test_the_check_fails_where_commits_do_not_wait_for_the_disk(tmp_path):
    assert not is_durable_before_told(*trace_one_order(tmp_path, DATABASE_DURABLE="false"))


def test_the_first_commit_of_an_order_is_on_disk_before_202(tmp_path):
    """Nobody waits for it to settle: the answer is the order as it was placed."""
    shop = Shop(tmp_path / "data")
    shop.start()
    customer, sku = shop.customer(), shop.staff.new_sku()
    order = accepted(customer.place(sku, "late", wait=None), 202)
    shop.process.send_signal(signal.SIGKILL)
    shop.process.wait()
    shop.process = None
    shop.start()
    until(lambda: customer.order(order["id"])["status"] == "confirmed", 15, "the order to settle")
    shop.close()
