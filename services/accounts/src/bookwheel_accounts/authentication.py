"""Registers and authenticates users."""

from dataclasses import dataclass

from bookwheel_contracts import FieldError, Scope
from bookwheel_contracts.problems import ForbiddenError, InvalidParameterError, UnauthenticatedError
from email_validator import EmailNotValidError, validate_email
from starlette.concurrency import run_in_threadpool

from bookwheel_accounts.identity import Identity, covers
from bookwheel_accounts.passwords import PasswordHasher, check_policy
from bookwheel_accounts.sessions import SessionStore
from bookwheel_accounts.users import User, UserStore

NEW_USER_SCOPES = frozenset({Scope.CATALOG_READ, Scope.ML_PREDICT})


def normalize_email(address: str) -> str:
    """Returns the canonical form of an address, so that it cannot register twice. Raises InvalidParameterError."""
    try:
        return validate_email(address, check_deliverability=False).normalized.lower()
    except EmailNotValidError as error:
        field_error = FieldError(field="email", code="invalid_email", message=str(error))
        raise InvalidParameterError(f"`email` is invalid: {error}", errors=(field_error,)) from error


@dataclass(frozen=True, slots=True)
class Authenticator:
    users: UserStore
    sessions: SessionStore
    passwords: PasswordHasher
    registration: bool

    async def register(self, email: str, password: str) -> User:
        """Creates a user.

        Raises ForbiddenError if registration is disabled, ConflictError if an account has the address, and
        InvalidParameterError for an invalid address or a weak password.
        """
        if not self.registration:
            raise ForbiddenError("Registration is disabled: ask the operator for an account.")
        email = normalize_email(email)
        check_policy(password, email=email)
        password_hash = await self.passwords.hash(password)
        return await run_in_threadpool(self.users.create, email, password_hash, NEW_USER_SCOPES)

    async def login(self, email: str, password: str, scopes: frozenset[Scope] | None = None) -> tuple[Identity, str]:
        """Creates a session with `scopes`, by default all scopes of the user. Returns its identity and refresh token.

        Raises UnauthenticatedError for an unknown address, a wrong password or a disabled user, with the same text and
        in the same time. Raises ForbiddenError for a scope that was not granted to the user.
        """
        try:
            user = await run_in_threadpool(self.users.get_by_email, normalize_email(email))
        except InvalidParameterError:
            user = None
        is_password_correct = await self.passwords.verify(password, user.password_hash if user else None)
        if user is None or not is_password_correct or user.disabled_at is not None:
            raise UnauthenticatedError("The e-mail address or the password is invalid.")
        if scopes is not None and not covers(user.scopes, scopes):
            raise ForbiddenError("`scopes` is invalid: the account was not granted all requested scopes.")
        return await run_in_threadpool(self.sessions.create, user, scopes or user.scopes)

    async def refresh(self, refresh_token: str) -> tuple[Identity, str]:
        """Returns the session's identity and next refresh token. Raises UnauthenticatedError."""
        return await run_in_threadpool(self.sessions.rotate, refresh_token)
