"""Runs the model registry in a child process.

Importing MLflow takes 7 s of CPU and 180 MB. In a thread of the serving process it would block every request that long.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import cache
from typing import Any, Concatenate, ParamSpec, TypeVar

from bookwheel_contracts.problems import UnavailableError

from bookwheel_ml.registry.base import Registry

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_RETRY_AFTER = 5


class RegistryProcess:
    """One child process, started by the first call and replaced after it died or hung. It runs one call at a time."""

    def __init__(self, uri: str, *, timeout: float = 50.0, first_timeout: float = 300.0) -> None:
        """Limits each call to `timeout` seconds, and a child's first one, which imports MLflow, to `first_timeout`."""
        self._uri = uri
        self._timeout = timeout
        self._first_timeout = first_timeout
        self._lock = asyncio.Lock()
        self._executor: ProcessPoolExecutor | None = None
        self._pid: Future[int] = Future()
        self._has_answered = False

    async def call(
        self,
        method: Callable[Concatenate[Registry, Arguments], Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Calls a method of `Registry` in the child. Raises UnavailableError if it fails or takes too long."""
        async with self._lock:
            try:
                call = self.start().submit(_call, self._uri, method.__name__, args, kwargs)
                async with asyncio.timeout(self._timeout if self._has_answered else self._first_timeout):
                    result: Result = await asyncio.wrap_future(call)
            except RegistryCallError as error:
                self._has_answered = True
                raise UnavailableError(
                    f"The model registry is unavailable: retry later. {error}", retry_after=_RETRY_AFTER
                ) from error
            except BrokenProcessPool as error:
                self.close()
                raise UnavailableError(
                    "The model registry is unavailable: its process ended. Retry later.", retry_after=_RETRY_AFTER
                ) from error
            except TimeoutError as error:
                self.close()
                raise UnavailableError(
                    "The model registry is unavailable: it did not answer in time. Retry later.",
                    retry_after=_RETRY_AFTER,
                ) from error
            except asyncio.CancelledError:
                self.close()  # it may hang
                raise
            self._has_answered = True
            return result

    def start(self) -> ProcessPoolExecutor:
        """Starts the child unless it runs."""
        if self._executor is None:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(1, mp_context=context, initializer=_exit_with_parent)
            self._pid = self._executor.submit(os.getpid)
            self._has_answered = False
        return self._executor

    @property
    def pid(self) -> int:
        """The child's process id. Blocks while the child starts."""
        return self._pid.result()

    def close(self) -> None:
        """Ends the child without waiting for a running call."""
        executor, self._executor = self._executor, None
        if executor is None:
            return
        executor.shutdown(wait=False, cancel_futures=True)
        if self._pid.done() and not self._pid.cancelled() and self._pid.exception() is None:
            with suppress(ProcessLookupError):
                os.kill(self._pid.result(), signal.SIGKILL)  # `shutdown` does not end a call that hangs


class RegistryCallError(Exception):
    """A call failed in the child. MLflow's own exceptions cannot always be pickled."""


def _exit_with_parent() -> None:
    """Ends the child when its parent was killed: a worker of `ProcessPoolExecutor` would wait for calls forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="exit-with-parent", daemon=True).start()


def _call(uri: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return getattr(_open_registry(uri), method)(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - the caller gets every error
        raise RegistryCallError(f"{type(error).__name__}: {error}") from None


@cache
def _open_registry(uri: str) -> Registry:
    from bookwheel_ml.registry.mlflow_registry import MlflowRegistry  # noqa: PLC0415 - only the child imports MLflow

    return MlflowRegistry(uri)
