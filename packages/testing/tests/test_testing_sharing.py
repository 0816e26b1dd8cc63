"""All processes of a test run share one server per name until the run ends."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from bookwheel_testing.shared_servers import SharedServers, server_lookup

ANOTHER_PROCESS = """
import sys
from bookwheel_testing.shared_servers import server_lookup
print(server_lookup((sys.argv[1], sys.argv[2]))("sea"))
"""


@dataclass
class Servers:
    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    @contextmanager
    def sea(self) -> Iterator[str]:
        self.started.append("sea")
        yield f"sea {self.started.count('sea')}"
        self.stopped.append("sea")

    @contextmanager
    def broken(self) -> Iterator[str]:
        if not self.stopped:
            raise RuntimeError("it does not start")
        yield ""


@pytest.fixture
def servers() -> Servers:
    return Servers()


@pytest.fixture
def shared(servers: Servers) -> Iterator[SharedServers]:
    shared = SharedServers({"sea": servers.sea, "broken": servers.broken})
    yield shared
    shared.close()


def test_concurrent_lookups_get_one_server_that_stops_at_the_end_of_the_run(
    shared: SharedServers, servers: Servers
) -> None:
    address = shared.address()
    command = [sys.executable, "-c", ANOTHER_PROCESS, *address]
    with ThreadPoolExecutor(8) as pool:
        other_process = pool.submit(subprocess.check_output, command, text=True)
        assert set(pool.map(server_lookup(address), ["sea"] * 20)) == {"sea 1"} == {shared.get("sea")}
        assert other_process.result() == "sea 1\n"
    assert (servers.started, servers.stopped) == (["sea"], [])
    shared.close()
    assert servers.stopped == ["sea"]


def test_a_lookup_gets_the_error_of_a_server_that_does_not_start(shared: SharedServers) -> None:
    with pytest.raises(RuntimeError, match="it does not start"):
        server_lookup(shared.address())("broken")
    assert server_lookup(shared.address())("sea") == "sea 1"


def test_a_client_without_the_key_is_rejected(shared: SharedServers) -> None:
    path, _ = shared.address()
    with pytest.raises(Exception, match="digest"):
        server_lookup((path, "00"))("sea")
    assert server_lookup(shared.address())("sea") == "sea 1", "other clients are served"
