"""Queries on rendered objects: by component, their containers, and the connections that they allow."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

WORKLOADS = ("Deployment", "StatefulSet", "Job")
Object = dict[str, Any]
Connections = dict[str, set[tuple[str, int]]]
"""The targets of each component: component and port."""


def of_kind(objects: list[Object], *kinds: str) -> dict[str, Object]:
    """Returns the objects of these kinds by component."""
    return {component(item): item for item in objects if item["kind"] in kinds}


def component(item: Object) -> str:
    return str(item["metadata"]["labels"]["app.kubernetes.io/component"])


def pod_of(workload: Object) -> Object:
    pod: Object = workload["spec"]["template"]
    return pod


def containers(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    for name, workload in of_kind(objects, *WORKLOADS).items():
        spec = pod_of(workload)["spec"]
        for container in [*spec.get("initContainers", ()), *spec["containers"]]:
            yield name, container


def is_selected(selector: Object, labels: dict[str, str]) -> bool:
    expressions = selector.get("matchExpressions", ())
    assert {item["operator"] for item in expressions} <= {"In"}
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(item["key"]) in item["values"] for item in expressions
    )


def allowed_connections(objects: list[Object]) -> tuple[Connections, Connections]:
    """Returns the connections that egress rules allow and those that ingress rules allow, both by calling component.

    Ignores ports on which the target does not listen.
    """
    pods = {name: pod_of(item) for name, item in of_kind(objects, *WORKLOADS).items()}
    labels = {name: pod["metadata"]["labels"] for name, pod in pods.items()}
    listening_ports = {
        name: {port["containerPort"] for item in pod["spec"]["containers"] for port in item.get("ports", ())}
        for name, pod in pods.items()
    }
    egress: Connections = defaultdict(set)
    ingress: Connections = defaultdict(set)
    for policy in of_kind(objects, "NetworkPolicy").values():
        [subject] = [
            name for name, pod_labels in labels.items() if is_selected(policy["spec"]["podSelector"], pod_labels)
        ]
        for peer_field, direction in (("to", "egress"), ("from", "ingress")):
            for rule in policy["spec"].get(direction) or ():
                selectors = [item["podSelector"] for item in rule.get(peer_field, ()) if set(item) == {"podSelector"}]
                peers = [
                    name
                    for name, pod_labels in labels.items()
                    if any(is_selected(selector, pod_labels) for selector in selectors)
                ]
                for peer in peers:
                    caller, target = (subject, peer) if direction == "egress" else (peer, subject)
                    if (port := rule["ports"][0]["port"]) in listening_ports[target]:
                        (egress if direction == "egress" else ingress)[caller].add((target, port))
    return egress, ingress
