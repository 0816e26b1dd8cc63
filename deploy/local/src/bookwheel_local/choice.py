"""Which engines keep a suite's data, and how that choice is remembered: data can't be read by other engines."""

import json
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bookwheel_local.errors import LocalError
from bookwheel_local.layout import Layout
from bookwheel_local.secrets import write_private
from bookwheel_local.settings import EngineSet, LakeStore, LocalSettings

_INSTALLER = Path(__file__).resolve().parents[2] / "engines.sh"


class Server(StrEnum):
    """Servers beside Redis that a choice of engines needs, by the names that the installer knows."""

    POSTGRES = "postgres"
    ELASTICSEARCH = "elasticsearch"
    S3 = "s3"


@dataclass(frozen=True, slots=True)
class Choice:
    """Records and search index in the engines of that name; the lake in a folder or in an object store."""

    engines: EngineSet = EngineSet.EMBEDDED
    lake: LakeStore = LakeStore.FOLDER

    @property
    def servers(self) -> tuple[Server, ...]:
        cluster = (Server.POSTGRES, Server.ELASTICSEARCH) if self.engines is EngineSet.CLUSTER else ()
        return cluster + ((Server.S3,) if self.lake is LakeStore.S3 else ())

    def __str__(self) -> str:
        return f"ENGINES={self.engines} LAKE={self.lake}"


def chosen(settings: LocalSettings) -> Choice:
    """Those of the state folder's data; the settings' where there is no data yet."""
    return remembered(Layout.of(settings)) or Choice(settings.engines, settings.lake)


def remembered(layout: Layout) -> Choice | None:
    try:
        noted = json.loads(_note(layout).read_text())
    except FileNotFoundError:
        return Choice() if (layout.data / "bookwheel.sqlite").exists() else None  # data from before there was a choice
    return Choice(EngineSet(noted["engines"]), LakeStore(noted["lake"]))


def remember(layout: Layout, choice: Choice) -> None:
    write_private(_note(layout), json.dumps({"engines": choice.engines, "lake": choice.lake}) + "\n")


def check_choice(settings: LocalSettings, choice: Choice) -> None:
    """Raises LocalError where the settings ask, by name, for other engines than those that hold the data."""
    wanted = settings.model_fields_set
    other_set = "engines" in wanted and settings.engines is not choice.engines
    other_lake = "lake" in wanted and settings.lake is not choice.lake
    if other_set or other_lake:
        raise LocalError(
            f"the data in {settings.state_dir} is kept by {choice}, which other engines can't read.\n"
            "For a suite on other engines beside it, name another folder and other ports, as in:\n"
            f"  BOOKWHEEL_STATE_DIR={settings.state_dir}-{settings.engines} BOOKWHEEL_PORT_BASE=9080"
            f" make up ENGINES={settings.engines}\n"
            "To begin anew here: make down, move the folder away, make up. Crawls fill the new one."
        )


def install_servers(choice: Choice) -> None:
    """Brings the servers to the machine where they are missing; what it says goes to the caller's standard error."""
    if not choice.servers:
        return
    done = subprocess.run([_INSTALLER, *choice.servers], stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise LocalError(f"the servers of {choice} can't be had here, see above; `make up` without them needs none")


def _note(layout: Layout) -> Path:
    return layout.data / "engines.json"
