"""Tests of the kustomize bases, and of what kubectl builds from them."""

import json
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from bookwheel_local.errors import LocalError
from bookwheel_testing.engines import skip_or_raise

from deploy.k8s.tests.manifests import WORKLOADS, Object, allowed_connections, is_selected, of_kind, pod_of
from deploy.k8s.tests.renders import ROOT, golden
from tools import chart


def load_bases(*names: str) -> list[Object]:
    return [
        item
        for name in names
        for item in chart.load_objects((ROOT / chart.KUSTOMIZE / name / "bookwheel.yaml").read_text())
    ]


def test_services_and_stores_are_separate_bases() -> None:
    base, stores = load_bases("base"), load_bases("stores")
    assert set(of_kind(stores, "StatefulSet")) == set(chart.STORES)
    assert not of_kind(base, "StatefulSet")
    assert set(of_kind(base, "Deployment")) == set(of_kind(golden("minimal"), "Deployment"))
    for item in [*base, *stores]:
        assert item["kind"] != "Secret"
        assert "namespace" not in item["metadata"]
        assert "Helm" not in json.dumps(item)


def test_services_reach_the_stores_by_their_labels() -> None:
    egress, ingress = allowed_connections(load_bases("base", "stores"))
    assert egress == ingress
    assert (egress, ingress) == allowed_connections(golden("minimal"))


def pop_lake_settings(workload: Object) -> dict[str, Object]:
    """Removes the lake's settings from the container's environment, sorts the rest, and returns the lake's by name."""
    [container] = pod_of(workload)["spec"]["containers"]
    settings = {item["name"]: item for item in container["env"] if item["name"].startswith("BOOKWHEEL_LAKE_")}
    others = [item for item in container["env"] if item["name"] not in settings]
    container["env"] = sorted(others, key=lambda item: str(item["name"]))
    return settings


def program(name: str) -> str:
    """Returns the path of a program. Skips the test if the program is not installed."""
    path = shutil.which(name)
    if path is None:
        skip_or_raise(LocalError(f"{name} is missing"))
    return path


@pytest.mark.usefixtures("helm")
def test_the_s3_component_equals_the_chart_with_a_bucket(tmp_path: Path) -> None:
    kubectl = program("kubectl")
    kustomize = shutil.copytree(
        ROOT / chart.KUSTOMIZE, tmp_path / "kustomize", ignore=shutil.ignore_patterns("secrets")
    )
    (kustomize / "mine").mkdir()
    overlay = {"namespace": "books", "resources": ["../base"], "components": ["../s3"]}
    (kustomize / "mine" / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    built = subprocess.run([kubectl, "kustomize", kustomize / "mine"], capture_output=True, text=True, check=True)
    built_objects = chart.load_objects(built.stdout)
    assert {item["metadata"]["namespace"] for item in built_objects} == {"books"}
    for item in built_objects:
        kubernetes_validate.validate(item, "1.34", strict=True)
        del item["metadata"]["namespace"]
    values_path = tmp_path / "values.yaml"
    bucket = {"lake": {"url": "s3://books/lake", "endpoint": "https://s3.example.com"}}
    base_values = yaml.safe_load((ROOT / chart.KUSTOMIZE / "base/values.yaml").read_text())
    values_path.write_text(yaml.safe_dump({**base_values, **bucket}))
    chart_objects = chart.kustomize_objects(chart.load_objects(chart.render_chart(values_path)), bundled_stores=False)

    policy = next(item for item in built_objects if item["metadata"]["name"] == "bookwheel-lake")["spec"]
    for name in ("catalog-api", "processor"):
        settings_from_secret = pop_lake_settings(of_kind(built_objects, "Deployment")[name])
        assert set(settings_from_secret) == set(pop_lake_settings(of_kind(chart_objects, "Deployment")[name]))
        for key, item in settings_from_secret.items():
            reference = {"name": "bookwheel-settings", "key": key, "optional": key != "BOOKWHEEL_LAKE_URL"}
            assert {"optional": False, **item["valueFrom"]["secretKeyRef"]} == reference
        egress = of_kind(chart_objects, "NetworkPolicy")[name]["spec"]["egress"]
        [bucket_rule] = [
            rule for rule in egress if rule["ports"] == policy["egress"][0]["ports"] and "except" not in str(rule)
        ]
        assert bucket_rule["to"][-2:] == policy["egress"][0]["to"]
        egress.remove(bucket_rule)
        assert is_selected(
            policy["podSelector"], pod_of(of_kind(built_objects, "Deployment")[name])["metadata"]["labels"]
        )
    for item in [*of_kind(built_objects, "Deployment").values(), *of_kind(chart_objects, "Deployment").values()]:
        pop_lake_settings(item)
    by_name = [
        {(item["kind"], item["metadata"]["name"]): item for item in objects}
        for objects in (chart_objects, [item for item in built_objects if item["metadata"]["name"] != "bookwheel-lake"])
    ]
    assert by_name[0] == by_name[1]


def test_kubectl_builds_the_trial_with_stable_secrets(tmp_path: Path) -> None:
    kubectl, _ = program("kubectl"), program("openssl")
    kustomize = shutil.copytree(
        ROOT / chart.KUSTOMIZE, tmp_path / "kustomize", ignore=shutil.ignore_patterns("secrets")
    )
    builds = []
    for _ in range(2):
        subprocess.run([kustomize / "trial" / "make-secrets.sh"], check=True)
        built = subprocess.run([kubectl, "kustomize", kustomize / "trial"], capture_output=True, text=True, check=True)
        builds.append(built.stdout)
    assert builds[0] == builds[1]
    built_objects = chart.load_objects(builds[0])
    secrets = {item["metadata"]["name"]: item for item in built_objects if item["kind"] == "Secret"}
    assert set(secrets) == {"bookwheel-settings", "bookwheel-store-passwords", "bookwheel-signing-keys"}
    assert {item["metadata"].get("namespace") for item in built_objects if item["kind"] != "Namespace"} == {"bookwheel"}
    assert (kustomize / "trial" / "secrets" / "settings.env").stat().st_mode & 0o077 == 0
    required_keys = {
        item["key"]
        for workload in built_objects
        if workload["kind"] in WORKLOADS
        for volume in pod_of(workload)["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
        if not source["secret"].get("optional")
        for item in source["secret"]["items"]
    }
    assert required_keys <= set(secrets["bookwheel-settings"]["data"])
