"""Stands for Argo CD in the tests: watches a branch, and applies each application's folder of deploy/gitops when the branch moves, in the
order of the ApplicationSet's waves and of the objects' sync waves. It does not prune, and heals no drift."""
import json
import subprocess
import threading
import time

import yaml

WAVE = "argocd.argoproj.io/sync-wave"
HOOK = "argocd.argoproj.io/hook"


def git(folder, *words):
    return subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, text=True).stdout.strip()


class Controller(threading.Thread):
    def __init__(self, kube, remote, folder, environment):
        super().__init__(daemon=True)
        self.kube, self.folder, self.environment = kube, folder, environment
        self.applied, self.failures = [], []  # revisions; what could not be applied
        self.stopped = threading.Event()
        git(folder.parent, "clone", "-q", str(remote), str(folder))

    def applications(self):
        made = yaml.safe_load((self.folder / f"deploy/gitops/applicationset-{self.environment}.yaml").read_text(encoding="utf-8"))
        [generator] = made["spec"]["generators"]
        path = made["spec"]["template"]["spec"]["source"]["path"]
        elements = sorted(generator["list"]["elements"], key=lambda one: int(one["wave"]))
        return [path.replace("{{.service}}", one["service"]) for one in elements]

    def objects_of(self, path):
        text = self.kube.run("kustomize", self.folder / path).stdout
        return [one for one in yaml.safe_load_all(text) if one]

    def apply(self, objects):
        waves = {}
        for one in objects:
            waves.setdefault(int(one["metadata"].get("annotations", {}).get(WAVE, 0)), []).append(one)
        for wave in sorted(waves):
            for one in waves[wave]:
                self.apply_one(one)

    def apply_one(self, one):
        text, is_hook = json.dumps(one), HOOK in one["metadata"].get("annotations", {})
        if is_hook:  # BeforeHookCreation: a Job does not change
            self.kube.run("delete", "-f", "-", "--ignore-not-found", "--wait", stdin=text)
        self.kube.run("apply", "--server-side", "--force-conflicts", "--field-manager=gitops", "-f", "-", stdin=text)
        if is_hook:
            name, namespace = one["metadata"]["name"], one["metadata"]["namespace"]
            self.kube.run("-n", namespace, "wait", "--for=condition=complete", f"job/{name}", "--timeout=120s", seconds=150)

    def sync(self):
        """Applies what the branch has, where that is new."""
        git(self.folder, "fetch", "-q", "origin", "main")
        revision = git(self.folder, "rev-parse", "FETCH_HEAD")
        if self.applied and self.applied[-1] == revision:
            return
        git(self.folder, "checkout", "-q", "--detach", revision)
        for path in self.applications():
            try:
                self.apply(self.objects_of(path))
            except AssertionError as error:  # the others go on
                self.failures.append(f"{path}: {error}")
        self.applied.append(revision)

    def run(self):
        while not self.stopped.is_set():
            self.sync()
            time.sleep(0.5)

    def end(self):
        self.stopped.set()
        self.join(timeout=60)
