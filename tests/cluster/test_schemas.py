"""Every manifest before the API server itself (a dry run on its side), and before kubeconform with schemas that this server gave."""

import json
import os
import shutil
import subprocess

import pytest
import yaml
from kube import DEPLOY
from shop import ROOT

SPACE = "shop-dry"
COMPONENTS = sorted(path.parent.name for path in DEPLOY.glob("components/*/kustomization.yaml"))
ALONE = [DEPLOY / "base/straight-ingress.yaml", DEPLOY / "components/ingress-nginx/rewriting-ingress.yaml",
         DEPLOY / "components/ingress-traefik/rewriting-ingress.yaml", DEPLOY / "examples/external-secrets.yaml",
         DEPLOY / "examples/sealed-secret.yaml"]

# Of these there is no schema to be had here: their resources are unchecked, and docs/deploy.md says so.
UNCHECKED = {"policy.linkerd.io"}


def everything(kube):
    """{name: text} of all that may be applied."""
    made = {name: kube.run("kustomize", DEPLOY / name).stdout for name in ("base", "migrations", "overlays/dev", "overlays/production")}
    made |= {f"components/{name}": kube.kustomized(name) for name in COMPONENTS}
    return made | {str(path.relative_to(DEPLOY)): path.read_text(encoding="utf-8") for path in ALONE}


def parted(text):
    """The objects whose schema the cluster has, and the kinds that it has not."""
    found = [one for one in yaml.safe_load_all(text) if one]
    unchecked = [one for one in found if one["apiVersion"].split("/")[0] in UNCHECKED]
    return [one for one in found if one not in unchecked], {f"{one['apiVersion']} {one['kind']}" for one in unchecked}


@pytest.fixture(scope="module")
def manifests(kube):
    """All of it, in a namespace that is empty: what is there already would be merged with it."""
    kube.apply(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {SPACE}}}\n")
    yield everything(kube)
    kube.run("delete", "namespace", SPACE, "--wait=false")


def dry_run(kube, objects):
    """What the API server says of them."""
    text = "---\n".join(yaml.safe_dump(one) for one in objects).replace("namespace: shop\n", f"namespace: {SPACE}\n")
    return kube.run("apply", "--dry-run=server", "--validate=strict", "--server-side", "--force-conflicts", "-f", "-", stdin=text, check=False)


def test_the_api_server_takes_every_manifest(kube, manifests, tell):
    count, unchecked = 0, set()
    for name, text in manifests.items():
        objects, left = parted(text)
        unchecked |= left
        done = dry_run(kube, objects)
        assert done.returncode == 0 and "unknown field" not in done.stderr, f"{name}: {done.stderr}"
        count += len(objects)
    tell(f"{count} objects of {len(manifests)} overlays and files were taken by the API server; unchecked: {', '.join(sorted(unchecked))}")
    assert unchecked and {one.split("/")[0] for one in unchecked} == UNCHECKED


def test_the_api_server_refuses_what_is_wrong(kube, manifests):
    def object_of(**spec):
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "namespace": "shop"}, "spec": spec}

    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "x", "image": "x:1"}]}}
    good = object_of(selector={"matchLabels": {"app": "x"}}, template=template)
    assert dry_run(kube, [good]).returncode == 0
    assert dry_run(kube, [object_of(selector={"matchLabels": {"app": "y"}}, template=template)]).returncode == 1
    assert dry_run(kube, [{**good, "spec": {**good["spec"], "replica": 3}}]).returncode == 1
    assert dry_run(kube, [{**good, "apiVersion": "policy.linkerd.io/v1beta3", "kind": "Server"}]).returncode == 1, "it has no schema of these"


# ---- kubeconform ----


def tool():
    path = ROOT / "build/tools/kubeconform"
    if not path.exists():
        if not shutil.which("go"):
            pytest.skip("there is neither kubeconform nor a Go toolchain to build it")
        done = subprocess.run(["go", "install", "github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0"], capture_output=True, text=True,
                              check=False, env={**os.environ, "GOBIN": str(path.parent)})
        if done.returncode != 0:
            pytest.skip(f"kubeconform could not be built: {done.stderr[-300:]}")
    return path


def strict(schema):
    """The same, taking nothing that it does not name."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if made.get("x-kubernetes-int-or-string") or made.get("format") == "int-or-string":
        return {"type": ["integer", "string"]}
    free = made.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in made
    if isinstance(made.get("properties"), dict) and "type" in made and not free and made["type"] == "object":
        made["additionalProperties"] = False
    return made


def refs_of(schema):
    """The names of the definitions that a schema refers to."""
    if isinstance(schema, list):
        return set().union(*map(refs_of, schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    mine = {schema["$ref"].removeprefix("#/definitions/")} if isinstance(schema.get("$ref"), str) else set()
    return mine.union(*(refs_of(value) for value in schema.values())) if schema else mine


def closure(name, definitions):
    """A definition and all that it needs."""
    found, left = {}, [name]
    while left:
        one = left.pop()
        if one not in found:
            found[one] = definitions[one]
            left += refs_of(definitions[one])
    return found


def write_schemas(kube, folder):
    """One file for each kind of the cluster, as kubeconform looks for them; gives how many."""
    told = json.loads(kube.run("get", "--raw", "/openapi/v2").stdout)["definitions"]
    definitions = {name: strict(one) for name, one in told.items()}
    definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = {"type": ["string", "number"]}
    count = 0
    for name, one in told.items():
        for kind in one.get("x-kubernetes-group-version-kind", []):
            group = kind["group"].split(".")[0] if kind["group"] else ""
            file = "-".join(filter(None, (kind["kind"].lower(), group, kind["version"]))) + ".json"
            (folder / file).write_text(json.dumps({"$ref": f"#/definitions/{name}", "definitions": closure(name, definitions)}))
            count += 1
    return count


def conform(folder, text):
    words = [tool(), "-strict", "-summary", "-output", "json", "-schema-location",
             str(folder) + "/{{.ResourceKind}}{{.KindSuffix}}.json", "-"]
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False, timeout=120)
    return json.loads(done.stdout) if done.stdout.strip().startswith("{") else {"error": done.stdout + done.stderr}


def test_kubeconform_finds_nothing(kube, manifests, tmp_path, tell):
    assert write_schemas(kube, tmp_path) > 100
    valid = 0
    for name, text in manifests.items():
        told = conform(tmp_path, "---\n".join(yaml.safe_dump(one) for one in parted(text)[0]))
        assert "summary" in told and told["summary"]["invalid"] == told["summary"]["errors"] == told["summary"]["skipped"] == 0, (
            name, [one for one in told["resources"] if one["status"] != "statusValid"][:3], told.get("error"))
        valid += told["summary"]["valid"]
    tell(f"kubeconform: {valid} objects hold their schemas")
    good = yaml.safe_load((DEPLOY / "base/users-deployment.yaml").read_text(encoding="utf-8"))
    good["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    assert conform(tmp_path, yaml.safe_dump(good))["summary"]["invalid"] == 1, "a misspelt word is seen"
