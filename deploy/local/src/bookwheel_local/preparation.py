"""Prepares the start of the programs: configuration files, servers' data folders, tables and the demo user."""

import os
import runpy
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bookwheel_contracts import Scope

from bookwheel_local import engines
from bookwheel_local.client import DEMO_USER
from bookwheel_local.engine_selection import EngineSelection, Server
from bookwheel_local.environment import BUCKET
from bookwheel_local.errors import LocalError, ProcessFailedError
from bookwheel_local.layout import HOST, Layout
from bookwheel_local.programs import DATABASE, script_path
from bookwheel_local.secrets import Secrets, write_private
from bookwheel_local.settings import LocalSettings

GATEWAY_SOURCE = Path(__file__).resolve().parents[4] / "gateway"
_POSTGRES_SUPERUSER = "postgres"
_STEP_SECONDS = 120
_MAX_OUTPUT_CHARACTERS = 2000


def find_nginx() -> str:
    """Returns the path of nginx. Debian installs it outside the PATH of ordinary users. Raises LocalError."""
    path = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin:/usr/local/sbin")
    if path is None:
        raise LocalError("nginx is missing: run `make install`")
    return path


def write_configuration(layout: Layout, settings: LocalSettings, secrets: Secrets) -> None:
    """Writes the configuration of Redis and of the gateway. Raises LocalError."""
    redis = redis_config(layout, password=secrets.redis_password, appendfsync=settings.redis_appendfsync)
    write_private(layout.run / "redis.conf", redis)
    render_gateway(layout.run, gateway_values(layout))


def redis_config(layout: Layout, *, password: str, appendfsync: str = "everysec") -> str:
    """Returns the configuration of a persistent Redis without eviction, because Redis stores streams, too."""
    return "\n".join(
        (
            f"bind {HOST}",
            f"port {layout.ports.redis}",
            f"requirepass {password}",
            f'dir "{layout.data / "redis"}"',
            "appendonly yes",
            f"appendfsync {appendfsync}",
            'save ""',
            "maxmemory-policy noeviction",
            "",
        )
    )


def gateway_values(layout: Layout) -> dict[str, str]:
    """Returns the values of the gateway's templates. The environment may set limits, but not addresses and folders."""
    renderer = _gateway_renderer()
    environment = {name: os.environ[name] for name in renderer["load_defaults"]() if name in os.environ}
    addresses: dict[str, str] = renderer["local_values"](port_base=layout.ports.gateway, run_dir=layout.run)
    return {**environment, **addresses}


def render_gateway(target: Path, values: Mapping[str, str]) -> Path:
    """Writes nginx.conf and its includes, and returns its path. Raises LocalError for an invalid value."""
    renderer = _gateway_renderer()
    try:
        path: Path = renderer["render"](target, values)
    except renderer["RenderError"] as error:
        raise LocalError(f"the gateway can't be configured: {error}") from error
    return path


def _gateway_renderer() -> dict[str, Any]:
    return runpy.run_path(str(GATEWAY_SOURCE / "render.py"))


def prepare_servers(layout: Layout, secrets: Secrets, selection: EngineSelection) -> None:
    """Creates the data folders of the selected engines' servers. Keeps existing data. Raises LocalError."""
    if Server.POSTGRES in selection.servers:
        # The suite's role is not a superuser: it must not be able to run COPY FROM PROGRAM.
        role = f"CREATE ROLE {DATABASE} LOGIN PASSWORD '{secrets.postgres_password}'\n"
        database = f"CREATE DATABASE {DATABASE} OWNER {DATABASE}\n"
        engines.create_postgres(
            layout.data / "postgres",
            user=_POSTGRES_SUPERUSER,
            password=secrets.postgres_administrator_password,
            sql=role + database,
        )
    if Server.ELASTICSEARCH in selection.servers:
        engines.create_elasticsearch(layout.data / "elasticsearch", layout.ports.elasticsearch)
    if Server.S3 in selection.servers:
        (layout.data / "s3" / BUCKET).mkdir(parents=True, exist_ok=True)  # MinIO serves a folder as a bucket


def prepare_records(layout: Layout, environment: Mapping[str, str]) -> None:
    """Creates the signing key and the tables. Idempotent. Raises ProcessFailedError."""
    if not any(layout.signing_keys.glob("*.pem")):
        run_step("accounts", [script_path("bookwheel-accounts"), "keygen", str(layout.signing_keys)], environment)
    run_step("processor", [script_path("bookwheel-processor"), "migrate"], environment)
    run_step("accounts", [script_path("bookwheel-accounts"), "migrate"], environment)


def create_demo_user(environment: Mapping[str, str], *, password: str) -> None:
    """Creates the demo user with all scopes, or sets the password and scopes of the existing user."""
    scopes = " ".join(scope.value for scope in Scope)
    command = [script_path("bookwheel-accounts"), "create-user", DEMO_USER, "--scopes", scopes]
    run_step("accounts", command, environment, stdin=password)


def run_step(name: str, command: list[str], environment: Mapping[str, str], *, stdin: str | None = None) -> None:
    """Runs a short command of the suite. Raises ProcessFailedError."""
    process = subprocess.run(
        command,
        env={**os.environ, **environment},
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_STEP_SECONDS,
        check=False,
    )
    if process.returncode != 0:
        raise ProcessFailedError(name, f"failed ({' '.join(command[1:])})", process.stdout[-_MAX_OUTPUT_CHARACTERS:])
