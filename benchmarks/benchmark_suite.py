"""A running suite for the HTTP benchmarks, its tokens, and a no-op server as a baseline."""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
from bookwheel_local.processes import suite_processes
from bookwheel_testing.servers import answers, free_port, running
from bookwheel_testing.suite_under_test import SuiteUnderTest, free_port_base

UNLIMITED = {
    "BOOKWHEEL_RATE_ADDRESS": "1000000",
    "BOOKWHEEL_RATE_SUBJECT": "1000000",
    "BOOKWHEEL_BURST_ADDRESS": "100000",
    "BOOKWHEEL_BURST_SUBJECT": "100000",
}


@contextmanager
def running_suite(*, books: int = 1000, settings: Mapping[str, str] | None = None) -> Iterator[SuiteUnderTest]:
    """Runs a suite with a crawled shop, a trained model and no effective rate limits. `settings`: more environment."""
    with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as folder:
        environment = {**UNLIMITED, **(settings or {})}
        suite = SuiteUnderTest(
            state=Path(folder) / "state", port_base=free_port_base(), books=books, settings=environment
        )
        try:
            suite.up()
            yield suite
        finally:
            suite.down()


def internal_token(suite: SuiteUnderTest) -> str:
    """Returns a token as the gateway sends it to a service. It is valid for a minute."""
    accounts = f"http://127.0.0.1:{suite.port_base + 3}"
    response = httpx.get(f"{accounts}/verify", headers={"Authorization": f"Bearer {suite.token()}"})
    response.raise_for_status()
    return response.headers["X-Internal-Token"]


def service_environment(suite: SuiteUnderTest, command: str) -> dict[str, str]:
    """Returns the settings of the suite's program whose command line contains `command`. Raises LookupError."""
    for pid in suite_processes(suite.state):
        process = Path("/proc") / str(pid)
        if command in process.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode():
            lines = process.joinpath("environ").read_bytes().decode().split("\0")
            return dict(line.split("=", 1) for line in lines if line.startswith(("BOOKWHEEL_", "MLFLOW_", "BENTOML_")))
    raise LookupError(f"no program of the suite runs {command}")


@contextmanager
def running_noop_server(suite: SuiteUnderTest) -> Iterator[str]:
    """Runs a server with a constant response and yields its URL. Its log is with the suite's logs."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    command = [sys.executable, "-m", "benchmarks.noop_server", str(port)]
    with running(command, log=suite.state / "logs" / "noop.log", ready=lambda: answers(url)):
        yield url
