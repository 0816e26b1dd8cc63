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


def normalize_email(text: str) -> str:
    """Returns the one spelling of a mailbox, so that it cannot register twice. Raises InvalidParameterError."""
    try:
        return validate_email(text, check_deliverability=False).normalized.lower()
    except EmailNotValidError as error:
        fault = FieldError(field="email", code="invalid_email", message=str(error))
        raise InvalidParameterError(f"`email` is invalid: {error}", errors=(fault,)) from error


@dataclass(frozen=True, slots=True)
class Authenticator:
    users: UserStore
    sessions: SessionStore
    passwords: PasswordHasher
    registration: bool

    async def register(self, email: str, password: str) -> User:
        """Raises ForbiddenError if registration is closed, ConflictError for a taken `email`, InvalidParameterError."""
        if not self.registration:
            raise ForbiddenError("Registration is unavailable: ask the operator for an account.")
        email = normalize_email(email)
        check_policy(password, email=email)
        password_hash = await self.passwords.hash(password)
        return await run_in_threadpool(self.users.create, email, password_hash, NEW_USER_SCOPES)

    async def login(self, email: str, password: str, scopes: frozenset[Scope] | None = None) -> tuple[Identity, str]:
        """Returns the session's identity, with `scopes` or all of the user's, and its refresh token.

        Raises UnauthenticatedError, with the same text after the same work, for an unknown address, a wrong password
        and a disabled user. Raises ForbiddenError for a scope that the user does not hold.
        """
        try:
            user = await run_in_threadpool(self.users.get_by_email, normalize_email(email))
        except InvalidParameterError:
            user = None
        is_correct = await self.passwords.verify(password, user.password_hash if user else None)
        if user is None or not is_correct or user.disabled_at is not None:
            raise UnauthenticatedError("The e-mail address or the password is invalid.")
        if scopes is not None and not covers(user.scopes, scopes):
            raise ForbiddenError("`scopes` is invalid: the account does not hold all of them.")
        return await run_in_threadpool(self.sessions.create, user, scopes or user.scopes)

    async def refresh(self, refresh_token: str) -> tuple[Identity, str]:
        """Returns the session's identity and next refresh token. Raises UnauthenticatedError."""
        return await run_in_threadpool(self.sessions.rotate, refresh_token)
