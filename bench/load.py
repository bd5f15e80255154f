"""The load that bench.py puts on a server: wrk on a core of its own."""
import re
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent

SERVER_CORE, LOAD_CORE = 0, 1


def wrk(port, path, seconds, connections, script=None, args=(), token=None):
    """Runs wrk; gives its requests and how many of them were not 2xx."""
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
    if token:
        command += ["-H", f"Authorization: Bearer {token}"]
    if script:
        command += ["-s", str(HERE / script)]
    done = subprocess.run([*command, f"http://127.0.0.1:{port}{path}", "--", *map(str, args)], text=True,
                          capture_output=True, check=True)
    requests = int(re.search(r"(\d+) requests in", done.stdout).group(1))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    errors = re.search(r"Socket errors: (.*)", done.stdout)
    if errors:
        raise RuntimeError(f"wrk: {errors.group(1)}")
    return requests, int(bad.group(1)) if bad else 0


def all_good(result):
    requests, bad = result
    if bad:
        raise RuntimeError(f"{bad} of {requests} answers were not 2xx")
    return requests


def lua_file(folder, name, values):
    path = Path(folder) / name
    path.write_text("\n".join(values) + "\n")
    return path
