"""Deterministic random values. A key has the same values on every machine and Python version."""

from collections.abc import Sequence
from hashlib import blake2b
from random import Random
from typing import TypeVar

Item = TypeVar("Item")


def fraction(key: str) -> float:
    """Returns a random value in [0, 1)."""
    return int.from_bytes(blake2b(key.encode(), digest_size=6).digest(), "big") / 2.0**48


class Draws:
    """A sequence of random values. It uses only `Random.random`, because Python guarantees its values."""

    def __init__(self, key: str) -> None:
        self._random = Random(key).random  # noqa: S311 - generated books, not secrets

    def fraction(self) -> float:
        return self._random()

    def below(self, limit: int) -> int:
        """Returns an integer from 0 to `limit` - 1."""
        return int(self._random() * limit)

    def pick(self, items: Sequence[Item]) -> Item:
        return items[int(self._random() * len(items))]

    def chance(self, probability: float) -> bool:
        return self._random() < probability
