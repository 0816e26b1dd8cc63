"""The gateway's check: which credentials are good, and for how long."""

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


async def test_a_good_token_becomes_an_internal_one(accounts: Any) -> None:
    tokens = await accounts.registered()
    answer = await accounts.verify(tokens["access_token"])
    assert answer.status_code == 204
    claims = _claims(answer.headers["x-internal-token"])
    assert claims["aud"] == INTERNAL_AUDIENCE
    assert claims["sub"] == answer.headers["x-subject"] == _claims(tokens["access_token"])["sub"]
    assert claims["scope"] == answer.headers["x-scopes"] == "catalog:read ml:predict"
    assert claims["exp"] - time.time() > 45
    assert answer.headers["x-accel-expires"] == "10"


async def test_the_jwks_verifies_both_tokens_and_holds_no_private_part(accounts: Any) -> None:
    tokens = await accounts.registered()
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
async def test_what_is_no_credential_is_refused_with_its_reason(
    accounts: Any, headers: dict[str, Any], reason: str
) -> None:
    answer = await accounts.http.get("/verify", headers=headers)
    assert (answer.status_code, answer.headers["x-refusal"]) == (401, reason)
    assert answer.headers["x-accel-expires"] == "1"
    assert "x-internal-token" not in answer.headers


async def test_a_token_that_was_tampered_with_is_refused(accounts: Any, tmp_path: Path) -> None:
    token = (await accounts.registered())["access_token"]
    claims, header = _claims(token), jwt.get_unverified_header(token)
    kid = header["kid"]
    ring = load_key_ring(accounts.settings.signing_key_file)
    stranger = load_key_ring(create_key_file(tmp_path / "stranger.pem"))
    public_key = json.dumps((await accounts.http.get("/.well-known/jwks.json")).json()["keys"][0])
    head, body, signature = token.split(".")
    forged = {
        "no algorithm": _unsigned(claims, {"alg": "none", "typ": "JWT", "kid": kid}),
        "no algorithm, odd case": _unsigned(claims, {"alg": "nOnE", "typ": "JWT", "kid": kid}),
        "public key as a shared secret": _with_shared_secret(claims, kid, public_key),
        "unknown key": stranger.sign(claims),
        "another key under our id": jwt.encode(
            claims, stranger._signing_key.private_key, algorithm="ES256", headers={"kid": kid}
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
    for what, forgery in forged.items():
        answer = await accounts.verify(forgery)
        assert answer.status_code == 401, what
    expired = await accounts.verify(ring.sign({**claims, "exp": int(time.time()) - 1}))
    assert expired.headers["x-refusal"] == "expired"


async def test_a_refresh_token_is_no_credential(accounts: Any) -> None:
    tokens = await accounts.registered()
    assert (await accounts.verify(tokens["refresh_token"])).status_code == 401


async def test_an_answer_is_reused_no_longer_than_its_token_lives(accounts: Any) -> None:
    token = (await accounts.registered())["access_token"]
    ring = load_key_ring(accounts.settings.signing_key_file)
    soon = ring.sign({**_claims(token), "exp": int(time.time()) + 4})
    assert 1 <= int((await accounts.verify(soon)).headers["x-accel-expires"]) <= 4


async def test_protected_routes_take_the_internal_token_only(accounts: Any) -> None:
    tokens = await accounts.registered()
    for credential in (tokens["access_token"], "", "x"):
        answer = await accounts.http.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {credential}"})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
