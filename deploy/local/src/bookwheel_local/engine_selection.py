"""The engines that hold a suite's data. Data can't be read by other engines, so the selection is saved beside it."""

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
    """Servers that engines need in addition to Redis, by their names in `engines.sh`."""

    POSTGRES = "postgres"
    ELASTICSEARCH = "elasticsearch"
    S3 = "s3"


@dataclass(frozen=True, slots=True)
class EngineSelection:
    """`engines` hold records and search index; `lake` is a folder or an object store."""

    engines: EngineSet = EngineSet.EMBEDDED
    lake: LakeStore = LakeStore.FOLDER

    @property
    def servers(self) -> tuple[Server, ...]:
        cluster = (Server.POSTGRES, Server.ELASTICSEARCH) if self.engines is EngineSet.CLUSTER else ()
        return cluster + ((Server.S3,) if self.lake is LakeStore.S3 else ())

    def __str__(self) -> str:
        return f"ENGINES={self.engines} LAKE={self.lake}"


def select_engines(settings: LocalSettings) -> EngineSelection:
    """The engines of the state folder's data, or those of the settings if there is no data yet."""
    return load_selection(Layout.of(settings)) or EngineSelection(settings.engines, settings.lake)


def load_selection(layout: Layout) -> EngineSelection | None:
    """The saved selection; None if there is no data yet."""
    try:
        saved = json.loads(_selection_file(layout).read_text())
    except FileNotFoundError:  # data of the first releases, which had embedded engines only
        return EngineSelection() if (layout.data / "bookwheel.sqlite").exists() else None
    return EngineSelection(EngineSet(saved["engines"]), LakeStore(saved["lake"]))


def save_selection(layout: Layout, selection: EngineSelection) -> None:
    write_private(_selection_file(layout), json.dumps({"engines": selection.engines, "lake": selection.lake}) + "\n")


def check_selection(settings: LocalSettings, selection: EngineSelection) -> None:
    """Raises LocalError if the settings explicitly request other engines than those that hold the data."""
    explicit = settings.model_fields_set
    other_engines = "engines" in explicit and settings.engines is not selection.engines
    other_lake = "lake" in explicit and settings.lake is not selection.lake
    if other_engines or other_lake:
        raise LocalError(
            f"the data in {settings.state_dir} is kept by {selection}, which other engines can't read.\n"
            "To run a second suite on other engines, use another folder and other ports:\n"
            f"  BOOKWHEEL_STATE_DIR={settings.state_dir}-{settings.engines} BOOKWHEEL_PORT_BASE=9080"
            f" make up ENGINES={settings.engines}\n"
            "To start over here: make down, move the folder away, make up. Crawls fill the new one."
        )


def install_servers(selection: EngineSelection) -> None:
    """Installs missing servers; the installer writes to standard error. Raises LocalError."""
    if not selection.servers:
        return
    process = subprocess.run([_INSTALLER, *selection.servers], stdin=subprocess.DEVNULL, check=False)
    if process.returncode != 0:
        raise LocalError(
            f"the servers of {selection} can't be installed: see the output above, or run `make up` without them"
        )


def _selection_file(layout: Layout) -> Path:
    return layout.data / "engines.json"
