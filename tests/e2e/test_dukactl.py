"""The operator's tool against a shop that runs, and against its files when it does not."""

import csv
import io
import pathlib
import re
import shutil
import sqlite3
import subprocess
import tarfile
import threading
import time
import uuid

import pytest
from shop import Shop, accepted, one_process, pages, program, until

COMMANDS = (
    "users create",
    "users password",
    "import",
    "export",
    "seed",
    "explain",
    "dead-letters list",
    "dead-letters requeue",
    "dead-letters skip",
    "move",
    "rotate keys",
    "api-keys create",
    "api-keys list",
    "api-keys revoke",
    "backup",
    "restore",
    "check",
    "migrate",
    "bus setup",
    "config",
    "ready",
    "help",
    "man",
    "completion",
)
DONE, REFUSED, USAGE, FAULTS, NO_SHOP = range(5)
SIMULATOR = "payments-simulator"
HEAD = "Handle,Title,Published,Variant SKU,Variant Inventory Qty,Variant Price\n"


def ends(done, code, *words):
    """A command ended with that code and said these words."""
    said = done.stdout + done.stderr
    assert done.returncode == code, (done.args, done.returncode, said)
    for word in words:
        assert word in said, (word, said)
    return done.stdout


def change(shop, service, *statements):
    """Changes a database of a shop that does not run, as no program of ours would."""
    assert shop.process is None
    folder = shop.data / "orders" if shop.apart and service == SIMULATOR else shop.data
    with sqlite3.connect(folder / f"{service}.db") as database:
        for statement, *values in statements:
            assert database.execute(statement, values).rowcount != 0, statement
    database.close()


# ---- help, the man page, completions: all from one table ----


def test_each_command_has_a_help_of_its_own_and_stands_in_the_list_and_the_man_page(new_shop):
    shop = new_shop()
    listed = ends(shop.dukactl("--help"), DONE)
    man = ends(shop.dukactl("man"), DONE)
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\w", listed, re.M), name
        own = ends(shop.dukactl(*name.split(), "--help"), DONE)
        assert own.startswith(f"dukactl {name}"), own
        assert ends(shop.dukactl("help", *name.split()), DONE) == own
        for option in re.findall(r"^  (--[a-z-]+)", own, re.M):
            assert ".B " + option.replace("-", "\\-") in man, (name, option)
        assert f".SS dukactl {name}".replace("-", "\\-") in man.replace("dukactl \\-", "dukactl \\-")
    assert len(re.findall(r"^  [a-z-]+(?: [a-z]+)?  +[A-Z]", listed, re.M)) == len(COMMANDS)
    for code in range(5):
        assert re.search(rf"^  {code}  \w", listed, re.M)
        assert f".TP\n.B {code}\n" in man


def test_the_man_page_is_clean_troff(new_shop):
    if not shutil.which("man"):
        pytest.skip("there is no man here to read it with")
    page = new_shop().dukactl("man").stdout
    read = subprocess.run(
        ["man", "--warnings", "-l", "-"],
        input=page,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "MANPAGER": "cat", "MANWIDTH": "100", "LC_ALL": "C.UTF-8"},
    )
    assert read.returncode == 0 and "warning" not in read.stderr, read.stderr
    assert "EXIT STATUS" in read.stdout


def complete(shop, *words):
    """What bash offers for the last of the words."""
    script = ends(shop.dukactl("completion", "bash"), DONE)
    quoted = " ".join(f"'{word}'" for word in ("dukactl", *words))
    asked = f"COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _dukactl; echo ${{COMPREPLY[*]}}"
    done = subprocess.run(
        ["bash", "-c", script + "\n" + asked], capture_output=True, text=True, check=True
    )
    assert not done.stderr, done.stderr
    return done.stdout.split()


def test_bash_completes_commands_and_their_options(new_shop):
    shop = new_shop()
    assert {"backup", "restore", "users", "dead-letters"} <= set(complete(shop, ""))
    assert complete(shop, "ba") == ["backup"]
    assert complete(shop, "users", "") == ["create", "password"]
    assert complete(shop, "dead-letters", "s") == ["skip"]
    assert complete(shop, "users", "create", "--e") == ["--email"]
    assert complete(shop, "seed", "--p") == ["--products"]
    if shutil.which("zsh"):
        script = shop.dukactl("completion", "zsh").stdout
        subprocess.run(["zsh", "-n"], input=script, text=True, check=True)
    ends(shop.dukactl("completion", "fish", check=False), USAGE, "bash and zsh")


def test_a_command_line_that_cannot_be_read_is_refused_with_2(new_shop):
    shop = new_shop()
    for words, said in (
        ([], "a command is missing"),
        (["bakcup"], "no command bakcup"),
        (["users"], "followed by another word"),
        (["backup"], "takes FILE"),
        (["backup", "a", "b"], "takes FILE"),
        (["backup", ""], "an empty argument"),
        (["seed", "--products", "many"], "takes a number"),
        (["seed", "--colour"], "no such option"),
        (["explain", "../../etc"], "no order's id"),
    ):
        ends(shop.dukactl(*words, check=False), USAGE, said)


@one_process("restore fills one DATA_DIR")
def test_what_needs_a_shop_says_so_with_4_and_what_needs_none_too(new_shop, tmp_path):
    shop = new_shop()
    for words in (
        ["import", __file__],
        ["export"],
        ["seed"],
        ["explain", str(uuid.uuid4())],
        ["dead-letters", "list"],
        ["backup", str(tmp_path / "b")],
    ):
        ends(shop.dukactl(*words, check=False), NO_SHOP, "no shop runs")
    shop.start()
    for words in (["check"], ["migrate"], ["restore", __file__]):
        ends(shop.dukactl(*words, check=False), NO_SHOP, "a shop runs", "stop it")
    shop.stop()
    ends(shop.dukactl("check"), DONE, "0 faults")
    ends(shop.dukactl("migrate"), DONE)


# ---- the catalog ----


def test_a_file_is_imported_and_exported_by_the_operator(new_shop, tmp_path):
    shop = new_shop().start()
    file, out = tmp_path / "in.csv", tmp_path / "out.csv"
    file.write_text(HEAD + "one,One,true,ONE,5,1.50\ntwo,Two,false,TWO,0,2\n")
    ends(shop.dukactl("import", str(file)), DONE, "created 2, changed 0, unchanged 0, refused 0")
    ends(shop.dukactl("import", str(file)), DONE, "created 0, changed 0, unchanged 2, refused 0")
    assert accepted(shop.anonymous().get("/products/one"))["variants"][0]["price"]["amount"] == 150

    ends(shop.dukactl("export", str(out)), DONE, "bytes in")
    rows = list(csv.DictReader(out.open(encoding="utf-8", newline="")))
    assert [row["Handle"] for row in rows] == ["one", "two"]
    assert ends(shop.dukactl("export"), DONE) == out.read_text()
    ends(shop.dukactl("export", str(out), check=False), REFUSED, "there already")
    ends(shop.dukactl("export", "--replace", str(out)), DONE)

    file.write_text(HEAD + "bad,Bad,true,BAD,5,nine\n")
    ends(
        shop.dukactl("import", str(file), check=False), REFUSED, "refused 1", "bad", "Variant Price"
    )
    ends(shop.dukactl("import", str(tmp_path / "none"), check=False), REFUSED, "none")
    file.write_text("Title\nx\n")
    ends(shop.dukactl("import", str(file), check=False), REFUSED, "import.invalid")
    shop.close()


def test_seed_fills_the_catalog_and_more_adds_to_it(new_shop):
    shop = new_shop().start()
    ends(shop.dukactl("seed", "--products", "30"), DONE, "created 30")
    ends(shop.dukactl("seed", "--products", "30"), DONE, "unchanged 30")
    ends(shop.dukactl("seed", "--products", "45"), DONE, "created 15", "unchanged 30")
    found, _ = pages(lambda **rest: shop.anonymous().get("/products", **rest), limit=20)
    assert len(found) == 45
    customer = shop.customer()
    accepted(customer.place("DEMO-3-M"), 201)
    rows = list(csv.DictReader(io.StringIO(shop.dukactl("export").stdout)))
    assert len(rows) == 3 * 45
    assert not list(shop.data.glob("*.tmp"))
    shop.close()


# ---- one order ----


def test_explain_tells_the_life_of_an_order(shop, staff):
    customer = shop.customer()
    sku = staff.new_sku()
    order = accepted(customer.place([(sku, 2)]), 201)
    customer.order_becomes(order["id"], payment_status="captured")
    accepted(staff.fulfil(order["id"]))
    said = ends(shop.dukactl("explain", order["id"]), DONE)
    for words in (order["id"], f"2 of {sku}", "placed", "reserved", "confirmed", "payment.captured"):
        assert words in said, (words, said)
    assert "none is due" in said, said
    assert shop.apart or re.search(rf"hold +2 of {sku}: \d shipped", said), said  # else it lies in another program
    waiting = accepted(customer.place([(sku, 1)], token="timeout", wait=0), 202)
    customer.order_becomes(waiting["id"], payment_status="pending")  # its provider takes ten seconds
    said = ends(shop.dukactl("explain", waiting["id"]), DONE)
    assert re.search(r"authorize +due \d{4}-\S+ tried 0 times since \d{4}-", said), said
    if not shop.apart:
        assert f"1 of {sku}: 0 shipped" in said and re.search(r"reservation +reserved", said)
        assert re.search(r"products +applied +orders\.v1", said), said
    assert re.search(r"orders +applied +products\.v1", said), said
    ends(shop.dukactl("explain", str(uuid.uuid4()), check=False), REFUSED, "not_found")


# ---- dead letters ----


def put_letters(shop, key, numbers):
    """Events as they lie when a reaction could not take them: their payload cannot be read."""
    change(
        shop,
        "orders",
        *(
            (
                "insert into dead_letters (topic, key, number, event_id, type, payload, event_at,"
                " error, tries, state, at) values ('products.v1', ?, ?, ?,"
                " 'products.v1.StockReserved', x'ff', 1, 'event.undecodable', 1, 'dead', 1)",
                key,
                number,
                uuid.uuid4().bytes,
            )
            for number in numbers
        ),
    )


def letters(shop):
    """Key, number, state and tries of each."""
    found = ends(shop.dukactl("dead-letters", "list", at="orders"), DONE)
    return [
        (match[1], int(match[2]), match[3], int(match[4]))
        for match in re.finditer(
            r"^orders products\.v1 (\S+) (\d+)  \S+, (\w+), (\d+) tries", found, re.M
        )
    ]


def test_dead_letters_are_listed_requeued_and_skipped(new_shop):
    shop = new_shop().start()
    shop.stop()
    key = str(uuid.uuid4())
    put_letters(shop, key, (1, 2))
    shop.start()
    assert letters(shop) == [(key, 1, "dead", 1), (key, 2, "dead", 1)]
    said = ends(shop.dukactl("explain", key), DONE)  # no order, but events of it
    assert re.search(r"orders +dead +products\.v1 +number 1 ", said) and "timeline" not in said, said

    ends(shop.dukactl("dead-letters", "requeue", "orders", "products.v1", key), DONE, "requeued")
    until(lambda: letters(shop)[0][2:] > ("dead", 1) and letters(shop)[0][2] == "dead", 20)
    ends(
        shop.dukactl("dead-letters", "skip", "orders", "products.v1", key, "2", check=False),
        REFUSED,
    )  # not the first of its key
    ends(shop.dukactl("dead-letters", "skip", "orders", "products.v1", key, "1"), DONE, "skipped")
    assert letters(shop)[0][:3] == (key, 1, "skipped")
    until(lambda: letters(shop)[1][2] == "dead", 20)
    ends(shop.dukactl("dead-letters", "skip", "orders", "products.v1", key, "2"), DONE)
    assert [letter[2] for letter in letters(shop)] == ["skipped", "skipped"]

    # One so old that what came before it is not known any more passes over that; another does not.
    shop.stop()
    old, early = str(uuid.uuid4()), str(uuid.uuid4())
    put_letters(shop, old, (3,))
    put_letters(shop, early, (3,))
    told_old = "update dead_letters set error = 'event.too_old: it is' where key = ?"
    change(shop, "orders", (told_old, old))
    shop.start()
    skip = ("dead-letters", "skip", "orders", "products.v1")
    ends(shop.dukactl(*skip, early, "3", check=False), REFUSED)
    ends(shop.dukactl(*skip, old, "3"), DONE, "skipped")

    for words in (
        ["requeue", "nobody", "products.v1", key],
        ["requeue", "orders", "products.v1", "none"],
        ["skip", "orders", "products.v1", key, "9"],
    ):
        ends(shop.dukactl("dead-letters", *words, check=False), REFUSED, "not_found")
    shop.stop()


# ---- the books ----


@pytest.fixture(scope="module")
def sold(tmp_path_factory):
    """The data of a shop that has sold, stopped; copied for each test."""
    shop = Shop(tmp_path_factory.mktemp("sold") / "data").start()
    staff, customer = shop.staff, shop.customer()
    sku, other = staff.new_sku(on_hand=50), staff.new_sku(on_hand=50)
    done = accepted(customer.place([(sku, 2), (other, 1)]), 201)["id"]
    open_ = accepted(customer.place([(sku, 3)]), 201)["id"]
    assert customer.place([(sku, 1000)]).status_code == 409
    gone = accepted(customer.place([(other, 4)]), 201)["id"]
    for order in (done, open_, gone):
        customer.order_becomes(order, payment_status="captured")
    accepted(staff.fulfil(done))
    accepted(customer.cancel(gone))
    customer.order_becomes(gone, status="cancelled")
    until(lambda: staff.levels(other) == (49, 0, 49))
    shop.close()
    shop.names = {"sku": sku, "done": done, "open": open_, "gone": gone}
    return shop


@pytest.fixture
def copy(sold, new_shop):
    """A shop on a copy of that data, not started."""
    shop = new_shop()
    shutil.copytree(sold.data, shop.data, ignore=shutil.ignore_patterns("*.sock"))
    shop.names = sold.names
    return shop


def test_the_books_of_a_shop_that_has_sold_agree(copy):
    ends(copy.dukactl("check"), DONE, "4 orders", "0 events waiting", "0 dead letters: 0 faults")


@pytest.mark.parametrize(
    "service, statement, names, said",
    [
        ("products", "update stock set reserved = reserved + 1 where sku = ?", ["sku"], "reserved"),
        ("products", "update stock set on_hand = on_hand + 1 where sku = ?", ["sku"], "its ledger"),
        ("products", "delete from holds where order_id = ?", ["open"], "holds nothing"),
        ("products", "update holds set quantity = quantity + 1 where order_id = ?", ["open"], "held"),
        ("orders", "update order_lines set shipped = 0 where order_id = ?", ["done"], "shipped"),
        ("orders", "update orders set total_minor = total_minor + 1 where id = ?", ["done"], "total"),
        (
            "orders",
            "update orders set refunded_minor = 0 where id = ?",
            ["gone"],
            "is cancelled and keeps",
        ),
        ("orders", "update orders set status = 'placed' where id = ?", ["open"], "no event"),
        # The provider's books beside ours; 2 is authorized, 3 captured, 6 refunded.
        (SIMULATOR, "update payments set known = 6 where id = ?", ["open"], "provider says refunded"),
        (SIMULATOR, "update payments set known = 3 where id = ?", ["gone"], "provider says captured"),
        (SIMULATOR, "update payments set amount_minor = 1 where id = ?", ["done"], "was asked for 1"),
        (SIMULATOR, "delete from payments where id = ?", ["open"], "provider says nothing"),
    ],
)
def test_a_planted_fault_is_found_and_named(copy, service, statement, names, said):
    values = [
        copy.names[name] if name == "sku" else uuid.UUID(copy.names[name]).bytes for name in names
    ]
    change(copy, service, (statement, *values))
    told = ends(copy.dukactl("check", check=False), FAULTS, said)
    assert any(copy.names[name] in told for name in names), told


def test_money_that_a_provider_holds_for_no_order_is_found(copy):
    stranger = uuid.uuid4()
    change(
        copy,
        SIMULATOR,
        (
            "insert into payments (id, token, amount_minor, currency, known, asked, changed_at)"
            " values (?, 'approve', 900, 'EUR', 3, 1, 1)",
            stranger.bytes,
        ),
    )
    ends(copy.dukactl("check", check=False), FAULTS, f"holds 900 for order {stranger}", "not exist")


def test_a_hold_that_no_order_knows_is_found_and_a_damaged_file_too(copy):
    order = uuid.UUID(copy.names["open"]).bytes
    change(
        copy,
        "orders",
        ("delete from order_lines where order_id = ?", order),
        ("delete from timeline where order_id = ?", order),
        ("delete from orders where id = ?", order),
    )
    ends(copy.dukactl("check", check=False), FAULTS, "does not exist", copy.names["open"])
    path = copy.data / "users.db"
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 6] = b"\x55" * (4096 * 3)
    path.write_bytes(content)
    ended = copy.dukactl("check", check=False)
    assert ended.returncode in (REFUSED, FAULTS) and "damaged" in ended.stdout + ended.stderr


# ---- backup and restore ----


class Buyers:
    """Customers who order until told to stop; `placed` holds what they were told."""

    def __init__(self, shop, skus, count=4):
        self.placed, self.failures, self.stopping = [], [], threading.Event()
        self.threads = [
            threading.Thread(target=self.buy, args=(shop.customer(), skus), daemon=True)
            for _ in range(count)
        ]
        for thread in self.threads:
            thread.start()

    def buy(self, person, skus):
        try:
            while not self.stopping.is_set():
                answer = person.place([(sku, 1) for sku in skus], wait=5)
                self.placed.append((time.monotonic(), accepted(answer, 201)["id"]))
        except Exception as failure:  # noqa: BLE001: told by the test
            self.failures.append(failure)

    def end(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        assert not self.failures, self.failures


@one_process("one moment of all services; apart each is backed up by itself (test_apart.py)")
def test_a_backup_made_while_selling_is_one_moment_and_is_restored_whole(new_shop, tmp_path):
    shop = new_shop().start()
    staff = shop.staff
    skus = [staff.new_sku(on_hand=100000) for _ in range(2)]
    buyers = Buyers(shop, skus)
    until(lambda: len(buyers.placed) > 20, 60)
    began = time.monotonic()
    file = tmp_path / "backup.tar"
    said = ends(shop.dukactl("backup", str(file)), DONE, "bytes in")
    ended = time.monotonic()
    count = len(buyers.placed)
    until(lambda: len(buyers.placed) > count + 10, 60)  # it sold on
    buyers.end()
    paused = int(re.search(r"still for (\d+) us", said)[1])
    print(f"writers stood still for {paused} us")
    assert file.stat().st_mode & 0o777 == 0o600 and not list(tmp_path.glob("*.part"))
    ends(shop.dukactl("backup", str(file), check=False), REFUSED, "there already")
    with tarfile.open(file) as tar:
        names = set(tar.getnames())
    assert {"users.db", "products.db", "orders.db", "payments-simulator.db", "MANIFEST"} <= names
    assert any(name.startswith("keys/") for name in names)
    shop.close()

    restored = new_shop()
    ends(restored.dukactl("restore", str(file)), DONE, ": 0 faults", "restored into")
    ends(restored.dukactl("restore", str(file), check=False), REFUSED, "--replace")
    ends(restored.dukactl("check"), DONE, ": 0 faults")
    restored.start()
    token = staff.token  # the keys are there: yesterday's token holds
    person = restored.anonymous()
    person.token = token
    found, _ = pages(lambda **rest: person.get("/orders", **rest), limit=100, scope="all")
    known = {order["id"] for order in found}
    assert {order for at, order in buyers.placed if at < began} <= known
    assert not {order for at, order in buyers.placed if at > ended + 10} & known
    for order in known:  # what was under way goes on
        person.order_becomes(order, 30, status="confirmed", payment_status="captured")
    for sku in skus:
        assert person.levels(sku) == (100000, len(known), 100000 - len(known))
    restored.close()
    ends(restored.dukactl("check"), DONE, ": 0 faults", "0 events waiting")


@one_process("restore fills one DATA_DIR")
def test_a_backup_that_is_damaged_or_none_changes_nothing(copy, new_shop, tmp_path):
    file, bad = tmp_path / "backup.tar", tmp_path / "bad.tar"
    copy.start()
    ends(copy.dukactl("backup", str(file)), DONE)
    copy.stop()
    target = new_shop()
    content = file.read_bytes()
    for damaged, said in (
        (content[: len(content) // 2], "cut off"),
        (content[:5000] + bytes([content[5000] ^ 1]) + content[5001:], "damaged"),
        (b"this is no tar" * 100, "no tar"),
        (b"", "no tar"),
    ):
        bad.write_bytes(damaged)
        ends(target.dukactl("restore", str(bad), check=False), REFUSED, said, "backup.invalid")
        assert not list(target.data.glob("*.db"))
    ends(target.dukactl("restore", str(file)), DONE)
    before = (target.data / "orders.db").read_bytes()
    ends(target.dukactl("restore", "--replace", str(bad), check=False), REFUSED)
    assert (target.data / "orders.db").read_bytes() == before
    ends(target.dukactl("restore", "--replace", str(file)), DONE)
    assert (target.data / "before-restore" / "orders.db").exists()
    ends(target.dukactl("check"), DONE, "4 orders", ": 0 faults")


def test_long_work_shows_a_bar_on_a_terminal_only(new_shop, tmp_path):
    shop = new_shop().start()
    assert "%" not in shop.dukactl("seed", "--products", "20").stderr
    if not shutil.which("script"):
        pytest.skip("there is no script(1) to make a terminal with")
    log = tmp_path / "log"
    subprocess.run(
        ["script", "-q", "-e", "-c", f"{program('dukactl')} seed --products 60", str(log)],
        env={**shop.operators_settings("seed"), "TERM": "dumb"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
    said = pathlib.Path(log).read_text(errors="replace")
    assert "[##############################] 100 %" in said, said
    shop.close()
