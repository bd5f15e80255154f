"""Gateways before one stand-in service: Duka's own, nginx that only proxies, and Envoy with the same duties. One worker each,
and connections to the service are kept.

The duties that `check_duties` sees in both: a token is verified, its role is what the route asks for; every answer tells what is left of
the user's bucket; what a client says of its own identity goes, the service is told who calls instead of the token; `traceparent` and
`X-Request-Id` are made, passed on and told; `proxied` counts a line of log for each request. Set in both and not looked at: verified tokens
are remembered, each user has a bucket of its own, a call that did not reach the service is repeated within a budget, a server that fails is
left out, metrics by route."""
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
    """The service behind them: nginx that answers from memory, in HTTP/1.1 at `port` and in HTTP/2 at the next one. At
    /orders/told it says what headers came to it."""

    TOLD = ("traceparent", "x-request-id", "x-duka-identity", "x-user", "x-roles", "x-forwarded-for", "authorization")

    def listens(self):
        told = ", ".join(f'"{name}": "$http_{name.replace("-", "_")}"' for name in self.TOLD)
        return (f"listen 127.0.0.1:{self.port} backlog=4096; listen 127.0.0.1:{self.port + 1} http2 backlog=4096; "
                f"location = /orders/told {{ default_type application/json; return 200 '{{ {told} }}'; }}")


ROUTES = """
- path: /users
  upstream: service:users
- path: /orders
  upstream: service:orders
  access: customer
- path: /products
  upstream: service:products
  access: staff
"""


class DukaGateway(DukaApart):
    """duka-gateway on the core under measurement. Users is there for accounts and keys, on the other core; what stands
    for Orders answers anything."""

    IDENTITY = ("x-duka-identity",)

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


JWT_FILTER = "envoy.filters.http.jwt_authn"


def role_may(role, path):
    """Envoy's words for who may go where."""
    is_role = {"list_match": {"one_of": {"string_match": {"exact": role}}}}
    return {"permissions": [{"url_path": {"path": {"prefix": path}}}],
            "principals": [{"metadata": {"filter": JWT_FILTER, "path": [{"key": "token"}, {"key": "roles"}], "value": is_role}}]}


class Envoy(Peer):
    """Envoy with Duka's duties."""

    IDENTITY = ("x-user", "x-roles", "x-forwarded-for")

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
        provider = {"issuer": self.claims["iss"], "audiences": [self.claims["aud"]], "forward": False, "payload_in_metadata": "token",
                    "claim_to_headers": [{"header_name": "x-user", "claim_name": "sub"}, {"header_name": "x-roles", "claim_name": "roles"}],
                    "local_jwks": {"inline_string": json.dumps(self.jwks)}, "jwt_cache_config": {"jwt_cache_size": 1000}}
        everything = {"default_value": {"numerator": 100}}
        a_second = LIMIT_A_MINUTE // 60
        bucket = {"max_tokens": a_second, "tokens_per_fill": a_second, "fill_interval": "1s"}
        user = {"metadata": {"descriptor_key": "user", "source": "DYNAMIC", "metadata_key": {
            "key": JWT_FILTER, "path": [{"key": "token"}, {"key": "sub"}]}}}
        return [
            {"name": JWT_FILTER, "typed_config": {
                "@type": kind + "jwt_authn.v3.JwtAuthentication", "providers": {"duka": provider},
                "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "duka"}}]}},
            {"name": "envoy.filters.http.local_ratelimit", "typed_config": {
                "@type": kind + "local_ratelimit.v3.LocalRateLimit", "stat_prefix": "limit", "token_bucket": bucket,
                "rate_limits": [{"actions": [user]}], "descriptors": [{"entries": [{"key": "user"}], "token_bucket": bucket}],
                "max_dynamic_descriptors": 8192, "always_consume_default_token_bucket": False,
                "enable_x_ratelimit_headers": "DRAFT_VERSION_03", "filter_enabled": everything, "filter_enforced": everything}},
            {"name": "envoy.filters.http.rbac", "typed_config": {
                "@type": kind + "rbac.v3.RBAC", "rules": {"policies": {
                    "orders": role_may("customer", "/orders"), "products": role_may("staff", "/products")}}}},
            {"name": "envoy.filters.http.router", "typed_config": {"@type": kind + "router.v3.Router"}}]

    def routes(self):
        again = {"retry_on": "connect-failure,refused-stream,reset", "num_retries": 1}
        trace = {"header": {"key": "traceparent", "value": "%REQ(TRACEPARENT)%"}}
        return {"response_headers_to_add": [trace], "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"path_separated_prefix": path}, "stat_prefix": path[1:],
             "route": {"cluster": "service", "timeout": "30s", "retry_policy": again}} for path in ("/users", "/orders", "/products")]}]}

    def listener(self):
        log = {"time": "%START_TIME%", "method": "%REQ(:METHOD)%", "path": "%REQ(:PATH)%", "status": "%RESPONSE_CODE%",
               "bytes": "%BYTES_SENT%", "duration": "%DURATION%", "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
               "request_id": "%REQ(X-REQUEST-ID)%", "trace": "%REQ(TRACEPARENT)%"}
        # No trace is kept, as with Duka's own default; its ids are made and passed on all the same.
        tracing = {"random_sampling": {"value": 0}, "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": {
            "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig", "service_name": "gateway",
            "grpc_service": {"envoy_grpc": {"cluster_name": "service"}}}}}
        manager = {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "http", "generate_request_id": True, "always_set_request_id_in_response": True, "use_remote_address": True,
            "tracing": tracing, "http_filters": self.filters(), "route_config": self.routes(),
            "access_log": [{"name": "file", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": str(self.folder / "access.log"), "log_format": {"json_format": log}}}]}
        return {"name": "door", "address": address(self.port),
                "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}

    def cluster(self):
        many = 20000
        found = {"name": "service", "connect_timeout": "5s", "type": "STATIC", "outlier_detection": {},
                 "load_assignment": {"cluster_name": "service", "endpoints": [{"lb_endpoints": [{"endpoint": {
                     "address": address(self.service.port + self.http2)}}]}]},
                 "circuit_breakers": {"thresholds": [{"max_connections": many, "max_pending_requests": many, "max_requests": many,
                                                      "retry_budget": {"budget_percent": {"value": 20}}}]}}
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


def answer_of(port, path, token, headers=None):
    """What a gateway says to a token: status, headers and body."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"} | (headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers, refused.read()
