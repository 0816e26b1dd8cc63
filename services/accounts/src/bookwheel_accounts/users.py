"""Stores users in the database."""

import time
from dataclasses import dataclass

from bookwheel_contracts import Scope
from bookwheel_contracts.problems import ConflictError
from bookwheel_stores.records import read_connection
from sqlalchemy import Connection, Engine, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from bookwheel_accounts.identity import format_scopes, new_identifier, parse_scopes
from bookwheel_accounts.tables import account, api_key, login_session


@dataclass(frozen=True, slots=True)
class User:
    user_id: str
    email: str
    password_hash: str
    scopes: frozenset[Scope]
    created_at: int
    disabled_at: int | None = None


class UserStore:
    """Stores users. Addresses must be normalized by `authentication.normalize_email`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, email: str, password_hash: str, scopes: frozenset[Scope]) -> User:
        """Creates a user. Raises ConflictError if an account has this address."""
        user = User(new_identifier("usr"), email, password_hash, scopes, int(time.time()))
        try:
            with self._engine.begin() as connection:
                connection.execute(
                    insert(account).values(
                        user_id=user.user_id,
                        email=email,
                        password_hash=password_hash,
                        scopes=format_scopes(scopes),
                        created_at=user.created_at,
                    )
                )
        except IntegrityError as error:
            raise ConflictError("An account with this e-mail address already exists.") from error
        return user

    def get_by_email(self, email: str) -> User | None:
        with read_connection(self._engine) as connection:
            row = connection.execute(select(account).where(account.c.email == email)).one_or_none()
        return None if row is None else _user_from_row(row)

    def get(self, user_id: str) -> User | None:
        with read_connection(self._engine) as connection:
            row = connection.execute(select(account).where(account.c.user_id == user_id)).one_or_none()
        return None if row is None else _user_from_row(row)

    def set_scopes(self, email: str, scopes: frozenset[Scope]) -> None:
        with self._engine.begin() as connection:
            connection.execute(update(account).where(account.c.email == email).values(scopes=format_scopes(scopes)))

    def reset_credentials(self, email: str, password_hash: str, scopes: frozenset[Scope]) -> bool:
        """Sets password and scopes, enables the user, ends the user's sessions and revokes the API keys.

        Returns False if the user does not exist.
        """
        return self._update_and_revoke(
            email, password_hash=password_hash, scopes=format_scopes(scopes), disabled_at=None
        )

    def disable(self, email: str) -> bool:
        """Disables a user, ends the sessions and revokes the API keys. Returns False if the user does not exist.

        The gateway accepts the credentials until its cache expires, for up to 15 seconds.
        """
        return self._update_and_revoke(email, disabled_at=int(time.time()))

    def _update_and_revoke(self, email: str, **values: str | int | None) -> bool:
        with self._engine.begin() as connection:
            row = connection.execute(
                update(account).where(account.c.email == email).values(**values).returning(account.c.user_id)
            ).one_or_none()
            if row is not None:
                _revoke_credentials(connection, row.user_id)
        return row is not None


def _revoke_credentials(connection: Connection, user_id: str) -> None:
    for table in (login_session, api_key):
        connection.execute(
            update(table)
            .where(table.c.user_id == user_id, table.c.revoked_at.is_(None))
            .values(revoked_at=int(time.time()))
        )


def _user_from_row(row: "Row[tuple[object, ...]]") -> User:
    return User(**{**row._mapping, "scopes": parse_scopes(row.scopes)})  # noqa: SLF001 - a public name of SQLAlchemy
