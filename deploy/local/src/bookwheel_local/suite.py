"""Starts and stops the suite of one state folder."""

import fcntl
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from bookwheel_local.choice import Server, check_choice, chosen, install_servers, remember
from bookwheel_local.client import SuiteClient
from bookwheel_local.environment import suite_environment
from bookwheel_local.errors import LocalError, PortInUseError, ProcessFailedError, RequestFailedError
from bookwheel_local.gateway import gateway_values
from bookwheel_local.layout import Layout
from bookwheel_local.preparation import (
    create_demo_user,
    find_nginx,
    prepare_records,
    write_configuration,
)
from bookwheel_local.processes import end, port_is_free, suite_processes
from bookwheel_local.program import Program
from bookwheel_local.programs import programs
from bookwheel_local.progress import Progress
from bookwheel_local.put_aside import check_restored
from bookwheel_local.readiness import Health, probe_all, waiting_for
from bookwheel_local.secrets import Secrets, write_private
from bookwheel_local.servers import prepare_servers
from bookwheel_local.settings import LocalSettings
from bookwheel_local.supervision import STOP_SECONDS, Supervisor, configuration

_POLL_SECONDS = 0.4
_LOG_LINES = 15
_LINE_LENGTH = 500  # a traceback is one line of JSON


def recorded_port_base(layout: Layout) -> int | None:
    """The port base of the suite that runs in this state folder, as its start noted it."""
    try:
        return int(json.loads(_record(layout).read_text())["port_base"])
    except FileNotFoundError:
        return None


def _record(layout: Layout) -> Path:
    return layout.run / "suite.json"


class Suite:
    def __init__(self, settings: LocalSettings) -> None:
        self.settings = settings
        self.layout = Layout.of(settings)
        self.layout.create_folders()
        self.secrets = Secrets(self.layout.secrets)
        self.supervisor = Supervisor(self.layout)
        self.choice = chosen(settings)

    @cached_property
    def programs(self) -> tuple[Program, ...]:
        """Raises LocalError where one of them is not installed."""
        return programs(self.layout, self.settings, self.choice, nginx=find_nginx())

    @property
    def environment(self) -> dict[str, str]:
        """What every program of the suite is told."""
        return suite_environment(self.layout, self.settings, self.choice, self.secrets)

    def start(self, progress: Progress) -> None:
        """Starts what does not run yet and waits until all of it is ready. Idempotent. Raises LocalError."""
        check_choice(self.settings, self.choice)
        install_servers(self.choice)
        environment = self.environment
        gateway = gateway_values(self.layout)
        config = configuration(self.layout, self.programs, {**environment, **gateway})
        with self.alone():
            check_restored(self.layout)
            if not self.supervisor.is_running_with(config):
                self._stop_all(progress, why="its settings have changed")
                self._start_supervisor(config, environment, gateway)
            # The slowest to start needs no tables, so it starts while they are made.
            self.supervisor.start_programs([program for program in self.programs if not program.needs_tables])
            states = self.supervisor.states()
            if any(program.needs_tables and states[program.name].state != "RUNNING" for program in self.programs):
                self._wait_until_ready(progress, [program for program in self.programs if program.is_store])
                progress.update("preparing the records")
                prepare_records(self.layout, environment)
            self.supervisor.start_programs(self.programs)
            self._wait_until_ready(progress, self.programs)

    def stop(self, progress: Progress) -> bool:
        """Stops everything; False when nothing ran. Raises LocalError where a process can't be ended."""
        with self.alone():
            return self._stop_all(progress, why=None)

    @contextmanager
    def stores(self, progress: Progress) -> Iterator[None]:
        """The servers of records and lake answer: those of the suite that runs, or else started without the rest of it.

        For who is `alone`, or finds the suite running. Raises LocalError.
        """
        servers = [program for program in self.programs if program.name in {Server.POSTGRES, Server.S3}]
        if not servers or self.supervisor.pid() is not None:
            yield
            return
        gateway = gateway_values(self.layout)
        environment = self.environment
        try:
            config = configuration(self.layout, self.programs, {**environment, **gateway})
            self._start_supervisor(config, environment, gateway)
            self.supervisor.start_programs(servers)
            self._wait_until_ready(progress, servers)
            yield
        finally:
            self._stop_all(progress, why=None)

    def client(self) -> SuiteClient:
        """The suite's API, as its demo user."""
        return SuiteClient(self.layout.gateway_url, password=self.secrets.demo_password)

    def ensure_demo_user(self) -> None:
        """Makes the demo user unless it can log in with the password of this state folder."""
        with self.client() as client:
            try:
                client.token()
            except RequestFailedError:
                create_demo_user(self.environment, password=self.secrets.demo_password)
                client.token()

    def healths(self, programs: Sequence[Program] | None = None) -> list[Health]:
        """Of these programs, or of all; empty when the suite does not run."""
        asked = self.programs if programs is None else programs
        return probe_all(asked, self.supervisor.states()) if self.supervisor.pid() else []

    def _stop_all(self, progress: Progress, *, why: str | None) -> bool:
        ran = self.supervisor.pid() is not None
        if ran:
            progress.update("stopping the suite" + (f": {why}" if why else ""))
            self.supervisor.stop()
        orphans = suite_processes(self.layout.state)  # of a supervisord that was killed
        if orphans:
            progress.update(f"stopping {len(orphans)} processes that were left behind")
            left = end(orphans, seconds=STOP_SECONDS)
            if left:
                raise LocalError(f"these processes of the suite can't be ended: {left}")
        _record(self.layout).unlink(missing_ok=True)
        progress.end_line()
        return ran or bool(orphans)

    def _start_supervisor(self, config: str, environment: Mapping[str, str], gateway: Mapping[str, str]) -> None:
        self._check_ports()
        prepare_servers(self.layout, self.secrets, self.choice)
        remember(self.layout, self.choice)
        write_configuration(self.layout, self.settings, self.secrets, gateway)
        self.supervisor.start(config, environment)
        write_private(_record(self.layout), json.dumps({"port_base": self.layout.ports.base}))

    def _check_ports(self) -> None:
        for program in self.programs:
            for port in program.ports:
                if not port_is_free(port):
                    raise PortInUseError(port, program.name)

    def _wait_until_ready(self, progress: Progress, programs: Sequence[Program]) -> None:
        deadline = time.monotonic() + self.settings.start_seconds
        while waiting := waiting_for(healths := self.healths(programs)):
            for health in healths:
                if health.failed:
                    raise ProcessFailedError(health.program.name, "does not start", self.log_end(health.program))
            if time.monotonic() > deadline:
                slow = next(health for health in healths if not health.ready)
                what = f"is not ready after {self.settings.start_seconds:.0f} s ({slow.reason})"
                raise ProcessFailedError(slow.program.name, what, self.log_end(slow.program))
            ready = len(healths) - len(waiting)
            progress.update(f"{ready} of {len(healths)} programs ready, waiting for {', '.join(waiting)}")
            time.sleep(_POLL_SECONDS)
        progress.end_line()

    def log_end(self, program: Program) -> str:
        path = self.layout.logs / f"{program.name}.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return "\n".join(line[:_LINE_LENGTH] for line in lines[-_LOG_LINES:])

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other `up`, `down` or `restore` of this state folder works at the same time. Raises LocalError."""
        with (self.layout.run / "suite.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LocalError("another `make up`, `down` or `restore` of this checkout is at work") from None
            yield
