"""The live change feed through the real gateway while programs are killed: each change arrives once and in order."""

import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from bookwheel_stores.records import connect_database, upgrade_database
from bookwheel_stores.streams import announce_changes, connect_redis
from bookwheel_testing.feed_writer import FeedWriter
from bookwheel_testing.servers import Server, answers, free_port, redis_answers, redis_command, start, wait_until
from bookwheel_testing.sse_client import SseClient, read_events, wait_for
from redis.exceptions import RedisError

from tools.documentation import errors

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = Path(sys.executable).parent
PASSWORD = "a wheel of open books"


@dataclass
class Live:
    """Accounts, catalog API, Redis and gateway. Each program can be killed and restarted."""

    folder: Path
    ports: dict[str, int]
    environment: dict[str, str]
    servers: dict[str, Server] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['gateway']}"

    @property
    def redis_url(self) -> str:
        return f"redis://127.0.0.1:{self.ports['redis']}/0"

    def start(self, name: str) -> None:
        command, ready = self._program(name)
        environment = {**self.environment, "BOOKWHEEL_PORT": str(self.ports.get(name, 0))}
        self.servers[name] = start(command, log=self.folder / f"{name}.log", environment=environment)
        wait_until(ready, seconds=120, what=f"{name} ready (see {self.folder / name}.log)")

    def _program(self, name: str) -> tuple[list[str], Callable[[], bool]]:
        url = f"http://127.0.0.1:{self.ports.get(name)}"
        if name == "redis":
            return [*redis_command(self.ports["redis"], self.folder)], lambda: redis_answers(self.redis_url)
        if name in {"worker", "beat"}:
            return [str(SCRIPTS / "bookwheel-processor"), name], lambda: True
        if name == "gateway":
            command = ["nginx", "-e", "stderr", "-c", str(self.folder / "nginx" / "nginx.conf")]
            return command, lambda: answers(f"{url}/livez")
        return [str(SCRIPTS / f"bookwheel-{name}"), "serve"], lambda: answers(f"{url}/livez")

    def kill(self, name: str) -> None:
        self.servers.pop(name).kill()

    def login(self) -> dict[str, str]:
        body = {"email": "reader@example.com", "password": PASSWORD}
        httpx.post(f"{self.url}/api/v1/auth/register", json=body, timeout=30)
        response = httpx.post(f"{self.url}/api/v1/auth/login", json=body, timeout=30)
        return {"Authorization": f"Bearer {response.raise_for_status().json()['access_token']}"}

    def announce(self, sequence: int) -> None:
        try:
            with connect_redis(self.redis_url, timeout=1) as redis:
                announce_changes(redis, sequence)
        except RedisError:
            pass  # the stream polls every second


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("live")
    ports = {name: free_port() for name in ("redis", "accounts", "catalog", "gateway", "routes")}
    environment = {
        "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin",
        "BOOKWHEEL_DATABASE_URL": f"sqlite:///{folder}/bookwheel.sqlite",
        "BOOKWHEEL_SEARCH_URL": f"tantivy://{folder}/index",
        "BOOKWHEEL_REDIS_URL": f"redis://127.0.0.1:{ports['redis']}/0",
        "BOOKWHEEL_JWKS_URL": f"http://127.0.0.1:{ports['accounts']}/.well-known/jwks.json",
        "BOOKWHEEL_SIGNING_KEY_FILE": str(folder / "keys" / "signing.pem"),
        "BOOKWHEEL_CATALOG_URL": f"http://127.0.0.1:{ports['catalog']}",
        "BOOKWHEEL_VERIFY_CACHE_SECONDS": "1",
        "BOOKWHEEL_STREAM_SECONDS": "4",
        "BOOKWHEEL_STATE_DIR": str(folder),
        "BOOKWHEEL_WEBHOOK_PRIVATE_ADDRESSES": "allow",
    }
    for arguments in (["keygen", environment["BOOKWHEEL_SIGNING_KEY_FILE"]], ["migrate"]):
        command = [str(SCRIPTS / "bookwheel-accounts"), *arguments]
        subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True)
    values = {
        "ROUTES_LISTEN": f"127.0.0.1:{ports['routes']}",
        "ACCOUNTS_ADDRESS": f"127.0.0.1:{ports['accounts']}",
        "CATALOG_ADDRESS": f"127.0.0.1:{ports['catalog']}",
        "GATEWAY_ACCESS_LOG": str(folder / "access.log"),
        "GATEWAY_WORKERS": "1",
        "SERVICE_TIMEOUT": "3",
    }
    render = [sys.executable, str(ROOT / "gateway" / "render.py"), str(folder / "nginx")]
    render += [
        "--port-base",
        str(ports["gateway"]),
        "--run-dir",
        str(folder),
        *(f"BOOKWHEEL_{name}={value}" for name, value in values.items()),
    ]
    subprocess.run(render, check=True, capture_output=True)
    engine = connect_database(environment["BOOKWHEEL_DATABASE_URL"])
    upgrade_database(engine)
    engine.dispose()
    live = Live(folder, ports, environment)
    try:
        for name in ("redis", "accounts", "catalog", "gateway"):
            live.start(name)
        yield live
    finally:
        for server in live.servers.values():
            server.stop()


@pytest.fixture(scope="module")
def feed(live: Live) -> Iterator[FeedWriter]:
    engine = connect_database(live.environment["BOOKWHEEL_DATABASE_URL"])
    yield FeedWriter(engine)
    engine.dispose()


def head_of(live: Live, headers: dict[str, str]) -> int:
    response = httpx.get(f"{live.url}/api/v1/changes?after=latest", headers=headers, timeout=30)
    return int(response.raise_for_status().json()["next"])


def test_the_gateway_forwards_events_without_delay(live: Live, feed: FeedWriter) -> None:
    """The gateway does not buffer events, and its request timeout does not apply to streams."""
    headers = live.login()
    position = head_of(live, headers)
    url = f"{live.url}/api/v1/changes/stream?after={position}"
    with httpx.stream("GET", url, headers=headers, timeout=20) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        events = read_events(response.iter_lines())
        assert next(events).id == str(position)
        for number in range(3):
            written_at = time.monotonic()
            live.announce(feed.add(f"passing-{number}"))
            assert next(events).id == str(position + number + 1)
            assert time.monotonic() - written_at < 3
            time.sleep(0.4)


@pytest.mark.parametrize("victim", ["catalog", "redis", "gateway", "accounts"])
def test_kills_during_a_stream_lose_and_duplicate_nothing(victim: str, live: Live, feed: FeedWriter) -> None:
    rng = random.Random(victim)
    headers = live.login()
    start = head_of(live, headers)
    head = start
    with SseClient(f"{live.url}/api/v1/changes/stream?after={start}", headers) as listener:
        for kill in range(2):
            for number in range(rng.randrange(5, 15)):
                head = feed.add(*(f"{victim}-{kill}-{number}-{index}" for index in range(rng.randrange(1, 8))))
                live.announce(head)
                time.sleep(rng.uniform(0, 0.05))
            live.kill(victim)
            for number in range(5):
                head = feed.add(f"{victim}-{kill}-stopped-{number}")
                live.announce(head)
                time.sleep(0.05)
            live.start(victim)
        head = feed.add(f"{victim}-last")
        live.announce(head)
        wait_for(listener, head, seconds=90)
    assert listener.sequences == list(range(start + 1, head + 1))
    if victim in {"catalog", "gateway"}:
        assert listener.connections >= 3


def test_a_stream_ends_soon_after_the_logout(live: Live, feed: FeedWriter) -> None:
    """A stream ends after 4 s here. A client without a valid login cannot reconnect."""
    headers = live.login()
    with SseClient(f"{live.url}/api/v1/changes/stream?after=latest", headers) as listener:
        wait_until(lambda: listener.connections > 0, seconds=30, what="the stream")
        assert httpx.post(f"{live.url}/api/v1/auth/logout", headers=headers, timeout=30).is_success
        wait_until(lambda: "HTTPStatusError" in listener.failures, seconds=30, what="the rejection")
        received = len(listener.changes)
        live.announce(feed.add("after-the-logout"))
        time.sleep(2.5)
        assert len(listener.changes) == received


def test_the_commands_of_the_how_to_succeed(live: Live, feed: FeedWriter, tmp_path: Path) -> None:
    """The document's commands run in a folder with its programs, against this suite."""
    feed.add(*(f"how-to-{number}" for number in range(5)))
    live.start("worker")
    live.start("beat")
    path = ROOT / "docs" / "how-to" / "follow-changes.md"
    token = live.login()["Authorization"].removeprefix("Bearer ")
    port = str(free_port())
    replacements = {
        "$(make -s token)": token,
        "127.0.0.1:8080": live.url.removeprefix("http://"),
        "127.0.0.1:9000": f"127.0.0.1:{port}",
        '"127.0.0.1", 9000': f'"127.0.0.1", {port}',
    }
    document = path.read_text()
    for old, new in replacements.items():
        document = document.replace(old, new)
    for name, code in re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", document, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(code)
    environment = {**os.environ, "PATH": f"{SCRIPTS}:{os.environ['PATH']}"}
    assert errors(path, folder=tmp_path, environment=environment, replacements=replacements) == []
    assert (tmp_path / "receiver.log").exists()
    for name in ("worker", "beat"):
        live.servers.pop(name).stop()
