"""A suite for tests and benchmarks, started as by `make up` on free ports."""

import html
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from bookwheel_local.engine_selection import select_engines
from bookwheel_local.environment import suite_environment
from bookwheel_local.layout import Layout, Ports
from bookwheel_local.secrets import Secrets
from bookwheel_local.settings import LocalSettings
from bookwheel_local.supervisor import Supervisor
from bookwheel_stores.records import connect_database, read_connection
from sqlalchemy import Engine, text

from bookwheel_testing.servers import answers, free_port, running, wait_until

PORTS_PER_SUITE = 15
COMMAND = Path(sys.prefix) / "bin" / "bookwheel-local"
FINAL_STATES = frozenset({"complete", "partial", "failed", "held", "cancelled"})


def free_port_base() -> int:
    """Returns the first of fifteen consecutive unused loopback ports."""
    for base in range(21000 + (os.getpid() % 500) * PORTS_PER_SUITE, 30000, PORTS_PER_SUITE):
        sockets = [socket.socket() for _ in range(PORTS_PER_SUITE)]
        try:
            for offset, probe in enumerate(sockets):
                probe.bind(("127.0.0.1", base + offset))
        except OSError:
            continue
        else:
            return base
        finally:
            for probe in sockets:
                probe.close()
    raise RuntimeError("no fifteen consecutive ports are free")


@dataclass
class SuiteUnderTest:
    """A suite and a client of its API that logs in as the demo user.

    `checkout` is the folder of another version with its own environment; None for the installed version.
    """

    state: Path
    port_base: int
    books: int
    settings: Mapping[str, str] = field(default_factory=dict)
    engines: str = "embedded"
    lake: str = "folder"
    checkout: Path | None = None
    up_output: str = ""
    shop_day: int = 0
    _token: str = ""
    _token_until: float = 0.0
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60))  # creating it takes 20 ms

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port_base}"

    @property
    def shop_url(self) -> str:
        return f"http://127.0.0.1:{self.port_base + 5}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "BOOKWHEEL_STATE_DIR": str(self.state),
            "BOOKWHEEL_PORT_BASE": str(self.port_base),
            "BOOKWHEEL_DEMO_BOOKS": str(self.books),
            "BOOKWHEEL_ENGINES": self.engines,
            "BOOKWHEEL_LAKE": self.lake,
            **self.settings,
        }

    @cached_property
    def program_environment(self) -> dict[str, str]:
        """The environment of the suite's programs: URLs of records, index and Redis."""
        folders = {"state_dir": self.state, "port_base": self.port_base}
        settings = LocalSettings.model_validate(folders | {"engines": self.engines, "lake": self.lake})
        return suite_environment(self.layout, settings, select_engines(settings), Secrets(self.layout.secrets))

    @property
    def layout(self) -> Layout:
        return Layout(self.state, Ports.from_base(self.port_base))

    @property
    def supervisor(self) -> Supervisor:
        return Supervisor(self.layout)

    def rows(self, query: str, **parameters: object) -> list[tuple[Any, ...]]:
        """Returns the rows of a query on the records, with `:named` parameters."""
        with read_connection(self._records) as connection:
            return [tuple(row) for row in connection.execute(text(query), parameters)]

    @cached_property
    def _records(self) -> Engine:
        return connect_database(self.program_environment["BOOKWHEEL_DATABASE_URL"])

    def run_local_command(self, *arguments: str, seconds: float = 580) -> str:
        """Runs `bookwheel-local` and returns its output. Raises AssertionError if it fails."""
        command = COMMAND if self.checkout is None else self.checkout / ".venv" / "bin" / COMMAND.name
        process = subprocess.run(
            [command, *arguments],
            cwd=self.checkout,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert process.returncode == 0, f"bookwheel-local {' '.join(arguments)}:\n{process.stdout}\n{process.stderr}"
        return process.stdout

    def up(self) -> None:
        self.up_output = self.run_local_command("up")

    def disconnect(self) -> None:
        """Closes the connections to the records."""
        if "_records" in vars(self):
            self._records.dispose()
            del self._records

    def down(self) -> None:
        self.disconnect()
        self._http.close()
        self._http = httpx.Client(timeout=60)
        self.run_local_command("down")

    def token(self) -> str:
        if time.monotonic() > self._token_until:
            self._token = self._new_token()
            self._token_until = time.monotonic() + 240
        return self._token

    def _new_token(self) -> str:
        return self.run_local_command("token").strip()

    def discard_token(self) -> None:
        """Makes the next request log in, because issued tokens are no longer valid."""
        self._token_until = 0.0

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token()}", **options.pop("headers", {})}
        return self._http.request(method, self.url + path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> Any:
        response = self.request("GET", path, **options)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, path: str, body: object, status: int = 200, **options: Any) -> Any:
        response = self.request("POST", path, json=body, **options)
        assert response.status_code == status, response.text
        return response.json()

    def wait_until_ok(self, *, seconds: float = 60) -> Any:
        """Returns `/api/v1/status` when it is `ok`. Raises AssertionError with its faults."""
        deadline = time.monotonic() + seconds
        while (status := self.get("/api/v1/status"))["status"] != "ok":
            assert time.monotonic() < deadline, status["faults"]
            time.sleep(1)
        return status

    def start_crawl(self, source: str = "demo", start_url: str | None = None, **options: Any) -> str:
        body = {"source": source} | ({"start_url": start_url} if start_url else {})
        return str(self.post("/api/v1/crawls", body, 202, **options)["id"])

    def wait_for_crawl(self, run_id: str, *, seconds: float = 240) -> dict[str, Any]:
        """Returns the run when it is held, or has ended and its changes are searchable."""
        run: dict[str, Any] = {}

        def has_ended() -> bool:
            try:
                run.update(self.get(f"/api/v1/crawls/{run_id}"))
            except (httpx.HTTPError, AssertionError):  # killed programs are restarted
                return False
            return run["state"] == "held" or (run["state"] in FINAL_STATES and run["searchable"])

        wait_until(has_ended, seconds=seconds, what=f"the end of crawl {run_id}")
        return run

    def crawl(self, source: str = "demo", start_url: str | None = None) -> dict[str, Any]:
        return self.wait_for_crawl(self.start_crawl(source, start_url))

    def train_model(self, *, seconds: float = 600, **options: Any) -> None:
        """Trains a model. Raises AssertionError if the training fails."""
        run_id = self.post("/api/v1/ml/training-runs", {}, 202, **options)["id"]
        run: dict[str, Any] = {}

        def has_ended() -> bool:
            run.update(self.get(f"/api/v1/ml/training-runs/{run_id}"))
            return run["state"] not in {"queued", "running"}

        wait_until(has_ended, seconds=seconds, what=f"the end of training run {run_id}")
        assert run["state"] == "complete", run

    def books_where(self, *filters: str, **parameters: str) -> list[dict[str, Any]]:
        """Returns all matching books. Fetches all pages."""
        books: list[dict[str, Any]] = []
        query: list[tuple[str, str]] = [("filter", entry) for entry in filters]
        query += [("limit", "100"), *parameters.items()]
        cursor: str | None = None
        while True:
            page = self.get("/api/v1/books", params=query + ([("cursor", cursor)] if cursor else []))
            books += page["items"]
            cursor = page["next"]
            if cursor is None:
                return books


@contextmanager
def another_shop(folder: Path, *, books: int, seed: int) -> Iterator[str]:
    """Runs a second bookshop, which is not a source of the suite. Yields its URL."""
    port = free_port()
    command = [Path(sys.prefix) / "bin" / "bookwheel-demo-shop", "--port", port, "--books", books, "--seed", seed]
    url = f"http://127.0.0.1:{port}/"
    with running([str(part) for part in command], log=folder / "shop.log", ready=lambda: answers(url)):
        yield url


def expected_shop_books(url: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in httpx.get(f"{url.rstrip('/')}/_shop/facts", timeout=30).text.splitlines()]


def clean_title(text: str) -> str:
    """Returns a shop's title as the catalog stores it: decoded, with collapsed white space."""
    return " ".join(html.unescape(text).split())
