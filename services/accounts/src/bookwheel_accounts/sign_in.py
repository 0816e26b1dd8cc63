"""Registering, logging in, and staying logged in."""

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
    """One spelling for one mailbox, so that it can't be registered twice. Raises InvalidParameter."""
    try:
        return validate_email(text, check_deliverability=False).normalized.lower()
    except EmailNotValidError as error:
        fault = FieldError(field="email", code="invalid_email", message=str(error))
        raise InvalidParameterError(f"email: {error}", errors=(fault,)) from error


@dataclass(frozen=True, slots=True)
class SignIn:
    users: UserStore
    sessions: SessionStore
    passwords: PasswordHasher
    registration: bool

    async def register(self, email: str, password: str) -> User:
        """Raises Forbidden where registration is closed, InvalidParameter, or Conflict where the address is taken."""
        if not self.registration:
            raise ForbiddenError("Registration is closed; ask the operator for an account.")
        email = normalize_email(email)
        check_policy(password, email=email)
        hashed = await self.passwords.hash(password)
        return await run_in_threadpool(self.users.add, email, hashed, NEW_USER_SCOPES)

    async def login(self, email: str, password: str, asked: frozenset[Scope] | None = None) -> tuple[Identity, str]:
        """The login, with `asked` or all of the user's scopes, and its refresh token.

        Raises Unauthenticated, alike and after the same work for an unknown address, a wrong password and a disabled
        user; Forbidden for a scope that the user does not have.
        """
        try:
            user = await run_in_threadpool(self.users.by_email, normalize_email(email))
        except InvalidParameterError:
            user = None
        fits = await self.passwords.verify(password, user.password_hash if user else None)
        if user is None or not fits or user.disabled_at is not None:
            raise UnauthenticatedError("The e-mail address or the password is wrong.")
        if asked is not None and not covers(user.scopes, asked):
            raise ForbiddenError("The account does not have every scope that was asked for.")
        return await run_in_threadpool(self.sessions.open, user.user_id, asked or user.scopes)

    async def refresh(self, refresh_token: str) -> tuple[Identity, str]:
        """The login and its next refresh token. Raises Unauthenticated."""
        return await run_in_threadpool(self.sessions.rotate, refresh_token)
