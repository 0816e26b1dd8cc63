"""`bookwheel-accounts`: serve, migrate, create keys and users.

Commands import only what they use, because `health` runs every few seconds.
"""

import argparse
import asyncio
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from bookwheel_runtime.healthcheck import run_healthcheck

from bookwheel_accounts import DEFAULT_PORT

if TYPE_CHECKING:
    from bookwheel_accounts.settings import AccountsSettings
    from bookwheel_accounts.users import UserStore


def main() -> None:
    arguments = _create_parser().parse_args()
    if arguments.command == "health":
        raise SystemExit(run_healthcheck(default=DEFAULT_PORT))
    _run(arguments)


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bookwheel-accounts", description="Serves accounts and manages its data.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="run the service")
    commands.add_parser("health", help="check the service on this machine; exit with 0 if it is ready")
    commands.add_parser("migrate", help="upgrade the accounts tables")
    keygen = commands.add_parser("keygen", help="create a signing key")
    keygen.add_argument("path", type=Path, help="a new .pem file, or a folder to add a key to")
    create_user = commands.add_parser(
        "create-user",
        help="create a user, or set the password and scopes of an existing one; a new password ends sessions "
        "and revokes the API keys",
    )
    create_user.add_argument("email")
    create_user.add_argument(
        "--scopes",
        type=_parse_scopes,
        help='such as "catalog:read admin"; default: the scopes of a new user, also if the user exists',
    )
    create_user.add_argument("--password-file", type=Path, help="file with the password; default: standard input")
    disable_user = commands.add_parser("disable-user", help="disable a user, end the sessions and revoke the API keys")
    disable_user.add_argument("email")
    return parser


def _parse_scopes(text: str) -> Collection[str]:
    from bookwheel_accounts.identity import parse_scopes  # noqa: PLC0415 - lazy import

    return parse_scopes(text)


def _run(arguments: argparse.Namespace) -> None:
    from bookwheel_contracts.problems import BookwheelError  # noqa: PLC0415 - lazy import
    from bookwheel_runtime.logs import configure_logs  # noqa: PLC0415 - lazy import
    from bookwheel_runtime.settings import load_settings  # noqa: PLC0415 - lazy import
    from bookwheel_stores.records import NewerSchemaError, connect_database  # noqa: PLC0415 - lazy import
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415 - lazy import

    from bookwheel_accounts.authentication import normalize_email  # noqa: PLC0415 - lazy import
    from bookwheel_accounts.settings import AccountsSettings  # noqa: PLC0415 - lazy import
    from bookwheel_accounts.signing_keys import KeyFileError, create_key_file  # noqa: PLC0415 - lazy import
    from bookwheel_accounts.tables import ACCOUNTS_SCHEMA  # noqa: PLC0415 - lazy import

    settings = load_settings(AccountsSettings)
    configure_logs("accounts", settings.log_level)
    try:
        match arguments.command:
            case "serve":
                _serve(settings)
            case "migrate":
                ACCOUNTS_SCHEMA.upgrade(connect_database(settings.database_url))
            case "keygen":
                print(create_key_file(arguments.path))
            case "create-user":
                _create_user(settings, arguments)
            case "disable-user":
                if not _open_user_store(settings).disable(normalize_email(arguments.email)):
                    raise SystemExit(f"user {arguments.email} does not exist")
    except (KeyFileError, BookwheelError, FileExistsError, NewerSchemaError) as error:
        raise SystemExit(f"bookwheel-accounts: {error}") from error
    except OperationalError as error:
        raise SystemExit(f"bookwheel-accounts: the database is unavailable: {str(error.orig).strip()}") from error


def _serve(settings: "AccountsSettings") -> None:
    import uvicorn  # noqa: PLC0415 - lazy import

    from bookwheel_accounts.app import create_app  # noqa: PLC0415 - lazy import

    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=5,
    )


def _create_user(settings: "AccountsSettings", arguments: argparse.Namespace) -> None:
    from bookwheel_accounts.authentication import NEW_USER_SCOPES, normalize_email  # noqa: PLC0415 - lazy import
    from bookwheel_accounts.passwords import PasswordHasher, check_policy  # noqa: PLC0415 - lazy import

    password_file: Path | None = arguments.password_file
    password = (password_file.read_text() if password_file else sys.stdin.readline()).rstrip("\r\n")
    email = normalize_email(arguments.email)
    check_policy(password, email=email)
    scopes = NEW_USER_SCOPES if arguments.scopes is None else arguments.scopes
    users = _open_user_store(settings)
    user = users.get_by_email(email)
    hasher = PasswordHasher(workers=1)
    if user is None:
        user = users.create(email, asyncio.run(hasher.hash(password)), scopes)
        print(f"created {email} {user.user_id}")
    elif user.disabled_at is None and asyncio.run(hasher.verify(password, user.password_hash)):
        users.set_scopes(email, scopes)  # the password is unchanged: sessions and API keys stay valid
        print(f"updated {email} {user.user_id}")
    else:
        users.reset_credentials(email, asyncio.run(hasher.hash(password)), scopes)
        print(f"updated {email} {user.user_id}")
    hasher.close()


def _open_user_store(settings: "AccountsSettings") -> "UserStore":
    from bookwheel_stores.records import connect_database, wait_for_database  # noqa: PLC0415 - lazy import

    from bookwheel_accounts.users import UserStore  # noqa: PLC0415 - lazy import

    engine = connect_database(settings.database_url)
    wait_for_database(engine)
    return UserStore(engine)
