"""Shops with many rows, made by their own doors and kept under build/bench for the tables as they are now."""
import hashlib
import shutil
import subprocess
import sys

from load import HERE, SERVER_CORE, lua_file, wrk
from peers import Api, Duka


def make_orders(duka, tokens, wanted, products, payments):
    """Through the shop's own door, until there are so many."""
    while (have := sum(duka.orders().values())) < wanted:
        seconds = 2 if wanted - have < 20_000 else 20
        wrk(duka.port, "/orders", seconds, 256, "orders.lua", ["duka", tokens, products, payments])
        duka.settle(300)
        print(f"  {sum(duka.orders().values())} of {wanted} orders", file=sys.stderr, flush=True)


def grown(products, orders, port, payments="approve"):
    """A shop with so many products and so many orders, made once by its own import and its own checkout."""
    schema = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(HERE.parent.glob("src/**/migrations/**/*.sql"))))
    kept = HERE.parent / "build" / "bench" / f"grown-{products}-{orders}-{payments}-{schema.hexdigest()[:12]}"
    settings = {"CATALOG_CACHE": "0", "CONNECTIONS_MAX": "2048"}
    tokens = kept / "tokens"
    if not (kept / "made").exists():
        shutil.rmtree(kept, ignore_errors=True)
        maker = Duka(kept, SERVER_CORE, port=port, DATABASE_DURABLE="false", ACCESS_TOKEN_TTL="1h", **settings)
        maker.start()
        try:
            lua_file(kept, "tokens", maker.seed(products, 50))
            make_orders(maker, tokens, orders, products, payments)
        finally:
            maker.stop()
        (kept / "made").touch()
    for file in (kept / "data").glob("*.db"):  # what is measured is processor time, not a disk that reads it for the first time
        subprocess.run(["dd", f"if={file}", "of=/dev/null", "bs=1M"], check=True, capture_output=True)
    shop = Duka(kept, SERVER_CORE, port=port, **settings)
    shop.start()
    api = Api(port)
    lua_file(kept, "tokens", [shop.login(api, f"bench-{i}@example.com") for i in range(50)])
    return shop, tokens
