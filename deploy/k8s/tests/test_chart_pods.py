"""Tests of the chart's pods: security, resources, probes, draining, and placement."""

import json
import re

import pytest

from deploy.k8s.tests.manifests import WORKLOADS, Object, component, containers, of_kind, pod_of
from deploy.k8s.tests.renders import ROOT, template
from tools import chart


def test_every_pod_meets_the_restricted_standard_and_has_no_token(objects: list[Object]) -> None:
    for name, workload in of_kind(objects, *WORKLOADS).items():
        spec = pod_of(workload)["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name  # service links would set BOOKWHEEL_…_PORT to addresses
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert not [volume for volume in spec["volumes"] if "hostPath" in volume]
        assert spec["serviceAccountName"] in {
            item["metadata"]["name"] for item in objects if item["kind"] == "ServiceAccount"
        }
    for name, container in containers(objects):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security.get("readOnlyRootFilesystem") is True or name == "elasticsearch"


def test_every_container_has_resource_requests_and_limits(objects: list[Object]) -> None:
    for name, container in containers(objects):
        for kind in ("requests", "limits"):
            assert set(container["resources"][kind]) >= {"cpu", "memory"}, name


def test_every_long_running_container_has_all_probes(objects: list[Object]) -> None:
    for name, workload in of_kind(objects, "Deployment", "StatefulSet").items():
        (container,) = pod_of(workload)["spec"]["containers"]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container), name


def required_pod_affinity(workload: Object) -> list[Object]:
    """Returns the required pod affinity terms of a workload."""
    affinity = pod_of(workload)["spec"].get("affinity", {}).get("podAffinity", {})
    terms: list[Object] = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", [])
    return terms


def test_every_component_and_store_has_its_account_budget_policy_and_spread(objects: list[Object]) -> None:
    workloads = of_kind(objects, "Deployment", "StatefulSet")
    for kind in ("ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"):
        assert set(workloads) - set(of_kind(objects, kind)) == set(), kind
    for name, workload in workloads.items():
        selector = workload["spec"]["selector"]["matchLabels"]
        assert selector.items() <= pod_of(workload)["metadata"]["labels"].items()
        budget = of_kind(objects, "PodDisruptionBudget")[name]["spec"]
        assert budget["selector"]["matchLabels"] == selector
        bound = bool(required_pod_affinity(workload))
        assert budget["maxUnavailable"] == ("100%" if bound else 1)  # the budget must allow an eviction
        if workload["kind"] == "Deployment":
            assert workload["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
            spread = {item["topologyKey"] for item in pod_of(workload)["spec"].get("topologySpreadConstraints", ())}
            assert spread == (set() if bound else {"kubernetes.io/hostname", "topology.kubernetes.io/zone"})
            scaled = of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
            assert ("replicas" in workload["spec"]) != (name in scaled)


def test_a_stopping_pod_drains_longer_than_connections_last(objects: list[Object]) -> None:
    workloads = of_kind(objects, "Deployment")
    nginx = (ROOT / "gateway/conf.d/upstreams.conf").read_text()
    to_services = [int(seconds) for seconds in re.findall(r"keepalive_time (\d+)s", nginx)]
    assert len(to_services) == 3
    gateway = pod_of(workloads["gateway"])["spec"]["containers"][0]
    to_gateway = int({item["name"]: item["value"] for item in gateway["env"]}["BOOKWHEEL_CLIENT_KEEPALIVE"])
    for name, longest in [
        ("gateway", to_gateway),
        *((service, max(to_services)) for service in ("accounts", "catalog-api")),
    ]:
        spec = pod_of(workloads[name])["spec"]
        drain = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert longest < drain < spec["terminationGracePeriodSeconds"] - 10, name


def claims(workload: Object) -> set[str]:
    return {
        item["persistentVolumeClaim"]["claimName"]
        for item in pod_of(workload)["spec"]["volumes"]
        if "persistentVolumeClaim" in item
    }


def test_pods_that_share_a_readwriteonce_volume_run_on_one_node(objects: list[Object]) -> None:
    modes = {
        item["metadata"]["name"]: item["spec"]["accessModes"]
        for item in objects
        if item["kind"] == "PersistentVolumeClaim"
    }
    workloads = [item for item in objects if item["kind"] in WORKLOADS]
    sharing = [item for item in workloads if {name for name in claims(item) if modes[name] == ["ReadWriteOnce"]}]
    assert {component(item) for item in sharing} == ({"catalog-api", "processor"} if modes else set())
    for item in sharing:
        [term] = required_pod_affinity(item)
        assert term["topologyKey"] == "kubernetes.io/hostname"
        term_labels = term["labelSelector"]["matchLabels"].items()
        matched = [other for other in workloads if term_labels <= pod_of(other)["metadata"]["labels"].items()]
        assert matched == sharing  # including itself: Kubernetes then schedules the first pod on any node
    assert all(not required_pod_affinity(item) for item in workloads if item not in sharing)


@pytest.mark.usefixtures("helm")
def test_a_readwritemany_volume_does_not_bind_pods_and_a_custom_affinity_stays() -> None:
    shared = of_kind(chart.load_objects(template("--set", "lake.accessMode=ReadWriteMany").stdout), "Deployment")
    for name in ("catalog-api", "processor"):
        assert not required_pod_affinity(shared[name])
        assert pod_of(shared[name])["spec"]["topologySpreadConstraints"]
    custom_term = {"labelSelector": {"matchLabels": {"app": "cache"}}, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [custom_term]}, "nodeAffinity": {}}
    rendered = template("--set-json", f"components.processor.affinity={json.dumps(affinity)}").stdout
    processor = of_kind(chart.load_objects(rendered), "Deployment")["processor"]
    assert custom_term in required_pod_affinity(processor)
    assert len(required_pod_affinity(processor)) == 2
