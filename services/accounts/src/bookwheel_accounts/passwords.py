"""Checks the password policy, and hashes passwords with argon2id."""

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

MIN_PASSWORD_LENGTH = 10
MAX_PASSWORD_LENGTH = 256
_MAX_QUEUE_PER_WORKER = 16  # the last password waits for up to 2 s: a hash takes 0.1 s


@cache
def _common_passwords() -> frozenset[str]:
    return frozenset(files("bookwheel_accounts").joinpath("common_passwords.txt").read_text().split())


def normalize(password: str) -> str:
    """Returns the NFKC form, so that a password matches from any keyboard (NIST SP 800-63B)."""
    return unicodedata.normalize("NFKC", password)


def check_policy(password: str, *, email: str) -> None:
    """Raises InvalidParameterError for a password that is too short or easy to guess."""
    password = normalize(password)
    lowercase_password = password.casefold()
    local_part = email.partition("@")[0].casefold()
    if len(password) < MIN_PASSWORD_LENGTH:
        violation = f"must have at least {MIN_PASSWORD_LENGTH} characters"
    elif lowercase_password in _common_passwords() or len(set(lowercase_password)) < 4:
        violation = "is too easy to guess"
    elif lowercase_password == email.casefold() or lowercase_password.strip("0123456789!.-_") == local_part:
        violation = "must not be the e-mail address"
    else:
        return
    field_error = FieldError(field="password", code="weak_password", message=violation)
    raise InvalidParameterError(f"`password` is invalid: it {violation}.", errors=(field_error,))


class PasswordHasher:
    """Hashes passwords in a small thread pool. It limits the memory of hashing and does not delay other requests."""

    def __init__(self, workers: int, argon2: PasswordHash | None = None) -> None:
        self._argon2 = argon2 or PasswordHash.recommended()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="argon2")
        self._free_slots = workers * _MAX_QUEUE_PER_WORKER
        self._unknown_user_hash = self._argon2.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._argon2.hash(normalize(password)))

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Returns True if the password matches. An unknown user has no hash: returns False in the same time."""
        is_match = await self._run(
            lambda: self._argon2.verify(normalize(password), password_hash or self._unknown_user_hash)
        )
        return is_match and password_hash is not None

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    async def _run(self, function: Callable[[], Result]) -> Result:
        if self._free_slots == 0:
            raise UnavailableError("Too many logins are in progress: retry later.", retry_after=2)
        self._free_slots -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, function)
        finally:
            self._free_slots += 1
