"""Makes deploy/kubernetes/base/network-policies.yaml from the contracts: who may talk to whom, and nothing else.

    policies.py          writes the file
    policies.py --check  says whether it is what the contracts give

The edges: the gateway reaches each service that has public calls; a service reaches those that it asks (duka.Service.asks);
everybody but Users follows Users' keys and revocations; with the bus `direct:` who announces an event pushes it to who reacts.
Run with the Python of build/venv."""
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILE = ROOT / "deploy/kubernetes/base/network-policies.yaml"
sys.path.insert(0, str(ROOT / "tools/contracts"))

HEAD = """# Made by tools/kubernetes/policies.py from the contracts (make policies); tests/unit/tools/kubernetes_test.py says when it is
# stale. Nothing goes anywhere but along these edges:
"""

DENY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: default-deny
  namespace: shop
  labels: {app.kubernetes.io/part-of: duka}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
---
# Names are asked for where the cluster has its DNS.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: dns
  namespace: shop
  labels: {app.kubernetes.io/part-of: duka}
spec:
  podSelector: {matchLabels: {app.kubernetes.io/part-of: duka}}
  policyTypes: [Egress]
  egress:
    - to:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
          podSelector: {matchLabels: {k8s-app: kube-dns}}
      ports:
        - {port: 53, protocol: UDP}
        - {port: 53, protocol: TCP}
        - {port: 5353, protocol: UDP}
        - {port: 5353, protocol: TCP}
---
# Prometheus, in whatever namespace of that name; the kubelet's probes come from the node and are never refused.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: operators
  namespace: shop
  labels: {app.kubernetes.io/part-of: duka}
spec:
  podSelector: {matchLabels: {app.kubernetes.io/part-of: duka}}
  policyTypes: [Ingress]
  ingress:
    - from:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}
      ports:
        - {port: 9000, protocol: TCP}
---
# Ingress controllers reach the gateway, from namespaces with the label duka.dev/ingress=allowed.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: ingress
  namespace: shop
  labels: {app.kubernetes.io/part-of: duka}
spec:
  podSelector: {matchLabels: {app: gateway-service}}
  policyTypes: [Ingress]
  ingress:
    - from:
        - namespaceSelector: {matchLabels: {duka.dev/ingress: allowed}}
      ports:
        - {port: 3000, protocol: TCP}
---
# The database, in whatever namespace; the component external-database opens the way to one outside the cluster.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: database
  namespace: shop
  labels: {app.kubernetes.io/part-of: duka}
spec:
  podSelector: {matchLabels: {duka.dev/database: needed}}
  policyTypes: [Egress]
  egress:
    - to:
        - namespaceSelector: {}
          podSelector: {matchLabels: {app.kubernetes.io/name: postgresql}}
      ports:
        - {port: 5432, protocol: TCP}
"""

EDGES = """---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {name}-service
  namespace: shop
  labels: {{app: {name}-service, app.kubernetes.io/part-of: duka}}
spec:
  podSelector: {{matchLabels: {{app: {name}-service}}}}
  policyTypes: [Ingress, Egress]
"""


def edges_of(model):
    """{(from, to): why}, by the names of services."""
    edges = {}

    def add(source, target, why):
        if source != target:
            edges.setdefault((source, target), []).append(why)

    by_full_name = {f"{service.package}.{service.name}": service.unit for service in model.services}
    for service in model.services:
        if any(call.is_public for call in service.calls):
            add("gateway", service.unit, "public calls")
        for name in service.asks:
            add(service.unit, by_full_name[name], "asks")
        for event in service.reactions:
            add(event.package.split(".")[0], service.unit, f"{event.name}")
    for name in ("gateway", *(service.unit for service in model.services)):
        add(name, "users", "follows keys")
    return edges


def peers(key, names):
    if not names:
        return ""
    rows = "".join(f"        - podSelector: {{matchLabels: {{app: {name}-service}}}}\n" for name in names)
    words = {"ingress": "from", "egress": "to"}[key]
    return f"  {key}:\n    - {words}:\n{rows}      ports:\n        - {{port: 3000, protocol: TCP}}\n"


def make(model):
    """The text of the file."""
    edges = edges_of(model)
    names = ["gateway", *(service.unit for service in model.services)]
    told = "".join(f"#   {source} -> {target}: {', '.join(dict.fromkeys(why))}\n" for (source, target), why in sorted(edges.items()))
    out = HEAD + told + DENY
    for name in names:
        out += EDGES.format(name=name)
        out += peers("ingress", [source for source, target in sorted(edges) if target == name])
        out += peers("egress", [target for source, target in sorted(edges) if source == name])
    return out


def load():
    from generate import load as load_contracts

    return load_contracts(ROOT / "contracts")[0]


def main():
    made = make(load())
    if sys.argv[1:] == ["--check"]:
        if FILE.read_text(encoding="utf-8") != made:
            sys.exit(f"{FILE.relative_to(ROOT)} is stale: make policies writes it anew")
    else:
        FILE.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
