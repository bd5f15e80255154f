"""A real push: the stages from image to deploy with the reference registry (which wants a password), podman, and cosign with a local key."""
import base64
import os
import tarfile

import pytest
from conftest import TOOLS, git, run, tool
from registry import Registry
from test_ship import digest_of, keys, podman, small, stage, storage  # noqa: F401

USER, PASSWORD = "pipeline", "correct horse"
KEY_PASSWORD = "of the key"
AUTHORIZATION = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with Registry(tmp_path_factory.mktemp("registry"), login=(USER, PASSWORD)) as here:
        assert here.asked("/v2/") == 401  # nobody gets in without it
        yield here


@pytest.fixture
def env(registry, podman, tmp_path):  # noqa: F811
    """What a pipeline gives the stages, with a home of its own, where no login may be left."""
    home = tmp_path / "home"
    home.mkdir()
    return {**podman, "HOME": str(home), "PATH": f"{os.environ['PATH']}:{TOOLS}", "CONTAINERS_REGISTRIES_CONF": str(registry.hosts), "REGISTRY": f"{registry.host}/Duka",
            "REGISTRY_USER": USER, "REGISTRY_PASSWORD": PASSWORD}


def pushed(tree, service="orders"):
    return (tree / f"build/pipeline/{service}/image").read_text(encoding="utf-8").strip()


def test_what_is_pushed_has_the_digest_that_is_written_and_the_registry_gives_those_bytes(tree, registry, env, small, tmp_path):  # noqa: F811
    done = stage(tree, "image", **env)
    assert done.returncode == 0 and done.stdout.endswith("counts: passed=1 failed=0 skipped=0\n"), done.stdout
    reference = pushed(tree)
    name, digest = reference.split("@")
    assert name == f"{registry.host}/duka/orders-service"
    told, counted, manifest = registry.manifest(reference, AUTHORIZATION)
    assert told == counted == digest
    # By the commit that it was made from, too.
    assert registry.manifest(f"{name}:{git(tree, 'rev-parse', 'HEAD')}", AUTHORIZATION)[0] == digest
    # Somebody else pulls it, by that name: the same file is in it.
    other = {**storage(tmp_path, "other"), "CONTAINERS_REGISTRIES_CONF": registry.hosts, "REGISTRY_AUTH_FILE": tmp_path / "auth.json"}
    for words in (["login", "--username", USER, "--password", PASSWORD, registry.host], ["pull", "--quiet", reference],
                  ["save", "--quiet", "--format", "oci-archive", "-o", tmp_path / "pulled.tar", reference]):
        done = run("podman", *words, env=other)
        assert done.returncode == 0, done.stdout
    with tarfile.open(tmp_path / "pulled.tar") as tar:
        layer = tar.extractfile("blobs/sha256/" + manifest["layers"][0]["digest"].removeprefix("sha256:"))
        with tarfile.open(fileobj=layer) as files:
            assert files.extractfile("name").read() == b"orders-service\n"
    # The same source is the same image: the same digest.
    assert stage(tree, "image", **env).returncode == 0 and pushed(tree) == reference


def test_a_login_ends_with_its_stage_and_one_that_the_registry_refuses_names_no_image(tree, registry, env, small, tmp_path):  # noqa: F811
    assert stage(tree, "image", **env).returncode == 0
    left = [path for path in tmp_path.rglob("*.json") if '"auths"' in path.read_text(encoding="utf-8", errors="replace")]
    assert left == [] and not list((tmp_path / "home").iterdir()), left
    for what in ({"REGISTRY_PASSWORD": "wrong"}, {"REGISTRY_USER": "", "REGISTRY_AUTH_FILE": str(tmp_path / "nobody.json")}):
        refused = stage(tree, "image", **{**env, **what})
        assert refused.returncode != 0 and not (tree / "build/pipeline/orders/image").exists(), refused.stdout
        assert PASSWORD not in refused.stdout


def make_cosign_keys(folder):
    """A pair that signs, and a stranger's."""
    for name in ("key", "other"):
        done = run(tool("cosign"), "generate-key-pair", "--output-key-prefix", folder / name, env={"COSIGN_PASSWORD": KEY_PASSWORD})
        assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture
def cosign_keys(tmp_path):
    return make_cosign_keys(tmp_path)


def test_cosign_signs_in_the_registry_and_what_others_signed_or_nobody_is_not_deployed(tree, registry, env, small, cosign_keys):  # noqa: F811
    def signed(key="key.key", password=KEY_PASSWORD):
        return stage(tree, "sign", SIGN_KEY=str(cosign_keys / key), COSIGN_PASSWORD=password, **env)

    def deployed(key="key.pub", **more):
        return stage(tree, "deploy", SIGN_PUBLIC_KEY=str(cosign_keys / key), GITOPS_REMOTE="origin", **{**env, **more})

    for name in ("image", "sbom"):
        assert stage(tree, name, **env).returncode == 0
    assert "nothing is written" in deployed().stdout  # nobody signed
    assert signed(password="wrong").returncode != 0 and "nothing is written" in deployed().stdout
    assert signed("other.key").returncode == 0 and "nothing is written" in deployed().stdout
    assert digest_of(tree) == []
    done = signed()
    assert done.returncode == 0 and done.stdout.endswith("counts: passed=1 failed=0 skipped=0\n"), done.stdout
    assert deployed("other.pub").returncode == 0  # both have signed it by now
    done = deployed()
    assert done.returncode == 0, done.stdout
    reference = pushed(tree)
    assert digest_of(tree) == [reference.split("@")[1]]
    # A bill of materials that is not the one that was signed, and another image under the same key.
    bill = tree / "build/pipeline/orders/sbom.cdx.json"
    text = bill.read_text(encoding="utf-8")
    bill.write_text(text.replace('"version": "1"', '"version": "2"'), encoding="utf-8")
    exchanged = deployed()
    assert exchanged.returncode != 0 and "no verified statement about sha256:" in exchanged.stdout, exchanged.stdout
    bill.write_text(text, encoding="utf-8")
    small("another")
    assert stage(tree, "image", **env).returncode == 0 and pushed(tree) != reference
    assert "nothing is written" in deployed().stdout
    # Who may not read the registry cannot verify.
    (tree / "build/pipeline/orders/image").write_text(reference + "\n", encoding="utf-8")
    assert "nothing is written" in deployed(REGISTRY_USER="").stdout
    assert digest_of(tree) == [reference.split("@")[1]] and deployed().returncode == 0


def test_cosign_reads_the_signature_of_a_key_of_openssl(tree, keys, podman, small, tmp_path):  # noqa: F811
    for name in ("image", "sbom"):
        assert stage(tree, name, **podman, REGISTRY="").returncode == 0
    assert stage(tree, "sign", SIGN_KEY=str(keys / "key.pem")).returncode == 0
    out = tree / "build/pipeline/orders"
    (tmp_path / "signature").write_bytes(base64.b64encode((out / "signature").read_bytes()))

    def verified(key, file=out / "signed"):
        words = ["verify-blob", "--private-infrastructure", "--key", keys / key, "--signature", tmp_path / "signature", file]
        return run(tool("cosign"), *words)

    done = verified("key.pub")
    assert done.returncode == 0 and "Verified OK" in done.stdout, done.stdout
    assert verified("other.pub").returncode != 0
    (tmp_path / "changed").write_bytes((out / "signed").read_bytes().replace(b"orders", b"users"))
    assert verified("key.pub", tmp_path / "changed").returncode != 0
