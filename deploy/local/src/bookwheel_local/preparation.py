"""What must be there before the first program starts: folders, secrets, configuration files, tables, the demo user."""

import os
import shutil
import subprocess
from collections.abc import Mapping

from bookwheel_contracts import Scope

from bookwheel_local.client import DEMO_USER
from bookwheel_local.errors import LocalError, ProcessFailedError
from bookwheel_local.gateway import render_gateway
from bookwheel_local.layout import Layout
from bookwheel_local.program import script
from bookwheel_local.programs import redis_config
from bookwheel_local.secrets import Secrets, write_private
from bookwheel_local.settings import LocalSettings

_STEP_SECONDS = 120
_LOG_END = 2000


def find_nginx() -> str:
    """nginx's path; Debian keeps it where an ordinary user's PATH does not look."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin:/usr/local/sbin")
    if found is None:
        raise LocalError("nginx is missing; run: make install")
    return found


def run_step(name: str, command: list[str], environment: Mapping[str, str], *, given: str | None = None) -> None:
    """Runs a short-lived command of the suite, with `given` on its standard input. Raises ProgramFailed."""
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_STEP_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise ProcessFailedError(name, f"failed ({' '.join(command[1:])})", done.stdout[-_LOG_END:])


def write_configuration(layout: Layout, settings: LocalSettings, secrets: Secrets, gateway: Mapping[str, str]) -> None:
    redis = redis_config(layout, password=secrets.redis_password, appendfsync=settings.redis_appendfsync)
    write_private(layout.run / "redis.conf", redis)
    render_gateway(layout.run, gateway)


def prepare_records(layout: Layout, environment: Mapping[str, str]) -> None:
    """Signing key and tables; each step leaves alone what is there already."""
    if not any(layout.signing_keys.glob("*.pem")):
        run_step("accounts", [script("bookwheel-accounts"), "keygen", str(layout.signing_keys)], environment)
    run_step("processor", [script("bookwheel-processor"), "migrate"], environment)
    run_step("accounts", [script("bookwheel-accounts"), "migrate"], environment)


def create_demo_user(environment: Mapping[str, str], *, password: str) -> None:
    """A user who may do everything. An existing one gets this password and these scopes."""
    scopes = " ".join(scope.value for scope in Scope)
    command = [script("bookwheel-accounts"), "create-user", DEMO_USER, "--scopes", scopes]
    run_step("accounts", command, environment, given=password)
