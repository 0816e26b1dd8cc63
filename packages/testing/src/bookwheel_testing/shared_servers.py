"""One PostgreSQL, one Elasticsearch and one S3 server for all processes of a test run.

Its first process keeps them: it starts each when a test first asks for it, and stops all at the end. What the processes
put there has names of its own (`engines.py`), so they do not meet.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from secrets import token_bytes
from typing import Any

from bookwheel_local.errors import LocalError

Ask = Callable[[str], Any]
"""How the server of a kind is reached; RuntimeError where it does not start."""


class SharedServers:
    """Starts servers by their kinds, each once however many ask, and stops them when it is closed."""

    def __init__(self, kinds: Mapping[str, Callable[[], AbstractContextManager[Any]]]) -> None:
        self._kinds = kinds
        self._locks = {kind: threading.Lock() for kind in kinds}
        self._kept: dict[str, Any] = {}
        self._running = ExitStack()
        self._listener: Listener | None = None
        self._key = token_bytes(16)

    def ask(self, kind: str) -> Any:
        with self._locks[kind]:
            if kind not in self._kept:
                self._kept[kind] = self._running.enter_context(self._kinds[kind]())
            return self._kept[kind]

    def invitation(self) -> tuple[str, str]:
        """What another process gives to `asking`."""
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
                asked = listener.accept()
            except (AuthenticationError, EOFError):  # who is none of the run
                continue
            except OSError:  # closed
                return
            threading.Thread(target=self._answer, args=(asked,), daemon=True).start()

    def _answer(self, asked: Connection) -> None:
        with asked, suppress(EOFError, OSError):
            kind = asked.recv()
            try:
                asked.send((self.ask(kind), None))
            except (LocalError, RuntimeError, OSError) as error:
                asked.send((None, f"{kind}: {error}"))


def asking(invitation: tuple[str, str]) -> Ask:
    """Asks the keeper in another process."""
    path, key = invitation

    def ask(kind: str) -> Any:
        with Client(path, authkey=bytes.fromhex(key)) as keeper:
            keeper.send(kind)
            found, problem = keeper.recv()
        if problem is not None:
            raise RuntimeError(problem)
        return found

    return ask
