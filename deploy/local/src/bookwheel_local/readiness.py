"""Checks whether the suite's programs are ready to serve."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from urllib.parse import SplitResult, urlsplit, urlunsplit

from bookwheel_local.programs import Program
from bookwheel_local.supervisor import ProgramState

_PROBE_SECONDS = 3.0
_POSTGRES_PROTOCOL = (3 << 16).to_bytes(4)


@dataclass(frozen=True, slots=True)
class ProgramHealth:
    """`reason`: why the program is not ready. None if it is ready."""

    program: Program
    state: ProgramState
    reason: str | None

    @property
    def ready(self) -> bool:
        return self.reason is None

    @property
    def failed(self) -> bool:
        """Whether supervisord no longer restarts the program. It does restart an `EXITED` program."""
        return self.state.state in {"FATAL", "STOPPED"}


def probe_all(programs: Sequence[Program], states: Mapping[str, ProgramState]) -> list[ProgramHealth]:
    return [probe(program, states[program.name]) for program in programs if program.name in states]


def probe(program: Program, state: ProgramState) -> ProgramHealth:
    if state.state != "RUNNING":
        reason = state.detail or state.state.lower()
        return ProgramHealth(program, state, reason if state.state != "STARTING" else "starting")
    return ProgramHealth(program, state, _failure_reason(program.health) if program.health else None)


def _failure_reason(url: str) -> str | None:
    """Returns why the server is not ready, or None if HTTP answers 2xx or PostgreSQL requests a password."""
    parts = urlsplit(url)
    if parts.scheme == "postgresql":
        return _postgres_failure_reason(parts)
    # Not httpx: creating a client with TLS takes 20 ms.
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", urlunsplit(("", "", parts.path, parts.query, "")))
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"does not answer ({type(error).__name__})"
    finally:
        connection.close()
    return None if 200 <= status < 300 else f"answers {status}"


def _postgres_failure_reason(parts: SplitResult) -> str | None:
    """Sends a startup message, because PostgreSQL already accepts connections during crash recovery."""
    parameters = f"user\0probe\0database\0{parts.path.lstrip('/')}\0\0".encode()
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=_PROBE_SECONDS) as connection:
            connection.sendall((8 + len(parameters)).to_bytes(4) + _POSTGRES_PROTOCOL + parameters)
            message_type, text = connection.recv(1), connection.recv(500)
    except OSError as error:
        return f"does not answer ({type(error).__name__})"
    if message_type == b"R":
        return None
    fields = {field[:1]: field[1:] for field in text[4:].split(b"\0")}
    return f"answers {fields.get(b'M', b'nothing').decode(errors='replace')}"
