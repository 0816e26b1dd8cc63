"""Who reaches whom in the chart: each hop and no other, external stores, the internet, Prometheus, and KEDA."""

import json
from ipaddress import ip_address, ip_network

import pytest

from deploy.k8s.tests.manifests import Object, hops, of_kind
from deploy.k8s.tests.renders import production, template, values
from tools import chart


def test_network_policies_open_each_hop_at_both_ends_and_no_other(objects: list[Object]) -> None:
    policies = of_kind(objects, "NetworkPolicy")
    assert all(item["spec"]["policyTypes"] == ["Ingress", "Egress"] for item in policies.values())
    leaves, enters = hops(objects)
    assert leaves == enters
    assert {target for target, _ in leaves["gateway"]} == {"accounts", "catalog-api", "ml-serving"}
    assert not {"accounts", "catalog-api"} & {target for target, _ in leaves["scraper"]}
    internet = [
        name for name, policy in policies.items() if "169.254.0.0/16" in json.dumps(policy["spec"].get("egress"))
    ]
    assert sorted(internet) == ["processor", "scraper"]


@pytest.mark.usefixtures("helm")
def test_external_stores_are_reached_at_ranges_and_as_pods() -> None:
    operators = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "databases"}}}

    def peers(*arguments: str) -> list[Object]:
        policy = of_kind(chart.load_objects(production(*arguments).stdout), "NetworkPolicy")["accounts"]
        [rule] = [rule for rule in policy["spec"]["egress"] if rule["ports"] == [{"port": 5432}]]
        found: list[Object] = rule["to"]
        return found

    ranges = [{"ipBlock": {"cidr": "10.20.0.0/16"}}]
    pods = ("--set-json", f"networkPolicy.externalTo={json.dumps([operators])}")
    nowhere = ("--set-json", "networkPolicy.externalCIDRs=[]")
    assert peers() == ranges
    assert peers(*pods) == [operators, *ranges]
    assert peers(*pods, *nowhere) == [operators]
    refused = production(*nowhere)  # not: everywhere
    assert "networkPolicy.externalCIDRs or networkPolicy.externalTo is needed" in refused.stderr


def test_prometheus_reads_metrics_from_its_usual_namespace(objects: list[Object]) -> None:
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    policies = of_kind(objects, "NetworkPolicy")
    for name, item in values()["components"].items():
        if name in policies and "metrics" in item:
            assert {"ports": [{"port": item["metrics"]["port"]}], "from": [monitoring]} in policies[name]["spec"][
                "ingress"
            ]


def internet_of(name: str, objects: list[Object]) -> tuple[set[int], list[Object]]:
    """The ports, and the ranges with what they leave out, at which a component reaches the internet."""
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
def test_crawls_and_webhooks_reach_the_internet_of_both_kinds_and_nothing_private(
    objects: list[Object], address: str, is_open: bool
) -> None:
    asked = ip_address(address)
    for name in ("scraper", "processor"):
        ports, ranges = internet_of(name, objects)
        assert ports == {80, 443}
        within = [
            item
            for item in ranges
            if asked in ip_network(item["cidr"]) and not any(asked in ip_network(out) for out in item["except"])
        ]
        assert bool(within) == is_open


@pytest.mark.usefixtures("helm")
def test_a_shop_on_another_port_is_reached_where_the_values_say_so() -> None:
    objects = chart.load_objects(template("--set-json", "networkPolicy.internetPorts=[443,8443]").stdout)
    assert internet_of("scraper", objects)[0] == {443, 8443}
    assert template("--set-json", "networkPolicy.internetPorts=[]").returncode != 0  # would be all of them


@pytest.mark.usefixtures("helm")
def test_keda_may_ask_the_bundled_redis_where_it_scales_something() -> None:
    def peers(*arguments: str) -> list[Object]:
        policies = of_kind(chart.load_objects(template(*arguments).stdout), "NetworkPolicy")
        return [peer for rule in policies["redis"]["spec"]["ingress"] for peer in rule["from"]]

    keda = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}
    assert keda not in peers()
    assert keda in peers("--set", "components.processor.autoscaling.keda.enabled=true")


@pytest.mark.usefixtures("helm")
def test_keda_is_told_how_to_log_in_to_an_external_redis() -> None:
    def trigger(*arguments: str) -> Object:
        done = production(*(part for item in arguments for part in ("--set", item)))
        [found] = of_kind(chart.load_objects(done.stdout), "ScaledObject")["processor"]["spec"]["triggers"]
        metadata: Object = found["metadata"]
        return metadata

    plain = trigger()
    assert plain["address"] == "redis.example.com:6379"
    assert not {"enableTLS", "username"} & set(plain)
    secured = trigger("redis.external.tls=true", "redis.external.username=books")
    assert secured == {**plain, "enableTLS": "true", "username": "books"}


@pytest.mark.usefixtures("helm")
def test_keda_is_never_referred_to_a_secret_that_nobody_makes() -> None:
    done = production("--set", "secrets.existingStorePasswords=")
    assert done.returncode != 0
    assert "secrets.existingStorePasswords is needed for KEDA to ask an external Redis" in done.stderr
    by_keda = ("--set", "components.processor.autoscaling.keda.enabled=true")
    objects = chart.load_objects(template(*by_keda).stdout)  # with a bundled Redis: the Secret of the chart's own
    [reference] = of_kind(objects, "TriggerAuthentication")["processor"]["spec"]["secretTargetRef"]
    made = {item["metadata"]["name"]: item["stringData"] for item in objects if "stringData" in item}
    assert reference["key"] in made[reference["name"]]
