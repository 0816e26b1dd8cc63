"""Configures, starts and stops supervisord, which runs the suite's programs."""

import hashlib
import json
import os
import pwd
import shlex
import socket
import subprocess
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from bookwheel_local.errors import ProcessFailedError
from bookwheel_local.layout import Layout
from bookwheel_local.processes import is_alive, wait_for_end
from bookwheel_local.programs import Program, Stage, script_path
from bookwheel_local.secrets import write_private

STOP_SECONDS = 20
"""Timeout for stopping a program. The scraper needs it to publish the end of its runs."""
_STEADY_SECONDS = 4  # a program without a port counts as running after this time
_PRIORITY = {Stage.BASE: 100, Stage.SERVICES: 200, Stage.EDGE: 300}


def _escape_percent(text: str) -> str:
    return text.replace("%", "%%")  # supervisord expands %(name)s


def _program_section(program: Program, layout: Layout) -> str:
    environment = ",".join(f'{name}="{_escape_percent(value)}"' for name, value in program.environment.items())
    return f"""\
[program:{program.name}]
command={_escape_percent(shlex.join(program.command))}
environment={environment}
autostart=false
autorestart=true
startsecs={1 if program.ports else _STEADY_SECONDS}
startretries=10
stopsignal={program.stop_signal}
stopwaitsecs={STOP_SECONDS}
killasgroup=true
redirect_stderr=true
stdout_logfile={_escape_percent(str(layout.logs / program.name))}.log
stdout_logfile_maxbytes=50MB
stdout_logfile_backups=2
"""


def render_configuration(layout: Layout, programs: Sequence[Program], settings: Mapping[str, str]) -> str:
    """Returns supervisord.conf. Its first line has a digest of the settings, so that a changed setting is detected."""
    digest = hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()[:16]
    stages = [
        f"[group:{stage}]\npriority={_PRIORITY[stage]}\nprograms={','.join(members)}\n"
        for stage in Stage
        if (members := [program.name for program in programs if program.stage is stage])
    ]
    user = (
        f"user={pwd.getpwuid(0).pw_name}\n" if os.getuid() == 0 else ""
    )  # else supervisord warns that it runs as root
    head = f"""\
; settings {digest}
[supervisord]
{user}directory={_escape_percent(str(layout.run))}
pidfile={_escape_percent(str(layout.supervisor_pid))}
logfile={_escape_percent(str(layout.logs / "supervisord.log"))}
logfile_maxbytes=10MB
logfile_backups=1
childlogdir={_escape_percent(str(layout.logs))}
umask=077

[unix_http_server]
file={_escape_percent(str(layout.supervisor_socket))}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
    return "\n".join([head, *stages, *(_program_section(program, layout) for program in programs)])


@dataclass(frozen=True, slots=True)
class ProgramState:
    """`state` is supervisord's: RUNNING, STARTING, BACKOFF, FATAL, STOPPED or EXITED. `since` is in Unix seconds."""

    state: str
    pid: int
    since: int
    detail: str


class Supervisor:
    """The supervisord of one suite."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def pid(self) -> int | None:
        """Returns supervisord's process id, or None if it does not answer on the suite's socket."""
        try:
            return int(self._call("getPID"))
        except (OSError, xmlrpc.client.Error):
            return None

    def is_running_with(self, configuration_text: str) -> bool:
        config = self._layout.supervisor_config
        return self.pid() is not None and config.exists() and config.read_text() == configuration_text

    def start(self, configuration_text: str, environment: Mapping[str, str], *, timeout_seconds: float = 15) -> None:
        """Starts supervisord without programs. Raises TimeoutError."""
        config = self._layout.supervisor_config
        write_private(config, configuration_text)
        subprocess.run(
            [script_path("supervisord"), "-c", str(config)],
            check=True,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + timeout_seconds
        while self.pid() is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"supervisord does not answer: see {self._layout.logs / 'supervisord.log'}")
            time.sleep(0.05)

    def start_programs(self, programs: Sequence[Program]) -> None:
        """Starts the programs that are not running, and does not wait for them. Raises ProcessFailedError."""
        states = self.states()
        for program in programs:
            if states[program.name].state not in {"RUNNING", "STARTING", "BACKOFF"}:
                try:
                    self._call("startProcess", program.supervised_name, False)
                except xmlrpc.client.Fault as fault:
                    reason = f"can't be started: {fault.faultString}"
                    raise ProcessFailedError(program.name, reason) from fault

    def states(self) -> dict[str, ProgramState]:
        """Returns the states by program name."""
        return {
            info["name"]: ProgramState(
                info["statename"], int(info["pid"]), int(info["start"]), str(info["description"])
            )
            for info in self._call("getAllProcessInfo")
        }

    def stop(self) -> None:
        """Stops all programs, stage by stage, and then supervisord. Raises TimeoutError."""
        pid = self.pid()
        if pid is None:
            return
        self._call("shutdown")
        wait_for_end([pid], seconds=(STOP_SECONDS + 5) * len(Stage))
        if is_alive(pid):
            raise TimeoutError(f"supervisord ({pid}) has not ended: see {self._layout.logs / 'supervisord.log'}")

    def _call(self, method: str, *arguments: str | bool) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self._layout.supervisor_socket}")
        with xmlrpc.client.ServerProxy(f"http://{socket.gethostname()}", transport=transport) as server:
            return getattr(server.supervisor, method)(*arguments)
