"""Simulates the kill of a process between two steps of its work."""

from typing import Any

import pytest


class SimulatedCrash(BaseException):
    """Simulates SIGKILL."""


def crash_after(steps: int, monkeypatch: pytest.MonkeyPatch, patched_class: type, *methods: str) -> None:
    """Patches methods of a class: after `steps` calls, each further call raises SimulatedCrash."""
    calls = 0

    def patch(name: str) -> None:
        original = getattr(patched_class, name)

        def call(self: Any, *arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > steps:
                raise SimulatedCrash
            return original(self, *arguments, **options)

        monkeypatch.setattr(patched_class, name, call)

    for name in methods:
        patch(name)
