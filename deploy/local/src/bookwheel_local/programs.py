"""The programs of a one-machine suite: commands, stages, ports and health addresses."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bookwheel_local import engines
from bookwheel_local.engine_selection import EngineSelection, Server
from bookwheel_local.layout import HOST, MARKER, Layout
from bookwheel_local.settings import LocalSettings

DATABASE = "bookwheel"
"""PostgreSQL's database, and the role that owns it."""
_CLEAN_PATH = "/usr/bin:/bin"


class Stage(StrEnum):
    """Programs of a stage start and stop together. Stages start in this order and stop in reverse."""

    BASE = "base"
    SERVICES = "services"
    EDGE = "edge"


@dataclass(frozen=True, slots=True)
class Program:
    """One supervised program.

    `ports`: clients use the first one.
    `health`: a URL that `readiness` probes; None if a running program is ready.
    `needs_tables`: it starts after the migrations, which run once every program with `is_store` is ready.
    """

    name: str
    command: tuple[str, ...]
    stage: Stage = Stage.SERVICES
    ports: tuple[int, ...] = ()
    health: str | None = None
    stop_signal: str = "TERM"
    needs_tables: bool = False
    is_store: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def supervised_name(self) -> str:
        return f"{self.stage}:{self.name}"


def script(name: str) -> str:
    """The path of a console script of this Python environment."""
    return str(Path(sys.prefix) / "bin" / name)


def programs(layout: Layout, settings: LocalSettings, selection: EngineSelection, *, nginx: str) -> tuple[Program, ...]:
    """All programs, in display order. `nginx` is the path of nginx. Raises EngineNotInstalledError."""
    ports = layout.ports
    processor = script("bookwheel-processor")
    return (
        _gateway(layout, nginx),
        _service("accounts", ports.accounts, "bookwheel-accounts"),
        _service("catalog-api", ports.catalog_api, "bookwheel-catalog"),
        # Not /readyz: without a trained model it serves, but is not ready to predict.
        _service("ml-serving", ports.ml_serving, "bookwheel-ml", health="/livez", needs_tables=False),
        _worker("trainer", ports.trainer, script("bookwheel-ml"), "worker"),
        _worker("scraper", ports.scraper, script("bookwheel-scraper"), "serve"),
        _worker("processor-worker", ports.processor_worker, processor, "worker", needs_tables=True),
        _worker("processor-beat", ports.processor_beat, processor, "beat", needs_tables=True),
        _demo_shop(ports.demo_shop, settings),
        Program("redis", ("redis-server", str(layout.run / "redis.conf")), Stage.BASE, (ports.redis,)),
        *server_programs(layout, settings, selection),
    )


def _gateway(layout: Layout, nginx: str) -> Program:
    ports = layout.ports
    exec_after_cleanup = (sys.executable, "-m", "bookwheel_local.exec_after_cleanup", str(layout.state))
    return Program(
        "gateway",
        (*exec_after_cleanup, nginx, "-e", "stderr", "-c", str(layout.run / "nginx.conf")),
        Stage.EDGE,
        (ports.gateway, ports.gateway_routes, ports.gateway_metrics),
        f"{layout.gateway_url}/livez",
        stop_signal="QUIT",
    )


def _service(name: str, port: int, command: str, *, health: str = "/readyz", needs_tables: bool = True) -> Program:
    return Program(
        name,
        (script(command), "serve"),
        ports=(port,),
        health=f"http://{HOST}:{port}{health}",
        needs_tables=needs_tables,
        environment={"BOOKWHEEL_PORT": str(port)},
    )


def _worker(name: str, port: int, *command: str, needs_tables: bool = False) -> Program:
    """A program without an API; the port serves its metrics and health."""
    return Program(
        name,
        command,
        ports=(port,),
        health=f"http://{HOST}:{port}/readyz",
        needs_tables=needs_tables,
        environment={"BOOKWHEEL_METRICS_PORT": str(port)},
    )


def _demo_shop(port: int, settings: LocalSettings) -> Program:
    options = ("--port", str(port), "--books", str(settings.demo_books), "--seed", str(settings.demo_seed))
    return Program(
        "demo-shop", (script("bookwheel-demo-shop"), *options), Stage.BASE, (port,), f"http://{HOST}:{port}/"
    )


def server_programs(layout: Layout, settings: LocalSettings, selection: EngineSelection) -> tuple[Program, ...]:
    """The servers of the selected engines. Raises EngineNotInstalledError."""
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
        stop_signal="INT",  # fast shutdown: TERM waits until all clients have disconnected
        is_store=True,
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
        is_store=True,
    )


def _s3(layout: Layout) -> Program:
    port = layout.ports.s3
    return Program(
        "s3",
        tuple(engines.minio_command(layout.data / "s3", port)),
        Stage.BASE,
        (port,),
        f"http://{HOST}:{port}/minio/health/ready",
        is_store=True,
    )


def _in_clean_environment(
    layout: Layout, command: Sequence[str], variables: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """The command without the suite's environment, because addresses in it contain passwords."""
    environment = {"PATH": _CLEAN_PATH, "LC_ALL": "C.UTF-8", MARKER: str(layout.state), **(variables or {})}
    return ("env", "-i", *(f"{name}={value}" for name, value in environment.items()), *command)
