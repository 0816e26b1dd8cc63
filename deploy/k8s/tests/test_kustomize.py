"""What kustomize is given of the chart's renders, and what kubectl builds of it."""

import json
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from bookwheel_local.errors import LocalError
from bookwheel_testing.engines import skip_or_raise

from deploy.k8s.tests.manifests import WORKLOADS, Object, hops, is_selected, of_kind, pod_of
from deploy.k8s.tests.renders import ROOT, golden
from tools import chart


def kustomized(*names: str) -> list[Object]:
    return [
        item
        for name in names
        for item in chart.load_objects((ROOT / chart.KUSTOMIZE / name / "bookwheel.yaml").read_text())
    ]


def test_kustomize_has_the_services_in_one_base_and_the_stores_in_another() -> None:
    base, stores = kustomized("base"), kustomized("stores")
    assert set(of_kind(stores, "StatefulSet")) == set(chart.STORES)
    assert not of_kind(base, "StatefulSet")
    assert set(of_kind(base, "Deployment")) == set(of_kind(golden("minimal"), "Deployment"))
    for item in [*base, *stores]:
        assert item["kind"] != "Secret"
        assert "namespace" not in item["metadata"]
        assert "Helm" not in json.dumps(item)


def test_kustomize_s_services_reach_its_stores_by_their_labels() -> None:
    leaves, enters = hops(kustomized("base", "stores"))
    assert leaves == enters
    assert (leaves, enters) == hops(golden("minimal"))


def lake_settings(workload: Object) -> dict[str, Object]:
    """Takes what is said of the bucket out of the container's environment."""
    [container] = pod_of(workload)["spec"]["containers"]
    found = {item["name"]: item for item in container["env"] if item["name"].startswith("BOOKWHEEL_LAKE_")}
    container["env"] = sorted((e for e in container["env"] if e["name"] not in found), key=lambda e: str(e["name"]))
    return found


def program(name: str) -> str:
    """Its path."""
    found = shutil.which(name)
    if found is None:
        skip_or_raise(LocalError(f"{name} is missing"))
    return found


@pytest.mark.usefixtures("helm")
def test_kubectl_puts_the_lake_in_a_bucket_as_the_chart_does(tmp_path: Path) -> None:
    kubectl = program("kubectl")
    copied = shutil.copytree(ROOT / chart.KUSTOMIZE, tmp_path / "kustomize", ignore=shutil.ignore_patterns("secrets"))
    (copied / "mine").mkdir()
    overlay = {"namespace": "books", "resources": ["../base"], "components": ["../s3"]}
    (copied / "mine" / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    built = subprocess.run([kubectl, "kustomize", copied / "mine"], capture_output=True, text=True, check=True)
    found = chart.load_objects(built.stdout)
    assert {item["metadata"]["namespace"] for item in found} == {"books"}
    for item in found:
        kubernetes_validate.validate(item, "1.34", strict=True)
        del item["metadata"]["namespace"]
    values_of_base = tmp_path / "values.yaml"
    bucket = {"lake": {"url": "s3://books/lake", "endpoint": "https://s3.example.com"}}
    base_values = yaml.safe_load((ROOT / chart.KUSTOMIZE / "base/values.yaml").read_text())
    values_of_base.write_text(yaml.safe_dump({**base_values, **bucket}))
    wanted = chart.kustomize_objects(chart.load_objects(chart.render_chart(values_of_base)), bundled_stores=False)

    policy = next(item for item in found if item["metadata"]["name"] == "bookwheel-lake")["spec"]
    for name in ("catalog-api", "processor"):
        from_the_secret = lake_settings(of_kind(found, "Deployment")[name])
        assert set(from_the_secret) == set(lake_settings(of_kind(wanted, "Deployment")[name]))
        for key, item in from_the_secret.items():
            reference = {"name": "bookwheel-settings", "key": key, "optional": key != "BOOKWHEEL_LAKE_URL"}
            assert {"optional": False, **item["valueFrom"]["secretKeyRef"]} == reference
        egress = of_kind(wanted, "NetworkPolicy")[name]["spec"]["egress"]
        [to_the_bucket] = [
            rule for rule in egress if rule["ports"] == policy["egress"][0]["ports"] and "except" not in str(rule)
        ]
        assert to_the_bucket["to"][-2:] == policy["egress"][0]["to"]
        egress.remove(to_the_bucket)
        assert is_selected(policy["podSelector"], pod_of(of_kind(found, "Deployment")[name])["metadata"]["labels"])
    for item in [*of_kind(found, "Deployment").values(), *of_kind(wanted, "Deployment").values()]:
        lake_settings(item)
    by_name = [
        {(item["kind"], item["metadata"]["name"]): item for item in objects}
        for objects in (wanted, [item for item in found if item["metadata"]["name"] != "bookwheel-lake"])
    ]
    assert by_name[0] == by_name[1]


def test_kubectl_builds_the_trial_with_secrets_made_once(tmp_path: Path) -> None:
    kubectl, _ = program("kubectl"), program("openssl")
    copied = shutil.copytree(ROOT / chart.KUSTOMIZE, tmp_path / "kustomize", ignore=shutil.ignore_patterns("secrets"))
    builds = []
    for _ in range(2):
        subprocess.run([copied / "trial" / "make-secrets.sh"], check=True)
        built = subprocess.run([kubectl, "kustomize", copied / "trial"], capture_output=True, text=True, check=True)
        builds.append(built.stdout)
    assert builds[0] == builds[1]
    found = chart.load_objects(builds[0])
    secrets = {item["metadata"]["name"]: item for item in found if item["kind"] == "Secret"}
    assert set(secrets) == {"bookwheel-settings", "bookwheel-store-passwords", "bookwheel-signing-keys"}
    assert {item["metadata"].get("namespace") for item in found if item["kind"] != "Namespace"} == {"bookwheel"}
    assert (copied / "trial" / "secrets" / "settings.env").stat().st_mode & 0o077 == 0
    wanted = {
        item["key"]
        for workload in found
        if workload["kind"] in WORKLOADS
        for volume in pod_of(workload)["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
        if not source["secret"].get("optional")
        for item in source["secret"]["items"]
    }
    assert wanted <= set(secrets["bookwheel-settings"]["data"])
