"""One prediction: ONNX compared with scikit-learn, as a function call and over HTTP."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bookwheel_ml.model.features import FloatMatrix
from bookwheel_ml.model.rating_model import load_model
from bookwheel_ml.settings import MlSettings
from bookwheel_testing.servers import answers, free_port, running
from bookwheel_testing.suite_under_test import SuiteUnderTest

from benchmarks.benchmark_suite import internal_token, running_suite, service_environment
from benchmarks.harness import compare, requests_per_second, run
from benchmarks.results import Result, save
from benchmarks.sklearn_serving import fit_served_forest


def calls_per_second(call: Callable[[FloatMatrix], object], matrix: FloatMatrix, *, calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        call(matrix)
    return calls / (time.perf_counter() - started)


def compare_calls(suite: SuiteUnderTest) -> Result:
    settings = MlSettings(
        state_dir=suite.state,
        database_url=f"sqlite:///{suite.state}/data/bookwheel.sqlite",
    )
    (folder,) = settings.model_cache.glob("version-*")
    model = load_model(next(path.parent for path in Path(folder).rglob("definition.json")))
    forest = fit_served_forest(settings, model.definition.features)
    row = np.full((1, len(model.definition.importances)), 0.5, dtype=np.float32)
    return compare(
        "model call, one row",
        ours=lambda: calls_per_second(model.score, row, calls=5000),
        floor=lambda: calls_per_second(forest.predict, row, calls=50),
        bound=100,
        unit="calls/s",
    )


def compare_over_http(suite: SuiteUnderTest) -> Result:
    book = suite.get("/api/v1/books", params={"limit": "1"})["items"][0]
    facts = {name: book[name] for name in ("title", "category", "price", "stock") if name in book}
    body = json.dumps({"books": [{**facts, "description": "An unforgettable story."}]})
    script = f"""
wrk.method = "POST"
wrk.body = {json.dumps(body)}
wrk.headers["Content-Type"] = "application/json"
"""
    port = free_port()
    log = suite.state / "logs" / "sklearn-serving.log"
    environment = service_environment(suite, "bookwheel-ml serve") | {
        "BOOKWHEEL_PORT": str(port),
        "BOOKWHEEL_STATE_DIR": str(suite.state / "sklearn"),
    }
    command = [sys.executable, "-m", "benchmarks.sklearn_serving"]

    def rate(url: str) -> float:
        headers = {"Authorization": f"Bearer {internal_token(suite)}"}
        return requests_per_second(f"{url}/api/v1/ml/predictions", headers=headers, script=script)

    with running(
        command, log=log, ready=lambda: answers(f"http://127.0.0.1:{port}/readyz"), seconds=90, environment=environment
    ):
        return compare(
            "one prediction over HTTP",
            ours=lambda: rate(f"http://127.0.0.1:{suite.port_base + 2}"),
            floor=lambda: rate(f"http://127.0.0.1:{port}"),
            bound=6,
            unit="requests/s",
        )


def main(_arguments: list[str]) -> None:
    with running_suite() as suite:
        save([compare_calls(suite), compare_over_http(suite)])


if __name__ == "__main__":
    run(main)
