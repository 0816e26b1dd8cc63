"""What hashing a password costs, to us and to who guesses."""

import asyncio
import time
from typing import Any

import pytest
from pwdlib import PasswordHash


@pytest.fixture
def argon2() -> PasswordHash:
    return PasswordHash.recommended()


async def test_an_unknown_address_costs_the_same_work(accounts: Any) -> None:
    await accounts.register()

    async def least_seconds(email: str) -> float:
        taken = []
        for _ in range(4):
            started = time.perf_counter()
            await accounts.login(email, "not the right password")
            taken.append(time.perf_counter() - started)
        return min(taken)

    known, unknown = await least_seconds("reader@example.com"), await least_seconds("nobody@example.com")
    assert unknown > known / 3


async def test_a_flood_of_logins_is_turned_away_and_not_queued_for_ever(accounts: Any) -> None:
    answers = await asyncio.gather(*(accounts.login("nobody@example.com") for _ in range(60)))
    statuses = {answer.status_code for answer in answers}
    assert statuses == {401, 503}
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.headers["retry-after"] == "2"
    assert (await accounts.login("nobody@example.com")).status_code == 401
