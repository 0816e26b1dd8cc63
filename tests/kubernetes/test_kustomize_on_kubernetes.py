"""`kubectl apply -k` of the trial on a real cluster, with an overlay that adds a shop to crawl."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bookwheel_local.compose import ROOT
from bookwheel_testing.kubernetes_suite import RELEASE, KubernetesSuite, run
from bookwheel_testing.shop_check import check_against_shop
from bookwheel_testing.suite_under_test import free_port_base

pytestmark = pytest.mark.timeout(3600)

NAMESPACE = "bookwheel"  # the namespace of the trial
SHOP = f"{RELEASE}-demo-shop"
WORKLOADS = ("Deployment", "StatefulSet")


def _patch(kind: str, name: str, *operations: tuple[str, str, Any]) -> dict[str, Any]:
    patch = [
        {"op": operation, "path": f"/spec/template/spec/{path}", "value": value}
        for operation, path, value in operations
    ]
    return {"target": {"kind": kind, "name": f"{RELEASE}-{name}"}, "patch": json.dumps(patch)}


def _shop() -> list[dict[str, Any]]:
    """Returns the objects of a shop, and a policy that lets the scraper access its private address."""
    labels = {"app": SHOP}
    container = {
        "name": "demo-shop",
        "image": "bookwheel/demo-shop:0.1.0",
        "args": ["--host", "0.0.0.0", "--books", "500"],
        "ports": [{"name": "http", "containerPort": 8085}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": SHOP, "labels": labels},
            "spec": {"securityContext": security, "containers": [container]},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": SHOP},
            "spec": {"selector": labels, "ports": ports},
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": SHOP},
            "spec": {
                "podSelector": {"matchLabels": {"app.kubernetes.io/component": "scraper"}},
                "policyTypes": ["Egress"],
                "egress": [{"ports": [{"port": 8085}], "to": [{"podSelector": {"matchLabels": labels}}]}],
            },
        },
    ]


def _overlay(folder: Path) -> None:
    """Writes an overlay of `../trial` with small CPU requests, for a small node.

    The users of the stores' images are those of BOOKWHEEL_TEST_VALUES.
    """
    values_file = os.environ.get("BOOKWHEEL_TEST_VALUES")
    values = (yaml.safe_load(Path(values_file).read_text()) if values_file else None) or {}
    settings = {"BOOKWHEEL_DEMO_SHOP_URL": f"http://{SHOP}/", "BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES": "allow"}
    environment_operations = [
        ("add", "containers/0/env/-", {"name": name, "value": value}) for name, value in settings.items()
    ]
    patches = [_patch("Deployment", "scraper", *environment_operations)]
    patches += [_patch(kind, ".*", ("add", "containers/0/resources/requests/cpu", "20m")) for kind in WORKLOADS]
    for name in ("redis", "postgresql"):
        if user := values.get(name, {}).get("user"):
            operations = [("replace", f"securityContext/{key}", user) for key in ("runAsUser", "fsGroup")]
            patches.append(_patch("StatefulSet", name, *operations))
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": ["../trial", "shop.yaml"],
        "patches": patches,
    }
    folder.mkdir()
    (folder / "shop.yaml").write_text(yaml.safe_dump_all(_shop()))
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))


@pytest.fixture(scope="module")
def trial(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KubernetesSuite, Path]]:
    folder = tmp_path_factory.mktemp("kustomize")
    for name in ("base", "stores", "trial"):
        shutil.copytree(ROOT / "deploy/k8s/kustomize" / name, folder / name)
    subprocess.run([folder / "trial/make-secrets.sh"], check=True)
    _overlay(folder / "mine")
    suite = KubernetesSuite(state=folder, port_base=free_port_base(), books=500, namespace=NAMESPACE)
    try:
        run("kubectl", "apply", "--kustomize", str(folder / "mine"))
        suite.wait_for_rollouts()
        suite.connect()
        yield suite, folder
    finally:
        suite.down()


def test_the_trial_crawls_a_shop_under_the_restricted_standard(trial: tuple[KubernetesSuite, Path]) -> None:
    suite, _ = trial
    namespace = json.loads(run("kubectl", "get", "namespace", NAMESPACE, "--output", "json"))
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    check_against_shop(suite, suite.wait_for_crawl(suite.start_crawl("demo"), seconds=600))


def test_applying_again_changes_nothing_and_keeps_the_secrets(trial: tuple[KubernetesSuite, Path]) -> None:
    suite, folder = trial

    def current_state() -> dict[str, Any]:
        generations = {
            f"{kind}/{item['metadata']['name']}": item["metadata"]["generation"]
            for kind in ("deployments", "statefulsets")
            for item in suite.objects(kind)
        }
        return generations | {item["metadata"]["name"]: item["data"] for item in suite.objects("secrets")}

    before, pods = current_state(), set(suite.pods())
    subprocess.run([folder / "trial/make-secrets.sh"], check=True)
    run("kubectl", "apply", "--kustomize", str(folder / "mine"))
    assert current_state() == before
    suite.wait_for_rollouts()
    assert set(suite.pods()) == pods
    assert suite.get("/api/v1/stats/overview")["books"] > 0
