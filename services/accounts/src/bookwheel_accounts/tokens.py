"""Creates and verifies access tokens for callers and internal tokens for services."""

import time
from dataclasses import dataclass
from datetime import timedelta

from bookwheel_contracts.accounts import INTERNAL_AUDIENCE, PUBLIC_AUDIENCE

from bookwheel_accounts.identity import Identity, format_scopes, parse_scopes
from bookwheel_accounts.signing_keys import KeyRing


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """Creates and verifies tokens. The claim `sub` is the user; `sid` or `key` is the issuing session or API key."""

    key_ring: KeyRing
    issuer: str
    access_lifetime: timedelta
    internal_lifetime: timedelta

    def create_access_token(self, identity: Identity) -> str:
        return self._create_token(identity, PUBLIC_AUDIENCE, self.access_lifetime)

    def create_internal_token(self, identity: Identity) -> str:
        return self._create_token(identity, INTERNAL_AUDIENCE, self.internal_lifetime)

    def verify_access_token(self, token: str) -> tuple[Identity, int]:
        """Returns the identity and the expiry in Unix seconds. Raises jwt.InvalidTokenError or ValueError."""
        return self._verify_token(token, PUBLIC_AUDIENCE)

    def verify_internal_token(self, token: str) -> tuple[Identity, int]:
        """Returns the identity and the expiry in Unix seconds. Raises jwt.InvalidTokenError or ValueError."""
        return self._verify_token(token, INTERNAL_AUDIENCE)

    def _create_token(self, identity: Identity, audience: str, lifetime: timedelta) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": audience,
            "sub": identity.user_id,
            "iat": now,
            "exp": now + int(lifetime.total_seconds()),
            "scope": format_scopes(identity.scopes),
            "sid": identity.session_id,
            "key": identity.key_id,
        }
        return self.key_ring.sign({name: value for name, value in claims.items() if value is not None})

    def _verify_token(self, token: str, audience: str) -> tuple[Identity, int]:
        claims = self.key_ring.verify(token, issuer=self.issuer, audience=audience)
        identity = Identity(
            user_id=claims["sub"],
            scopes=parse_scopes(str(claims.get("scope", ""))),
            session_id=claims.get("sid"),
            key_id=claims.get("key"),
        )
        return identity, int(claims["exp"])
