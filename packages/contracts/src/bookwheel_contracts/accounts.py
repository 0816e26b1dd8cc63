"""Who is asking, and what they may do."""

from enum import StrEnum

from bookwheel_contracts.model import Contract


class Scope(StrEnum):
    CATALOG_READ = "catalog:read"
    ML_PREDICT = "ml:predict"
    CRAWL_WRITE = "crawl:write"
    ADMIN = "admin"


INTERNAL_AUDIENCE = "bookwheel-internal"
"""The audience of the token that the gateway passes to the services in place of the caller's credential."""
PUBLIC_AUDIENCE = "bookwheel"
"""The audience of the access tokens that callers hold."""


class Claims(Contract):
    """A verified token's claims. `admin` includes every other scope."""

    sub: str
    scopes: frozenset[Scope]
    expires_at: int

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes
