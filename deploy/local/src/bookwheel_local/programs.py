"""The programs of a one-machine suite: commands, stages, ports and health URLs."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bookwheel_local import engines
from bookwheel_local.engine_selection import EngineSelection, Server
from bookwheel_local.layout import HOST, PROCESS_MARKER, Layout
from bookwheel_local.settings import LocalSettings

DATABASE = "bookwheel"
"""PostgreSQL's database, and the role that owns it."""
_CLEAN_PATH = "/usr/bin:/bin"


class Stage(StrEnum):
    """The programs of a stage start and stop together. Stages start in this order and stop in reverse order."""

    BASE = "base"
    SERVICES = "services"
    EDGE = "edge"


@dataclass(frozen=True, slots=True)
class Program:
    """One supervised program.

    `ports`: clients use the first port.
    `health`: the URL that `readiness` probes. None if the program is ready when it runs.
    `needs_tables`: the program starts after the migrations.
    `needed_by_migrations`: the migrations wait until this program is ready.
    """

    name: str
    command: tuple[str, ...]
    stage: Stage = Stage.SERVICES
    ports: tuple[int, ...] = ()
    health: str | None = None
    stop_signal: str = "TERM"
    needs_tables: bool = False
    needed_by_migrations: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def supervised_name(self) -> str:
        return f"{self.stage}:{self.name}"


def script_path(name: str) -> str:
    """Returns the path of a console script of this Python environment."""
    return str(Path(sys.prefix) / "bin" / name)


def build_programs(
    layout: Layout, settings: LocalSettings, selection: EngineSelection, *, nginx: str
) -> tuple[Program, ...]:
    """Returns all programs in display order. `nginx` is the path of nginx. Raises EngineNotInstalledError."""
    ports = layout.ports
    return (
        _gateway(layout, nginx),
        _service("accounts", ports.accounts, "bookwheel-accounts", "serve"),
        _service("catalog-api", ports.catalog_api, "bookwheel-catalog", "serve"),
        # /livez, because /readyz fails until a model is trained.
        _service("ml-serving", ports.ml_serving, "bookwheel-ml", "serve", health="/livez", needs_tables=False),
        _worker("trainer", ports.trainer, "bookwheel-ml", "worker"),
        _worker("scraper", ports.scraper, "bookwheel-scraper", "serve"),
        _worker("processor-worker", ports.processor_worker, "bookwheel-processor", "worker", needs_tables=True),
        _worker("processor-beat", ports.processor_beat, "bookwheel-processor", "beat", needs_tables=True),
        _demo_shop(ports.demo_shop, settings),
        Program("redis", ("redis-server", str(layout.run / "redis.conf")), Stage.BASE, (ports.redis,)),
        *build_server_programs(layout, settings, selection),
    )


def _gateway(layout: Layout, nginx: str) -> Program:
    ports = layout.ports
    exec_after_cleanup = (sys.executable, "-m", "bookwheel_local.exec_after_cleanup", str(layout.state_dir))
    return Program(
        "gateway",
        (*exec_after_cleanup, nginx, "-e", "stderr", "-c", str(layout.run / "nginx.conf")),
        Stage.EDGE,
        (ports.gateway, ports.gateway_inner, ports.gateway_metrics),
        f"{layout.gateway_url}/livez",
        stop_signal="QUIT",
    )


def _service(
    name: str,
    port: int,
    *command: str,
    health: str = "/readyz",
    needs_tables: bool = True,
    port_variable: str = "BOOKWHEEL_PORT",
) -> Program:
    return Program(
        name,
        (script_path(command[0]), *command[1:]),
        ports=(port,),
        health=f"http://{HOST}:{port}{health}",
        needs_tables=needs_tables,
        environment={port_variable: str(port)},
    )


def _worker(name: str, port: int, *command: str, needs_tables: bool = False) -> Program:
    """Returns a program without an API. The port serves its metrics and health."""
    return _service(name, port, *command, needs_tables=needs_tables, port_variable="BOOKWHEEL_METRICS_PORT")


def _demo_shop(port: int, settings: LocalSettings) -> Program:
    options = ("--port", str(port), "--books", str(settings.demo_books), "--seed", str(settings.demo_seed))
    return Program(
        "demo-shop", (script_path("bookwheel-demo-shop"), *options), Stage.BASE, (port,), f"http://{HOST}:{port}/"
    )


def build_server_programs(layout: Layout, settings: LocalSettings, selection: EngineSelection) -> tuple[Program, ...]:
    """Returns the servers of the selected engines. Raises EngineNotInstalledError."""
    builders = {
        Server.POSTGRES: lambda: _postgres(layout),
        Server.ELASTICSEARCH: lambda: _elasticsearch(layout, settings),
        Server.S3: lambda: _s3(layout),
    }
    return tuple(builders[server]() for server in selection.servers)


def _postgres(layout: Layout) -> Program:
    port = layout.ports.postgres
    return Program(
        "postgres",
        _in_clean_environment(layout, engines.postgres_command(layout.data / "postgres", port)),
        Stage.BASE,
        (port,),
        f"postgresql://{HOST}:{port}/{DATABASE}",
        stop_signal="INT",  # fast shutdown: with TERM, PostgreSQL waits until all clients have disconnected
        needed_by_migrations=True,
    )


def _elasticsearch(layout: Layout, settings: LocalSettings) -> Program:
    port = layout.ports.elasticsearch
    environment = engines.elasticsearch_environment(
        layout.data / "elasticsearch", heap=settings.elasticsearch_heap, options=settings.elasticsearch_options
    )
    return Program(
        "elasticsearch",
        _in_clean_environment(layout, engines.elasticsearch_command(), environment),
        Stage.BASE,
        (port,),
        f"http://{HOST}:{port}/_cluster/health?wait_for_status=yellow&timeout=1s",
        needed_by_migrations=True,
    )


def _s3(layout: Layout) -> Program:
    port = layout.ports.s3
    return Program(
        "s3",
        tuple(engines.minio_command(layout.data / "s3", port)),
        Stage.BASE,
        (port,),
        f"http://{HOST}:{port}/minio/health/ready",
        needed_by_migrations=True,
    )


def _in_clean_environment(
    layout: Layout, command: Sequence[str], variables: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Returns a command that runs without the suite's environment, because URLs in it contain passwords."""
    environment = {"PATH": _CLEAN_PATH, "LC_ALL": "C.UTF-8", PROCESS_MARKER: str(layout.state_dir), **(variables or {})}
    return ("env", "-i", *(f"{name}={value}" for name, value in environment.items()), *command)
