"""Starts and stops the suite of one state folder."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from filelock import FileLock, Timeout

from bookwheel_local.client import SuiteClient
from bookwheel_local.engine_selection import Server, check_selection, install_servers, save_selection, select_engines
from bookwheel_local.environment import suite_environment
from bookwheel_local.errors import LocalError, PortInUseError, ProcessFailedError, RequestFailedError
from bookwheel_local.layout import Layout
from bookwheel_local.preparation import (
    create_demo_user,
    find_nginx,
    gateway_values,
    prepare_records,
    prepare_servers,
    write_configuration,
)
from bookwheel_local.processes import port_is_free, suite_processes, terminate
from bookwheel_local.programs import Program, programs
from bookwheel_local.progress import ProgressLine
from bookwheel_local.readiness import ProgramHealth, names_not_ready, probe_all
from bookwheel_local.restore_rollback import check_not_interrupted
from bookwheel_local.secrets import Secrets, write_private
from bookwheel_local.settings import LocalSettings
from bookwheel_local.supervisor import STOP_SECONDS, Supervisor, render_configuration

_POLL_SECONDS = 0.4
_LOG_LINES = 15
_LINE_LENGTH = 500  # a traceback is one line of JSON


def recorded_port_base(layout: Layout) -> int | None:
    """The port base of the suite that runs in this state folder; None if none runs."""
    try:
        return int(json.loads(_record(layout).read_text())["port_base"])
    except FileNotFoundError:
        return None


def _record(layout: Layout) -> Path:
    return layout.run / "suite.json"


class LocalSuite:
    def __init__(self, settings: LocalSettings) -> None:
        self.settings = settings
        self.layout = Layout.of(settings)
        self.layout.create_folders()
        self.secrets = Secrets(self.layout.secrets)
        self.supervisor = Supervisor(self.layout)
        self.selection = select_engines(settings)

    @cached_property
    def programs(self) -> tuple[Program, ...]:
        """Raises EngineNotInstalledError."""
        return programs(self.layout, self.settings, self.selection, nginx=find_nginx())

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every program of the suite."""
        return suite_environment(self.layout, self.settings, self.selection, self.secrets)

    def start(self, progress: ProgressLine) -> None:
        """Starts every program that does not run and waits until all are ready. Idempotent. Raises LocalError."""
        check_selection(self.settings, self.selection)
        install_servers(self.selection)
        environment = self.environment
        gateway = gateway_values(self.layout)
        config = render_configuration(self.layout, self.programs, {**environment, **gateway})
        with self.lock():
            check_not_interrupted(self.layout)
            if not self.supervisor.is_running_with(config):
                self._stop_all(progress, reason="its settings have changed")
                self._start_supervisor(config, environment, gateway)
            # The slowest program to start needs no tables: it starts during the migrations.
            self.supervisor.start_programs([program for program in self.programs if not program.needs_tables])
            states = self.supervisor.states()
            if any(program.needs_tables and states[program.name].state != "RUNNING" for program in self.programs):
                self._wait_until_ready(progress, [program for program in self.programs if program.is_store])
                progress.update("preparing the records")
                prepare_records(self.layout, environment)
            self.supervisor.start_programs(self.programs)
            self._wait_until_ready(progress, self.programs)

    def stop(self, progress: ProgressLine) -> bool:
        """Stops everything; False if nothing ran. Raises LocalError if a process can't be ended."""
        with self.lock():
            return self._stop_all(progress, reason=None)

    @contextmanager
    def stores(self, progress: ProgressLine) -> Iterator[None]:
        """Ensures that the servers of records and lake run; those that it starts are stopped at the end.

        The caller holds the lock, unless the suite runs. Raises LocalError.
        """
        servers = [program for program in self.programs if program.name in {Server.POSTGRES, Server.S3}]
        if not servers or self.supervisor.pid() is not None:
            yield
            return
        gateway = gateway_values(self.layout)
        environment = self.environment
        try:
            config = render_configuration(self.layout, self.programs, {**environment, **gateway})
            self._start_supervisor(config, environment, gateway)
            self.supervisor.start_programs(servers)
            self._wait_until_ready(progress, servers)
            yield
        finally:
            self._stop_all(progress, reason=None)

    def client(self) -> SuiteClient:
        """A client of the suite's API, as the demo user."""
        return SuiteClient(self.layout.gateway_url, password=self.secrets.demo_password)

    def ensure_demo_user(self) -> None:
        """Creates the demo user, unless it can log in with the password of this state folder."""
        with self.client() as client:
            try:
                client.token()
            except RequestFailedError:
                create_demo_user(self.environment, password=self.secrets.demo_password)
                client.token()

    def healths(self, programs: Sequence[Program] | None = None) -> list[ProgramHealth]:
        """The health of these programs, or of all; empty if the suite does not run."""
        probed = self.programs if programs is None else programs
        return probe_all(probed, self.supervisor.states()) if self.supervisor.pid() else []

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Excludes other `up`, `down` and `restore` of this state folder. Raises LocalError if one of them runs."""
        try:
            with FileLock(self.layout.run / "suite.lock", timeout=0):
                yield
        except Timeout:
            raise LocalError("another `make up`, `down` or `restore` of this checkout is running") from None

    def _stop_all(self, progress: ProgressLine, *, reason: str | None) -> bool:
        was_running = self.supervisor.pid() is not None
        if was_running:
            progress.update("stopping the suite" + (f": {reason}" if reason else ""))
            self.supervisor.stop()
        orphans = suite_processes(self.layout.state)  # of a supervisord that was killed
        if orphans:
            progress.update(f"stopping {len(orphans)} processes that were left behind")
            survivors = terminate(orphans, seconds=STOP_SECONDS)
            if survivors:
                raise LocalError(f"these processes of the suite can't be ended: {survivors}")
        _record(self.layout).unlink(missing_ok=True)
        progress.clear()
        return was_running or bool(orphans)

    def _start_supervisor(self, config: str, environment: Mapping[str, str], gateway: Mapping[str, str]) -> None:
        self._check_ports()
        prepare_servers(self.layout, self.secrets, self.selection)
        save_selection(self.layout, self.selection)
        write_configuration(self.layout, self.settings, self.secrets, gateway)
        self.supervisor.start(config, environment)
        write_private(_record(self.layout), json.dumps({"port_base": self.layout.ports.base}))

    def _check_ports(self) -> None:
        for program in self.programs:
            for port in program.ports:
                if not port_is_free(port):
                    raise PortInUseError(port, program.name)

    def _wait_until_ready(self, progress: ProgressLine, programs: Sequence[Program]) -> None:
        deadline = time.monotonic() + self.settings.start_seconds
        while waiting := names_not_ready(healths := self.healths(programs)):
            for health in healths:
                if health.failed:
                    raise ProcessFailedError(health.program.name, "does not start", self._log_end(health.program))
            if time.monotonic() > deadline:
                slow = next(health for health in healths if not health.ready)
                fault = f"is not ready after {self.settings.start_seconds:.0f} s ({slow.reason})"
                raise ProcessFailedError(slow.program.name, fault, self._log_end(slow.program))
            ready = len(healths) - len(waiting)
            progress.update(f"{ready} of {len(healths)} programs ready, waiting for {', '.join(waiting)}")
            time.sleep(_POLL_SECONDS)
        progress.clear()

    def _log_end(self, program: Program) -> str:
        path = self.layout.logs / f"{program.name}.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return "\n".join(line[:_LINE_LENGTH] for line in lines[-_LOG_LINES:])
