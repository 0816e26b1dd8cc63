"""Asks the registry from a child process, so that importing MLflow costs the serving process nothing.

The import takes 7 s of processor time and 180 MB; in a thread of the serving process it would hold up every answer for
as long.
"""

import asyncio
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Concatenate, ParamSpec, TypeVar

from bookwheel_contracts.problems import UnavailableError

from bookwheel_ml.registry import Registry

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Child:
    process: SpawnProcess
    connection: Connection


class RegistryProcess:
    """One child, started at the first question and again after it died. One question at a time."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._child: _Child | None = None
        self._lock = asyncio.Lock()

    async def ask(
        self,
        question: Callable[Concatenate[Registry, Arguments], Answer],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Answer:
        """Calls a method of `Registry` in the child. Raises Unavailable while the registry is away."""
        async with self._lock:
            try:
                child = self._running()  # here, not in the thread: a question given up must find it to end it
                found = await asyncio.to_thread(_exchange, child, (question.__name__, arguments, named))
            except (EOFError, OSError) as error:
                self.close()
                raise UnavailableError(
                    "The model registry's process ended; it is started again.", retry_after=5
                ) from error
            except asyncio.CancelledError:
                self.close()  # else its answer to this question would be taken for the answer to the next
                raise
        if isinstance(found, _Failure):
            raise UnavailableError(f"The model registry can't be asked: {found.reason}", retry_after=5)
        answer: Answer = found
        return answer

    def close(self) -> None:
        """Does not wait for a question under way."""
        child, self._child = self._child, None
        if child is not None:
            child.process.kill()
            child.process.join()

    def _running(self) -> _Child:
        if self._child is None:
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            process = context.Process(target=_answer_questions, args=(theirs, self._uri), daemon=True)
            process.start()
            theirs.close()  # so that a dead child is the end of the pipe, as a dead parent is for the child
            self._child = _Child(process, ours)
        return self._child


def _exchange(child: _Child, question: tuple[str, tuple[Any, ...], dict[str, Any]]) -> Any:
    child.connection.send(question)
    return child.connection.recv()


@dataclass(frozen=True, slots=True)
class _Failure:
    """An error as text: MLflow's own may not survive the way between processes."""

    reason: str


def _answer_questions(connection: Connection, uri: str) -> None:
    """The child's whole life, which ends with its parent's."""
    registry: Registry | None = None
    while True:
        try:
            name, arguments, named = connection.recv()
        except EOFError:
            return
        try:
            registry = registry or _open(uri)
            answer = getattr(registry, name)(*arguments, **named)
        except Exception as error:  # noqa: BLE001 - every failure is the answer
            answer = _Failure(f"{type(error).__name__}: {error}")
        try:
            connection.send(answer)
        except BrokenPipeError:
            return


def _open(uri: str) -> Registry:
    from bookwheel_ml.mlflow_registry import MlflowRegistry  # noqa: PLC0415 - here alone: this is the child's purpose

    return MlflowRegistry(uri)
