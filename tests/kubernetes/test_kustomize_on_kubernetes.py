"""`kubectl apply -k` of the trial on a real cluster, under an overlay as its users write one: with a shop to crawl."""

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

NAMESPACE = "bookwheel"  # the trial's own
SHOP = f"{RELEASE}-demo-shop"
WORKLOADS = ("Deployment", "StatefulSet")


def _patch(kind: str, name: str, *operations: tuple[str, str, Any]) -> dict[str, Any]:
    patch = [{"op": how, "path": f"/spec/template/spec/{where}", "value": value} for how, where, value in operations]
    return {"target": {"kind": kind, "name": f"{RELEASE}-{name}"}, "patch": json.dumps(patch)}


def _shop() -> list[dict[str, Any]]:
    """With leave for the scraper to reach it: at a private address it is none of the internet that its policy opens."""
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
    """Over `../trial`: little of the processors is asked for, as on a small node. The stores' images have the users of
    the values that the cluster at hand needs.
    """
    more = os.environ.get("BOOKWHEEL_TEST_VALUES")
    values = (yaml.safe_load(Path(more).read_text()) if more else None) or {}
    settings = {"BOOKWHEEL_DEMO_SHOP_URL": f"http://{SHOP}/", "BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES": "allow"}
    added = [("add", "containers/0/env/-", {"name": name, "value": value}) for name, value in settings.items()]
    patches = [_patch("Deployment", "scraper", *added)]
    patches += [_patch(kind, ".*", ("add", "containers/0/resources/requests/cpu", "20m")) for kind in WORKLOADS]
    for name in ("redis", "postgresql"):
        if user := values.get(name, {}).get("user"):
            of = [("replace", f"securityContext/{key}", user) for key in ("runAsUser", "fsGroup")]
            patches.append(_patch("StatefulSet", name, *of))
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


def test_applied_again_it_changes_nothing_and_keeps_its_secrets(trial: tuple[KubernetesSuite, Path]) -> None:
    suite, folder = trial

    def there() -> dict[str, Any]:
        generations = {
            f"{kind}/{each['metadata']['name']}": each["metadata"]["generation"]
            for kind in ("deployments", "statefulsets")
            for each in suite.objects(kind)
        }
        return generations | {each["metadata"]["name"]: each["data"] for each in suite.objects("secrets")}

    before, pods = there(), set(suite.pods())
    subprocess.run([folder / "trial/make-secrets.sh"], check=True)
    run("kubectl", "apply", "--kustomize", str(folder / "mine"))
    assert there() == before
    suite.wait_for_rollouts()
    assert set(suite.pods()) == pods
    assert suite.get("/api/v1/stats/overview")["books"] > 0
