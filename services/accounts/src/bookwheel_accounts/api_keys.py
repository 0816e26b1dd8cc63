"""API keys in the database."""

import time
from dataclasses import dataclass

from bookwheel_contracts import Scope
from bookwheel_contracts.problems import ConflictError
from bookwheel_stores.records import read_connection
from sqlalchemy import ColumnElement, Engine, func, insert, select, update

from bookwheel_accounts.identity import Identity, format_scopes, parse_scopes, still_held
from bookwheel_accounts.secret_text import API_KEY_PREFIX, hash_secret, new_identifier, new_secret
from bookwheel_accounts.tables import account, api_key

MAX_KEYS_PER_USER = 50


@dataclass(frozen=True, slots=True)
class ApiKey:
    key_id: str
    name: str
    scopes: frozenset[Scope]
    created_at: int
    expires_at: int | None


class ApiKeyStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, user_id: str, name: str, scopes: frozenset[Scope], expires_at: int | None) -> tuple[ApiKey, str]:
        """The key and its secret, which is shown once. Raises Conflict when the user has too many."""
        key = ApiKey(new_identifier("key"), name, scopes, int(time.time()), expires_at)
        secret = new_secret(API_KEY_PREFIX)
        with self._engine.begin() as connection:
            # One after another, or two requests at once would both find room for the last one.
            connection.execute(select(account.c.user_id).where(account.c.user_id == user_id).with_for_update())
            held = connection.execute(
                select(func.count())
                .select_from(api_key)
                .where(api_key.c.user_id == user_id, api_key.c.revoked_at.is_(None))
            ).scalar_one()
            if held >= MAX_KEYS_PER_USER:
                raise ConflictError(f"An account has at most {MAX_KEYS_PER_USER} API keys; revoke one first.")
            connection.execute(
                insert(api_key).values(
                    key_id=key.key_id,
                    key_hash=hash_secret(secret),
                    user_id=user_id,
                    name=name,
                    scopes=format_scopes(scopes),
                    created_at=key.created_at,
                    expires_at=expires_at,
                )
            )
        return key, secret

    def list(self, user_id: str) -> list[ApiKey]:
        """The user's keys that are not revoked, oldest first."""
        with read_connection(self._engine) as connection:
            rows = connection.execute(
                select(api_key)
                .where(api_key.c.user_id == user_id, api_key.c.revoked_at.is_(None))
                .order_by(api_key.c.created_at, api_key.c.key_id)
            ).all()
        return [ApiKey(row.key_id, row.name, parse_scopes(row.scopes), row.created_at, row.expires_at) for row in rows]

    def revoke(self, user_id: str, key_id: str) -> bool:
        """False where the user has no such living key."""
        with self._engine.begin() as connection:
            found = connection.execute(
                update(api_key)
                .where(api_key.c.key_id == key_id, api_key.c.user_id == user_id, api_key.c.revoked_at.is_(None))
                .values(revoked_at=int(time.time()))
            )
        return found.rowcount > 0

    def by_secret(self, secret: str) -> tuple[Identity, int | None] | None:
        """Whom the key stands for and until when; None for a key that is unknown, revoked or expired."""
        return self._living(api_key.c.key_hash == hash_secret(secret))

    def by_id(self, key_id: str) -> tuple[Identity, int | None] | None:
        """As `by_secret`, for tokens that were made from the key."""
        return self._living(api_key.c.key_id == key_id)

    def _living(self, which: ColumnElement[bool]) -> tuple[Identity, int | None] | None:
        with read_connection(self._engine) as connection:
            row = connection.execute(
                select(
                    api_key.c.key_id,
                    api_key.c.user_id,
                    api_key.c.scopes,
                    api_key.c.expires_at,
                    account.c.scopes.label("held"),
                )
                .join_from(api_key, account)
                .where(which, api_key.c.revoked_at.is_(None), account.c.disabled_at.is_(None))
            ).one_or_none()
        if row is None or (row.expires_at is not None and row.expires_at <= time.time()):
            return None
        scopes = still_held(parse_scopes(row.scopes), parse_scopes(row.held))
        return Identity(row.user_id, scopes, key_id=row.key_id), row.expires_at
