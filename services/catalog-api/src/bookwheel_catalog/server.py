"""Serves the catalog with uvicorn, in one process or in several processes that stop together."""

import multiprocessing
import os
import signal
import socket
import threading
from multiprocessing.connection import wait

import uvicorn
from bookwheel_runtime.logs import get_logger
from fastapi import FastAPI

from bookwheel_catalog.app import create_app
from bookwheel_catalog.settings import CatalogSettings

logger = get_logger(__name__)
_STARTUP_FAILED = 3
"""`uvicorn.run` uses the same exit status."""


def serve(settings: CatalogSettings) -> int:
    """Serves until SIGTERM or SIGINT, or until a worker exits unexpectedly. Returns the exit status.

    Uvicorn's own workers are not used. They keep running and hold the port after their parent was killed. Uvicorn also
    restarts a worker that exits, without reporting an error.
    """
    if settings.catalog_workers == 1:
        return _run_server(settings, None)
    listener = _create_config(settings).bind_socket()
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=_run_worker, args=(settings, listener)) for _ in range(settings.catalog_workers)]

    for worker in workers:
        worker.start()
    listener.close()
    stop_reader, stop_writer = multiprocessing.Pipe(duplex=False)
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop_writer.send(None))
    ready_objects = wait([stop_reader, *(worker.sentinel for worker in workers)])
    exited_workers = [worker for worker in workers if worker.sentinel in ready_objects]
    for worker in exited_workers:
        worker.join()
        logger.error("worker exited unexpectedly", worker=worker.pid, exit_code=worker.exitcode)
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join()
    return abs(exited_workers[0].exitcode or 1) if exited_workers else 0


def _run_worker(settings: CatalogSettings, listener: socket.socket) -> None:
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, signal.SIG_DFL)
    threading.Thread(target=_exit_with_parent, name="parent-watch", daemon=True).start()
    raise SystemExit(_run_server(settings, [listener]))


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)


def _run_server(settings: CatalogSettings, sockets: list[socket.socket] | None) -> int:
    def make_app() -> FastAPI:
        return create_app(settings, is_stopping=lambda: server.should_exit)

    config = _create_config(settings)
    config.app = make_app
    server = uvicorn.Server(config)
    server.run(sockets)
    return 0 if server.started else _STARTUP_FAILED


def _create_config(settings: CatalogSettings) -> uvicorn.Config:
    return uvicorn.Config(
        "",
        factory=True,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
    )
