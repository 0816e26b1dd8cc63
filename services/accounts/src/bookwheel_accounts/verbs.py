"""What the verbs of `bookwheel-accounts` do."""

import argparse
import asyncio
import sys
from pathlib import Path

from bookwheel_contracts.problems import BookwheelError
from bookwheel_runtime.logs import configure_logs
from bookwheel_runtime.settings import load_settings
from bookwheel_stores.records import NewerSchemaError, connect_database, wait_for_database
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from bookwheel_accounts.database import ACCOUNTS
from bookwheel_accounts.keys import KeyFileError, make_key_file
from bookwheel_accounts.passwords import PasswordHasher, check_policy
from bookwheel_accounts.settings import AccountsSettings
from bookwheel_accounts.sign_in import NEW_USER_SCOPES, normalize_email
from bookwheel_accounts.users import UserStore


def run(arguments: argparse.Namespace) -> None:
    """Raises SystemExit where it does not come to a good end."""
    settings = load_settings(AccountsSettings)
    configure_logs("accounts", settings.log_level)
    try:
        match arguments.verb:
            case "serve":
                _serve(settings)
            case "migrate":
                ACCOUNTS.upgrade(connect_database(settings.database_url))
            case "keygen":
                print(make_key_file(arguments.path))
            case "create-user":
                _create_user(settings, arguments)
            case "disable-user":
                if not UserStore(_database(settings)).disable(normalize_email(arguments.email)):
                    raise SystemExit(f"there is no user {arguments.email}")
    except (KeyFileError, BookwheelError, FileExistsError, NewerSchemaError) as error:
        raise SystemExit(f"bookwheel-accounts: {error}") from error
    except OperationalError as error:
        raise SystemExit(f"bookwheel-accounts: the database can't be used: {str(error.orig).strip()}") from error


def _serve(settings: AccountsSettings) -> None:
    # Here, since a third of a short verb's start would go to a web framework that it does not use.
    import uvicorn  # noqa: PLC0415

    from bookwheel_accounts.app import create_app  # noqa: PLC0415

    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=5,
    )


def _database(settings: AccountsSettings) -> Engine:
    engine = connect_database(settings.database_url)
    wait_for_database(engine)
    return engine


def _create_user(settings: AccountsSettings, arguments: argparse.Namespace) -> None:
    source: Path | None = arguments.password_file
    password = (source.read_text() if source else sys.stdin.readline()).rstrip("\r\n")
    email = normalize_email(arguments.email)
    check_policy(password, email=email)
    hasher = PasswordHasher(workers=1)
    hashed = asyncio.run(hasher.hash(password))
    hasher.close()
    scopes = NEW_USER_SCOPES if arguments.scopes is None else arguments.scopes
    user, made = UserStore(_database(settings)).put(email, hashed, scopes)
    print(f"{'created' if made else 'updated'} {user.email} {user.user_id}")
