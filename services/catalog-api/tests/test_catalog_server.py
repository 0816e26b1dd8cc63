"""Tests of the service as a process: settings, health, an unavailable Redis."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
from bookwheel_stores.cache import Generation
from bookwheel_stores.streams import connect_redis
from bookwheel_testing.catalog_stores import CatalogStores
from bookwheel_testing.internal_tokens import internal_token
from bookwheel_testing.servers import answers, free_port, redis_answers, redis_command, running, start

CATALOG = [sys.executable, "-c", "from bookwheel_catalog.cli import main; main()", "serve"]


def test_service_stays_available_without_redis(filled: CatalogStores, tmp_path: Path) -> None:
    redis_port, port, log = free_port(), free_port(), tmp_path / "catalog.log"
    redis_url, base = f"redis://127.0.0.1:{redis_port}/0", f"http://127.0.0.1:{port}"
    environment = {**filled.environment, "BOOKWHEEL_REDIS_URL": redis_url, "BOOKWHEEL_PORT": str(port)}
    redis = redis_command(redis_port, tmp_path)
    headers = {"Authorization": f"Bearer {internal_token()}"}
    with (
        running(CATALOG, log=log, ready=lambda: answers(f"{base}/livez"), environment=environment),
        httpx.Client(base_url=base, headers=headers, timeout=10) as client,
    ):
        unready = client.get("/readyz")
        assert (unready.status_code, unready.json()["checks"]["records"]) == (503, "ok")
        uncached = client.get("/api/v1/books?q=moon")
        assert (uncached.status_code, "etag" in uncached.headers) == (200, False)
        assert client.get("/api/v1/sources").status_code == 503
        with running(redis, log=tmp_path / "redis.log", ready=lambda: redis_answers(redis_url)):
            with connect_redis(redis_url) as connection:
                Generation(connection).advance()
            assert client.get("/readyz").status_code == 200
            assert client.get("/api/v1/books?q=moon").json() == uncached.json()
        assert client.get("/api/v1/books?q=moon").json() == uncached.json()
        assert "server" not in client.get("/livez").headers
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["service"] for line in lines} == {"catalog-api"}
    assert [line["status"] for line in lines if line["event"] == "request"].count(200) == 3


def test_error_names_missing_and_invalid_settings(tmp_path: Path) -> None:
    server = start(CATALOG, log=tmp_path / "log", environment={"BOOKWHEEL_PORT": "none"})
    assert server.process.wait(timeout=30) == 2
    log = (tmp_path / "log").read_text()
    assert "setting BOOKWHEEL_DATABASE_URL" in log
    assert "setting BOOKWHEEL_PORT" in log


def test_importing_the_app_needs_no_settings() -> None:
    subprocess.run([sys.executable, "-c", "import bookwheel_catalog.app, bookwheel_catalog.cli"], check=True, env={})
