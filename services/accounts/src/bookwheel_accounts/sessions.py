"""Logins (sessions) and their rotating refresh tokens in the database."""

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
    """A session ends when it expires, is revoked, or one of its refresh tokens is used twice."""

    def __init__(self, engine: Engine, lifetime: timedelta) -> None:
        self._engine = engine
        self._lifetime = int(lifetime.total_seconds())

    def create(self, user: User, scopes: frozenset[Scope]) -> tuple[Identity, str]:
        """Returns the new session's identity and first refresh token. Also deletes expired sessions.

        Raises UnauthenticatedError if the user was disabled or got another password since `user` was read.
        """
        now = int(time.time())
        identity = Identity(user.user_id, scopes, session_id=new_identifier("ses"))
        with self._engine.begin() as connection:
            # Lock the account, so a concurrent password reset revokes this session or is seen here.
            unchanged = connection.execute(
                select(account.c.user_id)
                .where(
                    account.c.user_id == user.user_id,
                    account.c.password_hash == user.password_hash,
                    account.c.disabled_at.is_(None),
                )
                .with_for_update()
            ).one_or_none()
            if unchanged is None:
                raise UnauthenticatedError("The login is invalid: log in again.")
            # Skip the rows that another login deletes at this moment: two deletes would wait for each other.
            expired = select(login_session.c.session_id).where(login_session.c.expires_at < now)
            deletable = expired.with_for_update(skip_locked=True)
            connection.execute(delete(login_session).where(login_session.c.session_id.in_(deletable)))
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
        """Returns the session's identity and next refresh token. Raises UnauthenticatedError.

        A token that is used twice was stolen, by the first or the second user, so the session ends.
        """
        now = int(time.time())
        token_hash = hash_secret(token)
        with self._engine.begin() as connection:
            used = connection.execute(
                update(refresh_token)
                .where(refresh_token.c.token_hash == token_hash, refresh_token.c.used_at.is_(None))
                .values(used_at=now)
                .returning(refresh_token.c.session_id)
            ).one_or_none()
            session = None
            if used is None:
                _revoke_session_of_used_token(connection, token_hash, now)
            else:
                session = _get_valid_session(connection, used.session_id, now)
            next_token = _create_refresh_token(connection, used.session_id) if used and session else ""
        if session is None:  # raised after the transaction, so that the revocation is committed
            raise UnauthenticatedError("The refresh token is invalid: log in again.")
        return session[0], next_token

    def get(self, session_id: str) -> tuple[Identity, int] | None:
        """Returns the identity with the scopes that its user still holds, and the expiry; None if the session ended."""
        with read_connection(self._engine) as connection:
            return _get_valid_session(connection, session_id, int(time.time()))

    def revoke(self, session_id: str) -> None:
        with self._engine.begin() as connection:
            _revoke_session(connection, session_id, int(time.time()))


def _get_valid_session(connection: Connection, session_id: str, now: int) -> tuple[Identity, int] | None:
    row = connection.execute(
        select(
            login_session.c.user_id,
            login_session.c.scopes,
            login_session.c.expires_at,
            account.c.scopes.label("held_scopes"),
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
    scopes = restrict_scopes(parse_scopes(row.scopes), parse_scopes(row.held_scopes))
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
