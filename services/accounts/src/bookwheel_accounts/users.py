"""Users in the database."""

import time
from dataclasses import dataclass

from bookwheel_contracts import Scope
from bookwheel_contracts.problems import ConflictError
from bookwheel_stores.records import read_connection
from sqlalchemy import Engine, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from bookwheel_accounts.identity import format_scopes, parse_scopes
from bookwheel_accounts.secret_text import new_identifier
from bookwheel_accounts.tables import account


@dataclass(frozen=True, slots=True)
class User:
    user_id: str
    email: str
    password_hash: str
    scopes: frozenset[Scope]
    created_at: int
    disabled_at: int | None = None


def _user(row: "Row[tuple[object, ...]]") -> User:
    return User(**{**row._mapping, "scopes": parse_scopes(row.scopes)})  # noqa: SLF001 - SQLAlchemy's public name for it


class UserStore:
    """E-mail addresses come normalised; see `bookwheel_accounts.sign_in.normalize_email`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, email: str, password_hash: str, scopes: frozenset[Scope]) -> User:
        """Raises Conflict where the address is taken."""
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
            raise ConflictError("There is an account with this e-mail address already.") from error
        return user

    def by_email(self, email: str) -> User | None:
        with read_connection(self._engine) as connection:
            row = connection.execute(select(account).where(account.c.email == email)).one_or_none()
        return None if row is None else _user(row)

    def get(self, user_id: str) -> User | None:
        with read_connection(self._engine) as connection:
            row = connection.execute(select(account).where(account.c.user_id == user_id)).one_or_none()
        return None if row is None else _user(row)

    def put(self, email: str, password_hash: str, scopes: frozenset[Scope]) -> tuple[User, bool]:
        """The user with this password and these scopes, enabled; True where it had to be made."""
        with self._engine.begin() as connection:
            found = connection.execute(
                update(account)
                .where(account.c.email == email)
                .values(password_hash=password_hash, scopes=format_scopes(scopes), disabled_at=None)
            )
        if found.rowcount == 0:
            return self.add(email, password_hash, scopes), True
        user = self.by_email(email)
        assert user is not None
        return user, False

    def disable(self, email: str) -> bool:
        """Ends every login and key of the user within the seconds of the gateway's cache; False for no such user."""
        with self._engine.begin() as connection:
            found = connection.execute(
                update(account).where(account.c.email == email).values(disabled_at=int(time.time()))
            )
        return found.rowcount > 0
