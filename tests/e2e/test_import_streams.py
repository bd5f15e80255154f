"""Files larger than memory should hold: taken in pieces with flat memory, worked on by a job that a
kill does not lose; and the catalog exported as a file that makes the same catalog again."""

import csv
import io
import os
import pathlib
import threading
import time

import pytest
from shop import ROOT, accepted, pages, refused, until

MIB = 1024 * 1024
FILES = sorted(
    (pathlib.Path(os.environ.get("DUKA_SHARED_DIR", ROOT.parent / "shared")) / "data").glob("*.csv")
)
DEMO = ROOT / "deploy" / "demo" / "catalog.csv"
HEAD = "Handle,Title,Body (HTML),Published,Variant SKU,Variant Inventory Qty,Variant Price\n"
FILLER = "shelf pot clay shirt blue large " * 1500  # 48 000 bytes of few words: the index stays small


def big_file(products):
    """The file in parts, as a client would read it from its disk."""
    yield HEAD.encode()
    for i in range(products):
        yield f"big-{i},Big {i},{FILLER},true,BIG-{i},{i % 7},1.{i % 100:02}\n".encode()


def resident(shop):
    """What the process holds of memory, in MiB, and the most it has held."""
    status = pathlib.Path(f"/proc/{shop.process.pid}/status").read_text()
    found = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(found["VmRSS"].split()[0]) / 1024


class Watch(threading.Thread):
    """Looks at the process's memory until it is told to stop."""

    def __init__(self, shop):
        super().__init__(daemon=True)
        self.shop, self.most, self.stopping = shop, 0.0, threading.Event()

    def run(self):
        while not self.stopping.wait(0.02):
            self.most = max(self.most, resident(self.shop))

    def end(self):
        self.stopping.set()
        self.join()
        return self.most


def send(staff, content, **query):
    return staff.post(
        "/products/imports", content=content, params=query, headers={"Content-Type": "text/csv"}
    )


def report_of(staff, job):
    return accepted(staff.get(f"/products/imports/{job}", params={"limit": 1}))


def test_a_file_of_60_mb_is_taken_with_flat_memory_and_a_kill_in_the_middle_resumes_it(new_shop):
    products = 1400
    size = sum(len(part) for part in big_file(products))
    assert size > 60 * MIB
    # AddressSanitizer keeps what was freed in quarantine, 256 MB of it unless it is told.
    options = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"
    shop = new_shop(ASAN_OPTIONS=options.lstrip(":")).start()
    staff = shop.staff
    accepted(send(staff, HEAD + "warm,Warm,,true,W-1,1,1\n"), 202)
    until(lambda: staff.get("/products/warm").status_code == 200, 20)
    before = resident(shop)

    watch = Watch(shop)
    watch.start()
    taken = send(staff, big_file(products))  # chunked: no length is announced
    most = watch.end()
    job = accepted(taken, 202)
    assert job["bytes"] == size
    growth = most - before
    print(f"60 MB taken: {before:.1f} MiB before, {most:.1f} MiB at most")
    assert growth < 24, f"memory grew by {growth:.1f} MiB"

    half = until(
        lambda: (seen := report_of(staff, job["id"])) and seen["created"] >= 150 and seen, 60
    )
    assert half["status"] == "running"
    shop.kill()
    shop.start()
    seen = report_of(staff, job["id"])
    assert seen["created"] >= half["created"] and seen["bytes_done"] >= half["bytes_done"]
    done = until(
        lambda: (now := report_of(staff, job["id"]))["status"] != "running" and now, 120, "the rest"
    )
    assert (done["status"], done["created"], done["refused"]) == ("done", products, 0)
    assert done["bytes_done"] == size
    for i in (0, 149, 150, products - 1):
        product = accepted(staff.get(f"/products/big-{i}"))
        assert product["version"] == 1 and len(product["description"]) == len(FILLER)
        assert staff.levels(f"BIG-{i}") == (i % 7, 0, i % 7)
    shop.close()


def test_a_file_above_the_limit_and_one_without_permission_are_refused_before_they_are_kept(
    shop, staff, customer
):
    small = HEAD + "small,Small,,true,S-1,1,1\n"
    accepted(send(staff, small), 202)
    refused(send(customer, small), 403, "auth.role_missing")
    refused(send(shop.anonymous(), small), 401, "auth.token_missing")
    refused(staff.post("/products/imports", json={}), 415, "http.media_type")
    refused(send(staff, ""), 422, "import.invalid")
    refused(send(staff, "Title\nx\n"), 422, "import.invalid")
    # Announced too large: refused by its head, without a byte of it.
    import socket

    host, port = shop.addresses["listen"].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as peer:
        peer.sendall(
            b"POST /products/imports HTTP/1.1\r\nHost: h\r\nContent-Type: text/csv\r\n"
            b"Authorization: Bearer " + staff.token.encode() + b"\r\n"
            b"Content-Length: 300000000\r\n\r\n"
        )
        assert peer.recv(100).startswith(b"HTTP/1.1 413 ")


def test_an_upload_that_breaks_off_leaves_no_import_and_its_pieces_are_swept(new_shop):
    shop = new_shop(SPOOL_RETENTION="1s", SWEEP_INTERVAL="200ms").start()
    staff = shop.staff

    def breaking():
        yield from big_file(40)
        raise ConnectionError("as the test says")

    with pytest.raises(ConnectionError):
        send(staff, breaking())
    accepted(send(staff, HEAD + "fine,Fine,,true,F-1,1,1\n"), 202)
    until(lambda: staff.get("/products/fine").status_code == 200, 20)
    assert shop.rows("products", "select count(*) from imports") == [(1,)]
    until(lambda: shop.rows("products", "select count(*) from spool_chunks") == [(0,)], 30)
    until(lambda: shop.rows("products", "select count(*) from spools") == [(0,)], 30)
    shop.close()


# ---- the export ----


def catalog(staff):
    """Every product as staff sees it, without what an import cannot bring: ids, times, categories."""
    found = {}
    for status in ("active", "draft"):
        listed, _ = pages(lambda **rest: staff.get("/products", **rest), limit=100, status=status)
        for item in listed:
            product = accepted(staff.get(f"/products/{item['id']}"))
            for name in ("id", "created_at", "updated_at", "version", "categories"):
                product.pop(name)
            for variant in product["variants"]:
                variant.pop("id")
                variant["levels"] = staff.levels(variant["sku"])
            found[product["handle"]] = product
    return found


def exported(staff):
    answer = staff.get("/products/export")
    assert answer.status_code == 200, answer.text[:500]
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="products.csv"'
    return answer.content


def whole(report):
    assert report["status"] == "done" and report["refused"] == 0, report
    return report["created"]


@pytest.mark.parametrize("path", [*FILES, DEMO], ids=lambda path: path.name)
def test_what_is_exported_makes_the_same_catalog_in_an_empty_shop(new_shop, path):
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with new_shop() as first:
        whole(first.staff.import_csv(path.read_bytes()))
        file = exported(first.staff)
        wanted = catalog(first.staff)
    assert len(wanted) > 5
    with new_shop() as second:
        assert whole(second.staff.import_csv(file)) == len(wanted)
        assert catalog(second.staff) == wanted
        assert exported(second.staff) == file


def test_the_sample_files_together_are_exported_and_made_again(new_shop):
    if not FILES:
        pytest.skip("no sample files (DUKA_SHARED_DIR names the folder that has data/*.csv)")
    with new_shop() as first:
        for path in FILES:
            whole(first.staff.import_csv(path.read_bytes()))
        file, wanted = exported(first.staff), catalog(first.staff)
    with new_shop() as second:
        assert whole(second.staff.import_csv(file)) == len(wanted)
        assert catalog(second.staff) == wanted


def test_an_export_has_what_may_be_sold_and_nothing_that_was_put_away(staff, shop):
    customer = shop.customer()
    kept = staff.create_product(on_hand=10)
    sku = kept["variants"][0]["sku"]
    accepted(customer.place([(sku, 3)]), 201)
    gone = staff.create_product(on_hand=1)
    answer = staff.get(f"/products/{gone['id']}")
    accepted(
        staff.delete(f"/products/{gone['id']}", headers={"If-Match": answer.headers["etag"]}), 204
    )
    until(lambda: staff.levels(sku) == (10, 3, 7))
    rows = {row["Handle"]: row for row in csv.DictReader(io.StringIO(exported(staff).decode()))}
    assert rows[kept["handle"]]["Variant Inventory Qty"] == "7"
    assert gone["handle"] not in rows
    refused(customer.get("/products/export"), 403, "auth.role_missing")
    refused(shop.anonymous().get("/products/export"), 401, "auth.token_missing")
    refused(staff.get("/products/export", params={"x": "1"}), 400, "query.malformed")


def test_a_large_export_comes_in_pieces_and_a_reader_who_goes_disturbs_nobody(new_shop):
    shop = new_shop().start()
    staff = shop.staff
    report = staff.import_csv(b"".join(big_file(150)))
    assert whole(report) == 150
    with staff.http.stream(
        "GET",
        staff.door + "/products/export",
        headers={"Authorization": "Bearer " + staff.token},
    ) as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        next(answer.iter_raw())
    rows = list(csv.DictReader(io.StringIO(exported(staff).decode())))
    assert [row["Handle"] for row in rows] == [f"big-{i}" for i in range(150)]
    assert all(row["Body (HTML)"] == FILLER.strip() or row["Body (HTML)"] == FILLER for row in rows)
    started = time.monotonic()
    shop.close()
    assert time.monotonic() - started < 15
