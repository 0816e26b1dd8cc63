"""Users in the database."""

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
    """Expects addresses normalized by `bookwheel_accounts.authentication.normalize_email`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, email: str, password_hash: str, scopes: frozenset[Scope]) -> User:
        """Raises ConflictError if the address is taken."""
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
            raise ConflictError("`email` is invalid: an account with this address exists.") from error
        return user

    def get_by_email(self, email: str) -> User | None:
        with read_connection(self._engine) as connection:
            row = connection.execute(select(account).where(account.c.email == email)).one_or_none()
        return None if row is None else _user(row)

    def get(self, user_id: str) -> User | None:
        with read_connection(self._engine) as connection:
            row = connection.execute(select(account).where(account.c.user_id == user_id)).one_or_none()
        return None if row is None else _user(row)

    def set_scopes(self, email: str, scopes: frozenset[Scope]) -> None:
        with self._engine.begin() as connection:
            connection.execute(update(account).where(account.c.email == email).values(scopes=format_scopes(scopes)))

    def reset(self, email: str, password_hash: str, scopes: frozenset[Scope]) -> bool:
        """Sets password and scopes, enables the user and ends the user's logins and API keys.

        Returns False if there is no such user.
        """
        return self._update_and_revoke(
            email, password_hash=password_hash, scopes=format_scopes(scopes), disabled_at=None
        )

    def disable(self, email: str) -> bool:
        """Disables the user and ends the user's logins and API keys. Returns False if there is no such user.

        The gateway's cache accepts them for some more seconds.
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


def _user(row: "Row[tuple[object, ...]]") -> User:
    return User(**{**row._mapping, "scopes": parse_scopes(row.scopes)})  # noqa: SLF001 - a public name of SQLAlchemy
