"""The accounts service in this process, with its own database. Requests are like those of the gateway."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from bookwheel_accounts.app import create_app
from bookwheel_accounts.dependencies import Dependencies
from bookwheel_accounts.settings import AccountsSettings
from bookwheel_accounts.signing_keys import create_key_file
from bookwheel_accounts.tables import ACCOUNTS_SCHEMA
from bookwheel_stores.records import connect_database
from fastapi import FastAPI
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import Engine

PASSWORD = "a wheel of open books"


@dataclass(frozen=True, slots=True)
class Accounts:
    app: FastAPI
    http: httpx.AsyncClient
    engine: Engine
    settings: AccountsSettings

    @property
    def dependencies(self) -> Dependencies:
        dependencies: Dependencies = self.app.state.dependencies
        return dependencies

    async def register(self, email: str = "reader@example.com", password: str = PASSWORD) -> httpx.Response:
        return await self.http.post("/api/v1/auth/register", json={"email": email, "password": password})

    async def login(self, email: str = "reader@example.com", password: str = PASSWORD) -> httpx.Response:
        return await self.http.post("/api/v1/auth/login", json={"email": email, "password": password})

    async def register_and_login(self, email: str = "reader@example.com") -> dict[str, str]:
        """Registers a user and logs in. Returns the tokens."""
        assert (await self.register(email)).status_code == 201
        tokens: dict[str, str] = (await self.login(email)).json()
        return tokens

    async def verify(self, credential: str) -> httpx.Response:
        return await self.http.get("/verify", headers={"Authorization": f"Bearer {credential}"})

    async def send(self, method: str, path: str, credential: str, json: object = None) -> httpx.Response:
        """Sends a request with the internal token in place of the credential, like the gateway."""
        verified = await self.verify(credential)
        assert verified.status_code == 204, verified.headers.get("x-refusal")
        headers = {"Authorization": f"Bearer {verified.headers['x-internal-token']}"}
        return await self.http.request(method, path, json=json, headers=headers)


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create_key_file(tmp_path_factory.mktemp("keys") / "signing.pem")


@pytest.fixture
def settings(records_url: str, signing_key: Path) -> AccountsSettings:
    return AccountsSettings(
        database_url=records_url,
        signing_key_file=signing_key,
        catalog_url="http://127.0.0.1:9",
        ml_url="http://127.0.0.1:9",
        port=9,
    )


@pytest.fixture
def argon2() -> PasswordHash:
    """A fast hasher. A module that tests the cost overrides it."""
    return PasswordHash((Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1),))


@pytest.fixture
async def accounts(settings: AccountsSettings, argon2: PasswordHash) -> AsyncIterator[Accounts]:
    engine = connect_database(settings.database_url)
    ACCOUNTS_SCHEMA.upgrade(engine)
    app = create_app(settings, argon2)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://accounts") as http,
    ):
        yield Accounts(app, http, engine, settings)
    engine.dispose()
