"""Tests of the cost of password hashing."""

import asyncio
import time
from typing import Any

import pytest
from pwdlib import PasswordHash


@pytest.fixture
def argon2() -> PasswordHash:
    return PasswordHash.recommended()


async def test_login_takes_the_same_time_for_an_unknown_address(accounts: Any) -> None:
    await accounts.register()

    async def least_seconds(email: str) -> float:
        durations = []
        for _ in range(4):
            started = time.perf_counter()
            await accounts.login(email, "not the right password")
            durations.append(time.perf_counter() - started)
        return min(durations)

    seconds, unknown_seconds = await least_seconds("reader@example.com"), await least_seconds("nobody@example.com")
    assert unknown_seconds > seconds / 3


async def test_too_many_concurrent_logins_return_503(accounts: Any) -> None:
    responses = await asyncio.gather(*(accounts.login("nobody@example.com") for _ in range(60)))
    statuses = {response.status_code for response in responses}
    assert statuses == {401, 503}
    rejected = next(response for response in responses if response.status_code == 503)
    assert rejected.headers["retry-after"] == "2"
    assert (await accounts.login("nobody@example.com")).status_code == 401
