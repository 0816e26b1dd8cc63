"""Tests of the chart's values and their schema, settings, and secrets."""

import json
import re
from copy import deepcopy

import jsonschema
import pytest
from bookwheel_contracts.status import SERVICES
from bookwheel_runtime.settings import Settings

from deploy.k8s.tests.manifests import Object, containers, of_kind, pod_of
from deploy.k8s.tests.renders import ROOT, SCENARIOS, template, values
from tools import chart
from tools.settings_page import settings_modules, variable


def schema() -> Object:
    content: Object = json.loads((ROOT / chart.CHART / "values.schema.json").read_text())
    return content


def merged(base: Object, overrides: Object) -> Object:
    result = deepcopy(base)
    for key, value in overrides.items():
        result[key] = merged(result[key], value) if isinstance(value, dict) and key in result else value
    return result


def test_the_schema_accepts_the_values_of_all_scenarios() -> None:
    jsonschema.Draft7Validator.check_schema(schema())
    for scenario in (None, *SCENARIOS):
        scenario_values = merged(values(), values(scenario)) if scenario else values()
        jsonschema.validate(scenario_values, schema())


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
def test_the_schema_rejects_unknown_and_invalid_values(path: str, value: object) -> None:
    changed_values = values()
    *parents, key = path.split(".")
    mapping = changed_values
    for parent in parents:
        mapping = mapping.setdefault(parent, {})
    mapping[key] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed_values, schema())


def test_every_environment_variable_of_the_chart_is_a_setting(objects: list[Object]) -> None:
    import importlib  # noqa: PLC0415 - only this test imports the settings of all services

    variables = {
        "BOOKWHEEL_SECRETS_DIR",
        "PGDATA",
        "POSTGRES_PASSWORD_FILE",
        "ES_JAVA_OPTS",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION",
    }
    for module_name in settings_modules(ROOT):
        for kind in vars(importlib.import_module(module_name)).values():
            if isinstance(kind, type) and issubclass(kind, Settings):
                variables |= {variable(name, field) for name, field in kind.model_fields.items()}
    variables |= set(re.findall(r"^(BOOKWHEEL_\w+)=", (ROOT / "gateway/defaults.env").read_text(), re.MULTILINE))
    for name, container in containers(objects):
        for item in container.get("env", ()):
            assert item["name"] in variables or "." in item["name"], f"{name}: {item['name']}"


@pytest.mark.usefixtures("helm")
def test_the_demo_shop_leaves_the_scrapers_address_checks_to_the_operator() -> None:
    def private_addresses(*arguments: str) -> str | None:
        process = template("--set", "components.demo-shop.enabled=true", *arguments)
        scraper_environments = [
            item["env"] for name, item in containers(chart.load_objects(process.stdout)) if name == "scraper"
        ]
        [environment] = scraper_environments
        values_by_name = {item["name"]: item["value"] for item in environment}
        assert values_by_name["BOOKWHEEL_DEMO_SHOP_URL"]
        return values_by_name.get("BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES")

    assert private_addresses() is None
    assert private_addresses("--set", "settings.BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES=deny") == "deny"


def volumes_of(workload: Object) -> dict[str, Object]:
    return {volume["name"]: volume for volume in pod_of(workload)["spec"]["volumes"]}


def mounted_keys(objects: list[Object]) -> dict[str, set[str]]:
    """Returns the keys of the settings Secret that each component mounts."""
    keys_by_component = {}
    for name, workload in of_kind(objects, "Deployment").items():
        sources = volumes_of(workload).get("secrets", {}).get("projected", {}).get("sources", ())
        keys_by_component[name] = {item["key"] for source in sources for item in source["secret"]["items"]}
    return keys_by_component


def test_a_component_mounts_only_its_own_passwords(objects: list[Object]) -> None:
    for name, workload in of_kind(objects, "Deployment").items():
        assert ("signing-keys" in volumes_of(workload)) == (name == "accounts")
    keys_by_component = mounted_keys(objects)
    assert keys_by_component["scraper"] == {"BOOKWHEEL_REDIS_URL"}
    assert keys_by_component["accounts"] == {"BOOKWHEEL_DATABASE_URL", "BOOKWHEEL_REDIS_URL"}
    assert keys_by_component["gateway"] == set()


def test_every_program_with_heartbeats_reaches_redis(objects: list[Object]) -> None:
    keys_by_component, policies = mounted_keys(objects), of_kind(objects, "NetworkPolicy")
    for program in SERVICES:
        name = program.removesuffix("-worker")
        assert "BOOKWHEEL_REDIS_URL" in keys_by_component[name]
        assert 6379 in {rule["ports"][0]["port"] for rule in policies[name]["spec"]["egress"]}, name


def test_values_environments_and_renders_contain_no_password(objects: list[Object]) -> None:
    for name, container in containers(objects):
        for item in container.get("env", ()):
            assert "valueFrom" not in item
            assert not re.search(r"://[^/]*:[^/]*@", item["value"]), name
    for secret in of_kind(objects, "Secret").values():
        entries = {**secret.get("data", {}), **secret.get("stringData", {})}
        assert set(entries.values()) == {"generated at the first install"}  # `render_chart` replaces the random ones


@pytest.mark.usefixtures("helm")
def test_each_render_generates_other_passwords() -> None:
    renders = [template("--show-only", "templates/secrets.yaml").stdout for _ in range(2)]
    first, second = ({item["metadata"]["name"]: item for item in chart.load_objects(text)} for text in renders)
    assert set(first) == {"a-bookwheel-store-passwords", "a-bookwheel-settings", "a-bookwheel-signing-keys"}
    for name in first:
        for part in ("data", "stringData"):
            for key, value in first[name].get(part, {}).items():
                assert value != second[name][part][key]
                assert len(value) >= 32


@pytest.mark.usefixtures("helm")
def test_external_stores_need_an_existing_secret() -> None:
    process = template("--set", "postgresql.bundled=false")
    assert process.returncode != 0
    assert "secrets.existingSecret is required" in process.stderr
    assert "a Secret with BOOKWHEEL_DATABASE_URL" in process.stderr
