"""The chart's pods: what they may do and take, what keeps them up, how they stop, and where they are put."""

import json
import re

import pytest

from deploy.k8s.tests.manifests import WORKLOADS, Object, component, containers, of_kind, pod_of
from deploy.k8s.tests.renders import ROOT, template
from tools import chart


def test_every_pod_meets_the_restricted_standard_and_is_given_no_token(objects: list[Object]) -> None:
    for name, workload in of_kind(objects, *WORKLOADS).items():
        spec = pod_of(workload)["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name  # or BOOKWHEEL_…_PORT would be addresses of Services
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


def test_every_container_says_what_it_needs_and_what_it_may_take(objects: list[Object]) -> None:
    for name, container in containers(objects):
        for kind in ("requests", "limits"):
            assert set(container["resources"][kind]) >= {"cpu", "memory"}, name


def test_every_pod_that_stays_shows_that_it_gets_on(objects: list[Object]) -> None:
    for name, workload in of_kind(objects, "Deployment", "StatefulSet").items():
        (container,) = pod_of(workload)["spec"]["containers"]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container), name


def required_neighbours(workload: Object) -> list[Object]:
    """The pods of which one must be on a node for the workload's own to be put there; the first may be one of them."""
    affinity = pod_of(workload)["spec"].get("affinity", {}).get("podAffinity", {})
    found: list[Object] = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", [])
    return found


def test_every_component_and_store_has_all_that_keeps_it_up(objects: list[Object]) -> None:
    workloads = of_kind(objects, "Deployment", "StatefulSet")
    for kind in ("ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"):
        assert set(workloads) - set(of_kind(objects, kind)) == set(), kind
    for name, workload in workloads.items():
        selector = workload["spec"]["selector"]["matchLabels"]
        assert selector.items() <= pod_of(workload)["metadata"]["labels"].items()
        budget = of_kind(objects, "PodDisruptionBudget")[name]["spec"]
        assert budget["selector"]["matchLabels"] == selector
        bound = bool(required_neighbours(workload))
        assert budget["maxUnavailable"] == ("100%" if bound else 1)  # never a budget that no eviction fits into
        if workload["kind"] == "Deployment":
            assert workload["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
            spread = {item["topologyKey"] for item in pod_of(workload)["spec"].get("topologySpreadConstraints", ())}
            assert spread == (set() if bound else {"kubernetes.io/hostname", "topology.kubernetes.io/zone"})
            scaled = of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
            assert ("replicas" in workload["spec"]) != (name in scaled)


def test_a_pod_that_is_to_stop_drains_longer_than_a_connection_to_it_lasts(objects: list[Object]) -> None:
    workloads = of_kind(objects, "Deployment")
    nginx = (ROOT / "gateway/conf.d/upstreams.conf").read_text()
    to_services = [int(seconds) for seconds in re.findall(r"keepalive_time (\d+)s", nginx)]
    assert len(to_services) == 3
    gateway = pod_of(workloads["gateway"])["spec"]["containers"][0]
    to_gateway = int({item["name"]: item["value"] for item in gateway["env"]}["BOOKWHEEL_CLIENT_KEEPALIVE"])
    for name, longest in [("gateway", to_gateway), *((n, max(to_services)) for n in ("accounts", "catalog-api"))]:
        spec = pod_of(workloads[name])["spec"]
        drain = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert longest < drain < spec["terminationGracePeriodSeconds"] - 10, name


def claims(workload: Object) -> set[str]:
    return {
        item["persistentVolumeClaim"]["claimName"]
        for item in pod_of(workload)["spec"]["volumes"]
        if "persistentVolumeClaim" in item
    }


def test_pods_that_share_a_volume_of_one_node_are_kept_on_one_node(objects: list[Object]) -> None:
    modes = {
        item["metadata"]["name"]: item["spec"]["accessModes"]
        for item in objects
        if item["kind"] == "PersistentVolumeClaim"
    }
    workloads = [item for item in objects if item["kind"] in WORKLOADS]
    sharing = [item for item in workloads if {name for name in claims(item) if modes[name] == ["ReadWriteOnce"]}]
    assert {component(item) for item in sharing} == ({"catalog-api", "processor"} if modes else set())
    for item in sharing:
        [neighbours] = required_neighbours(item)
        assert neighbours["topologyKey"] == "kubernetes.io/hostname"
        wanted = neighbours["labelSelector"]["matchLabels"].items()
        matched = [other for other in workloads if wanted <= pod_of(other)["metadata"]["labels"].items()]
        assert matched == sharing  # each of them itself, too: Kubernetes lets the first pod in by that
    assert all(not required_neighbours(item) for item in workloads if item not in sharing)


@pytest.mark.usefixtures("helm")
def test_a_volume_of_many_nodes_leaves_pods_where_they_like_and_an_affinity_of_the_user_s_is_kept() -> None:
    shared = of_kind(chart.load_objects(template("--set", "lake.accessMode=ReadWriteMany").stdout), "Deployment")
    for name in ("catalog-api", "processor"):
        assert not required_neighbours(shared[name])
        assert pod_of(shared[name])["spec"]["topologySpreadConstraints"]
    own = {"labelSelector": {"matchLabels": {"app": "cache"}}, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [own]}, "nodeAffinity": {}}
    given = template("--set-json", f"components.processor.affinity={json.dumps(affinity)}").stdout
    processor = of_kind(chart.load_objects(given), "Deployment")["processor"]
    assert own in required_neighbours(processor)
    assert len(required_neighbours(processor)) == 2
