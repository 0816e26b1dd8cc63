"""Wires the accounts service."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import httpx
from bookwheel_runtime.app_factory import create_service_app
from bookwheel_runtime.healthcheck import health_fault
from bookwheel_runtime.problem_responses import add_unavailable_handler
from bookwheel_stores.heartbeats import HeartbeatPublisher
from bookwheel_stores.records import DATABASE_ERRORS, connect_database
from bookwheel_stores.streams import connect_redis
from fastapi import FastAPI
from pwdlib import PasswordHash
from starlette.concurrency import run_in_threadpool

from bookwheel_accounts.api_keys import ApiKeyStore
from bookwheel_accounts.credentials import CredentialCheck
from bookwheel_accounts.database import ACCOUNTS
from bookwheel_accounts.dependencies import Dependencies
from bookwheel_accounts.keys import load_key_ring
from bookwheel_accounts.passwords import PasswordHasher
from bookwheel_accounts.routers import discovery, documentation, keys, logins, oauth
from bookwheel_accounts.sessions import SessionStore
from bookwheel_accounts.settings import AccountsSettings
from bookwheel_accounts.sign_in import SignIn
from bookwheel_accounts.suite import Suite
from bookwheel_accounts.tokens import TokenIssuer
from bookwheel_accounts.users import UserStore

_SUITE_TIMEOUT = 3.0


def create_app(settings: AccountsSettings, argon2: PasswordHash | None = None) -> FastAPI:
    """`argon2` in place of the recommended cost. Raises KeyFileError where the signing keys can't be used."""
    ring = load_key_ring(settings.signing_key_file)
    engine = connect_database(settings.database_url)
    tokens = TokenIssuer(ring, settings.issuer, settings.access_lifetime, settings.internal_lifetime)
    users, api_keys = UserStore(engine), ApiKeyStore(engine)
    sessions = SessionStore(engine, settings.login_lifetime)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        passwords = PasswordHasher(settings.password_workers, argon2)
        async with httpx.AsyncClient(timeout=_SUITE_TIMEOUT) as client:
            app.state.services = Dependencies(
                ring=ring,
                tokens=tokens,
                users=users,
                sessions=sessions,
                api_keys=api_keys,
                sign_in=SignIn(users, sessions, passwords, settings.registration),
                credentials=CredentialCheck(tokens, sessions, api_keys),
                suite=Suite(
                    {
                        "accounts": f"http://{settings.host}:{settings.port}",
                        "catalog-api": settings.catalog_url,
                        "ml-serving": settings.ml_url,
                    },
                    client,
                ),
                verify_cache_seconds=settings.verify_cache_seconds,
            )
            with _heralded(settings):
                yield
        passwords.close()
        engine.dispose()

    async def database() -> None:
        if fault := await run_in_threadpool(ACCOUNTS.fault, engine):
            raise RuntimeError(fault)

    app = create_service_app(
        title="Bookwheel accounts",
        description="Users, API keys and tokens.",
        token_verifier=None,
        readiness={"database": database},
        lifespan=lifespan,
    )

    add_unavailable_handler(app, DATABASE_ERRORS, detail="The accounts are unavailable: retry later.")
    for module in (logins, keys, oauth, discovery, documentation):
        app.include_router(module.router)
    return app


@contextmanager
def _heralded(settings: AccountsSettings) -> Iterator[None]:
    """Tells Redis how this replica is, where there is one: nothing else here needs it."""
    if not settings.redis_url:
        yield
        return
    herald = HeartbeatPublisher(
        connect_redis(settings.redis_url), "accounts", fault=partial(health_fault, settings.port, "/readyz")
    )
    herald.start()
    yield
    herald.stop()
