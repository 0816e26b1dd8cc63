"""The objects of a render: by their component, what is in them, and whom they let speak to whom."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

WORKLOADS = ("Deployment", "StatefulSet", "Job")
Object = dict[str, Any]
Hops = dict[str, set[tuple[str, int]]]
"""Component and port of all that a component speaks to."""


def of_kind(objects: list[Object], *kinds: str) -> dict[str, Object]:
    """The objects of some kinds by their component."""
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


def hops(objects: list[Object]) -> tuple[Hops, Hops]:
    """Whom each policy lets its pods speak to, of pods that listen there; and who is let in, seen from the caller."""
    pods = {name: pod_of(item) for name, item in of_kind(objects, *WORKLOADS).items()}
    labels = {name: pod["metadata"]["labels"] for name, pod in pods.items()}
    listening = {
        name: {port["containerPort"] for item in pod["spec"]["containers"] for port in item.get("ports", ())}
        for name, pod in pods.items()
    }
    leaves: Hops = defaultdict(set)
    enters: Hops = defaultdict(set)
    for policy in of_kind(objects, "NetworkPolicy").values():
        [of] = [name for name, its in labels.items() if is_selected(policy["spec"]["podSelector"], its)]
        for direction, side in (("to", "egress"), ("from", "ingress")):
            for rule in policy["spec"].get(side) or ():
                selectors = [item["podSelector"] for item in rule.get(direction, ()) if set(item) == {"podSelector"}]
                others = [name for name, its in labels.items() if any(is_selected(item, its) for item in selectors)]
                for other in others:
                    caller, called = (of, other) if side == "egress" else (other, of)
                    if (port := rule["ports"][0]["port"]) in listening[called]:
                        (leaves if side == "egress" else enters)[caller].add((called, port))
    return leaves, enters
