"""From a signed image to what runs: the stages sign, deploy, rollback and promote with a real git remote, and two that push at once."""
import hashlib
import json
import re
import shutil
import subprocess
import tarfile

import pytest
from conftest import git, run

FIRST, SECOND = "sha256:" + "1a" * 32, "sha256:" + "2b" * 32


def make_keys(folder):
    """A key that signs, its public half, and a stranger's."""
    for name in ("key", "other"):
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", folder / f"{name}.pem"], check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", folder / f"{name}.pem", "-pubout", "-out", folder / f"{name}.pub"], check=True)
    return folder


@pytest.fixture
def keys(tmp_path):
    return make_keys(tmp_path)


def stage(tree, name, service="orders", **env):
    return run("make", "--silent", f"pipe-{name}", f"SERVICE={service}", cwd=tree, env=env)


def made(tree, digest, service="orders"):
    """What the stages image and sbom leave."""
    out = tree / "build/pipeline" / service
    out.mkdir(parents=True, exist_ok=True)
    (out / "image").write_text(f"localhost/{service}-service@{digest}\n", encoding="utf-8")
    (out / "commit").write_text(git(tree, "rev-parse", "HEAD") + "\n", encoding="utf-8")
    (out / "sbom.cdx.json").write_text('{"bomFormat": "CycloneDX"}\n', encoding="utf-8")


def ship(tree, keys, digest, service="orders", remote="origin"):
    made(tree, digest, service)
    signed = stage(tree, "sign", service, SIGN_KEY=keys / "key.pem")
    assert signed.returncode == 0, signed.stdout
    return stage(tree, "deploy", service, SIGN_PUBLIC_KEY=keys / "key.pub", GITOPS_REMOTE=remote)


def at(tree, path, branch="main"):
    git(tree, "fetch", "-q", "origin", branch)
    return git(tree, "show", f"FETCH_HEAD:{path}")


def digest_of(tree, environment="dev", service="orders", branch="main"):
    return re.findall(r"digest: (\S+)", at(tree, f"deploy/gitops/{environment}/{service}/kustomization.yaml", branch))


def test_a_signed_image_is_written_by_digest_and_commit_and_nothing_else_changes(tree, keys):
    done = ship(tree, keys, FIRST)
    assert done.returncode == 0 and done.stdout.endswith("counts: passed=1 failed=0 skipped=0\n"), done.stdout
    assert digest_of(tree) == [FIRST]
    git(tree, "fetch", "-q", "origin", "main")
    assert git(tree, "diff", "--name-only", "HEAD", "FETCH_HEAD") == "deploy/gitops/dev/orders/kustomization.yaml"
    assert f'duka.dev/commit: "{git(tree, "rev-parse", "HEAD")}"' in at(tree, "deploy/gitops/dev/orders/kustomization.yaml")
    assert git(tree, "status", "--porcelain") == ""
    # Shipped is shipped: nothing is touched any more, so the pipeline's own commit starts no other.
    git(tree, "merge", "-q", "--ff-only", "FETCH_HEAD")
    asked = run("make", "--silent", "affected", "IS=orders", cwd=tree)
    assert asked.stdout == "no\n"
    assert run("make", "--silent", "affected", "IS=users", cwd=tree).stdout == "yes\n"


TINY = r"""#!/bin/sh
# In the place of scripts/images: a small image by the real podman, and its bill of materials.
mkdir -p build/images build/tiny && echo "$1" >build/tiny/name && echo WORD >build/tiny/word
printf 'FROM scratch\nCOPY name /name\nCOPY word /word\n' >build/tiny/Dockerfile
podman build -q --timestamp 1 --format docker -t "$1:1.0" build/tiny
echo '{"bomFormat": "CycloneDX", "components": [{"name": "x", "version": "1"}]}' >build/images/$1.cdx.json
"""


def storage(folder, name):
    """The settings of a podman with images of its own: those of this machine are not touched."""
    path = folder / f"{name}.conf"
    path.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/{name}"\nrunroot = "{folder}/{name}-run"\n', encoding="utf-8")
    return {"CONTAINERS_STORAGE_CONF": str(path)}


@pytest.fixture
def podman(tmp_path):
    env = {"ENGINE": "podman", **storage(tmp_path, "storage")}
    if not shutil.which("podman") or run("podman", "info", env=env).returncode != 0:
        pytest.skip("podman does not run here")
    return env


@pytest.fixture
def small(tree):
    """Small images in the place of those of scripts/images; called with a word, other ones."""
    def put(word):
        (tree / "scripts/images").write_text(TINY.replace("WORD", word), encoding="utf-8")

    put("first")
    return put


def test_an_image_is_named_by_the_digest_of_its_archive(tree, podman, small):
    env = {**podman, "REGISTRY": ""}
    done = stage(tree, "image", **env)
    assert done.returncode == 0, done.stdout
    first = (tree / "build/pipeline/orders/image").read_text(encoding="utf-8").strip()
    with tarfile.open(tree / "build/pipeline/orders/image.tar") as tar:
        index = json.load(tar.extractfile("index.json"))
        digest = index["manifests"][0]["digest"]
        manifest = tar.extractfile("blobs/sha256/" + digest.removeprefix("sha256:")).read()
    assert first == f"localhost/orders-service@{digest}" and hashlib.sha256(manifest).hexdigest() == digest.removeprefix("sha256:")
    # The same source is the same image; another one is not.
    assert stage(tree, "image", **env).returncode == 0
    assert (tree / "build/pipeline/orders/image").read_text(encoding="utf-8").strip() == first
    assert stage(tree, "image", "users", **env).returncode == 0
    assert digest not in (tree / "build/pipeline/users/image").read_text(encoding="utf-8")
    listed = stage(tree, "sbom", **env)
    assert listed.returncode == 0 and "sbom: 1 components" in listed.stdout, listed.stdout
    (tree / "build/images/orders-service.cdx.json").write_text('{"bomFormat": "other"}', encoding="utf-8")
    refused = stage(tree, "sbom", **env)
    assert refused.returncode != 0 and "no CycloneDX document" in refused.stdout


def test_what_nobody_signed_or_somebody_else_or_that_was_exchanged_is_not_written(tree, keys):
    made(tree, FIRST)
    nobody = {"GITOPS_REMOTE": "origin", "SIGN_PUBLIC_KEY": keys / "key.pub"}
    assert "run `make pipe-sign SERVICE=orders` first" in stage(tree, "deploy", **nobody).stdout
    assert stage(tree, "sign", SIGN_KEY=keys / "other.pem").returncode == 0
    refused = stage(tree, "deploy", **nobody)
    assert refused.returncode != 0 and "the signature is not of" in refused.stdout
    assert stage(tree, "sign", SIGN_KEY=keys / "key.pem").returncode == 0
    (tree / "build/pipeline/orders/image").write_text(f"localhost/orders-service@{SECOND}\n", encoding="utf-8")
    exchanged = stage(tree, "deploy", **nobody)
    assert exchanged.returncode != 0 and "nothing is written" in exchanged.stdout
    unasked = stage(tree, "deploy", GITOPS_REMOTE="origin")
    assert unasked.returncode != 0 and "neither SIGN_PUBLIC_KEY nor COSIGN_IDENTITY" in unasked.stdout
    assert digest_of(tree) == []
    # The same image as it was signed: written.
    (tree / "build/pipeline/orders/image").write_text(f"localhost/orders-service@{FIRST}\n", encoding="utf-8")
    assert stage(tree, "deploy", **nobody).returncode == 0
    assert digest_of(tree) == [FIRST]


def test_without_a_key_or_an_identity_nothing_is_signed(tree):
    made(tree, FIRST)
    done = stage(tree, "sign")
    assert done.returncode != 0 and "an image that nobody signed is not deployed" in done.stdout


def test_a_rollback_is_what_ran_before(tree, keys):
    assert "before that nothing was shipped" in stage(tree, "rollback", GITOPS_REMOTE="origin").stdout
    ship(tree, keys, FIRST)
    assert "before that nothing was shipped" in stage(tree, "rollback", GITOPS_REMOTE="origin").stdout
    ship(tree, keys, SECOND)
    assert digest_of(tree) == [SECOND]
    done = stage(tree, "rollback", GITOPS_REMOTE="origin")
    assert done.returncode == 0, done.stdout
    assert digest_of(tree) == [FIRST]


def test_two_services_that_ship_at_once_both_arrive(tree, keys, tmp_path):
    other = tmp_path / "other"
    run("git", "clone", "-q", tmp_path / "origin.git", other)
    # Between the other's fetch and its push, ours arrives: its push is refused once, and repeated on top.
    made(other, SECOND, "users")
    assert stage(other, "sign", "users", SIGN_KEY=keys / "key.pem").returncode == 0
    hook = other / ".git/hooks/pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n[ -e {tmp_path}/once ] && exit 0\ntouch {tmp_path}/once\n"
                    f"unset $(git rev-parse --local-env-vars)\ncd {tree} && SIGN_PUBLIC_KEY={keys}/key.pub GITOPS_REMOTE=origin make --silent "
                    "pipe-deploy SERVICE=orders >&2\n", encoding="utf-8")
    hook.chmod(0o755)
    made(tree, FIRST)
    assert stage(tree, "sign", SIGN_KEY=keys / "key.pem").returncode == 0
    done = stage(other, "deploy", "users", SIGN_PUBLIC_KEY=keys / "key.pub", GITOPS_REMOTE="origin")
    assert done.returncode == 0 and "moved on meanwhile (try 1)" in done.stdout, done.stdout
    assert (digest_of(tree), digest_of(tree, service="users")) == ([FIRST], [SECOND])


def test_promoting_is_a_branch_with_the_same_digest_and_the_registry_of_production(tree, keys):
    assert "was never shipped to dev" in stage(tree, "promote", GITOPS_REMOTE="origin").stdout
    ship(tree, keys, SECOND)
    ship(tree, keys, FIRST)
    # Another pipeline ships meanwhile: this one proposes what it has tried. Its tree is older than both.
    other = tree / "build" / "other"
    git(tree, "clone", "-q", git(tree, "remote", "get-url", "origin"), other)
    assert ship(other, keys, SECOND).returncode == 0
    assert digest_of(tree) == [SECOND]
    done = stage(tree, "promote", GITOPS_REMOTE="origin")
    branch = f"promote/orders-{FIRST[7:19]}"
    assert done.returncode == 0 and branch in done.stdout, done.stdout
    # The deployment and its migration: one image.
    assert digest_of(tree, "production", branch=branch) == [FIRST, FIRST]
    assert "newName: registry.example.com/duka/orders-service" in at(tree, "deploy/gitops/production/orders/kustomization.yaml", branch)
    assert digest_of(tree, "production") == []
    # By hand, in a tree of today: what dev has.
    git(other, "pull", "-q", "origin", "main")
    shutil.rmtree(other / "build/pipeline")
    assert stage(other, "promote", GITOPS_REMOTE="origin").returncode == 0
    assert digest_of(tree, "production", branch=f"promote/orders-{SECOND[7:19]}") == [SECOND, SECOND]


FORGE = r"""#!/bin/sh
# In the place of gh or glab: says what it was asked for, and knows whether a request is open.
echo "$(basename "$0")" "$@" >>PLACE/asked
case "$1 $2" in
"pr list") [ -e PLACE/open ] && echo 1 || echo 0 ;;
"mr view") [ -e PLACE/open ] ;;
*create) touch PLACE/open ;;
*) exit 9 ;;
esac
"""


@pytest.mark.parametrize("name, token", [("gh", "GH_TOKEN"), ("glab", "GITLAB_TOKEN")])
def test_promoting_opens_one_request_however_often_it_is_run(tree, keys, tmp_path, name, token):
    ship(tree, keys, FIRST)
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / name).write_text(FORGE.replace("PLACE", str(tmp_path)), encoding="utf-8")
    (tools / name).chmod(0o755)
    branch = f"promote/orders-{FIRST[7:19]}"

    def promoted(date):
        env = {token: "x", "GITOPS_REMOTE": "origin", "PATH": f"{tools}:/usr/bin:/bin", "GIT_COMMITTER_DATE": f"{date} +0000"}
        done = stage(tree, "promote", **env)
        assert done.returncode == 0, done.stdout
        return done.stdout

    assert "request is open" in promoted("1700000000") and "request is open" in promoted("1700000060")
    asked = (tmp_path / "asked").read_text(encoding="utf-8").splitlines()
    created = [line for line in asked if line.startswith(f"{name} {'pr' if name == 'gh' else 'mr'} create ")]
    assert len(created) == 1 and len(asked) == 3, asked
    title = f"--title production: orders-service is {FIRST[7:19]}, as dev runs it"
    wanted = (f"--base main --head {branch} ", title) if name == "gh" else ("--yes ", f"--target-branch main --source-branch {branch} ", title)
    assert all(word in created[0] for word in wanted), created
    # Whoever has merged it is not asked again.
    assert digest_of(tree, "production", branch=branch) == [FIRST, FIRST]
    git(tree, "push", "-q", "origin", "FETCH_HEAD:refs/heads/main")
    assert "production is to run that digest already" in promoted("1700000120")
    assert len((tmp_path / "asked").read_text(encoding="utf-8").splitlines()) == len(asked)


def test_the_whole_shop_is_shipped_and_promoted_nowhere(tree, keys):
    assert ship(tree, keys, FIRST, "duka").returncode == 0
    assert digest_of(tree, service="duka") == [FIRST]
    done = stage(tree, "promote", "duka", GITOPS_REMOTE="origin")
    assert done.returncode == 0 and done.stdout.endswith("counts: passed=0 failed=0 skipped=1\n"), done.stdout


def test_a_tag_is_no_digest_and_a_service_that_is_not_there_is_named(tree):
    def write(*words):
        done = run("python3", "-B", "scripts/pipeline/gitops.py", "write", *words, cwd=tree)
        return done.returncode, done.stdout

    commit = "a" * 40
    assert write("dev", "orders", f"localhost/orders-service@{FIRST}", commit) == (0, "")
    for words, said in [(("dev", "orders", "localhost/orders-service:1.0", commit), "a tag can be moved"),
                        (("dev", "orders", f"localhost/orders-service@{FIRST}", "main"), "no full commit hash"),
                        (("prod", "orders", f"localhost/orders-service@{FIRST}", commit), "no environment 'prod'"),
                        (("dev", "order", f"localhost/orders-service@{FIRST}", commit), "no service 'order'"),
                        (("production", "duka", f"localhost/duka@{FIRST}", commit), "duka does not run in production")]:
        code, text = write(*words)
        assert code != 0 and said in text, text


def test_a_stage_wants_a_service_that_there_is(tree):
    done = stage(tree, "sbom", service="order")
    assert done.returncode != 0 and 'users, products, orders, gateway or duka, not "order"' in done.stdout
    assert "run `make pipe-image SERVICE=orders` first" in stage(tree, "sbom").stdout


def test_a_scan_without_a_database_is_skipped_and_never_passed(tree, tmp_path):
    made(tree, FIRST)
    tools = tmp_path / "bin"
    tools.mkdir()

    def scan():
        done = stage(tree, "scan", PATH=f"{tools}:/usr/bin:/bin")
        return done.returncode, done.stdout

    assert scan()[1].endswith("counts: passed=0 failed=0 skipped=1\n")
    # A grype that gets no database; one that has it and finds something; one that finds nothing.
    for update, find, code, said in [(1, 0, 0, "skipped=1"), (0, 2, 1, "high or worse"), (0, 0, 0, "passed=1")]:
        (tools / "grype").write_text(f'#!/bin/sh\n[ "$1" = db ] && exit {update}\nexit {find}\n', encoding="utf-8")
        (tools / "grype").chmod(0o755)
        done = scan()
        assert (done[0] != 0) == (code != 0) and said in done[1], done[1]
        assert ("passed=1" in done[1]) == (said == "passed=1")
