"""A process that is killed in the midst of its work on a lake."""

from typing import Any

import pytest
from bookwheel_stores.lake import Lake


class SimulatedCrash(BaseException):
    """Where it was killed."""


def crash_after(steps: int, monkeypatch: pytest.MonkeyPatch, *methods: str) -> None:
    """Raises Dead in place of the call after so many calls of these methods of a lake, until the patch is undone."""
    done = 0

    def counted(name: str) -> None:
        original = getattr(Lake, name)

        def call(self: Lake, *arguments: Any) -> Any:
            nonlocal done
            done += 1
            if done > steps:
                raise SimulatedCrash
            return original(self, *arguments)

        monkeypatch.setattr(Lake, name, call)

    for name in methods:
        counted(name)
