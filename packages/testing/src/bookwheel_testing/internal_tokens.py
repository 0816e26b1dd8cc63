"""Creates internal tokens and serves their key set, for tests of a single service."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import jwt
from bookwheel_contracts.accounts import INTERNAL_AUDIENCE
from cryptography.hazmat.primitives.asymmetric import ec

from bookwheel_testing.shop_site import serving_site

ISSUER = "bookwheel"
_KEY = ec.generate_private_key(ec.SECP256R1())
_PATH = "jwks.json"


def internal_token(scope: str = "catalog:read", *, subject: str = "user:1", seconds: int = 7200) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": INTERNAL_AUDIENCE, "sub": subject, "iat": now, "exp": now + seconds}
    return jwt.encode({**claims, "scope": scope}, _KEY, "ES256", {"kid": "one"})


def key_set() -> bytes:
    """Returns the JWKS document of the signing key."""
    public = jwt.algorithms.ECAlgorithm.to_jwk(_KEY.public_key(), as_dict=True)
    return json.dumps({"keys": [{**public, "kid": "one", "alg": "ES256", "use": "sig"}]}).encode()


@contextmanager
def serving_keys() -> Iterator[str]:
    """Serves the key set on loopback. Yields its URL."""
    with serving_site() as site:
        site.pages[f"/{_PATH}"] = key_set()
        yield site.url + _PATH
