"""Argo CD's and Argo Rollouts' manifests by the schemas of their own definitions, and what kustomize makes of deploy/gitops."""
import copy
import shutil
import subprocess

import jsonschema
import pytest
import yaml
from conftest import ROOT, TOOLS, run, tool

GITOPS = ROOT / "deploy/gitops"
SERVICES = ("users", "products", "orders", "gateway")
MANIFESTS = sorted(path for path in GITOPS.rglob("*.yaml") if path.name != "kustomization.yaml")


def strict(schema):
    """A definition's schema, such that a field it does not know is a mistake: the API server would drop it, and nobody would notice."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) if key != "properties" else {name: strict(one) for name, one in value.items()} for key, value in schema.items()}
    if made.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    if "properties" in made and not made.get("x-kubernetes-preserve-unknown-fields") and "additionalProperties" not in made:
        made["additionalProperties"] = False
    return made


def definitions():
    """{(apiVersion, kind): schema}, of the modules that scripts/pipeline-tools fetched."""
    tool("argo")
    found = {}
    for path in (TOOLS / "argo").glob("*-crd.yaml"):
        crd = yaml.safe_load(path.read_text(encoding="utf-8"))
        for version in crd["spec"]["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            found[f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"]] = schema
    return found


def problems(document, schemas):
    validator = jsonschema.Draft202012Validator(schemas[document["apiVersion"], document["kind"]])
    return [f"{'/'.join(map(str, one.absolute_path))}: {one.message[:300]}" for one in validator.iter_errors(document)]


def documents(path):
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one]


def test_every_manifest_is_what_its_definition_says():
    schemas, seen = definitions(), set()
    for path in MANIFESTS:
        for document in documents(path):
            assert problems(document, schemas) == [], path
            seen.add(document["kind"])
    assert seen == {"AppProject", "ApplicationSet", "Rollout", "AnalysisTemplate"}


def test_a_field_that_no_definition_has_is_found():
    schemas = definitions()
    [good] = documents(GITOPS / "applicationset-dev.yaml")
    for plant in (lambda d: d["spec"]["template"]["spec"].update(sinc={}), lambda d: d["spec"].pop("template"),
                  lambda d: d["spec"]["template"]["spec"]["syncPolicy"]["retry"].update(limit="ten"),
                  lambda d: d["spec"]["generators"][0]["list"].update(elemens=[])):
        bad = copy.deepcopy(good)
        plant(bad)
        assert problems(bad, schemas), plant


def test_each_application_is_a_folder_and_every_service_has_one_in_each_environment():
    for environment in ("dev", "production"):
        [made] = documents(GITOPS / f"applicationset-{environment}.yaml")
        names = [one["service"] for one in made["spec"]["generators"][0]["list"]["elements"]]
        assert sorted(names) == sorted(("shop", *SERVICES))
        path = made["spec"]["template"]["spec"]["source"]["path"]
        for name in names:
            assert (ROOT / path.replace("{{.service}}", name) / "kustomization.yaml").is_file()
        waves = {one["service"]: int(one["wave"]) for one in made["spec"]["generators"][0]["list"]["elements"]}
        assert waves["shop"] < waves["orders"] < waves["gateway"]


# ---- What is applied ----


def built(folder):
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not here: what kustomize makes of deploy/gitops is not checked")
    if not (ROOT / "deploy/kubernetes").is_dir():
        pytest.skip("deploy/kubernetes is not here: deploy/gitops stands on it")
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def names_of(objects):
    return {(one["kind"], one["metadata"]["name"]) for one in objects}


@pytest.mark.parametrize("environment", ["dev", "production"])
def test_the_applications_share_nothing_and_together_are_the_overlay(environment):
    apart = {name: names_of(built(GITOPS / environment / name)) for name in ("shop", *SERVICES)}
    union = set()
    for name, objects in apart.items():
        assert not union & objects, name
        union |= objects
        if name != "shop":
            assert ("Deployment", f"{name}-service") in objects and ("Service", f"{name}-service") in objects
    whole = names_of(built(ROOT / f"deploy/kubernetes/overlays/{environment}"))
    if environment == "production":
        whole |= names_of(built(ROOT / "deploy/kubernetes/migrations"))
    assert union == whole


def test_a_migration_comes_before_the_service_and_has_its_image():
    for service in ("users", "products", "orders"):
        objects = {one["kind"]: one for one in built(GITOPS / "production" / service)}
        job, deployment = objects["Job"], objects["Deployment"]
        assert int(job["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]) < 0
        assert job["metadata"]["annotations"]["argocd.argoproj.io/hook-delete-policy"] == "BeforeHookCreation"
        images = [one["spec"]["template"]["spec"]["containers"][0]["image"] for one in (job, deployment)]
        assert images[0] == images[1]


def test_a_digest_that_is_written_is_what_runs(tree):
    digest, commit = "sha256:" + "a1" * 32, "b2" * 20
    for environment, service in (("dev", "orders"), ("production", "users")):
        image = f"registry.example.com/x/{service}-service@{digest}"
        done = run("python3", "-B", "scripts/pipeline/gitops.py", "write", environment, service, image, commit, cwd=tree)
        assert done.returncode == 0, done.stdout
        objects = [one for one in built(tree / "deploy/gitops" / environment / service) if one["kind"] in ("Deployment", "Job")]
        assert {one["spec"]["template"]["spec"]["containers"][0]["image"] for one in objects} == {image}
        [deployment] = [one for one in objects if one["kind"] == "Deployment"]
        # On the Deployment and not on its pods: a commit that changed no byte of the image rolls nothing.
        assert deployment["metadata"]["annotations"]["duka.dev/commit"] == commit
        assert "duka.dev/commit" not in deployment["spec"]["template"]["metadata"].get("annotations", {})
