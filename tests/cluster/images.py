"""Images for the cluster of the tests: the last stage of each Dockerfile around a static program, a PostgreSQL, the probe. Archives in
build/cluster, made anew where what they are made of is newer.

On a cluster of others they must be where its nodes can pull them: DUKA_CLUSTER_IMAGES says that they are."""

import os
import pathlib
import shutil
import subprocess

from kube import HERE, Missing
from shop import ROOT

OUT = ROOT / "build/cluster"
STATIC, DYNAMIC = ROOT / "build/static/src/apps", ROOT / "build/release/src/apps"
SERVICES = ("users", "products", "orders", "gateway")
POSTGRES = pathlib.Path("/usr/lib/postgresql/15")


def podman(*words, **rest):
    shared = pathlib.Path(os.environ.get("DUKA_SHARED_DIR", ROOT.parent / "shared")) / "kube"
    state = pathlib.Path(os.environ.get("DUKA_CLUSTER_DIR")
                         or pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "duka-kube")
    environment = {**os.environ, "CONTAINERS_CONF": str(shared / "containers.conf")}
    done = subprocess.run(["podman", "--root", state / "podman", "--runroot", state / "podman-run", *map(str, words)], env=environment,
                          capture_output=True, text=True, check=False, **rest)
    assert done.returncode == 0, f"podman {words}: {done.stderr[-3000:]}"
    return done


def save(name, context, dockerfile, archive):
    (context / "Dockerfile").write_text(dockerfile)
    podman("build", "-q", "--no-cache", "--format", "docker", "-t", name, context)
    archive.unlink(missing_ok=True)
    podman("save", "-q", "--format", "oci-archive", "-o", archive, name)


def last_stage(service):
    """Of the service's own Dockerfile, with the folder here in place of the stage that builds."""
    text = (ROOT / f"src/services/{service}/Dockerfile").read_text(encoding="utf-8")
    return text[text.rindex("FROM scratch"):].replace("--from=build ", "").replace("/image/", "")


def lay_out(binary, context):
    """What scripts/image-root lays out; of a program that is not static, with its libraries."""
    if binary.parent == STATIC:
        subprocess.run([ROOT / "scripts/image-root", binary.name, context], check=True, cwd=ROOT)
        return
    root = context / "root"
    for path in (*libraries([binary]), "/etc/ssl/certs/ca-certificates.crt"):
        copy(root, path)
    shutil.copy(binary, root / binary.name)
    (root / "etc/passwd").write_text("duka:x:65532:65532::/data:/none\n")
    (context / "user/data").mkdir(mode=0o700, parents=True)


def program(service, version):
    """The archive of a service's image; its version is a label, so that two are two."""
    found = [path / f"duka-{service}" for path in (STATIC, DYNAMIC) if (path / f"duka-{service}").exists()]
    if not found:
        raise Missing("there are no programs to make images of: make build")
    binary, archive = found[0], OUT / f"{service}-{version}.tar"
    if archive.exists() and archive.stat().st_mtime > binary.stat().st_mtime:
        return archive
    context = OUT / f"{service}-context"
    shutil.rmtree(context, ignore_errors=True)
    lay_out(binary, context)
    save(f"docker.io/library/{service}-service:{version}", context, last_stage(service) + f'LABEL test.version="{version}"\n', archive)
    return archive


def libraries(paths):
    """The shared libraries of programs, as ldd finds them."""
    found = set()
    for path in paths:
        told = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
        found |= {word for line in told.splitlines() for word in line.split() if word.startswith("/")}
    return found


def copy(root, path):
    target = root / str(path).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if pathlib.Path(path).is_dir():
        shutil.copytree(path, target, dirs_exist_ok=True, symlinks=False, ignore=shutil.ignore_patterns("llvm*", "bitcode", "*.bc"))
    else:
        shutil.copy(path, target)


def postgresql():
    """Debian's PostgreSQL as it is installed here, with the libraries that it wants and a shell."""
    archive = OUT / "postgresql.tar"
    if not (POSTGRES / "bin/postgres").exists():
        raise Missing("PostgreSQL 15 is not installed (Debian: postgresql-15)")
    if archive.exists() and archive.stat().st_mtime > pathlib.Path(__file__).stat().st_mtime:
        return archive
    context = OUT / "postgresql-context"
    shutil.rmtree(context, ignore_errors=True)
    root = context / "root"
    programs = [POSTGRES / "bin" / name for name in ("postgres", "initdb", "psql", "pg_isready")]
    shells = [pathlib.Path("/bin/sh").resolve(), pathlib.Path("/bin/sleep"), pathlib.Path("/bin/cat")]
    modules = [path for path in (POSTGRES / "lib").glob("*.so") if not path.name.startswith("llvm")]
    for path in [*programs, *modules, "/usr/share/postgresql/15", "/usr/share/zoneinfo", "/usr/lib/locale/C.utf8",
                 *libraries([*programs, *modules, *shells])]:
        copy(root, path)
    for path in shells:
        (root / "bin").mkdir(exist_ok=True)
        shutil.copy(path, root / "bin" / ("sh" if path.name in ("dash", "bash") else path.name))
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("postgres:x:65532:65532::/data:/bin/sh\n")
    (root / "tmp").mkdir(mode=0o1777)
    save("localhost/postgresql:15", context, "FROM scratch\nCOPY root /\nUSER 65532\n", archive)
    return archive


def probe():
    archive, source = OUT / "probe.tar", HERE / "probe/main.go"
    if archive.exists() and archive.stat().st_mtime > source.stat().st_mtime:
        return archive
    if not shutil.which("go"):
        raise Missing("there is no Go toolchain to build tests/cluster/probe")
    context = OUT / "probe-context"
    context.mkdir(parents=True, exist_ok=True)
    subprocess.run(["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", context / "probe", "."], check=True, cwd=source.parent,
                   env={**os.environ, "CGO_ENABLED": "0"})
    save("localhost/probe:1", context, 'FROM scratch\nCOPY probe /probe\nUSER 65532\nENTRYPOINT ["/probe"]\n', archive)
    return archive


def load(kube):
    """All of them, in the cluster."""
    if not kube.is_ours:
        if not os.environ.get("DUKA_CLUSTER_IMAGES"):
            raise Missing("the cluster of KUBECONFIG needs the images (docs/deploy.md); DUKA_CLUSTER_IMAGES=1 says that it has them")
        return
    OUT.mkdir(parents=True, exist_ok=True)
    archives = [program(service, version) for service in SERVICES for version in ("1.0", "1.1")] + [postgresql(), probe()]
    stamp = OUT / ".loaded"
    boot = pathlib.Path(kube.kubeconfig).parents[1] / "run/init.pid"
    if stamp.exists() and stamp.stat().st_mtime > max(path.stat().st_mtime for path in [*archives, boot]):
        return
    subprocess.run([ROOT / "scripts/cluster", "load", *archives], check=True, capture_output=True)
    stamp.touch()
