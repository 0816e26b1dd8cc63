"""Who a checked credential stands for."""

from dataclasses import dataclass

from bookwheel_contracts import Scope


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, by way of a login (`session_id`) or of an API key (`key_id`), with the scopes of that way."""

    user_id: str
    scopes: frozenset[Scope]
    session_id: str | None = None
    key_id: str | None = None


def parse_scopes(text: str) -> frozenset[Scope]:
    """Scopes of a space- or comma-separated list. Raises ValueError for an unknown one."""
    return frozenset(Scope(name) for name in text.replace(",", " ").split())


def format_scopes(scopes: frozenset[Scope]) -> str:
    return " ".join(sorted(scopes))


def covers(held: frozenset[Scope], wanted: frozenset[Scope]) -> bool:
    """Whether the holder of `held` may hand out `wanted`; `admin` includes every other scope."""
    return Scope.ADMIN in held or wanted <= held


def still_held(asked: frozenset[Scope], held: frozenset[Scope]) -> frozenset[Scope]:
    """What is left of a credential's scopes after its user lost some."""
    return asked if Scope.ADMIN in held else asked & held
