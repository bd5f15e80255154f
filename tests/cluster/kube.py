"""A Kubernetes as the tests see it, by kubectl; where no KUBECONFIG names one, that of scripts/cluster."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import httpx
from shop import ROOT, until

HERE = pathlib.Path(__file__).resolve().parent
DEPLOY = ROOT / "deploy/kubernetes"
SHOP = "shop"


class Missing(Exception):
    """There is no cluster, and why."""


class Kube:
    def __init__(self, kubeconfig, kubectl, is_ours):
        self.kubeconfig, self.kubectl, self.is_ours = str(kubeconfig), str(kubectl), is_ours
        self.environment = {**os.environ, "KUBECONFIG": self.kubeconfig,
                            "PATH": f"{pathlib.Path(self.kubectl).parent}:{os.environ['PATH']}"}

    @classmethod
    def take(cls):
        """The cluster that KUBECONFIG names, or ours, brought up. Raises Missing."""
        if given := os.environ.get("KUBECONFIG"):
            kubectl = shutil.which("kubectl")
            if not kubectl:
                raise Missing("KUBECONFIG names a cluster, and there is no kubectl")
            return cls(given, kubectl, is_ours=False)
        done = subprocess.run([ROOT / "scripts/cluster", "up"], capture_output=True, text=True, check=False)
        if done.returncode == 3:
            raise Missing(done.stderr.strip().splitlines()[-1])
        assert done.returncode == 0, done.stderr[-3000:]
        kubeconfig = pathlib.Path(done.stdout.strip().splitlines()[-1])
        return cls(kubeconfig, kubeconfig.parents[1] / "bin/kubectl", is_ours=True)

    # ---- asking ----

    def run(self, *words, check=True, stdin=None, seconds=120):
        """kubectl with these words; gives what subprocess.run gives."""
        done = subprocess.run([self.kubectl, *map(str, words)], input=stdin, capture_output=True, text=True, env=self.environment,
                              timeout=seconds, check=False)
        assert not check or done.returncode == 0, f"kubectl {' '.join(map(str, words))}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done

    def get(self, *words, namespace=SHOP):
        return json.loads(self.run("-n", namespace, "get", *words, "-o", "json").stdout)

    def items(self, *words, namespace=SHOP):
        return self.get(*words, namespace=namespace)["items"]

    def sh(self, text, check=True, seconds=600, **environment):
        """Lines of a shell, at the top of the project, as a document has them."""
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=seconds,
                              env={**self.environment, **{k: str(v) for k, v in environment.items()}}, check=False)
        assert not check or done.returncode == 0, f"{text}\n{done.stdout[-3000:]}{done.stderr[-4000:]}"
        return done

    # ---- telling ----

    def apply(self, text, namespace=None):
        where = ["-n", namespace] if namespace else []
        return self.run("apply", *where, "-f", "-", stdin=text if isinstance(text, str) else json.dumps(text))

    def patch(self, what, name, patch, namespace=SHOP, kind="strategic"):
        return self.run("-n", namespace, "patch", what, name, f"--type={kind}", "-p", json.dumps(patch))

    def rolled_out(self, *names, namespace=SHOP, seconds=150):
        for name in names:
            self.run("-n", namespace, "rollout", "status", f"deployment/{name}", f"--timeout={seconds}s", seconds=seconds + 30)

    def kustomized(self, *components, base="base"):
        """What an overlay of a folder and some components gives, as text."""
        with tempfile.TemporaryDirectory(dir=DEPLOY / "overlays") as folder:
            made = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": [f"../../{base}"],
                    "components": [f"../../components/{name}" for name in components]}
            (pathlib.Path(folder) / "kustomization.yaml").write_text(json.dumps(made))
            return self.run("kustomize", folder).stdout

    # ---- the API server's way to a Service: of one that no Ingress leads to ----

    @contextlib.contextmanager
    def proxied(self, service, namespace):
        """The URL of a Service while `kubectl proxy` runs."""
        with subprocess.Popen([self.kubectl, "proxy", "--port=0"], env=self.environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                port = re.search(r":(\d+)$", process.stdout.readline().strip())[1]
                yield f"http://127.0.0.1:{port}/api/v1/namespaces/{namespace}/services/{service}:http/proxy"
            finally:
                process.terminate()

    def call(self, service, namespace, method, path, scheme="", **rest):
        """One request to a Service; gives the answer. The scheme is that of the API server's own request: "https:" is none of ours."""
        with self.proxied(scheme + service, namespace) as url, httpx.Client(trust_env=False, timeout=30) as client:
            return client.request(method, url + path, **rest)

    @contextlib.contextmanager
    def forwarded(self, service, namespace):
        """The URL of one pod of a Service. Requests arrive as they were sent; the API server's way takes `Authorization` away."""
        words = [self.kubectl, "-n", namespace, "port-forward", f"service/{service}", ":http"]
        with subprocess.Popen(words, env=self.environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield "http://" + re.search(r"127\.0\.0\.1:\d+", process.stdout.readline())[0]
            finally:
                process.terminate()

    # ---- pods ----

    def pods(self, app, namespace=SHOP):
        """Those that live: not told to end."""
        found = self.items("pods", "-l", f"app={app}", namespace=namespace)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self, app, namespace=SHOP):
        return [pod for pod in self.pods(app, namespace) if is_ready(pod)]

    def until_ready(self, app, count, namespace=SHOP, seconds=120):
        until(lambda: len(self.ready_pods(app, namespace)) == len(self.pods(app, namespace)) == count, seconds,
              f"{count} pods of {app}")

    def until_gone(self, app, namespace=SHOP, seconds=90):
        until(lambda: not self.items("pods", "-l", f"app={app}", namespace=namespace), seconds, f"no pod of {app}")

    def node_address(self):
        """Where the Ingress controller answers."""
        if given := os.environ.get("DUKA_INGRESS"):
            return given
        node = self.get("nodes")["items"][0]
        return next(one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP")


def is_ready(pod):
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


def why(pod):
    """What a pod says of why it does not run: a line for each of its containers that waits or ended. Whoever was ended says the last
    line of the log that it wrote while it ran; a start that failed has one line only."""
    lines = []
    for one in pod["status"].get("containerStatuses", []):
        waiting = one.get("state", {}).get("waiting", {})
        for ended in (one.get("state", {}).get("terminated"), one.get("lastState", {}).get("terminated")):
            if ended and ended.get("exitCode"):
                said = (ended.get("message") or "").strip()
                lines.append(f"{ended['reason']}: {said if ended['reason'] == 'Error' else said.split(chr(10))[-1]}")
        if waiting:
            lines.append(f"{waiting.get('reason')}: {waiting.get('message', '')}")
    return lines


def block(name):
    """The lines of docs/deploy.md that are called so."""
    text, found = (ROOT / "docs/deploy.md").read_text(encoding="utf-8"), []
    inside = False
    for line in text.splitlines():
        if line.startswith("```"):
            inside = line == f"```sh {name}"
        elif inside:
            found.append(line)
    assert found, f"docs/deploy.md has no block {name}"
    return "\n".join(found) + "\n"


def now():
    return time.monotonic()
