"""The programs of a one-machine suite: what is run, in which stage, and how each shows that it is ready."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bookwheel_local.layout import HOST, Layout
from bookwheel_local.settings import LocalSettings


class Stage(StrEnum):
    """Programs of a stage start and stop together; a later stage stops before an earlier one."""

    BASE = "base"
    SERVICES = "services"
    EDGE = "edge"


@dataclass(frozen=True, slots=True)
class Program:
    """`health` is a URL that answers 2xx once the program serves; None: running is being ready. The first of `ports` is
    the one that others ask.
    """

    name: str
    command: tuple[str, ...]
    stage: Stage = Stage.SERVICES
    ports: tuple[int, ...] = ()
    health: str | None = None
    stop_signal: str = "TERM"
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def supervised_name(self) -> str:
        return f"{self.stage}:{self.name}"


def script(name: str) -> str:
    """A console script of the environment that runs this."""
    return str(Path(sys.prefix) / "bin" / name)


def _http(name: str, port: int, *command: str, stage: Stage = Stage.SERVICES, health: str = "/readyz") -> Program:
    url = f"http://{HOST}:{port}{health}"
    return Program(name, command, stage, (port,), url, environment={"BOOKWHEEL_PORT": str(port)})


def programs(layout: Layout, settings: LocalSettings, *, nginx: str) -> tuple[Program, ...]:
    """In the order in which they are shown. `nginx` is the program's path."""
    ports = layout.ports
    shop = (script("bookwheel-demo-shop"), "--port", str(ports.demo_shop))
    books = ("--books", str(settings.demo_books), "--seed", str(settings.demo_seed))
    gateway_command = (nginx, "-e", "stderr", "-c", str(layout.run / "nginx.conf"))
    gateway_ports = (ports.gateway, ports.gateway_routes)
    gateway_health = f"http://{HOST}:{ports.gateway}/livez"
    return (
        Program("gateway", gateway_command, Stage.EDGE, gateway_ports, gateway_health, stop_signal="QUIT"),
        _http("accounts", ports.accounts, script("bookwheel-accounts"), "serve"),
        _http("catalog-api", ports.catalog_api, script("bookwheel-catalog"), "serve"),
        # Not /readyz: without a trained model yet it serves, but is not ready to predict.
        _http("ml-serving", ports.ml_serving, script("bookwheel-ml"), "serve", health="/livez"),
        Program("trainer", (script("bookwheel-ml"), "worker")),
        Program("scraper", (script("bookwheel-scraper"), "serve")),
        Program("processor-worker", (script("bookwheel-processor"), "worker")),
        Program("processor-beat", (script("bookwheel-processor"), "beat")),
        _http("demo-shop", ports.demo_shop, *shop, *books, stage=Stage.BASE, health="/"),
        Program("redis", ("redis-server", str(layout.run / "redis.conf")), Stage.BASE, (ports.redis,)),
    )


def redis_config(layout: Layout, *, password: str) -> str:
    """Appends every write to a file, flushed each second: Redis holds streams, not only a cache."""
    return "\n".join(
        (
            f"bind {HOST}",
            f"port {layout.ports.redis}",
            f"requirepass {password}",
            f'dir "{layout.data / "redis"}"',
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
            "",
        )
    )
