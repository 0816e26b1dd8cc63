"""Verified identities and scopes."""

from enum import StrEnum

from bookwheel_contracts.model import Contract


class Scope(StrEnum):
    CATALOG_READ = "catalog:read"
    ML_PREDICT = "ml:predict"
    CRAWL_WRITE = "crawl:write"
    ADMIN = "admin"


INTERNAL_AUDIENCE = "bookwheel-internal"
"""The audience of internal tokens."""
PUBLIC_AUDIENCE = "bookwheel"
"""The audience of access tokens."""


class Claims(Contract):
    """A verified token's claims. `admin` includes every other scope. `expires_at` is in Unix seconds."""

    sub: str
    scopes: frozenset[Scope]
    expires_at: int

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes
