"""deploy/kubernetes as far as no cluster is needed: it is YAML of the form that is wanted, kustomize builds it, the policies are what
the contracts give, nothing in it is forbidden. The cluster itself judges it in tests/cluster."""
import copy
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import counted
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
HERE = ROOT / "deploy/kubernetes"
sys.path[:0] = [str(ROOT / "tools/kubernetes"), str(ROOT / "tools/contracts")]
import policies  # noqa: E402

SERVICES = ("users", "products", "orders", "gateway")
COMPONENTS = sorted(path.parent.name for path in HERE.glob("components/*/kustomization.yaml"))


class Unique(yaml.SafeLoader):
    """YAML that takes no key twice."""


def mapping(loader, node, deep=False):
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise yaml.YAMLError(f"{node.start_mark}: {twice} stands twice")
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


Unique.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)


def documents(text):
    return [found for found in yaml.load_all(text, Unique) if found]


def files():
    return sorted(HERE.rglob("*.yaml"))


def objects():
    """(file, object) of every manifest that is one by itself."""
    for path in files():
        if path.name != "kustomization.yaml":
            for found in documents(path.read_text(encoding="utf-8")):
                yield path.relative_to(HERE), found


def pod_of(found):
    return found["spec"]["template"]["spec"] if found["kind"] in ("Deployment", "Job", "StatefulSet") else None


def faults_of_pod(found):
    """What Pod Security `restricted` would refuse, and what we ask for besides."""
    pod = pod_of(found)
    named = f"{found['kind']} {found['metadata']['name']}"
    if pod.get("automountServiceAccountToken") is not False:
        yield f"{named}: a token of the API is mounted"
    if any(pod.get(word) for word in ("hostNetwork", "hostPID", "hostIPC")):
        yield f"{named}: shares the host"
    if pod.get("securityContext", {}).get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield f"{named}: no seccomp profile"
    if pod.get("securityContext", {}).get("runAsNonRoot") is not True:
        yield f"{named}: may run as root"
    for volume in pod.get("volumes", []):
        if "hostPath" in volume:
            yield f"{named}: mounts a path of the host"
    for one in pod["containers"] + pod.get("initContainers", []):
        if re.search(r":latest$|^[^:@]+$", one["image"]):
            yield f"{named}: an image without a version"
        context = one.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
            yield f"{named}: may gain privileges"
        if context.get("capabilities", {}).get("drop") != ["ALL"] or context["capabilities"].get("add"):
            yield f"{named}: keeps capabilities"
        if context.get("readOnlyRootFilesystem") is not True:
            yield f"{named}: writes to its image"
        if "memory" not in one.get("resources", {}).get("limits", {}) or "cpu" not in one["resources"].get("requests", {}):
            yield f"{named}: asks for no resources or has no limit of memory"
        probes = ("startupProbe", "livenessProbe", "readinessProbe")
        if found["kind"] == "Deployment" and not all(probe in one for probe in probes):
            yield f"{named}: a probe is missing"
    if found["kind"] == "Deployment" and found["spec"]["strategy"].get("rollingUpdate", {}).get("maxUnavailable") != 0:
        yield f"{named}: an update takes pods away before it gives new ones"


def variables():
    """(where, name of a variable that a program of ours is given)."""
    for path, found in objects():
        if pod_of(found):
            for one in pod_of(found)["containers"]:
                for entry in one.get("env", []):
                    yield path, entry["name"]
        if found["kind"] == "ConfigMap" and found["metadata"]["name"] == "duka-environment":
            for name in found["data"]:
                yield path, name


def kustomized(folder):
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return documents(done.stdout)


def with_component(name):
    """The base and one component, as an overlay."""
    with tempfile.TemporaryDirectory(dir=HERE / "overlays") as folder:
        (pathlib.Path(folder) / "kustomization.yaml").write_text(
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
            f"resources: [../../base]\ncomponents: [../../components/{name}]\n")
        return kustomized(folder)


# What a controller of nginx does with the path by rewriting-ingress.yaml, and what would be wrong.
PATHS = {
    "/users": "/", "/users/": "/", "/users/me": "/me", "/users/login": "/login", "/users/me/addresses/1": "/me/addresses/1",
    "/users/.well-known/jwks.json": "/.well-known/jwks.json", "/usersx": None, "/user": None,
    "/products": "/", "/products/": "/", "/products/mug": "/mug", "/products/products": "/products",
    "/products/stock/a%2Fb/ledger": "/stock/a%2Fb/ledger", "/products/categories": "/categories", "/productsmug": None,
    "/orders": "/", "/orders/1": "/1", "/orders/1/cancel": "/1/cancel", "/orders//1": "//1", "/order/s": None,
}


class Kubernetes(unittest.TestCase):
    def test_every_manifest_is_yaml_with_a_name_a_kind_and_the_namespace(self):
        count = 0
        for path, found in objects():
            with self.subTest(path=str(path)):
                self.assertTrue(found["apiVersion"] and found["kind"] and found["metadata"]["name"])
                self.assertEqual(found["metadata"].get("labels", {}).get("app.kubernetes.io/part-of"), "duka")
                if found["kind"] != "Namespace":
                    self.assertEqual(found["metadata"]["namespace"], "shop")
                count += 1
        self.assertGreater(count, 60)
        with self.assertRaises(yaml.YAMLError):
            documents("a: 1\na: 2\n")

    def test_no_secret_lies_in_the_tree(self):
        self.assertEqual([str(path) for path, found in objects() if found["kind"] == "Secret"], [])

    def test_pods_ask_for_little_and_say_how_they_are(self):
        pods = [found for _, found in objects() if pod_of(found)]
        self.assertEqual([fault for found in pods for fault in faults_of_pod(found)], [])
        self.assertEqual({found["metadata"]["name"] for found in pods if found["kind"] == "Deployment"},
                         {f"{name}-service" for name in SERVICES})

    def test_each_fault_of_a_pod_is_found_where_it_is_planted(self):
        good = next(found for _, found in objects() if found["kind"] == "Deployment")
        plants = [
            ("token", lambda d, p, c: p.update(automountServiceAccountToken=True)),
            ("host", lambda d, p, c: p.update(hostNetwork=True)),
            ("seccomp", lambda d, p, c: p["securityContext"].pop("seccompProfile")),
            ("root", lambda d, p, c: p["securityContext"].pop("runAsNonRoot")),
            ("path of the host", lambda d, p, c: p["volumes"].append({"name": "h", "hostPath": {"path": "/"}})),
            ("version", lambda d, p, c: c.update(image="users-service")),
            ("version", lambda d, p, c: c.update(image="users-service:latest")),
            ("privileges", lambda d, p, c: c["securityContext"].update(allowPrivilegeEscalation=True)),
            ("capabilities", lambda d, p, c: c["securityContext"]["capabilities"].update(add=["NET_ADMIN"])),
            ("writes", lambda d, p, c: c["securityContext"].pop("readOnlyRootFilesystem")),
            ("resources", lambda d, p, c: c["resources"].pop("limits")),
            ("probe", lambda d, p, c: c.pop("readinessProbe")),
            ("update", lambda d, p, c: d["spec"].update(strategy={"type": "Recreate"})),
        ]
        for word, plant in plants:
            with self.subTest(word=word):
                bad = copy.deepcopy(good)
                plant(bad, pod_of(bad), pod_of(bad)["containers"][0])
                told = list(faults_of_pod(bad))
                self.assertTrue(len(told) == 1 and word in told[0], told)

    def test_every_setting_that_is_named_is_one(self):
        known = set(re.findall(r"^SETTING\((\w+),", (ROOT / "contracts/settings.tbl").read_text(encoding="utf-8"), re.M))
        known |= {"POD_IP", "DUKA_CONFIG"}
        self.assertEqual([(str(path), name) for path, name in variables() if name not in known], [])

    def test_the_gateway_has_the_routes_that_are_built_in(self):
        source = (ROOT / "src/services/gateway/routes.c").read_text(encoding="utf-8")
        begin = source.index("ROUTES_BUILTIN = STR(")
        built_in = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', source[begin:source.index(";", begin)])).replace("\\n", "\n")
        mounted = next(found for _, found in objects() if found["metadata"]["name"] == "gateway-settings")
        self.assertEqual(documents(mounted["data"]["routes.yaml"]), documents(built_in))

    # ---- the call graph ----

    def test_the_policies_are_what_the_contracts_give(self):
        model = policies.load()
        self.assertEqual(policies.make(model), policies.FILE.read_text(encoding="utf-8"), "stale: make policies writes it anew")
        next(service for service in model.services if service.unit == "users").asks.append("products.v1.Products")
        self.assertNotEqual(policies.make(model), policies.FILE.read_text(encoding="utf-8"), "a new edge shows")

    def test_who_asks_whom_in_the_contracts_is_what_the_programs_are_given(self):
        for service in policies.load().services:
            source = (ROOT / f"src/apps/member_{service.unit}.c").read_text(encoding="utf-8")
            given = re.search(r"\.calls = ([^,]+),", source)
            asked = {name.split(".")[0] for name in service.asks}
            self.assertEqual({word.lower() for word in re.findall(r"SHOP_(\w+)", given[1] if given else "")}, asked, service.unit)

    def test_meshes_and_certificates_allow_the_same_edges(self):
        callers = {}
        for source, target in policies.edges_of(policies.load()):
            callers.setdefault(target, set()).add(source)
        for _, found in objects():
            name, kind = found["metadata"]["name"], found["kind"]
            if kind == "AuthorizationPolicy" and found["apiVersion"].startswith("security.istio.io") and name != "gateway-service":
                allowed = found["spec"]["rules"][0]["from"][0]["source"]["principals"]
                allowed = {principal.rsplit("/", 1)[1] for principal in allowed}
            elif kind == "MeshTLSAuthentication":
                name, allowed = name.replace("-callers", "-service"), {one["name"] for one in found["spec"]["identityRefs"]}
            else:
                continue
            self.assertEqual(allowed, {f"{one}-service" for one in callers[name.removesuffix("-service")]}, name)
        if shutil.which("kubectl"):
            for found in with_component("mtls-cert-manager"):
                if found["kind"] == "Deployment" and (name := found["metadata"]["name"]) != "gateway-service":
                    env = {one["name"]: one.get("value") for one in pod_of(found)["containers"][0]["env"]}
                    self.assertEqual(set(env["TLS_CLIENT_NAMES"].split(",")),
                                     {f"{one}-service" for one in callers[name.removesuffix("-service")]}, name)

    # ---- kustomize ----

    def built(self, folder):
        if not shutil.which("kubectl"):
            self.skipTest("there is no kubectl here")
        return kustomized(HERE / folder)

    def test_the_base_is_its_files_and_the_overlays_build(self):
        plain = {(found["kind"], found["metadata"]["name"]): found for path, found in objects() if path.parts[0] == "base"}
        base = {(found["kind"], found["metadata"]["name"]): found for found in self.built("base")}
        self.assertEqual({key: plain[key] for key in base}, base, "kustomize changes nothing in the base")
        self.assertEqual({key[1] for key in plain.keys() - base.keys()}, {"straight", "ingress-straight"})
        self.assertEqual(len(self.built("migrations")), 3)
        for found in self.built("overlays/production"):
            if found["kind"] == "Deployment":
                self.assertNotIn("replicas", found["spec"], "the autoscaler says how many")
                self.assertTrue(pod_of(found)["containers"][0]["image"].startswith("registry.example.com/"))
        dev = [found for found in self.built("overlays/dev") if found["kind"] == "Deployment"]
        self.assertEqual([found["spec"]["replicas"] for found in dev], [1, 1, 1, 1])
        stores = {one.get("value") for found in dev for one in pod_of(found)["containers"][0]["env"] if one["name"] == "DATABASE_URL"}
        self.assertEqual(stores, {f"sqlite:/data/{name}.db" for name in ("users", "products", "orders")})

    def test_each_component_goes_onto_the_base(self):
        if not shutil.which("kubectl"):
            self.skipTest("there is no kubectl here")
        self.assertEqual(len(COMPONENTS), 12)
        for name in COMPONENTS:
            with self.subTest(component=name):
                made = with_component(name)
                pods = [found for found in made if pod_of(found)]
                self.assertEqual([fault for found in pods for fault in faults_of_pod(found)], [])
                urls = {found["data"]["BUS_URL"].split(":")[0] for found in made if found["metadata"]["name"] == "duka-environment"}
                self.assertEqual(urls, {{"kafka": "kafka", "rabbitmq": "amqp", "sqs": "sqs"}.get(name, "direct")})

    # ---- the document ----

    def test_each_line_for_a_shell_is_run_by_the_tests_of_the_cluster(self):
        text = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
        tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests/cluster").glob("*.py"))
        run = set(re.findall(r'block\("(\w+)"\)', tests)) | {"users", "products", "orders", "gateway"}  # conftest.py, one after the other
        blocks = re.findall(r"^```(\w+) ?(.*)\n", text, re.M)
        self.assertEqual([name for kind, name in blocks if kind == "sh" and name not in run], [])
        self.assertEqual([kind for kind, name in blocks if kind != "sh" and kind != "yaml"], [])
        self.assertGreater(len(blocks), 15)

    # ---- rewriting by nginx, as text: no controller of it runs here ----

    def test_the_rewriting_of_nginx_on_twenty_paths(self):
        text = (HERE / "components/ingress-nginx/rewriting-ingress.yaml").read_text(encoding="utf-8")
        rules = []
        for found in documents(text):
            if found["kind"] == "Ingress":
                notes = found["metadata"]["annotations"]
                (path,) = found["spec"]["rules"][0]["http"]["paths"]
                target = notes["nginx.ingress.kubernetes.io/rewrite-target"]
                rules.append((path["path"], target, notes["nginx.ingress.kubernetes.io/x-forwarded-prefix"],
                              path["backend"]["service"]["name"]))

        def rewritten(path, target_is=None):
            for pattern, target, prefix, service in rules:
                if found := re.match(pattern, path):  # anchored at the beginning, as nginx does
                    place = re.sub(r"\$(\d)", lambda group: found[int(group[1])], target_is or target)
                    return place, prefix, service
            return None

        self.assertEqual((len(rules), len(PATHS)), (3, 20))
        for path, expected in PATHS.items():
            with self.subTest(path=path):
                made = rewritten(path)
                self.assertEqual(made and made[0], expected)
                if made:
                    self.assertEqual(made[1] + "-service", f"/{made[2]}")
                    whole = made[1] if made[0] == "/" else made[1] + made[0]
                    self.assertEqual(whole, path.rstrip("/") if expected == "/" else path, "put back by the service")
        self.assertEqual(rewritten("/users/me", "/$1")[0], "//", "the first group would lose the path")


if __name__ == "__main__":
    counted.main(sys.modules["__main__"])
