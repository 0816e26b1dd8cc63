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
    the one that others ask. `needs_tables`: it can't start before the migrations have run. `proof` is a command that
    fails when the program runs but does not get on with its work.
    """

    name: str
    command: tuple[str, ...]
    stage: Stage = Stage.SERVICES
    ports: tuple[int, ...] = ()
    health: str | None = None
    stop_signal: str = "TERM"
    needs_tables: bool = False
    proof: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def supervised_name(self) -> str:
        return f"{self.stage}:{self.name}"


def script(name: str) -> str:
    """A console script of the environment that runs this."""
    return str(Path(sys.prefix) / "bin" / name)


def _service(name: str, port: int, command: str, *, health: str = "/readyz", needs_tables: bool = True) -> Program:
    return Program(
        name,
        (script(command), "serve"),
        ports=(port,),
        health=f"http://{HOST}:{port}{health}",
        needs_tables=needs_tables,
        environment={"BOOKWHEEL_PORT": str(port)},
    )


def programs(layout: Layout, settings: LocalSettings, *, nginx: str) -> tuple[Program, ...]:
    """In the order in which they are shown. `nginx` is the program's path."""
    ports = layout.ports
    processor = script("bookwheel-processor")
    nginx_command = (nginx, "-e", "stderr", "-c", str(layout.run / "nginx.conf"))
    shop_command = (script("bookwheel-demo-shop"), "--port", str(ports.demo_shop))
    shop_books = ("--books", str(settings.demo_books), "--seed", str(settings.demo_seed))
    return (
        Program(
            "gateway",
            nginx_command,
            Stage.EDGE,
            (ports.gateway, ports.gateway_routes),
            f"{layout.gateway_url}/livez",
            stop_signal="QUIT",
        ),
        _service("accounts", ports.accounts, "bookwheel-accounts"),
        _service("catalog-api", ports.catalog_api, "bookwheel-catalog"),
        # Not /readyz: without a trained model yet it serves, but is not ready to predict.
        _service("ml-serving", ports.ml_serving, "bookwheel-ml", health="/livez", needs_tables=False),
        Program("trainer", (script("bookwheel-ml"), "worker")),
        Program("scraper", (script("bookwheel-scraper"), "serve")),
        Program("processor-worker", (processor, "worker"), needs_tables=True, proof=(processor, "health")),
        Program("processor-beat", (processor, "beat"), needs_tables=True),
        Program(
            "demo-shop",
            (*shop_command, *shop_books),
            Stage.BASE,
            (ports.demo_shop,),
            f"http://{HOST}:{ports.demo_shop}/",
        ),
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
