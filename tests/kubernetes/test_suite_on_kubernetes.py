"""The Helm chart on a real cluster: from a shop's page to a search hit and a prediction; scaled, upgraded, killed,
evicted, uninstalled. The tests run in this order: each leaves the release as the next one needs it.
"""

import json
import random
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bookwheel_contracts import status
from bookwheel_testing.kubernetes_suite import RELEASE, ClusterError, KubernetesSuite, run
from bookwheel_testing.servers import answers, wait_until
from bookwheel_testing.shop_check import check_against_shop, next_day

pytestmark = pytest.mark.timeout(3600)

LOAD = Path(__file__).with_name("load.py")
KILLS = 20
SERVICES = ("gateway", "accounts", "catalog-api", "ml-serving", "trainer", "scraper", "processor", "processor-beat")
STORES = ("redis", "postgresql", "elasticsearch", "registry")
OURS = SERVICES + STORES
"""All but the demo shop, which stands for the rest of the world."""


@pytest.fixture(scope="module")
def key(suite: KubernetesSuite) -> str:
    return str(suite.post("/api/v1/auth/keys", {"name": f"load {secrets.token_hex(4)}"}, 201)["key"])


def predicted(suite: KubernetesSuite) -> bool:
    book = suite.get("/api/v1/books", params={"limit": "1"})["items"][0]
    asked = {"books": [{"book_id": book["id"]}]}
    return bool(suite.request("POST", "/api/v1/ml/predictions", json=asked).status_code == 200)


def test_a_shop_becomes_search_hits_and_predictions(suite: KubernetesSuite) -> None:
    check_against_shop(suite, suite.wait_for_crawl(suite.start_crawl("demo"), seconds=600))
    started = suite.post("/api/v1/ml/training-runs", {}, 202)["id"]
    trained: dict[str, Any] = {}

    def ended() -> bool:
        trained.update(suite.get(f"/api/v1/ml/training-runs/{started}"))
        return trained["state"] not in {"queued", "running"}

    wait_until(ended, seconds=600, what="a model trained")
    assert trained["state"] == "complete", trained
    wait_until(lambda: predicted(suite), seconds=180, what="the model served")


def test_the_status_is_ok_and_knows_a_replica_of_every_program(suite: KubernetesSuite) -> None:
    ready = {service["name"]: service["ready"] for service in suite.wait_until_ok()["services"]}
    assert set(ready) == set(status.SERVICES)
    assert min(ready.values()) >= 1, ready


def test_pods_are_as_the_restricted_standard_wants_them(suite: KubernetesSuite) -> None:
    namespace = json.loads(run("kubectl", "get", "namespace", suite.namespace, "--output", "json"))
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert len(suite.pods(*OURS)) >= len(OURS)


def crawl_under(suite: KubernetesSuite, disturb: Callable[[], None]) -> None:
    """A day passes in the shop, it is crawled, and something happens in the midst; nothing may be lost by that."""
    next_day(suite)
    run_id = suite.start_crawl("demo")
    disturb()
    ended = suite.wait_for_crawl(run_id, seconds=900)
    suite.wait_for_rollouts()  # the last disturbed store may still be unavailable
    wait_until(lambda: suite.request("GET", "/api/v1/books").status_code == 200, seconds=60, what="search answered")
    check_against_shop(suite, ended)


@pytest.mark.parametrize("component", ["gateway", "accounts", "catalog-api", "ml-serving"])
def test_a_service_is_scaled_up_and_down_under_load_without_a_failed_request(
    suite: KubernetesSuite, key: str, component: str
) -> None:
    with suite.run_load_test(LOAD, key=key) as counted:
        suite.scale(component, 3)
        time.sleep(5)
        suite.scale(component, 1)
        time.sleep(15)  # until those that went have ended
    suite.scale(component, 2)
    assert counted["failed"] == 0, counted
    assert counted["asked"] > 50


@pytest.mark.parametrize("component", ["processor", "scraper", "trainer", "processor-beat"])
def test_a_worker_is_scaled_up_and_down_in_mid_crawl_and_loses_nothing(suite: KubernetesSuite, component: str) -> None:
    def scale() -> None:
        suite.scale(component, 3)
        suite.scale(component, 1)

    crawl_under(suite, scale)


def test_the_catalog_is_scaled_by_its_load(suite: KubernetesSuite, key: str) -> None:
    scaling = "components.catalog-api.autoscaling"
    suite.apply(f"{scaling}.enabled=true", f"{scaling}.min=1", f"{scaling}.max=3", f"{scaling}.cpu=10")
    with suite.run_load_test(LOAD, key=key) as counted:
        wait_until(lambda: len(suite.pods("catalog-api")) == 3, seconds=300, what="three pods")
        suite.wait_for_rollouts()
    suite.apply()
    assert counted["failed"] == 0, counted


def test_the_processors_follow_what_waits_where_there_is_keda(suite: KubernetesSuite) -> None:
    if "scaledobjects.keda.sh" not in run("kubectl", "get", "crd", "--output", "name"):
        pytest.skip("KEDA is not installed on this cluster")
    suite.scale("processor", 0)
    next_day(suite)
    run_id = suite.start_crawl("demo")
    scaling = "components.processor.autoscaling"
    by_lag = [f"{scaling}.{name}" for name in ("keda.enabled=true", "keda.lagCount=100", "keda.pollingInterval=5")]
    by_lag += [f"{scaling}.min=1", f"{scaling}.max=3"]
    nowhere = "components.processor.nodeSelector.nowhere=yes"  # else the first has done all before others come
    suite.apply(*by_lag, nowhere, wait=False)
    wait_until(lambda: replicas(suite, "processor") == 3, seconds=300, what="three processors for 1,000 entries")
    [scaled] = suite.objects("scaledobjects")
    conditions = {each["type"]: each["status"] for each in scaled["status"]["conditions"]}
    assert conditions["Ready"] == "True", conditions
    suite.apply(*by_lag, wait=False)
    check_against_shop(suite, suite.wait_for_crawl(run_id, seconds=900))
    suite.apply()
    suite.scale("processor", 1)


def replicas(suite: KubernetesSuite, component: str) -> int:
    """How many pods there should be."""
    return int(suite.objects("deployments", f"app.kubernetes.io/component={component}")[0]["spec"]["replicas"])


def test_an_upgrade_of_everything_under_load_fails_no_request_and_loses_nothing(
    suite: KubernetesSuite, key: str
) -> None:
    before = set(suite.pods(*SERVICES))
    with suite.run_load_test(LOAD, key=key) as counted:
        changed = [f"components.{name}.podAnnotations.round=r{secrets.token_hex(4)}" for name in SERVICES]
        crawl_under(suite, lambda: suite.apply(*changed))
        suite.wait_for_rollouts()
        time.sleep(30)  # until the last of the old ones has ended
    assert not before & set(suite.pods(*SERVICES))
    print(counted)
    assert counted["failed"] == 0, counted


def test_an_upgrade_to_an_image_that_there_is_not_leaves_the_old_one_serving(suite: KubernetesSuite, key: str) -> None:
    before = set(suite.pods(*OURS))
    with suite.run_load_test(LOAD, key=key) as counted, pytest.raises(ClusterError):
        suite.apply("image.tag=no-such-tag", "migration.activeDeadlineSeconds=20")
    assert set(suite.pods(*OURS)) == before
    assert counted["failed"] == 0, counted
    suite.apply()


def test_twenty_kills_lose_and_double_nothing(suite: KubernetesSuite) -> None:
    choice = random.Random(1588)
    killed: list[str] = []
    while len(killed) < KILLS:

        def kill_some() -> None:
            for _ in range(4):
                running = suite.pods(*OURS)
                victim = choice.choice(running)
                killed.append(victim)
                suite.kubectl("delete", "pod", victim, "--grace-period=0", "--force", "--wait=false")
                time.sleep(choice.uniform(1, 6))

        crawl_under(suite, kill_some)
    suite.wait_for_rollouts()
    print("killed", sorted(killed))


def test_every_pod_is_evicted_within_the_budgets_and_nothing_is_lost(suite: KubernetesSuite) -> None:
    evicted = suite.pods(*OURS)

    def evict_all() -> None:
        for name in evicted:
            wait_until(lambda name=name: evict(suite, name), seconds=300, what=f"{name} evicted")  # type: ignore[misc]

    crawl_under(suite, evict_all)
    suite.wait_for_rollouts()
    stores = {f"{RELEASE}-{store}-0" for store in STORES}  # whose pods have the same names again
    assert not (set(evicted) - stores) & set(suite.pods(*OURS))
    assert predicted(suite)


def evict(suite: KubernetesSuite, name: str) -> bool:
    """Whether the disruption budgets allowed it."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": suite.namespace}}
    path = f"/api/v1/namespaces/{suite.namespace}/pods/{name}/eviction"
    try:
        run("kubectl", "create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    except ClusterError as error:
        if "disruption budget" in str(error):
            return False
        if "not found" not in str(error):
            raise
    return True


def test_an_uninstall_leaves_nothing_but_the_volumes_and_what_is_in_them(suite: KubernetesSuite) -> None:
    books = suite.get("/api/v1/stats/overview")["books"]
    suite.helm("uninstall", "--wait")
    wait_until(lambda: not suite.objects("pods"), seconds=180, what="no pod left")
    kinds = run("kubectl", "api-resources", "--verbs=list", "--namespaced", "--output", "name").split()
    left = []
    for kind in kinds:
        if kind.partition(".")[0] not in {"events", "pods"}:  # of both kinds of events; pods are gone, metrics lag
            left += suite.kubectl("get", kind, "--output", "name").split()
    claims = [f"data-{RELEASE}-{store}-0" for store in STORES] + [f"{RELEASE}-lake"]
    every_namespace_has = {"serviceaccount/default", "configmap/kube-root-ca.crt"}
    assert set(left) - every_namespace_has == {f"persistentvolumeclaim/{claim}" for claim in claims}
    suite.apply()  # generates other passwords and signing keys than those of the volumes
    suite.wait_for_rollouts()
    suite.discard_token()
    assert suite.get("/api/v1/stats/overview")["books"] == books
    wait_until(lambda: answers(suite.shop_url), seconds=60, what="the way to the new shop")
    next_day(suite)
    check_against_shop(suite, suite.wait_for_crawl(suite.start_crawl("demo"), seconds=600))


def test_kustomize_s_objects_are_taken_by_the_cluster(suite: KubernetesSuite, tmp_path: Path) -> None:
    for name in ("base", "stores"):
        folder = Path(__file__).resolve().parents[2] / "deploy/k8s/kustomize" / name
        suite.kubectl("apply", "--dry-run=server", "--namespace", suite.namespace, "--kustomize", str(folder))
