"""A real Prometheus and Alertmanager over a running shop, with the configuration of deploy/observability."""

import json
import pathlib
import re
import shutil
import subprocess

import httpx
import yaml
from brokers import Broker, Missing
from shop import ROOT, until

PLACE = ROOT / "deploy" / "observability"


def rules():
    """Every rule of deploy/observability, as (file, rule)."""
    return [(path.name, rule) for path in sorted((PLACE / "rules").glob("*.yml"))
            for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def panels():
    """Every query of every dashboard, as (dashboard, panel, expression)."""
    return [(path.name, panel["title"], target["expr"]) for path in sorted((PLACE / "dashboards").glob("*.json"))
            for panel in json.loads(path.read_text())["panels"] for target in panel["targets"]]


class Program(Broker):
    """One that answers at /-/ready."""

    def find(self, name):
        if not shutil.which(name):
            raise Missing(f"no {name} here: apt-get install prometheus prometheus-alertmanager")
        self.program, self.url = shutil.which(name), f"http://127.0.0.1:{self.port}"

    def answers(self):
        try:
            return httpx.get(self.url + "/-/ready", timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def ask(self, path, **query):
        answer = httpx.get(self.url + path, params=query, timeout=20, trust_env=False)
        assert answer.status_code == 200, f"{query}: {answer.text}"
        return answer.json()


class Alertmanager(Program):
    def __init__(self, place, webhook):
        self.webhook = webhook
        super().__init__(place)

    def prepare(self):
        self.find("prometheus-alertmanager")
        text = (PLACE / "alertmanager.yml").read_text()
        text, count = re.subn(r"http://127.0.0.1:8099", self.webhook, text)
        assert count == 2
        text = re.sub(r"(group_wait|group_interval): \w+", r"\1: 1s", text)
        (self.place / "am.yml").write_text(text)

    def command(self):
        return [self.program, "--config.file=am.yml", "--storage.path=data", "--cluster.listen-address=",
                f"--web.listen-address=127.0.0.1:{self.port}"]


class Prometheus(Program):
    """Scrapes each second, and waits a second where a rule would wait for minutes; all else is as it is delivered."""

    def __init__(self, place, targets, alertmanager=None):
        self.targets, self.alertmanager = targets, alertmanager
        super().__init__(place)

    def prepare(self):
        self.find("prometheus")
        config = yaml.safe_load((PLACE / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["scrape_configs"] = [
            {"job_name": job, "static_configs": [{"targets": found}]} for job, found in self.targets.items()]
        config["alerting"] = {"alertmanagers": [{"static_configs": [
            {"targets": [f"127.0.0.1:{self.alertmanager.port}"] if self.alertmanager else []}]}]}
        (self.place / "prometheus.yml").write_text(yaml.safe_dump(config))
        (self.place / "rules").mkdir(exist_ok=True)
        for path in (PLACE / "rules").glob("*.yml"):
            text = re.sub(r"\b(for|interval): \w+", r"\1: 1s", path.read_text())
            (self.place / "rules" / path.name).write_text(text)

    def command(self):
        return [self.program, "--config.file=prometheus.yml", "--storage.tsdb.path=data",
                "--enable-feature=exemplar-storage", "--rules.alert.resend-delay=1s",
                f"--web.listen-address=127.0.0.1:{self.port}"]

    def query(self, expression):
        """The samples that it gives now: [(labels, value)]."""
        expression = expression.replace("$__rate_interval", "5m")
        found = self.ask("/api/v1/query", query=expression)["data"]["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]

    def number(self, expression):
        """The one value of an expression; None where there is none yet."""
        found = self.query(expression)
        assert len(found) <= 1, f"{expression}: {found}"
        return found[0][1] if found else None

    def await_targets(self, seconds=60):
        count = sum(map(len, self.targets.values()))
        until(lambda: len([1 for _, value in self.query("up") if value == 1]) == count, seconds, "all targets scraped")


def promtool(*words):
    if not shutil.which("promtool"):
        raise Missing("no promtool here: apt-get install prometheus")
    done = subprocess.run(["promtool", *map(str, words)], cwd=PLACE, text=True, capture_output=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def page_of(alert):
    return pathlib.Path(ROOT / alert["annotations"]["runbook_url"])
