"""Parses contributors. Stub: the signatures are final."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from bookwheel_extraction.values.parsed import Parsed


class Role(StrEnum):
    AUTHOR = "author"
    EDITOR = "editor"
    TRANSLATOR = "translator"
    ILLUSTRATOR = "illustrator"
    NARRATOR = "narrator"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Contributor:
    name: str
    role: Role


def parse_contributors(value: object, role: Role = Role.AUTHOR) -> Parsed[tuple[Contributor, ...]]:
    """Parse a text or a list of texts. `role` is of names without one: `Ann Lee (Illustrator)` has one."""
    raise NotImplementedError


def merge_contributors(groups: Sequence[Sequence[Contributor]]) -> tuple[Contributor, ...]:
    """Return distinct contributors in their order."""
    raise NotImplementedError
