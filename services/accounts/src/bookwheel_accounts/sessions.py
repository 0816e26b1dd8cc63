"""Stores sessions and their rotating refresh tokens in the database."""

import time
from datetime import timedelta

from bookwheel_contracts import Scope
from bookwheel_contracts.problems import UnauthenticatedError
from bookwheel_stores.records import read_connection
from sqlalchemy import Connection, Engine, delete, insert, select, update

from bookwheel_accounts.identity import (
    REFRESH_TOKEN_PREFIX,
    Identity,
    format_scopes,
    hash_secret,
    new_identifier,
    new_secret,
    parse_scopes,
    restrict_scopes,
)
from bookwheel_accounts.tables import account, login_session, refresh_token
from bookwheel_accounts.users import User


class SessionStore:
    """Stores sessions. A session ends when it expires, is revoked, or one of its refresh tokens is used twice."""

    def __init__(self, engine: Engine, lifetime: timedelta) -> None:
        self._engine = engine
        self._lifetime = int(lifetime.total_seconds())

    def create(self, user: User, scopes: frozenset[Scope]) -> tuple[Identity, str]:
        """Creates a session and deletes expired ones. Returns the session's identity and first refresh token.

        Raises UnauthenticatedError if, since `user` was read, the user was disabled or the password was changed.
        """
        now = int(time.time())
        identity = Identity(user.user_id, scopes, session_id=new_identifier("ses"))
        with self._engine.begin() as connection:
            # Lock the account, so a concurrent password reset either revokes this session or is visible here.
            unchanged_row = connection.execute(
                select(account.c.user_id)
                .where(
                    account.c.user_id == user.user_id,
                    account.c.password_hash == user.password_hash,
                    account.c.disabled_at.is_(None),
                )
                .with_for_update()
            ).one_or_none()
            if unchanged_row is None:
                raise UnauthenticatedError("The account has changed: log in again.")
            # Skip the rows that a concurrent transaction deletes: two deletes could deadlock.
            expired_ids = select(login_session.c.session_id).where(login_session.c.expires_at < now)
            deletable_ids = expired_ids.with_for_update(skip_locked=True)
            connection.execute(delete(login_session).where(login_session.c.session_id.in_(deletable_ids)))
            connection.execute(
                insert(login_session).values(
                    session_id=identity.session_id,
                    user_id=user.user_id,
                    scopes=format_scopes(scopes),
                    created_at=now,
                    expires_at=now + self._lifetime,
                )
            )
            return identity, _create_refresh_token(connection, str(identity.session_id))

    def rotate(self, token: str) -> tuple[Identity, str]:
        """Invalidates a refresh token. Returns the session's identity and next refresh token.

        Raises UnauthenticatedError. Ends the session if the token was already used, because it may be stolen.
        """
        now = int(time.time())
        token_hash = hash_secret(token)
        with self._engine.begin() as connection:
            token_row = connection.execute(
                update(refresh_token)
                .where(refresh_token.c.token_hash == token_hash, refresh_token.c.used_at.is_(None))
                .values(used_at=now)
                .returning(refresh_token.c.session_id)
            ).one_or_none()
            if token_row is None:
                _revoke_session_of_used_token(connection, token_hash, now)
            elif session := _find_valid_session(connection, token_row.session_id, now):
                identity, _ = session
                return identity, _create_refresh_token(connection, token_row.session_id)
        # Raised after the transaction, so that the revocation is committed.
        raise UnauthenticatedError("The refresh token is invalid: log in again.")

    def find_identity(self, session_id: str) -> tuple[Identity, int] | None:
        """Returns the identity (with the scopes the user still has) and the expiry; None if the session ended."""
        with read_connection(self._engine) as connection:
            return _find_valid_session(connection, session_id, int(time.time()))

    def revoke(self, session_id: str) -> None:
        with self._engine.begin() as connection:
            _revoke_session(connection, session_id, int(time.time()))


def _find_valid_session(connection: Connection, session_id: str, now: int) -> tuple[Identity, int] | None:
    row = connection.execute(
        select(
            login_session.c.user_id,
            login_session.c.scopes,
            login_session.c.expires_at,
            account.c.scopes.label("user_scopes"),
        )
        .join_from(login_session, account)
        .where(
            login_session.c.session_id == session_id,
            login_session.c.revoked_at.is_(None),
            login_session.c.expires_at > now,
            account.c.disabled_at.is_(None),
        )
    ).one_or_none()
    if row is None:
        return None
    scopes = restrict_scopes(parse_scopes(row.scopes), parse_scopes(row.user_scopes))
    return Identity(row.user_id, scopes, session_id), row.expires_at


def _create_refresh_token(connection: Connection, session_id: str) -> str:
    token = new_secret(REFRESH_TOKEN_PREFIX)
    connection.execute(insert(refresh_token).values(token_hash=hash_secret(token), session_id=session_id))
    return token


def _revoke_session_of_used_token(connection: Connection, token_hash: str, now: int) -> None:
    row = connection.execute(
        select(refresh_token.c.session_id).where(refresh_token.c.token_hash == token_hash)
    ).one_or_none()
    if row is not None:
        _revoke_session(connection, row.session_id, now)


def _revoke_session(connection: Connection, session_id: str, now: int) -> None:
    connection.execute(
        update(login_session)
        .where(login_session.c.session_id == session_id, login_session.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )
