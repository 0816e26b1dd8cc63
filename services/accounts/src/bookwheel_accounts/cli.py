"""`bookwheel-accounts`: serve, migrate, make keys and users."""

import argparse
from collections.abc import Collection
from pathlib import Path

from bookwheel_runtime.healthcheck import run_healthcheck

from bookwheel_accounts import DEFAULT_PORT


def _scopes(text: str) -> Collection[str]:
    from bookwheel_accounts.identity import parse_scopes  # noqa: PLC0415 - see `main`

    return parse_scopes(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bookwheel-accounts", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("serve", help="run the service")
    verbs.add_parser("health", help="succeed if the one on this machine is ready to serve")
    verbs.add_parser("migrate", help="bring the tables of accounts to their current form")
    keygen = verbs.add_parser("keygen", help="make a signing key")
    keygen.add_argument("path", type=Path, help="a .pem file, or a folder that gets one more key")
    create = verbs.add_parser("create-user", help="make a user, or give an existing one this password and these scopes")
    create.add_argument("email")
    create.add_argument("--scopes", type=_scopes, help='such as "catalog:read admin"; default: as registered')
    create.add_argument("--password-file", type=Path, help="file with the password; without it, standard input is read")
    disable = verbs.add_parser("disable-user", help="end a user's logins and keys, and refuse new ones")
    disable.add_argument("email")
    return parser


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.verb == "health":
        raise SystemExit(run_healthcheck(default=DEFAULT_PORT))
    # Here, since `health` is called every few seconds, and needs none of it.
    from bookwheel_accounts.verbs import run  # noqa: PLC0415

    run(arguments)
