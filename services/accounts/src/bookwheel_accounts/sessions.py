"""Logins and their rotating refresh tokens in the database."""

import time
from datetime import timedelta

from bookwheel_contracts import Scope
from bookwheel_contracts.problems import UnauthenticatedError
from bookwheel_stores.records import read_connection
from sqlalchemy import Connection, Engine, delete, insert, select, update

from bookwheel_accounts.identity import Identity, format_scopes, parse_scopes, still_held
from bookwheel_accounts.secret_text import REFRESH_TOKEN_PREFIX, hash_secret, new_identifier, new_secret
from bookwheel_accounts.tables import account, login_session, refresh_token


class SessionStore:
    """A login lives until its time is over, it is logged out, or one of its refresh tokens comes a second time."""

    def __init__(self, engine: Engine, lifetime: timedelta) -> None:
        self._engine = engine
        self._lifetime = int(lifetime.total_seconds())

    def open(self, user_id: str, scopes: frozenset[Scope]) -> tuple[Identity, str]:
        """The new login and its first refresh token. Logins that are over are swept out on the way."""
        now = int(time.time())
        identity = Identity(user_id, scopes, session_id=new_identifier("ses"))
        with self._engine.begin() as connection:
            # Those that another login sweeps out right now are left to it: two would wait for each other.
            over = select(login_session.c.session_id).where(login_session.c.expires_at < now)
            swept = over.with_for_update(skip_locked=True)
            connection.execute(delete(login_session).where(login_session.c.session_id.in_(swept)))
            connection.execute(
                insert(login_session).values(
                    session_id=identity.session_id,
                    user_id=user_id,
                    scopes=format_scopes(scopes),
                    created_at=now,
                    expires_at=now + self._lifetime,
                )
            )
            return identity, self._new_token(connection, str(identity.session_id))

    def rotate(self, token: str) -> tuple[Identity, str]:
        """The login and its next refresh token. Raises Unauthenticated.

        A token that was used before is in two hands, and nobody can tell whose: the whole login ends.
        """
        now = int(time.time())
        hashed = hash_secret(token)
        with self._engine.begin() as connection:
            used = connection.execute(
                update(refresh_token)
                .where(refresh_token.c.token_hash == hashed, refresh_token.c.used_at.is_(None))
                .values(used_at=now)
                .returning(refresh_token.c.session_id)
            ).one_or_none()
            living = None
            if used is None:
                self._revoke_reused(connection, hashed, now)
            else:
                living = self._living(connection, used.session_id, now)
            following = self._new_token(connection, used.session_id) if used and living else ""
        if living is None:  # raised outside the transaction, so that the revocation is kept
            raise UnauthenticatedError("The refresh token is not valid.")
        return living[0], following

    def find(self, session_id: str) -> tuple[Identity, int] | None:
        """The login with the scopes that its user still has, and until when it lives; None once it is over."""
        with read_connection(self._engine) as connection:
            return self._living(connection, session_id, int(time.time()))

    def close(self, session_id: str) -> None:
        with self._engine.begin() as connection:
            self._revoke(connection, session_id, int(time.time()))

    def _living(self, connection: Connection, session_id: str, now: int) -> tuple[Identity, int] | None:
        row = connection.execute(
            select(
                login_session.c.user_id,
                login_session.c.scopes,
                login_session.c.expires_at,
                account.c.scopes.label("held"),
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
        scopes = still_held(parse_scopes(row.scopes), parse_scopes(row.held))
        return Identity(row.user_id, scopes, session_id), row.expires_at

    def _new_token(self, connection: Connection, session_id: str) -> str:
        token = new_secret(REFRESH_TOKEN_PREFIX)
        connection.execute(insert(refresh_token).values(token_hash=hash_secret(token), session_id=session_id))
        return token

    def _revoke_reused(self, connection: Connection, hashed: str, now: int) -> None:
        reused = connection.execute(
            select(refresh_token.c.session_id).where(refresh_token.c.token_hash == hashed)
        ).one_or_none()
        if reused is not None:
            self._revoke(connection, reused.session_id, now)

    def _revoke(self, connection: Connection, session_id: str, now: int) -> None:
        connection.execute(
            update(login_session)
            .where(login_session.c.session_id == session_id, login_session.c.revoked_at.is_(None))
            .values(revoked_at=now)
        )
