"""The engines of a suite's data. Other engines can't read the data, so the selection is saved with it."""

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
    """The servers that engines need in addition to Redis. Values are the names in `engines.sh`."""

    POSTGRES = "postgres"
    ELASTICSEARCH = "elasticsearch"
    S3 = "s3"


@dataclass(frozen=True, slots=True)
class EngineSelection:
    """`engines` store records and search index. `lake` is a folder or an object store."""

    engines: EngineSet = EngineSet.EMBEDDED
    lake: LakeStore = LakeStore.FOLDER

    @property
    def servers(self) -> tuple[Server, ...]:
        cluster = (Server.POSTGRES, Server.ELASTICSEARCH) if self.engines is EngineSet.CLUSTER else ()
        return cluster + ((Server.S3,) if self.lake is LakeStore.S3 else ())

    def __str__(self) -> str:
        return f"ENGINES={self.engines} LAKE={self.lake}"


def select_engines(settings: LocalSettings) -> EngineSelection:
    """Returns the engines of the state folder's data, or the engines of the settings if there is no data yet."""
    return load_selection(Layout.from_settings(settings)) or EngineSelection(settings.engines, settings.lake)


def load_selection(layout: Layout) -> EngineSelection | None:
    """Returns the saved selection, or None if there is no data yet."""
    try:
        saved = json.loads(_selection_file(layout).read_text())
    except FileNotFoundError:  # data of the first releases, which had embedded engines only
        return EngineSelection() if (layout.data / "bookwheel.sqlite").exists() else None
    return EngineSelection(EngineSet(saved["engines"]), LakeStore(saved["lake"]))


def save_selection(layout: Layout, selection: EngineSelection) -> None:
    write_private(_selection_file(layout), json.dumps({"engines": selection.engines, "lake": selection.lake}) + "\n")


def check_selection(settings: LocalSettings, selection: EngineSelection) -> None:
    """Raises LocalError if the settings explicitly request other engines than the data has."""
    explicit = settings.model_fields_set
    other_engines = "engines" in explicit and settings.engines is not selection.engines
    other_lake = "lake" in explicit and settings.lake is not selection.lake
    if other_engines or other_lake:
        raise LocalError(
            f"the data in {settings.state_dir} was written with {selection}, and other engines can't read it.\n"
            "To run a second suite on other engines, use another folder and other ports:\n"
            f"  BOOKWHEEL_STATE_DIR={settings.state_dir}-{settings.engines} BOOKWHEEL_PORT_BASE=9080"
            f" make up ENGINES={settings.engines}\n"
            "To start over here: run `make down`, move the folder away, run `make up`, and crawl again."
        )


def install_servers(selection: EngineSelection) -> None:
    """Installs missing servers. The installer writes to standard error. Raises LocalError."""
    if not selection.servers:
        return
    process = subprocess.run([_INSTALLER, *selection.servers], stdin=subprocess.DEVNULL, check=False)
    if process.returncode != 0:
        raise LocalError(
            f"the servers of {selection} can't be installed: see the output above, or run `make up` without them"
        )


def _selection_file(layout: Layout) -> Path:
    return layout.data / "engines.json"
