"""What the chart is given and gives on: its values and their schema, settings, and secrets."""

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
    found: Object = json.loads((ROOT / chart.CHART / "values.schema.json").read_text())
    return found


def merged(base: Object, over: Object) -> Object:
    result = deepcopy(base)
    for key, value in over.items():
        result[key] = merged(result[key], value) if isinstance(value, dict) and key in result else value
    return result


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

    known = {
        "BOOKWHEEL_SECRETS_DIR",
        "PGDATA",
        "POSTGRES_PASSWORD_FILE",
        "ES_JAVA_OPTS",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION",
    }
    for module_name in settings_modules(ROOT):
        for kind in vars(importlib.import_module(module_name)).values():
            if isinstance(kind, type) and issubclass(kind, Settings):
                known |= {variable(name, field) for name, field in kind.model_fields.items()}
    known |= set(re.findall(r"^(BOOKWHEEL_\w+)=", (ROOT / "gateway/defaults.env").read_text(), re.MULTILINE))
    for name, container in containers(objects):
        for item in container.get("env", ()):
            assert item["name"] in known or "." in item["name"], f"{name}: {item['name']}"


@pytest.mark.usefixtures("helm")
def test_the_demo_shop_leaves_the_scrapers_address_checks_to_the_operator() -> None:
    def private_addresses(*arguments: str) -> str | None:
        done = template("--set", "components.demo-shop.enabled=true", *arguments)
        [environment] = [item["env"] for name, item in containers(chart.load_objects(done.stdout)) if name == "scraper"]
        values_by_name = {variable["name"]: variable["value"] for variable in environment}
        assert values_by_name["BOOKWHEEL_DEMO_SHOP_URL"]
        return values_by_name.get("BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES")

    assert private_addresses() is None
    assert private_addresses("--set", "settings.BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES=deny") == "deny"


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
        for item in container.get("env", ()):
            assert "valueFrom" not in item
            assert not re.search(r"://[^/]*:[^/]*@", item["value"]), name
    for secret in of_kind(objects, "Secret").values():
        made = {**secret.get("data", {}), **secret.get("stringData", {})}
        assert set(made.values()) == {"generated at the first install"}  # by `rendered`, in place of random ones


@pytest.mark.usefixtures("helm")
def test_passwords_are_made_anew_by_each_render_and_never_default() -> None:
    made = [template("--show-only", "templates/secrets.yaml").stdout for _ in range(2)]
    first, second = ({s["metadata"]["name"]: s for s in chart.load_objects(text)} for text in made)
    assert set(first) == {"a-bookwheel-store-passwords", "a-bookwheel-settings", "a-bookwheel-signing-keys"}
    for name in first:
        for part in ("data", "stringData"):
            for key, value in first[name].get(part, {}).items():
                assert value != second[name][part][key]
                assert len(value) >= 32


@pytest.mark.usefixtures("helm")
def test_external_stores_need_a_secret_that_is_there() -> None:
    done = template("--set", "postgresql.bundled=false")
    assert done.returncode != 0
    assert "secrets.existingSecret is needed: it holds BOOKWHEEL_DATABASE_URL" in done.stderr
