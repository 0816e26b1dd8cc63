"""The Helm chart on a real cluster: crawls, search and predictions while pods are scaled, upgraded, killed or evicted.

The tests run in this order, because each test needs the release of the previous test.
"""

import json
import random
import secrets
import time
from collections.abc import Callable
from pathlib import Path

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
"""All components except the demo shop."""


@pytest.fixture(scope="module")
def key(suite: KubernetesSuite) -> str:
    return str(suite.post("/api/v1/auth/keys", {"name": f"load {secrets.token_hex(4)}"}, 201)["key"])


def has_prediction(suite: KubernetesSuite) -> bool:
    book = suite.get("/api/v1/books", params={"limit": "1"})["items"][0]
    body = {"books": [{"book_id": book["id"]}]}
    return bool(suite.request("POST", "/api/v1/ml/predictions", json=body).status_code == 200)


def test_a_shop_becomes_search_hits_and_predictions(suite: KubernetesSuite) -> None:
    check_against_shop(suite, suite.wait_for_crawl(suite.start_crawl("demo"), seconds=600))
    suite.train_model()
    wait_until(lambda: has_prediction(suite), seconds=180, what="the model served")


def test_the_status_is_ok_with_a_replica_of_every_program(suite: KubernetesSuite) -> None:
    ready = {service["name"]: service["ready"] for service in suite.wait_until_ok()["services"]}
    assert set(ready) == set(status.SERVICES)
    assert min(ready.values()) >= 1, ready


def test_pods_meet_the_restricted_standard(suite: KubernetesSuite) -> None:
    namespace = json.loads(run("kubectl", "get", "namespace", suite.namespace, "--output", "json"))
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert len(suite.pods(*OURS)) >= len(OURS)


def crawl_under(suite: KubernetesSuite, disturb: Callable[[], None]) -> None:
    """Crawls the next day of the shop, disturbs the crawl and checks that nothing is lost."""
    next_day(suite)
    run_id = suite.start_crawl("demo")
    disturb()
    run = suite.wait_for_crawl(run_id, seconds=900)
    suite.wait_for_rollouts()  # the last disturbed store may still be unavailable
    wait_until(lambda: suite.request("GET", "/api/v1/books").status_code == 200, seconds=60, what="search answered")
    check_against_shop(suite, run)


@pytest.mark.parametrize("component", ["gateway", "accounts", "catalog-api", "ml-serving"])
def test_a_service_is_scaled_up_and_down_under_load_without_a_failed_request(
    suite: KubernetesSuite, key: str, component: str
) -> None:
    with suite.run_load_test(LOAD, key=key) as counts:
        suite.scale(component, 3)
        time.sleep(5)
        suite.scale(component, 1)
        time.sleep(15)  # until the removed pods have ended
    suite.scale(component, 2)
    assert counts["failed"] == 0, counts
    assert counts["requests"] > 50


@pytest.mark.parametrize("component", ["processor", "scraper", "trainer", "processor-beat"])
def test_a_worker_scaled_up_and_down_during_a_crawl_loses_nothing(suite: KubernetesSuite, component: str) -> None:
    def scale() -> None:
        suite.scale(component, 3)
        suite.scale(component, 1)

    crawl_under(suite, scale)


def test_the_catalog_api_is_scaled_by_its_load(suite: KubernetesSuite, key: str) -> None:
    scaling = "components.catalog-api.autoscaling"
    suite.apply(f"{scaling}.enabled=true", f"{scaling}.min=1", f"{scaling}.max=3", f"{scaling}.cpu=10")
    with suite.run_load_test(LOAD, key=key) as counts:
        wait_until(lambda: len(suite.pods("catalog-api")) == 3, seconds=300, what="three pods")
        suite.wait_for_rollouts()
    suite.apply()
    assert counts["failed"] == 0, counts


def test_keda_scales_the_processors_by_the_backlog(suite: KubernetesSuite) -> None:
    if "scaledobjects.keda.sh" not in run("kubectl", "get", "crd", "--output", "name"):
        pytest.skip("KEDA is not installed on this cluster")
    suite.scale("processor", 0)
    next_day(suite)
    run_id = suite.start_crawl("demo")
    scaling = "components.processor.autoscaling"
    by_lag = [f"{scaling}.{name}" for name in ("keda.enabled=true", "keda.lagCount=100", "keda.pollingInterval=5")]
    by_lag += [f"{scaling}.min=1", f"{scaling}.max=3"]
    nowhere = "components.processor.nodeSelector.nowhere=yes"  # otherwise the first pod would process all entries alone
    suite.apply(*by_lag, nowhere, wait=False)
    wait_until(lambda: replicas(suite, "processor") == 3, seconds=300, what="three processors for 1,000 entries")
    [scaled] = suite.objects("scaledobjects")
    conditions = {condition["type"]: condition["status"] for condition in scaled["status"]["conditions"]}
    assert conditions["Ready"] == "True", conditions
    suite.apply(*by_lag, wait=False)
    check_against_shop(suite, suite.wait_for_crawl(run_id, seconds=900))
    suite.apply()
    suite.scale("processor", 1)


def replicas(suite: KubernetesSuite, component: str) -> int:
    """Returns the requested number of pods."""
    return int(suite.objects("deployments", f"app.kubernetes.io/component={component}")[0]["spec"]["replicas"])


def test_an_upgrade_of_everything_under_load_fails_no_request_and_loses_nothing(
    suite: KubernetesSuite, key: str
) -> None:
    before = set(suite.pods(*SERVICES))
    with suite.run_load_test(LOAD, key=key) as counts:
        changed = [f"components.{name}.podAnnotations.round=r{secrets.token_hex(4)}" for name in SERVICES]
        crawl_under(suite, lambda: suite.apply(*changed))
        suite.wait_for_rollouts()
        time.sleep(30)  # until the old pods have ended
    assert not before & set(suite.pods(*SERVICES))
    print(counts)
    assert counts["failed"] == 0, counts


def test_an_upgrade_to_a_missing_image_keeps_the_old_pods(suite: KubernetesSuite, key: str) -> None:
    before = set(suite.pods(*OURS))
    with suite.run_load_test(LOAD, key=key) as counts, pytest.raises(ClusterError):
        suite.apply("image.tag=no-such-tag", "migration.activeDeadlineSeconds=20")
    assert set(suite.pods(*OURS)) == before
    assert counts["failed"] == 0, counts
    suite.apply()


def test_twenty_kills_lose_and_duplicate_nothing(suite: KubernetesSuite) -> None:
    rng = random.Random(1588)
    killed: list[str] = []
    while len(killed) < KILLS:

        def kill_some() -> None:
            for _ in range(4):
                running = suite.pods(*OURS)
                victim = rng.choice(running)
                killed.append(victim)
                suite.kubectl("delete", "pod", victim, "--grace-period=0", "--force", "--wait=false")
                time.sleep(rng.uniform(1, 6))

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
    stores = {f"{RELEASE}-{store}-0" for store in STORES}  # their new pods have the same names
    assert not (set(evicted) - stores) & set(suite.pods(*OURS))
    assert has_prediction(suite)


def evict(suite: KubernetesSuite, name: str) -> bool:
    """Evicts a pod. Returns False if a disruption budget forbids it."""
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


def test_an_uninstall_keeps_only_the_volumes_and_their_data(suite: KubernetesSuite) -> None:
    books = suite.get("/api/v1/stats/overview")["books"]
    suite.helm("uninstall", "--wait")
    wait_until(lambda: not suite.objects("pods"), seconds=180, what="no pod left")
    kinds = run("kubectl", "api-resources", "--verbs=list", "--namespaced", "--output", "name").split()
    remaining = []
    for kind in kinds:
        if kind.partition(".")[0] not in {"events", "pods"}:  # events of both API groups; metrics of deleted pods
            remaining += suite.kubectl("get", kind, "--output", "name").split()
    claims = [f"data-{RELEASE}-{store}-0" for store in STORES] + [f"{RELEASE}-lake"]
    every_namespace_has = {"serviceaccount/default", "configmap/kube-root-ca.crt"}
    assert set(remaining) - every_namespace_has == {f"persistentvolumeclaim/{claim}" for claim in claims}
    suite.apply()  # with new passwords and signing keys
    suite.wait_for_rollouts()
    suite.discard_token()
    assert suite.get("/api/v1/stats/overview")["books"] == books
    wait_until(lambda: answers(suite.shop_url), seconds=60, what="the connection to the new shop")
    next_day(suite)
    check_against_shop(suite, suite.wait_for_crawl(suite.start_crawl("demo"), seconds=600))


def test_the_cluster_accepts_the_objects_of_kustomize(suite: KubernetesSuite, tmp_path: Path) -> None:
    for name in ("base", "stores"):
        folder = Path(__file__).resolve().parents[2] / "deploy/k8s/kustomize" / name
        suite.kubectl("apply", "--dry-run=server", "--namespace", suite.namespace, "--kustomize", str(folder))
