"""Where traces go: Jaeger and Zipkin, started and asked by their own APIs."""

import collections
import shutil

import httpx
from brokers import Broker, Missing, free_ports
from shop import ROOT, until

Span = collections.namedtuple("Span", "trace id parent service name kind tags links start took failed")


class Collector(Broker):
    """Asked over HTTP, and nobody's proxy between."""

    def ask(self, path, **query):
        answer = httpx.get(f"{self.api}{path}", params=query, timeout=20, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def trace(self, trace_id):
        """The spans that have come."""
        raise NotImplementedError

    def trace_with(self, trace_id, enough, seconds=30.0):
        """The spans of a trace once `enough` is true of them: they come in batches, from several programs."""
        found = []

        def look():
            found[:] = self.trace(trace_id)
            return enough(found)

        try:
            until(look, seconds, "the trace to be whole")
        except AssertionError as late:
            raise AssertionError(f"{late}; it has {sorted((s.service, s.name) for s in found)}") from None
        return found


class Jaeger(Collector):
    PORTS = ("collector.otlp.http", "collector.otlp.grpc", "query.http-server", "query.grpc-server",
             "collector.http-server", "collector.grpc-server", "admin.http", "http-server")

    def prepare(self):
        self.program = ROOT / "build" / "tools" / "jaeger"
        if not self.program.exists():
            raise Missing("no Jaeger here: scripts/observe-tools jaeger")
        self.first = free_ports(len(self.PORTS) + 3)
        self.port = self.first + self.PORTS.index("query.http-server")
        self.api = f"http://127.0.0.1:{self.port}"

    def command(self):
        flags = [f"--{name}.host-port=127.0.0.1:{self.first + i}" for i, name in enumerate(self.PORTS)]
        agents = ("jaeger-compact", "jaeger-binary", "zipkin-compact")
        flags += [f"--processor.{name}.server-host-port=127.0.0.1:{self.first + len(self.PORTS) + i}"
                  for i, name in enumerate(agents)]
        return [str(self.program), *flags]

    def environment(self):
        return {"SPAN_STORAGE_TYPE": "memory"}

    def answers(self):
        try:
            return self.ask("/api/services") is not None
        except httpx.HTTPError:
            return False

    def settings(self, **more):
        return {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.first}",
                "OTEL_BSP_SCHEDULE_DELAY": "100", **more}

    def trace(self, trace_id):
        answer = httpx.get(f"{self.api}/api/traces/{trace_id}", timeout=20, trust_env=False)
        if answer.status_code == 404:
            return []
        (trace,) = answer.json()["data"]
        return [self.span(span, trace["processes"]) for span in trace["spans"]]

    def span(self, span, processes):
        tags = {tag["key"]: tag["value"] for tag in span["tags"]}
        parents = [r["spanID"] for r in span["references"] if r["refType"] == "CHILD_OF" and r["traceID"] == span["traceID"]]
        links = [(r["traceID"], r["spanID"]) for r in span["references"] if r["refType"] == "FOLLOWS_FROM"]
        return Span(span["traceID"], span["spanID"], parents[0] if parents else None,
                    processes[span["processID"]]["serviceName"], span["operationName"], tags.get("span.kind", "internal"),
                    tags, links, span["startTime"], span["duration"], bool(tags.get("error")))

    def find(self, service, **query):
        """Ids of traces in which a service has a span of that operation, or with those tags."""
        found = self.ask("/api/traces", service=service, limit=1500, lookback="1h", **query)
        return [trace["traceID"] for trace in found["data"]]


class Zipkin(Collector):
    def prepare(self):
        self.jar = ROOT / "build" / "brokers" / "zipkin" / "zipkin.jar"
        if not self.jar.exists():
            raise Missing("no Zipkin here: scripts/observe-tools zipkin")
        if not shutil.which("java"):
            raise Missing("no Java here")
        self.api = f"http://127.0.0.1:{self.port}"

    def command(self):
        port = "--armeria.ports[0]."
        return ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", str(self.jar),
                f"{port}ip=127.0.0.1", f"{port}port={self.port}", f"{port}protocols=http"]

    def answers(self):
        try:
            return httpx.get(f"{self.api}/health", timeout=5, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def settings(self, **more):
        return {"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_EXPORTER_ZIPKIN_ENDPOINT": f"{self.api}/api/v2/spans",
                "OTEL_BSP_SCHEDULE_DELAY": "100", **more}

    def trace(self, trace_id):
        answer = httpx.get(f"{self.api}/api/v2/trace/{trace_id}", timeout=20, trust_env=False)
        if answer.status_code == 404:
            return []
        return [Span(s["traceId"], s["id"], s.get("parentId"), s["localEndpoint"]["serviceName"], s["name"],
                     s.get("kind", "internal").lower(), s.get("tags", {}), [], s["timestamp"], s["duration"],
                     "error" in s.get("tags", {})) for s in answer.json()]


class Otelcol(Broker):
    """The OpenTelemetry Collector with the configuration of deploy/observability, which hands all of it on, as JSON, to `sink`
    (a Listener)."""

    def __init__(self, place, sink):
        self.sink = sink
        super().__init__(place)

    def prepare(self):
        self.program = ROOT / "build" / "tools" / "otelcol"
        if not self.program.exists():
            raise Missing("no collector here: scripts/observe-tools otelcol")
        # The listener reads JSON: the one thing that is not as it is delivered.
        (self.place / "json.yaml").write_text("exporters:\n" + "".join(
            f"  otlp_http/{what}: {{encoding: json, compression: none}}\n" for what in ("traces", "metrics", "logs")))

    def command(self):
        return [str(self.program), f"--config={ROOT}/deploy/observability/collector.yaml", "--config=json.yaml"]

    def environment(self):
        urls = {f"{what.upper()}_URL": f"{self.sink.url}/{what}" for what in ("traces", "metrics", "logs")}
        return {**urls, "OTLP_HTTP_LISTEN": f"127.0.0.1:{self.port}", "OTLP_GRPC_LISTEN": f"127.0.0.1:{self.port + 1}"}

    def settings(self, **more):
        return {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_LOGS_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp",
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}", "OTEL_BSP_SCHEDULE_DELAY": "100",
                "OTEL_METRIC_EXPORT_INTERVAL": "1000", **more}


class Opensearch(Broker):
    """OpenSearch on loopback, asked by its own API."""

    SECONDS = 240

    def prepare(self):
        self.jars = ROOT / "build" / "brokers" / "opensearch"
        if not (self.jars / ".done").exists():
            raise Missing("no OpenSearch here: scripts/observe-tools opensearch")
        if not shutil.which("javac") and not shutil.which("java"):
            raise Missing("no Java here")
        self.api = f"http://127.0.0.1:{self.port}"

    def command(self):
        main = ROOT / "tests" / "observe" / "opensearch" / "OpenSearchMain.java"
        return ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{self.jars}/*", str(main),
                str(self.place / "node"), str(self.port), str(self.port + 1)]

    def answers(self):
        try:
            health = httpx.get(f"{self.api}/_cluster/health", timeout=5, trust_env=False)
            return health.status_code == 200 and health.json()["status"] in ("green", "yellow")
        except (httpx.HTTPError, ValueError):
            return False

    def ask(self, method, path, **rest):
        answer = httpx.request(method, self.api + path, timeout=60, trust_env=False, **rest)
        assert answer.status_code in (200, 201), f"{path}: {answer.text}"
        return answer.json()
