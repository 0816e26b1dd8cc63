"""Loads the champion (the served model) and replaces it without a restart."""

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

import orjson
from bookwheel_contracts.problems import BookwheelError, UnavailableError
from bookwheel_runtime.logs import get_logger

from bookwheel_ml.model.rating_model import RatingModel, load_model
from bookwheel_ml.registry.base import MODEL_NAME, Registry
from bookwheel_ml.registry.process import RegistryProcess

logger = get_logger(__name__)

_POINTER_FILE = "champion.json"
_START_DELAY_SECONDS = 10.0
"""The delay of the MLflow import after a start from the cache: other services may be starting on the same cores."""


@dataclass(frozen=True, slots=True)
class Champion:
    name: str
    version: str
    model: RatingModel


class ChampionWatcher:
    """Polls the registry for a new champion. A request reads `current` once, so it uses one model from start to end.

    `cache` holds the files of the last champion, so that a restarted service predicts before the registry responds.
    """

    def __init__(self, registry: RegistryProcess, *, cache: Path, poll_seconds: float) -> None:
        self._registry = registry
        self._cache = cache
        self._poll_seconds = poll_seconds
        self._has_checked = False
        self._champion: Champion | None = None

    @property
    def current(self) -> Champion:
        """Returns the champion. Raises UnavailableError if there is none."""
        if self._champion is None:
            raise UnavailableError("No model is available. Request a training run, then retry.", retry_after=5)
        return self._champion

    async def check_ready(self) -> None:
        """Raises UnavailableError until a champion is loaded or the registry has no champion."""
        if self._champion is None and not self._has_checked:
            raise UnavailableError("The model registry is unavailable: it has not responded yet.")

    def restore(self) -> None:
        """Loads the last champion from the cache if it contains one."""
        try:
            pointer = orjson.loads((self._cache / _POINTER_FILE).read_bytes())
            self._champion = Champion(MODEL_NAME, pointer["version"], load_model(self._cache / pointer["folder"]))
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("cached champion could not be loaded", error=str(error))
        else:
            logger.info("champion restored from cache", version=self._champion.version)

    async def watch(self) -> None:
        """Polls until cancelled."""
        if self._champion is not None:
            await asyncio.sleep(_START_DELAY_SECONDS)
        is_failing = False
        while True:
            try:
                await self.update()
                is_failing = False
            except (BookwheelError, OSError, ValueError) as error:
                if not is_failing:  # log the first failure only
                    logger.warning("champion lookup failed", error=str(error))
                is_failing = True
            await asyncio.sleep(self._poll_seconds)

    async def update(self) -> None:
        """Loads the registry's champion if it is new. Raises UnavailableError, OSError or ValueError."""
        version = await self._registry.call(Registry.get_champion_version)
        if version is not None and (self._champion is None or version != self._champion.version):
            folder = await self._registry.call(Registry.download, version, self._cache / f"version-{version}")
            model = await asyncio.to_thread(load_model, folder)
            self._champion = Champion(MODEL_NAME, version, model)
            self._save_pointer(version, folder)
            logger.info("champion loaded", version=version, verdict=model.definition.report.verdict)
        self._has_checked = True

    def _save_pointer(self, version: str, folder: Path) -> None:
        pointer = self._cache / _POINTER_FILE
        temporary_file = pointer.with_suffix(".new")
        temporary_file.write_bytes(orjson.dumps({"version": version, "folder": str(folder.relative_to(self._cache))}))
        temporary_file.replace(pointer)
        for old_folder in self._cache.glob("version-*"):
            if old_folder.name != f"version-{version}":
                shutil.rmtree(old_folder, ignore_errors=True)
