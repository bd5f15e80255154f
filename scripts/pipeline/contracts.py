"""Compares what is promised at HEAD with what was promised at a base commit, by three judges. A judge that is not installed
(scripts/pipeline-tools) is skipped, and counted as skipped."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = ROOT / "build" / "tools"
sys.path.insert(0, str(ROOT / "tools" / "contracts"))

from descriptors import include_paths, run_protoc  # noqa: E402

DOCUMENT = "contracts/openapi/duka.json"
# Names count, for JSON has them, and files, for clients include what is generated from them.
BUF_RULES = '{"version":"v2","breaking":{"use":["FILE"]}}'


def tool(name):
    """Where a judge is: of this project, or of the machine."""
    own = TOOLS / name
    return str(own) if own.exists() else shutil.which(name)


def unpack(base, folder):
    """The contracts as they were."""
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", base, "contracts"], check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)


def descriptors(contracts, target):
    """What protoc makes of all contracts in a folder, as buf reads it."""
    files = sorted(str(path.relative_to(contracts)) for path in pathlib.Path(contracts).rglob("*.proto"))
    run_protoc(include_paths(contracts), "--include_imports", "--include_source_info", f"--descriptor_set_out={target}", *files)
    return str(target)


def run(words):
    """(whether it found nothing, what it printed)."""
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    return done.returncode == 0, (done.stdout + done.stderr).strip()


def judge_messages(old, folder, head=ROOT):
    """buf: no message, field, number, type or call went away or changed."""
    buf = tool("buf")
    if not buf:
        return None, "buf is not here: scripts/pipeline-tools installs it"
    before = descriptors(old / "contracts", folder / "before.binpb")
    after = descriptors(head / "contracts", folder / "after.binpb")
    return run([buf, "breaking", after, "--against", before, "--config", BUF_RULES, "--exclude-imports"])


def judge_api(old, folder, head=ROOT):
    """oasdiff: no client of the REST API that worked stops working."""
    del folder
    oasdiff = tool("oasdiff")
    if not oasdiff:
        return None, "oasdiff is not here: scripts/pipeline-tools builds it"
    return run([oasdiff, "breaking", "--fail-on", "ERR", str(old / DOCUMENT), str(head / DOCUMENT)])


def judge_tables(base):
    """tools/migrations: the tables only grow."""
    return run([sys.executable, "-B", "tools/migrations/check.py", "--base", base])


def main(base):
    passed = failed = skipped = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        unpack(base, folder)
        for what, good, words in (("messages (buf breaking)", *judge_messages(folder, folder)),
                                  ("REST API (oasdiff breaking)", *judge_api(folder, folder)),
                                  ("tables (migrations only expand)", *judge_tables(base))):
            if good is None:
                skipped += 1
                print(f"SKIPPED: {what}: {words}")
            else:
                passed, failed = passed + good, failed + (not good)
                print(f"{'kept' if good else 'BROKEN'}: {what} since {base[:12]}")
                if not good:
                    print(words)
    print(f"counts: passed={passed} failed={failed} skipped={skipped}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
