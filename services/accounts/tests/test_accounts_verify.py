"""Tests of the credential check: accepted credentials and cache lifetimes."""

import base64
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from bookwheel_accounts.signing_keys import create_key_file, load_key_ring
from bookwheel_contracts.accounts import INTERNAL_AUDIENCE, PUBLIC_AUDIENCE


def _claims(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def _unsigned(claims: dict[str, Any], header: dict[str, str]) -> str:
    def part(content: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    return f"{part(header)}.{part(claims)}."


def _with_shared_secret(claims: dict[str, Any], kid: str, secret: str) -> str:
    unsigned = _unsigned(claims, {"alg": "HS256", "typ": "JWT", "kid": kid})
    digest = hmac.digest(secret.encode(), unsigned.rstrip(".").encode(), "sha256")
    return unsigned + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


async def test_valid_token_is_exchanged_for_an_internal_token(accounts: Any) -> None:
    tokens = await accounts.register_and_login()
    response = await accounts.verify(tokens["access_token"])
    assert response.status_code == 204
    claims = _claims(response.headers["x-internal-token"])
    assert claims["aud"] == INTERNAL_AUDIENCE
    assert claims["sub"] == response.headers["x-subject"] == _claims(tokens["access_token"])["sub"]
    assert claims["scope"] == response.headers["x-scopes"] == "catalog:read ml:predict"
    assert claims["exp"] - time.time() > 45
    assert response.headers["x-accel-expires"] == "10"


async def test_jwks_verifies_tokens_and_has_no_private_key(accounts: Any) -> None:
    tokens = await accounts.register_and_login()
    document = (await accounts.http.get("/.well-known/jwks.json")).json()
    assert {"kid", "kty", "crv", "x", "y", "alg", "use"} == set(document["keys"][0])
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(document).keys}
    kid = jwt.get_unverified_header(tokens["access_token"])["kid"]
    jwt.decode(tokens["access_token"], keys[kid], algorithms=["ES256"], audience=PUBLIC_AUDIENCE, issuer="bookwheel")


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "missing"),
        ({"Authorization": ""}, "missing"),
        ({"Authorization": "Bearer"}, "invalid"),
        ({"Authorization": "Bearer "}, "invalid"),
        ({"Authorization": "Basic cmVhZGVyOnNlY3JldA=="}, "invalid"),
        ({"Authorization": "Bearer not.a.token"}, "invalid"),
        ({"Authorization": "Bearer " + "x" * 7000}, "invalid"),
        ({"Authorization": "Bearer bw_unknown"}, "invalid"),
        ({"X-API-Key": "unknown"}, "invalid"),
        ({"X-API-Key": "bw_\u00e9".encode("latin-1")}, "invalid"),
        ({"Authorization": "Bearer x", "X-API-Key": "bw_x"}, "ambiguous"),
    ],
)
async def test_invalid_credential_is_rejected_with_a_reason(
    accounts: Any, headers: dict[str, Any], reason: str
) -> None:
    response = await accounts.http.get("/verify", headers=headers)
    assert (response.status_code, response.headers["x-refusal"]) == (401, reason)
    assert response.headers["x-accel-expires"] == "1"
    assert "x-internal-token" not in response.headers


async def test_forged_token_is_rejected(accounts: Any, tmp_path: Path) -> None:
    token = (await accounts.register_and_login())["access_token"]
    claims, header = _claims(token), jwt.get_unverified_header(token)
    kid = header["kid"]
    ring = load_key_ring(accounts.settings.signing_key_file)
    other_ring = load_key_ring(create_key_file(tmp_path / "other_ring.pem"))
    public_key = json.dumps((await accounts.http.get("/.well-known/jwks.json")).json()["keys"][0])
    head, body, signature = token.split(".")
    forged = {
        "no algorithm": _unsigned(claims, {"alg": "none", "typ": "JWT", "kid": kid}),
        "no algorithm, odd case": _unsigned(claims, {"alg": "nOnE", "typ": "JWT", "kid": kid}),
        "public key as a shared secret": _with_shared_secret(claims, kid, public_key),
        "unknown key": other_ring.sign(claims),
        "another key under our id": jwt.encode(
            claims, other_ring._signing_key.private_key, algorithm="ES256", headers={"kid": kid}
        ),
        "more scopes, old signature": ".".join(
            [head, _unsigned({**claims, "scope": "admin"}, {}).split(".")[1], signature]
        ),
        "no signature": f"{head}.{body}.",
        "another issuer": ring.sign({**claims, "iss": "someone"}),
        "internal audience": ring.sign({**claims, "aud": INTERNAL_AUDIENCE}),
        "no audience": ring.sign({name: value for name, value in claims.items() if name != "aud"}),
        "no expiry": ring.sign({name: value for name, value in claims.items() if name != "exp"}),
        "not yet issued": ring.sign({**claims, "iat": int(time.time()) + 600}),
        "unknown scope": ring.sign({**claims, "scope": "root"}),
        "no login": ring.sign({name: value for name, value in claims.items() if name != "sid"}),
        "somebody's login": ring.sign({**claims, "sub": "usr_other"}),
        "trailing space inside": f"{head} .{body}.{signature}",
    }
    for description, forgery in forged.items():
        response = await accounts.verify(forgery)
        assert response.status_code == 401, description
    expired = await accounts.verify(ring.sign({**claims, "exp": int(time.time()) - 1}))
    assert expired.headers["x-refusal"] == "expired"


async def test_refresh_token_is_not_accepted_as_credential(accounts: Any) -> None:
    tokens = await accounts.register_and_login()
    assert (await accounts.verify(tokens["refresh_token"])).status_code == 401


async def test_response_is_not_cached_longer_than_the_token_is_valid(accounts: Any) -> None:
    token = (await accounts.register_and_login())["access_token"]
    ring = load_key_ring(accounts.settings.signing_key_file)
    soon = ring.sign({**_claims(token), "exp": int(time.time()) + 4})
    assert 1 <= int((await accounts.verify(soon)).headers["x-accel-expires"]) <= 4


async def test_routes_accept_only_the_internal_token(accounts: Any) -> None:
    tokens = await accounts.register_and_login()
    for credential in (tokens["access_token"], "", "x"):
        response = await accounts.http.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {credential}"})
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer")
        assert response.headers["content-type"] == "application/problem+json"
