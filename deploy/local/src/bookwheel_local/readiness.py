"""Whether the suite's programs are ready to serve."""

import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from urllib.parse import SplitResult, urlsplit, urlunsplit

from bookwheel_local.programs import Program
from bookwheel_local.supervisor import ProgramState

_PROBE_SECONDS = 3.0
_POSTGRES_PROTOCOL = (3 << 16).to_bytes(4)


@dataclass(frozen=True, slots=True)
class ProgramHealth:
    """`reason` says why the program is not ready; None if it is."""

    program: Program
    state: ProgramState
    reason: str | None

    @property
    def ready(self) -> bool:
        return self.reason is None

    @property
    def failed(self) -> bool:
        """Whether supervisord has given up on the program. (It restarts one that has just `EXITED`.)"""
        return self.state.state in {"FATAL", "STOPPED"}


def probe_all(programs: Sequence[Program], states: Mapping[str, ProgramState]) -> list[ProgramHealth]:
    return [probe(program, states[program.name]) for program in programs if program.name in states]


def probe(program: Program, state: ProgramState) -> ProgramHealth:
    if state.state != "RUNNING":
        reason = state.detail or state.state.lower()
        return ProgramHealth(program, state, reason if state.state != "STARTING" else "starting")
    return ProgramHealth(program, state, _fault(program.health) if program.health else None)


def names_not_ready(healths: Iterable[ProgramHealth]) -> list[str]:
    return [health.program.name for health in healths if not health.ready]


def _fault(url: str) -> str | None:
    """Why the address does not serve; None if it does: HTTP with 2xx, or PostgreSQL with a request for a password."""
    address = urlsplit(url)
    if address.scheme == "postgresql":
        return _postgres_fault(address)
    # Not httpx: creating a client with TLS takes 20 ms.
    connection = HTTPConnection(str(address.hostname), address.port, timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", urlunsplit(("", "", address.path, address.query, "")))
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"does not answer ({type(error).__name__})"
    finally:
        connection.close()
    return None if 200 <= status < 300 else f"answers {status}"


def _postgres_fault(address: SplitResult) -> str | None:
    """A server in crash recovery accepts connections and answers the first message with an error."""
    parameters = f"user\0probe\0database\0{address.path.lstrip('/')}\0\0".encode()
    try:
        with socket.create_connection(
            (address.hostname or "", address.port or 0), timeout=_PROBE_SECONDS
        ) as connection:
            connection.sendall((8 + len(parameters)).to_bytes(4) + _POSTGRES_PROTOCOL + parameters)
            kind, text = connection.recv(1), connection.recv(500)
    except OSError as error:
        return f"does not answer ({type(error).__name__})"
    if kind == b"R":
        return None
    fields = {field[:1]: field[1:] for field in text[4:].split(b"\0")}
    return f"answers {fields.get(b'M', b'nothing').decode(errors='replace')}"
