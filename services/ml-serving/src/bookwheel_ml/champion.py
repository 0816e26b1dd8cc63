"""Holds the model that is served, and swaps in a new champion without a restart."""

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

import orjson
from bookwheel_contracts.problems import BookwheelError, UnavailableError
from bookwheel_runtime.logs import get_logger

from bookwheel_ml.model import RatingModel, load_model
from bookwheel_ml.registry import MODEL_NAME, Registry
from bookwheel_ml.registry_process import RegistryProcess

logger = get_logger(__name__)

_POINTER = "champion.json"
_SETTLE_SECONDS = 10.0
"""After a start from the cache, before MLflow is loaded: the whole suite may be starting on the same two cores."""


@dataclass(frozen=True, slots=True)
class Champion:
    name: str
    version: str
    model: RatingModel


class ChampionWatch:
    """`current` is replaced by one assignment: a request sees one model from its beginning to its end.

    The last champion's files stay in `cache`, so that a restarted service answers in its first second, also while the
    registry is away; the registry corrects it within seconds.
    """

    def __init__(self, registry: RegistryProcess, *, cache: Path, poll_seconds: float) -> None:
        self._registry = registry
        self._cache = cache
        self._poll_seconds = poll_seconds
        self._looked = False
        self._champion: Champion | None = None

    @property
    def current(self) -> Champion:
        """Raises Unavailable where no model has been trained yet."""
        if self._champion is None:
            raise UnavailableError("No model has been trained yet.", retry_after=5)
        return self._champion

    async def check(self) -> None:
        """For readiness. Raises Unavailable until it is known who is champion, if anyone."""
        if self._champion is None and not self._looked:
            raise UnavailableError("The model registry has not answered yet.")

    def restore(self) -> None:
        """Takes the champion of the last run from the cache, if there is one."""
        try:
            pointer = orjson.loads((self._cache / _POINTER).read_bytes())
            self._champion = Champion(MODEL_NAME, pointer["version"], load_model(self._cache / pointer["folder"]))
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("the cached champion can't be used", error=str(error))
        else:
            logger.info("champion restored from the cache", version=self._champion.version)

    async def watch(self) -> None:
        """Looks for a new champion until cancelled."""
        if self._champion is not None:
            await asyncio.sleep(_SETTLE_SECONDS)
        failing = False
        while True:
            try:
                await self.look()
                failing = False
            except (BookwheelError, OSError, ValueError) as error:
                if not failing:  # once, not at every look
                    logger.warning("the champion can't be looked up", error=str(error))
                failing = True
            await asyncio.sleep(self._poll_seconds)

    async def look(self) -> None:
        """Raises Unavailable while the registry is away, OSError or ValueError for a model that can't be loaded."""
        version = await self._registry.ask(Registry.champion)
        if version is not None and (self._champion is None or version != self._champion.version):
            model_folder = await self._registry.ask(Registry.download, version, self._cache / f"version-{version}")
            model = await asyncio.to_thread(load_model, model_folder)
            self._champion = Champion(MODEL_NAME, version, model)
            self._remember(version, model_folder)
            logger.info("new champion", version=version, verdict=model.definition.report.verdict)
        self._looked = True

    def _remember(self, version: str, model_folder: Path) -> None:
        pointer = self._cache / _POINTER
        aside = pointer.with_suffix(".new")
        aside.write_bytes(orjson.dumps({"version": version, "folder": str(model_folder.relative_to(self._cache))}))
        aside.replace(pointer)
        for folder in self._cache.glob("version-*"):
            if folder.name != f"version-{version}":
                shutil.rmtree(folder, ignore_errors=True)
