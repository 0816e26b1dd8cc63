"""Starts and stops the suite of one state folder."""

import json
import time
from collections.abc import Iterator, Sequence
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
from bookwheel_local.programs import Program, build_programs
from bookwheel_local.progress import ProgressLine
from bookwheel_local.readiness import ProgramHealth, probe_all
from bookwheel_local.restore_rollback import check_not_interrupted
from bookwheel_local.secrets import Secrets, write_private
from bookwheel_local.settings import LocalSettings
from bookwheel_local.supervisor import STOP_SECONDS, Supervisor, render_configuration

_POLL_SECONDS = 0.4
_LOG_LINES = 15
_LINE_LENGTH = 500  # a traceback is one line of JSON


def saved_port_base(layout: Layout) -> int | None:
    """Returns the port base of the suite that runs in this state folder, or None if no suite runs."""
    try:
        return int(json.loads(_suite_file(layout).read_text())["port_base"])
    except FileNotFoundError:
        return None


def _suite_file(layout: Layout) -> Path:
    return layout.run / "suite.json"


class LocalSuite:
    def __init__(self, settings: LocalSettings) -> None:
        self.settings = settings
        self.layout = Layout.from_settings(settings)
        self.layout.create_folders()
        self.secrets = Secrets(self.layout.secrets)
        self.supervisor = Supervisor(self.layout)
        self.selection = select_engines(settings)

    @cached_property
    def programs(self) -> tuple[Program, ...]:
        """Raises EngineNotInstalledError."""
        return build_programs(self.layout, self.settings, self.selection, nginx=find_nginx())

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every program of the suite."""
        return suite_environment(self.layout, self.settings, self.selection, self.secrets)

    def start(self, progress: ProgressLine) -> None:
        """Starts all programs and waits until they are ready. Idempotent. Raises LocalError."""
        check_selection(self.settings, self.selection)
        install_servers(self.selection)
        with self.lock():
            check_not_interrupted(self.layout)
            if not self.supervisor.is_running_with(self._render_configuration()):
                self._stop_all(progress, reason="its settings have changed")
                self._start_supervisor()
            # `ml-serving` starts slowest and needs no tables, so it starts before the migrations.
            self.supervisor.start_programs([program for program in self.programs if not program.needs_tables])
            states = self.supervisor.states()
            if any(program.needs_tables and states[program.name].state != "RUNNING" for program in self.programs):
                self._wait_until_ready(progress, [program for program in self.programs if program.needed_by_migrations])
                progress.update("preparing the records")
                prepare_records(self.layout, self.environment)
            self.supervisor.start_programs(self.programs)
            self._wait_until_ready(progress, self.programs)

    def stop(self, progress: ProgressLine) -> bool:
        """Stops all programs. Returns False if none was running. Raises LocalError if a process can't be stopped."""
        with self.lock():
            return self._stop_all(progress, reason=None)

    @contextmanager
    def running_stores(self, progress: ProgressLine) -> Iterator[None]:
        """Ensures that the servers of records and lake run. Stops the servers that it started at the end.

        The caller must hold the lock unless the suite runs. Raises LocalError.
        """
        servers = [program for program in self.programs if program.name in {Server.POSTGRES, Server.S3}]
        if not servers or self.supervisor.pid() is not None:
            yield
            return
        try:
            self._start_supervisor()
            self.supervisor.start_programs(servers)
            self._wait_until_ready(progress, servers)
            yield
        finally:
            self._stop_all(progress, reason=None)

    def client(self) -> SuiteClient:
        """Returns a client of the suite's API that logs in as the demo user."""
        return SuiteClient(self.layout.gateway_url, password=self.secrets.demo_password)

    def ensure_demo_user(self) -> None:
        """Creates the demo user unless it can log in with the password of this state folder."""
        with self.client() as client:
            try:
                client.token()
            except RequestFailedError:
                create_demo_user(self.environment, password=self.secrets.demo_password)
                client.token()

    def program_health(self, programs: Sequence[Program] | None = None) -> list[ProgramHealth]:
        """Returns the health of these programs (default: all). Empty if the suite does not run."""
        selected = self.programs if programs is None else programs
        return probe_all(selected, self.supervisor.states()) if self.supervisor.pid() else []

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the state folder. Raises LocalError if another `up`, `down` or `restore` holds the lock."""
        try:
            with FileLock(self.layout.run / "suite.lock", timeout=0):
                yield
        except Timeout:
            raise LocalError("another `make up`, `down` or `restore` is running: retry when it has ended") from None

    def _stop_all(self, progress: ProgressLine, *, reason: str | None) -> bool:
        was_running = self.supervisor.pid() is not None
        if was_running:
            progress.update("stopping the suite" + (f": {reason}" if reason else ""))
            self.supervisor.stop()
        orphans = suite_processes(self.layout.state_dir)  # a killed supervisord leaves its programs running
        if orphans:
            progress.update(f"stopping {len(orphans)} processes that a killed supervisord left")
            survivors = terminate(orphans, seconds=STOP_SECONDS)
            if survivors:
                raise LocalError(f"these processes of the suite could not be stopped: {survivors}")
        _suite_file(self.layout).unlink(missing_ok=True)
        progress.clear()
        return was_running or bool(orphans)

    def _start_supervisor(self) -> None:
        for program in self.programs:
            for port in program.ports:
                if not port_is_free(port):
                    raise PortInUseError(port, program.name)
        prepare_servers(self.layout, self.secrets, self.selection)
        save_selection(self.layout, self.selection)
        write_configuration(self.layout, self.settings, self.secrets)
        self.supervisor.start(self._render_configuration(), self.environment)
        write_private(_suite_file(self.layout), json.dumps({"port_base": self.layout.ports.gateway}))

    def _render_configuration(self) -> str:
        settings = {**self.environment, **gateway_values(self.layout)}
        return render_configuration(self.layout, self.programs, settings)

    def _wait_until_ready(self, progress: ProgressLine, programs: Sequence[Program]) -> None:
        deadline = time.monotonic() + self.settings.start_seconds
        while unready := [health for health in self.program_health(programs) if not health.ready]:
            for health in unready:
                if health.failed:
                    raise ProcessFailedError(health.program.name, "does not start", self._log_tail(health.program))
            if time.monotonic() > deadline:
                program, reason = unready[0].program, unready[0].reason
                reason = f"is not ready after {self.settings.start_seconds:.0f} s ({reason})"
                raise ProcessFailedError(program.name, reason, self._log_tail(program))
            names = ", ".join(health.program.name for health in unready)
            progress.update(f"{len(programs) - len(unready)} of {len(programs)} programs ready, waiting for {names}")
            time.sleep(_POLL_SECONDS)
        progress.clear()

    def _log_tail(self, program: Program) -> str:
        path = self.layout.logs / f"{program.name}.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return "\n".join(line[:_LINE_LENGTH] for line in lines[-_LOG_LINES:])
