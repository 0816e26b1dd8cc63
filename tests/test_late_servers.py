"""Every program waits until PostgreSQL and Redis are available, and ends immediately after a permanent error.

See services/catalog-api/tests/test_catalog_engines.py for Elasticsearch.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from bookwheel_stores.heartbeats import list_services
from bookwheel_stores.streams import connect_redis
from bookwheel_testing.engines import Postgres, require_cluster_engines, running_postgres
from bookwheel_testing.servers import (
    Server,
    answers,
    free_port,
    redis_answers,
    redis_command,
    running,
    start,
    wait_until,
)
from redis import Redis

BIN = Path(sys.prefix) / "bin"
PROGRAMS = ("accounts serve", "catalog serve", "ml serve", "ml worker", "processor beat", "scraper serve")
WORKER = "processor worker"
WAIT_SECONDS = 8.0


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    require_cluster_engines()
    ports = {name: free_port() for name in ("postgres", "redis", "accounts", "catalog", "ml")}
    key = tmp_path / "keys" / "signing.pem"
    subprocess.run([BIN / "bookwheel-accounts", "keygen", key], check=True, stdout=subprocess.DEVNULL)
    return {
        "BOOKWHEEL_DATABASE_URL": Postgres(ports["postgres"]).url(),
        "BOOKWHEEL_REDIS_URL": f"redis://127.0.0.1:{ports['redis']}/0",
        "BOOKWHEEL_SEARCH_URL": f"tantivy://{tmp_path / 'index'}",
        "BOOKWHEEL_JWKS_URL": f"http://127.0.0.1:{ports['accounts']}/.well-known/jwks.json",
        "BOOKWHEEL_STATE_DIR": str(tmp_path),
        "BOOKWHEEL_SIGNING_KEY_FILE": str(key),
        "BENTOML_HOME": str(tmp_path / "bentoml"),
        **{f"PORT_OF_{name}": str(port) for name, port in ports.items()},
    }


@dataclass
class Programs:
    environment: Mapping[str, str]
    folder: Path
    started: dict[str, Server] = field(default_factory=dict)

    def start(self, program: str) -> None:
        service, verb = program.split()
        port_setting = {"BOOKWHEEL_PORT": self.environment.get(f"PORT_OF_{service}", "8099")}
        log = self.folder / f"{service}-{verb}.log"
        self.started[program] = start(
            [BIN / f"bookwheel-{service}", verb], log=log, environment={**self.environment, **port_setting}
        )

    def ended(self) -> dict[str, str]:
        """Returns the end of the log of each program that has ended."""
        names = [name for name, server in self.started.items() if server.process.poll() is not None]
        return {name: self.started[name].log.read_text()[-1500:] for name in names}

    def restart_if_ended(self, program: str) -> None:
        if program in self.ended():
            self.start(program)

    def stop(self) -> None:
        for server in self.started.values():
            server.stop()


@contextmanager
def servers(environment: Mapping[str, str], folder: Path) -> Iterator[Redis]:
    redis_port, redis_url = int(environment["PORT_OF_redis"]), environment["BOOKWHEEL_REDIS_URL"]
    redis = redis_command(redis_port, folder)
    with (
        running(redis, log=folder / "redis.log", ready=lambda: redis_answers(redis_url)),
        running_postgres(port=int(environment["PORT_OF_postgres"])),
        connect_redis(redis_url) as connection,
    ):
        yield connection


def test_every_program_waits_for_servers_that_start_late(environment: dict[str, str], tmp_path: Path) -> None:
    programs = Programs(environment, tmp_path)
    migrations = ("processor migrate", "accounts migrate")
    try:
        for program in (*PROGRAMS, WORKER, *migrations):
            programs.start(program)
        time.sleep(WAIT_SECONDS)
        assert programs.ended() == {}
        with servers(environment, tmp_path) as redis:
            for program in migrations:
                assert programs.started.pop(program).process.wait(60) == 0

            def is_ready(name: str) -> bool:
                programs.restart_if_ended(WORKER)  # it ends if the database has no tables yet
                return any(service.ready for service in list_services(redis) if service.name == name)

            for service, path in (("accounts", "/readyz"), ("catalog", "/readyz"), ("ml", "/livez")):
                url = f"http://127.0.0.1:{environment[f'PORT_OF_{service}']}{path}"
                wait_until(partial(answers, url), seconds=90, what=f"{url} ready")
            wait_until(lambda: is_ready("processor-worker"), seconds=90, what="a heartbeat of the worker")
            wait_until(lambda: is_ready("scraper"), seconds=90, what="a heartbeat")
            queue = "bookwheel-trainer:_kombu.binding.training"
            wait_until(lambda: bool(redis.exists(queue)), seconds=60, what="the trainer at its queue")
            assert set(programs.ended()) <= {WORKER}
    finally:
        programs.stop()


@pytest.mark.parametrize("program", ["accounts migrate", "processor worker", "processor migrate"])
def test_a_wrong_password_ends_a_program_immediately_with_the_reason(
    program: str, postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.url().replace("for-tests", "wrong")
    service, verb = program.split()
    result = subprocess.run(
        [BIN / f"bookwheel-{service}", verb],
        env={"BOOKWHEEL_DATABASE_URL": url, "BOOKWHEEL_STATE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode in {1, 3}
    assert "password authentication failed" in result.stderr
    assert "Traceback" not in result.stderr
    assert "wrong" not in result.stderr
