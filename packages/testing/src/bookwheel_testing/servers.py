"""Starts child processes on free loopback ports, waits until they answer, and stops them by their process id."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from redis import Redis
from redis.exceptions import RedisError


def free_port() -> int:
    """Returns an unused TCP port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Polls until `condition` holds. Raises TimeoutError with `what`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {seconds} s")
        time.sleep(0.02)


def answers(url: str) -> bool:
    """Whether an HTTP GET of `url` succeeds."""
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False


@dataclass(frozen=True, slots=True)
class Server:
    """A child process in its own process group. `log` is the file of its output."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def kill(self) -> None:
        """Sends SIGKILL to the process and its children."""
        self._signal(signal.SIGKILL)

    def stop(self, *, seconds: float = 10) -> None:
        """Sends SIGTERM, and SIGKILL after `seconds`."""
        self._signal(signal.SIGTERM, seconds=seconds)
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals, *, seconds: float = 10) -> None:
        try:
            os.killpg(self.process.pid, number)
            self.process.wait(timeout=seconds)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass


def start(command: Sequence[str | Path], *, log: Path, environment: Mapping[str, str] | None = None) -> Server:
    """Starts a command in its own process group. `environment` extends the environment of this process."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    return Server(process, log)


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    log: Path,
    ready: Callable[[], bool],
    seconds: float = 120,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Starts a server, waits until it is ready, and stops it at the end. Raises TimeoutError, RuntimeError."""
    server = start(command, log=log, environment=environment)

    def check_ready() -> bool:
        if server.process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended with {server.process.returncode}: {log.read_text()[-2000:]}")
        return ready()

    try:
        wait_until(check_ready, seconds=seconds, what=f"the start of {command[0]} (see {log})")
        yield server
    finally:
        server.stop()


def redis_command(port: int, directory: Path, *, append_only: bool = False) -> list[str]:
    durability = ["--appendonly", "yes", "--appendfsync", "always"] if append_only else ["--appendonly", "no"]
    return [
        *("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory), "--save", ""),
        *durability,
    ]


def redis_answers(url: str) -> bool:
    client = Redis.from_url(url, socket_timeout=2)
    try:
        return bool(client.ping())
    except RedisError:
        return False
    finally:
        client.close()
