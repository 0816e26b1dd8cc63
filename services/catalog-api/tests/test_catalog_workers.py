"""Tests of several server processes: same responses, common shutdown, crashes."""

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from bookwheel_testing.catalog_stores import CatalogStores
from bookwheel_testing.internal_tokens import internal_token
from bookwheel_testing.servers import Server, answers, free_port, running, start, wait_until

CATALOG = [sys.executable, "-c", "from bookwheel_catalog.cli import main; main()", "serve"]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def service(filled: CatalogStores, tmp_path: Path, port: int) -> Iterator[Server]:
    settings = {"BOOKWHEEL_PORT": str(port), "BOOKWHEEL_CATALOG_WORKERS": "2"}
    url = f"http://127.0.0.1:{port}/livez"
    with running(
        CATALOG, log=tmp_path / "log", ready=lambda: answers(url), environment={**filled.environment, **settings}
    ) as server:
        wait_until(
            lambda: server.log.read_text().count("startup complete") == 2, seconds=30, what="both workers to start"
        )
        yield server


def workers_of(server: Server) -> list[int]:
    parent = server.process.pid
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def is_port_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_workers_return_the_same_responses_and_share_log_and_metrics(service: Server, port: int) -> None:
    headers = {"Authorization": f"Bearer {internal_token()}"}
    url = f"http://127.0.0.1:{port}/api/v1/books"

    def fetch(number: int) -> str:
        response = httpx.get(url, params={"q": "moon", "filter": f"stock:0..{100 + number % 50}"}, headers=headers)
        assert response.status_code == 200
        return response.text

    with ThreadPoolExecutor(16) as executor:
        assert len(set(executor.map(fetch, range(300)))) == 1
    line = 'bookwheel_http_requests_total{method="GET",route="/api/v1/books",status="200"} 300.0'
    assert all(line in httpx.get(f"http://127.0.0.1:{port}/metrics").text for _ in range(5)), (
        "every worker returns the metrics of all workers"
    )
    workers = workers_of(service)
    service.stop()
    assert service.process.returncode == 0
    assert len(workers) == 2
    assert not any(map(is_running, workers))
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    assert sum(line["event"] == "request" for line in lines) == 300


def test_workers_exit_when_their_parent_is_killed(service: Server, port: int) -> None:
    workers = workers_of(service)
    os.kill(service.process.pid, signal.SIGKILL)
    service.process.wait(timeout=10)
    # a worker may hold the port for a moment longer
    wait_until(
        lambda: not any(map(is_running, workers)) and not is_port_open(port), seconds=5, what="all workers to exit"
    )


def test_service_exits_when_a_worker_exits(service: Server, port: int) -> None:
    killed, other = workers_of(service)
    os.kill(killed, signal.SIGKILL)
    assert service.process.wait(timeout=20) == signal.SIGKILL
    assert not is_running(other)
    assert not is_port_open(port)
    assert "worker exited unexpectedly" in service.log.read_text()


def test_used_port_is_an_error(service: Server, filled: CatalogStores, tmp_path: Path, port: int) -> None:
    settings = {"BOOKWHEEL_PORT": str(port), "BOOKWHEEL_CATALOG_WORKERS": "2"}
    second = start(CATALOG, log=tmp_path / "second", environment={**filled.environment, **settings})
    assert second.process.wait(timeout=30) != 0
    assert "in use" in second.log.read_text()
