"""The running service: a BentoML process, a trainer, Redis, records and a registry, over HTTP."""

import csv
import io
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from bookwheel_contracts import Book, PredictionRecord
from bookwheel_contracts.redis_keys import PREDICTION_STREAM
from bookwheel_stores.streams import StreamReader, connect_redis
from bookwheel_testing.internal_tokens import key_set
from bookwheel_testing.servers import (
    answers,
    free_port,
    redis_answers,
    redis_command,
    running,
    start,
    wait_until,
)
from bookwheel_testing.shop_site import serving_site
from prometheus_client.parser import text_string_to_metric_families
from pyarrow.parquet import ParquetFile

MakeBooks = Callable[..., list[Book]]
FillRecords = Callable[[Path, list[Book]], str]
MakeToken = Callable[[str], str]

COMMAND = Path(sys.executable).with_name("bookwheel-ml")
_BOOKS = 300
_PATH = "/api/v1/ml"
pytestmark = [
    pytest.mark.timeout(600),  # MLflow's import takes minutes on a busy machine
]


@dataclass
class Suite:
    folder: Path
    redis_url: str
    jwks_url: str
    base_url: str
    records_url: str
    token: MakeToken = field(repr=False)

    @property
    def registry_uri(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.sqlite'}"

    def environment(self, port: int) -> dict[str, str]:
        return {
            "BOOKWHEEL_STATE_DIR": str(self.folder),
            "BOOKWHEEL_PORT": str(port),
            "BOOKWHEEL_REDIS_URL": self.redis_url,
            "BOOKWHEEL_DATABASE_URL": self.records_url,
            "MLFLOW_TRACKING_URI": self.registry_uri,
            "BOOKWHEEL_JWKS_URL": self.jwks_url,
            "BOOKWHEEL_CHAMPION_POLL_SECONDS": "0.2",
            "BOOKWHEEL_FOREST_TREES": "20",
        }

    def client(self, scope: str = "ml:predict") -> httpx.Client:
        return httpx.Client(
            base_url=self.base_url + _PATH, headers={"Authorization": f"Bearer {self.token(scope)}"}, timeout=30
        )

    def train(self) -> dict[str, Any]:
        """Requests a training run and waits for its end."""
        with self.client("admin") as admin:
            response = admin.post("/training-runs")
            assert response.status_code == 202, response.text
            assert response.json()["state"] == "queued"
            path = response.headers["location"].removeprefix(_PATH)
            run: dict[str, Any] = {}

            def ended() -> bool:
                run.update(admin.get(path).json())
                return run["state"] in {"complete", "failed"}

            wait_until(ended, seconds=240, what="end of the training run")
        return run

    def served_version(self) -> str:
        with self.client() as client:
            response = client.post("/predictions", json={"books": [{"stock": 1}]})
        return str(response.json().get("model", {}).get("version"))


@pytest.fixture(scope="session")
def suite(
    tmp_path_factory: pytest.TempPathFactory,
    make_books: MakeBooks,
    fill_records: FillRecords,
    make_token: MakeToken,
    jwks_url: str,
) -> Iterator[Suite]:
    """A service without a model yet, on its own Redis: `served` trains one."""
    folder = tmp_path_factory.mktemp("suite")
    redis_port, port = free_port(), free_port()
    redis_url = f"redis://127.0.0.1:{redis_port}/0"
    suite = Suite(
        folder, redis_url, jwks_url, f"http://127.0.0.1:{port}", fill_records(folder, make_books(_BOOKS)), make_token
    )
    with (
        running(redis_command(redis_port, folder), log=folder / "redis.log", ready=lambda: redis_answers(redis_url)),
        running(
            [COMMAND, "serve"],
            log=folder / "service.log",
            ready=lambda: answers(f"{suite.base_url}/livez"),
            seconds=180,
            environment=suite.environment(port),
        ),
        running([COMMAND, "worker"], log=folder / "trainer.log", ready=lambda: True, environment=suite.environment(0)),
    ):
        with suite.client() as client:
            _check_without_model(client)
        yield suite


def _check_without_model(client: httpx.Client) -> None:
    """Called by the fixture, because there is a model after the first training of the session."""
    for response in (client.post("/predictions", json={"books": [{"stock": 1}]}), client.get("/features")):
        _check_problem(response, 503, "unavailable")
        assert response.headers["retry-after"] == "5"


@pytest.fixture(scope="session")
def served(suite: Suite) -> Suite:
    run = suite.train()
    assert run["state"] == "complete", run
    wait_until(lambda: suite.served_version() == run["version"], seconds=180, what="first champion served")
    wait_until(lambda: answers(f"{suite.base_url}/readyz"), seconds=10, what="readiness")
    return suite


@pytest.fixture
def client(served: Suite) -> Iterator[httpx.Client]:
    with served.client() as client:
        yield client


def _check_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["trace_id"] in response.headers["traceparent"]
    return problem


def test_predictions_by_id_by_fields_and_of_an_invalid_row(client: httpx.Client) -> None:
    rows = [
        {"book_id": "demo:000001"},
        {"category": "Poetry", "price": {"amount": "9.99", "currency": "GBP"}, "description": "a luminous house"},
        {"category": "Mystery", "price": {"amount": "55", "currency": "GBP"}, "description": "a tedious road"},
        {"nonsense": True},
    ]
    response = client.post("/predictions", json={"books": rows})
    assert response.status_code == 200
    body = response.json()
    assert (body["model"]["name"], body["model"]["arm"]) == ("bookwheel-rating", "champion")
    assert body["model"]["verdict"] == "learned"
    by_id, good, poor, invalid = body["predictions"]
    assert by_id["book_id"] == "demo:000001"
    assert good["rating"] > poor["rating"] + 1
    assert good["low"] <= good["rating"] <= good["high"]
    assert invalid["error"]["code"] == "invalid_row"
    assert invalid["rating"] is None


def test_a_request_has_at_most_a_thousand_books(client: httpx.Client) -> None:
    rows = [{"book_id": f"demo:{number:06}"} for number in range(1, _BOOKS + 1)]
    rows += [{"book_id": f"demo:{number:06}"} for number in range(1, 1_001 - _BOOKS)]
    response = client.post("/predictions", json={"books": rows})
    assert [prediction["book_id"] for prediction in response.json()["predictions"]] == [row["book_id"] for row in rows]
    problem = _check_problem(client.post("/predictions", json={"books": [*rows, rows[0]]}), 400, "invalid_parameter")
    assert problem["errors"][0]["field"] == "books"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b'{"books": []}',
        b'{"books": null}',
        b'{"books": {"0": {}}}',
        b'{"books": [{"stock": 1}], "model": "other"}',
        b"\xff\xfe",
        b"[" * 50_000,
    ],
)
def test_an_invalid_request_is_a_400_problem(client: httpx.Client, body: bytes) -> None:
    response = client.post("/predictions", content=body, headers={"Content-Type": "application/json"})
    _check_problem(response, 400, "invalid_parameter")


def test_unknown_parameters_methods_and_paths_are_problems(client: httpx.Client) -> None:
    problem = _check_problem(client.get("/models", params={"page": 2}), 400, "invalid_parameter")
    assert problem["errors"][0]["field"] == "page"
    _check_problem(client.get("/predictions"), 405, "method_not_allowed")
    _check_problem(client.get("/nothing"), 404, "not_found")
    _check_problem(client.get("/models/99999"), 404, "not_found")
    _check_problem(client.get("/models/champion"), 400, "invalid_parameter")
    _check_problem(client.get("/models", params={"cursor": "bm9uc2Vuc2U"}), 400, "invalid_cursor")
    _check_problem(client.get("/training-data", params={"limit": 0}), 400, "invalid_parameter")
    _check_problem(httpx.get(str(client.base_url.copy_with(path="/"))), 404, "not_found")


def test_metrics_include_bentomls_and_have_no_undeclared_path_as_label(served: Suite, client: httpx.Client) -> None:
    client.post("/predictions", json={"books": [{"stock": 1}]})
    for path in ("/nothing/here", "/models/1", "/nothing/there"):
        client.get(path)
    text = httpx.get(f"{served.base_url}/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {"bookwheel_http_requests", "process_resident_memory_bytes"} <= families.keys()
    samples = families["bentoml_service_request"].samples
    labels = {sample.labels["endpoint"] for sample in samples}
    assert f"{_PATH}/predictions" in labels
    assert "/other" in labels
    assert not [label for label in labels if "nothing" in label or "models/" in label]
    assert {sample.labels["service_name"] for sample in samples} == {"bookwheel_ml"}
    assert families["bentoml_service_request_duration_seconds"].samples


def test_bentoml_answers_health_and_nothing_else(served: Suite) -> None:
    for path in ("/livez", "/readyz", "/healthz"):
        assert httpx.get(served.base_url + path).status_code == 200
    for path in ("/schema.json", "/docs.json", "/other"):
        _check_problem(httpx.get(served.base_url + path), 404, "not_found")


def test_every_route_needs_a_token_with_its_scope(served: Suite) -> None:
    routes = [
        ("POST", "/predictions", "catalog:read"),
        ("GET", "/models", "catalog:read"),
        ("GET", "/models/1", "catalog:read"),
        ("GET", "/features", "catalog:read"),
        ("GET", "/training-data", "catalog:read"),
        ("POST", "/training-runs", "ml:predict"),
        ("GET", "/training-runs/x", "ml:predict"),
    ]
    for method, path, scope in routes:
        body = {"books": [{"stock": 1}]} if path == "/predictions" else None
        anonymous = httpx.request(method, served.base_url + _PATH + path, json=body)
        _check_problem(anonymous, 401, "unauthenticated")
        with served.client(scope) as client:
            _check_problem(client.request(method, path, json=body), 403, "forbidden")


def test_predictions_are_published_with_the_trace_of_their_request(served: Suite) -> None:
    trace_id = os.urandom(16).hex()
    with served.client() as client:
        response = client.post(
            "/predictions",
            json={"books": [{"book_id": "demo:000002"}, {"nope": 1}]},
            headers={"traceparent": f"00-{trace_id}-{'1' * 16}-01"},
        )
    prediction = response.json()["predictions"][0]
    assert trace_id in response.headers["traceparent"]
    reader = StreamReader(connect_redis(served.redis_url), PREDICTION_STREAM, group=trace_id, consumer="test")

    def read_records() -> list[PredictionRecord]:
        records = [PredictionRecord.model_validate_json(entry.body) for entry in reader.read(100_000)]
        return [record for record in records if trace_id in record.traceparent]

    records: list[PredictionRecord] = []

    def arrived() -> bool:
        records.extend(read_records())
        return bool(records)

    wait_until(arrived, seconds=10, what="the prediction's record")
    (record,) = records
    assert (record.prediction_id, record.rating) == (prediction["prediction_id"], prediction["rating"])
    assert (record.book_id, record.subject) == ("demo:000002", "user:1")

    def logged() -> bool:  # lines are written in batches
        return any(trace_id in line and '"/api/v1/ml/predictions"' in line for line in _log_lines(served))

    wait_until(logged, seconds=5, what="the request's line in the log")


def _log_lines(suite: Suite) -> list[str]:
    return (suite.folder / "service.log").read_text().splitlines()


def test_models_have_their_evaluation_and_are_paged(served: Suite, client: httpx.Client) -> None:
    newest = int(served.train()["version"])
    page = client.get("/models", params={"limit": 1}).json()
    assert page["total"] == {"value": newest, "relation": "eq"}
    assert page["items"][0]["version"] == str(newest)
    report = page["items"][0]["report"]
    assert report["verdict"] == "learned"
    assert report["model"]["rmse"] < report["baselines"]["mean"]["rmse"]
    following = client.get("/models", params={"limit": 1, "cursor": page["next"]}).json()
    assert following["items"][0]["version"] == str(newest - 1)
    assert client.get(f"/models/{newest}").json() == page["items"][0]


def test_features_are_those_of_the_champion_with_their_importance(client: httpx.Client) -> None:
    feature_set = client.get("/features").json()
    importances = {feature["name"]: feature["importance"] for feature in feature_set["features"]}
    assert sum(importances.values()) == pytest.approx(1)
    assert {"price", "stock", "category=Poetry", "word=luminous", "word=tedious"} <= set(importances)


def test_training_data_is_the_same_as_json_pages_csv_and_parquet(client: httpx.Client) -> None:
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        parameters = {"limit": "70", **({"cursor": cursor} if cursor else {})}
        page = client.get("/training-data", params=parameters).json()
        rows += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(rows) == _BOOKS
    assert rows[0]["price"].keys() == {"amount", "currency"}

    text = client.get("/training-data", headers={"Accept": "text/csv"})
    assert text.headers["content-type"].startswith("text/csv")
    from_csv = list(csv.DictReader(io.StringIO(text.text, newline="")))
    assert [row["book_id"] for row in from_csv] == [row["book_id"] for row in rows]

    parquet = client.get("/training-data", headers={"Accept": "application/vnd.apache.parquet"})
    table = ParquetFile(io.BytesIO(parquet.content), pre_buffer=False).read(use_threads=False).to_pylist()
    assert [(row["book_id"], row["rating"], row["split"]) for row in table] == [
        (row["book_id"], row["rating"], row["split"]) for row in rows
    ]
    assert client.get("/training-data").headers["vary"] == "Accept"
    _check_problem(client.get("/training-data", headers={"Accept": "text/html"}), 406, "not_acceptable")
    csv_page = client.get("/training-data", params={"limit": 5}, headers={"Accept": "text/csv"})
    _check_problem(csv_page, 400, "invalid_parameter")


def test_a_new_champion_is_served_without_a_restart(served: Suite) -> None:
    before = served.served_version()
    run = served.train()
    assert (run["alias"], run["verdict"], run["attempts"]) == ("champion", "learned", 1)
    assert run["version"] != before
    wait_until(lambda: served.served_version() == run["version"], seconds=60, what="new champion served")
    trace_id = run["traceparent"].split("-")[1]
    log = (served.folder / "trainer.log").read_text().splitlines()
    assert any(trace_id in line and "model registered" in line for line in log)
    with served.client("admin") as admin:
        _check_problem(admin.get("/training-runs/unknown"), 404, "not_found")


def test_a_restarted_service_predicts_without_its_registry(served: Suite) -> None:
    port = free_port()
    environment = {**served.environment(port), "MLFLOW_TRACKING_URI": "sqlite:////proc/nowhere/mlflow.sqlite"}
    url = f"http://127.0.0.1:{port}"
    with running(
        [COMMAND, "serve"],
        log=served.folder / "restarted.log",
        ready=lambda: answers(f"{url}/readyz"),
        seconds=180,
        environment=environment,
    ) as server:
        headers = {"Authorization": f"Bearer {served.token('ml:predict')}"}
        body = {"books": [{"book_id": "demo:000001"}]}
        assert httpx.post(f"{url}{_PATH}/predictions", json=body, headers=headers).json()["predictions"][0]["rating"]
        server.process.terminate()
        server.process.wait(timeout=20)
    assert "Application shutdown complete" in (served.folder / "restarted.log").read_text()


def test_a_service_that_starts_without_keys_is_ready_once_they_are_available(served: Suite) -> None:
    port = free_port()
    with serving_site() as site:
        url = f"http://127.0.0.1:{port}"
        with running(
            [COMMAND, "serve"],
            log=served.folder / "keyless.log",
            ready=lambda: answers(f"{url}/livez"),
            seconds=180,
            environment={**served.environment(port), "BOOKWHEEL_JWKS_URL": f"{site.url}jwks.json"},
        ):
            assert httpx.get(f"{url}/readyz").status_code == 503
            site.pages["/jwks.json"] = key_set()
            wait_until(lambda: answers(f"{url}/readyz"), seconds=30, what="readiness")
            headers = {"Authorization": f"Bearer {served.token('ml:predict')}"}
            assert httpx.get(f"{url}{_PATH}/features", headers=headers).status_code == 200


def test_invalid_settings_are_reported_by_name(tmp_path: Path) -> None:
    environment = {"BOOKWHEEL_STATE_DIR": str(tmp_path), "BOOKWHEEL_PORT": "http", "BOOKWHEEL_FOREST_TREES": "0"}
    server = start([COMMAND, "serve"], log=tmp_path / "log", environment=environment)
    assert server.process.wait(timeout=60) == 2
    assert {"BOOKWHEEL_PORT", "BOOKWHEEL_FOREST_TREES"} <= {word.strip(":") for word in server.log.read_text().split()}
