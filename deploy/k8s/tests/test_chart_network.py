"""Tests of the chart's network policies: components, external stores, the internet, Prometheus, and KEDA."""

import json
from ipaddress import ip_address, ip_network

import pytest

from deploy.k8s.tests.manifests import Object, allowed_connections, of_kind
from deploy.k8s.tests.renders import production, template, values
from tools import chart


def test_egress_and_ingress_rules_allow_the_same_connections(objects: list[Object]) -> None:
    policies = of_kind(objects, "NetworkPolicy")
    assert all(item["spec"]["policyTypes"] == ["Ingress", "Egress"] for item in policies.values())
    egress, ingress = allowed_connections(objects)
    assert egress == ingress
    assert {target for target, _ in egress["gateway"]} == {"accounts", "catalog-api", "ml-serving"}
    assert not {"accounts", "catalog-api"} & {target for target, _ in egress["scraper"]}
    internet = [
        name for name, policy in policies.items() if "169.254.0.0/16" in json.dumps(policy["spec"].get("egress"))
    ]
    assert sorted(internet) == ["processor", "scraper"]


@pytest.mark.usefixtures("helm")
def test_external_stores_can_be_address_ranges_and_pods() -> None:
    operators = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "databases"}}}

    def peers(*arguments: str) -> list[Object]:
        policy = of_kind(chart.load_objects(production(*arguments).stdout), "NetworkPolicy")["accounts"]
        [rule] = [rule for rule in policy["spec"]["egress"] if rule["ports"] == [{"port": 5432}]]
        rule_peers: list[Object] = rule["to"]
        return rule_peers

    ranges = [{"ipBlock": {"cidr": "10.20.0.0/16"}}]
    pods = ("--set-json", f"networkPolicy.externalTo={json.dumps([operators])}")
    no_ranges = ("--set-json", "networkPolicy.externalCIDRs=[]")
    assert peers() == ranges
    assert peers(*pods) == [operators, *ranges]
    assert peers(*pods, *no_ranges) == [operators]
    process = production(*no_ranges)  # a rule without peers would allow all addresses
    assert "networkPolicy.externalCIDRs or networkPolicy.externalTo is required" in process.stderr


def test_the_monitoring_namespace_may_read_metrics(objects: list[Object]) -> None:
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    policies = of_kind(objects, "NetworkPolicy")
    for name, item in values()["components"].items():
        if name in policies and "metrics" in item:
            assert {"ports": [{"port": item["metrics"]["port"]}], "from": [monitoring]} in policies[name]["spec"][
                "ingress"
            ]


def internet_rule(name: str, objects: list[Object]) -> tuple[set[int], list[Object]]:
    """Returns the ports and the address ranges (`cidr`, `except`) of a component's rule for the internet."""
    egress = of_kind(objects, "NetworkPolicy")[name]["spec"]["egress"]
    [rule] = [rule for rule in egress if any(item.get("ipBlock", {}).get("except") for item in rule.get("to", ()))]
    return {item["port"] for item in rule["ports"]}, [item["ipBlock"] for item in rule["to"]]


@pytest.mark.parametrize(
    ("address", "is_open"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("fd00:ec2::254", False),
        ("fe80::1", False),
        ("::1", False),
    ],
)
def test_crawls_and_webhooks_reach_only_public_addresses_of_ipv4_and_ipv6(
    objects: list[Object], address: str, is_open: bool
) -> None:
    target = ip_address(address)
    for name in ("scraper", "processor"):
        ports, ranges = internet_rule(name, objects)
        assert ports == {80, 443}
        matching_ranges = [
            item
            for item in ranges
            if target in ip_network(item["cidr"])
            and not any(target in ip_network(excluded) for excluded in item["except"])
        ]
        assert bool(matching_ranges) == is_open


@pytest.mark.usefixtures("helm")
def test_internet_ports_can_be_set() -> None:
    objects = chart.load_objects(template("--set-json", "networkPolicy.internetPorts=[443,8443]").stdout)
    assert internet_rule("scraper", objects)[0] == {443, 8443}
    assert (
        template("--set-json", "networkPolicy.internetPorts=[]").returncode != 0
    )  # an empty list would allow all ports


@pytest.mark.usefixtures("helm")
def test_keda_may_reach_the_bundled_redis_only_if_it_is_enabled() -> None:
    def peers(*arguments: str) -> list[Object]:
        policies = of_kind(chart.load_objects(template(*arguments).stdout), "NetworkPolicy")
        return [peer for rule in policies["redis"]["spec"]["ingress"] for peer in rule["from"]]

    keda = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}
    assert keda not in peers()
    assert keda in peers("--set", "components.processor.autoscaling.keda.enabled=true")


@pytest.mark.usefixtures("helm")
def test_keda_gets_tls_and_username_of_an_external_redis() -> None:
    def trigger(*arguments: str) -> Object:
        process = production(*(part for item in arguments for part in ("--set", item)))
        [redis_trigger] = of_kind(chart.load_objects(process.stdout), "ScaledObject")["processor"]["spec"]["triggers"]
        metadata: Object = redis_trigger["metadata"]
        return metadata

    plain = trigger()
    assert plain["address"] == "redis.example.com:6379"
    assert not {"enableTLS", "username"} & set(plain)
    secured = trigger("redis.external.tls=true", "redis.external.username=books")
    assert secured == {**plain, "enableTLS": "true", "username": "books"}


@pytest.mark.usefixtures("helm")
def test_keda_refers_only_to_existing_secrets() -> None:
    process = production("--set", "secrets.existingStorePasswords=")
    assert process.returncode != 0
    assert "secrets.existingStorePasswords is required for KEDA with an external Redis" in process.stderr
    with_keda = ("--set", "components.processor.autoscaling.keda.enabled=true")
    objects = chart.load_objects(template(*with_keda).stdout)  # a bundled Redis: the chart creates the Secret
    [reference] = of_kind(objects, "TriggerAuthentication")["processor"]["spec"]["secretTargetRef"]
    secrets = {item["metadata"]["name"]: item["stringData"] for item in objects if "stringData" in item}
    assert reference["key"] in secrets[reference["name"]]
