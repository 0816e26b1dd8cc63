"""A program of a one-machine suite: what is run, in which stage, and how it shows that it is ready."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Stage(StrEnum):
    """Programs of a stage start and stop together; a later stage stops before an earlier one."""

    BASE = "base"
    SERVICES = "services"
    EDGE = "edge"


@dataclass(frozen=True, slots=True)
class Program:
    """`health` is a URL that answers once the program serves, see `readiness`; None: running is being ready. The first
    of `ports` is the one that others ask. `needs_tables`: it can't start before the migrations have run, and they do
    not before every program that `is_store` is ready.
    """

    name: str
    command: tuple[str, ...]
    stage: Stage = Stage.SERVICES
    ports: tuple[int, ...] = ()
    health: str | None = None
    stop_signal: str = "TERM"
    needs_tables: bool = False
    is_store: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def supervised_name(self) -> str:
        return f"{self.stage}:{self.name}"


def script(name: str) -> str:
    """A console script of the environment that runs this."""
    return str(Path(sys.prefix) / "bin" / name)
