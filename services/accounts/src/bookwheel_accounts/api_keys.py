"""Stores API keys in the database."""

import time
from dataclasses import dataclass

from bookwheel_contracts import Scope
from bookwheel_contracts.problems import ConflictError, UnauthenticatedError
from bookwheel_stores.records import read_connection
from sqlalchemy import ColumnElement, Engine, func, insert, select, update

from bookwheel_accounts.identity import (
    API_KEY_PREFIX,
    Identity,
    format_scopes,
    hash_secret,
    new_identifier,
    new_secret,
    parse_scopes,
    restrict_scopes,
)
from bookwheel_accounts.tables import account, api_key, login_session

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

    def create(
        self, identity: Identity, name: str, scopes: frozenset[Scope], expires_at: int | None
    ) -> tuple[ApiKey, str]:
        """Returns the key and its secret. `identity` is the identity of a session.

        Raises ConflictError if the user has the maximum of keys, UnauthenticatedError if the session was revoked.
        """
        key = ApiKey(new_identifier("key"), name, scopes, int(time.time()), expires_at)
        secret = new_secret(API_KEY_PREFIX)
        with self._engine.begin() as connection:
            # Lock the account. Two requests must not both create the last allowed key. A concurrent password reset must
            # either revoke this key or be visible here. The internal token may outlive the session by a minute.
            connection.execute(select(account.c.user_id).where(account.c.user_id == identity.user_id).with_for_update())
            session_row = connection.execute(
                select(login_session.c.session_id).where(
                    login_session.c.session_id == identity.session_id, login_session.c.revoked_at.is_(None)
                )
            ).one_or_none()
            if session_row is None:
                raise UnauthenticatedError("The session is invalid: log in again.")
            key_count = connection.execute(
                select(func.count())
                .select_from(api_key)
                .where(api_key.c.user_id == identity.user_id, api_key.c.revoked_at.is_(None))
            ).scalar_one()
            if key_count >= MAX_KEYS_PER_USER:
                raise ConflictError(
                    f"The account already has {MAX_KEYS_PER_USER} API keys, the maximum. Revoke one first."
                )
            connection.execute(
                insert(api_key).values(
                    key_id=key.key_id,
                    key_hash=hash_secret(secret),
                    user_id=identity.user_id,
                    name=name,
                    scopes=format_scopes(scopes),
                    created_at=key.created_at,
                    expires_at=expires_at,
                )
            )
        return key, secret

    def list(self, user_id: str) -> list[ApiKey]:
        """Returns the user's keys that are not revoked, oldest first."""
        with read_connection(self._engine) as connection:
            rows = connection.execute(
                select(api_key)
                .where(api_key.c.user_id == user_id, api_key.c.revoked_at.is_(None))
                .order_by(api_key.c.created_at, api_key.c.key_id)
            ).all()
        return [ApiKey(row.key_id, row.name, parse_scopes(row.scopes), row.created_at, row.expires_at) for row in rows]

    def revoke(self, user_id: str, key_id: str) -> bool:
        """Revokes a key. Returns False if the user does not have this key or it is already revoked."""
        with self._engine.begin() as connection:
            result = connection.execute(
                update(api_key)
                .where(api_key.c.key_id == key_id, api_key.c.user_id == user_id, api_key.c.revoked_at.is_(None))
                .values(revoked_at=int(time.time()))
            )
        return result.rowcount > 0

    def find_identity_by_secret(self, secret: str) -> tuple[Identity, int | None] | None:
        """Returns the key's identity and expiry, or None if the key is unknown, revoked or expired."""
        return self._find_valid_identity(api_key.c.key_hash == hash_secret(secret))

    def find_identity(self, key_id: str) -> tuple[Identity, int | None] | None:
        """Returns the key's identity and expiry, or None if the key is unknown, revoked or expired."""
        return self._find_valid_identity(api_key.c.key_id == key_id)

    def _find_valid_identity(self, condition: ColumnElement[bool]) -> tuple[Identity, int | None] | None:
        with read_connection(self._engine) as connection:
            row = connection.execute(
                select(
                    api_key.c.key_id,
                    api_key.c.user_id,
                    api_key.c.scopes,
                    api_key.c.expires_at,
                    account.c.scopes.label("user_scopes"),
                )
                .join_from(api_key, account)
                .where(condition, api_key.c.revoked_at.is_(None), account.c.disabled_at.is_(None))
            ).one_or_none()
        if row is None or (row.expires_at is not None and row.expires_at <= time.time()):
            return None
        scopes = restrict_scopes(parse_scopes(row.scopes), parse_scopes(row.user_scopes))
        return Identity(row.user_id, scopes, key_id=row.key_id), row.expires_at
