"""The chart as it stands, without a cluster: what it renders to is valid, safe, complete, and current.

What Helm made of it is in `golden`. Where helm is there, it is rendered again and compared; everything else needs
Python only, so that no machine leaves it out.
"""

import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from bookwheel_contracts.status import SERVICES
from bookwheel_local.development import chart
from bookwheel_local.development.reference import settings_modules, variable
from bookwheel_local.engines import EngineMissing
from bookwheel_local.errors import LocalError
from bookwheel_runtime.settings import Settings
from bookwheel_testing.engines import or_skip

ROOT = Path(__file__).resolve().parents[3]
SCENARIOS = ("minimal", "production", "bundled")
WORKLOADS = ("Deployment", "StatefulSet", "Job")
OF_OTHERS = ("ScaledObject", "TriggerAuthentication", "ServiceMonitor", "HTTPRoute")
"""Kinds whose schemas are not Kubernetes' own."""
Object = dict[str, Any]
Hops = dict[str, set[tuple[str, int]]]
"""Component and port of all that a component speaks to."""


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture(params=SCENARIOS)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return golden(request.param)


@cache
def golden(scenario: str) -> list[Object]:
    return chart.loaded((ROOT / chart.GOLDEN / f"{scenario}.yaml").read_text())


def of_kind(objects: list[Object], *kinds: str) -> dict[str, Object]:
    """The objects of some kinds by their component."""
    return {component(each): each for each in objects if each["kind"] in kinds}


def component(each: Object) -> str:
    return str(each["metadata"]["labels"]["app.kubernetes.io/component"])


def pod_of(workload: Object) -> Object:
    pod: Object = workload["spec"]["template"]
    return pod


def containers(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    for name, workload in of_kind(objects, *WORKLOADS).items():
        spec = pod_of(workload)["spec"]
        for container in [*spec.get("initContainers", ()), *spec["containers"]]:
            yield name, container


def values(name: str | None = None) -> Object:
    path = ROOT / chart.CHART / (f"ci/{name}-values.yaml" if name else "values.yaml")
    found: Object = yaml.safe_load(path.read_text())
    return found


def merged(base: Object, over: Object) -> Object:
    result = deepcopy(base)
    for key, value in over.items():
        result[key] = merged(result[key], value) if isinstance(value, dict) and key in result else value
    return result


def test_what_is_made_from_the_chart_is_current() -> None:
    assert not list(chart.stale()), "run `make manifests`"
    assert (ROOT / chart.CHART / "README.md").read_text() == chart.readme(), "run `make docs`"


@pytest.fixture
def helm() -> str:
    """Where it is missing, what was rendered is tested, but not that it would be rendered so again."""
    try:
        return chart.helm()
    except EngineMissing as missing:
        or_skip(missing)
        raise


@pytest.mark.usefixtures("helm")
def test_helm_renders_what_the_golden_files_hold() -> None:
    for path, (its_values, make) in chart.files().items():
        assert path.read_text() == chart.header(its_values) + make(chart.rendered(its_values)), path


def test_helm_finds_nothing_to_complain_of(helm: str) -> None:
    for scenario in SCENARIOS:
        command = [helm, "lint", "--strict", str(chart.CHART), "--values", f"{chart.CHART}/ci/{scenario}-values.yaml"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["1.30", "1.34"])
def test_every_object_is_valid(objects: list[Object], version: str) -> None:
    for each in objects:
        if each["kind"] not in OF_OTHERS:
            kubernetes_validate.validate(each, version, strict=True)


def test_no_two_objects_have_one_name(objects: list[Object]) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names))


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
            each["metadata"]["name"] for each in objects if each["kind"] == "ServiceAccount"
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
            spread = {each["topologyKey"] for each in pod_of(workload)["spec"].get("topologySpreadConstraints", ())}
            assert spread == (set() if bound else {"kubernetes.io/hostname", "topology.kubernetes.io/zone"})
            scaled = of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
            assert ("replicas" in workload["spec"]) != (name in scaled)


def test_a_pod_that_is_to_stop_drains_longer_than_a_connection_to_it_lasts(objects: list[Object]) -> None:
    workloads = of_kind(objects, "Deployment")
    nginx = (ROOT / "gateway/conf.d/upstreams.conf").read_text()
    to_services = [int(seconds) for seconds in re.findall(r"keepalive_time (\d+)s", nginx)]
    assert len(to_services) == 3
    gateway = pod_of(workloads["gateway"])["spec"]["containers"][0]
    to_gateway = int({each["name"]: each["value"] for each in gateway["env"]}["BOOKWHEEL_CLIENT_KEEPALIVE"])
    for name, longest in [("gateway", to_gateway), *((n, max(to_services)) for n in ("accounts", "catalog-api"))]:
        spec = pod_of(workloads[name])["spec"]
        drain = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert longest < drain < spec["terminationGracePeriodSeconds"] - 10, name


def is_selected(selector: Object, labels: dict[str, str]) -> bool:
    expressions = selector.get("matchExpressions", ())
    assert {each["operator"] for each in expressions} <= {"In"}
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in expressions
    )


def hops(objects: list[Object]) -> tuple[Hops, Hops]:
    """Whom each policy lets its pods speak to, of pods that listen there; and who is let in, seen from the caller."""
    pods = {name: pod_of(each) for name, each in of_kind(objects, *WORKLOADS).items()}
    labels = {name: pod["metadata"]["labels"] for name, pod in pods.items()}
    listening = {
        name: {port["containerPort"] for each in pod["spec"]["containers"] for port in each.get("ports", ())}
        for name, pod in pods.items()
    }
    leaves: Hops = defaultdict(set)
    enters: Hops = defaultdict(set)
    for policy in of_kind(objects, "NetworkPolicy").values():
        [of] = [name for name, its in labels.items() if is_selected(policy["spec"]["podSelector"], its)]
        for direction, side in (("to", "egress"), ("from", "ingress")):
            for rule in policy["spec"].get(side) or ():
                selectors = [each["podSelector"] for each in rule.get(direction, ()) if set(each) == {"podSelector"}]
                others = [name for name, its in labels.items() if any(is_selected(each, its) for each in selectors)]
                for other in others:
                    caller, called = (of, other) if side == "egress" else (other, of)
                    if (port := rule["ports"][0]["port"]) in listening[called]:
                        (leaves if side == "egress" else enters)[caller].add((called, port))
    return leaves, enters


def kustomized(*names: str) -> list[Object]:
    return [
        each for name in names for each in chart.loaded((ROOT / chart.KUSTOMIZE / name / "bookwheel.yaml").read_text())
    ]


def test_network_policies_open_each_hop_at_both_ends_and_no_other(objects: list[Object]) -> None:
    policies = of_kind(objects, "NetworkPolicy")
    assert all(each["spec"]["policyTypes"] == ["Ingress", "Egress"] for each in policies.values())
    leaves, enters = hops(objects)
    assert leaves == enters
    assert {target for target, _ in leaves["gateway"]} == {"accounts", "catalog-api", "ml-serving"}
    assert not {"accounts", "catalog-api"} & {target for target, _ in leaves["scraper"]}
    internet = [
        name for name, policy in policies.items() if "169.254.0.0/16" in json.dumps(policy["spec"].get("egress"))
    ]
    assert sorted(internet) == ["processor", "scraper"]


def test_kustomize_s_services_reach_its_stores_by_their_labels() -> None:
    leaves, enters = hops(kustomized("base", "stores"))
    assert leaves == enters
    assert (leaves, enters) == hops(golden("minimal"))


@pytest.mark.usefixtures("helm")
def test_external_stores_are_reached_at_ranges_and_as_pods() -> None:
    operators = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "databases"}}}

    def peers(*arguments: str) -> list[Object]:
        policy = of_kind(chart.loaded(production(*arguments).stdout), "NetworkPolicy")["accounts"]
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


def volumes_of(workload: Object) -> dict[str, Object]:
    return {volume["name"]: volume for volume in pod_of(workload)["spec"]["volumes"]}


def keys_given(objects: list[Object]) -> dict[str, set[str]]:
    """The keys of the Secret of settings that each component is given."""
    given = {}
    for name, workload in of_kind(objects, "Deployment").items():
        sources = volumes_of(workload).get("secrets", {}).get("projected", {}).get("sources", ())
        given[name] = {item["key"] for source in sources for item in source["secret"]["items"]}
    return given


def test_a_component_sees_no_passwords_but_its_own(objects: list[Object]) -> None:
    for name, workload in of_kind(objects, "Deployment").items():
        assert ("signing-keys" in volumes_of(workload)) == (name == "accounts")
    seen = keys_given(objects)
    assert seen["scraper"] == {"BOOKWHEEL_REDIS_URL"}
    assert seen["accounts"] == {"BOOKWHEEL_DATABASE_URL", "BOOKWHEEL_REDIS_URL"}
    assert seen["gateway"] == set()


def test_every_program_that_tells_how_it_is_has_the_redis_to_tell(objects: list[Object]) -> None:
    given, policies = keys_given(objects), of_kind(objects, "NetworkPolicy")
    for program in SERVICES:
        name = program.removesuffix("-worker")
        assert "BOOKWHEEL_REDIS_URL" in given[name]
        assert 6379 in {rule["ports"][0]["port"] for rule in policies[name]["spec"]["egress"]}, name


def test_there_is_no_password_in_values_environment_or_render(objects: list[Object]) -> None:
    for name, container in containers(objects):
        for each in container.get("env", ()):
            assert "valueFrom" not in each
            assert not re.search(r"://[^/]*:[^/]*@", each["value"]), name
    for secret in of_kind(objects, "Secret").values():
        made = {**secret.get("data", {}), **secret.get("stringData", {})}
        assert set(made.values()) == {"made at the first install"}  # by `rendered`, in place of random ones


def template(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [chart.helm(), "template", "a", str(chart.CHART), "--kube-version", "1.34.0", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("helm")
def test_passwords_are_made_anew_by_each_render_and_never_default() -> None:
    made = [template("--show-only", "templates/secrets.yaml").stdout for _ in range(2)]
    first, second = ({s["metadata"]["name"]: s for s in chart.loaded(text)} for text in made)
    assert set(first) == {"a-bookwheel-store-passwords", "a-bookwheel-settings", "a-bookwheel-signing-keys"}
    for name in first:
        for part in ("data", "stringData"):
            for key, value in first[name].get(part, {}).items():
                assert value != second[name][part][key]
                assert len(value) >= 32


@pytest.mark.usefixtures("helm")
def test_keda_may_ask_the_bundled_redis_where_it_scales_something() -> None:
    def peers(*arguments: str) -> list[Object]:
        policies = of_kind(chart.loaded(template(*arguments).stdout), "NetworkPolicy")
        return [peer for rule in policies["redis"]["spec"]["ingress"] for peer in rule["from"]]

    keda = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}
    assert keda not in peers()
    assert keda in peers("--set", "components.processor.autoscaling.keda.enabled=true")


def claims(workload: Object) -> set[str]:
    return {
        each["persistentVolumeClaim"]["claimName"]
        for each in pod_of(workload)["spec"]["volumes"]
        if "persistentVolumeClaim" in each
    }


def test_pods_that_share_a_volume_of_one_node_are_kept_on_one_node(objects: list[Object]) -> None:
    modes = {
        each["metadata"]["name"]: each["spec"]["accessModes"]
        for each in objects
        if each["kind"] == "PersistentVolumeClaim"
    }
    workloads = [each for each in objects if each["kind"] in WORKLOADS]
    sharing = [each for each in workloads if {name for name in claims(each) if modes[name] == ["ReadWriteOnce"]}]
    assert {component(each) for each in sharing} == ({"catalog-api", "processor"} if modes else set())
    for each in sharing:
        [neighbours] = required_neighbours(each)
        assert neighbours["topologyKey"] == "kubernetes.io/hostname"
        wanted = neighbours["labelSelector"]["matchLabels"].items()
        matched = [other for other in workloads if wanted <= pod_of(other)["metadata"]["labels"].items()]
        assert matched == sharing  # each of them itself, too: Kubernetes lets the first pod in by that
    assert all(not required_neighbours(each) for each in workloads if each not in sharing)


@pytest.mark.usefixtures("helm")
def test_a_volume_of_many_nodes_leaves_pods_where_they_like_and_an_affinity_of_the_user_s_is_kept() -> None:
    shared = of_kind(chart.loaded(template("--set", "lake.accessMode=ReadWriteMany").stdout), "Deployment")
    for name in ("catalog-api", "processor"):
        assert not required_neighbours(shared[name])
        assert pod_of(shared[name])["spec"]["topologySpreadConstraints"]
    own = {"labelSelector": {"matchLabels": {"app": "cache"}}, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [own]}, "nodeAffinity": {}}
    given = template("--set-json", f"components.processor.affinity={json.dumps(affinity)}").stdout
    processor = of_kind(chart.loaded(given), "Deployment")["processor"]
    assert own in required_neighbours(processor)
    assert len(required_neighbours(processor)) == 2


def production(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return template("--values", f"{chart.CHART}/ci/production-values.yaml", *arguments)


def test_prometheus_reads_metrics_from_its_usual_namespace(objects: list[Object]) -> None:
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    policies = of_kind(objects, "NetworkPolicy")
    for name, each in values()["components"].items():
        if name in policies and "metrics" in each:
            assert {"ports": [{"port": each["metrics"]["port"]}], "from": [monitoring]} in policies[name]["spec"][
                "ingress"
            ]


def internet_of(name: str, objects: list[Object]) -> tuple[set[int], list[Object]]:
    """The ports, and the ranges with what they leave out, at which a component reaches the internet."""
    egress = of_kind(objects, "NetworkPolicy")[name]["spec"]["egress"]
    [rule] = [rule for rule in egress if any(each.get("ipBlock", {}).get("except") for each in rule.get("to", ()))]
    return {each["port"] for each in rule["ports"]}, [each["ipBlock"] for each in rule["to"]]


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
            each
            for each in ranges
            if asked in ip_network(each["cidr"]) and not any(asked in ip_network(out) for out in each["except"])
        ]
        assert bool(within) == is_open


@pytest.mark.usefixtures("helm")
def test_a_shop_on_another_port_is_reached_where_the_values_say_so() -> None:
    objects = chart.loaded(template("--set-json", "networkPolicy.internetPorts=[443,8443]").stdout)
    assert internet_of("scraper", objects)[0] == {443, 8443}
    assert template("--set-json", "networkPolicy.internetPorts=[]").returncode != 0  # would be all of them


@pytest.mark.usefixtures("helm")
def test_keda_is_told_how_to_log_in_to_an_external_redis() -> None:
    def trigger(*arguments: str) -> Object:
        done = production(*(part for each in arguments for part in ("--set", each)))
        [found] = of_kind(chart.loaded(done.stdout), "ScaledObject")["processor"]["spec"]["triggers"]
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
    objects = chart.loaded(template(*by_keda).stdout)  # with a bundled Redis: the Secret of the chart's own
    [reference] = of_kind(objects, "TriggerAuthentication")["processor"]["spec"]["secretTargetRef"]
    made = {each["metadata"]["name"]: each["stringData"] for each in objects if "stringData" in each}
    assert reference["key"] in made[reference["name"]]


@pytest.mark.usefixtures("helm")
def test_external_stores_need_a_secret_that_is_there() -> None:
    done = template("--set", "postgresql.bundled=false")
    assert done.returncode != 0
    assert "secrets.existingSecret is needed: it holds BOOKWHEEL_DATABASE_URL" in done.stderr


def schema() -> Object:
    found: Object = json.loads((ROOT / chart.CHART / "values.schema.json").read_text())
    return found


def test_the_schema_takes_the_values_that_there_are() -> None:
    jsonschema.Draft7Validator.check_schema(schema())
    for scenario in (None, *SCENARIOS):
        whole = merged(values(), values(scenario)) if scenario else values()
        jsonschema.validate(whole, schema())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("redis.pasword", "x"),
        ("components.catalogue", {}),
        ("components.gateway.replica", 3),
        ("components.gateway.replicas", "3"),
        ("components.gateway.resources.limits.cpus", "1"),
        ("components.processor.probe", {"startup": "/livez"}),
        ("components.processor.metrics.port", "http2"),
        ("components.processor.reaches", ["everything"]),
        ("settings.BOOKWHEEL_DATABASE_URL", "postgresql://user:password@host/books"),
        ("components.scraper.settings.BOOKWHEEL_REDIS_URL", "redis://:password@host"),
        ("settings.PATH", "/bin"),
        ("lake.url", "/var/lake"),
        ("postgresql.user", 0),
        ("image.pullPolicy", "Sometimes"),
        ("defaults.maxUnavailable", 0),
    ],
)
def test_the_schema_refuses_what_there_is_not(path: str, value: object) -> None:
    whole = values()
    *folders, last = path.split(".")
    place = whole
    for name in folders:
        place = place.setdefault(name, {})
    place[last] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(whole, schema())


def test_every_setting_that_the_chart_gives_is_one_that_somebody_reads(objects: list[Object]) -> None:
    import importlib  # noqa: PLC0415 - the settings of all services, for this test alone

    known = {"BOOKWHEEL_SECRETS_DIR", "PGDATA", "POSTGRES_PASSWORD_FILE", "ES_JAVA_OPTS"}
    for module_name in settings_modules(ROOT):
        for kind in vars(importlib.import_module(module_name)).values():
            if isinstance(kind, type) and issubclass(kind, Settings):
                known |= {variable(name, field) for name, field in kind.model_fields.items()}
    known |= set(re.findall(r"^(BOOKWHEEL_\w+)=", (ROOT / "gateway/defaults.env").read_text(), re.MULTILINE))
    for name, container in containers(objects):
        for each in container.get("env", ()):
            assert each["name"] in known or "." in each["name"], f"{name}: {each['name']}"


def test_the_version_is_the_suite_s() -> None:
    described = yaml.safe_load((ROOT / chart.CHART / "Chart.yaml").read_text())
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert described["version"] == described["appVersion"] == version[1]


def test_kustomize_has_the_services_in_one_base_and_the_stores_in_another() -> None:
    base, stores = kustomized("base"), kustomized("stores")
    assert set(of_kind(stores, "StatefulSet")) == set(chart.STORES)
    assert not of_kind(base, "StatefulSet")
    assert set(of_kind(base, "Deployment")) == set(of_kind(golden("minimal"), "Deployment"))
    for each in [*base, *stores]:
        assert each["kind"] != "Secret"
        assert "namespace" not in each["metadata"]
        assert "Helm" not in json.dumps(each)


def lake_settings(workload: Object) -> dict[str, Object]:
    """Takes what is said of the bucket out of the container's environment."""
    [container] = pod_of(workload)["spec"]["containers"]
    found = {each["name"]: each for each in container["env"] if each["name"].startswith("BOOKWHEEL_LAKE_")}
    container["env"] = sorted((e for e in container["env"] if e["name"] not in found), key=lambda e: str(e["name"]))
    return found


def program(name: str) -> str:
    """Its path."""
    found = shutil.which(name)
    if found is None:
        or_skip(LocalError(f"{name} is missing"))
    return found


@pytest.mark.usefixtures("helm")
def test_kubectl_puts_the_lake_in_a_bucket_as_the_chart_does(tmp_path: Path) -> None:
    kubectl = program("kubectl")
    copied = shutil.copytree(ROOT / chart.KUSTOMIZE, tmp_path / "kustomize", ignore=shutil.ignore_patterns("secrets"))
    (copied / "mine").mkdir()
    overlay = {"namespace": "books", "resources": ["../base"], "components": ["../s3"]}
    (copied / "mine" / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    built = subprocess.run([kubectl, "kustomize", copied / "mine"], capture_output=True, text=True, check=True)
    found = chart.loaded(built.stdout)
    assert {each["metadata"]["namespace"] for each in found} == {"books"}
    for each in found:
        kubernetes_validate.validate(each, "1.34", strict=True)
        del each["metadata"]["namespace"]
    values_of_base = tmp_path / "values.yaml"
    bucket = {"lake": {"url": "s3://books/lake", "endpoint": "https://s3.example.com"}}
    base_values = yaml.safe_load((ROOT / chart.KUSTOMIZE / "base/values.yaml").read_text())
    values_of_base.write_text(yaml.safe_dump({**base_values, **bucket}))
    wanted = chart.for_kustomize(chart.loaded(chart.rendered(values_of_base)), of_stores=False)

    policy = next(each for each in found if each["metadata"]["name"] == "bookwheel-lake")["spec"]
    for name in ("catalog-api", "processor"):
        from_the_secret = lake_settings(of_kind(found, "Deployment")[name])
        assert set(from_the_secret) == set(lake_settings(of_kind(wanted, "Deployment")[name]))
        for key, each in from_the_secret.items():
            reference = {"name": "bookwheel-settings", "key": key, "optional": key != "BOOKWHEEL_LAKE_URL"}
            assert {"optional": False, **each["valueFrom"]["secretKeyRef"]} == reference
        egress = of_kind(wanted, "NetworkPolicy")[name]["spec"]["egress"]
        [to_the_bucket] = [
            rule for rule in egress if rule["ports"] == policy["egress"][0]["ports"] and "except" not in str(rule)
        ]
        assert to_the_bucket["to"][-2:] == policy["egress"][0]["to"]
        egress.remove(to_the_bucket)
        assert is_selected(policy["podSelector"], pod_of(of_kind(found, "Deployment")[name])["metadata"]["labels"])
    for each in [*of_kind(found, "Deployment").values(), *of_kind(wanted, "Deployment").values()]:
        lake_settings(each)
    by_name = [
        {(each["kind"], each["metadata"]["name"]): each for each in objects}
        for objects in (wanted, [each for each in found if each["metadata"]["name"] != "bookwheel-lake"])
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
    found = chart.loaded(builds[0])
    secrets = {each["metadata"]["name"]: each for each in found if each["kind"] == "Secret"}
    assert set(secrets) == {"bookwheel-settings", "bookwheel-store-passwords", "bookwheel-signing-keys"}
    assert {each["metadata"].get("namespace") for each in found if each["kind"] != "Namespace"} == {"bookwheel"}
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
