"""Metrics of one and of several processes, and the health server."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from bookwheel_runtime.app_factory import create_service_app
from bookwheel_runtime.health_server import HealthChecks, Progress, serve_health, stalled_check
from bookwheel_runtime.healthcheck import fetch_health
from bookwheel_runtime.metrics import count_task, metrics_page
from bookwheel_testing.servers import free_port
from fastapi import APIRouter, FastAPI
from prometheus_client.parser import text_string_to_metric_families


def samples(page: bytes | str) -> Mapping[tuple[str, frozenset[tuple[str, str]]], float]:
    text = page.decode() if isinstance(page, bytes) else page
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(page: bytes | str, name: str, **labels: str) -> float:
    return samples(page).get((name, frozenset(labels.items())), 0.0)


def label_values(page: bytes | str, label: str) -> set[str]:
    return {dict(labels)[label] for _, labels in samples(page) if label in dict(labels)}


class InProcessClient:
    """Sends requests to an app in this process."""

    def __init__(self, app: FastAPI) -> None:
        self._transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)

    def request(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://testserver") as client:
                return await client.request(method, path, headers=headers)

        return asyncio.run(send())

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return self.request("GET", path, headers)


@pytest.fixture
def client() -> InProcessClient:
    app = create_service_app(title="t", description="d", token_verifier=None, readiness={})
    router = APIRouter(prefix="/api/v1")

    @router.get("/things/{name}")
    async def thing(name: str) -> dict[str, str]:
        return {"name": name}

    @router.post("/things")
    async def broken() -> None:
        raise RuntimeError("broken")

    app.include_router(router)
    return InProcessClient(app)


def test_requests_are_counted_by_template_and_status(client: InProcessClient) -> None:
    def count(**labels: str) -> float:
        return value(client.get("/metrics").text, "bookwheel_http_requests_total", **labels)

    ours: dict[str, Any] = {"method": "GET", "route": "/api/v1/things/{name}"}
    before = count(**ours, status="200")
    for number in range(3):
        client.get(f"/api/v1/things/{number}")
    assert count(**ours, status="200") == before + 3
    assert value(client.get("/metrics").text, "bookwheel_http_request_duration_seconds_count", **ours) >= 3
    client.request("POST", "/api/v1/things")
    assert count(method="POST", route="/api/v1/things", status="500") >= 1
    client.get("/api/v1/things/1?colour=red")
    assert count(**ours, status="400") >= 1


def test_hostile_requests_create_no_new_labels(client: InProcessClient) -> None:
    client.get("/api/v1/things/1")
    client.get("/nowhere")
    client.request("BREW", "/api/v1/things/1")
    client.request("DELETE", "/api/v1/things/1")
    client.request("BREW", "/nowhere")
    page = client.get("/metrics").text
    before = {label: label_values(page, label) for label in ("route", "method", "status")}
    for number in range(50):
        client.get(f"/nowhere/{number}")
        client.get(f"/api/v1/things/{number}%22%0a?x={number}")
        client.request(f"BREW{number}", f"/api/v1/things/{number}")
        client.get("/metrics/{number}", headers={"traceparent": f"{number}"})
    page = client.get("/metrics").text
    assert {label: label_values(page, label) for label in before} | {"status": set()} == before | {"status": set()}
    assert {"OTHER", "GET"} <= before["method"]
    assert "unmatched" in before["route"]
    assert not [route for route in before["route"] if route.startswith("/nowhere")]


def test_probes_and_scrapes_are_not_counted(client: InProcessClient) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        client.get(path)
    assert label_values(client.get("/metrics").text, "route").isdisjoint({"/livez", "/readyz", "/metrics"})


def test_succeeded_and_failed_tasks_are_counted() -> None:
    with count_task("a"):
        pass
    with pytest.raises(OSError, match="unavailable"), count_task("a"):
        raise OSError("unavailable")
    page = metrics_page()
    assert value(page, "bookwheel_tasks_total", task="a", outcome="succeeded") == 1
    assert value(page, "bookwheel_tasks_total", task="a", outcome="failed") == 1
    assert value(page, "bookwheel_task_duration_seconds_count", task="a") == 2


_FORKS = """
import os, signal, sys
from bookwheel_runtime.prometheus_multiprocess import share_metrics
share_metrics(int(sys.argv[1]))
from bookwheel_runtime.metrics import count_request, metrics_page
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        for _ in range(5):
            count_request("GET", "/x", 200, 0.1)
        os.kill(os.getpid(), signal.SIGKILL)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
count_request("GET", "/x", 200, 0.1)
sys.stdout.buffer.write(metrics_page())
"""


def test_metrics_of_all_processes_are_summed_including_killed_ones(tmp_path: Path) -> None:
    def page() -> str:
        command = [sys.executable, "-c", _FORKS, "9"]
        return subprocess.run(command, env={"TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=True).stdout

    labels = {"method": "GET", "route": "/x"}
    for _ in range(2):  # the second run starts at zero
        metrics = page()
        assert value(metrics, "bookwheel_http_requests_total", status="200", **labels) == 16
        assert value(metrics, "bookwheel_http_request_duration_seconds_sum", **labels) == pytest.approx(1.6)
        assert "process_resident_memory_bytes" in metrics
    assert list(tmp_path.iterdir()) == []


def test_sharing_metrics_too_late_is_an_error() -> None:
    program = (
        "import prometheus_client\n"
        "from bookwheel_runtime.prometheus_multiprocess import share_metrics\n"
        "share_metrics(9)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "RuntimeError: prometheus_client is imported already" in result.stderr


def test_a_program_serves_its_health_on_its_own_port() -> None:
    port, failures = free_port(), {"alive": None, "ready": "the stores are unavailable"}
    server = serve_health("127.0.0.1", port, HealthChecks(lambda: failures["alive"], lambda: failures["ready"]))
    assert server is not None
    assert fetch_health(port, "/livez") == (200, '{"status": "alive"}')
    assert fetch_health(port, "/readyz") == (503, '{"status": "not ready", "reason": "the stores are unavailable"}')
    assert "bookwheel_tasks" in fetch_health(port, "/metrics")[1]
    assert fetch_health(port, "/etc/passwd")[0] == 404
    with pytest.raises(SystemExit, match=f"BOOKWHEEL_METRICS_PORT: cannot listen on 127.0.0.1:{port}"):
        serve_health("127.0.0.1", port, HealthChecks(lambda: None, lambda: None))
    server.shutdown()
    server.server_close()


def test_without_a_port_nothing_is_served() -> None:
    assert serve_health("127.0.0.1", 0, HealthChecks(lambda: None, lambda: None)) is None


def test_progress_is_shared_with_forks_and_the_check_fails_without_progress() -> None:
    progress = Progress()
    check_progress = stalled_check(progress, within=0.3)
    assert progress.age() is None
    assert check_progress() is None
    command = "from bookwheel_runtime.health_server import Progress; import os; p = Progress(); c = os.fork()\n"
    command += "p.record() if not c else (os.waitpid(c, 0), print(p.age() is not None))"
    result = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "True"
    progress.record()
    assert check_progress() is None
    time.sleep(0.4)
    assert "no progress for 0 s" in str(check_progress())
