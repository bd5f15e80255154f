"""Gateways before one stand-in service: Duka's own, nginx that only proxies, and Envoy with the same duties (token checked,
limit, request id, a line of log for each request). One worker each, and connections to the service are kept."""
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from apart import DukaApart
from peers import PORT, ROOT, Nginx, Peer, Skipped, wait_for_connection

LIMIT_A_MINUTE = 1_000_000_000  # counted for each request, and never reached


class Service(Nginx):
    """The service behind them: nginx that answers from memory, in HTTP/1.1 at `port` and in HTTP/2 at the next one."""

    def listens(self):
        return f"listen 127.0.0.1:{self.port} backlog=4096; listen 127.0.0.1:{self.port + 1} http2 backlog=4096;"


ROUTES = """
- path: /users
  upstream: service:users
- path: /orders
  upstream: service:orders
  access: customer
"""


class DukaGateway(DukaApart):
    """duka-gateway on the core under measurement. Users is there for accounts and keys, on the other core; what stands
    for Orders answers anything."""

    def __init__(self, folder, core, service, other_core, port=PORT + 60):
        url = f"http://127.0.0.1:{service.port + 1}"
        super().__init__(folder, core, port, urls={"products": url, "orders": url}, LOG_LEVEL="info", LOG_FORMAT="json",
                         RATE_LIMIT=str(LIMIT_A_MINUTE), ROUTES_FILE=str(Path(folder) / "routes.yaml"))
        self.cores["users"] = other_core
        (self.folder / "routes.yaml").write_text(ROUTES)

    def cpu_us(self):
        return self.cpu_us_of("gateway")

    def lines(self):
        return count_lines(self.folder / "gateway.log")


def count_lines(path):
    return int(subprocess.run(["wc", "-l", path], capture_output=True, text=True, check=True).stdout.split()[0])


class NginxProxy(Nginx):
    """nginx that proxies plainly: no token, no limit, no id, no log."""

    def __init__(self, folder, core, service, port=PORT + 90):
        super().__init__(folder, core, "", port)
        self.service = service

    def site(self):
        return (f"upstream service {{ server 127.0.0.1:{self.service.port}; keepalive 256; keepalive_requests 1000000000; }} "
                f"server {{ listen 127.0.0.1:{self.port} backlog=4096; location / {{ proxy_pass http://service; "
                'proxy_http_version 1.1; proxy_set_header Connection ""; } }')


class NginxCopy(NginxProxy):
    """nginx that copies bytes to and fro and knows nothing of HTTP: what is left to any gateway by the kernel."""

    MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")

    def modules(self):
        if not self.MODULE.exists():
            raise Skipped("libnginx-mod-stream is not installed")
        return f"load_module {self.MODULE};"

    def protocol(self):
        return (f"stream {{ server {{ listen 127.0.0.1:{self.port} backlog=4096; proxy_pass 127.0.0.1:{self.service.port}; "
                "tcp_nodelay on; } }")


class Envoy(Peer):
    """Envoy with Duka's duties. It remembers tokens that it has verified, as Duka does."""

    def __init__(self, folder, core, service, jwks, claims, http2=False, port=PORT + 92):
        super().__init__("envoy", folder, core)
        self.service, self.jwks, self.claims, self.http2, self.port = service, jwks, claims, http2, port

    def program(self):
        found = ROOT / "build/venv/bin/envoy"
        path = str(found) if found.exists() else shutil.which("envoy")
        if not path:
            raise Skipped("Envoy is not installed (scripts/bootstrap bench does that)")
        return path

    def filters(self):
        kind = "type.googleapis.com/envoy.extensions.filters.http."
        provider = {"issuer": self.claims["iss"], "audiences": [self.claims["aud"]], "forward": True,
                    "local_jwks": {"inline_string": json.dumps(self.jwks)}, "jwt_cache_config": {"jwt_cache_size": 1000}}
        everything = {"default_value": {"numerator": 100}}
        per_second = LIMIT_A_MINUTE // 60
        return [
            {"name": "envoy.filters.http.jwt_authn", "typed_config": {
                "@type": kind + "jwt_authn.v3.JwtAuthentication", "providers": {"duka": provider},
                "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "duka"}}]}},
            {"name": "envoy.filters.http.local_ratelimit", "typed_config": {
                "@type": kind + "local_ratelimit.v3.LocalRateLimit", "stat_prefix": "limit",
                "token_bucket": {"max_tokens": per_second, "tokens_per_fill": per_second, "fill_interval": "1s"},
                "filter_enabled": everything, "filter_enforced": everything}},
            {"name": "envoy.filters.http.router", "typed_config": {"@type": kind + "router.v3.Router"}}]

    def listener(self):
        log = {"time": "%START_TIME%", "method": "%REQ(:METHOD)%", "path": "%REQ(:PATH)%", "status": "%RESPONSE_CODE%",
               "bytes": "%BYTES_SENT%", "duration": "%DURATION%", "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
               "request_id": "%REQ(X-REQUEST-ID)%", "trace": "%REQ(TRACEPARENT)%"}
        manager = {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "http", "generate_request_id": True, "http_filters": self.filters(),
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "route": {"cluster": "service"}}]}]},
            "access_log": [{"name": "file", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": str(self.folder / "access.log"), "log_format": {"json_format": log}}}]}
        return {"name": "door", "address": address(self.port),
                "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}

    def cluster(self):
        many = 20000
        found = {"name": "service", "connect_timeout": "5s", "type": "STATIC",
                 "load_assignment": {"cluster_name": "service", "endpoints": [{"lb_endpoints": [{"endpoint": {
                     "address": address(self.service.port + self.http2)}}]}]},
                 "circuit_breakers": {"thresholds": [{"max_connections": many, "max_pending_requests": many,
                                                      "max_requests": many}]}}
        if self.http2:
            kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
            found["typed_extension_protocol_options"] = {kind: {
                "@type": "type.googleapis.com/" + kind, "explicit_http_config": {"http2_protocol_options": {}}}}
        return found

    def start(self):
        config = self.folder / "envoy.json"
        config.write_text(json.dumps({"static_resources": {"listeners": [self.listener()], "clusters": [self.cluster()]}}))
        self.spawn([self.program(), "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "warn",
                    "--file-flush-interval-msec", "1000"])
        wait_for_connection(self.port)

    def lines(self):
        return count_lines(self.folder / "access.log")


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def status_of(port, path, token):
    """What a gateway says to a token."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code
