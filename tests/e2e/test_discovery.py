"""Programs find each other by plain DNS names, which are asked again: an address that comes is used, one that goes is left."""

import shutil
import subprocess

import pytest
from shop import Shop, accepted, free_port, items, until


def private_mounts():
    """What runs a program with mounts of its own, if this machine lets us."""
    for prefix in (["unshare", "-m"], ["unshare", "-rm"]):
        if shutil.which("unshare") and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
            return prefix
    return None


@pytest.mark.skipif(private_mounts() is None, reason="this machine lets nobody have an /etc/hosts of their own")
@pytest.mark.parametrize("url", ["http://products-service:{port}", "dns:///products-service.shop.svc.cluster.local:{port}"])
def test_an_address_that_comes_is_used_and_one_that_goes_is_left(url, tmp_path):
    hosts, port = tmp_path / "hosts", free_port()
    name = url.split("/")[-1].split(":")[0]

    def named(*addresses):
        hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for address in addresses))

    one, other = "127.0.0.2", "127.0.0.3"
    shop = Shop(tmp_path / "data", apart=True)
    shop.instances |= {"products": f"{one}:{port}", "products.1": f"{other}:{port}"}
    shop.services_ops["products.1"] = f"127.0.0.1:{free_port()}"
    shop.settings["PRODUCTS_URL"] = f"http://{one}:{port}"  # of those that push events
    shop.own = {
        "gateway": {"PRODUCTS_URL": url.format(port=port)},
        "products.1": {"DATABASE_URL_PRODUCTS": f"sqlite:{tmp_path}/other.db"},  # so that their answers differ
    }
    named(one)
    with_hosts = [*private_mounts(), "sh", "-c", f'mount --bind "{hosts}" /etc/hosts && exec "$@"', "sh"]
    shop.start(prefix=with_hosts)
    try:
        made = {
            address: shop.staff.at(f"http://{address}:{port}").create_product()["id"] for address in (one, other)
        }

        def answered():
            """Whose catalogs twenty readers see."""
            asked = [shop.anonymous().get("/products") for _ in range(20)]
            return {address for address, product in made.items() for answer in asked if product in [p["id"] for p in items(answer)]}

        assert answered() == {one}
        named(one, other)
        until(lambda: answered() == {one, other}, 20, "the new address to be used")
        named(other)
        until(lambda: answered() == {other}, 20, "the old address to be left")
        shop.kill_service("products")
        assert answered() == {other}, "nobody hears that it is gone"
        named()  # the name is known to nobody
        until(lambda: answered() == {other} and '"upstream.not_found"' in shop.log(), 20, "DNS to be asked, and to know nothing")
        assert answered() == {other}, "those that are known stay"
        assert accepted(shop.anonymous().get(f"/products/{made[other]}"))
    finally:
        shop.kill()
