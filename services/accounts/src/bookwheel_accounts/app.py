"""Creates and wires the accounts service."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial

import httpx
from bookwheel_runtime.app_factory import create_service_app
from bookwheel_runtime.healthcheck import get_health_error
from bookwheel_runtime.problem_responses import add_unavailable_handler
from bookwheel_stores.heartbeats import HeartbeatPublisher
from bookwheel_stores.records import DATABASE_ERRORS, connect_database
from bookwheel_stores.streams import connect_redis
from fastapi import FastAPI
from pwdlib import PasswordHash
from starlette.concurrency import run_in_threadpool

from bookwheel_accounts.api_keys import ApiKeyStore
from bookwheel_accounts.authentication import Authenticator
from bookwheel_accounts.credentials import CredentialVerifier
from bookwheel_accounts.dependencies import Dependencies
from bookwheel_accounts.passwords import PasswordHasher
from bookwheel_accounts.routers import api_keys, authentication, documentation, internal, oauth
from bookwheel_accounts.sessions import SessionStore
from bookwheel_accounts.settings import AccountsSettings
from bookwheel_accounts.signing_keys import load_key_ring
from bookwheel_accounts.suite_overview import SuiteOverview
from bookwheel_accounts.tables import ACCOUNTS_SCHEMA
from bookwheel_accounts.tokens import TokenIssuer
from bookwheel_accounts.users import UserStore

_SERVICE_TIMEOUT_SECONDS = 3.0


def create_app(settings: AccountsSettings, argon2: PasswordHash | None = None) -> FastAPI:
    """Creates the app. `argon2` replaces the recommended hasher. Raises KeyFileError for invalid signing keys."""
    key_ring = load_key_ring(settings.signing_key_file)
    engine = connect_database(settings.database_url)
    tokens = TokenIssuer(
        key_ring,
        settings.issuer,
        access_lifetime=timedelta(seconds=settings.access_token_seconds),
        internal_lifetime=timedelta(seconds=settings.internal_token_seconds),
    )
    users, api_key_store = UserStore(engine), ApiKeyStore(engine)
    sessions = SessionStore(engine, timedelta(days=settings.refresh_token_days))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        passwords = PasswordHasher(settings.password_workers, argon2)
        async with httpx.AsyncClient(timeout=_SERVICE_TIMEOUT_SECONDS) as client:
            app.state.dependencies = Dependencies(
                key_ring=key_ring,
                tokens=tokens,
                users=users,
                sessions=sessions,
                api_keys=api_key_store,
                authenticator=Authenticator(users, sessions, passwords, settings.registration),
                credentials=CredentialVerifier(tokens, sessions, api_key_store),
                suite_overview=SuiteOverview(
                    {
                        "accounts": f"http://{settings.host}:{settings.port}",
                        "catalog-api": settings.catalog_url,
                        "ml-serving": settings.ml_url,
                    },
                    client,
                ),
                verify_cache_seconds=settings.verify_cache_seconds,
            )
            with _publishing_heartbeats(settings):
                yield
        passwords.close()
        engine.dispose()

    async def check_database() -> None:
        if schema_error := await run_in_threadpool(ACCOUNTS_SCHEMA.get_error, engine):
            raise RuntimeError(schema_error)

    app = create_service_app(
        title="Bookwheel accounts",
        description="Users, API keys and tokens.",
        token_verifier=None,
        readiness={"database": check_database},
        lifespan=lifespan,
    )

    add_unavailable_handler(app, DATABASE_ERRORS, detail="The accounts database is unavailable: retry later.")
    for router_module in (authentication, api_keys, oauth, internal, documentation):
        app.include_router(router_module.router)
    return app


@contextmanager
def _publishing_heartbeats(settings: AccountsSettings) -> Iterator[None]:
    """Publishes heartbeats while the context is open, if Redis is configured."""
    if not settings.redis_url:
        yield
        return
    heartbeat = HeartbeatPublisher(
        connect_redis(settings.redis_url), "accounts", get_error=partial(get_health_error, settings.port, "/readyz")
    )
    heartbeat.start()
    yield
    heartbeat.stop()
