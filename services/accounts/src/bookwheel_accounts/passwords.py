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
_QUEUE_PER_WORKER = 16  # at 0.1 s each the last one waits for 2 s


@cache
def _common_passwords() -> frozenset[str]:
    return frozenset(files("bookwheel_accounts").joinpath("common_passwords.txt").read_text().split())


def normalize(password: str) -> str:
    """Normalizes equal-looking characters, so a password matches from any keyboard (NIST SP 800-63B)."""
    return unicodedata.normalize("NFKC", password)


def check_policy(password: str, *, email: str) -> None:
    """Raises InvalidParameterError for a password that is too short or easy to guess."""
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
    raise InvalidParameterError(f"`password` is invalid: it {fault}.", errors=(error,))


class PasswordHasher:
    """Hashes in a few threads of its own, which bounds the memory of many logins and does not delay token checks."""

    def __init__(self, workers: int, argon2: PasswordHash | None = None) -> None:
        self._argon2 = argon2 or PasswordHash.recommended()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="argon2")
        self._free_places = workers * _QUEUE_PER_WORKER
        self._unknown_user_hash = self._argon2.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._argon2.hash(normalize(password)))

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Returns False for an unknown user (`password_hash` is None), after the same work."""
        is_correct = await self._run(
            lambda: self._argon2.verify(normalize(password), password_hash or self._unknown_user_hash)
        )
        return is_correct and password_hash is not None

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._free_places == 0:
            raise UnavailableError("Logins are unavailable: too many are waiting. Retry later.", retry_after=2)
        self._free_places -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._free_places += 1
