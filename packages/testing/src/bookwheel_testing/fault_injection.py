"""Simulates a process that is killed between two steps of its work."""

from typing import Any

import pytest


class SimulatedCrash(BaseException):
    """The process is killed here."""


def crash_after(steps: int, monkeypatch: pytest.MonkeyPatch, owner: type, *methods: str) -> None:
    """After `steps` calls of these methods of a class, raises SimulatedCrash in place of each further call, until the
    patch is undone."""
    calls = 0

    def patch(name: str) -> None:
        original = getattr(owner, name)

        def call(self: Any, *arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > steps:
                raise SimulatedCrash
            return original(self, *arguments, **options)

        monkeypatch.setattr(owner, name, call)

    for name in methods:
        patch(name)
