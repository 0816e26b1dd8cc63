"""Whether the suite's programs are ready to serve."""

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from bookwheel_local.programs import Program
from bookwheel_local.supervision import ProgramState

_PROBE_SECONDS = 3.0
_PROOF_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Health:
    """`reason` tells an operator what is missing; None when the program is ready."""

    program: Program
    state: ProgramState
    reason: str | None

    @property
    def ready(self) -> bool:
        return self.reason is None

    @property
    def failed(self) -> bool:
        """It will not become ready by waiting: it ended too often to be started again."""
        return self.state.state in {"FATAL", "STOPPED", "EXITED"}


def _refusal(url: str) -> str | None:
    """Why the program does not serve; None where it does. Plain HTTP: a client made for TLS takes 20 ms to make."""
    address = urlsplit(url)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", address.path)
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"does not answer ({type(error).__name__})"
    finally:
        connection.close()
    return None if 200 <= status < 300 else f"answers {status}"


def probe(program: Program, state: ProgramState) -> Health:
    if state.state != "RUNNING":
        reason = state.detail or state.state.lower()
        return Health(program, state, reason if state.state != "STARTING" else "starting")
    return Health(program, state, _refusal(program.health) if program.health else None)


def probe_all(programs: Sequence[Program], states: Mapping[str, ProgramState]) -> list[Health]:
    return [probe(program, states[program.name]) for program in programs if program.name in states]


def prove(health: Health, environment: Mapping[str, str]) -> Health:
    """The same health after the program's proof, which takes a second or more; not for polling."""
    if not health.ready or health.program.proof is None:
        return health
    done = subprocess.run(
        health.program.proof,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=_PROOF_SECONDS,
        check=False,
    )
    if done.returncode == 0:
        return health
    return replace(health, reason=(done.stderr.strip().splitlines() or ["its health check failed"])[-1])


def waiting_for(healths: Iterable[Health]) -> list[str]:
    return [health.program.name for health in healths if not health.ready]
