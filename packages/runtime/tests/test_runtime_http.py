"""Errors, query parameters, tokens and readiness of every HTTP service."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Annotated, Any

import httpx
import jwt
import pytest
import pytest_asyncio
from bookwheel_contracts import Claims, Scope
from bookwheel_contracts.accounts import INTERNAL_AUDIENCE, PUBLIC_AUDIENCE
from bookwheel_contracts.problems import ConflictError
from bookwheel_runtime.app_factory import create_service_app
from bookwheel_runtime.query_models import QueryModel
from bookwheel_runtime.tokens import TokenVerifier, require_scope
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import Body, Depends, FastAPI, Query
from pydantic import BaseModel, Field

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
ISSUER = "bookwheel-test"
TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"


def token(key: ec.EllipticCurvePrivateKey = KEY, *, key_id: str = "one", **changed: object) -> str:
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": INTERNAL_AUDIENCE,
        "sub": "user:1",
        "iat": now,
        "exp": now + 60,
        "scope": "catalog:read",
        **changed,
    }
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not None}, key, "ES256", {"kid": key_id}
    )


class KeyServer(HTTPServer):
    requests = 0
    status = 200
    key_id = "one"


class _Keys(BaseHTTPRequestHandler):
    server: KeyServer

    def do_GET(self) -> None:
        self.server.requests += 1
        public = jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
        body = json.dumps({"keys": [{**public, "kid": self.server.key_id, "alg": "ES256", "use": "sig"}]}).encode()
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - name of the base class
        """Logs nothing."""


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    server = KeyServer(("127.0.0.1", 0), _Keys)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class ThingParameters(QueryModel):
    limit: int = Field(default=1, ge=1)
    filters: list[str] | None = Field(default=None, alias="filter")


class Order(BaseModel):
    quantity: int


def example_app(verifier: TokenVerifier) -> FastAPI:
    async def broken() -> None:
        raise ConnectionError("the store is unavailable")

    app = create_service_app(title="t", description="d", token_verifier=verifier, readiness={"store": broken})

    @app.get("/things")
    async def things(parameters: Annotated[ThingParameters, Query()]) -> dict[str, object]:
        return parameters.model_dump(by_alias=True)

    @app.get("/mine")
    async def mine(claims: Annotated[Claims, Depends(require_scope(Scope.CATALOG_READ))]) -> str:
        return claims.sub

    @app.get("/admin")
    async def admin(claims: Annotated[Claims, Depends(require_scope(Scope.ADMIN))]) -> str:
        return claims.sub

    @app.post("/orders")
    async def orders(order: Annotated[list[Order], Body()]) -> int:
        return len(order)

    @app.get("/clash")
    async def clash() -> None:
        raise ConflictError("already there", retry_after=7)

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("secret text")

    return app


@pytest_asyncio.fixture
async def client(key_server: KeyServer) -> AsyncIterator[httpx.AsyncClient]:
    verifier = TokenVerifier(jwks_url=f"http://127.0.0.1:{key_server.server_port}/", issuer=ISSUER)
    transport = httpx.ASGITransport(example_app(verifier), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def problem(client: httpx.AsyncClient, path: str, status: int, **options: Any) -> dict[str, Any]:
    response = await client.request(options.pop("method", "GET"), path, **options)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["instance"] == path.partition("?")[0]
    assert body["trace_id"]
    return body


async def test_an_unknown_query_parameter_is_named(client: httpx.AsyncClient) -> None:
    body = await problem(client, "/things?limit=1&lmit=2", 400)
    assert (body["code"], body["errors"][0]["field"]) == ("invalid_parameter", "lmit")
    assert (await client.get("/things?filter=a&filter=b&limit=3")).json() == {"limit": 3, "filter": ["a", "b"]}


async def test_a_route_without_parameters_rejects_any(client: httpx.AsyncClient) -> None:
    body = await problem(client, "/livez?lmit=2", 400)
    assert [(error["field"], error["code"]) for error in body["errors"]] == [("lmit", "unknown_parameter")]


async def test_a_repeated_scalar_parameter_is_named(client: httpx.AsyncClient) -> None:
    body = await problem(client, "/things?limit=1&limit=2", 400)
    assert [(error["field"], error["code"]) for error in body["errors"]] == [("limit", "repeated_parameter")]


async def test_an_invalid_field_is_named_by_its_path(client: httpx.AsyncClient) -> None:
    body = await problem(client, "/orders", 400, method="POST", json=[{"quantity": 1}, {"quantity": "many"}])
    assert body["errors"][0]["field"] == "[1].quantity"
    assert (await problem(client, "/orders", 400, method="POST", content=b'{"a'))["code"] == "invalid_parameter"


async def test_errors_of_fastapi_are_problems(client: httpx.AsyncClient) -> None:
    assert (await problem(client, "/nothing", 404))["code"] == "not_found"
    assert (await problem(client, "/things", 405, method="PUT"))["code"] == "method_not_allowed"


async def test_an_error_defines_its_status_and_headers(client: httpx.AsyncClient) -> None:
    response = await client.get("/clash")
    assert (response.status_code, response.json()["code"], response.headers["retry-after"]) == (409, "conflict", "7")


async def test_the_problem_of_a_bug_has_no_details(client: httpx.AsyncClient) -> None:
    body = await problem(client, "/bug", 500)
    assert "secret" not in json.dumps(body)


async def test_the_trace_is_continued(client: httpx.AsyncClient) -> None:
    response = await client.get("/nothing", headers={"traceparent": TRACEPARENT})
    assert response.json()["trace_id"] == "a" * 32
    assert response.headers["traceparent"].split("-")[1] == "a" * 32


async def test_readiness_has_the_reason_of_each_failed_check(client: httpx.AsyncClient) -> None:
    assert (await client.get("/livez")).status_code == 200
    response = await client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"] == {"store": "ConnectionError: the store is unavailable", "token keys": "ok"}


async def test_a_service_is_ready_after_the_first_fetch_of_the_token_keys(
    client: httpx.AsyncClient, key_server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bookwheel_runtime.tokens._RETRY_SECONDS", 0)
    key_server.status = 500
    assert (await client.get("/readyz")).json()["checks"]["token keys"].startswith("UnavailableError: ")
    key_server.status = 200
    assert (await client.get("/readyz")).json()["checks"]["token keys"] == "ok"
    key_server.status = 500
    assert (await client.get("/readyz")).json()["checks"]["token keys"] == "ok", "the keys are cached"
    assert (await client.get("/mine", headers={"authorization": f"Bearer {token()}"})).status_code == 200


async def test_a_valid_token_has_only_its_scope(client: httpx.AsyncClient) -> None:
    headers = {"authorization": f"Bearer {token()}"}
    assert (await client.get("/mine", headers=headers)).json() == "user:1"
    assert (await problem(client, "/admin", 403, headers=headers))["code"] == "forbidden"
    assert (await client.get("/admin", headers={"authorization": f"Bearer {token(scope='admin')}"})).status_code == 200


def forged(algorithm: str) -> str:
    claims = jwt.decode(token(), options={"verify_signature": False})
    key = "" if algorithm == "none" else "x" * 64
    return jwt.encode(claims, key, algorithm, {"kid": "one"})


INVALID_TOKENS = {
    "nothing": "",
    "noise": "abc",
    "three parts": "a.b.c",
    "another key": token(OTHER_KEY),
    "unknown key id": token(key_id="two"),
    "expired": token(exp=int(time.time()) - 1),
    "no expiry": token(exp=None),
    "for callers": token(aud=PUBLIC_AUDIENCE),
    "another issuer": token(iss="else"),
    "no subject": token(sub=None),
    "unknown scope": token(scope="everything"),
    "unsigned": forged("none"),
    "symmetric": forged("HS256"),
    "tampered": token()[:-4] + "AAAA",
}


@pytest.mark.parametrize("invalid_token", INVALID_TOKENS.values(), ids=INVALID_TOKENS.keys())
async def test_an_invalid_token_is_rejected(client: httpx.AsyncClient, invalid_token: str) -> None:
    response = await client.get("/mine", headers={"authorization": f"Bearer {invalid_token}"})
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_many_unknown_key_ids_fetch_the_keys_once(client: httpx.AsyncClient, key_server: KeyServer) -> None:
    for number in range(20):
        await client.get("/mine", headers={"authorization": f"Bearer {token(key_id=str(number))}"})
    assert key_server.requests == 1


async def test_many_requests_without_keys_fetch_them_once(
    client: httpx.AsyncClient, key_server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bookwheel_runtime.tokens._RETRY_SECONDS", 60)
    key_server.status = 500
    responses = await asyncio.gather(
        *(client.get("/mine", headers={"authorization": f"Bearer {token()}"}) for _ in range(20))
    )
    assert [(response.status_code, response.headers["retry-after"]) for response in responses] == [(503, "60")] * 20
    assert key_server.requests == 1


async def test_unavailable_keys_return_503() -> None:
    app = example_app(TokenVerifier(jwks_url="http://127.0.0.1:9/", issuer=ISSUER))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        body = await problem(client, "/mine", 503, headers={"authorization": f"Bearer {token()}"})
    assert body["code"] == "unavailable"


async def test_a_revoked_key_is_rejected_but_unavailable_keys_stay_valid(
    key_server: KeyServer, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"Authorization": f"Bearer {token()}"}
    assert (await client.get("/mine", headers=headers)).status_code == 200
    monkeypatch.setattr("bookwheel_runtime.tokens._MAX_KEY_AGE_SECONDS", 0.0)
    monkeypatch.setattr("bookwheel_runtime.tokens._MIN_FETCH_SECONDS", 0.0)
    monkeypatch.setattr("bookwheel_runtime.tokens._RETRY_SECONDS", 0)
    key_server.status = 503
    assert (await client.get("/mine", headers=headers)).status_code == 200
    key_server.status, key_server.key_id = 200, "two"
    assert (await client.get("/mine", headers=headers)).status_code == 401
    headers = {"Authorization": f"Bearer {token(key_id='two')}"}
    assert (await client.get("/mine", headers=headers)).status_code == 200
