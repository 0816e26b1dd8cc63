"""Password policy and hashing (argon2id)."""

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import files
from typing import TypeVar

from bookwheel_contracts import FieldError
from bookwheel_contracts.problems import InvalidParameterError, UnavailableError
from pwdlib import PasswordHash

Result = TypeVar("Result")

MIN_LENGTH = 10
MAX_LENGTH = 256
_WAITING_PER_WORKER = 16  # at 0.1 s each the last in the queue waits some 2 s; more callers are told to come back


@cache
def _common_passwords() -> frozenset[str]:
    return frozenset(files("bookwheel_accounts").joinpath("common_passwords.txt").read_text().split())


def normalize(password: str) -> str:
    """One form for what looks alike, so that a password typed on another keyboard still fits (NIST SP 800-63B)."""
    return unicodedata.normalize("NFKC", password)


def check_policy(password: str, *, email: str) -> None:
    """Raises InvalidParameter for a password that is too short, or among the first that an attacker tries."""
    password = normalize(password)
    folded = password.casefold()
    local_part = email.partition("@")[0].casefold()
    if len(password) < MIN_LENGTH:
        fault = f"must have at least {MIN_LENGTH} characters"
    elif folded in _common_passwords() or len(set(folded)) < 4:
        fault = "is too easy to guess"
    elif folded == email.casefold() or folded.strip("0123456789!.-_") == local_part:
        fault = "must not be the e-mail address"
    else:
        return
    error = FieldError(field="password", code="weak_password", message=fault)
    raise InvalidParameterError(f"The password {fault}.", errors=(error,))


class PasswordHasher:
    """Hashes in its own few threads, so that a flood of logins slows neither memory nor the token checks."""

    def __init__(self, workers: int, argon2: PasswordHash | None = None) -> None:
        self._argon2 = argon2 or PasswordHash.recommended()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="argon2")
        self._room = workers * _WAITING_PER_WORKER
        self._nobody = self._argon2.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._argon2.hash(normalize(password)))

    async def verify(self, password: str, hashed: str | None) -> bool:
        """False for an unknown user (`hashed` None) too, after the same work."""
        fits = await self._run(lambda: self._argon2.verify(normalize(password), hashed or self._nobody))
        return fits and hashed is not None

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._room == 0:
            raise UnavailableError("Too many logins are waiting.", retry_after=2)
        self._room -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._room += 1
