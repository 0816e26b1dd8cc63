"""Serves from several processes that share one listening socket; together they behave like one.

Whoever stops, kills or watches the first process stops, kills or watches all of them: uvicorn's own workers outlive a
killed parent, and hold the port that the next one needs.
"""

import ctypes
import logging
import os
import signal
import socket
import sys

import uvicorn

logger = logging.getLogger(__name__)

_STOPPING = frozenset({signal.SIGTERM, signal.SIGINT})
_AWAITED = _STOPPING | {signal.SIGCHLD}
_PR_SET_PDEATHSIG = 1
_NEVER_STARTED = 3  # as `uvicorn.run` has it


def serve(config: uvicorn.Config, processes: int) -> int:
    """Serves until it is told to stop, or one of the processes ends by itself. Returns the exit status.

    No thread may run yet. The app is to be made by a factory, in each process anew: a connection belongs to one.
    """
    if processes == 1:
        return _run(uvicorn.Server(config), None)
    listening = config.bind_socket()
    parent = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    workers = set()
    for _ in range(processes):
        worker = os.fork()
        if worker == 0:
            _die_with(parent)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)
            return _run(uvicorn.Server(config), [listening])
        workers.add(worker)
    listening.close()
    return _watch(workers)


def _run(server: uvicorn.Server, sockets: list[socket.socket] | None) -> int:
    server.run(sockets)
    return 0 if server.started else _NEVER_STARTED


def _watch(workers: set[int]) -> int:
    status, is_stopping = 0, False
    while workers:
        received = signal.sigwait(_AWAITED)
        for worker, ended in _ended(workers):
            workers.remove(worker)
            if not is_stopping:
                status = abs(ended) or 1
                logger.error("a process of the service ended by itself, with status %d: all end", ended)
        if workers and (status or received in _STOPPING) and not is_stopping:
            is_stopping = True
            for worker in workers:
                os.kill(worker, signal.SIGTERM)
    return status


def _ended(workers: set[int]) -> list[tuple[int, int]]:
    """Those that have ended, each with its status; minus the signal's number where one ended it."""
    found = [os.waitpid(worker, os.WNOHANG) for worker in workers]
    return [(worker, os.waitstatus_to_exitcode(status)) for worker, status in found if worker]


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # which died before it was asked for
            os._exit(1)
