"""Runs the model registry in a child process.

Importing MLflow takes 7 s of CPU and 180 MB. In a thread of the serving process, the import would block
all requests for that time.
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

_RETRY_AFTER_SECONDS = 5


class RegistryProcess:
    """Runs one call at a time in a child process. A call starts a child if none runs or the last one died or hung."""

    def __init__(self, uri: str, *, timeout: float = 50.0, first_timeout: float = 300.0) -> None:
        """Both timeouts are in seconds. `first_timeout` is for the first call of a child, which imports MLflow."""
        self._uri = uri
        self._timeout = timeout
        self._first_timeout = first_timeout
        self._lock = asyncio.Lock()
        self._executor: ProcessPoolExecutor | None = None
        self._pid_future: Future[int] = Future()
        self._has_responded = False

    async def call(
        self,
        method: Callable[Concatenate[Registry, Arguments], Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Calls a method of `Registry` in the child. Raises UnavailableError if it fails or takes too long."""
        async with self._lock:
            try:
                call = self.ensure_started().submit(_call, self._uri, method.__name__, args, kwargs)
                async with asyncio.timeout(self._timeout if self._has_responded else self._first_timeout):
                    result: Result = await asyncio.wrap_future(call)
            except RegistryCallError as error:
                self._has_responded = True
                raise UnavailableError(
                    f"The model registry is unavailable: retry later. {error}", retry_after=_RETRY_AFTER_SECONDS
                ) from error
            except BrokenProcessPool as error:
                self.close()
                raise UnavailableError(
                    "The model registry is unavailable: its process exited. Retry later.",
                    retry_after=_RETRY_AFTER_SECONDS,
                ) from error
            except TimeoutError as error:
                self.close()
                raise UnavailableError(
                    "The model registry is unavailable: it did not respond in time. Retry later.",
                    retry_after=_RETRY_AFTER_SECONDS,
                ) from error
            except asyncio.CancelledError:
                self.close()  # the call may hang
                raise
            self._has_responded = True
            return result

    def ensure_started(self) -> ProcessPoolExecutor:
        """Starts the child unless it runs, and returns its executor."""
        if self._executor is None:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(1, mp_context=context, initializer=_exit_with_parent)
            self._pid_future = self._executor.submit(os.getpid)
            self._has_responded = False
        return self._executor

    @property
    def pid(self) -> int:
        """The child's process id. Blocks while the child starts."""
        return self._pid_future.result()

    def close(self) -> None:
        """Ends the child without waiting for a running call."""
        executor, self._executor = self._executor, None
        if executor is None:
            return
        executor.shutdown(wait=False, cancel_futures=True)
        if self._pid_future.done() and not self._pid_future.cancelled() and self._pid_future.exception() is None:
            with suppress(ProcessLookupError):
                os.kill(self._pid_future.result(), signal.SIGKILL)  # `shutdown` does not end a call that hangs


class RegistryCallError(Exception):
    """A call failed in the child. MLflow's own exceptions cannot always be pickled."""


def _exit_with_parent() -> None:
    """Ends the child when its parent dies. Without it, a worker of `ProcessPoolExecutor` would wait forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait_for_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_for_parent, name="exit-with-parent", daemon=True).start()


def _call(uri: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return getattr(_open_registry(uri), method)(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - every error is raised in the parent
        raise RegistryCallError(f"{type(error).__name__}: {error}") from None


@cache
def _open_registry(uri: str) -> Registry:
    from bookwheel_ml.registry.mlflow_registry import MlflowRegistry  # noqa: PLC0415 - only the child imports MLflow

    return MlflowRegistry(uri)
