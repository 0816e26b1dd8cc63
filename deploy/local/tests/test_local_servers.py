"""The servers of the cluster engines under a real supervisord: access, addresses, and restart after a kill."""

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import httpx
import psycopg
import pytest
from bookwheel_local.engine_selection import EngineSelection
from bookwheel_local.engines import EngineNotInstalledError
from bookwheel_local.environment import server_environment
from bookwheel_local.layout import PROCESS_MARKER, Layout, Ports
from bookwheel_local.preparation import prepare_servers
from bookwheel_local.processes import suite_processes, terminate
from bookwheel_local.programs import Program, build_server_programs
from bookwheel_local.readiness import probe, probe_all
from bookwheel_local.secrets import Secrets
from bookwheel_local.settings import EngineSet, LakeStore, LocalSettings
from bookwheel_local.supervisor import ProgramState, Supervisor, render_configuration
from bookwheel_testing.engines import skip_or_raise
from bookwheel_testing.servers import wait_until
from bookwheel_testing.suite_under_test import free_port_base

SELECTION = EngineSelection(EngineSet.CLUSTER, LakeStore.FOLDER)


@dataclass
class Servers:
    layout: Layout
    secrets: Secrets
    supervisor: Supervisor
    programs: tuple[Program, ...]

    def start(self) -> None:
        prepare_servers(self.layout, self.secrets, SELECTION)
        variables = {
            PROCESS_MARKER: str(self.layout.state_dir),
            **server_environment(self.layout, self.secrets, SELECTION),
        }
        self.supervisor.start(render_configuration(self.layout, self.programs, variables), variables)
        self.supervisor.start_programs(self.programs)
        self.wait()

    def wait(self) -> None:
        def ready() -> bool:
            return all(health.ready for health in probe_all(self.programs, self.supervisor.states()))

        wait_until(ready, seconds=240, what="the servers ready")

    def kill(self, name: str) -> None:
        pid = self.supervisor.states()[name].pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.supervisor.states()[name].pid != pid, seconds=90, what=f"{name} started again")
        self.wait()

    @property
    def database_url(self) -> str:
        url = server_environment(self.layout, self.secrets, SELECTION)["BOOKWHEEL_DATABASE_URL"]
        return url.replace("postgresql+psycopg", "postgresql")

    @property
    def search_url(self) -> str:
        return f"http://127.0.0.1:{self.layout.ports.elasticsearch}"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers whose folder only this user can enter."""
    layout = Layout(tmp_path_factory.mktemp("servers") / "state", Ports.from_base(free_port_base()))
    layout.create_folders()
    try:
        programs = build_server_programs(layout, LocalSettings(state_dir=layout.state_dir), SELECTION)
    except EngineNotInstalledError as missing:
        skip_or_raise(missing)
        raise
    servers = Servers(layout, Secrets(layout.secrets), Supervisor(layout), programs)
    try:
        servers.start()
        yield servers
    finally:
        servers.supervisor.stop()
        assert terminate(suite_processes(layout.state_dir), seconds=20) == []


def test_the_suites_role_has_no_rights_beyond_its_database(servers: Servers) -> None:
    with psycopg.connect(servers.database_url) as connection:
        role = connection.execute(
            "SELECT current_user, current_database(), rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles"
            " WHERE rolname = current_user"
        ).fetchone()
        connection.execute("CREATE TABLE own (number int)")
    assert role == ("bookwheel", "bookwheel", False)


def test_a_wrong_database_password_is_rejected(servers: Servers) -> None:
    wrong_url = servers.database_url.replace(servers.secrets.postgres_password, "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong_url)


def test_the_servers_listen_only_on_loopback(servers: Servers) -> None:
    server_ports = {f"{port:04X}" for port in (servers.layout.ports.postgres, servers.layout.ports.elasticsearch)}
    addresses = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            address, port = line.split()[1].split(":")
            if line.split()[3] == "0A" and port in server_ports:
                addresses.append(address)
    assert addresses
    assert set(addresses) <= {"0100007F", "0000000000000000FFFF00000100007F"}


def test_no_server_runs_as_root_or_has_a_password_in_its_environment(servers: Servers) -> None:
    states = servers.supervisor.states()
    for program in servers.programs:
        status = Path(f"/proc/{states[program.name].pid}/status").read_text()
        assert "\nUid:\t0\t" not in status
        environment = Path(f"/proc/{states[program.name].pid}/environ").read_bytes()
        assert servers.secrets.postgres_password.encode() not in environment
        assert str(servers.layout.state_dir).encode() in environment


def test_committed_data_survives_a_kill(servers: Servers) -> None:
    with psycopg.connect(servers.database_url) as connection:
        connection.execute("CREATE TABLE kept (number int)")
        connection.execute("INSERT INTO kept VALUES (1588)")
    document = f"{servers.search_url}/kept/_doc/1"
    httpx.put(document, params={"refresh": "true"}, json={"title": "sea"}, timeout=30).raise_for_status()
    for program in servers.programs:
        servers.kill(program.name)
    with psycopg.connect(servers.database_url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(1588,)]
    assert httpx.get(document, timeout=30).json()["_source"] == {"title": "sea"}


def test_preparing_again_keeps_the_data(servers: Servers) -> None:
    marker = servers.layout.data / "postgres" / "PG_VERSION"
    before = marker.stat().st_mtime_ns
    prepare_servers(servers.layout, servers.secrets, SELECTION)
    assert marker.stat().st_mtime_ns == before


def test_a_recovering_database_is_not_ready() -> None:
    """PostgreSQL accepts connections during recovery and responds with an error."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def answer() -> None:
            with listening.accept()[0] as connection:
                connection.recv(200)
                connection.sendall(b"E\0\0\0\x30SFATAL\0C57P03\0Mthe database system is starting up\0\0")

        answering = Thread(target=answer)
        answering.start()
        program = Program("postgres", (), ports=(port,), health=f"postgresql://127.0.0.1:{port}/bookwheel")
        health = probe(program, ProgramState("RUNNING", 1, 0, ""))
        answering.join()
    assert health.reason == "answers the database system is starting up"
