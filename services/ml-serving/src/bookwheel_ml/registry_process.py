"""Asks the registry from a child process, so that importing MLflow costs the serving process nothing.

The import takes 7 s of processor time and 180 MB; in a thread of the serving process it would hold up every answer for
as long.
"""

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache, partial
from typing import Concatenate, ParamSpec, TypeVar

from bookwheel_contracts.problems import Unavailable

from bookwheel_ml.registry import Registry, UnknownPage

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class RegistryProcess:
    """One child, started at the first question and again after it died."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._pool: ProcessPoolExecutor | None = None

    async def ask(
        self,
        question: Callable[Concatenate[Registry, Arguments], Answer],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Answer:
        """Calls a method of `Registry` in the child. Raises UnknownPage, or Unavailable while the registry is away."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _end_with_parent)
        try:
            asked = partial(_answer, self._uri, question, *arguments, **named)
            return await asyncio.wrap_future(self._pool.submit(asked))
        except BrokenProcessPool as error:
            self._pool = None
            raise Unavailable("The model registry's process ended; it is started again.", retry_after=5) from error

    def close(self) -> None:
        if self._pool is not None:
            for process in multiprocessing.active_children():
                process.terminate()
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _end_with_parent() -> None:
    """A killed parent must not leave its child behind."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


@cache
def _registry(uri: str) -> Registry:
    from bookwheel_ml.mlflow_registry import MlflowRegistry  # noqa: PLC0415 - in the child only: this is its purpose

    return MlflowRegistry(uri)


def _answer(
    uri: str,
    question: Callable[Concatenate[Registry, Arguments], Answer],
    *arguments: Arguments.args,
    **named: Arguments.kwargs,
) -> Answer:
    try:
        method: Callable[Arguments, Answer] = getattr(_registry(uri), question.__name__)
        return method(*arguments, **named)
    except UnknownPage:
        raise
    except Exception as error:  # noqa: BLE001 - MLflow's errors are many, and may not survive being pickled
        raise Unavailable(f"The model registry can't be asked: {type(error).__name__}: {error}") from None
