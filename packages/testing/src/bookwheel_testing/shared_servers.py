"""Shares PostgreSQL, Elasticsearch, S3 and GCS servers between all processes of a test run.

The first process starts each server at its first use and stops all servers at the end. Tests use their own databases,
index prefixes and buckets (`engines.py`).
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from secrets import token_bytes
from typing import Any

from bookwheel_local.errors import LocalError


class SharedServers:
    """Starts each server at its first use, and stops all servers when it is closed."""

    def __init__(self, factories: Mapping[str, Callable[[], AbstractContextManager[Any]]]) -> None:
        self._factories = factories
        self._locks = {name: threading.Lock() for name in factories}
        self._servers: dict[str, Any] = {}
        self._running = ExitStack()
        self._listener: Listener | None = None
        self._key = token_bytes(16)

    def get(self, name: str) -> Any:
        with self._locks[name]:
            if name not in self._servers:
                self._servers[name] = self._running.enter_context(self._factories[name]())
            return self._servers[name]

    def address(self) -> tuple[str, str]:
        """Returns the socket and its key for `server_lookup` in another process."""
        if self._listener is None:
            self._listener = Listener(family="AF_UNIX", authkey=self._key)
            threading.Thread(target=self._listen, args=(self._listener,), daemon=True).start()
        return str(self._listener.address), self._key.hex()

    def close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self._running.close()

    def _listen(self, listener: Listener) -> None:
        while True:
            try:
                connection = listener.accept()
            except (AuthenticationError, EOFError):  # a client without the key
                continue
            except OSError:  # closed
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: Connection) -> None:
        with connection, suppress(EOFError, OSError):
            name = connection.recv()
            try:
                connection.send((self.get(name), None))
            except (LocalError, RuntimeError, OSError) as error:
                connection.send((None, f"{name}: {error}"))


def server_lookup(address: tuple[str, str]) -> Callable[[str], Any]:
    """Returns a function that gets servers from another process. It raises RuntimeError if a server does not start."""
    path, key = address

    def get(name: str) -> Any:
        with Client(path, authkey=bytes.fromhex(key)) as connection:
            connection.send(name)
            server, error = connection.recv()
        if error is not None:
            raise RuntimeError(error)
        return server

    return get
